"""A stamp as a colour picture: one mapping for figures, contact sheets and HTML."""

from __future__ import annotations

import io

import numpy as np


def colour(image: np.ndarray, stretch: float = 0.08) -> np.ndarray:
    """Colour picture of a stamp, z as red (Lupton et al. 2004, PASP 116, 133).

    Parameters
    ----------
    image : ndarray, (3, y, x)
        g, r, z, nanomaggies; NaN is drawn as 0.
    stretch : float
        Linear range of the asinh stretch, nanomaggies.

    Returns
    -------
    ndarray, (y, x, 3) uint8
    """
    from astropy.visualization import make_lupton_rgb

    g, r, z = np.nan_to_num(np.asarray(image, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):  # a pixel of no light is 0 / 0, and drawn black
        return make_lupton_rgb(z, 1.6 * r, 2.6 * g, stretch=stretch, Q=8)


def png(image: np.ndarray) -> bytes:
    """PNG of a (3, y, x) g, r, z image in nanomaggies, north up."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colour(image)[::-1])).save(buffer, "PNG")
    return buffer.getvalue()
