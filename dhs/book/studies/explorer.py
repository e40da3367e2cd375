"""One galaxy of known light, lensed sources behind it, at radii, brightnesses and seeings: what a reader plays with."""

from __future__ import annotations

from itertools import product

import numpy as np

from dhs.injection.hard_negatives.azimuthal import azimuthal_blocks
from dhs.injection.lens import Lens
from dhs.injection.noise import shot_noise
from dhs.injection.render.reference import subgrid
from dhs.injection.render.render import METHODS
from dhs.injection.snr import snr_matched
from dhs.random import Stream, keyed
from dhs.survey.facts import BAND_NAMES, PIXEL_SCALE, STAMP, flux_from_mag

THETA_E = (0.8, 1.2, 1.8, 2.5)  # arcsec
SNR = (15, 50, 200)  # matched
SEEING = (1.0, 1.6)  # FWHM in r, arcsec
N_SOURCES = 3
GALAXY = {"mags": (21.0, 19.4, 18.5), "r_arcsec": 1.1, "q": 0.8, "phi": 0.5}  # a red galaxy at redshift one half or so
OFFSET = 0.22  # of the source from the optical axis, in Einstein radii
SUPERSAMPLING = 4
CROP = 44  # pixels shown


def galaxy_light(psfs, how) -> np.ndarray:
    """(3, 64, 64) de Vaucouleurs galaxy through the PSFs, without noise."""
    x, y = (v.reshape(STAMP * SUPERSAMPLING, -1) for v in subgrid(SUPERSAMPLING))
    c, s = np.cos(GALAXY["phi"]), np.sin(GALAXY["phi"])
    major, minor = c * x + s * y, (-s * x + c * y) / GALAXY["q"]
    radius = np.sqrt(GALAXY["q"]) * np.hypot(major, minor)
    light = np.exp(-7.67 * (np.maximum(radius, 0.05) / GALAXY["r_arcsec"]) ** 0.25)
    flux = np.array([flux_from_mag(m) for m in GALAXY["mags"]])
    return how.observe(light / light.sum(), psfs, SUPERSAMPLING) * flux[:, None, None]


def explore(sources, table, scorer, seed: int) -> dict:
    """Stamps and logits of every choice.

    Parameters
    ----------
    sources : source set
        `N_SOURCES` of them, spread over the set, are lensed.
    table : pyarrow.Table
        Scalars of a pairs data set: its median sky noise and gain are those of the stamps.
    scorer : dhs.models.score.Scorer
    seed : int
        Of the noise.

    Returns
    -------
    dict
        ``axes``: the values of each choice; ``stamps`` (n, 3, 44, 44), nanomaggies; ``control``, ``arc``, ``stamp``,
        ``decoy``: a list over the choices of (place in ``stamps``, logit or None), in the order of the axes.
    """
    how, rng = METHODS["fast"], keyed(seed, Stream.STUDY, 30)
    middle = {
        k: np.array([float(np.median(np.asarray(table[f"{k}_{b}"], float))) for b in BAND_NAMES])
        for k in ("sky_sigma", "gain")
    }
    sigma, gain = middle["sky_sigma"][:, None, None], middle["gain"]
    sky = rng.standard_normal((3, STAMP, STAMP)) * sigma
    chosen = [sources.read(i) for i in np.linspace(0, len(sources.ids) - 1, N_SOURCES).astype(int)]
    images, scored = [], []

    def keep(image: np.ndarray, score: bool = True) -> int:
        images.append(np.asarray(image, np.float32))
        scored.append(score)
        return len(images) - 1

    def noisy(light: np.ndarray) -> np.ndarray:
        return light + sky + shot_noise(light, gain, keyed(seed, Stream.STUDY, 31))

    out: dict[str, list] = {"control": [], "arc": [], "stamp": [], "decoy": []}
    for fwhm in SEEING:
        psfs = how.psf(None, np.full(3, fwhm), SUPERSAMPLING)
        galaxy = galaxy_light(psfs, how)
        variance = sigma**2 + galaxy / gain[:, None, None]
        out["control"].append((keep(noisy(galaxy)), keep(galaxy)))
        for theta, source in product(THETA_E, chosen):
            lens = Lens(theta, 0.75, GALAXY["phi"], 0.02, 0.0)
            light = how.light(lens, source, OFFSET * theta, 0.6 * OFFSET * theta, 0.0, SUPERSAMPLING)
            decoy = azimuthal_blocks(light, 0.0, 0.0, fwhm, PIXEL_SCALE / SUPERSAMPLING, keyed(seed, Stream.STUDY, 32))
            seen = [how.observe(x, psfs, SUPERSAMPLING) * source.flux[:, None, None] for x in (light, decoy)]
            for snr in SNR:
                arcs = [a * (snr / max(snr_matched(a, variance, 0.0), 1e-9)) for a in seen]
                out["arc"].append((keep(arcs[0], score=False),) * 2)
                for name, arc in zip(("stamp", "decoy"), arcs):
                    out[name].append((keep(noisy(galaxy + arc)), keep(galaxy + arc)))
    stamps = np.stack(images)
    logits = np.full(len(stamps), np.nan)
    logits[scored] = scorer.logits(stamps[np.array(scored)])
    edge = (STAMP - CROP) // 2
    axes = {"seeing": SEEING, "theta_e": THETA_E, "source": [s.source_id for s in chosen], "snr": SNR}
    axes = {k: list(v) for k, v in axes.items()}
    told = {"axes": axes, "stamps": stamps[:, :, edge:-edge, edge:-edge], "kind": "shuffled arc"}
    return told | {
        name: [[(i, None if np.isnan(logits[i]) else round(float(logits[i]), 2)) for i in pair] for pair in entries]
        for name, entries in out.items()
    }
