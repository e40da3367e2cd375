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
# # Training and what it costs
#
# The network of this run is trained on positives against paired controls and look-alikes. Validation picks the epoch; the
# test split is not read here.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; a missing pairs set is made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
epochs: int = 0  # 0: as in the profile

# %%
import dhs
import dhs.figures as figures
from dhs.artefacts.training import read_settings
from dhs.book.parameters import refuse_unknown
from dhs.models.attribution import attribute
from dhs.validation.ablation.ablate import Ablation

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
result = run.train(epochs=epochs or None)
config = read_settings(run.path / "train")
ablation = Ablation.find(run.path / "ablation", config.resolved["content_hash"])

# %% [markdown]
# {number}`training.says_network` Batches hold {number}`training.batch_size` stamps, the learning rate begins at
# {number}`training.lr`, a share of {number}`training.hard_negative_ratio` of the negatives are look-alikes, and the core
# is dropped with probability {number}`training.core_dropout_prob`.
#
# {number}`training.says_gap` The best epoch is {number}`training.best_epoch`, with a validation AUROC of
# {number}`training.best_val_auroc` against twins. That epoch was chosen by this very number, so it flatters a little; the
# test split of the other chapters had no part in the choice, and its AUROC differs for that reason.
#
# {number}`training.says_lookalikes`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Loss, AUROC and how look-alikes fare, by epoch. Core-masked and core-swapped AUROC are measured at some epochs only.", "name": "fig-training"}, "image": {"alt": "Loss, AUROC and the share of look-alikes called no lens, by epoch"}}
figures.training_curves(result.history)

# %% [markdown]
# ## What the network looks at
#
# The path of the integrated gradients {cite:p}`Sundararajan2017` starts at a pair's own control and ends at its positive.
# So the contributions of all pixels add up to what the arc did to the logit; what the galaxy alone does is in neither.
# They describe, and do not prove: the interventions of [chapter 3](04_evaluation) do.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Positive, control, noiseless arc, and the contribution of each pixel to the rise of the logit from control to positive, bands summed. Pairs from the largest rise to the smallest. Dotted: the Einstein radius.", "name": "fig-attribution"}, "image": {"alt": "Rows of four stamps: lens, control, arc, and a red and blue map of attributions with the Einstein radius as a dotted circle"}}
seen = attribute(result.best, run.inject())
figures.attributions(seen)

# %% [markdown]
# Where attribution follows the light of the arc, the network reads the arc; where it lies to the left of it, the core.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Where attribution lies beside where the light of the arc lies, by radius in units of the Einstein radius. A network that reads the arc follows its light; one that reads the core lies to the left of it.", "name": "fig-attribution-profile"}, "image": {"alt": "Two curves of share against radius over Einstein radius with bands, arc light and absolute attribution"}}
figures.attribution_profile(seen)

# %% [markdown]
# ## What each ingredient is worth
#
# `dhs ablate` trains each variant with several seeds for the same number of epochs and scores all of them on the same
# test stamps. A bar is the interval of the paired difference; the ticks are single seeds. Where the ticks lie as far apart
# as the difference is large, the training's own chance explains it ({numref}`fig-ablation`).

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Each variant of the training against the one it is compared with: differences of AUROC, of the core-swap effect (what AUROC loses when positives are given the core of their control), and of recall. To the right is more. Intervals hold for each difference by itself.", "name": "fig-ablation"}, "image": {"alt": "Points with intervals and seed ticks for each training variant in panels of AUROC, core-swap effect and recall differences"}}
figures.ablation(ablation and ablation.table, run=str(run_dir))

# %% tags=["hide-input"]
figures.ablation_table(ablation and ablation.table)

# %% [markdown]
# ## What it costs
#
# On two cores training runs at {number}`training.bench_rate` stamps a second, {number}`training.bench_vs_plain` times as
# fast as a plain loop; reading stored pairs adds {number}`training.bench_reading` to a step (`python
# benchmarks/training.py`, a small set of its own). At the plan's size a graphics processor is worth its price:
# {number}`plan_on_gpu.hours` for pairs and fifty epochs.
#
# Two processes that share each batch end an epoch with a training loss that differs from one process's by
# {number}`training.bench_ddp_live`, because each sees the statistics of half a batch; with frozen BatchNorm the
# difference is {number}`training.bench_ddp_frozen`.
