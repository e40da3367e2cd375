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
# Each gate gives a value with an interval, a threshold fixed before the data were seen, what it means and what to do.
# A blocking gate that fails is NO-GO. One that was skipped or is inconclusive caps the decision at CONDITIONAL-GO.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; a missing pairs set is made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
n_samples: int = 20  # stamps per class on the sample sheets

# %%
import numpy as np
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs import storage
from dhs.datasets.reader import per_band

run = dhs.Run(run_dir, profile, seed)
pairs, preflight = run.inject(), run.preflight()
report = storage.read_json(run.path / "preflight.json")

# %% tags=["remove-input"]
for key, value in figures.glued(report, "preflight").items():
    glue(key, value, display=False)

# %% [markdown]
# **Decision: {glue:text}`preflight_decision`.** Of {glue:text}`n_gates` gates, {glue:text}`n_pass` passed,
# {glue:text}`n_warn` warn, {glue:text}`n_fail` failed and {glue:text}`n_skip` were skipped. Failed:
# {glue:text}`gates_fail`. Warning: {glue:text}`gates_warn`. Skipped: {glue:text}`gates_skip`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "All gates. Each line has its own scale: the marker is the value, the bar its interval, the tick the threshold. Blue circle: pass; orange triangle: warn; red cross: fail; grey square: skipped. A star marks a blocking gate.", "name": "fig-gates"}, "image": {"alt": "One line per gate with status, value, interval and threshold"}}
figures.gate_overview(report)

# %% tags=["hide-input"]
figures.gate_table(report)

# %% [markdown]
# ## Core leakage
#
# A logistic regression sees the central pixels only. Arcs and counter-images do put light there, so an AUC above
# one half is not yet a fault: it is compared with what the noiseless arcs make one expect, and with a null in which
# the labels are swapped at random within pairs. Overall: {glue:text}`gate_core_leakage`; status
# {glue:text}`gate_core_leakage_status`. The intervals resample hosts with the classifier held fixed; they leave out
# the scatter of fitting it again, and the expectation takes a round source, so the margin is the yardstick, not them.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Core leakage by bin. Points: observed AUC with its interval. Grey: the null. Orange: what the noiseless arcs predict. Dotted: no leakage.", "name": "fig-core-leakage"}, "image": {"alt": "AUC of a classifier on the core, by bin, with null band and physical expectation"}}
figures.leakage(figures.gate_of(report, "core_leakage"))

# %% [markdown]
# ## Normalisation and radial profile

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Left: mean radial profile of stamps (solid) and controls (dashed) in units of the sky noise; the shaded annulus sets the normalisation. Right: noise measured in the annulus over the sky noise of the host.", "name": "fig-normalisation"}, "image": {"alt": "Radial profiles by band with the normalisation annulus shaded, and a histogram of noise ratios"}}
ids = pairs.table("train", ["pair_id"])["pair_id"].to_numpy()
chosen = np.random.default_rng(seed).permutation(ids)
stamps, rows = figures.by_pair(pairs, chosen[:400])
controls, _ = figures.by_pair(pairs, chosen[:400], "control")
sigma = np.array([per_band(row, "sky_sigma") for row in rows])
figures.radial_profiles(stamps, controls, sigma, run.profile.train.annulus_px)

# %% [markdown]
# ## Samples
#
# Drawn at random from the training split; the same pairs in each sheet where the class has them.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Positives.", "name": "fig-sample-positives"}, "image": {"alt": "Contact sheet of galaxy stamps with injected arcs"}}
figures.sample_sheet(stamps[:n_samples], label="positives")

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Controls: the same galaxies without the arc.", "name": "fig-sample-controls"}, "image": {"alt": "Contact sheet of the same galaxies without arcs"}}
figures.sample_sheet(controls[:n_samples], label="controls")

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Hard negatives: the arc's light in shuffled azimuthal blocks, before the PSF.", "name": "fig-sample-hard"}, "image": {"alt": "Contact sheet of galaxies with scrambled arc light"}}
hard = pairs.table("train", ["pair_id"], negatives=True)
hard_ids = hard["pair_id"].to_numpy()[:n_samples] if "pair_id" in hard.column_names else []
figures.sample_sheet(figures.by_pair(pairs, hard_ids, "hard_negative")[0], label="hard negatives")
