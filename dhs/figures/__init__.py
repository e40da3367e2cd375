"""Figures: functions that take arrays, tables and artefacts of a run and return a matplotlib ``Figure``.

Nothing here computes a result or opens a file, and no room of the package is imported. A section that is missing or
skipped is drawn as a panel that says why.
"""

from dhs.figures.attention import ablation, ablation_table, attribution_profile, attributions
from dhs.figures.audit import (
    answers_table,
    core_fractions,
    effect_shares,
    fixed_threshold_table,
    foreign_arcs,
    interventions,
    interventions_table,
    operating_table,
    toys,
)
from dhs.figures.gates import (
    decision_banner,
    gate_of,
    gate_overview,
    gate_table,
    leakage,
    radial_profiles,
    signoff_table,
    table,
)
from dhs.figures.host_completeness import completeness_by_host
from dhs.figures.injection import benchmark, closure, convergence, gain, priors, renderer_agreement
from dhs.figures.learning import training_curves
from dhs.figures.pairs import (
    host_conditions,
    pair_build_up,
    pair_grid,
    pair_strip,
    parameter_coverage,
    rejections,
    sample_sheet,
)
from dhs.figures.prior_draws import prior_study, prior_table
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
from dhs.figures.style import colour, skipped
from dhs.figures.worth import (
    completeness_contours,
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
    "answers_table",
    "attribution_profile",
    "attributions",
    "benchmark",
    "closure",
    "colour",
    "completeness_by_host",
    "completeness_contours",
    "completeness_map",
    "convergence",
    "core_effect",
    "core_fractions",
    "coverage",
    "decision_banner",
    "effect_shares",
    "failure_causes",
    "fixed_threshold_table",
    "fixes",
    "foreign_arcs",
    "gain",
    "gallery",
    "gate_of",
    "gate_overview",
    "gate_table",
    "host_conditions",
    "interventions",
    "interventions_table",
    "leakage",
    "lens_list",
    "missed_lenses",
    "operating_table",
    "pair_build_up",
    "pair_grid",
    "pair_strip",
    "parameter_coverage",
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
    "rejections",
    "reliability",
    "renderer_agreement",
    "sample_sheet",
    "scale_plan",
    "scaling",
    "score_distributions",
    "signoff_table",
    "skipped",
    "strata",
    "table",
    "toys",
    "training_curves",
    "zoom_gallery",
]
