"""Radii and robust scatter of the pixels of a stamp."""

from __future__ import annotations

from functools import cache

import numpy as np

MAD_TO_SIGMA = 1.4826  # of a Gaussian: 1 / 0.6745


@cache
def radius_map(side: int = 64) -> np.ndarray:
    """(side, side) distance of each pixel from the stamp's centre, pixels; read-only, since it is kept."""
    offset = np.arange(side) - (side - 1) / 2
    radius = np.hypot(offset[:, None], offset[None, :])
    radius.setflags(write=False)
    return radius


def mad(values: np.ndarray, axis: int | tuple[int, ...] | None = None, centre: float | None = None) -> np.ndarray:
    """Median absolute deviation; times `MAD_TO_SIGMA` it is the standard deviation of Gaussian noise.

    Parameters
    ----------
    values : ndarray
        No NaN.
    axis : int or tuple of int, optional
        Over all values by default.
    centre : float, optional
        Deviation from what; by default from the median along ``axis``.

    Returns
    -------
    ndarray
        Type and unit of ``values``, without ``axis``.
    """
    middle = np.median(values, axis=axis, keepdims=True) if centre is None else centre
    return np.median(np.abs(values - middle), axis=axis)
