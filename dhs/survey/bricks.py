"""The survey's brick grid: rows of constant declination, 0.25 degrees high, an even number of bricks a row.

The tiling of the Legacy Surveys (``survey-bricks.fits``): brick edges are meridians and parallels, and a brick is at
most 0.25 degrees wide at the edge of its row that lies nearer the equator.
"""

from __future__ import annotations

import numpy as np

BRICK_DEG = 0.25
N_ROWS = int(180 / BRICK_DEG) + 1


def bricks(ra, dec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Name and centre of the brick of each position.

    Parameters
    ----------
    ra, dec : array_like, (n,)
        Degrees; RA is taken modulo 360.

    Returns
    -------
    names : ndarray of str, (n,)
        e.g. ``0001m040``: RA and Dec of the centre in tenths of a degree, truncated.
    ra_c, dec_c : ndarray, (n,) float64
        Brick centres, degrees.

    Raises
    ------
    ValueError
        A declination outside -90 to 90, or a position that is not finite.
    """
    ra = np.atleast_1d(np.asarray(ra, dtype=np.float64)) % 360.0
    dec = np.atleast_1d(np.asarray(dec, dtype=np.float64))
    if not (np.isfinite(ra).all() and (np.abs(dec) <= 90).all()):
        raise ValueError("positions must be finite, in degrees, with -90 <= dec <= 90")
    row = ((dec + 90.0 + BRICK_DEG / 2) / BRICK_DEG).astype(int)
    dec_c = -90.0 + BRICK_DEG * row
    widest = 360.0 / BRICK_DEG * np.cos(np.radians(np.abs(dec_c) - BRICK_DEG / 2))
    columns = 2 * np.ceil(widest / 2)
    columns[(row == 0) | (row == N_ROWS - 1)] = 1
    ra_c = (np.floor(ra / 360.0 * columns) + 0.5) * 360.0 / columns
    # Rounded to 1e-4 degrees before truncation, so that 39.59999 is 39.6.
    ra_name = np.rint(ra_c * 1e4).astype(int) // 1000
    dec_name = np.rint(np.abs(dec_c) * 1e4).astype(int) // 1000
    names = [f"{r:04d}{'m' if c < 0 else 'p'}{d:03d}" for r, d, c in zip(ra_name, dec_name, dec_c)]
    return np.array(names), ra_c, dec_c


def brick(ra: float, dec: float) -> tuple[str, float, float]:
    """Name and centre (degrees) of the brick of one position; see `bricks`."""
    names, ra_c, dec_c = bricks(ra, dec)
    return str(names[0]), float(ra_c[0]), float(dec_c[0])
