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
# # Sign-off
#
# The decision follows from the gates and the metrics by rules that are data (`signoff/rules.yaml`). Each line names the
# number, the file it stands in, and the bound.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %%
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs.artefacts.report import read

run = dhs.Run(run_dir, profile, seed)
result = run.signoff()
signoff = read(run.path / "signoff.json")

# %% tags=["remove-input"]
for key, value in figures.glued(signoff, "signoff").items():
    glue(key, value, display=False)

# %% tags=["hide-input"]
figures.decision_banner(signoff)

# %% tags=["hide-input"]
sheet = figures.signoff_table(signoff)
glue("signoff_table", sheet, display=False)
sheet

# %% [markdown]
# Two questions, two words. Is the set fit to train on? {glue:text}`set_verdict`. Is the network useful?
# {glue:text}`network_verdict`: it must tell arcs from decoys, find lenses at a false-positive rate a survey can afford,
# and not take a ring for an arc. Networks that have read the test split are counted; the best of several is a condition.
#
# Plan: {glue:text}`plan`. The paper-size run, projected from this one's timings: {glue:text}`paper_inject_hours` h to
# inject, {glue:text}`paper_train_hours` h to train, {glue:text}`paper_disk_gb` GB of disk.
#
# ## The questions that the documents answer

# %% tags=["hide-input"]
answers = figures.answers_table(signoff)
glue("answers_table", answers, display=False)
answers
