"""Noise and PSF of a stamp from its own pixels, to be held against what is stored beside it.

**Shot noise.** A fourth difference along both axes leaves next to nothing of light that has passed the PSF, and all
pixels' noise alike. Where the galaxy is bright its scatter exceeds that of the sky by light / (gain x sky variance).

**PSF.** Nothing in an image is sharper than a star. Sources away from the galaxy are measured with a Gaussian weight
that follows them, and so is a Moffat of the stored width; stars lie at a ratio of one, galaxies above.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter, maximum_filter

from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE, STAMP
from dhs.survey.psf import MOFFAT_BETA, moffat_alpha

DIFFERENCE = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)
BRIGHT_SIGMAS = 8.0  # light from which a pixel counts as bright
SKY_PX = 22.0
STAR_SNR, STAR_FROM_PX, STAR_EDGE_PX = 30.0, 9.0, 6
MOST_STARS = 3


def _differences(band: np.ndarray) -> np.ndarray:
    """Fourth differences along both axes, (60, 60); of white noise they have its variance."""
    rows = sum(w * band[:, k : k + STAMP - 4] for k, w in enumerate(DIFFERENCE))
    return sum(w * rows[k : k + STAMP - 4] for k, w in enumerate(DIFFERENCE))


RADIUS = radius_map(STAMP)
INNER = (slice(2, STAMP - 2), slice(2, STAMP - 2))


def shot_noise(image: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Scatter in bright pixels over that of the sky.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    sigma : ndarray, (3,)

    Returns
    -------
    ndarray, (3, 3)
        Per band: the sum over bright pixels of (scatter over the sky's, less 1); of their light, nanomaggies; and how
        many there are. Zeros where there are none.
    """
    out = np.zeros((3, 3))
    for b, (band, s) in enumerate(zip(np.asarray(image, np.float64), sigma)):
        level = gaussian_filter(band, 1.5)[INNER]
        squared = _differences(band) ** 2
        sky = np.median(squared[RADIUS[INNER] > SKY_PX]) / 0.4549  # median of chi-square with one degree of freedom
        bright = (level > BRIGHT_SIGMAS * s) & (RADIUS[INNER] < SKY_PX) & (RADIUS[INNER] > 3)
        if bright.sum() >= 5 and sky > 0:
            ratio = np.minimum(squared[bright] / sky, 25.0)
            out[b] = (ratio - 1).sum(), level[bright].sum(), bright.sum()
    return out


@lru_cache(maxsize=512)
def _width_of(fwhm: float) -> float:
    """What `_width` measures of a star of this FWHM, pixels; stars between pixels are like this one to 1 %."""
    alpha = moffat_alpha(fwhm / PIXEL_SCALE)
    axis = np.arange(-12, 13)
    star = (1 + (axis[:, None] ** 2 + axis[None, :] ** 2) / alpha**2) ** -MOFFAT_BETA
    return _width(star, 12.0, 12.0)


@njit(cache=True, error_model="numpy")
def _width(band, x, y):
    """Standard deviation of the Gaussian weight that matches the light about (x, y); NaN without a solution."""
    s = 2.0
    for _ in range(30):
        sx, sy, srr, total = 0.0, 0.0, 0.0, 0.0
        for j in range(max(int(y) - 7, 0), min(int(y) + 9, band.shape[0])):
            for i in range(max(int(x) - 7, 0), min(int(x) + 9, band.shape[1])):
                dx, dy = i - x, j - y
                light = band[j, i] * np.exp(-0.5 * (dx * dx + dy * dy) / (s * s))
                sx, sy, srr, total = sx + light * dx, sy + light * dy, srr + light * (dx * dx + dy * dy), total + light
        if not total > 0 or not srr > 0:
            return np.nan
        mx, my = 2.0 * sx / total, 2.0 * sy / total
        if abs(mx) > 2 or abs(my) > 2:
            return np.nan
        x, y = x + mx, y + my
        new = np.sqrt(srr / total)  # of a Gaussian s: srr / total = s^2 where weight and light agree
        if abs(new - s) < 1e-3:
            return new
        s = min(max(new, 0.8), 6.0)
    return s


def star_ratios(image: np.ndarray, sigma: np.ndarray, fwhm: np.ndarray) -> np.ndarray:
    """Measured over stored width of the brightest compact sources away from the galaxy, in r.

    Returns
    -------
    ndarray, (MOST_STARS,)
        NaN where there are fewer.
    """
    band, s = np.asarray(image[1], np.float64), float(sigma[1])
    smooth = gaussian_filter(band, 1.5)
    noise = s / np.sqrt(4 * np.pi * 1.5**2) * 1.3
    peaks = (smooth == maximum_filter(smooth, 9)) & (smooth > STAR_SNR * noise) & (RADIUS > STAR_FROM_PX)
    edge = STAR_EDGE_PX
    inside = np.zeros_like(peaks)
    inside[edge:-edge, edge:-edge] = True
    y, x = np.nonzero(peaks & inside)
    order = np.argsort(-smooth[y, x], kind="stable")[:MOST_STARS]
    sky = np.median(band[RADIUS > SKY_PX])
    out = np.full(MOST_STARS, np.nan)
    for k, i in enumerate(order):
        around = smooth[max(y[i] - 7, 0) : y[i] + 8, max(x[i] - 7, 0) : x[i] + 8]
        rim = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
        if np.max(rim) < 0.2 * smooth[y[i], x[i]]:  # alone
            out[k] = _width(band - sky, float(x[i]), float(y[i])) / _width_of(round(float(fwhm[1]), 2))
    return out
