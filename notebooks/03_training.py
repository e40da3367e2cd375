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
# # Training: one network, every monitor in plain sight
#
# The network is trained on positives against paired controls and hard negatives. Validation picks the epoch; the
# test split is not read here.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; a missing pairs set is made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
epochs: int = 0  # 0: as in the profile

# %%
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs.models.attribution import attribute
from dhs.validation.ablation.ablate import Ablation

run = dhs.Run(run_dir, profile, seed)
result = run.train(epochs=epochs or None)
result

# %% tags=["remove-input"]
from dhs.artefacts.training import read_settings
from dhs.book.results import stored_benchmark

config = read_settings(run.path / "train")
ablation = Ablation.find(run.path / "ablation", config.resolved["content_hash"])
record = {"history": result.history, "config": config, "ablation": ablation and ablation.table}
record["benchmark"] = stored_benchmark("training")
for key, value in figures.glued(record, "training").items():
    glue(key, value, display=False)

# %% [markdown]
# {glue:text}`arch`, channels {glue:text}`channels`, first weights {glue:text}`weights`. Batch
# {glue:text}`batch_size`, learning rate {glue:text}`lr`, weight decay {glue:text}`weight_decay`, hard negatives
# {glue:text}`hard_negative_ratio` of the negatives, core dropout with probability {glue:text}`core_dropout_prob`.
# After {glue:text}`epochs` epochs the validation loss less the training loss is {glue:text}`loss_gap`; the training
# loss is that of harder stamps, with hard negatives and dropped cores. Best epoch: {glue:text}`best_epoch`, validation
# AUROC {glue:text}`best_val_auroc`. That epoch was chosen by this very number, so it flatters a little; the test split
# of the next chapter had no part in the choice.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Loss, AUROC and how look-alikes fare, by epoch. Core-masked and core-swapped AUROC are measured at some epochs only.", "name": "fig-training"}, "image": {"alt": "Loss, AUROC and the share of look-alikes called no lens, by epoch"}}
figures.training_curves(result.history)

# %% [markdown]
# ## What the network looks at
#
# The path of the integrated gradients {cite:p}`Sundararajan2017` starts at a pair's own control and ends at its
# positive. So the contributions of all pixels add up to what the arc did to the logit; what the host alone does is
# in neither. Validation pairs with a matched SNR that can be seen.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Positive, control, noiseless arc, and the contribution of each pixel to the rise of the logit from control to positive, bands summed. Pairs from the largest rise to the smallest. Dotted: the Einstein radius.", "name": "fig-attribution"}, "image": {"alt": "Rows of four stamps: lens, control, arc, and a red and blue map of attributions with the Einstein radius as a dotted circle"}}
seen = attribute(result.best, run.inject())
figures.attributions(seen)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Where attribution lies beside where the light of the arc lies, by radius in units of the Einstein radius. A network that reads the arc follows its light; one that reads the core lies to the left of it.", "name": "fig-attribution-profile"}, "image": {"alt": "Two curves of share against radius over Einstein radius with bands, arc light and absolute attribution"}}
figures.attribution_profile(seen)

# %% [markdown]
# ## What each ingredient is worth
#
# `dhs ablate` trains each variant with several seeds for the same number of epochs and scores all of them on the same
# test stamps. A bar is the interval of the paired difference over hosts and sources of the test split; the ticks are
# single seeds. Where the ticks lie as far apart as the difference is large, the training's own chance explains it.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Each variant of the training against the one it is compared with: differences of AUROC, of the core-swap effect (what AUROC loses when positives are given the core of their control), and of recall. To the right is more. Intervals hold for each difference by itself.", "name": "fig-ablation"}, "image": {"alt": "Points with intervals and seed ticks for each training variant in panels of AUROC, core-swap effect and recall differences"}}
figures.ablation(ablation and ablation.table, run=str(run_dir))

# %% tags=["hide-input"]
figures.ablation_table(ablation and ablation.table)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Would more pairs help? AUROC and recall on the same test stamps against the number of training pairs, with 95 % intervals. From a stored run of benchmarks/learning_curve.py.", "name": "fig-learning-curve"}, "image": {"alt": "AUROC and recall against the number of training pairs"}}
figures.learning_curve(stored_benchmark("learning_curve"))

# %% [markdown]
# ## What it costs
#
# From the stored benchmark (`python benchmarks/training.py`), in {glue:text}`bench_precision` on two cores:
# {glue:text}`bench_rate` stamps a second where a plain loop in float32 over input held ready makes
# {glue:text}`bench_rate_plain`, {glue:text}`bench_vs_plain` times as many, at a validation AUROC of
# {glue:text}`bench_auroc` against {glue:text}`bench_auroc_plain`. Reading stored pairs adds {glue:text}`bench_loader`
# of a step; it decodes {glue:text}`bench_vs_v5` times as many pairs a second as the earlier layout allows. Scoring
# from nanomaggies runs at {glue:text}`bench_scoring` of the bare network's rate. Two processes that share each batch
# end an epoch with a training loss that differs from one process's by {glue:text}`bench_ddp_frozen` with frozen
# BatchNorm, and by {glue:text}`bench_ddp_live` with live BatchNorm, whose statistics are then those of half a batch.
