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
# The same `dhs inject` runs in one process, in a pool or on a Spark cluster, from cutouts or coadd bricks, to a disk
# or to S3, and gives the same bytes. This page takes the rate of one core, measured by `benchmarks/scale.py` and
# stored with the package, to a survey's $10^8$ cutouts, and says what would break first.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # not read: the measurement is stored with the package
profile: str = "demo"  # not read
seed: int = 20260  # not read
node_cores: int = 8  # cores of a node
core_price: float = 0.05  # US dollars for a core and hour; an assumption, put your provider's here

# %% tags=["remove-input"]
from myst_nb import glue

import dhs.figures as figures

measured = figures.measured_scale()
for key, value in figures.glued(measured, "scale").items():
    glue(key, value, display=False)

# %% [markdown]
# ## Measured
#
# On {glue:text}`scale_date`, with {glue:text}`scale_cores` cores, mock hosts and the embedded sources:
# {glue:text}`scale_pairs` pairs in {glue:text}`scale_minutes` minutes with at most {glue:text}`scale_peak_gb` GB held
# by all processes together, {glue:text}`scale_kb` kB a pair on disk, {glue:text}`scale_rate` pairs for each second of
# a core. Wall time grows with the number of pairs to the power {glue:text}`scale_slope`. Spark on two cores is
# {glue:text}`scale_spark` times as fast as on one.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Wall time and peak memory of one run against its number of pairs; each point is a process of its own, start-up included.", "name": "fig-scale"}, "image": {"alt": "Two panels: wall time against pairs on logarithmic axes with a fitted power law, and peak memory against pairs"}}
figures.scaling(measured)

# %% [markdown]
# ## A plan for $10^8$ cutouts
#
# At that rate they take {glue:text}`scale_core_hours` core hours and {glue:text}`scale_tb` TB, in
# {glue:text}`scale_objects` million objects. Parts are independent, so nodes divide the hours; the cost does not
# depend on their number. Reading real coadds is not in the measured rate: a brick's files are read once each.

# %% tags=["hide-input"]
figures.table(
    figures.scale_plan(measured, node_cores, core_price),
    {"nodes": "nodes", "cores": "cores", "hours": "hours", "cost_usd": "cost (US dollars)"},
)

# %% [markdown]
# ## What breaks first
#
# 1. **The driver's memory.** It holds the plan, every slot with its host: {glue:text}`scale_plan_gb` GB for $10^8$
#    pairs, and the hosts' names again for the manifest. Run one data set a sky region (a sweep file is one), with the
#    regions' catalogues apart and one seed: splits follow from the sky, so the same host never lands in two.
# 2. **The number of objects.** Two a part. Raise `injection.pairs_per_part` for large runs.
# 3. **The store's request rate.** A throttled store is asked again with back-off; fewer workers help, more retries
#    do not.
# 4. **Choosing hosts.** The catalogue is read by the driver, one file after another.
#
# An executor that is lost costs its unfinished parts. A driver that is lost costs nothing that was written:
# `--resume` goes on, with the same code and the same hosts, or refuses.
#
# ```bash
# dhs inject --engine spark --master yarn --hosts s3://anonymous@BUCKET/dr10/south --host-catalogue sweep.fits \
#     --sources real_galaxy_catalog.fits --out s3://BUCKET/pairs/region --n-pairs 1000000 --seed 1
# ```
#
# Every worker needs this package (and, for a source catalogue, its files) in its Python; `PYSPARK_PYTHON` names it.
