"""The reference (`dhs.injection.render.reference`) where there is light, at a fifth of its cost.

Rays and source are lenstronomy's, shot only where the deflection can carry them to the source: what is left out is
dark. The PSF goes over that light as a Fourier series, a Moffat's from its closed transform instead of a kernel of
half a million values. No step is shared with the fast path (`dhs.injection.render.rays`,
`dhs.injection.render.convolve`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from lenstronomy.LightModel.Profiles.interpolation import Interpol
from scipy import fft

from dhs.injection.lens import ISOTHERMAL, Lens
from dhs.injection.render.reference import image_kernel, subgrid
from dhs.injection.sources.source import Source
from dhs.survey.facts import PIXEL_SCALE, STAMP
from dhs.survey.psf import intrinsic_fwhm, moffat_alpha, moffat_transform

DIRECTIONS = np.linspace(0, 2 * np.pi, 64, endpoint=False)
BETWEEN = 1.01  # greatest deflection over the greatest in one of the directions
WINGS_PX = 44  # of a Moffat profile, kept before the periodic frame repeats it: at 1e-7 of its peak
DARK = 21.0  # k alpha from which a Moffat profile passes less than 2e-7


class Lit(NamedTuple):
    """Light before the PSF: ``box``, (k, k) flux per sub-pixel, whose first row and column are ``start``."""

    box: np.ndarray
    start: int

    def frame(self, supersampling: int) -> np.ndarray:
        """(64 s, 64 s) the light on the whole stamp."""
        out = np.zeros((STAMP * supersampling, STAMP * supersampling))
        stop = self.start + len(self.box)
        out[self.start : stop, self.start : stop] = self.box
        return out

    def centroid_px(self, supersampling: int) -> np.ndarray:
        """(2,) x, y of its centroid from the stamp's centre, pixels; 0 where there is no light."""
        axis = (np.arange(len(self.box)) + self.start + 0.5) / supersampling - STAMP / 2
        total = self.box.sum()
        return np.array([self.box.sum(axis=0) @ axis, self.box.sum(axis=1) @ axis]) / (total if total > 0 else np.inf)


def lensed_light(lens: Lens, source: Source, x: float, y: float, phi: float, supersampling: int) -> Lit:
    """As `dhs.injection.render.reference.lensed_light`, cut to the square of sub-pixels that holds all light."""
    first, last = _reached(lens, source, x, y)
    box = slice(first * supersampling, last * supersampling)
    n = STAMP * supersampling
    gx, gy = (g.reshape(n, n)[box, box] for g in subgrid(supersampling))
    bx, by = lens.model.ray_shooting(gx.ravel(), gy.ravel(), lens.kwargs())
    near = np.hypot(bx - x, by - y) <= source.reach_arcsec
    light = np.zeros(gx.size)
    brightness = source.image / source.pixel_scale**2
    light[near] = Interpol().function(bx[near], by[near], brightness, 1.0, x, y, phi, source.pixel_scale)
    light = light.reshape(gx.shape) * (PIXEL_SCALE / supersampling) ** 2
    lit = np.flatnonzero((light != 0).any(axis=0) | (light != 0).any(axis=1))
    if not len(lit):
        return Lit(np.zeros((1, 1)), n // 2)
    return Lit(light[lit[0] : lit[-1] + 1, lit[0] : lit[-1] + 1], box.start + int(lit[0]))


def _reached(lens: Lens, source: Source, x: float, y: float) -> tuple[int, int]:
    """The square of pixels, first and past the last, outside which no ray comes within reach of the source.

    A ray at distance r from the lens lands r (1 - gamma) - a r^(2 - slope) from it or farther, with a the greatest
    deflection at 1 arcsec.
    """
    shear, power = np.hypot(lens.gamma1, lens.gamma2), ISOTHERMAL - lens.slope
    ring = lens.x + np.cos(DIRECTIONS), lens.y + np.sin(DIRECTIONS)
    most = BETWEEN * (np.hypot(*lens.model.alpha(*ring, lens.kwargs())).max() + shear)
    axis = (np.arange(STAMP) + 0.5 - 0.5 * STAMP) * PIXEL_SCALE
    r, half = np.hypot(axis - lens.x, (axis - lens.y)[:, None]), PIXEL_SCALE / np.sqrt(2)
    nearest, farthest = np.maximum(r - half, 1e-6), r + half
    lands = nearest * (1 - shear) - most * (farthest if power > 0 else nearest) ** power
    inside = ~(lands > np.hypot(x - lens.x, y - lens.y) + source.reach_arcsec)
    found = np.flatnonzero(inside.any(axis=0) | inside.any(axis=1))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)


def observe(light: Lit, psf: np.ndarray | None, psf_fwhm: np.ndarray, supersampling: int) -> np.ndarray:
    """Light through each band's PSF, on the pixel grid.

    Parameters
    ----------
    light : Lit
    psf : ndarray or None, (3, k, k)
        PSF images.
    psf_fwhm : ndarray, (3,)
        Delivered FWHM in arcsec of the Moffat profile used where there is no image.
    supersampling : int

    Returns
    -------
    ndarray, (3, 64, 64) float64
        Flux per pixel: `dhs.injection.render.reference.convolve_and_bin` to 1e-5 of the peak.
    """
    s, start, stop = supersampling, light.start / supersampling, (light.start + len(light.box)) / supersampling
    reach = WINGS_PX if psf is None else psf.shape[-1] // 2
    least = max(STAMP, STAMP + reach - start, stop + reach, 2 * reach + 1)
    period = fft.next_fast_len(int(np.ceil(least)), real=True)  # pixels
    samples = s if psf is not None else _samples(psf_fwhm, s)
    size = period * samples
    f = fft.rfftfreq(size, 1 / samples)  # along x, cycles a pixel
    other = np.rint(fft.fftfreq(size, 1 / size)).astype(int)  # along y, in steps of f
    spectrum = fft.fft(fft.rfft(light.box, period * s, axis=1)[:, : len(f)], period * s, axis=0)[other]
    pixel = np.sinc(f) / np.sinc(f / s) * np.exp(-2j * np.pi * f * (start + 0.5 / s - 0.5)) * samples
    spectrum *= np.where(other < 0, pixel[np.abs(other)].conj(), pixel[np.abs(other)])[:, None] * pixel
    out = np.empty((len(psf_fwhm), STAMP, STAMP))
    for band, fwhm in enumerate(psf_fwhm):
        if psf is None:
            wave = 2 * np.pi / PIXEL_SCALE * np.hypot(f, f[:, None])
            passed = moffat_transform(wave, float(intrinsic_fwhm(fwhm)))[np.abs(other)]
        else:
            passed = _image_transform(psf[band], s, size)
        columns = fft.ifft(spectrum * passed, axis=0)[: STAMP * samples : samples]
        out[band] = fft.irfft(columns, size, axis=1)[:, : STAMP * samples : samples]
    return out


def _samples(psf_fwhm: np.ndarray, supersampling: int) -> int:
    """Samples a pixel that hold every frequency which the sharpest of some Moffat profiles passes."""
    highest = DARK / (2 * np.pi * moffat_alpha(float(intrinsic_fwhm(np.min(psf_fwhm)))) / PIXEL_SCALE)
    fits = [m for m in range(1, supersampling) if supersampling % m == 0 and m >= 2 * highest]
    return fits[0] if fits else supersampling


def _image_transform(psf: np.ndarray, supersampling: int, size: int) -> np.ndarray:
    kernel = image_kernel(psf, supersampling)
    half = len(kernel) // 2
    padded = np.zeros((size, size))
    padded[: len(kernel), : len(kernel)] = kernel
    return fft.rfft2(np.roll(padded, (-half, -half), axis=(0, 1)))
