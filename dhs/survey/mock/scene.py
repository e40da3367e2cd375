"""Rendering of mock scenes in Fourier space: Sérsic profiles, exponential discs, points and maps through a Moffat PSF.

Everything is summed as Fourier modes of a 96 x 96 px torus, so a cuspy centre needs no oversampling: the pixel's
response and the PSF multiply the modes. The light that wraps around the torus comes from more than 12.5 arcsec away.
Sérsic transforms come from a table made once with galsim.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft

from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.psf import intrinsic_fwhm, moffat_transform

SIZE = 96
_N = np.arange(0.5, 6.01, 0.25)  # Sérsic indices of the table
_LOG_K = np.linspace(np.log(1e-2), np.log(300.0), 384)  # k R_e of the table

# Single precision throughout: 1e-7 of the flux is far below the noise.
_KX = (2.0 * np.pi * np.fft.rfftfreq(SIZE)[None, :]).astype(np.float32)
_KY = (2.0 * np.pi * np.fft.fftfreq(SIZE)[:, None]).astype(np.float32)
_K = np.hypot(_KX, _KY)
_PIXEL = np.sinc(_KX / (2.0 * np.pi)) * np.sinc(_KY / (2.0 * np.pi))


@cache
def _sersic_table() -> np.ndarray:
    """(n_index, n_k) Fourier transform of a unit-flux Sérsic profile with R_e = 1, along a radius."""
    import galsim

    k = np.exp(_LOG_K)
    profiles = [galsim.Sersic(n, half_light_radius=1.0) for n in _N]
    return np.array([[p.kValue(v, 0.0).real for v in k] for p in profiles], dtype=np.float32)


def sersic_transform(k_re: np.ndarray, n: float) -> np.ndarray:
    """Fourier transform of a unit-flux Sérsic profile at k R_e, interpolated in n and log k."""
    i = min(int((n - _N[0]) / 0.25), len(_N) - 2)
    weight = float(n - _N[i]) / 0.25
    row = (1.0 - weight) * _sersic_table()[i] + weight * _sersic_table()[i + 1]
    step = float(_LOG_K[1] - _LOG_K[0])
    position = np.clip((np.log(np.maximum(k_re, 1e-9)) - float(_LOG_K[0])) / step, 0.0, len(_LOG_K) - 1.01)
    j = position.astype(np.intp)
    return row[j] + (position - j) * (row[j + 1] - row[j])


def _elliptical_k(q, phi):
    """|k| in units where the ellipse of axis ratio q (semi-axes sqrt(q), 1/sqrt(q)) is a circle."""
    q, c, s = float(q), float(np.cos(phi)), float(np.sin(phi))
    along, across = c * _KX + s * _KY, -s * _KX + c * _KY
    return np.sqrt(along**2 / q + across**2 * q)


class Scene:
    """Light on the sky, before noise.

    Positions are pixels (x, y) from the centre pixel; sizes are pixels; angles radians counter-clockwise from +x;
    fluxes (3,) nanomaggies. Radii are circularised: R_e = sqrt(a b).

    Parameters
    ----------
    psf_fwhm : ndarray, (3,)
        Delivered FWHM per band, arcsec, pixel included.
    """

    def __init__(self, psf_fwhm: np.ndarray):
        fwhm_px = intrinsic_fwhm(psf_fwhm) / PIXEL_SCALE
        self._psf = np.stack([moffat_transform(_K, float(fwhm)) * _PIXEL for fwhm in fwhm_px])
        self._modes = np.zeros((3, *_K.shape), dtype=np.complex64)

    def _add(self, flux, x: float, y: float, transform) -> None:
        modes = np.exp(np.complex64(-1j) * _KY * float(y)) * np.exp(np.complex64(-1j) * _KX * float(x)) * transform
        for total, value in zip(self._modes, flux):
            total += np.float32(value) * modes

    def sersic(self, flux, x: float, y: float, re: float, n: float, q: float = 1.0, phi: float = 0.0) -> None:
        """Add a Sérsic profile with index n from 0.5 to 6."""
        self._add(flux, x, y, sersic_transform(_elliptical_k(q, phi) * float(re), n))

    def exponential(self, flux, x: float, y: float, re: float, q: float = 1.0, phi: float = 0.0) -> None:
        """Add an exponential disc; its transform is (1 + (k h)^2)^-3/2 with R_e = 1.678 h."""
        self._add(flux, x, y, (1.0 + (_elliptical_k(q, phi) * float(re / 1.67835)) ** 2) ** -1.5)

    def point(self, flux, x: float, y: float) -> None:
        """Add a star."""
        self._add(flux, x, y, 1.0)

    def map(self, flux, brightness: np.ndarray) -> None:
        """Add a (96, 96) map of surface brightness, its centre on pixel (48, 48), scaled to the flux."""
        modes = fft.rfft2(fft.ifftshift(brightness / brightness.sum()).astype(np.float32))
        # The map is sampled at pixel centres; without the pixel's response it would be blurred by it twice.
        modes = modes / np.maximum(_PIXEL, 0.4)
        for total, value in zip(self._modes, flux):
            total += np.float32(value) * modes

    def image(self, size: int) -> np.ndarray:
        """(3, size, size) light, nanomaggies a pixel, the centre pixel at index size // 2."""
        full = fft.fftshift(fft.irfft2(self._modes * self._psf, (SIZE, SIZE)), axes=(1, 2))
        start = SIZE // 2 - size // 2
        return full[:, start : start + size, start : start + size]


@cache
def map_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y in pixels from the centre of a map of `Scene.map`, both (96, 96)."""
    axis = np.arange(SIZE) - SIZE // 2
    x, y = np.meshgrid(axis, axis)
    return x.astype(float), y.astype(float)
