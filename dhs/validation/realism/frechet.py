"""Fréchet distance between two samples of features, block by block."""

from __future__ import annotations

import numpy as np
from scipy.linalg import sqrtm


def frechet(x_first: np.ndarray, x_second: np.ndarray) -> float | None:
    """Squared Fréchet distance between Gaussians fitted to two samples; None unless both have n > dimension.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (Dowson & Landau 1982; Heusel et al. 2017, NeurIPS, eq. 6). Biased
    upwards in small samples: compare it with that of two samples of the same kind and size.
    """
    if min(len(x_first), len(x_second)) <= x_first.shape[1]:
        return None
    a, b = np.asarray(x_first, dtype=float), np.asarray(x_second, dtype=float)
    c1, c2 = np.cov(a.T), np.cov(b.T)
    root = np.real(sqrtm(c1 @ c2))
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


def distances(blocks_a: dict, blocks_b: dict) -> dict:
    """Fréchet distance of every block of features that the samples support, and why not for the others."""
    out = {}
    for name, a in blocks_a.items():
        value = frechet(a, blocks_b[name])
        n, d = min(len(a), len(blocks_b[name])), a.shape[1]
        out[name] = {"value": value, "dimension": d, "n": n}
        if value is None:
            out[name]["reason"] = f"{n} stamps, more than {d} are needed"
    return out
