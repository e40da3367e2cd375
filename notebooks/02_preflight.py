# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Preflight: is this set fit to train on?
#
# A training set can teach a network its own faults. The question before training is what a classifier could learn from
# it that is not a lens. Three toys first, because the usual ways to ask give wrong answers on pairs; then the
# gates on the set itself.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; a missing pairs set is made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %%
import numpy as np
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs.artefacts.report import read
from dhs.book.results import operating_study
from dhs.book.stamps import by_pair, radial_profiles
from dhs.book.studies import hsc_injections, leakage_toys
from dhs.datasets.reader import per_band

run = dhs.Run(run_dir, profile, seed)
pairs, preflight = run.inject(), run.preflight()
report = read(run.path / "preflight.json")

# %% tags=["remove-input"]
for key, value in figures.glued(report, "preflight").items():
    glue(key, value, display=False)

# %% [markdown]
# ## Three ways to fool a leakage check
#
# **Folds that ignore the pairing.** Take pairs without an arc, so that positive and control are the same stamp and
# nothing can be told. In ordinary folds a test stamp's twin sits in the training set with the other label, and the
# classifier learns to be wrong: the AUC falls well below one half ({numref}`fig-toys`, left). A set that leaks a little
# then looks clean. Folds by host give one half exactly.
#
# **A marginal AUC alone.** Hosts differ from one another by far more than an arc adds. Over all stamps the arc drowns in
# that scatter; within pairs the host drops out and nearly every positive beats its own control (right). A gate quotes
# both.
#
# **A fixed threshold.** Counter-images do fall into the core. What an honest set gives depends on the Einstein radius,
# so one threshold refuses physics in one bin and hides a leak in another. The table holds what the lens equation alone
# gives in this set, bin by bin.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Above: AUC of a logistic regression on pairs without an arc, one point a repetition; the truth is one half. Below: a score with a constant effect of the arc, against the scatter between galaxies.", "name": "fig-toys"}, "image": {"alt": "Points of AUC below one half for ungrouped folds and at one half for grouped folds; concordance rising to one long before the marginal AUC"}}
figures.toys(leakage_toys.identical_pairs(seed=seed), leakage_toys.hidden_effect(seed=seed))

# %% tags=["hide-input"]
figures.fixed_threshold_table(leakage_toys.fixed_threshold(figures.gate_of(report, "core_leakage")))

# %% [markdown]
# ## The gates
#
# Each gate gives a value with an interval, a threshold fixed before the data were seen (plan {glue:text}`plan`), what it
# means and what to do. A blocking gate that fails is NO-GO. One that was skipped or is inconclusive caps the decision at
# CONDITIONAL-GO. Every statistical limit is one test in one family: Holm's correction runs over all gates and strata.
#
# **Decision: {glue:text}`preflight_decision`.** Of {glue:text}`n_gates` gates, {glue:text}`n_pass` passed,
# {glue:text}`n_warn` warn, {glue:text}`n_fail` failed and {glue:text}`n_skip` were skipped. Failed:
# {glue:text}`gates_fail`. Warning: {glue:text}`gates_warn`. Skipped: {glue:text}`gates_skip`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "All gates by how far they are from their limits: 0 is ideal, 1 the limit, the bar a 95 % interval. Circle: pass; triangle: undecided; cross: fail; square: not measured. Open symbols list things to look at. Under a pass a bar may reach past the limit: a gate that searches for a fault fails only when all of its interval lies beyond.", "name": "fig-gates"}, "image": {"alt": "One line per gate with its distance from the limit"}}
figures.gate_sheet(report)

# %% tags=["hide-input"]
figures.gate_table(report)

# %% [markdown]
# How often are the gates wrong? Faults were planted at five strengths each, as a generator would make them or into the
# finished set, and the gates that look at what they change decided (`benchmarks/audit_power.py`; stored with the package,
# not made by this run). The first line is of clean sets, of which all gates decide. A fault without a smallest strength
# is invisible to the audit at every strength tried.

# %% tags=["hide-input"]
figures.operating_table(operating_study())

# %% [markdown]
# ## Core leakage
#
# A logistic regression sees the central pixels only, in folds by host, standardised within the fold. It is fitted twice:
# to the stamps as they are, and to stamps whose arcs were rendered again from the stored lens, source and PSF. The second
# is what physics gives; only the difference can be a leak, and it must lie within a margin fixed beforehand. Overall:
# {glue:text}`gate_core_leakage`; within pairs {glue:text}`core_concordance`, where physics lets it have
# {glue:text}`core_concordance_expected`: the concordance is tested as well, since hosts that differ by more than a leak
# adds hide it from the AUC. Labels swapped within pairs give {glue:text}`core_null`. Status
# {glue:text}`gate_core_leakage_status`. The variance is that over hosts and over sources less that over their cells,
# and holds what each row does as a training row, to first order.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "What a classifier learns from the core alone, by Einstein radius. Points: observed, with 95 % intervals. Orange: the same arcs rendered again from their lenses, and the margin in which the difference must lie. Dashed: one threshold for all radii would refuse honest physics at small ones. Dotted: nothing to learn.", "name": "fig-core-leakage"}, "image": {"alt": "AUC of a classifier on the core, by bin, with null band and physical expectation"}}
figures.leakage_by_radius(figures.gate_of(report, "core_leakage"))

# %% tags=["hide-input"] mystnb={"figure": {"caption": "What a leak looks like. The same pairs three times: as they are, with a pedestal of light in every core, and with the PSF off its centre. Crosses lie outside the margin. The classifier sees the pedestal at every radius; a PSF off its centre it hardly sees, and the gate on where the light lies does. From a stored run of benchmarks/planted_gates.py.", "name": "fig-failing"}, "image": {"alt": "Two gates on a clean set, which they pass, and on two sets with planted faults"}}
from dhs.book.results import stored_benchmark

figures.failing_gates(stored_benchmark("planted_gates"))

# %% [markdown]
# ## Is the added light where the lens put it?
#
# Stamp minus control is the arc and its shot noise, whatever made it. The stored parameters make the arc again. A kernel
# off its centre, a pixel of misalignment, a wrong unit or a wrong Einstein radius shows in single arcs, whether or not a
# classifier notices. {glue:text}`gate_core_fraction_says`
#
# Closure of flux and centroid: {glue:text}`gate_closure_says`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Share of the added r-band light in the core, by Einstein radius, as found in the stamps and rendered again.", "name": "fig-core-fraction"}, "image": {"alt": "Core fraction by Einstein radius, stored against rendered again"}}
figures.core_fractions(figures.gate_of(report, "arc_core_fraction"))

# %% [markdown]
# The same on arcs that others injected into real HSC galaxies, where they are at hand. No lens parameters came with
# them, so nothing can be rendered again; a shift of the whole arc still shows in how its light lies about the galaxy.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Foreign arcs. Above: share of the arc's light within a radius, median as given and with planted shifts; grey lines are single arcs. Below: what the light in an aperture tells of the label, over all stamps and within pairs.", "name": "fig-foreign"}, "image": {"alt": "Cumulative light of arcs injected by others, as given and shifted, and concordance against marginal AUC by aperture"}}
figures.foreign_arcs(hsc_injections.measure(*hsc_injections.read()))

# %% [markdown]
# ## Seeing, depth, sky; and what found arcs look like
#
# {glue:text}`gate_conditions_says`
#
# {glue:text}`gate_photometry_says`
#
# ## Normalisation and radial profile

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Above: mean radial profile of stamps (solid) and controls (dashed) in units of the sky noise; the shaded annulus sets the normalisation. Below: noise measured in the annulus over the sky noise of the host.", "name": "fig-normalisation"}, "image": {"alt": "Radial profiles by band with the normalisation annulus shaded, and a histogram of noise ratios"}}
ids = pairs.table("train", ["pair_id"])["pair_id"].to_numpy()
chosen = np.random.default_rng(seed).permutation(ids)
positives, rows = by_pair(pairs, chosen[:400])
controls, _ = by_pair(pairs, chosen[:400], "control")
sigma = np.array([per_band(row, "sky_sigma") for row in rows])
figures.radial_profiles(radial_profiles(positives, controls, sigma, run.profile.train.annulus_px))
