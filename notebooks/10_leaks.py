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
# # Does a gate that fails foretell a network that leans?
#
# {number}`leaks.leaks_finding` {number}`leaks.leaks_missed` {number}`leaks.leaks_harmless`
#
# A gate finds a difference between positives and controls that is no arc. Whether a network cares is another question, and
# an experiment answers it: plant a leak, train, and see what the network has lost where the leak is absent, as it is
# on the sky ({numref}`fig-leak-onsets`).

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # not read: the experiment is stored with the project
profile: str = "demo"  # not read
seed: int = 20260  # not read

# %% tags=["remove-input"]
import dhs.figures as figures
from dhs.book.parameters import refuse_unknown
from dhs.book.results import stored_benchmark

refuse_unknown(globals())
leaks = stored_benchmark("leaks")

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Where gates begin to fail, and where networks begin to lose. A row for each kind of leak, its strength to the right. Marks: the strength from which a gate fails; at the left end of a row the faintest that was judged. Blue: the AUROC on clean pairs falls by less than 0.01; red: by more, its whole interval; grey: between the two, or not told apart. Ticks: strengths that networks were trained at.", "name": "fig-leak-onsets"}, "image": {"alt": "For eight kinds of leak the strength from which each gate fails, and from which networks lose"}}
figures.leak_onsets(leaks)

# %% [markdown]
# ## What was done
#
# {number}`leaks.leaks_run` Every network starts from weights of its own seed and sees as many stamps. The leak is in the
# positives alone, and what a leak is, is one function of the finished stamp: the same in training, at test and under the
# gates.
#
# Two numbers follow for each network. *What it lost* is the fall of its AUROC on clean test pairs against networks trained
# without a leak. *How far it leans* is the AUROC with which galaxies with the leak alone, and no arc, rank above galaxies
# without it, less what clean networks give, for a brighter core looks a little like an arc to any of them. Both have bounds;
# a ratio to the arc's own effect has none, for that effect vanishes in a network that has learnt the leak instead.
#
# ## Harm comes suddenly
#
# {number}`leaks.leaks_cliff`
#
# {number}`leaks.leaks_reported` So a held-out set from the same generator is no witness ({numref}`fig-leak-curves`).
#
# {number}`leaks.leaks_lean`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "AUROC of networks trained on sets with a leak, by its strength. Blue: on clean test pairs, with the 95 % interval of the fall over galaxies, sources and seeds. Orange: on a test set that has the leak as well. Grey: networks trained without.", "name": "fig-leak-curves"}, "image": {"alt": "One panel for each kind of leak: AUROC on clean pairs falling with strength, on pairs with the leak rising"}}
figures.leak_curves(leaks)

# %% [markdown]
# ## What the alarm is worth
#
# {number}`leaks.leaks_ahead`
#
# {number}`leaks.leaks_amplitude`

# %% tags=["hide-input"]
figures.leak_table(leaks)

# %% [markdown]
# {number}`leaks.leaks_pixels` Whoever can, should keep the arcs' parameters with a training set: with them a leak is found
# whatever its shape.
#
# ## Does the gate's value say how much?
#
# {number}`leaks.leaks_best` {number}`leaks.leaks_rank` Every leak that is planted stronger is both plainer to a gate and worse
# for a network, so some correlation is there by construction. The p-value asks for more, that the value tells kinds of leak
# apart: it is the share of all ways to exchange the kinds' gate values that correlate as well ({numref}`fig-leak-scatter`).

# %% tags=["hide-input"] mystnb={"figure": {"caption": "What each leak cost against how far a gate lies beyond its limit (dashed), a point for each kind and strength, with 95 % intervals. Above: the gate on texture. Below: the greater of the gates on core and radial profile.", "name": "fig-leak-scatter"}, "image": {"alt": "Two scatter plots of AUROC lost against the distance of a gate from its limit"}}
figures.leak_scatter(leaks)

# %% [markdown]
# ## What this can't show
#
# {number}`leaks.leaks_limits`
#
# It was run once by `benchmarks/leaks.py`, which says how, and is stored with the project.
#
# ## Exercises
#
# ```{admonition} Exercise 1: Why does a pedestal cost nothing?
# :class: exercise
# A pedestal in every positive is a difference that three gates see. What does the network's preprocessing do to it?
# ```
#
# ```{dropdown} Solution
# The sky of each stamp, taken from an annulus, is subtracted before the network sees it, so a constant is gone. Gates look
# at stamps as they are stored: another network, or another normalisation, would see it.
# ```
#
# ```{admonition} Exercise 2: A gate for look-alikes
# :class: exercise
# Look-alikes carried no leak here. Which gate would be silent if they did, and what would the network then learn?
# ```
#
# ```{dropdown} Solution
# The gate on texture compares positives with look-alikes, so it would see no difference. A network would meet the leak on
# both labels, as long as look-alikes are among its negatives: then the leak is of less use to it, but not of none, for
# plain controls are still without.
# ```
