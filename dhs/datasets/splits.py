"""Splits: hosts by hash of the HEALPix cell of their brick's centre, sources by rank of their hash.

Hosts of unknown position go by rank of the hash of their id: each stands in a cell of its own, with a negative number.

No brick straddles a cell boundary between splits because the cell is the brick centre's; no host, brick, cell or
source is in two splits.
"""

from __future__ import annotations

import hashlib

import hpgeom
import numpy as np
from scipy.spatial import cKDTree

from dhs.config import SplitsConfig
from dhs.datasets.schema import SPLITS
from dhs.errors import DhsError, Refusal
from dhs.survey.lenses.catalogues import unit_vectors

GUARD_ARCSEC = 24.0
"""Between hosts of two splits, a stamp's diagonal: nearer ones show one sky, and the later one is left out."""
HELD_OUT = 8
"""Sources, or hosts, that an interval needs: `dhs.stats.clusters.MIN_CLUSTERS`."""


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64


def cells(brick_ra, brick_dec, nside: int, ids=None) -> np.ndarray:
    """HEALPix cells (nested) of brick centres in degrees; for an unknown one a negative number made from its id."""
    ra, dec = np.asarray(brick_ra, float), np.asarray(brick_dec, float)
    known = np.isfinite(ra) & np.isfinite(dec)
    out = np.empty(len(ra), np.int64)
    out[known] = hpgeom.angle_to_pixel(nside, ra[known], dec[known], nest=True)
    out[~known] = [-1 - int(_unit_hash(f"cell of {ids[i]}") * 2.0**53) for i in np.flatnonzero(~known)]
    return out


def split_hosts(refs, seed: int, config: SplitsConfig) -> list[str]:
    """Split of each host: of its cell, or of its own where its position is unknown.

    Parameters
    ----------
    refs : sequence of HostRef
    """
    of_cell = cells([r.brick_ra for r in refs], [r.brick_dec for r in refs], config.nside, [r.host_id for r in refs])
    out = [split_of_cell(int(c), seed, config) for c in of_cell]
    alone = np.flatnonzero(of_cell < 0)
    if len(alone) >= len(SPLITS):
        for name, index in _by_rank([f"host:{seed}:{refs[i].host_id}" for i in alone], config).items():
            for i in alone[index]:
                out[i] = name
    return out


def near_other_splits(refs, split: list[str]) -> dict[int, Refusal]:
    """Hosts nearer than `GUARD_ARCSEC` to an earlier host of another split: on either side of a cell's edge.

    Parameters
    ----------
    refs : sequence of HostRef
    split : list of str
        Of each host.
    """
    ra, dec = (np.array([getattr(r, name) for r in refs], float) for name in ("ra", "dec"))
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) < 2:
        return {}
    reach = 2 * np.sin(np.radians(GUARD_ARCSEC / 3600) / 2)
    near = np.sort(known[cKDTree(unit_vectors(ra[known], dec[known])).query_pairs(reach, output_type="ndarray")])
    out: dict[int, Refusal] = {}
    for first, second in sorted(near.tolist(), key=lambda pair: pair[1]):
        if split[first] != split[second] and first not in out and second not in out:
            ref = refs[second]
            message = f"within {GUARD_ARCSEC:g} arcsec of {refs[first].host_id}, which is in split {split[first]!r}"
            remedy = "Nothing need be done: the other host is used."
            out[second] = Refusal(ref.host_id, ref.file, ref.row, "host", "near_other_split", message, remedy)
    return out


def split_of_cell(cell: int, seed: int, config: SplitsConfig) -> str:
    """Split of a cell: its hash against the cumulative fractions."""
    u = _unit_hash(f"cell:{seed}:{config.nside}:{cell}")
    return "train" if u < config.train else "val" if u < config.train + config.val else "test"


def _by_rank(names: list[str], config: SplitsConfig) -> dict[str, np.ndarray]:
    """Indices of each split by rank of the names' hashes: fractions are met, however few there are.

    Validation and test get at least `HELD_OUT` each, where a fraction is not 0 and that leaves training half of them;
    in any case each split gets one.
    """
    n = len(names)
    order = np.array(sorted(range(n), key=lambda i: _unit_hash(names[i])))
    least = HELD_OUT if n >= 4 * HELD_OUT else 1
    n_val, n_test = (max(least if f > 0 else 1, round(n * f)) for f in (config.val, config.test))
    bounds = {"train": order[: n - n_val - n_test], "val": order[n - n_val - n_test : n - n_test]}
    bounds["test"] = order[n - n_test :]
    return {name: np.sort(index) for name, index in bounds.items()}


def split_sources(ids: list[str], seed: int, config: SplitsConfig) -> dict[str, np.ndarray]:
    """Indices of the sources of each split.

    Sources are few, so the fractions are met by rank of the hash rather than by the hash itself.

    Raises
    ------
    DhsError
        Fewer than three sources.
    """
    n = len(ids)
    if n < len(SPLITS):
        raise DhsError(f"{n} source galaxies cannot fill {len(SPLITS)} splits: relax the cuts or give more sources.")
    return _by_rank([f"source:{seed}:{name}" for name in ids], config)
