"""Rates that a sample can support."""

from __future__ import annotations


def supported_fprs(n_negatives: int, min_expected: int = 10) -> list[float]:
    """False-positive rates a sample supports, largest first.

    The smallest is the one with ``min_expected`` expected false positives; above it the decades and their thirds.
    """
    if n_negatives < min_expected:
        return []
    smallest = min_expected / n_negatives
    grid = [round(m * 10.0**-k, 12) for k in range(1, 9) for m in (1, 0.3)]
    rates = [f for f in grid if f > smallest * (1 + 1e-9)]
    return [*rates, smallest] if smallest < 1 else []
