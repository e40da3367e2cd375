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
# # Injection: from one galaxy and one source to a set of pairs
#
# A pair is one galaxy stamp (`control`) and the noiseless lensed arc that was added to it (`arc`). The positive is
# `stamp = control + arc + shot noise of the arc`. This notebook makes the set and shows what is in it.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; made if it is not there
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
n_shown: int = 6  # pairs in the grid

# %%
from myst_nb import glue

import dhs
import dhs.figures as figures
from dhs.injection.sources import open_sources

run = dhs.Run(run_dir, profile, seed)
pairs = run.inject()
table = pairs.table()
pairs

# %% tags=["remove-input"]
for key, value in figures.glued(pairs.manifest, "pairs").items():
    glue(key, value, display=False)

# %% [markdown]
# The set holds {glue:text}`n_pairs` pairs: {glue:text}`n_train` for training, {glue:text}`n_val` for validation,
# {glue:text}`n_test` for the test. Hosts: {glue:text}`hosts_kind`, {glue:text}`hosts_per_split`. Sources:
# {glue:text}`sources_kind`, {glue:text}`sources_per_split`. {glue:text}`mock_label`
#
# Limits of the sources: {glue:text}`sources_limits`.
#
# ## One pair, built up

# %% tags=["hide-input"] mystnb={"figure": {"caption": "One pair. Top: the control, the source before lensing, the noiseless arc in colour, the stamp. Bottom: the arc in g, r and z, each through its own PSF, on one square-root scale; and what remains after control and arc are taken from the stamp: the arc's shot noise.", "name": "fig-build-up"}, "image": {"alt": "Eight panels: host galaxy, unlensed source, colour arc, the finished stamp, the arc in three bands, and a noise residual"}}
candidates = [pairs[i] for i in range(min(64, len(pairs)))]
row = max(
    candidates, key=lambda r: min(r["magnification"], 6) * min(r["theta_e_arcsec"], 1.8) * min(r["arc_snr_maxpix"], 40)
)
sources = open_sources(run.profile.sources, run.profile.seed)
source = sources.read(sources.ids.index(row["source_id"]))
figures.pair_build_up(row, source.image, source.pixel_scale)

# %% [markdown]
# ## Pairs across the set

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Controls, noiseless arcs and stamps of pairs spread over the whole set. Titles: Einstein radius and matched SNR. The bar is 3 arcsec.", "name": "fig-pairs"}, "image": {"alt": "Three rows of small colour pictures: galaxies without arcs, arcs alone, galaxies with arcs"}}
figures.pair_grid(pairs, n_shown)

# %% [markdown]
# ## What the set covers
#
# The two measures of arc SNR are different quantities. `arc_snr_maxpix` is the largest ratio of arc to noise in any
# r-band pixel; the response grid is drawn in it. `arc_snr_matched` is that of a matched filter over all bands;
# completeness is mapped in it.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Einstein radius, the two SNR measures, magnification and lens axis ratio of the accepted pairs, by split.", "name": "fig-coverage"}, "image": {"alt": "Four panels: three histograms by split and a scatter of matched SNR against maximum-pixel SNR on logarithmic axes"}}
figures.parameter_coverage(table)

# %% [markdown]
# ## What was rejected
#
# {glue:text}`acceptance` of the draws were accepted. Each other draw was rejected for one reason, and counted.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Draws by outcome. Grey: rejected draws, and hard negatives that were not made, by reason.", "name": "fig-rejections"}, "image": {"alt": "Bar chart of accepted draws and of rejected draws by reason"}}
figures.rejections(pairs.manifest)

# %% [markdown]
# ## The observing conditions of the hosts

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Sky noise and PSF width of the hosts in g, r and z, and where the hosts lie on the sky.", "name": "fig-hosts"}, "image": {"alt": "Histograms of sky noise and of PSF width by band, and a map of host positions"}}
figures.host_conditions(table)
