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
# # At any size
#
# The same `dhs inject` runs in one process, in a pool or on a Spark cluster, from cutouts or coadd bricks, to a disk or to
# S3, and gives the same bytes. This page takes the rate of one core (`benchmarks/scale.py`, stored with the project) to a
# survey's hundred million cutouts, and says what would break first.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # not read: the measurement is stored with the project
profile: str = "demo"  # not read
seed: int = 20260  # not read
node_cores: int = 8  # cores of a node
core_price: float = 0.05  # US dollars for a core and hour; an assumption, put your provider's here

# %% tags=["remove-input"]
import dhs.figures as figures
from dhs.book.parameters import refuse_unknown
from dhs.book.results import stored_benchmark

refuse_unknown(globals())
measured, plan = stored_benchmark("scale"), stored_benchmark("plan_on_gpu")

# %% [markdown]
# ## Measured
#
# {number}`scale.scale_measured`
#
# {number}`scale.scale_growth` {number}`scale.scale_spark?`

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Wall time and peak memory of one run against its number of pairs; each point is a process of its own, start-up included.", "name": "fig-scale"}, "image": {"alt": "Two panels: wall time against pairs on logarithmic axes with a fitted power law, and peak memory against pairs"}}
figures.scaling(measured)

# %% [markdown]
# ## A plan for a hundred million cutouts
#
# {number}`scale.scale_needs` Parts are independent, so nodes divide the hours; the cost does not depend on their number.
# Reading real coadds is not in the measured rate: a brick's files are read once each.

# %% tags=["hide-input"]
figures.table(
    figures.scale_plan(measured, node_cores, core_price),
    {"nodes": "nodes", "cores": "cores", "hours": "hours", "cost_usd": "cost (US dollars)"},
    empty="not measured here: run benchmarks/scale.py",
)

# %% [markdown]
# ## The plan in full, on one graphics processor
#
# {number}`plan_on_gpu.run` {number}`plan_on_gpu.learning?` {number}`plan_on_gpu.finder?`
#
# {number}`plan_on_gpu.plan_recall` Against look-alikes its AUROC is {number}`plan_on_gpu.plan_hard_negatives`.
# {number}`plan_on_gpu.leaning?`
#
# {number}`plan_on_gpu.plateau`
#
# {number}`plan_on_gpu.limits` It was run once by `benchmarks/plan_on_gpu.py` and is stored with the project.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The seed's plan on one graphics processor. Upper left: validation AUROC by epoch. Upper right: recall on the test split against the false-positive rate on survey negatives. Lower left: recall by Einstein radius. Lower right: where the time of the first command went.", "name": "fig-plan-on-gpu"}, "image": {"alt": "Four panels: validation AUROC by epoch of the plan and of a smaller network, recall against false-positive rate, recall by Einstein radius, and bars of time by phase"}}
figures.plan_on_gpu(plan)

# %% [markdown]
# ## What breaks first
#
# 1. **The driver's memory.** It holds the plan, every slot with its host ({number}`scale.scale_held` for a hundred million pairs),
#    and the hosts' names again for the manifest. Run one data set a sky region (a sweep file is one), with the regions'
#    catalogues apart and one seed: splits follow from the sky, so the same host never lands in two.
# 2. **The number of objects.** Two a part. Raise `injection.pairs_per_part` for large runs, also because a brick with
#    more pairs than a part holds is opened once for each of its parts.
# 3. **The store's request rate.** A throttled store is asked again with back-off; fewer workers help, more retries
#    do not.
# 4. **Choosing hosts.** The catalogue is read by the driver, one file after another.
#
# An executor that is lost costs its unfinished parts. A driver that is lost costs nothing that was written:
# `--resume` goes on, with the same code and the same hosts, or refuses.
#
# ```bash
# dhs inject --engine spark --master yarn --hosts s3://anonymous@BUCKET/dr10/south --host-catalogue sweep.fits \
#     --sources s3://BUCKET/cosmos/catalog.fits --out s3://BUCKET/pairs/region --n-pairs 1000000 --seed 1
# ```
#
# Every worker needs this package in its Python, which `PYSPARK_PYTHON` names, and the store's credentials. A source
# catalogue in the store is copied to each machine's cache once; a local one must lie at the same path everywhere.
