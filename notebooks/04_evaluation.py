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
# # Evaluation: the test split, read once
#
# Thresholds, strata and margins are those of the plan that was registered before the split could be read
# ({glue:text}`plan`); with other settings the evaluation refuses. Intervals resample hosts, and sources where they are few, so two pairs that share a galaxy do not count as two.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
n_failures: int = 12  # stamps in each failure gallery

# %%
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs import storage

run = dhs.Run(run_dir, profile, seed)
pairs, result = run.inject(), run.evaluate()
evaluation = storage.read_json(run.path / "evaluation.json")
scores = storage.read_table(run.path / "scores.parquet")

# %% tags=["remove-input"]
for key, value in figures.glued(evaluation, "evaluation").items():
    glue(key, value, display=False)

# %% [markdown]
# ## Discrimination
#
# AUROC, positives against their paired controls: {glue:text}`auroc`. The baseline on the radial profile alone
# gives {glue:text}`baseline`. Against survey negatives, at the smallest false-positive rate the sample supports
# ({glue:text}`lowest_fpr`), the recall is {glue:text}`tpr_at_lowest_fpr`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "True-positive rate against false-positive rate for each kind of negative. Points: the tabled rates with 95 % intervals on threshold and recall. No rate is reported at which fewer than ten false positives are expected.", "name": "fig-rates"}, "image": {"alt": "Curves of true-positive rate against false-positive rate on a logarithmic axis, one per kind of negative"}}
figures.rates(scores, evaluation)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Logits by kind of stamp.", "name": "fig-scores"}, "image": {"alt": "Histograms of the network's logit for positives, controls, hard negatives and survey negatives"}}
figures.score_distributions(scores)

# %% [markdown]
# ## By Einstein radius, SNR and seeing

# %% tags=["hide-input"] mystnb={"figure": {"caption": "AUROC by stratum with 95 % intervals.", "name": "fig-strata"}, "image": {"alt": "Forest plot of AUROC by Einstein radius, signal-to-noise ratio and PSF width"}}
figures.strata(evaluation)

# %% [markdown]
# ## Does the network lean on the core?
#
# AUROC with the core masked: {glue:text}`core_masked`. Each pair is its own experiment: the same galaxy, the same
# arc, with and without the light at the centre.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: the logit of each positive with the core masked against that of the whole stamp; on the dotted line masking changes nothing. Right: AUROC of the whole stamp and under each counterfactual.", "name": "fig-core"}, "image": {"alt": "Scatter of core-masked against whole-stamp logit coloured by Einstein radius, and AUROC with intervals"}}
figures.core_effect(scores, evaluation)

# %% [markdown]
# ## Interventions
#
# A masked core is an image no telescope takes: its edge is itself a sign. So the arc's light at r < R is taken away
# before the PSF, where no seam is left, and the score of each pair is compared with its own
# ({numref}`fig-interventions`). Controls of the method: the same edge with nothing removed, and another draw of the
# noise. The change of the logit is {glue:text}`change_core_light_removed` without the core's light,
# {glue:text}`change_outer_pixels_swapped` without all the rest, {glue:text}`change_placebo_edge` for the edge alone. A
# plain ring of the arc's flux and colour in place of the arc: {glue:text}`change_ring_added`; the whole arc removed:
# {glue:text}`change_arc_removed`. A network that reads arcs loses little by the first and much by the last two.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: change of the logit per pair under each intervention; orange are the placebos. Middle: by Einstein radius, the core's light removed and the whole arc removed. Right: by the radius inside which the light is removed.", "name": "fig-interventions"}, "image": {"alt": "Change of logit with intervals for each intervention, by Einstein radius, and by radius of removal"}}
figures.interventions(evaluation.get("interventions") or {})

# %% tags=["hide-input"]
figures.interventions_table(evaluation.get("interventions") or {})

# %% [markdown]
# ## Calibration
#
# Expected calibration error as trained: {glue:text}`ece_before`; after a temperature of {glue:text}`temperature`
# fitted on the validation split: {glue:text}`ece_after`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Reliability diagram at the balance of the test split, not at the prevalence of the sky.", "name": "fig-reliability"}, "image": {"alt": "Fraction of positives against predicted probability, before and after temperature scaling"}}
figures.reliability(evaluation.get("calibration") or {})

# %% [markdown]
# ## Completeness

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Completeness over Einstein radius and matched SNR, at the threshold of the smallest supported false-positive rate. Each cell: value and number of pairs.", "name": "fig-completeness"}, "image": {"alt": "Heat map of completeness over Einstein radius and signal-to-noise ratio"}}
figures.completeness_map(evaluation.get("completeness") or {})

# %% [markdown]
# ## Failures
#
# The positives with the lowest score, and the negatives with the highest.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False negatives: the lowest-scored positives, with logit, Einstein radius and matched SNR.", "name": "fig-false-negatives"}, "image": {"alt": "Gallery of stamps with injected arcs that the network scored lowest"}}
missed = figures.worst(scores, "positive", n_failures)
titles = [f'{r.logit:.1f}; {r.theta_e_arcsec:.1f}", {r.arc_snr_matched:.0f}' for r in missed.itertuples()]
figures.gallery(figures.by_pair(pairs, missed["pair_id"])[0], titles, "lowest-scored positives")

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the paired controls, with logit.", "name": "fig-false-positives"}, "image": {"alt": "Gallery of galaxies without arcs that the network scored highest"}}
wrong = figures.worst(scores, "control", n_failures)
figures.gallery(
    figures.by_pair(pairs, wrong["pair_id"], "control")[0],
    [f"{x:.1f}" for x in wrong["logit"]],
    "highest-scored controls",
)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the hard negatives, with logit.", "name": "fig-false-hard"}, "image": {"alt": "Gallery of shuffled-arc stamps that the network scored highest"}}
wrong = figures.worst(scores, "hard_negative", n_failures)
figures.gallery(
    figures.by_pair(pairs, wrong["pair_id"], "hard_negative")[0],
    [f"{x:.1f}" for x in wrong["logit"]],
    "highest-scored hard negatives",
)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the survey negatives (mock), with kind and logit.", "name": "fig-false-survey"}, "image": {"alt": "Gallery of mock survey galaxies without arcs that the network scored highest"}}
wrong = figures.worst(scores, "survey_negative", n_failures)
figures.gallery(
    figures.of_survey_negatives(run.profile.evaluate.n_survey_negatives, run.profile.seed, wrong["host_id"]),
    [f"{r.subkind}, {r.logit:.1f}" for r in wrong.itertuples()],
    "highest-scored survey negatives",
)
