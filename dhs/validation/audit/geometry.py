"""Where in a stamp of any size: masks and means that the measurements share."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

CORE = 5 / 32  # of half the shorter side, as 5 pixels of a 64-pixel stamp
OUTSKIRTS = 0.85
RINGS = (0, 1.5, 3, 4.5, 6, 8, 10, 12, 15, 18, 22, 26, 32)  # of a 64-pixel stamp
FRAME_PX = 2


@cache
def radius(shape: tuple[int, int]) -> np.ndarray:
    """(y, x) distance from the centre in half the shorter side."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.hypot(y[:, None], x[None, :]) / (min(shape) / 2)


@cache
def angle(shape: tuple[int, int]) -> np.ndarray:
    """(y, x) position angle, 0 to 2 pi."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.arctan2(y[:, None], x[None, :]) % (2 * np.pi)


@cache
def outskirts(shape: tuple[int, int]) -> np.ndarray:
    """(y, x) where neither lens nor arc reaches, corners included."""
    return radius(shape) >= OUTSKIRTS


@cache
def corner(shape: tuple[int, int]) -> int:
    """Pixels of the side of a corner."""
    return max(4, min(shape) // 8)


@cache
def membership(shape: tuple[int, int], what: str) -> np.ndarray:
    """(y * x, places) columns that average over the places of a kind: ``core``, ``rings`` or ``outskirts``."""
    r, a = radius(shape), angle(shape)
    if what == "rings":
        members = [(r >= low / 32) & (r < high / 32) for low, high in pairwise(RINGS)]
    elif what == "core":
        edges = [e * CORE for e in (0.0, 0.3, 0.6, 0.8, 1.0)]
        members = [ring & s for low, high in pairwise(edges) for ring in [(r >= low) & (r < high)] for s in _sectors(a)]
        members[:8] = [r < edges[1]]
    else:
        members = [outskirts(shape) & s for s in _sectors(a)]
        members += [(r >= low) & (r < high) for low, high in pairwise((OUTSKIRTS, 1.0, 1.2, 2.0))]
    columns = np.stack([m.ravel() for m in members if m.any()], axis=1).astype(np.float32)
    return columns / columns.sum(axis=0)


def _sectors(a: np.ndarray) -> list[np.ndarray]:
    sector = np.minimum((a / (2 * np.pi) * 8).astype(int), 7)
    return [sector == s for s in range(8)]
