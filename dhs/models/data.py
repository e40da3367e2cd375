"""Training samples from a pairs data set: each pair once an epoch, as a positive and one negative.

A split that fits in memory is held decoded; a larger one is streamed part by part in a seeded order through a
window that is shuffled, so memory does not grow with it. Either way the samples of an epoch depend on
(seed, epoch) alone for what they are, and every pair is met exactly once: the ids are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from dhs import storage
from dhs.datasets import reader
from dhs.datasets.schema import STAMP_SHAPE
from dhs.errors import DhsError

MEMORY_LIMIT_BYTES = 2_000_000_000
WINDOW_PAIRS = 4096
STAMP_BYTES = 4 * int(np.prod(STAMP_SHAPE))
PAIR_COLUMNS = (
    "pair_id",
    "host_id",
    "control",
    "arc",
    "gain_g",
    "gain_r",
    "gain_z",
    "rng_key",
    "theta_e_arcsec",
)


@dataclass(frozen=True)
class Part:
    """The decoded stamps of one parquet part.

    Attributes
    ----------
    pair_id : ndarray, (n,) int64
    host_id : ndarray, (n,) str
    theta_e : ndarray, (n,) float32
        Arcsec.
    control, positive : ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    hard : ndarray, (m, 3, 64, 64) float32
        Hard negatives.
    hard_row : ndarray, (n,) int64
        Row of ``hard`` that belongs to each pair; -1 where it has none.
    """

    pair_id: np.ndarray
    host_id: np.ndarray
    theta_e: np.ndarray
    control: np.ndarray
    positive: np.ndarray
    hard: np.ndarray
    hard_row: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Samples of one step: ``stamps`` (n, 3, 64, 64) nanomaggies, ``labels`` (n,), ``pair_id`` (n,), ``hard`` (n,)."""

    stamps: np.ndarray
    labels: np.ndarray
    pair_id: np.ndarray
    hard: np.ndarray


def refuse_candidates(pairs: reader.Pairs, splits: tuple[str, ...]) -> None:
    """Stop where a host of these splits is a lens or a candidate itself.

    Raises
    ------
    DhsError
        Some row carries the flag ``host_is_candidate``.
    """
    for split in splits:
        flags = pairs.table(split, columns=["flags"])["flags"]
        n = pc.sum(pc.equal(pc.list_flatten(flags), "host_is_candidate")).as_py() or 0
        if n:
            raise DhsError(
                f"{pairs.path}: {n} pairs of split {split!r} have a host that is a lens candidate itself "
                "(flag host_is_candidate), so their controls are not unlensed. "
                "Make the data set again without --allow-known-lenses."
            )


def part_files(pairs: reader.Pairs, split: str) -> list[tuple[str, str | None]]:
    """Each part of a split with the part of the same name that holds its hard negatives, or None.

    Raises
    ------
    DhsError
        A part of hard negatives that no part of pairs belongs to.
    """
    negatives = {f.rsplit("/", 1)[-1]: f for f in pairs.files(split, negatives=True)}
    files = [(f, negatives.pop(f.rsplit("/", 1)[-1], None)) for f in pairs.files(split)]
    if negatives:
        raise DhsError(f"{min(negatives.values())}: no part of pairs of that name. Make the data set again.")
    return files


def read_part(file: str, negative_file: str | None) -> Part:
    """Decode one part: positives with their shot noise, controls, and the hard negatives that share the host."""
    table = storage.read_table(file, columns=list(PAIR_COLUMNS))
    rows = reader.rows(table)
    index = {row["pair_id"]: i for i, row in enumerate(rows)}
    hard, hard_row = [], np.full(len(rows), -1)
    if negative_file is not None:
        for negative in reader.rows(storage.read_table(negative_file, columns=["pair_id", "light", "rng_key"])):
            i = index.get(negative["pair_id"])
            if i is None:
                raise DhsError(
                    f"{negative_file}: hard negative of pair {negative['pair_id']}, which is not in {file}. "
                    "Make the data set again."
                )
            pair = {k: v for k, v in rows[i].items() if k != "arc"}
            hard_row[i] = len(hard)
            hard.append(reader.stamp(pair | negative))
    return Part(
        table["pair_id"].to_numpy(),
        np.array(table["host_id"].to_pylist(), dtype=object),
        table["theta_e_arcsec"].to_numpy(),
        reader.images(table["control"]),
        np.stack([reader.stamp(row) for row in rows]) if rows else np.empty((0, *STAMP_SHAPE), np.float32),
        np.stack(hard) if hard else np.empty((0, *STAMP_SHAPE), np.float32),
        hard_row,
    )


class Samples:
    """The samples of one split.

    Parameters
    ----------
    pairs : Pairs
    split : str
    hard_negative_ratio : float
        Fraction of an epoch's negatives that are hard, as far as the split has so many.
    seed : int
    memory_limit : int
        Bytes of decoded stamps up to which the split is held in memory.
    window : int
        Pairs shuffled together when the split is streamed.

    Raises
    ------
    DhsError
        The split is empty or a pair id occurs twice in it.
    """

    def __init__(
        self,
        pairs: reader.Pairs,
        split: str,
        hard_negative_ratio: float = 0.0,
        seed: int = 0,
        memory_limit: int = MEMORY_LIMIT_BYTES,
        window: int = WINDOW_PAIRS,
    ):
        self.split, self.seed, self.window = split, seed, window
        self._files = part_files(pairs, split)
        ids = [storage.read_table(f, columns=["pair_id"])["pair_id"].to_numpy() for f, _ in self._files]
        self.pair_id = np.sort(np.concatenate(ids)) if ids else np.empty(0, np.int64)
        if len(self.pair_id) == 0:
            raise DhsError(f"{pairs.path}: split {split!r} has no pair. Make a larger data set (--n-pairs).")
        if (repeated := self.pair_id[1:][np.diff(self.pair_id) == 0]).size:
            raise DhsError(f"{pairs.path}: pair {repeated[0]} is in split {split!r} twice. Make the data set again.")
        negatives = pairs.dataset(split, negatives=True)
        n_hard = self.n_hard = negatives.count_rows() if negatives is not None else 0
        self._p_hard = min(1.0, hard_negative_ratio * len(self.pair_id) / n_hard) if n_hard else 0.0
        self.in_memory = (2 * len(self.pair_id) + n_hard) * STAMP_BYTES <= memory_limit
        self._held: dict[int, Part] = {}

    def __len__(self) -> int:
        return 2 * len(self.pair_id)

    def steps(self, batch_size: int) -> int:
        """Batches an epoch has."""
        return -(-len(self.pair_id) // max(batch_size // 2, 1))

    def _part(self, index: int) -> Part:
        if index in self._held:
            return self._held[index]
        part = read_part(*self._files[index])
        if self.in_memory:
            self._held[index] = part
        return part

    def parts(self, order: np.ndarray | None = None) -> Iterator[Part]:
        """Decoded parts in an order of their own or the given one; the next is read while one is used."""
        order = list(range(len(self._files)) if order is None else order)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self._part, order[0])
            for following in [*order[1:], None]:
                part = future.result()
                if following is not None:
                    future = pool.submit(self._part, following)
                yield part

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Batches of one epoch: of each pair its positive and one negative, both in the same batch.

        A pair's negative is a hard one with a probability that makes ``hard_negative_ratio`` of all negatives
        hard, else its control. Positive and negative share a batch because what their common host does to the
        gradient then cancels.

        Parameters
        ----------
        epoch : int
            With the seed it decides order and negatives.
        batch_size : int
            Stamps a step, two a pair; the last batches of an epoch are of about equal size.

        Raises
        ------
        DhsError
            Some pair was not met exactly once (a part changed while it was read).
        """
        rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        wants_hard = rng.random(len(self.pair_id)) < self._p_hard
        order = rng.permutation(len(self._files))
        seen = np.zeros(len(self.pair_id), np.int64)
        size = max(batch_size // 2, 1)
        window: list[tuple[Part, int]] = []
        limit = len(self.pair_id) if self.in_memory else self.window
        for part in self.parts(order):
            window += [(part, row) for row in range(len(part.pair_id))]
            if len(window) > limit:
                rng.shuffle(window)
                full = len(window) // size * size
                for start in range(0, full, size):
                    yield self._batch(window[start : start + size], wants_hard, seen)
                window = window[full:]
        rng.shuffle(window)
        for chosen in np.array_split(np.arange(len(window)), -(-len(window) // size)) if window else []:
            yield self._batch([window[i] for i in chosen], wants_hard, seen)
        if not (seen == 1).all():
            raise DhsError(
                f"split {self.split!r}, epoch {epoch}: {int((seen != 1).sum())} of {len(seen)} pairs were not met "
                "exactly once. Was the data set changed during the run?"
            )

    def _batch(self, chosen: list[tuple[Part, int]], wants_hard: np.ndarray, seen: np.ndarray) -> Batch:
        ids = np.array([part.pair_id[row] for part, row in chosen])
        position = np.searchsorted(self.pair_id, ids)
        seen[position] += 1
        hard = np.array([part.hard_row[row] >= 0 for part, row in chosen]) & wants_hard[position]
        positives = [part.positive[row] for part, row in chosen]
        negatives = [
            part.hard[part.hard_row[row]] if is_hard else part.control[row]
            for (part, row), is_hard in zip(chosen, hard)
        ]
        n = len(chosen)
        return Batch(
            np.stack(positives + negatives),
            np.repeat(np.array([1, 0], np.float32), n),
            np.tile(ids, 2),
            np.concatenate([np.zeros(n, bool), hard]),
        )
