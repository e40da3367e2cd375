"""`Source`: one source galaxy, whatever catalogue it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """One unlensed source galaxy.

    Attributes
    ----------
    source_id : str
        Unique within and across source sets, e.g. ``xdf-017``.
    image : ndarray, (n, n) float64
        Morphology: surface brightness normalised so that ``image.sum() == 1``; centred on the galaxy's
        light centroid; 0 at the edges; denoised and tapered.
    pixel_scale : float
        Arcsec a pixel.
    flux : ndarray, (3,)
        Catalogue flux in g, r, z, nanomaggies.
    z : float
        Redshift.
    flags : tuple of str
        e.g. ``mock``, ``colours_drawn``, ``redshift_drawn``.
    """

    source_id: str
    image: np.ndarray
    pixel_scale: float
    flux: np.ndarray
    z: float
    flags: tuple[str, ...] = ()
