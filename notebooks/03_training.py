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
# # Training: one ResNet-18, every monitor in plain sight
#
# The network is trained on positives against paired controls and hard negatives. Validation picks the epoch; the
# test split is not read here.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; a missing pairs set is made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
epochs: int = 0  # 0: as in the profile

# %%
import yaml
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs import storage

run = dhs.Run(run_dir, profile, seed)
result = run.train(epochs=epochs or None)
result

# %% tags=["remove-input"]
config = yaml.safe_load(storage.read_bytes(run.path / "train" / "config.yaml"))
for key, value in figures.glued({"history": result.history, "config": config}, "training").items():
    glue(key, value, display=False)

# %% [markdown]
# {glue:text}`arch`, channels {glue:text}`channels`, first weights {glue:text}`weights`. Batch
# {glue:text}`batch_size`, learning rate {glue:text}`lr`, weight decay {glue:text}`weight_decay`, hard negatives
# {glue:text}`hard_negative_ratio` of the negatives, core dropout with probability {glue:text}`core_dropout_prob`.
# After {glue:text}`epochs` epochs the validation loss stands {glue:text}`loss_gap` above the training loss. Best
# epoch: {glue:text}`best_epoch`, validation AUROC {glue:text}`best_val_auroc`. That epoch was chosen by this very
# number, so it flatters a little; the test split of the next chapter had no part in the choice.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Every monitor by epoch. The core-masked AUROC is measured at some epochs only.", "name": "fig-training"}, "image": {"alt": "Panels of loss, AUROC overall and by Einstein radius, core-masked AUROC, hard-negative accuracy, gradient norm and learning rate against epoch"}}
figures.training_curves(result.history)
