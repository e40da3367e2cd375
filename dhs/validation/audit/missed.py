"""What could have been missed: the weakest leak of each kind that would have been caught, with 90 % power, on this set.

Nothing is run again. Each leak is planted at rising strength into some of the set's own stamps, and the numbers of its
check are measured before and after: their AUC is what a set would show whose positives had been through it. The scatter
that chance gives an AUC on this set was measured by its permutations; the level is that of the corrected tests. A leak
counts as caught where the AUC lies 1.28 scatters above what the test asks. Only single numbers are counted on, not the
classifier of all of them, so the true limit is lower. For mean images the same is done with the scatter of blocks.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from dhs.artefacts.report import jsonable
from dhs.random import Stream, keyed
from dhs.validation.audit.collect import high_pass
from dhs.validation.audit.leaks import LEAKS, Leak
from dhs.validation.audit.measure import measure
from dhs.validation.preflight.gate import ALPHA

N_PLANTED = 64
STEPS = 6  # of the bisection of the logarithm of the strength
POWER_Z = 1.2816
HOW = (
    "Each leak was planted into {n} of the set's own stamps at rising strength, its numbers measured before and after. "
    "It counts as caught where that difference exceeds what the corrected test asks on this set by 1.28 times the "
    "scatter that permutations of its labels gave: 90 of 100 such sets would fail. Single numbers alone are counted on."
)


def missed(data, gates) -> list[dict]:
    """One row a leak; nothing where the set has no labels.

    Parameters
    ----------
    data : AuditData
    gates : iterable of Gate
        Settled: their scatters and the number of tests are used.
    """
    by_name = {g.name: g for g in gates}
    tests = max((g.details.get("holm_family", 0) for g in gates), default=0)
    if not tests:
        return []
    rows = np.sort(keyed(data.seed, Stream.SAMPLE, 1).permutation(data.rows)[:N_PLANTED])
    _, images, _, _ = data.stamps.read(data.measured.places[rows])
    out = []
    for leak in LEAKS:
        gate = by_name.get(leak.check)
        if gate is None or gate.status == "skip":
            continue
        seen = _of_maps if not leak.family else _of_numbers
        caught = seen(data, leak, gate, images, tests)
        strength = _least(caught, leak) if caught is not None else None
        row = {"name": leak.name, "unit": leak.unit, "strength": strength, "check": leak.check}
        row["at_most"] = strength is not None and strength <= leak.strengths[0] * 1.001
        out.append(row | {"how": HOW.format(n=len(images))})
    return jsonable(out)


def _least(caught, leak: Leak) -> float | None:
    """The weakest strength that is caught, by bisection; None where the strongest is not."""
    low, high = np.log(leak.strengths)
    if not caught(np.exp(high)):
        return None
    if caught(np.exp(low)):
        return float(np.exp(low))
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if caught(np.exp(middle)) else (middle, high)
    return float(np.exp(high))


def _of_numbers(data, leak: Leak, gate, images: np.ndarray, tests: int):
    """Whether a strength moves a number of the leak's family far enough."""
    single = gate.details.get("single")
    scatter = single["null_sd"] if single else _scatter(data)
    margin = (gate.threshold or 0.5) - 0.5
    scale, bands = data.stamps.scale, data.stamps.bands
    before = measure(images, scale, bands, (leak.family,))[leak.family][0]
    level = norm.isf(ALPHA / (2 * tests * before.shape[1]))
    asked = margin + (level + POWER_Z) * scatter

    def caught(strength: float) -> bool:
        rng = keyed(data.seed, Stream.SAMPLE, 2)
        after = measure(leak.plant(images, scale, strength, rng), scale, bands, (leak.family,))[leak.family][0]
        ranks = rankdata(np.concatenate([after, before]), axis=0)
        n = len(images)
        auc = (ranks[:n].sum(axis=0) - n * (n + 1) / 2) / n**2
        return bool(np.abs(auc - 0.5).max() >= asked)

    return caught


def _scatter(data) -> float:
    """Of an AUC where labels mean nothing and rows are their own groups."""
    n1, n0 = int(data.y.sum()), int((~data.y).sum())
    return float(np.sqrt((n1 + n0 + 1) / (12 * n1 * n0)))


def _of_maps(data, leak: Leak, gate, images: np.ndarray, tests: int):
    """Whether a strength moves the mean image of some pixel in the outskirts far enough."""
    maps = data.sections.get("maps")
    if not maps:
        return None
    asked, scale = maps["fixed pattern"].detectable, data.stamps.scale[:, None, None].astype(np.float32)
    images = np.nan_to_num(images)

    def caught(strength: float) -> bool:
        rng = keyed(data.seed, Stream.SAMPLE, 2)
        moved = high_pass((leak.plant(images, data.stamps.scale, strength, rng) - images) / scale).mean(axis=0)
        return bool(np.abs(moved).max() >= asked)

    return caught
