"""The reference: rays and light through lenstronomy (Birrer & Amara 2018), the PSF as kernels on the sub-pixel grid.

Slow and plain. The fast path (`dhs.injection.render.rays`, `dhs.injection.render.convolve`) is checked against it, and
``injection.renderer: lenstronomy`` makes a data set with it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from lenstronomy.LightModel.Profiles.interpolation import Interpol
from scipy import fft

from dhs.injection.lens import Lens, LenstronomyLens
from dhs.injection.sources.source import Source
from dhs.survey.facts import PIXEL_SCALE, STAMP
from dhs.survey.psf import MOFFAT_BETA, intrinsic_fwhm, moffat_alpha

KERNEL_RADIUS_PX = 63.0  # from any pixel of a stamp to any other: a nearer cut moves centroids by 1e-3 px


@lru_cache(maxsize=8)
def subgrid(supersampling: int, size: int = STAMP) -> tuple[np.ndarray, np.ndarray]:
    """Flattened x and y in arcsec of the sub-pixel centres of a stamp whose centre is the origin."""
    n = size * supersampling
    axis = ((np.arange(n) + 0.5) / supersampling - size / 2) * PIXEL_SCALE
    x, y = np.meshgrid(axis, axis)
    return x.ravel(), y.ravel()


def lensed_light(
    lens: Lens | LenstronomyLens, source: Source, x: float, y: float, phi: float, supersampling: int
) -> np.ndarray:
    """As `dhs.injection.render.rays.lensed_light`, every sub-pixel shot, float64.

    Notes
    -----
    lenstronomy's INTERPOL takes surface brightness per square arcsec, so the image is divided by its pixel area
    here and the result multiplied by the sub-pixel's.
    """
    gx, gy = subgrid(supersampling)
    bx, by = lens.model.ray_shooting(gx, gy, lens.kwargs())
    brightness = source.image / source.pixel_scale**2
    light = Interpol().function(bx, by, brightness, 1.0, x, y, phi, source.pixel_scale)
    n = STAMP * supersampling
    return light.reshape(n, n) * (PIXEL_SCALE / supersampling) ** 2


def moffat_kernel(fwhm_arcsec: float, supersampling: int) -> np.ndarray:
    """Moffat PSF on the sub-pixel grid, odd size, sum 1, without the pixel's own response.

    ``fwhm_arcsec`` is the delivered one, pixel included; the pixel's second moment (1/12 px^2) is taken out, because
    binning puts it back.
    """
    alpha = moffat_alpha(intrinsic_fwhm(fwhm_arcsec))
    half = int(KERNEL_RADIUS_PX * supersampling)
    axis = np.arange(-half, half + 1) * PIXEL_SCALE / supersampling
    kernel = (1.0 + (axis[:, None] ** 2 + axis[None, :] ** 2) / alpha**2) ** -MOFFAT_BETA
    return kernel / kernel.sum()


def image_kernel(psf: np.ndarray, supersampling: int) -> np.ndarray:
    """A PSF image brought to the sub-pixel grid, odd size, sum 1, the pixel's response taken out.

    The image is a band-limited sample of PSF times pixel. Its Fourier series is divided by the response of a pixel
    made of s sub-pixels, sin(pi f) / (s sin(pi f / s)), which has no zero below the Nyquist frequency, and evaluated
    at the sub-pixel centres; binning puts exactly that response back.
    """
    k = psf.shape[-1]
    positions = np.arange(-(k // 2) * supersampling, (k // 2) * supersampling + 1) / supersampling
    frequencies = np.arange(-(k // 2), k // 2 + 1) / k
    phase = 2.0 * np.pi * (positions[:, None, None] - np.arange(-(k // 2), k // 2 + 1)[None, :, None]) * frequencies
    pixel = np.sinc(frequencies) / np.sinc(frequencies / supersampling)
    matrix = (np.cos(phase) / pixel).sum(axis=2) / k
    kernel = matrix @ np.asarray(psf, dtype=np.float64) @ matrix.T
    return kernel / kernel.sum()


def kernels(psf: np.ndarray | None, psf_fwhm: np.ndarray, supersampling: int) -> list[np.ndarray]:
    """One sub-pixel kernel per band: from the PSF image where there is one, else Moffat with that band's FWHM."""
    if psf is not None:
        return [image_kernel(band, supersampling) for band in psf]
    return [moffat_kernel(float(fwhm), supersampling) for fwhm in psf_fwhm]


def convolve_and_bin(light: np.ndarray, kernel_list: list[np.ndarray], supersampling: int) -> np.ndarray:
    """Convolve sub-pixel light with each band's kernel and bin to pixels.

    Parameters
    ----------
    light : ndarray, (n s, n s)
        Flux per sub-pixel.
    kernel_list : list of ndarray, odd and square
    supersampling : int

    Returns
    -------
    ndarray, (bands, n, n)
        Flux per pixel. A kernel's central element leaves a point where it was.
    """
    n = light.shape[0]
    largest = max(k.shape[0] for k in kernel_list)
    size = fft.next_fast_len(n + largest // 2 + 1, real=True)
    transformed = fft.rfft2(light, (size, size))
    out = []
    for kernel in kernel_list:
        half = kernel.shape[0] // 2
        padded = np.zeros((size, size))
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        padded = np.roll(padded, (-half, -half), axis=(0, 1))
        full = fft.irfft2(transformed * fft.rfft2(padded), (size, size))[:n, :n]
        s = supersampling
        out.append(full.reshape(n // s, s, n // s, s).sum(axis=(1, 3)))
    return np.stack(out)
