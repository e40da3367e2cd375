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


def sheet(stamps, columns: int) -> bytes:
    """PNG of many (3, y, x) images of one size, side by side in rows of ``columns``, north up, in 256 colours."""
    from PIL import Image

    side = np.asarray(stamps[0]).shape[-1]
    lines, wide = -(-len(stamps) // columns), min(len(stamps), columns)
    out = np.zeros((lines * side, wide * side, 3), np.uint8)
    for k, stamp in enumerate(stamps):
        row, column = divmod(k, columns)
        out[row * side : (row + 1) * side, column * side : (column + 1) * side] = colour(stamp)[::-1]
    buffer = io.BytesIO()
    Image.fromarray(out).quantize(256).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
