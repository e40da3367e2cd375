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
# # Sign-off: train? publish?
#
# Two questions, and a screen for each. What stands against either follows from the gates and the metrics by rules that are
# data (`signoff/rules.yaml`); each line has its remedy beside it, and what is already done is not recommended.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %% tags=["remove-cell"]
import dhs
from dhs.book.parameters import refuse_unknown

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
result = run.signoff()
result

# %% [markdown]
# ## Train?
#
# **{number}`signoff.train_decision`.** {number}`signoff.train_says`
#
# {number}`signoff.train_lines`
#
# ## Publish?
#
# **{number}`signoff.publish_decision`.** {number}`signoff.publish_says`
#
# {number}`signoff.publish_lines`
#
# ## What to change
#
# {number}`signoff.recommended_changes`
#
# ## What to do next, in this order
#
# {number}`signoff.priority_order`
#
# ## What it rests on
#
# Plan {number}`signoff.plan`, registered before the test split could be read. Every line with its number, file and bound
# is in `signoff.json`.
#
# Scaled from this run's own epochs the fifty of the plan take {number}`signoff.paper_train_hours` hours on the machine that
# made this copy, with whatever else it did; on a graphics processor pairs and epochs together take
# {number}`plan_on_gpu.hours`, scaled from the epochs that were run. So the plan is worth a borrowed one.
