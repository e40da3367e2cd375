"""Each band's PSF on lensed light, in Fourier space.

A PSF of one arcsecond passes nothing above about one cycle a pixel, so the light's fine grid is first thinned to two
samples a pixel with a (1, 3, 3, 1) filter, whose response cos^3 is divided out of the transfer function. One transform
of the light serves all bands; each band multiplies it with its PSF and the pixel's own response, folds what lies
beyond the pixel grid's Nyquist frequency back (that is what sampling does), and returns to pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from scipy import fft

from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.psf import intrinsic_fwhm, moffat_alpha

PERIOD = 90  # pixels of the periodic frame: wings wrap into a 64-pixel stamp only from 26 pixels beyond its edge


def halvings(supersampling: int) -> int:
    """How often a grid is thinned by two: down to two samples a pixel, or to an odd number."""
    count = 0
    while supersampling > 2 and supersampling % 2 == 0:
        supersampling, count = supersampling // 2, count + 1
    return count


@lru_cache(maxsize=8)
def _response(supersampling: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along one axis: frequencies in cycles a pixel, the pixel's response, and phase over the thinning's response."""
    count = halvings(supersampling)
    m = supersampling >> count
    f = fft.fftfreq(m * PERIOD, 1.0 / m)
    pixel = np.sinc(f) / np.sinc(f / supersampling)
    thinning = np.prod([np.cos(np.pi * f / (m << k)) ** 3 for k in range(1, count + 1)], axis=0)
    return f, pixel, np.exp(2j * np.pi * f * (0.5 - 0.5 / m)) / thinning


@lru_cache(maxsize=8)
def _weights(supersampling: int) -> np.ndarray:
    """(m P, m P / 2 + 1) complex64: what every band's transform of the light is multiplied with."""
    _, pixel, rest = _response(supersampling)
    along = pixel * rest
    return (along[:, None] * along[None, : len(along) // 2 + 1]).astype(np.complex64)


def transfer(psf: np.ndarray | None, psf_fwhm: np.ndarray, supersampling: int) -> np.ndarray:
    """Transfer function of each band's PSF, without the pixel's response.

    Parameters
    ----------
    psf : ndarray or None, (3, k, k)
        PSF images, k odd, at most 89; the pixel's response is in them and is divided out.
    psf_fwhm : ndarray, (3,)
        Delivered FWHM in arcsec of the Moffat profile used where there is no image.
    supersampling : int

    Returns
    -------
    ndarray, (3, m P, m P / 2 + 1) complex64
        m samples a pixel (`halvings`), P = `PERIOD`.

    Raises
    ------
    ValueError
        PSF images of even or too large a size.
    """
    if psf is None:
        return _moffats(tuple(map(float, psf_fwhm)), supersampling >> halvings(supersampling))
    f, pixel, _ = _response(supersampling)
    half = len(f) // 2 + 1
    k = psf.shape[-1]
    if k % 2 == 0 or k >= PERIOD:
        raise ValueError(f"a PSF image has an odd number of pixels a side, below {PERIOD}; this one has {k}")
    frame = np.zeros((len(psf), PERIOD, PERIOD))
    frame[:, :k, :k] = psf / psf.sum(axis=(1, 2), keepdims=True)
    spectrum = fft.rfft2(np.roll(frame, (-(k // 2), -(k // 2)), axis=(1, 2)))
    out = np.zeros((len(psf), len(f), half), np.complex64)
    kept = np.abs(f) < 0.5  # a pixel-sampled PSF says nothing beyond
    rows, columns = np.nonzero(kept)[0], np.nonzero(kept[:half])[0]
    response = pixel[rows][:, None] * pixel[columns][None, :]
    coarse = np.round(f[rows] * PERIOD).astype(int) % PERIOD
    out[:, rows[:, None], columns] = spectrum[:, coarse[:, None], columns] / response
    return out


@lru_cache(maxsize=2)
def _moffats(psf_fwhm: tuple[float, ...], samples: int) -> np.ndarray:
    """`transfer` of Moffat profiles at ``samples`` a pixel; pairs of one host and their hard negatives share it."""
    f = fft.fftfreq(samples * PERIOD, 1.0 / samples)
    alpha = moffat_alpha(intrinsic_fwhm(np.array(psf_fwhm))) / PIXEL_SCALE
    out = np.empty((len(alpha), len(f), len(f) // 2 + 1), np.complex64)
    _moffat(f, 2.0 * np.pi * alpha, out)
    return out


def observe(light: np.ndarray, transfers: np.ndarray, supersampling: int) -> np.ndarray:
    """Light through each band's PSF, on the pixel grid.

    Parameters
    ----------
    light : ndarray, (n s, n s)
        Flux per sub-pixel, n at most `PERIOD`.
    transfers : ndarray, (bands, m P, m P / 2 + 1)
        From `transfer`.
    supersampling : int

    Returns
    -------
    ndarray, (bands, n, n) float32
        Flux per pixel.
    """
    n = light.shape[0] // supersampling
    frame = np.zeros((PERIOD * supersampling, PERIOD * supersampling), np.float32)
    frame[: len(light), : len(light)] = light
    used = len(light)
    for _ in range(halvings(supersampling)):
        frame = _halve(frame, used)
        used = min(used // 2 + 1, len(frame))
    spectrum = fft.rfft2(frame) * _weights(supersampling)
    folded = np.empty((len(transfers), PERIOD, PERIOD // 2 + 1), np.complex64)
    _fold(spectrum, transfers, folded)
    return fft.irfft2(folded, (PERIOD, PERIOD))[:, :n, :n]


@njit(cache=True, error_model="numpy")
def _moffat(f, scale, out):
    """Transform of a Moffat profile with beta = 3.5 (`dhs.survey.psf.moffat_transform`); scale is 2 pi alpha."""
    n, half = out.shape[1:]
    for b in range(out.shape[0]):
        for j in range(half):
            for i in range(j, half):
                x = scale[b] * np.sqrt(f[j] * f[j] + f[i] * f[i])
                value = np.float32(np.exp(-x) * (1.0 + x + x * x / 3.0)) if x < 25.0 else np.float32(0.0)
                out[b, j, i] = value
                out[b, i, j] = value
        for j in range(half, n):
            out[b, j] = out[b, n - j]


@njit(cache=True, error_model="numpy")
def _halve(light, used):
    """A periodic grid thinned by two with the filter (1, 3, 3, 1) / 4 along each axis; the sum is kept.

    Light lies in the first ``used`` rows and columns, and in the last of each; what it does not reach stays 0.
    """
    n = light.shape[0]
    half, three = n // 2, np.float32(3.0)
    reached = min(used // 2 + 1, half)
    out = np.zeros((half, half), np.float32)
    low = np.zeros(n + 2, np.float32)
    for j in range(half):
        if reached <= j < half - 1:
            continue
        a, b, c, d = light[(2 * j - 1) % n], light[2 * j], light[2 * j + 1], light[(2 * j + 2) % n]
        for i in range(n):
            low[i + 1] = a[i] + three * (b[i] + c[i]) + d[i]
        low[0], low[n + 1] = low[n], low[1]
        for i in range(half):
            if reached <= i < half - 1:
                continue
            out[j, i] = low[2 * i] + three * (low[2 * i + 1] + low[2 * i + 2]) + low[2 * i + 3]
    return out * np.float32(1.0 / 16.0)


@njit(cache=True, error_model="numpy")
def _fold(spectrum, transfers, out):
    """Product of a half spectrum with each band's transfer function, aliased onto the pixel grid's frequencies.

    Column i of row j also stands for the conjugate at (-j, -i).
    """
    n, columns = spectrum.shape
    period, half = out.shape[1:]
    direct, conjugate = np.full(columns, -1), np.full(columns, -1)  # where a column goes, if anywhere
    for i in range(half - 1, columns):
        if i >= half and i % period < half and 2 * i < n:
            direct[i] = i % period
        if (n - i) % period < half:
            conjugate[i] = (n - i) % period
    out[:] = 0.0
    for band in range(out.shape[0]):
        for j in range(n):
            row, mirrored = out[band, j % period], out[band, (n - j) % period]
            for i in range(min(half, columns)):
                row[i] += spectrum[j, i] * transfers[band, j, i]
            for i in range(half - 1, columns):
                value = spectrum[j, i] * transfers[band, j, i]
                if direct[i] >= 0:
                    row[direct[i]] += value
                if conjugate[i] >= 0:
                    mirrored[conjugate[i]] += np.conj(value)
