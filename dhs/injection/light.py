"""Small measurements of light on a grid."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numba import njit


def half_light_radius(light: np.ndarray, x: float, y: float, scale: float) -> float:
    """Radius about (x, y) that holds half of the light.

    Parameters
    ----------
    light : ndarray, (n, n)
        Not negative.
    x, y : float
        Centre, in the unit of ``scale``, from the array's centre.
    scale : float
        Size of an element.

    Returns
    -------
    float
        In the unit of ``scale``, to half an element; 0 where there is no light.
    """
    ny, nx = light.shape
    return scale * _half_radius(light, x / scale + 0.5 * (nx - 1), y / scale + 0.5 * (ny - 1))


@njit(cache=True, error_model="numpy")
def _half_radius(light, cx, cy):
    """Growth curve in rings half an element wide, linear within a ring."""
    ny, nx = light.shape
    rings = np.zeros(int(2.0 * np.sqrt(max(cx, nx - cx) ** 2 + max(cy, ny - cy) ** 2)) + 4)
    total = 0.0
    for j in range(ny):
        for i in range(nx):
            if light[j, i] > 0:
                rings[int(2.0 * np.sqrt((i - cx) ** 2 + (j - cy) ** 2))] += light[j, i]
                total += light[j, i]
    held = 0.0
    for k in range(len(rings)):
        if held + rings[k] >= 0.5 * total and total > 0:
            return 0.5 * (k + (0.5 * total - held) / rings[k])
        held += rings[k]
    return 0.0


def thin(light: np.ndarray, factor: int) -> np.ndarray:
    """Light summed over blocks of ``factor`` x ``factor`` elements."""
    if factor == 1:
        return light
    n = light.shape[0] // factor
    blocks = light.reshape(n, factor, n, factor)
    if factor >= 8:  # numpy then adds a row in another order
        return blocks.sum(axis=(1, 3))
    rows = [reduce(np.add, [blocks[:, j, :, i] for i in range(factor)]) for j in range(factor)]
    return reduce(np.add, rows)  # bit for bit `blocks.sum`, which takes many times as long on short axes
