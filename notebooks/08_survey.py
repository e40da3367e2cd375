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
# # Would it find lenses in a survey?
#
# A survey holds one lens in some ten thousand galaxies, so what counts is the top of the ranking: how many arcs are found
# when one false alarm in a thousand galaxies is all that can be looked at. At the end you can turn a recall and a
# false-positive rate into the number of stamps an inspector must open for one lens.
#
# {number}`evaluation.says_counts`

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
n_failures: int = 6  # stamps in each failure gallery

# %%
import dhs
import dhs.figures as figures
from dhs import storage
from dhs.artefacts.report import read
from dhs.book import stamps
from dhs.book.parameters import refuse_unknown

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
pairs, result = run.inject(), run.evaluate()
evaluation = read(run.path / "evaluation.json")
scores = storage.read_table(run.path / "scores.parquet")

# %% [markdown]
# ## Recall, where a survey can afford it
#
# {number}`evaluation.says_recall` Against survey negatives over all thresholds the AUROC is
# {number}`evaluation.auroc_survey`, which says little: nearly all of it is earned where no survey can look.
#
# Published recalls stand beside the curves. Each was measured on other lenses and other negatives, so a point above or
# below a curve ranks no network.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "True-positive rate against false-positive rate for each kind of negative. Points: the tabled rates with 95 % intervals on threshold and recall. No rate is reported at which fewer than ten false positives are expected; curves are dotted there and end at one. Open symbols: published values on other data.", "name": "fig-rates"}, "image": {"alt": "Curves of true-positive rate against false-positive rate on a logarithmic axis, one per kind of negative"}}
figures.rates(scores, evaluation)

# %% tags=["hide-input"]
figures.threshold_slider(scores, run.profile.evaluate.prevalence)

# %% [markdown]
# ## Why the recall is what it is
#
# {number}`story.why_recall`
#
# {number}`story.highest` Look at them below, beside the arcs that were missed.

# %% tags=["hide-input"]
stamps.worst_galleries(scores, pairs, run.profile.seed, run.profile.evaluate.survey_negatives, n_failures)

# %% [markdown]
# ## One lens in how many candidates?
#
# {number}`evaluation.says_candidates` The share of lenses among candidates is the purity; at a prevalence of
# {number}`evaluation.prevalence` it is {number}`evaluation.purity` at the smallest supported false-positive rate. That
# the prevalence must enter is the point of {cite:t}`Rezaei2022`. For the person who looks, it is the only number that
# matters.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "How many candidates a person would look at for one lens, threshold by threshold, as far as ten negatives lie above. Band: Wilson bounds of both rates. The lenses have the injected distribution, the negatives the mock proportions.", "name": "fig-purity"}, "image": {"alt": "Lenses among the candidates against the share of lenses found"}}
figures.purity_curve(evaluation.get("purity") or {})

# %% [markdown]
# ## Which arcs are found?
#
# At a false-positive rate of {number}`evaluation.completeness_fpr`, the smallest at which enough arcs are found to map,
# {number}`evaluation.completeness` of the arcs are found as drawn, and {number}`evaluation.completeness_population` of
# the lens population above the signal-to-noise floor, which {number}`evaluation.population_above_floor` of it reach. The
# two differ because training needs more wide and bright lenses than there are.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Completeness over Einstein radius and matched SNR. Each cell: value and number of pairs.", "name": "fig-completeness"}, "image": {"alt": "Heat map of completeness over Einstein radius and signal-to-noise ratio"}}
figures.completeness_map(evaluation.get("completeness") or {})

# %% tags=["hide-input"]
figures.completeness_play(evaluation.get("completeness") or {})

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Completeness over Einstein radius for bins of equal numbers in host magnitude; then along Einstein radius and along host magnitude, as drawn and weighted to the population, of which only arcs above the drawn SNR count.", "name": "fig-completeness-host"}, "image": {"alt": "Completeness with intervals by Einstein radius for bright, middle and faint hosts, and under two priors along Einstein radius and host magnitude"}}
figures.completeness_by_host(evaluation.get("completeness") or {})

# %% [markdown]
# A smooth function of radius, SNR, seeing, depth and brightness was fitted as well (`CompletenessMap.read`, which refuses
# values at which nothing was injected). {number}`evaluation.completeness_smooth`; it rests on
# {number}`evaluation.n_found` found arcs, so quote it with its band.

# %% [markdown]
# ## Do the probabilities mean something?
#
# {number}`evaluation.says_calibrated` The error is a sum of absolute values, so that of perfect probabilities is not 0.
#
# {number}`evaluation.says_probabilities` For a survey, probabilities are fitted against survey negatives that serve
# nothing else, then moved to the prevalence; a probability that was fitted on a balanced set is no probability of a
# lens.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Reliability diagram at the balance of the test split, not at the prevalence of the sky, with Wilson intervals for as many independent stamps.", "name": "fig-reliability"}, "image": {"alt": "Fraction of positives against predicted probability, as trained and after temperature scaling"}}
figures.reliability(evaluation.get("calibration") or {})

# %% [markdown]
# ## Would more pairs help?
#
# {number}`stored.learning_curve`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Would more pairs help? AUROC and recall on the same test stamps against the number of training pairs, with 95 % intervals. From a stored run of benchmarks/learning_curve.py.", "name": "fig-learning-curve"}, "image": {"alt": "AUROC and recall against the number of training pairs"}}
from dhs.book.results import stored_benchmark

figures.learning_curve(stored_benchmark("learning_curve"))

# %% [markdown]
# The stored run on 300,000 pairs ([](07_scale)) gives the other end. {number}`plan_on_gpu.plan_recall`
# {number}`plan_on_gpu.limits`
#
# {number}`plan_on_gpu.finder_recall` That is the network that comes with the package; [](../book/score_a_survey.md)
# says how to use it and what for.
#
# {number}`stored.recipes`
#
# ## Exercises
#
# ```{admonition} Exercise 1: Stamps per lens
# :class: exercise
# A finder has a recall of 0.5 at a false-positive rate of 1 in 1,000, and one galaxy in 10,000 is a lens. How many
# candidates does an inspector open for each lens?
# ```
#
# ```{dropdown} Solution
# Of 10,000 galaxies half a lens and ten others pass: one lens in 21 candidates.
# ```
#
# ```{admonition} Exercise 2: How many negatives?
# :class: exercise
# How many unlensed galaxies must be scored before a false-positive rate of 1 in 10,000 may be quoted with ten expected
# false alarms?
# ```
#
# ```{dropdown} Solution
# A hundred thousand. To know that rate within a fifth, ten times as many.
# ```
