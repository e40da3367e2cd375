"""Mean images of the classes, compared pixel by pixel: with blocks of groups as the unit and blocks exchanged as null.

In the outskirts every difference counts. Further in, lenses honestly have other light; but a lens may lie at any
position angle, so what the square's symmetries do not share must agree there too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.random import Stream, keyed
from dhs.stats.duplicates import turned
from dhs.validation.audit import geometry as geo
from dhs.validation.audit.collect import MAPS
from dhs.validation.preflight.gate import Skip

N_PERMUTATIONS, N_SHOWN = 1999, 299  # where a map is tested, and where it is only shown
MIN_BLOCKS = 8
MOST_TORN = 0.02
FLOOR = 0.3  # of the median scatter of pixels: one that hardly varies by chance is no discovery
AT_A_TIME = 2048  # pixels
TESTED = ("fixed pattern", "noise")
POWER_Z = 1.2816  # 90 % of a normal deviate


@dataclass(frozen=True)
class Map:
    """One kind of mean image.

    Attributes
    ----------
    difference, z : ndarray
        (bands, y, x) positive class less negative, and in standard errors; the largest |z| where it is tested.
    p : float
        That chance gives as large a |z| in any pixel.
    limit : float
        The 95 % quantile of the largest |z| by chance.
    where : str
    detectable : float
        Mean difference in one pixel, in the map's unit, that would be found with 90 % power at level 0.002.
    """

    difference: np.ndarray
    z_map: np.ndarray
    z: float
    p: float
    limit: float
    where: str
    detectable: float


def blocks(data) -> list[dict[int, tuple[np.ndarray, int]]]:
    """Of the negatives and of the positives: block to mean images (maps, bands, y, x), and of how many stamps."""
    sums = data.measured.sums
    return [{b: (s / n, n) for (c, b), (s, n) in sums.items() if c == label and n} for label in (0, 1)]


def compare(data) -> dict[str, Map]:
    """The maps that are tested."""
    data.y  # noqa: B018 - skips without labels
    negative, positive = blocks(data)
    both = sorted(set(negative) & set(positive))
    labels, groups = data.labels[data.rows], data.groups[data.rows]
    paired = _mixed(labels, groups) > 0.5
    if min(len(negative), len(positive)) < MIN_BLOCKS or (paired and len(both) < MIN_BLOCKS):
        raise Skip(f"stamps of {min(len(negative), len(positive))} groups in a class; {MIN_BLOCKS} are needed.")
    if (torn := _torn(groups, data.blocks[data.rows])) > MOST_TORN:
        raise Skip(
            f"{torn:.0%} of the stamps are copies of others, so their means are not independent. Keep one of each."
        )
    shape = data.stamps.shape
    out: dict[str, Map] = {}
    for index, name in enumerate(MAPS):
        if paired:
            stack = np.stack([positive[b][0][index] - negative[b][0][index] for b in both])
            signs = keyed(data.seed, Stream.LABEL_SWAP).choice([-1.0, 1.0], (N_PERMUTATIONS, len(both)))
            weights = np.r_[np.ones((1, len(both))), signs] / len(both)
        else:
            stack = np.stack([x[0][index] for x in (*positive.values(), *negative.values())])
            size = np.array([x[1] for x in (*positive.values(), *negative.values())], float)
            own = np.repeat([True, False], [len(positive), len(negative)])
            weights = _exchanged(own, size, data.seed)
        tested, some = (_tested(stack, shape, name), weights) if name in TESTED else (stack, weights[: N_SHOWN + 1])
        out[name] = _one(tested, stack, some, paired, data.stamps.bands)
    data.sections["maps"] = out
    return {name: out[name] for name in TESTED}


def _torn(groups: np.ndarray, blocks: np.ndarray) -> float:
    """Share of stamps whose group, copies counted, lies in more than one block."""
    codes = np.unique(groups, return_inverse=True)[1]
    apart = np.zeros(codes.max(initial=-1) + 1, bool)
    first = np.unique(codes, return_index=True)[1]
    np.logical_or.at(apart, codes, blocks != blocks[first][codes])
    return float(apart[codes].mean())


def _mixed(labels, groups) -> float:
    """Share of stamps in groups that hold both classes."""
    codes = np.unique(groups, return_inverse=True)[1]
    share = np.bincount(codes, labels) / np.bincount(codes)
    return float(((share > 0) & (share < 1))[codes].mean())


def _exchanged(own: np.ndarray, size: np.ndarray, seed: int) -> np.ndarray:
    """(1 + permutations, blocks) weights of the difference of means, the first the real one."""
    rng = keyed(seed, Stream.LABEL_SWAP)
    labels = np.stack([own, *(rng.permutation(own) for _ in range(N_PERMUTATIONS))]).astype(float)
    positive, negative = labels * size, (1 - labels) * size
    return positive / positive.sum(1, keepdims=True) - negative / negative.sum(1, keepdims=True)


def _tested(stack: np.ndarray, shape, name: str) -> np.ndarray:
    """What is compared: everything in the outskirts, elsewhere what symmetries do not share (0 for noise and light)."""
    out, far = stack.copy(), geo.outskirts(shape)
    if name == "fixed pattern":
        turns = range(8) if shape[0] == shape[1] else (0, 2, 4, 6)
        even = sum(turned(stack, t) for t in turns) / len(turns)
        out[..., ~far] -= even[..., ~far]
    else:
        out[..., ~far] = 0.0
    return out


def _one(tested, whole, weights, paired: bool, bands) -> Map:
    k = len(tested)
    flat = tested.reshape(k, -1).astype(np.float32)
    spread = flat.std(axis=0, ddof=1)
    lively = spread > 0
    floor = FLOOR * float(np.median(spread[lively])) if lively.any() else 1.0
    w = weights.astype(np.float32)
    norm = np.sqrt((weights[0] ** 2).sum())
    largest, z = np.zeros(len(w)), np.zeros(flat.shape[1])
    for start in range(0, flat.shape[1], AT_A_TIME):
        part = flat[:, start : start + AT_A_TIME]
        difference = w @ (part if paired else part - part.mean(axis=0))
        total = (part**2).sum(axis=0) if paired else ((part - part.mean(axis=0)) ** 2).sum(axis=0)
        left = np.maximum(total - difference**2 / norm**2, 0) / max(k - (1 if paired else 2), 1)
        score = difference / (norm * (np.sqrt(left) + floor))
        z[start : start + AT_A_TIME] = score[0]
        largest = np.maximum(largest, np.abs(score).max(axis=1))
    place = int(np.abs(z).argmax())
    shape = tested.shape[1:]
    band, y, x = np.unravel_index(place, shape)
    p = (1 + int((largest[1:] >= largest[0] * (1 - 1e-4)).sum())) / len(largest)
    difference = np.tensordot(weights[0], whole, axes=(0, 0))
    reach = float(np.quantile(largest[1:], 0.998)) + POWER_Z
    return Map(
        difference,
        z.reshape(shape),
        float(largest[0]),
        p,
        float(np.quantile(largest[1:], 0.95)),
        f"pixel x {x}, y {y}, {bands[band]}",
        reach * norm * (float(np.median(spread[lively])) + floor) if lively.any() else float("nan"),
    )
