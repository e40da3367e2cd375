"""The noiseless arc: one road for the fast renderer and for the lenstronomy reference.

Rays are shot once a stamp and serve all bands; each band then goes through its own PSF. `METHODS` names the two ways:
``fast`` (`dhs.injection.render.rays`, `dhs.injection.render.convolve`) and ``lenstronomy``
(`dhs.injection.render.reference`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dhs.errors import UsageError
from dhs.injection.lens import Lens, LenstronomyLens
from dhs.injection.render import convolve, rays, reference
from dhs.injection.sources.source import Source


class Method(NamedTuple):
    """``light(lens, source, x, y, phi, s)``, ``psf(psf, psf_fwhm, s)`` and ``observe(light, that psf, s)``."""

    light: Callable
    psf: Callable
    observe: Callable


METHODS = {
    "fast": Method(rays.lensed_light, convolve.transfer, convolve.observe),
    "lenstronomy": Method(reference.lensed_light, reference.kernels, reference.convolve_and_bin),
}


def render_arc(
    lens: Lens | LenstronomyLens,
    source: Source,
    x: float,
    y: float,
    phi: float = 0.0,
    *,
    psf: np.ndarray,
    supersampling: int = 4,
    method: str = "fast",
) -> np.ndarray:
    """Noiseless arc of a source in g, r, z.

    Parameters
    ----------
    lens : Lens or LenstronomyLens
        Elliptical power law with shear, or any lenstronomy lens model.
    source : Source
    x, y : float
        Source position, arcsec from the stamp's centre, in the source plane.
    phi : float
        Rotation of the source image, radians counter-clockwise.
    psf : array_like, (3,) or (3, k, k)
        Delivered FWHM in arcsec of the Moffat profile of each band; or PSF images at 0.262 arcsec a pixel, k odd,
        pixel response included.
    supersampling : int
        Sub-pixels a side of a pixel at which rays are shot.
    method : {"fast", "lenstronomy"}

    Returns
    -------
    ndarray, (3, 64, 64)
        Nanomaggies a pixel, for the source's own flux.

    Raises
    ------
    UsageError
        Unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"unknown renderer {method!r}: choose one of {sorted(METHODS)}")
    how = METHODS[method]
    light = how.light(lens, source, x, y, phi, supersampling)
    psf = np.asarray(psf, float)
    bands = how.psf(*((None, psf) if psf.ndim == 1 else (psf, None)), supersampling)
    return how.observe(light, bands, supersampling) * np.asarray(source.flux)[:, None, None]
