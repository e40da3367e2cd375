"""Source galaxies cut from the Hubble eXtreme Deep Field picture that scikit-image ships.

The picture (NASA/ESA, Illingworth et al. 2013, ApJS 209, 6) is a display JPEG. Its stretch is undone approximately
by a sinh. `SOFTENING` was chosen so that the half-light radius of the most compact isolated objects hardly grows
with their brightness (0.5 to 0.7 pixels over 8-bit peaks of 90 to 210; 0.6 to 1.0 in the picture as it is) and does
not fall below a pixel-wide PSF's. What the picture can't give is drawn: redshifts from the n(z) of faint galaxies
(`dhs.survey.colours.redshift_quantiles`) cut to `Z_RANGE`; r magnitudes from
dN/dm ~ 10^(`COUNT_SLOPE` m) cut to `R_RANGE`; colours from the templates of late-type galaxies at that redshift.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
from photutils.segmentation import detect_sources
from scipy import ndimage
from skimage import data

from dhs.config import SourcesConfig
from dhs.errors import Refusal
from dhs.injection.sources.base import Loaded, Unusable, source_catalogue
from dhs.injection.sources.cleaning import cut_out, denoise, split_neighbours, starlet
from dhs.injection.sources.source import Source
from dhs.random import of_text
from dhs.stats.pixels import MAD_TO_SIGMA, mad
from dhs.survey.colours import drawn_fluxes, redshift_quantiles

PICTURE = "skimage.data.hubble_deep_field"
PIXEL_SCALE = 0.14  # arcsec, approximately: the 2.3 arcmin of the field over 1000 pixels
SOFTENING = 4.0
Z_RANGE = (0.6, 3.0)
R_RANGE, COUNT_SLOPE = (22.5, 25.0), 0.35

N_SCALES = 4
THRESHOLD = 1.5  # sigma a pixel of the raw picture
MIN_AREA = 22  # pixels
MAX_HALF_LIGHT = 8.0  # pixels: 1.1 arcsec, larger than galaxies at these redshifts
MIN_HALF_LIGHT = 1.1  # pixels: the most compact objects of the picture have 0.5 to 0.8
SATURATED, MAX_SATURATED = 252, 6  # 8-bit level; pixels of a segment
BLEND_SADDLE = 0.5  # of the lower of two peaks: higher than for single stamps, a blend costs nothing here
BLEND_FRACTION = 0.03  # of the light outside the brightest deblended part

LIMITS = (
    "The picture is a JPEG: compression artefacts remain at the level of its noise.",
    "Its display stretch is undone by an approximate sinh, so light profiles are approximate; bright cores were "
    "clipped at 8 bits.",
    "It has no redshifts and no magnitudes: both are drawn from a stated distribution "
    "(flags redshift_drawn, colours_drawn).",
    "Its colours mix optical and near-infrared light and are not g, r, z: the morphology is used, the same in all "
    "three bands, and colours are drawn from late-type templates.",
    "Half-light radii are those of the picture (0.14 arcsec a pixel, PSF left in), whatever the drawn redshift.",
)


def linearise(picture: np.ndarray) -> np.ndarray:
    """(y, x) light above sky in arbitrary linear units, from an (y, x, 3) 8-bit picture: mean of the channels, sinh."""
    grey = picture.astype(float).mean(axis=-1) / 255.0
    grey -= np.median(grey)
    return np.sinh(SOFTENING * grey) / SOFTENING


@lru_cache(maxsize=1)
def _detect() -> tuple[np.ndarray, ...]:
    """Light, denoised light, 8-bit maximum, noise a pixel, parent segments and deblended segments."""
    picture = data.hubble_deep_field()
    light = linearise(picture)
    sky = ndimage.median_filter(light[::8, ::8], size=15, mode="nearest")  # halos of bright neighbours
    light = light - ndimage.zoom(sky, [n / m for n, m in zip(light.shape, sky.shape)], order=1)
    details = starlet(light, N_SCALES)[:-1]
    clean = denoise(light, MAD_TO_SIGMA * mad(details, axis=(1, 2), centre=0.0))
    sigma = MAD_TO_SIGMA * float(mad(light, centre=0.0))
    parents = detect_sources(clean, THRESHOLD * sigma, n_pixels=MIN_AREA // 2)
    parts = split_neighbours(clean, parents.data, BLEND_SADDLE)
    return light, clean, picture.max(axis=-1), sigma, parents.data, parts


def half_light_radius(light: np.ndarray, own: np.ndarray) -> float:
    """Radius in pixels of a circle about the centroid that holds half a segment's light."""
    weights = np.where(own, np.clip(light, 0.0, None), 0.0)
    total = weights.sum()
    rows, columns = np.indices(own.shape)
    distance = np.hypot(rows - (weights * rows).sum() / total, columns - (weights * columns).sum() / total)
    order = np.argsort(distance, axis=None)
    return float(np.interp(0.5, np.cumsum(weights.ravel()[order]) / total, distance.ravel()[order]))


def _judge(light, level, own, parts, snr: float, min_snr: float, cut: bool) -> None:
    """Raise `Unusable` for a segment (boolean ``own`` in a window of the picture) that is no clean galaxy."""
    if own.sum() < MIN_AREA:
        raise Unusable("too_small", f"{own.sum()} pixels, below {MIN_AREA}")
    if cut:
        raise Unusable("cut_by_edge", "it touches the edge of the picture")
    saturated = int((level[own] >= SATURATED).sum())
    if saturated > MAX_SATURATED:
        raise Unusable("saturated", f"{saturated} pixels at the top of the 8-bit scale: a star or a clipped core")
    fluxes = np.bincount(parts[own], weights=np.clip(light[own], 0.0, None))[1:]
    if fluxes.sum() - fluxes.max() > BLEND_FRACTION * fluxes.sum():
        raise Unusable("blend", "deblending splits it into several objects")
    radius = half_light_radius(light, own)
    if radius < MIN_HALF_LIGHT:
        raise Unusable("point_like", f"half-light radius of {radius:.2f} pixels: a star, or unresolved")
    if radius > MAX_HALF_LIGHT:
        raise Unusable("too_large", f"half-light radius of {radius:.1f} pixels, above {MAX_HALF_LIGHT:g}")
    if snr < min_snr:
        raise Unusable("min_snr", f"S/N of {snr:.1f}, below {min_snr:g}")


def _draw(source_id: str, z_min: float, mag_max: float) -> tuple[float, np.ndarray]:
    """Redshift and flux in g, r, z of one galaxy, from its identifier alone."""
    rng = of_text(f"redshift:{source_id}")
    z = float(np.interp(rng.uniform(), *redshift_quantiles(max(z_min, Z_RANGE[0]), Z_RANGE[1])))
    bright, faint = (10.0 ** (COUNT_SLOPE * m) for m in (R_RANGE[0], min(R_RANGE[1], mag_max)))
    r = float(np.log10(bright + rng.uniform() * (faint - bright)) / COUNT_SLOPE)
    return z, drawn_fluxes(source_id, z, r=r)


@lru_cache(maxsize=4)
def load(config: SourcesConfig) -> Loaded:
    """Usable galaxies of the picture, in reading order (rows of the picture from the top).

    Parameters
    ----------
    config : SourcesConfig
        ``z_min`` and ``mag_max`` cut the drawn distributions, ``min_snr`` the galaxies; without ``denoise`` the
        picture's own pixels are kept.

    Returns
    -------
    Loaded
        No sources where ``z_min`` or ``mag_max`` leave nothing to draw from.
    """
    light, clean, level, sigma, parents, parts = _detect()
    slices = ndimage.find_objects(parents)
    cuts = Counter(catalogue=len(slices))
    if config.z_min >= Z_RANGE[1]:
        return Loaded([], [], dict(cuts) | {"z_min": len(slices)})
    if config.mag_max <= R_RANGE[0]:
        return Loaded([], [], dict(cuts) | {"mag_max": len(slices)})
    sources, refusals = [], []
    pixels = clean if config.denoise else light
    for label, box in enumerate(slices, start=1):
        source_id = f"xdf-{label:04d}"
        own = parents[box] == label
        snr = float(light[box][own].sum() / (sigma * np.sqrt(own.sum())))
        cut = any(s.start == 0 or s.stop == n for s, n in zip(box, parents.shape))
        margin = max(own.shape)
        window = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in box)
        try:
            _judge(clean[box], level[box], own, np.where(own, parts[box], 0), snr, config.min_snr, cut)
            image = cut_out(pixels[window], parents[window], label)
            image.setflags(write=False)  # the sources are shared by all who open the picture in this process
        except Unusable as error:
            cuts[error.code] += 1
            if error.code not in ("too_small", "min_snr"):
                remedy = "Left out; nothing to do."
                refusals.append(Refusal(source_id, PICTURE, label, "source", error.code, error.message, remedy))
            continue
        z, flux = _draw(source_id, config.z_min, config.mag_max)
        sources.append(Source(source_id, image, PIXEL_SCALE, flux, z, ("colours_drawn", "redshift_drawn")))
    return Loaded(sources, refusals, dict(cuts))


@source_catalogue("xdf", limits=LIMITS)
def open_picture(config: SourcesConfig, seed: int) -> Loaded:
    """The galaxies of the picture, whatever the seed."""
    return load(config)
