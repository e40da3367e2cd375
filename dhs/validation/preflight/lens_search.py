"""A search for arcs in stamps that should hold none, with an eye that owes nothing to any network.

Lensed galaxies are bluer than the galaxies that lens them. So the galaxy's own light is taken off by its own colour:
g less the r image at the ratio that the core has, at one PSF (Gavazzi et al. 2014, ApJ 785, 144). What is left in
units of its noise is read off on circles about the galaxy, along them (arcs) and across them (chance companions point
anywhere, so along and across are alike without lenses).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit

from dhs.stats.pixels import MAD_TO_SIGMA, mad
from dhs.survey.facts import PIXEL_SCALE, STAMP

RADII_PX = np.arange(2.5, 13.0, 1.0)  # 0.65 to 3.3 arcsec
ANGLES = 48
ALONG_PX = 6.0  # length of a window
SMOOTH_PX = 1.1
SEEN_SIGMAS, MIN_SEEN_PX = 3.0, 12  # of an arc searched for in its own control
COLOUR_ERROR = 0.04  # of the galaxy's own light: colour gradients, the PSF's wings
FEATURES = ("peak", "along", "across", "ring", "sum", "opposite", "radius", "red_along")


@cache
def _polar() -> tuple[np.ndarray, np.ndarray]:
    """(radii * angles, 4) pixels and bilinear weights of the circles about the stamp's centre pixel."""
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    x = (STAMP / 2 + RADII_PX[:, None] * np.cos(angle)).ravel()
    y = (STAMP / 2 + RADII_PX[:, None] * np.sin(angle)).ravel()
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = x - i, y - j
    index = np.stack([j * STAMP + i, j * STAMP + i + 1, (j + 1) * STAMP + i, (j + 1) * STAMP + i + 1], axis=1)
    return index, np.stack([(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a], axis=1)


@cache
def _windows() -> np.ndarray:
    """(radii, frequencies): per radius, a circular kernel over angles of `ALONG_PX`, in Fourier space."""
    out = []
    for radius in RADII_PX:
        half = 0.5 * ALONG_PX / radius
        apart = np.minimum(np.arange(ANGLES), ANGLES - np.arange(ANGLES)) * 2 * np.pi / ANGLES
        kernel = np.clip((half - apart) / (2 * np.pi / ANGLES) + 0.5, 0, 1)
        out.append(np.fft.rfft(kernel / kernel.sum()))
    return np.stack(out)


@cache
def _core() -> np.ndarray:
    offset = np.arange(STAMP) - STAMP / 2
    return np.hypot(offset[:, None], offset[None, :]) < 3.5


@cache
def _far() -> np.ndarray:
    offset = np.arange(STAMP) - STAMP / 2
    return np.hypot(offset[:, None], offset[None, :]) > 20


@dataclass(frozen=True)
class Excess:
    """Light of a colour of its own: ``left`` and ``noise`` (64, 64) nanomaggies, and the ratio that was taken off."""

    left: np.ndarray
    noise: np.ndarray
    ratio: float

    @property
    def significance(self) -> np.ndarray:
        return self.left / self.noise


def colour_excess(of: np.ndarray, by: np.ndarray, widths: tuple[float, float], gains: tuple[float, float]) -> Excess:
    """``of`` less ``by`` at the ratio of the galaxy's core, both smoothed to one PSF; positive where ``of`` has more.

    Parameters
    ----------
    of, by : ndarray, (64, 64)
        Two bands, nanomaggies.
    widths, gains : pair of float
        Their PSF FWHM, arcsec, and electrons a nanomaggy.
    """
    blur = np.sqrt(abs(widths[0] ** 2 - widths[1] ** 2)) / (np.sqrt(8 * np.log(2)) * PIXEL_SCALE)
    more = (blur if widths[0] < widths[1] else 0.0, blur if widths[0] > widths[1] else 0.0)
    a, b = (smoothed(image, np.hypot(SMOOTH_PX, extra)) for image, extra in zip((of, by), more))
    ratio = float(a[_core()].sum() / max(float(b[_core()].sum()), 1e-30))
    left = a - ratio * b
    sky = left[_far()]
    centre = np.median(sky)
    noise = MAD_TO_SIGMA * mad(sky)
    light = np.maximum(b, 0)
    shot = (np.maximum(a, 0) / gains[0] + ratio**2 * light / gains[1]) / (4 * np.pi * SMOOTH_PX**2)
    return Excess(left - centre, np.sqrt(noise**2 + shot + (COLOUR_ERROR * ratio * light) ** 2), ratio)


def smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """(64, 64) float32: scipy's ``gaussian_filter(image, sigma, mode="nearest", truncate=3)``."""
    reach = int(3.0 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _filtered(np.ascontiguousarray(image, np.float32), weights / weights.sum())


@njit(cache=True, error_model="numpy")
def _filtered(image, weights):
    """A symmetric kernel along y, then along x, the edges repeated."""
    n, reach = image.shape[0], len(weights) // 2
    first, out = np.empty((n, n), np.float32), np.empty((n, n), np.float32)
    row = np.empty(n)
    for j in range(n):
        row[:] = weights[reach] * image[j]
        for k in range(reach, 0, -1):
            up, down, w = max(j - k, 0), min(j + k, n - 1), weights[reach - k]
            for i in range(n):
                row[i] += w * (np.float64(image[up, i]) + np.float64(image[down, i]))
        first[j] = row
    for j in range(n):
        for i in range(n):
            total = weights[reach] * first[j, i]
            for k in range(reach, 0, -1):
                left, right = first[j, max(i - k, 0)], first[j, min(i + k, n - 1)]
                total += weights[reach - k] * (np.float64(left) + np.float64(right))
            out[j, i] = total
    return out


def blue_excess(image: np.ndarray, fwhm: np.ndarray, gain: np.ndarray) -> Excess:
    """`colour_excess` of g over r."""
    return colour_excess(image[0], image[1], (fwhm[0], fwhm[1]), (gain[0], gain[1]))


def own_arc(excess: Excess, arc: np.ndarray) -> float:
    """How much a stamp's blue light looks like a given arc: their correlation where the arc is seen.

    Parameters
    ----------
    excess : Excess
        Of the stamp (`blue_excess`).
    arc : ndarray, (3, 64, 64)

    Returns
    -------
    float
        1 where it is there at its own brightness, about 0 where it is not, 0 where it would be a third fainter or
        brighter; NaN where too little of the arc would be seen.
    """
    expected = smoothed(arc[0], SMOOTH_PX) - excess.ratio * smoothed(arc[1], SMOOTH_PX)
    seen = expected > SEEN_SIGMAS * excess.noise
    if seen.sum() < MIN_SEEN_PX:
        return np.nan
    x, y = expected[seen] / excess.noise[seen], excess.significance[seen]
    amplitude = float((x * y).sum() / (x * x).sum())
    if not 0.7 < amplitude < 1.4:
        return 0.0
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def features(image: np.ndarray, fwhm: np.ndarray, gain: np.ndarray, excess: Excess | None = None) -> np.ndarray:
    """What an arc would leave in a stamp, on log scales.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    fwhm, gain : ndarray, (3,)
        PSF, arcsec; electrons a nanomaggy.
    excess : Excess, optional
        `blue_excess` of the image, where it is there already.

    Returns
    -------
    ndarray, (8,) float32
        `FEATURES`: the greatest significance, along and across a circle, of a whole circle, of all positive light; that
        opposite to the peak; the peak's radius, pixels; the greatest along a circle of light redder than the galaxy.
    """
    index, weight = _polar()
    blue = blue_excess(image, fwhm, gain) if excess is None else excess
    red = colour_excess(image[2], image[1], (fwhm[2], fwhm[1]), (gain[2], gain[1]))
    polar, other = (
        (v.significance.ravel()[index] * weight).sum(axis=1).reshape(len(RADII_PX), ANGLES) for v in (blue, red)
    )
    along, across = _along(polar), _means() @ polar
    k, angle = np.unravel_index(along.argmax(), along.shape)
    behind = np.roll(polar, ANGLES // 2 - angle, axis=1)[:, [-4, -3, -2, -1, 0, 1, 2, 3, 4]]
    lit = np.sqrt((np.maximum(polar, 0) ** 2).mean())
    values = [polar.max(), along.max(), across.max(), polar.mean(axis=1).max(), lit, behind.max()]
    found = np.arcsinh(np.array(values) / 2)
    return np.array([*found, RADII_PX[k], np.arcsinh(_along(other).max() / 2)], np.float32)


def _along(polar: np.ndarray) -> np.ndarray:
    return np.fft.irfft(np.fft.rfft(polar, axis=1) * _windows(), ANGLES, axis=1)


@cache
def _means() -> np.ndarray:
    """(radii, radii) means over six neighbouring radii, light beyond the first and last taken as 0."""
    return np.stack([np.convolve(one, np.ones(6) / 6, mode="same") for one in np.eye(len(RADII_PX))], axis=1)
