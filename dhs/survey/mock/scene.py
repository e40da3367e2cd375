"""A mock scene: galaxies, stars and maps of brightness, seen through a Moffat PSF.

Everything is summed as Fourier modes of a 96 x 96 px torus, so a cuspy centre needs no oversampling: the pixel's
response and the PSF multiply the modes. The light that wraps around the torus comes from more than 12.5 arcsec away.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np
from scipy import fft

from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.mock.gaussians import SIGMAS, SIZE, add_galaxies, through_psf
from dhs.survey.psf import intrinsic_fwhm, moffat_alpha

_PIXEL = np.sinc(np.fft.rfftfreq(SIZE))[None, :] * np.sinc(np.fft.fftfreq(SIZE))[:, None]
# A map is sampled at pixel centres; without the pixel's response it would be blurred by it twice.
_UNPIXEL = (1.0 / np.maximum(_PIXEL, 0.4)).astype(np.float32)
ROUND = (0.0, 0.0, 0.0, 0.0, 0.0)  # no gradients, no twist, elliptical isophotes


@cache
def sersic_table() -> np.ndarray:
    """`dhs.survey.mock.gaussians.sersic_mixture` as it ships (``sersic.json``)."""
    return np.array(json.loads((resources.files("dhs.survey.mock") / "sersic.json").read_text())["weights"])


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
        self._alpha = np.asarray(moffat_alpha(intrinsic_fwhm(psf_fwhm) / PIXEL_SCALE))
        self._rows: list[tuple] = []
        self._maps: list[tuple] = []

    def sersic(self, flux, x, y, re, n, q=1.0, phi=0.0, structure=ROUND) -> None:
        """Add a Sérsic profile with index n from 1 to 6; ``structure`` as in the last `COLUMNS` of a galaxy's row."""
        self._rows.append((*flux, x, y, re, n, q, phi, *structure))

    def exponential(self, flux, x: float, y: float, re: float, q: float = 1.0, phi: float = 0.0) -> None:
        """Add an exponential disc."""
        self.sersic(flux, x, y, re, 1.0, q, phi)

    def point(self, flux, x: float, y: float) -> None:
        """Add a star."""
        self.sersic(flux, x, y, 0.0, 1.0)

    def map(self, flux, brightness: np.ndarray) -> None:
        """Add a (96, 96) map of surface brightness, its centre on pixel (48, 48), scaled to the flux."""
        self._maps.append((np.asarray(flux, np.float32), brightness))

    def image(self, size: int) -> np.ndarray:
        """(3, size, size) light, nanomaggies a pixel, the centre pixel at index size // 2."""
        modes = np.zeros((3, SIZE, SIZE // 2 + 1), dtype=np.complex64)
        if self._rows:
            add_galaxies(np.array(self._rows, dtype=np.float64), sersic_table(), SIGMAS, modes)
        for flux, brightness in self._maps:
            seen = fft.rfft2(fft.ifftshift(brightness / brightness.sum()).astype(np.float32)) * _UNPIXEL
            modes += flux[:, None, None] * seen
        through_psf(modes, self._alpha)
        full = fft.irfft2(modes, (SIZE, SIZE), overwrite_x=True)
        start = SIZE // 2 - size // 2
        return np.ascontiguousarray(full[:, start : start + size, start : start + size])


@cache
def map_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y in pixels from the centre of a map of `Scene.map`, both (96, 96)."""
    axis = np.arange(SIZE, dtype=np.float32) - SIZE // 2
    x, y = np.meshgrid(axis, axis)
    return x, y
