"""Sky noise of a stamp, its correlation, and the shape of the host's light.

**Two noises.** A coadd (and the cutout service once more) resamples its exposures with a Lanczos kernel. That lowers
the scatter from pixel to pixel and correlates neighbours, but it does not remove noise on the scale of an arc. So the
*delivered* sigma (what the pixels scatter by) is smaller than the *nominal* one (the exposures' noise, which the
survey's inverse variance holds and which counts photons): nominal^2 = delivered^2 x S, with S the sum of the noise
correlation over all lags. ``sky_sigma`` is the delivered one; the gain comes from the nominal one. On stamps that were
aligned to whole pixels S is 1; for Lanczos-3 at half a pixel in both axes it is 1.62, done twice 1.83.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dhs.stats.pixels import MAD_TO_SIGMA, radius_map
from dhs.survey.facts import PIXEL_SCALE, STAMP
from dhs.survey.psf import MOFFAT_BETA, moffat_alpha

ANNULUS_PX = 20.0  # sky pixels lie outside, 5.2 arcsec
MIN_SKY_PIXELS = 200
APERTURE_ARCSEC = 5.0  # of the moments of the galaxy's light
MIN_RESOLUTION = 0.4  # 1 - T_psf / T_galaxy; below it a slightly wrong PSF makes a very wrong ellipticity
MAX_DISTORTION = 0.8  # axis ratio 1 to 3
MAX_OFFSET_PX = 1.0  # of a galaxy's centroid from its catalogue position
FWHM_PER_SIGMA = 2.3548
NEIGHBOUR_SIGMAS, NEIGHBOUR_SHARE = 3.0, 0.25
MAX_LAG = 3  # Lanczos-3 correlations are over after three pixels
MAX_SUM = 1.83  # of two Lanczos-3 resamplings, each at half a pixel in both axes

_RADIUS = radius_map(STAMP)


@njit(cache=True, nogil=True, error_model="numpy")
def _median(values):
    """Upper median; ``values`` is reordered (Hoare's selection)."""
    low, high, wanted = 0, len(values) - 1, len(values) // 2
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]


@njit(cache=True, nogil=True, error_model="numpy")
def _mad(values):
    """Median, and 1.4826 x the median absolute deviation; ``values`` is reordered."""
    centre = _median(values)
    return centre, MAD_TO_SIGMA * _median(np.abs(values - centre))


@njit(cache=True, nogil=True, error_model="numpy")
def _where(values, mask):
    """Values of an image where a mask holds, row by row."""
    out = np.empty(mask.sum(), values.dtype)
    n = 0
    for j in range(mask.shape[0]):
        for i in range(mask.shape[1]):
            if mask[j, i]:
                out[n] = values[j, i]
                n += 1
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _box(image, reach):
    """Mean over a square of 2 reach + 1 pixels, mirrored at the edges."""
    size = image.shape[0]
    along, out = np.empty(image.shape), np.empty(image.shape)
    for j in range(size):
        for i in range(size):
            total = 0.0
            for k in range(i - reach, i + reach + 1):
                total += image[j, -1 - k if k < 0 else (2 * size - 1 - k if k >= size else k)]
            along[j, i] = total
    for j in range(size):
        out[j] = 0.0
        for k in range(j - reach, j + reach + 1):
            out[j] += along[-1 - k if k < 0 else (2 * size - 1 - k if k >= size else k)]
    return out / (2 * reach + 1) ** 2


@njit(cache=True, nogil=True, error_model="numpy")
def _blank(image, annulus):
    """Sky pixels of `sky_mask` within an annulus."""
    size = image.shape[1]
    detection = np.zeros((size, size))
    for band in range(len(image)):
        # Every second pixel: a level and a scale are all it takes.
        centre, sigma = _mad(_where(image[band], annulus)[::2].astype(np.float64))
        detection += (image[band] - centre) / max(sigma, 1e-30)
    smooth = _box(detection, 2)
    centre, sigma = _mad(_where(smooth, annulus))
    limit = centre + 2.5 * sigma
    sky = annulus.copy()
    for j in range(size):
        for i in range(size):
            if smooth[j, i] > limit:
                for v in range(max(j - 3, 0), min(j + 4, size)):
                    for u in range(max(i - 3, 0), min(i + 4, size)):
                        sky[v, u] = False
    return sky


def sky_mask(image: np.ndarray, invvar: np.ndarray | None = None) -> np.ndarray:
    """Pixels of blank sky: the outer annulus without masked pixels and detected sources.

    Sources are found on the sum of the bands in units of their noise, smoothed over 5 x 5 pixels, above 2.5 sigma and
    grown by 3 pixels. Where a galaxy leaves fewer than 200 such pixels, the whole annulus is returned.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    invvar : ndarray, optional, (3, 64, 64)

    Returns
    -------
    ndarray, (64, 64) bool
    """
    annulus = _RADIUS > ANNULUS_PX
    if invvar is not None:
        annulus &= (invvar > 0).all(axis=0)
    if annulus.sum() < MIN_SKY_PIXELS:
        annulus = _RADIUS > ANNULUS_PX
    sky = _blank(np.ascontiguousarray(image), annulus)
    return sky if sky.sum() >= MIN_SKY_PIXELS else annulus


def sky_sigma_mad(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(3,) delivered per-pixel noise: 1.4826 x MAD of the sky pixels, clipped at 3 sigma, in nanomaggies.

    The MAD of pixel values estimates the diagonal of the noise covariance whatever the correlation is, so no
    correction is due here; it is due where this sigma stands for photons (module docstring).
    """
    out = []
    for band in image:
        values = band[mask].astype(np.float64)
        centre, sigma = _mad(values)
        out.append(_mad(values[np.abs(values - centre) < 3.0 * sigma])[1] if sigma > 0 else 0.0)
    return np.array(out) * 1.0107  # a Gaussian's MAD shrinks by that when its 0.27 % outside 3 sigma are cut


def sky_sigma_invvar(invvar: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(3,) nominal per-pixel noise, 1 / sqrt(median of the positive inverse variance over sky pixels)."""
    out = []
    for band in invvar:
        values = band[mask]
        values = values[values > 0]
        out.append(1.0 / np.sqrt(_median(values)) if values.size else np.nan)
    return np.array(out)


@njit(cache=True, nogil=True, error_model="numpy")
def _deviations(image, mask):
    """(bands, y, x) sky deviations of unit variance; 0 outside the sky and beyond 4 sigma."""
    out = np.zeros(image.shape, np.float32)
    for band in range(len(image)):
        centre, sigma = _mad(_where(image[band], mask).astype(np.float64))
        n, total, squares = 0, 0.0, 0.0
        for j in range(mask.shape[0]):
            for i in range(mask.shape[1]):
                if mask[j, i]:
                    n += 1
                    value = image[band, j, i] - centre
                    if abs(value) <= 4.0 * sigma:
                        total += value
                        squares += value * value
        mean = total / n
        scale = max(np.sqrt(squares / n - mean * mean), 1e-30)
        for j in range(mask.shape[0]):
            for i in range(mask.shape[1]):
                if mask[j, i]:
                    value = image[band, j, i] - centre
                    out[band, j, i] = ((value if abs(value) <= 4.0 * sigma else 0.0) - mean) / scale
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _correlation(z, mask, dy, dx):
    """Mean product of pixels a lag apart that are both sky, over bands."""
    pairs, total = 0, 0.0
    for j in range(mask.shape[0] - dy):
        for i in range(mask.shape[1] - dx):
            if mask[j, i] and mask[j + dy, i + dx]:
                pairs += 1
                for band in range(len(z)):
                    total += z[band, j, i] * z[band, j + dy, i + dx]
    return total / (len(z) * max(pairs, 1))


def lag_correlation(image: np.ndarray, mask: np.ndarray, dy: int, dx: int) -> float:
    """Correlation of sky noise at one lag, over pairs of pixels that are both sky, mean over bands.

    Parameters
    ----------
    image : ndarray, (bands, y, x)
    mask : ndarray, (y, x) bool
    dy, dx : int
        Lag in pixels, not negative. Pixels beyond 4 sigma are left out.
    """
    return float(_correlation(_deviations(np.ascontiguousarray(image), mask), mask, dy, dx))


def noise_correlation(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Effective lag-1 correlation and sum S of the noise correlation over all lags.

    Resampled noise has a positive lag-1 correlation (0.12 to 0.30 an axis on real DR10 stamps) and a negative one at
    lag 2 (-0.06 to -0.17). What an arc feels is their sum. So the effective lag-1 is rho_1 + rho_2 + rho_3, mean over
    bands and axes: the value for which a covariance cut after one pixel has the right noise on large scales.
    S = (1 + 2 lag1)^2.

    Returns
    -------
    lag1 : float
        Between 0 and 0.176; on six real DR10 stamps 0.09 to 0.18.
    correlation_sum : float
        Between 1 and 1.83, the range that two Lanczos-3 resamplings can give; faint sources would push it beyond.
        Low by up to 10 % near the upper end, where the cap and the masking of upward fluctuations tell.
    """
    z = _deviations(np.ascontiguousarray(image), mask)
    lags = [lag for k in range(1, MAX_LAG + 1) for lag in ((0, k), (k, 0))]
    # Beyond the kernel only the wings of galaxies correlate: what is left at lags 6 and 8 is theirs, and comes off.
    far = [lag for k in (6, 8) for lag in ((0, k), (k, 0), (k, k))]
    wings = sum(_correlation(z, mask, dy, dx) for dy, dx in far) / len(far)
    lag1 = 0.5 * sum(_correlation(z, mask, dy, dx) - wings for dy, dx in lags) / max(1.0 - wings, 0.1)
    lag1 = float(np.clip(lag1, 0.0, (np.sqrt(MAX_SUM) - 1.0) / 2.0))
    return lag1, (1.0 + 2.0 * lag1) ** 2


def light_shape(
    band: np.ndarray, centre: tuple[float, float], psf_fwhm_arcsec: float, sky: float = 0.0
) -> tuple[float, float, float, float]:
    """Centroid and ellipticity of the galaxy at a stamp's centre, whatever stands beside it.

    The centroid is that of a Gaussian window as wide as the PSF, too narrow for a neighbour to pull at, and is
    believed within `MAX_OFFSET_PX` of the catalogue's position, ``centre``. Before the shape is measured, what has no
    counterpart on the galaxy's other side is replaced by what is there (`_without_neighbours`).

    Adaptive moments, an elliptical Gaussian weight iterated to match the light, inside a circular aperture of
    `APERTURE_ARCSEC`; corrected for a Moffat PSF by re-Gaussianisation (Hirata & Seljak 2003, MNRAS 343, 459; through
    galsim.hsm).

    Parameters
    ----------
    band : ndarray, (y, x)
        One band, nanomaggies.
    centre : (float, float)
        The catalogue's position (x, y), pixels.
    psf_fwhm_arcsec : float
    sky : float
        Residual sky level to subtract.

    Returns
    -------
    e1, e2 : float
        e = (1-q)/(1+q); e1 = e cos 2 phi, e2 = e sin 2 phi. Of the light as observed, not corrected for the PSF, where
        the galaxy is too small for that; 0 where there is no solution.
    x, y : float
        Centroid in pixels; ``centre`` where there is none, or where it lies more than `MAX_OFFSET_PX` away.
    """
    from galsim import Image, PositionD, hsm

    band = np.asarray(band, np.float64) - sky
    x, y = _window_centroid(band, *centre, psf_fwhm_arcsec / PIXEL_SCALE / FWHM_PER_SIGMA, MAX_OFFSET_PX)
    half = int(APERTURE_ARCSEC / PIXEL_SCALE) + 1
    x0, y0 = (max(round(c) - half, 0) for c in (x, y))
    cut = _without_neighbours(band, x, y)[y0 : y0 + 2 * half + 1, x0 : x0 + 2 * half + 1]
    radius2 = (np.arange(cut.shape[1])[None, :] + x0 - x) ** 2 + (np.arange(cut.shape[0])[:, None] + y0 - y) ** 2
    light = Image(cut, xmin=x0, ymin=y0)
    weight = Image((radius2 < (APERTURE_ARCSEC / PIXEL_SCALE) ** 2).astype(np.int32), xmin=x0, ymin=y0)
    psf = Image(_moffat_image(psf_fwhm_arcsec))
    shape = hsm.EstimateShear(light, psf, weight=weight, guess_centroid=PositionD(x, y), strict=False)
    resolved = shape.correction_status == 0 and shape.resolution_factor > MIN_RESOLUTION
    d1, d2 = shape.corrected_e1, shape.corrected_e2  # distortion, (a^2-b^2)/(a^2+b^2)
    if not resolved or np.hypot(d1, d2) > MAX_DISTORTION:
        found = hsm.FindAdaptiveMom(light, weight=weight, guess_centroid=PositionD(x, y), guess_sig=4.0, strict=False)
        if found.moments_status != 0:
            return 0.0, 0.0, x, y
        d1, d2 = found.observed_shape.e1, found.observed_shape.e2
    to_e = 1.0 / (1.0 + np.sqrt(max(1.0 - d1**2 - d2**2, 0.0)))
    return float(d1 * to_e), float(d2 * to_e), float(x), float(y)


@njit(cache=True, error_model="numpy")
def _window_centroid(band, x0, y0, sigma, reach):
    """Centroid in a Gaussian window that follows it (SExtractor's XWIN_IMAGE); (x0, y0) where it leaves ``reach``."""
    ny, nx = band.shape
    size = int(4.0 * sigma) + 1
    x, y = x0, y0
    for _ in range(30):
        total, mx, my = 0.0, 0.0, 0.0
        for j in range(max(int(y) - size, 0), min(int(y) + size + 2, ny)):
            for i in range(max(int(x) - size, 0), min(int(x) + size + 2, nx)):
                w = np.exp(-0.5 * ((i - x) ** 2 + (j - y) ** 2) / sigma**2) * band[j, i]
                total += w
                mx += w * (i - x)
                my += w * (j - y)
        if not total > 0:
            return x0, y0
        dx, dy = 2.0 * mx / total, 2.0 * my / total
        x, y = x + dx, y + dy
        if not (x - x0) ** 2 + (y - y0) ** 2 <= reach**2:
            return x0, y0
        if dx * dx + dy * dy < 1e-8:
            break
    return x, y


@njit(cache=True, error_model="numpy")
def _without_neighbours(band, x, y):
    """``band`` with every pixel far above its counterpart, the image turned by half about (x, y), replaced by it.

    Far is `NEIGHBOUR_SIGMAS` times the scatter of such differences, and `NEIGHBOUR_SHARE` of the counterpart: near the
    centre the steps between pixels differ by more than noise.
    """
    ny, nx = band.shape
    other = np.full(band.shape, np.nan)
    for j in range(ny):
        for i in range(nx):
            px, py = 2.0 * x - i, 2.0 * y - j
            a, b = int(np.floor(px)), int(np.floor(py))
            u, v = px - a, py - b
            if a < 0 or b < 0 or a + (u > 0) >= nx or b + (v > 0) >= ny:
                continue
            a1, b1 = min(a + 1, nx - 1), min(b + 1, ny - 1)
            low = (1.0 - u) * band[b, a] + u * band[b, a1]
            high = (1.0 - u) * band[b1, a] + u * band[b1, a1]
            other[j, i] = (1.0 - v) * low + v * high
    difference = (band - other).ravel()
    scale = MAD_TO_SIGMA * np.median(np.abs(difference[np.isfinite(difference)]))
    out = band.copy()
    for j in range(ny):
        for i in range(nx):
            if band[j, i] - other[j, i] > max(NEIGHBOUR_SIGMAS * scale, NEIGHBOUR_SHARE * other[j, i]):
                out[j, i] = other[j, i]
    return out


def _moffat_image(fwhm_arcsec: float) -> np.ndarray:
    """(21, 21) Moffat profile of a delivered FWHM, sum 1."""
    axis = np.arange(-10, 11) * PIXEL_SCALE
    image = (1.0 + (axis[:, None] ** 2 + axis**2) / moffat_alpha(fwhm_arcsec) ** 2) ** -MOFFAT_BETA
    return image / image.sum()
