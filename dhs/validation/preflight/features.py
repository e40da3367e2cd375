"""Numbers of one stamp that the leakage and arc gates look at."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from dhs.stats.pixels import radius_map

CORE_RINGS = (0.0, 0.3, 0.6, 0.8, 1.0)  # edges over the core radius
SECTORS = (1, 8, 8, 8)
RADIAL_EDGES_PX = (0, 1.5, 3, 4.5, 6, 8, 10, 12, 15, 18, 22, 26, 32)


@cache
def _core_bins(radius_px: float) -> np.ndarray:
    """(64 x 64, bins) membership of the core's sectors, columns normalised to means."""
    radius = radius_map()
    side = radius.shape[0]
    offset = np.arange(side) - (side - 1) / 2
    angle = np.arctan2(offset[:, None], offset[None, :]) % (2 * np.pi)
    columns = []
    for (low, high), sectors in zip(pairwise(CORE_RINGS), SECTORS):
        ring = (radius >= low * radius_px) & (radius < high * radius_px)
        sector = np.minimum((angle / (2 * np.pi) * sectors).astype(int), sectors - 1)
        columns += [ring & (sector == s) for s in range(sectors)]
    return _means(columns)


@cache
def _radial_bins() -> np.ndarray:
    radius = radius_map()
    return _means([(radius >= low) & (radius < high) for low, high in pairwise(RADIAL_EDGES_PX)])


def _means(members: list[np.ndarray]) -> np.ndarray:
    columns = np.stack([m.ravel() for m in members if m.any()], axis=1).astype(float)
    return columns / columns.sum(axis=0)


def core_features(image: np.ndarray, sky_sigma: np.ndarray, radius_px: float) -> np.ndarray:
    """Sector means of r < ``radius_px`` in every band, asinh of sky sigmas.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    sky_sigma : ndarray, (3,)
    radius_px : float

    Returns
    -------
    ndarray, (75,) float64
        25 sectors in 4 rings a band.
    """
    return np.arcsinh((image.reshape(3, -1) @ _core_bins(radius_px)) / sky_sigma[:, None]).ravel()


def radial_features(image: np.ndarray, sky_sigma: np.ndarray) -> np.ndarray:
    """(36,) ring means over the whole stamp in every band, asinh of sky sigmas; as `core_features`."""
    return np.arcsinh((image.reshape(3, -1) @ _radial_bins()) / sky_sigma[:, None]).ravel()


def core_fraction(image: np.ndarray, radius_px: float) -> float:
    """Share of an image's light within ``radius_px`` of the stamp's centre; NaN where there is no light."""
    total = image.sum(dtype=float)
    return float(image[radius_map() < radius_px].sum(dtype=float) / total) if total > 0 else np.nan


def core_fraction_error(arc: np.ndarray, radius_px: float, gain: float) -> float:
    """Standard deviation of `core_fraction` from the arc's own shot noise, first order.

    With C the core's light and T the total, f = C/T and var f = (f^2 (T - C) + (1 - f)^2 C) / (gain T^2).
    """
    light = np.clip(arc, 0, None)
    total, core = light.sum(dtype=float), light[radius_map() < radius_px].sum(dtype=float)
    if total <= 0:
        return np.nan
    f = core / total
    return float(np.sqrt((f**2 * (total - core) + (1 - f) ** 2 * core) / gain) / total)


def centroid_px(image: np.ndarray) -> np.ndarray:
    """(2,) x, y of the light's centroid from the stamp's centre, pixels; NaN where there is no light."""
    total = image.sum(dtype=float)
    if total <= 0:
        return np.full(2, np.nan)
    axis = np.arange(image.shape[0]) - (image.shape[0] - 1) / 2
    return np.array([image.sum(axis=0) @ axis, image.sum(axis=1) @ axis]) / total
