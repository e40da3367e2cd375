"""`Source`: one source galaxy, whatever catalogue it came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dhs.injection.light import half_light_radius


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

    @cached_property
    def framed(self) -> np.ndarray:
        """The image in a frame of zeros one pixel wide, float64."""
        return np.pad(np.asarray(self.image, np.float64), 1)

    @cached_property
    def reach_arcsec(self) -> float:
        """The farthest that interpolated light lies from the image's centre."""
        rows, columns = np.nonzero(self.image)
        middle = (np.array(self.image.shape) - 1) / 2
        farthest = float(np.hypot(rows - middle[0], columns - middle[1]).max(initial=0.0))
        return (farthest + np.sqrt(2.0)) * self.pixel_scale

    @cached_property
    def half_light_arcsec(self) -> float:
        """Radius about the image's centre that holds half of the light."""
        return half_light_radius(self.image, 0.0, 0.0, self.pixel_scale)
