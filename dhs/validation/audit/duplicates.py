"""Which stamps are the same picture: exact ones by a hash that turns leave alone, others as `dhs.stats.duplicates`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dhs.stats import duplicates
from dhs.validation.audit.collect import Measured, inside, square

TOGETHER = 50  # proposals whose stamps are read at once
SURE_NOISE = 0.3  # correlation that makes two one, whatever else differs: big galaxies leave little sky
PATIENCE = 100  # proposals, nearest first, compared after the last that was one picture
PATTERN = 10  # pictures in a chain of alike ones, from which on their brightness must be alike too
PAIRED = 0.1  # share of stamps that have a twin in the other class with light added: then the set is paired


@dataclass(frozen=True)
class Twin:
    """Two stamps that are one picture.

    Attributes
    ----------
    first, second : int
        Rows of the measured stamps.
    exact : bool
        Pixel for pixel, turned or not.
    turn : int
        0 to 7; of an exact one 0 where it lies as the other does, else -1.
    added : bool
        One has light, beyond noise, that the other has not.
    """

    first: int
    second: int
    exact: bool
    turn: int = 0
    added: bool = False


@dataclass
class Twins:
    """All of them.

    Attributes
    ----------
    pairs : list of Twin
        Each stamp with the first of its kind, not every pair of a set of copies.
    component : ndarray of int, (n,)
        Stamps of one picture share a number.
    proposed, compared : int
    """

    pairs: list[Twin] = field(default_factory=list)
    component: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    proposed: int = 0
    compared: int = 0


def find(measured: Measured, fetch, groups: np.ndarray | None) -> Twins:
    """Duplicates among measured stamps.

    Parameters
    ----------
    measured : Measured
    fetch : callable
        Rows' stamps (k, bands, y, x) in the set's scale, sky subtracted.
    groups : ndarray or None
        Declared groups: stamps of one need not be told that they are alike, unless they are alike to the pixel.
    """
    n = len(measured.places)
    out = Twins(component=np.arange(n))
    if n < 2:
        return out
    _, first, member = np.unique(measured.hashes[:, 0], return_index=True, return_inverse=True)
    for row in np.flatnonzero(first[member] != np.arange(n)):
        same = measured.hashes[row, 1] == measured.hashes[first[member[row]], 1]
        out.pairs.append(Twin(int(first[member[row]]), int(row), True, 0 if same else -1))
    unique = np.sort(first)
    out.pairs += _one_frame(measured.hashes, unique)
    done = np.isfinite(measured.fresh).all(axis=1)
    if done.sum() >= 4 and len(unique) > 1:
        fresh = measured.fresh[done] - measured.vectors[done]
        pairs = duplicates.propose(measured.vectors[unique], measured.flux[unique], fresh, measured.flux[done])
        pairs = unique[pairs]
        linked = {(t.first, t.second) for t in out.pairs}
        if groups is not None:
            pairs = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
        pairs = np.array([p for p in pairs.tolist() if tuple(p) not in linked], int).reshape(-1, 2)
        out.proposed, last, found = len(pairs), 0, []
        for start in range(0, len(pairs), TOGETHER):
            if start - last >= PATIENCE:
                break
            some = pairs[start : start + TOGETHER]
            rows = np.unique(some)
            stamps = fetch(rows)
            radius = min(duplicates.COMPARED_PX, inside(stamps.shape[-2:]))
            images = dict(zip(rows.tolist(), square(stamps)))
            for i, j in some.tolist():
                out.compared += 1
                match = duplicates.compare(images[i], images[j], radius)
                if match.noise > SURE_NOISE or match.alike:
                    found.append(Twin(i, j, False, match.turn, not match.excess < duplicates.SAME))
                    last = out.compared
        out.pairs += _no_pattern(found, measured.flux)
    out.component = components(n, [(t.first, t.second) for t in out.pairs])
    return out


def _one_frame(hashes: np.ndarray, rows: np.ndarray) -> list[Twin]:
    """Different stamps whose outermost lines are the same to the bit: light was added to one host."""
    rows = rows[hashes[rows, 2] > 0]
    _, first, member = np.unique(hashes[rows, 2], return_index=True, return_inverse=True)
    later = np.flatnonzero(first[member] != np.arange(len(rows)))
    return [Twin(int(rows[first[member[i]]]), int(rows[i]), False, 0, True) for i in later]


def _no_pattern(found: list[Twin], flux: np.ndarray) -> list[Twin]:
    """Without chains of pictures, each like the next, that run over galaxies of different brightness.

    Copies of one picture have one flux; what such a chain has in common is a pattern in the noise.
    """
    component = components(len(flux), [(t.first, t.second) for t in found])
    patterns = set()
    for chain in np.flatnonzero(np.bincount(component) > PATTERN):
        low, high = np.quantile(flux[component == chain], (0.05, 0.95))
        if high > duplicates.FLUX_RANGE * low:
            patterns.add(chain)
    return [t for t in found if component[t.first] not in patterns]


def components(n: int, links) -> np.ndarray:
    """A number for each of n rows, the same for rows that are linked."""
    if not len(links):
        return np.arange(n)
    a, b = np.asarray(links).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def merged(groups: np.ndarray, component: np.ndarray) -> np.ndarray:
    """Groups that also hold what is a duplicate of one of theirs."""
    n = len(groups)
    codes = np.unique(groups, return_inverse=True)[1]
    first_of = np.unique(codes, return_index=True)[1]
    twin_of = np.unique(component, return_index=True, return_inverse=True)
    links = np.concatenate(
        [np.stack([np.arange(n), first_of[codes]], 1), np.stack([np.arange(n), twin_of[1][twin_of[2]]], 1)]
    )
    return components(n, links)
