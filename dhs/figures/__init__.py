"""Figures: functions that take arrays, tables and artefacts of a run and return a matplotlib ``Figure``.

Nothing here computes a result or opens a file, and no room of the package is imported. Where a section is missing or
skipped a function gives no figure but the reason (`dhs.figures.style.NoFigure`), and a page leaves it out.
"""

from dhs.figures.audit import (
    core_fractions,
    effect_shares,
    fixed_threshold_table,
    foreign_arcs,
    interventions,
    interventions_table,
    operating_table,
    toys,
)
from dhs.figures.front import front
from dhs.figures.gate_sheet import failing_gates, gate_sheet, leakage_by_radius
from dhs.figures.gates import (
    gate_of,
    gate_table,
    leakage,
    radial_profiles,
    table,
)
from dhs.figures.interactive import completeness_play, explorer, interventions_play, threshold_slider
from dhs.figures.leaks import leak_curves, leak_onsets, leak_scatter, leak_table
from dhs.figures.network.attention import ablation, ablation_table, attribution_profile, attributions
from dhs.figures.network.host_completeness import completeness_by_host
from dhs.figures.network.learning import learning_curve, training_curves
from dhs.figures.scale import plan_on_gpu, scale_plan, scaling
from dhs.figures.scores import (
    completeness_map,
    core_effect,
    gallery,
    rates,
    real_lens_scores,
    reliability,
    score_distributions,
    strata,
)
from dhs.figures.sets.galaxies import look_alikes, one_galaxy, pair_columns
from dhs.figures.sets.injection import closure, convergence, gain, photon_transfer, priors, renderer_agreement
from dhs.figures.sets.pairs import (
    host_conditions,
    pair_build_up,
    pair_grid,
    pair_strip,
    snr_scatter,
)
from dhs.figures.sets.prior_draws import prior_study, prior_table
from dhs.figures.style import colour, signed, skipped
from dhs.figures.worth import (
    coverage,
    failure_causes,
    fixes,
    lens_list,
    missed_lenses,
    purity_curve,
    real_recall,
    realism_gap,
)
from dhs.figures.zoom import zoom_gallery

__all__ = [
    "ablation",
    "ablation_table",
    "attribution_profile",
    "attributions",
    "closure",
    "colour",
    "completeness_by_host",
    "completeness_map",
    "completeness_play",
    "convergence",
    "core_effect",
    "core_fractions",
    "coverage",
    "effect_shares",
    "explorer",
    "failing_gates",
    "failure_causes",
    "fixed_threshold_table",
    "fixes",
    "foreign_arcs",
    "front",
    "gain",
    "gallery",
    "gate_of",
    "gate_sheet",
    "gate_table",
    "host_conditions",
    "interventions",
    "interventions_play",
    "interventions_table",
    "leak_curves",
    "leak_onsets",
    "leak_scatter",
    "leak_table",
    "leakage",
    "leakage_by_radius",
    "learning_curve",
    "lens_list",
    "look_alikes",
    "missed_lenses",
    "one_galaxy",
    "operating_table",
    "pair_build_up",
    "pair_columns",
    "pair_grid",
    "pair_strip",
    "photon_transfer",
    "plan_on_gpu",
    "prior_study",
    "prior_table",
    "priors",
    "purity_curve",
    "radial_profiles",
    "rates",
    "real_lens_scores",
    "real_recall",
    "realism_gap",
    "reliability",
    "renderer_agreement",
    "scale_plan",
    "scaling",
    "score_distributions",
    "signed",
    "skipped",
    "snr_scatter",
    "strata",
    "table",
    "threshold_slider",
    "toys",
    "training_curves",
    "zoom_gallery",
]
