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
# # Evaluation: the test split, every reading on record
#
# Thresholds, strata and margins are those of the plan that was registered before the split could be read
# ({glue:text}`plan`); with other settings the evaluation refuses. Intervals resample hosts, and sources wherever one serves more than one pair, so two pairs that share a galaxy do not count as two.

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
from dhs.artefacts.report import read
from dhs.book import stamps
from dhs.book.parameters import refuse_unknown
from dhs.book.results import stored_benchmark
from dhs.book.studies.interval_coverage import table as simulated

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
pairs, result = run.inject(), run.evaluate()
evaluation = read(run.path / "evaluation.json")
scores = storage.read_table(run.path / "scores.parquet")

# %% tags=["remove-input"]
benchmark = stored_benchmark("evaluation")
for key, value in figures.glued({**evaluation, "benchmark": benchmark}, "evaluation").items():
    glue(key, value, display=False)

# %% [markdown]
# ## Discrimination
#
# AUROC, positives against their paired controls: {glue:text}`auroc`. The baseline on the radial profile alone
# gives {glue:text}`baseline`. Against survey negatives, at the smallest false-positive rate the sample supports
# ({glue:text}`lowest_fpr`), the recall is {glue:text}`tpr_at_lowest_fpr`.
#
# Published recalls stand beside the curves. Each was measured on other lenses and other negatives, so a point above or
# below a curve ranks no network. At the top of the ranking: partial AUC up to a false-positive rate of
# {glue:text}`partial_auc_fpr`, {glue:text}`partial_auc`; before the first false positive (TPR0) {glue:text}`tpr0`;
# before the tenth (TPR10) {glue:text}`tpr10`; F1 at the prevalence of the sky {glue:text}`f1_at_prevalence`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "True-positive rate against false-positive rate for each kind of negative. Points: the tabled rates with 95 % intervals on threshold and recall. No rate is reported at which fewer than ten false positives are expected; curves are dotted there and end at one. Open symbols: published values on other data.", "name": "fig-rates"}, "image": {"alt": "Curves of true-positive rate against false-positive rate on a logarithmic axis, one per kind of negative"}}
figures.rates(scores, evaluation)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Logits by kind of stamp.", "name": "fig-scores"}, "image": {"alt": "Histograms of the network's logit for positives, controls, hard negatives and survey negatives"}}
figures.score_distributions(scores)

# %% [markdown]
# ## By Einstein radius, SNR, seeing, depth and host
#
# Each stratum is tested against all other pairs, and the p-values are adjusted over all strata (Holm). Weighted to the
# lens population (velocity dispersions, source counts), the AUROC against survey negatives is
# {glue:text}`population_auroc`. Effective positives: {glue:text}`population_n_effective`. Every number weighted to the
# population is one of the arcs within the SNR that was drawn: {glue:text}`population_above_floor` of the population.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "By stratum, with 95 % intervals by host and source: AUROC against controls, and recall at the smallest supported false-positive rate, its threshold held fixed. Orange: all positives.", "name": "fig-strata"}, "image": {"alt": "Forest plots of AUROC and of recall by Einstein radius, two signal-to-noise ratios, PSF width, depth and host magnitude"}}
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
# {glue:text}`change_outer_pixels_swapped` without all the rest, {glue:text}`change_placebo_edge` for the edge alone; the
# whole arc removed: {glue:text}`change_arc_removed`. What changes the arc's shape or colour keeps its matched SNR; what
# takes light away states what is left of it.
#
# Shares of the arc's effect say what the network goes by ({numref}`fig-shares`). A plain ring of the arc's colour and
# SNR has {glue:text}`share_ring` of it: that much is any light around a galaxy. The arc's colour against its galaxy's
# carries {glue:text}`share_colour`: an arc painted in the galaxy's colours loses that. The light in the core carries
# {glue:text}`share_core` of the effect and is {glue:text}`core_light` of the light.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: change of the logit per pair under each intervention; orange are the placebos. Middle: by Einstein radius, the core's light removed and the whole arc removed. Right: by the radius inside which the light is removed.", "name": "fig-interventions"}, "image": {"alt": "Change of logit with intervals for each intervention, by Einstein radius, and by radius of removal"}}
figures.interventions(evaluation.get("interventions") or {})

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Shares of the arc's effect on the logit. Left: over all pairs. Middle: what a plain ring in the arc's place has, by Einstein radius; 1 is the arc itself. Right: the core's share of the score's change and of the arc's light.", "name": "fig-shares"}, "image": {"alt": "Five shares with intervals, the ring's share by Einstein radius, and the core's share of score and light by Einstein radius"}}
figures.effect_shares(evaluation.get("interventions") or {})

# %% tags=["hide-input"]
figures.interventions_table(evaluation.get("interventions") or {})

# %% [markdown]
# ## Calibration
#
# The expected calibration error is a sum of absolute values, so that of perfect probabilities is not 0 either: beside
# each stands what perfect ones would have given on the same stamps, and how often chance gives them as much.
# As trained: {glue:text}`ece_before` (perfect {glue:text}`ece_before_null`, p = {glue:text}`ece_before_p`); after a
# temperature of {glue:text}`temperature` fitted on the validation split: {glue:text}`ece_after` (perfect
# {glue:text}`ece_after_null`, p = {glue:text}`ece_after_p`); after isotonic regression: {glue:text}`ece_isotonic`
# (perfect {glue:text}`ece_isotonic_null`, p = {glue:text}`ece_isotonic_p`). Brier score after the temperature:
# {glue:text}`brier`.
#
# For a survey, probabilities are fitted against survey negatives that serve nothing else, then moved to a prevalence
# of {glue:text}`prevalence`. Summed over the test split at that prevalence they promise {glue:text}`promised_lenses`
# lenses for each one that is there.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Reliability diagram at the balance of the test split, not at the prevalence of the sky, with Wilson intervals for as many independent stamps.", "name": "fig-reliability"}, "image": {"alt": "Fraction of positives against predicted probability, as trained and after temperature scaling and isotonic regression"}}
figures.reliability(evaluation.get("calibration") or {})

# %% [markdown]
# ## Purity at the prevalence of the sky

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Purity against completeness at the stated prevalence, threshold by threshold, as far as ten negatives lie above. Band: Wilson bounds of both rates. The lenses have the injected distribution, the negatives the mock proportions.", "name": "fig-purity"}, "image": {"alt": "Curve of purity against completeness on a logarithmic purity axis"}}
figures.purity_curve(evaluation.get("purity") or {})

# %% [markdown]
# ## Completeness
#
# At a false-positive rate of {glue:text}`completeness_fpr`, the smallest at which enough arcs are found to map. Overall,
# as drawn: {glue:text}`completeness`; weighted to the lens population: {glue:text}`completeness_population` of the
# {glue:text}`population_above_floor` that reach the SNR floor, so {glue:text}`completeness_unconditional` of all if none
# fainter is found. The smooth function is a logistic model with squares and interactions: {glue:text}`completeness_smooth`.
#
# `completeness.parquet` holds the cells over Einstein radius, SNR, seeing, depth and host magnitude, and the function:
# `CompletenessMap.read(path)(theta_e_arcsec=1.2, arc_snr_matched=50, psf_fwhm_r_arcsec=1.3, depth_r_mag=23.5,
# host_mag_r=20)`. It refuses values at which nothing was injected.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Completeness over Einstein radius and matched SNR. Each cell: value and number of pairs.", "name": "fig-completeness"}, "image": {"alt": "Heat map of completeness over Einstein radius and signal-to-noise ratio"}}
figures.completeness_map(evaluation.get("completeness") or {})

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: completeness over Einstein radius for bins of equal numbers in host magnitude. Middle and right: along Einstein radius and along host magnitude, as drawn and weighted to the population, of which only arcs above the drawn SNR count.", "name": "fig-completeness-host"}, "image": {"alt": "Completeness with intervals by Einstein radius for bright, middle and faint hosts, and under two priors along Einstein radius and host magnitude"}}
figures.completeness_by_host(evaluation.get("completeness") or {})

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The smooth completeness, to read values from. Left: contours at typical seeing and depth. Right: along the Einstein radius at one SNR, for good, typical and poor seeing, with pointwise 95 % bands; a published marginal for comparison where the file is at hand.", "name": "fig-completeness-smooth"}, "image": {"alt": "Labelled contours of completeness over Einstein radius and SNR, and curves of completeness against Einstein radius for three seeings"}}
figures.completeness_contours(run.completeness(), run.published_grid())

# %% [markdown]
# ## Are injections like real lenses to the network?
#
# A linear probe on the features just before the last layer, real lenses against injections into hosts matched in
# magnitude, colours and size. Flux cutouts: {glue:text}`realism`. Display pictures, {glue:text}`realism_matched` matched
# on each side: {glue:text}`realism_display`; two halves of the real set: {glue:text}`realism_display_control`; the
# difference: {glue:text}`realism_excess`. What separates them, p-values adjusted: {glue:text}`realism_names`. Pictures carry no photometry, and the hosts of this run may be mock: the
# gap then includes theirs.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The realism gap in display pictures, all through the same stretch: the probe on the network's features, probes on one family of measurements each, what the matching left, and the control on real stamps alone.", "name": "fig-realism"}, "image": {"alt": "Forest plot of the area under the curve of probes that tell real lenses from injections"}}
figures.realism_gap((evaluation.get("realism") or {}).get("display") or evaluation.get("realism") or {})

# %% [markdown]
# ## Failures
#
# Arcs missed at the threshold of the smallest supported rate: {glue:text}`n_missed`, of which {glue:text}`n_unexplained`
# have none of the causes below. The cause with the largest effect: {glue:text}`first_miss_cause`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: share of arcs missed with and without each cause, number of misses in brackets. Right: share of each kind of negative above the threshold. Intervals by host and source.", "name": "fig-causes"}, "image": {"alt": "Two forest plots: miss rates with and without five causes, and false-alarm rates by kind of negative"}}
figures.failure_causes(evaluation.get("failures") or {})

# %% [markdown]
# What would help, cause by cause:

# %% tags=["hide-input"]
figures.fixes(evaluation.get("failures") or {})

# %% [markdown]
# The worst stamps of each cause, and the misses and false alarms grouped by the network's own features:

# %% tags=["hide-input"]
stamps.cause_galleries(evaluation.get("failures") or {}, pairs, run.profile.seed, run.profile.evaluate.survey_negatives)

# %% [markdown]
# The positives with the lowest score, and the negatives with the highest.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False negatives: the lowest-scored positives, with logit, Einstein radius and matched SNR.", "name": "fig-false-negatives"}, "image": {"alt": "Gallery of stamps with injected arcs that the network scored lowest"}}
missed = stamps.worst(scores, "positive", n_failures)
titles = [f'{r.logit:.1f}; {r.theta_e_arcsec:.1f}", {r.arc_snr_matched:.0f}' for r in missed.itertuples()]
figures.gallery(stamps.by_pair(pairs, missed["pair_id"])[0], titles, "lowest-scored positives")

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the paired controls, with logit.", "name": "fig-false-positives"}, "image": {"alt": "Gallery of galaxies without arcs that the network scored highest"}}
wrong = stamps.worst(scores, "control", n_failures)
figures.gallery(
    stamps.by_pair(pairs, wrong["pair_id"], "control")[0],
    [f"{x:.1f}" for x in wrong["logit"]],
    "highest-scored controls",
)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the hard negatives, with logit.", "name": "fig-false-hard"}, "image": {"alt": "Gallery of shuffled-arc stamps that the network scored highest"}}
wrong = stamps.worst(scores, "hard_negative", n_failures)
figures.gallery(
    stamps.by_pair(pairs, wrong["pair_id"], "hard_negative")[0],
    [f"{x:.1f}" for x in wrong["logit"]],
    "highest-scored hard negatives",
)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "False positives among the survey negatives (mock), with kind and logit.", "name": "fig-false-survey"}, "image": {"alt": "Gallery of mock survey galaxies without arcs that the network scored highest"}}
wrong = stamps.worst(scores, "survey_negative", n_failures)
figures.gallery(
    stamps.of_survey_negatives(pairs, run.profile.seed, wrong["host_id"], run.profile.evaluate.survey_negatives),
    [f"{r.subkind}, {r.logit:.1f}" for r in wrong.itertuples()],
    "highest-scored survey negatives",
)

# %% [markdown]
# ## How far the intervals can be trusted
#
# Pairs simulated with effects of host and source, hundreds of samples a design, so that a share is known to one or two
# hundredths; `python -m dhs.book.studies.interval_coverage` makes the stored table again. Below eight clusters on an axis no interval is
# given. For calibration and realism it is the p-value that is printed, and shown is how seldom it falls below one in twenty though
# nothing is amiss.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Share of simulated samples whose 95 % interval holds the truth: every kind of interval, by number of hosts and sources; weak: the source effect is a fifth of the host's.", "name": "fig-interval-coverage"}, "image": {"alt": "Table of coverages, kinds of interval against designs from 45,000 hosts and 300 sources down to 10 of either, those outside 0.93 to 0.97 in bold"}}
figures.coverage(simulated())

# %% [markdown]
# ## What an evaluation costs
#
# Every stamp is scored whole and, on the test split, with its core masked; positives with three swaps as well. With
# interventions, realism probe, baselines and intervals (`python benchmarks/evaluation.py`): {glue:text}`evaluation_cost`
