"""The one rule for "in the bin": a bin holds its lower edge, the last one its upper edge too.

Columns are stored in single precision and edges in double: a value within `SLACK` below an edge counts as on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SLACK = 1e-6


def index(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Bin of each value, counted from 0; -1 outside the edges and for NaN.

    Parameters
    ----------
    values : ndarray, (n,)
    edges : sequence of float
        Ascending, one more than bins.
    """
    values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
    found = np.searchsorted(edges - SLACK, values, "right") - 1
    found = np.minimum(found, len(edges) - 2)  # the upper edge of the last bin belongs to it
    return np.where(values <= edges[-1] + SLACK, found, -1)


def members(values: np.ndarray, edges: Sequence[float]) -> list[tuple[float, float, np.ndarray]]:
    """(low, high, mask of the values in it) of each bin."""
    which = index(values, edges)
    return [(float(edges[i]), float(edges[i + 1]), which == i) for i in range(len(edges) - 1)]
