"""Missing data that nobody masked: pixels without noise, whatever value they hold.

Real sky scatters. A patch that does not (zeros, -99, a fill value, zeros under a compressor's dither) was never
observed. Repeated values alone prove nothing: a cutout stored as scaled integers repeats its values everywhere, and
still scatters from pixel to pixel.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dhs.stats.pixels import MAD_TO_SIGMA, mad

WINDOWS = ((5, 5), (1, 12), (12, 1))  # a patch, a row, a column of pixels
QUIET = 0.15  # of the sky noise: a window that scatters by less holds none
MAX_QUIET_FRACTION = 0.01  # of the pixels of a band, at the level of the sky or below
MAX_PLATEAU_FRACTION = 0.05  # likewise, brighter than that: a star's saturated core
PLATEAU_SIGMA = 5.0
MAX_ZERO_FRACTION = 0.02  # exact zeros that stand apart, where values do not repeat and have no common step
SEGMENT = 16  # pixels of a row that one tile of a compressed image holds
MAX_NEGATIVE_SIGMA = 25.0  # sky noise below zero: no light is so negative
MAX_FLUX = 1e5  # nanomaggies a pixel, magnitude 10


def pixel_noise(band: np.ndarray) -> float:
    """Robust scatter of a band from differences of neighbouring pixels, which a smooth galaxy leaves alone."""
    differences = np.concatenate([np.diff(band, axis=0).ravel(), np.diff(band, axis=1).ravel()])
    differences = differences[differences != 0]
    return 0.0 if differences.size == 0 else float(MAD_TO_SIGMA * mad(differences, centre=0.0) / np.sqrt(2.0))


def quiet(band: np.ndarray, noise: float) -> np.ndarray:
    """Pixels, (y, x) bool, in a window that scatters by less than `QUIET` of the noise."""
    found = np.zeros(band.shape, dtype=bool)
    values = np.clip(band.astype(np.float64), -1e6, 1e6)
    for window in WINDOWS:
        spread = ndimage.maximum_filter(values, window) - ndimage.minimum_filter(values, window)
        found |= ndimage.binary_dilation(spread < 2.0 * QUIET * noise, np.ones(window, dtype=bool))
    return found


def quantised(band: np.ndarray) -> bool:
    """Whether most pieces of rows hold whole multiples of a step, as a compressor that rounds leaves them.

    Steps differ between the tiles of a compressed image, so values of different rows need not repeat.
    """
    pieces = band[:, : band.shape[1] // SEGMENT * SEGMENT].reshape(-1, SEGMENT).astype(np.float64)
    gaps = np.diff(np.sort(pieces, axis=1), axis=1)
    smallest = np.where(gaps > 1e-9, gaps, np.inf).min(axis=1)
    usable = np.isfinite(smallest)
    found = np.zeros(len(pieces), dtype=bool)
    for part in (1, 2, 3):  # the smallest gap may be two or three steps
        steps = gaps[usable] / (smallest[usable, None] / part)
        found[usable] |= (np.abs(steps - np.round(steps)) < 0.02).all(axis=1)
    return bool(found.mean() > 0.5)


def problem(band: np.ndarray, observed: np.ndarray | None = None) -> str | None:
    """What is wrong with the pixels of one band, or None.

    Parameters
    ----------
    band : ndarray, (y, x)
        Finite, nanomaggies.
    observed : ndarray of bool, (y, x), optional
        False where the inverse variance already masks a pixel.

    Returns
    -------
    str or None
    """
    seen = np.ones(band.shape, dtype=bool) if observed is None else observed
    noise = pixel_noise(band)
    if noise == 0.0:
        return "no pixel differs from its neighbours: it holds no noise"
    still = quiet(band, noise) & seen
    bright = band > np.median(band) + PLATEAU_SIGMA * noise
    for empty, most, what in (
        (still & ~bright, MAX_QUIET_FRACTION, "missing data"),
        (still & bright, MAX_PLATEAU_FRACTION, "a saturated star or a fill value"),
    ):
        if empty.mean() > most:
            value = float(np.median(band[empty]))
            return f"{empty.mean():.0%} hold no noise (about {value:.3g} nanomaggies): {what}"
    zeros = (band == 0) & seen
    repeats = len(np.unique(band[~zeros])) < 0.5 * (~zeros).sum()
    if zeros.mean() > MAX_ZERO_FRACTION and not repeats and not quantised(band):
        return f"{zeros.mean():.0%} are exact zeros: missing data"
    low = float(band[seen].min()) if seen.any() else 0.0
    if low < -MAX_NEGATIVE_SIGMA * noise:
        return f"a pixel of {low:.3g} nanomaggies lies {-low / noise:.0f} sigma below zero: a fill value"
    if float(band[seen].max(initial=0.0)) > MAX_FLUX:
        return f"a pixel of {float(band[seen].max()):.3g} nanomaggies: no galaxy is so bright"
    return None
