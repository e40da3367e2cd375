"""Centre, shape and surroundings of a stamp's own galaxy, whatever stands beside it.

Light is made symmetric first: of each pixel and its mirror image through the centre the fainter one is kept, so that a
neighbour, which has no twin on the other side, is gone before it can pull a moment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CENTRE_SIGMA_PX = 2.0  # weight of the centroid: the galaxy's core
SHAPE_SIGMA_PX = 5.0  # weight of the moments
STEPS = 12
MAX_WALK_PX = 4.0  # from the stamp's centre: farther off lies another galaxy


def measure(band: np.ndarray) -> dict[str, float]:
    """Of the galaxy nearest the stamp's centre, in one band.

    Parameters
    ----------
    band : ndarray, (64, 64)

    Returns
    -------
    dict
        ``x``, ``y``: centre from the stamp's centre, pixels, NaN where there is none within `MAX_WALK_PX`; ``e1``,
        ``e2``: of the symmetric light, e = (1-q)/(1+q), e1 = e cos 2 phi, e2 = e sin 2 phi, rounded by the PSF and by
        the weight, so that its angle counts and its size does not.
    """
    x, y, e1, e2 = _measure(np.ascontiguousarray(band, np.float64))
    if not np.hypot(x, y) <= MAX_WALK_PX:
        x = y = np.nan
    return {"x": x, "y": y, "e1": e1, "e2": e2}


@njit(cache=True, error_model="numpy")
def _value(band, x, y):
    """Bilinear; 0 outside."""
    n = band.shape[0]
    i, j = int(np.floor(x)), int(np.floor(y))
    if i < 0 or j < 0 or i >= n - 1 or j >= n - 1:
        return 0.0
    a, b = x - i, y - j
    low = (1 - a) * band[j, i] + a * band[j, i + 1]
    return (1 - b) * low + b * ((1 - a) * band[j + 1, i] + a * band[j + 1, i + 1])


@njit(cache=True, error_model="numpy")
def _measure(band):
    middle = 0.5 * (band.shape[0] - 1)
    cx, cy = middle, middle
    for _ in range(STEPS):
        sx, sy, total = 0.0, 0.0, 0.0
        for j in range(max(int(cy) - 6, 0), min(int(cy) + 8, band.shape[0])):
            for i in range(max(int(cx) - 6, 0), min(int(cx) + 8, band.shape[0])):
                w = np.exp(-0.5 * ((i - cx) ** 2 + (j - cy) ** 2) / CENTRE_SIGMA_PX**2)
                light = band[j, i] * w
                sx, sy, total = sx + light * (i - cx), sy + light * (j - cy), total + light
        if not total > 0:
            return np.nan, np.nan, 0.0, 0.0
        dx, dy = 2.0 * sx / total, 2.0 * sy / total
        length = np.sqrt(dx * dx + dy * dy)
        if length > 1.0:
            dx, dy = dx / length, dy / length
        cx, cy = cx + dx, cy + dy
        if length < 1e-4 or abs(cx - middle) > 6 or abs(cy - middle) > 6:
            break
    xx, yy, xy, total = 0.0, 0.0, 0.0, 0.0
    for dy in range(-14, 15):
        for dx in range(-14, 15):
            r2 = float(dx * dx + dy * dy)
            if r2 > 196.0:
                continue
            light = min(_value(band, cx + dx, cy + dy), _value(band, cx - dx, cy - dy))
            w = max(light, 0.0) * np.exp(-0.5 * r2 / SHAPE_SIGMA_PX**2)
            xx, yy, xy, total = xx + w * dx * dx, yy + w * dy * dy, xy + w * dx * dy, total + w
    if not total > 0:
        return cx - middle, cy - middle, 0.0, 0.0
    # (1 - q) / (1 + q) along its angle: distortion d = (xx - yy, 2 xy) / (xx + yy), e = d / (1 + sqrt(1 - d^2))
    d1, d2 = (xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)
    scale = 1.0 / (1.0 + np.sqrt(max(1.0 - d1 * d1 - d2 * d2, 0.0)))
    return cx - middle, cy - middle, d1 * scale, d2 * scale
