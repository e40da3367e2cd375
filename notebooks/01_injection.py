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
# # How a pair is made
#
# A pair is one galaxy stamp (`control`) and the noiseless lensed arc that was added to it (`arc`). The positive is
# `stamp = control + arc + shot noise of the arc`. Here the set of this run is made, and what the renderer, the gain and the
# priors do is shown.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; made if it is not there
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run
n_shown: int = 6  # pairs in the grid
n_checked: int = 24  # lenses of the comparison with lenstronomy
n_population: int = 200  # pairs drawn from the population

# %%
import dhs
import dhs.figures as figures
from dhs.book import stamps
from dhs.book.parameters import refuse_unknown
from dhs.book.results import stored_benchmark
from dhs.injection.sources.open import open_sources

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
pairs = run.inject()
table = pairs.table()

# %% [markdown]
# The set holds {number}`pairs.n_pairs` pairs. Hosts are {number}`pairs.hosts_kind`: {number}`pairs.hosts_per_split`.
# Sources are {number}`pairs.sources_kind`: {number}`pairs.sources_per_split`. {number}`pairs.mock_label`
#
# ## One pair, built up

# %% tags=["hide-input"] mystnb={"figure": {"caption": "One pair: the twin, the source before lensing, the noiseless arc in colour, the stamp; then the arc in g, r and z, each through its own PSF, on one square-root scale; and what remains when twin and arc are taken from the stamp: the arc's shot noise.", "name": "fig-build-up"}, "image": {"alt": "Eight panels: host galaxy, unlensed source, colour arc, the finished stamp, the arc in three bands, and a noise residual"}}
candidates = [pairs[i] for i in range(min(64, len(pairs)))]
row = max(
    candidates, key=lambda r: min(r["magnification"], 6) * min(r["theta_e_arcsec"], 1.8) * min(r["arc_snr_maxpix"], 40)
)
sources = open_sources(run.profile.sources, run.profile.seed)
source = sources.read(sources.ids.index(row["source_id"]))
figures.pair_build_up(stamps.with_stamp(row), source.image, source.pixel_scale)

# %% [markdown]
# ## How exact the renderer is
#
# Rays are shot once for all bands, and only where the source can land; each band's PSF is applied in Fourier space.
# lenstronomy is the reference: `render_arc(..., method="lenstronomy")` makes the same arc with its ray shooting and
# interpolation and a convolution on the sub-pixel grid.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Fast renderer against lenstronomy, on the sources of this run. Above: the draw with the greatest error, and the difference. Below: greatest pixel error over the peak, flux error and centroid shift of every draw; dashed, the bound of 1e-3.", "name": "fig-agreement"}, "image": {"alt": "A lensed arc, a difference map of noise-like structure far below one thousandth, and three columns of points below a dashed line"}}
from dhs.book.studies import renderer_checks

agreement = renderer_checks.agreement(sources, n_checked, seed, run.profile.injection.supersampling)
figures.renderer_agreement(agreement)

# %% [markdown]
# A finite number of rays a pixel is the larger error. It is set by the most compact sources, whose light changes within a
# sub-pixel: at this run's number of sub-pixels the worst arc is off by far more than the bound above, the median arc is
# not ({numref}`fig-convergence`).

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Error against 16 sub-pixels a side, for the sources of this run: median (solid) and worst (dotted) over lenses.", "name": "fig-convergence"}, "image": {"alt": "Four falling lines on logarithmic axes of error against number of sub-pixels, with the value of this run marked"}}
convergence = renderer_checks.convergence(sources, n_checked, seed)
figures.convergence(convergence, run.profile.injection.supersampling)

# %% [markdown]
# Against known answers: behind an isothermal sphere a point at $\beta$ has images at $\theta_E \pm \beta$ with
# magnifications $\theta_E / \beta \pm 1$ ({numref}`fig-closure`). So what is added is what the lens equation asks for.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Rendered over analytic for a small round source behind an isothermal sphere, in parts of 10,000.", "name": "fig-closure"}, "image": {"alt": "Four nearly flat lines within a few parts in ten thousand of zero, against source offset"}}
figures.closure(renderer_checks.closure())

# %% [markdown]
# ## Electrons per nanomaggy
#
# The arc brings photon noise, and how much depends on the gain of the coadd. It is derived per stamp and band from the sky
# noise: $\mathrm{gain} = \mathrm{sky\ brightness} / \sigma^2$. An earlier experiment on Poisson noise assumed 150
# electrons per nanomaggy {cite:p}`Balaji2026`. With that the arc's own noise exceeds the sky's several times over; with
# the derived gain it stays below it. So that experiment tested the assumed gain, not the arcs.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Above: gains of this set, and the value assumed before. Below: the arc's shot noise over the sky noise in its brightest r pixel, for both.", "name": "fig-gain"}, "image": {"alt": "Histogram of gains near ten to the four and above with a dashed line at 150, and a scatter of noise ratios"}}
figures.gain(table)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Photon-transfer curves of real DECam fields in r, with the slope measured (solid) and the one derived from the sky noise for a dark sky (dotted); a brighter night lies below its dotted line.", "name": "fig-photon-transfer"}, "image": {"alt": "Variance against brightness of real fields, with lines"}}
from dhs.book.studies.photon_transfer import field_curves

figures.photon_transfer(field_curves())

# %% [markdown]
# ## Three priors
#
# Under the **joint** prior a lens belongs to its galaxy. The velocity dispersion follows the host's luminosity
# (Faber-Jackson with its scatter {cite:p}`Bernardi2003`, within 100 to 400 km/s {cite:p}`Choi2007`), the Einstein radius
# follows from it and the two redshifts, and unlensed sources keep to magnitudes that counts allow. Training needs more wide
# and bright lenses than there are: the draw prefers massive ones by a power of the velocity dispersion, magnified ones as
# counts say, and the arc's signal-to-noise ratio falls less steeply than counts would have it. The **population** takes the
# same lenses by their cross-section and keeps each source's own flux; every row holds the weight that turns it into the
# population. The **response grid** is uniform in Einstein radius and logarithm of SNR whatever the galaxy: even coverage,
# not lenses.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "This set beside the other priors (the same hosts and sources, drawn afresh).", "name": "fig-priors"}, "image": {"alt": "Four panels of step histograms: the population has smaller Einstein radii and fainter arcs than the joint prior and the response grid"}}
from dhs.datasets.fresh import FreshPairs

drawn = {run.profile.injection.prior.replace("_", " "): table}
for prior in ("population", "response_grid"):
    if prior != run.profile.injection.prior:
        other = FreshPairs(run.profile, injection__prior=prior, injection__n_pairs=n_population)
        drawn[prior.replace("_", " ")] = other.table("train")
figures.priors(drawn)

# %% [markdown]
# What a lens must weigh is the test: with Einstein radii that know nothing of the galaxy, many of the velocity dispersions
# needed are of no galaxy.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Draws of each prior, from the stored study. Dashed: the greatest velocity dispersion of the measured functions.", "name": "fig-prior-study"}, "image": {"alt": "Four panels of histograms: the response grid needs velocity dispersions far beyond 400 km/s and unlensed sources brighter than counts allow, the joint prior does not"}}
study = stored_benchmark("priors")
figures.prior_study(study)

# %% tags=["hide-input"]
figures.prior_table(study)

# %% [markdown]
# ## Pairs across the set

# %% tags=["hide-input"] mystnb={"figure": {"caption": "One column is one galaxy: its twin without an arc, with the arc, and with a look-alike in the arc's place. Above each column: the Einstein radius. The bar is 3 arcsec.", "name": "fig-pairs"}, "image": {"alt": "Three rows of small colour pictures: galaxies without arcs, with arcs, and with look-alikes"}}
from dhs.book.studies import one_galaxy

figures.pair_columns(one_galaxy.columns(pairs, n_shown))

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The kinds of look-alike, a row each. No kind is the image of a source behind a lens.", "name": "fig-look-alikes"}, "image": {"alt": "Rows of stamps, one kind of look-alike a row"}}
figures.look_alikes(one_galaxy.decoys(pairs))

# %% [markdown]
# ## What the set covers
#
# The two measures of an arc's SNR are different quantities: that of its brightest pixel in r, in which arcs are drawn, and
# that of a matched filter over all bands, in which completeness is mapped.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "The two measures of signal-to-noise of this set's arcs.", "name": "fig-coverage"}, "image": {"alt": "Scatter of matched SNR against maximum-pixel SNR on logarithmic axes"}}
figures.snr_scatter(table)

# %% [markdown]
# Of the draws {number}`pairs.acceptance` were accepted; each other one was rejected for one reason, and counted. Look-alikes:
# {number}`pairs.hard_kinds`.

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Sky noise and PSF width of the hosts in g, r and z.", "name": "fig-hosts"}, "image": {"alt": "Histograms of sky noise and of PSF width by band"}}
figures.host_conditions(table)

# %% [markdown]
# ## Speed and size
#
# On two cores some {number}`pairs.bench_rate` pairs are made a second where a set has few galaxies, half of that with
# look-alikes; a pair of few galaxies takes {number}`pairs.bench_kb` kB on disk, because its galaxy is stored with others
# like it (`python benchmarks/injection.py`). With a galaxy of its own for each pair both are several times dearer:
# [](07_scale) has those numbers.
