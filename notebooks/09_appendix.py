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
# # Strata, failures and their causes
#
# What stands behind the two chapters on the network: every stratum, the causes of misses and false alarms, the galleries,
# and how far the intervals can be trusted. Nothing here changes the verdicts; it says where they come from.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %%
import dhs
import dhs.figures as figures
from dhs import storage
from dhs.artefacts.report import read
from dhs.book import stamps
from dhs.book.parameters import refuse_unknown
from dhs.book.studies.interval_coverage import table as simulated

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
pairs, result = run.inject(), run.evaluate()
evaluation = read(run.path / "evaluation.json")
scores = storage.read_table(run.path / "scores.parquet")

# %% [markdown]
# ## By Einstein radius, SNR, seeing, depth and host
#
# Each stratum is tested against all other pairs, and the p-values are adjusted over all strata (Holm). From the smallest
# Einstein radii to the largest the AUROC goes from {number}`evaluation.auroc_theta_e_lowest_bin` to
# {number}`evaluation.auroc_theta_e_highest_bin`, from the faintest arcs to the brightest from
# {number}`evaluation.auroc_snr_lowest_bin` to {number}`evaluation.auroc_snr_highest_bin`. For bright, wide arcs it is
# {number}`evaluation.bright_wide`: what is easy for the eye should be easy for a network.
#
# Weighted to the lens population (velocity dispersions, source counts) the AUROC against survey negatives is
# {number}`evaluation.population_auroc`; the weights leave as much information as
# {number}`evaluation.population_n_effective` positives would have.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "By signal-to-noise, Einstein radius and host magnitude, with 95 % intervals by host and source: AUROC against twins, and recall at the smallest supported false-positive rate, its threshold held fixed. Orange: all positives.", "name": "fig-strata"}, "image": {"alt": "AUROC and recall with intervals by signal-to-noise, Einstein radius and host magnitude"}}
figures.strata(evaluation)

# %% [markdown]
# ## Causes of misses
#
# {number}`evaluation.n_missed` arcs lie below the threshold of the smallest supported false-positive rate.
# {number}`evaluation.first_miss_cause`. Where nearly all arcs are missed every cause is common among them, so read the
# difference between the arcs with it and those without.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Above: share of arcs missed with and without each cause, number of misses in brackets. Below: share of each kind of negative above the threshold. Intervals by host and source.", "name": "fig-causes"}, "image": {"alt": "Two forest plots: miss rates with and without five causes, and false-alarm rates by kind of negative"}}
figures.failure_causes(evaluation.get("failures") or {})

# %% [markdown]
# What would help, cause by cause:

# %% tags=["hide-input"]
figures.fixes(evaluation.get("failures") or {})

# %% [markdown]
# ## Galleries
#
# The worst stamps of each cause, and the misses and false alarms grouped by the network's own features.

# %% tags=["hide-input"]
stamps.cause_galleries(evaluation.get("failures") or {}, pairs, run.profile.seed, run.profile.evaluate.survey_negatives)

# %% [markdown]
# ## Are injections like real lenses to the network?
#
# A linear probe on the features just before the last layer, real lenses against injections into galaxies matched in
# magnitude, colours and size, gives an AUC of {number}`evaluation.realism`. One half would be alike.
#
# In display pictures, {number}`evaluation.realism_matched` matched on each side, it gives
# {number}`evaluation.realism_display`, and two halves of the real set {number}`evaluation.realism_display_control`: the
# difference is {number}`evaluation.realism_excess`. Pictures carry no photometry, and where the hosts are mock the gap
# includes theirs.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The realism gap in display pictures, all through the same stretch: the probe on the network's features, probes on one family of measurements each, what the matching left, and the control on real stamps alone.", "name": "fig-realism"}, "image": {"alt": "Forest plot of the area under the curve of probes that tell real lenses from injections"}}
figures.realism_gap((evaluation.get("realism") or {}).get("display") or evaluation.get("realism") or {})

# %% [markdown]
# ## How far the intervals can be trusted
#
# Pairs were simulated with effects of host and source, hundreds of samples a design, so that a share is known to one or
# two hundredths; `python -m dhs.book.studies.interval_coverage` makes the stored table again. Below eight clusters on an axis no interval
# is given. For calibration and realism it is the p-value that is printed, and shown is how seldom it falls below one in
# twenty though nothing is amiss.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Share of simulated samples whose 95 % interval holds the truth: every kind of interval, by number of hosts and sources; weak: the source effect is a fifth of the host's.", "name": "fig-interval-coverage"}, "image": {"alt": "Table of coverages, kinds of interval against designs from 45,000 hosts and 300 sources down to 10 of either, those outside 0.93 to 0.97 in bold"}}
figures.coverage(simulated())

# %% [markdown]
# ## What an evaluation costs
#
# {number}`evaluation.evaluation_cost`
#
# ## What these pages took
#
# {number}`book.execution`
