"""Galaxies as sums of Gaussians, rendered in Fourier space in one compiled pass.

A Sérsic profile is a mixture of Gaussians of many widths (Hogg & Lang 2013, PASP 125, 719); each of them can have a
colour, an axis ratio, a position angle and a boxiness of its own, so isophotes with gradients cost no more than those
without. A Gaussian's transform is a Gaussian: along a row of modes it follows by two multiplications from the last.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

SIZE = 96  # pixels of the torus
N_SERSIC = np.arange(1.0, 6.01, 0.25)
SIGMAS = np.geomspace(0.012, 24.0, 13)  # widths, in units of R_e
INSIDE, OUTSIDE = 0.2, 2.5  # gradients hold between these radii, in R_e, and stop beyond
FAINTEST = 16.0  # modes below exp(-16) are left out

COLUMNS = (
    *("flux_g", "flux_r", "flux_z", "x", "y", "re", "n", "q", "phi"),
    *("gradient_g", "gradient_z", "q_gradient", "twist", "boxiness"),
)
"""Of a galaxy's row. Nanomaggies, pixels, radians; gradients a factor ten in radius: of g - r and r - z in magnitudes
(negative: bluer outwards), of the axis ratio, of the position angle; boxiness is a4/a at a Gaussian's own radius,
positive for discs."""


@cache
def sersic_mixture() -> np.ndarray:
    """(n_index, n_gaussians) weights of the Gaussians of widths `SIGMAS` in a Sérsic profile of R_e = 1 and flux 1.

    Non-negative least squares on the transform, which is where they are used.
    """
    import galsim
    from scipy.optimize import nnls

    k = np.geomspace(0.02, 100.0, 120)
    design = np.exp(-0.5 * (k[:, None] * SIGMAS) ** 2)
    # The sum of the weights is the flux: held by a row of its own.
    design = np.vstack([design, 10.0 * np.ones(len(SIGMAS))])
    out = []
    for n in N_SERSIC:
        profile = galsim.Sersic(n, half_light_radius=1.0)
        target = [profile.kValue(v, 0.0).real for v in k]
        weights, _ = nnls(design, np.array([*target, 10.0]))
        out.append(weights / weights.sum())
    return np.array(out)


@njit(cache=True, nogil=True, error_model="numpy")
def _exponential(light, step, row):
    """Transform of an exponential disc, (1 + (k h)^2)^-3/2 with R_e = 1.678 h; ``light`` (ky, kx) is overwritten."""
    size, half = light.shape
    q, c, s = row[7], np.cos(row[8]), np.sin(row[8])
    h = step * row[5] / 1.67835
    for j in range(size):
        ky = j if 2 * j < size else j - size
        for i in range(half):
            along, across = c * i + s * ky, c * ky - s * i
            value = 1.0 + h * h * (along * along / q + across * across * q)
            light[j, i] = 1.0 / (value * np.sqrt(value))


@njit(cache=True, nogil=True, error_model="numpy")
def _gaussian(light, step, flux, sigma, q, phi):
    """Add a Gaussian's transform to (ky, kx) modes."""
    size, half = light.shape
    c, s = np.cos(phi), np.sin(phi)
    a, b = sigma / np.sqrt(q), sigma * np.sqrt(q)
    xx = a * a * c * c + b * b * s * s
    tilt = (a * a - b * b) * s * c / xx
    across = 0.5 * (a * a * s * s + b * b * c * c - xx * tilt * tilt)
    second = np.exp(-xx * step * step)
    for j in range(size):
        ky = step * (j if 2 * j < size else j - size)
        row = across * ky * ky
        if row > FAINTEST:
            continue
        reach = np.sqrt(2.0 * (FAINTEST - row) / xx)
        low = max(0, int(np.ceil((-tilt * ky - reach) / step)))
        high = min(half - 1, int(np.floor((-tilt * ky + reach) / step)))
        if low > high:
            continue
        t = low * step + tilt * ky
        value = flux * np.exp(-row - 0.5 * xx * t * t)
        ratio = np.exp(-xx * (t * step + 0.5 * step * step))
        for i in range(low, high + 1):
            light[j, i] += value
            value *= ratio
            ratio *= second


@njit(cache=True, nogil=True, error_model="numpy")
def _gradients(light, step, row, weights, sigmas):
    """Add a galaxy's Gaussians to (3, ky, kx) modes of unit flux a band, each with its own share, shape and angle."""
    size, half = light.shape[1:]
    scale = np.zeros((len(sigmas), 3))
    total = np.zeros(3)
    for j in range(len(sigmas)):
        radius = np.log10(min(max(sigmas[j], INSIDE), OUTSIDE))
        # A gradient of g - r makes g fainter or brighter, one of r - z does so to z with the other sign.
        scale[j, 0] = weights[j] * 10.0 ** (-0.4 * row[9] * radius)
        scale[j, 1] = weights[j]
        scale[j, 2] = weights[j] * 10.0 ** (0.4 * row[10] * radius)
        total += scale[j]
    one = np.empty((size, half), np.float32)
    for k in range(len(sigmas)):
        if weights[k] <= 0.0:
            continue
        radius = np.log10(min(max(sigmas[k], INSIDE), OUTSIDE))
        q, phi, sigma = min(max(row[7] + row[11] * radius, 0.1), 1.0), row[8] + row[12] * radius, sigmas[k] * row[5]
        one[:] = 0.0
        _gaussian(one, step, 1.0, sigma, q, phi)
        c, s, a, b = np.cos(phi), np.sin(phi), step * sigma / np.sqrt(q), step * sigma * np.sqrt(q)
        shares = (scale[k] / total).astype(np.float32)
        for j in range(size):
            ky = j if 2 * j < size else j - size
            for i in range(half):
                u, v = a * (c * i + s * ky), b * (c * ky - s * i)
                u, v = u * u, v * v
                value = one[j, i] * np.float32(1.0 + row[13] * (u * u - 6.0 * u * v + v * v))
                light[0, j, i] += shares[0] * value
                light[1, j, i] += shares[1] * value
                light[2, j, i] += shares[2] * value


@njit(cache=True, nogil=True, error_model="numpy")
def add_galaxies(galaxies, table, sigmas, modes):
    """Add galaxies to the Fourier modes of a scene.

    Parameters
    ----------
    galaxies : ndarray, (n, 14)
        Rows of `COLUMNS`; R_e of 0 is a star. (x, y) count from the centre pixel.
    table, sigmas : ndarray
        `sersic_mixture` and `SIGMAS`.
    modes : ndarray, (3, 96, 49) complex64
        Changed in place.
    """
    size, half = modes.shape[1:]
    step = 2.0 * np.pi / size
    light = np.empty(modes.shape, np.float32)
    real, imaginary, cos_x, sin_x = np.empty((4, half), np.float32)
    for g in range(len(galaxies)):
        row = galaxies[g]
        n, plain = row[6], not row[9:].any()
        planes = 1 if plain else 3
        if row[5] <= 0.0:
            light[0] = 1.0
        elif plain and n == 1.0:
            _exponential(light[0], step, row)
        else:
            light[:planes] = 0.0
            at = min(max((n - 1.0) / 0.25, 0.0), len(table) - 1.0)
            below = min(int(at), len(table) - 2)
            weights = (below + 1 - at) * table[below] + (at - below) * table[below + 1]
            if plain:
                for j in range(len(sigmas)):
                    if weights[j] > 0.0:
                        _gaussian(light[0], step, weights[j], sigmas[j] * row[5], row[7], row[8])
            else:
                _gradients(light, step, row, weights, sigmas)
        for i in range(half):
            cos_x[i], sin_x[i] = np.cos(step * i * row[3]), -np.sin(step * i * row[3])
        for j in range(size):
            angle = step * (j if 2 * j < size else j - size) * row[4]
            cos_y, sin_y = np.float32(np.cos(angle)), np.float32(-np.sin(angle))
            for i in range(half):
                real[i] = cos_x[i] * cos_y - sin_x[i] * sin_y
                imaginary[i] = cos_x[i] * sin_y + sin_x[i] * cos_y
            for band in range(3):
                flux, plane = np.float32(row[band]), light[0 if plain else band, j]
                into = modes[band, j]
                for i in range(half):
                    value = flux * plane[i]
                    into[i] += np.complex64(complex(value * real[i], value * imaginary[i]))


@njit(cache=True, nogil=True, error_model="numpy")
def through_psf(modes, alpha):
    """Multiply modes with each band's Moffat PSF (beta = 3.5, scale radius ``alpha`` px) and the pixel's response.

    The centre moves from pixel 0 to the middle of the torus.
    """
    size, half = modes.shape[1:]
    step = 2.0 * np.pi / size
    pixel = np.ones(half)
    for i in range(1, half):
        pixel[i] = np.sin(0.5 * step * i) / (0.5 * step * i)
    for band in range(3):
        for j in range(half):
            for i in range(j, half):
                x = step * alpha[band] * np.sqrt(float(i * i + j * j))
                value = np.float32(np.exp(-x) * (1.0 + x + x * x / 3.0) * pixel[i] * pixel[j])
                if (i + j) % 2:  # half a torus along both axes: the centre moves to its middle
                    value = -value
                modes[band, j, i] *= value
                if 0 < j < size - j:
                    modes[band, size - j, i] *= value
                if i != j:
                    modes[band, i, j] *= value
                    if 0 < i < size - i:
                        modes[band, size - i, j] *= value


@njit(cache=True, nogil=True, error_model="numpy")
def noisy(light, normal, sigma, gain, along_x, along_y):
    """Light with sky and photon noise that went through a coadd's resampling.

    Parameters
    ----------
    light, normal : ndarray, (3, n + m, n + m) float32
        Noiseless light with a margin, and standard normal deviates; m + 1 taps of the kernels.
    sigma, gain : ndarray, (3,)
        Sky noise before resampling, and electrons per nanomaggy.
    along_x, along_y : ndarray, (m + 1,) float32
        Resampling kernels.

    Returns
    -------
    ndarray, (3, n, n) float32
    """
    bands, full = light.shape[:2]
    taps = len(along_x)
    n = full - taps + 1
    out = np.empty((bands, n, n), np.float32)
    half = np.zeros((n, full), np.float32)
    scaled = np.empty((full, full), np.float32)
    for b in range(bands):
        sky, shot = np.float32(sigma[b] ** 2), np.float32(1.0 / gain[b])
        for j in range(full):
            for i in range(full):
                scaled[j, i] = np.sqrt(sky + max(light[b, j, i], np.float32(0.0)) * shot) * normal[b, j, i]
        half[:] = 0.0
        for j in range(n):
            for t in range(taps):
                tap = along_y[t]
                for i in range(full):
                    half[j, i] += tap * scaled[j + t, i]
        margin = taps // 2
        for j in range(n):
            for i in range(n):
                out[b, j, i] = light[b, j + margin, i + margin]
            for t in range(taps):
                tap = along_x[t]
                for i in range(n):
                    out[b, j, i] += tap * half[j, i + t]
    return out
