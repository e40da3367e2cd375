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
# # Light, or arcs?
#
# A network that was trained on fakes is asked what it goes by. Each pair is its own experiment: the same galaxy with and
# without its arc, with a ring in its place, with the light taken out of the core. At the end you can tell a network that
# sees arcs from one that sees that light was added.
#
# {number}`evaluation.says_counts` Intervals resample galaxies, and sources wherever one serves more than one pair, so two
# pairs that share a galaxy do not count as two. Thresholds, strata and margins are those of the plan that was registered
# before the split could be read ({number}`evaluation.plan`); with other settings the evaluation refuses.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %%
import dhs
import dhs.figures as figures
from dhs import storage
from dhs.artefacts.report import read
from dhs.book.parameters import refuse_unknown

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
pairs, result = run.inject(), run.evaluate()
evaluation = read(run.path / "evaluation.json")
scores = storage.read_table(run.path / "scores.parquet")

# %% [markdown]
# ## Against its twin, and against a look-alike
#
# The usual test sets a lensed galaxy against others. Pairs allow two sharper ones. Against its **twin**, the same galaxy
# without the arc, only the arc can decide. Against a **{term}`look-alike`**, a galaxy to which as much light was added in
# a form no lens makes, only the arc's shape can.
#
# {number}`evaluation.says_twins` Over all stamps the AUROC against twins is {number}`evaluation.auroc`; the radial profile
# alone reaches {number}`evaluation.baseline`, and the core alone {number}`evaluation.baseline_core`. So much any
# photometry gives. {number}`evaluation.says_above_baseline?`
#
# Against look-alikes it is {number}`evaluation.hard_negatives`. {number}`evaluation.says_lookalikes`
# {number}`evaluation.says_called_lenses`
#
# {number}`evaluation.says_by_kind`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Logits by kind of stamp: all, the middle half and the median. Dashed: the threshold at the smallest false-positive rate that the sample supports. Dotted: the logit at which a network ends that sees added light but no arcs.", "name": "fig-scores"}, "image": {"alt": "Logits of lenses, look-alikes by kind, survey galaxies and twins"}}
figures.score_distributions(scores, evaluation, run.profile.train.hard_negative_ratio)

# %% tags=["hide-input"]
from dhs.book.studies.explorer import explore
from dhs.injection.sources.open import open_sources
from dhs.models.score import Scorer

scorer = Scorer(run.checkpoint)
figures.explorer(explore(open_sources(run.profile.sources, run.profile.seed), pairs.table(), scorer, seed))

# %% [markdown]
# Where look-alikes lie level with the lenses no threshold parts them; a finder with this score sends an inspector both.
#
# ## Ask the network about the same galaxy
#
# Change one thing in a stamp, hold the rest, and read the logit again: that is an {term}`intervention`, and on one galaxy
# it can be seen by eye ({numref}`fig-one-galaxy`). Over all pairs it can be measured.
#
# A masked core is an image no telescope takes: its edge is itself a sign. So the arc's light at r < R is taken away
# before the PSF, where no seam is left, and the score of each pair is compared with its own. Two placebos stand beside:
# the same edge with nothing removed, and another draw of the noise.
#
# {number}`evaluation.says_placebo`
#
# The change of the logit is {number}`evaluation.change_arc_removed` when the whole arc is taken away,
# {number}`evaluation.change_core_light_removed` without the core's light, and
# {number}`evaluation.change_outer_pixels_swapped` without all the rest. {number}`evaluation.says_change_of_light`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "One galaxy, asked about its arc: what the network says when one thing is changed and the rest is held.", "name": "fig-one-galaxy"}, "image": {"alt": "One galaxy with its arc as it is, removed, turned, recoloured, replaced by a ring, and the logit under each"}}
from dhs.book.studies import one_galaxy

asked = one_galaxy.under_interventions(
    pairs, scorer, one_galaxy.chosen(pairs, scores), run.profile.evaluate.core_radius_px
)
figures.one_galaxy(asked[0]["tiles"] if asked else [])

# %% tags=["hide-input"]
figures.interventions_play(asked)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Change of the logit per pair under each intervention; orange are the placebos. Below: by Einstein radius, the core's light removed and the whole arc removed; then by the radius inside which the light is removed.", "name": "fig-interventions"}, "image": {"alt": "Change of logit with intervals for each intervention, by Einstein radius, and by radius of removal"}}
figures.interventions(evaluation.get("interventions") or {})

# %% [markdown]
# ## Does a ring do as well?
#
# A plain ring with the arc's flux, colour and signal-to-noise ratio has no shape that a lens makes. What it keeps of the
# arc's effect is what any light around a galaxy is worth to the network. Over all pairs it keeps
# {number}`evaluation.share_ring`.
#
# {number}`evaluation.says_ring`
#
# The arc's colour against its galaxy's carries {number}`evaluation.share_colour` of the effect: an arc painted in the
# galaxy's colours loses that. A finder that goes by colour will miss red sources.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Shares of the arc's effect on the logit: over all pairs; what a plain ring in the arc's place has, by Einstein radius, where 1 is the arc itself; the core's share of the score's change and of the arc's light.", "name": "fig-shares"}, "image": {"alt": "Five shares with intervals, the ring's share by Einstein radius, and the core's share of score and light by Einstein radius"}}
figures.effect_shares(evaluation.get("interventions") or {})

# %% [markdown]
# ## Does it lean on the core?
#
# The premise of this work was a shortcut: that a network may read the galaxy's core, where fakes differ from nature,
# and never look at the arc. Counter-images do fall there, so *some* weight on the core is right. The measure is the
# core's share of the effect beside its share of the light: over all pairs {number}`evaluation.share_core` and
# {number}`evaluation.core_light`.
#
# {number}`evaluation.says_core`
#
# {number}`evaluation.says_core_masked`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "AUROC of the whole stamp and under each counterfactual of its core, with 95 % intervals.", "name": "fig-core"}, "image": {"alt": "AUROC with intervals of the whole stamp and under counterfactuals of the core"}}
figures.core_effect(evaluation)

# %% [markdown]
# ## All interventions
#
# Changes of the arc's shape or colour keep its matched signal-to-noise ratio; what takes light away states what is left.

# %% tags=["hide-input"]
figures.interventions_table(evaluation.get("interventions") or {})

# %% [markdown]
# ## The same questions at a hundred times the size
#
# The plan was also run once with 300,000 pairs on a graphics processor and stored ([](07_scale)). Its network was trained
# with core dropout. {number}`plan_on_gpu.plan_twins` Against look-alikes its AUROC is
# {number}`plan_on_gpu.plan_hard_negatives`. {number}`plan_on_gpu.plan_lookalikes`
#
# {number}`plan_on_gpu.plan_ring`
#
# {number}`plan_on_gpu.plan_core`
#
# {number}`plan_on_gpu.leaning` So size teaches a network some shape, and a network that is not kept from the core
# goes there.
#
# ## Exercises
#
# ```{admonition} Exercise 1: Which number would you quote?
# :class: exercise
# A paper says: "our finder reaches an AUROC of 0.99 on held-out simulations". Name the one number of this chapter that
# you would ask its authors for, and why.
# ```
#
# ```{dropdown} Solution
# The AUROC against look-alikes (or, with pairs at hand, what of the arc's effect a plain ring keeps). An AUROC against
# other galaxies, or against twins, is reached by a network that sees only that light was added.
# ```
#
# ```{admonition} Exercise 2: A placebo
# :class: exercise
# Why is the arc's core light removed *before* the PSF, and not by copying the control's pixels at r < 5 px into the
# stamp?
# ```
#
# ```{dropdown} Solution
# A hard swap leaves a circular seam that no sky has, and the network may react to the seam. Light that is removed before
# the PSF leaves none; what the seam alone does is measured by the placebo.
# ```
