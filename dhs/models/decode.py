"""Pairs as they are read: stamps decoded some pairs at a time, with the hard negatives that belong to them.

What gives pairs is anything with the interface of `dhs.datasets.reader.Pairs`: ``path``, ``table(split, columns)``
and ``batches(split, columns, batch_size, negatives)``. A single part can be read from its files, for workers that
share a split out among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dhs import storage
from dhs.datasets import reader
from dhs.datasets.schema import STAMP_SHAPE
from dhs.errors import DhsError
from dhs.random import Stream

READ_PAIRS = 256
SIGMAS = tuple(f"sky_sigma_{band}" for band in "grz")
SCALARS = ("pair_id", "host_id", "theta_e_arcsec", "psf_fwhm_r_arcsec", *SIGMAS)
IMAGES = ("control", "arc", "gain_g", "gain_r", "gain_z", "rng_key")
LIGHT = ("light", "rng_key")
NEGATIVE_SCALARS = ("pair_id", "kind")


class PairSource(Protocol):
    """What training reads pairs from; see `dhs.datasets.reader.Pairs`."""

    path: str

    def table(self, split: str, columns: Sequence[str], *, negatives: bool = False) -> pa.Table: ...

    def batches(
        self, split: str, columns: Sequence[str], batch_size: int, negatives: bool = False
    ) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class Part:
    """Some decoded pairs of a split, in the order they are stored.

    Shot noise takes most of the time of reading, so stamps that have it are made when they are asked for.

    Attributes
    ----------
    scalars, hard_scalars : pyarrow.Table
        Columns of the n pairs and of their m hard negatives; a pair may have none, one, or several.
    control : ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    arc, hard_light : ndarray, (n, 3, 64, 64) and (m, 3, 64, 64) float32
        Noiseless light that was added.
    gain : ndarray, (n, 3)
        Electrons per nanomaggy.
    keys, hard_keys : list of str
        Column ``rng_key``.
    hard_row : ndarray, (m,) int64
        Row of the pair each hard negative belongs to.
    """

    scalars: pa.Table
    hard_scalars: pa.Table
    control: np.ndarray
    arc: np.ndarray
    hard_light: np.ndarray
    gain: np.ndarray
    keys: list[str]
    hard_keys: list[str]
    hard_row: np.ndarray

    @cached_property
    def positive(self) -> np.ndarray:
        """(n, 3, 64, 64) float32, with shot noise."""
        return reader.stamps(self.control, self.arc, self.gain, self.keys, Stream.SHOT)

    @cached_property
    def hard(self) -> np.ndarray:
        """(m, 3, 64, 64) float32, with shot noise."""
        control, gain = self.control[self.hard_row], self.gain[self.hard_row]
        return reader.stamps(control, self.hard_light, gain, self.hard_keys, Stream.NEGATIVE_SHOT)

    def positive_at(self, row: int) -> np.ndarray:
        """One of ``positive``; the others are not made."""
        if "positive" in self.__dict__:
            return self.positive[row]
        one = slice(row, row + 1)
        return reader.stamps(self.control[one], self.arc[one], self.gain[one], self.keys[one], Stream.SHOT)[0]

    def hard_at(self, number: int) -> np.ndarray:
        """One of ``hard``; the others are not made."""
        if "hard" in self.__dict__:
            return self.hard[number]
        one, row = slice(number, number + 1), self.hard_row[number : number + 1]
        control, keys = self.control[row], self.hard_keys[one]
        return reader.stamps(control, self.hard_light[one], self.gain[row], keys, Stream.NEGATIVE_SHOT)[0]

    def held(self) -> Part:
        """The same with its stamps made, and without the light they were made from."""
        made = replace(self, arc=self.arc[:0], hard_light=self.hard_light[:0])
        made.__dict__.update(positive=self.positive, hard=self.hard)
        return made

    def column(self, name: str) -> np.ndarray:
        """(n,) values of a scalar column."""
        return self.scalars[name].to_numpy(zero_copy_only=False)

    def images(self, name: str) -> np.ndarray:
        """(n, 3, 64, 64) of an image column."""
        return stack([row[name] for row in reader.rows(self.scalars.select([name]))])

    @cached_property
    def pair_id(self) -> np.ndarray:
        return self.column("pair_id")

    @cached_property
    def sky_sigma(self) -> np.ndarray:
        """(n, 3) float32, nanomaggies."""
        return np.stack([self.column(name) for name in SIGMAS], axis=1).astype(np.float32)

    @cached_property
    def theta_e(self) -> np.ndarray:
        """(n,) float32, arcsec."""
        return self.column("theta_e_arcsec").astype(np.float32)

    @cached_property
    def psf_fwhm(self) -> np.ndarray:
        """(n,) float32, r band, arcsec."""
        return self.column("psf_fwhm_r_arcsec").astype(np.float32)

    @cached_property
    def hard_of(self) -> list[np.ndarray]:
        """Indices into ``hard`` of each pair's hard negatives."""
        order = np.argsort(self.hard_row, kind="stable")
        counts = np.bincount(self.hard_row, minlength=len(self.control))
        return np.split(order, np.cumsum(counts)[:-1])


def refuse_candidates(pairs: PairSource, splits: tuple[str, ...]) -> None:
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


def stack(images: list[np.ndarray]) -> np.ndarray:
    """(n, 3, 64, 64) of a list of stamps that may be empty."""
    return np.stack(images) if images else np.empty((0, *STAMP_SHAPE), np.float32)


def _join(
    pairs: Iterable[pa.Table], negatives: Iterable[pa.Table], columns: Sequence[str], more: Sequence[str], where: str
) -> Iterator[Part]:
    """Decoded parts of tables of pairs, and of hard negatives in the order of their pairs."""
    following = _rows(negatives)
    waiting = next(following, None)
    for table in pairs:
        if not table.num_rows:
            continue
        control, gain = np.array(reader.images(table["control"], noisy=True)), reader.per_band(table, "gain")
        index = {pair_id: i for i, pair_id in enumerate(table["pair_id"].to_pylist())}
        hard_row, lights, found = [], [], []
        while waiting is not None and waiting[0]["pair_id"] in index:
            hard_row.append(index[waiting[0]["pair_id"]])
            found.append(waiting[0])
            lights.append(waiting[1])
            waiting = next(following, None)
        yield Part(
            scalars=table.select(list(columns)),
            hard_scalars=pa.table({name: [row[name] for row in found] for name in more}),
            control=control,
            arc=reader.images(table["arc"], noisy=False),
            hard_light=stack(lights),
            gain=gain,
            keys=table["rng_key"].to_pylist(),
            hard_keys=[row["rng_key"] for row in found],
            hard_row=np.array(hard_row, np.int64),
        )
    if waiting is not None:
        raise DhsError(
            f"{where}: hard negative of pair {waiting[0]['pair_id']}, which is not where it should be. "
            "Make the data set again."
        )


def _rows(negatives: Iterable[pa.Table]) -> Iterator[tuple[dict, np.ndarray]]:
    """Scalars and light of each hard negative."""
    for table in negatives:
        yield from zip(table.drop_columns(["light"]).to_pylist(), reader.images(table["light"], noisy=False))


def _names(columns: Sequence[str], needed: Sequence[str]) -> list[str]:
    return [*dict.fromkeys((*columns, *needed))]


def read_parts(
    pairs: PairSource,
    split: str,
    columns: Sequence[str] = SCALARS,
    negative_columns: Sequence[str] = NEGATIVE_SCALARS,
    hard: bool = True,
) -> Iterator[Part]:
    """Decode a split, some pairs at a time: positives with their shot noise, controls, and ``hard`` negatives.

    Hard negatives are met in the order of their pairs, as they are stored.

    Raises
    ------
    DhsError
        A hard negative whose pair is not in the split.
    """
    ours = pairs.batches(split, _names(columns, IMAGES), batch_size=READ_PAIRS)
    wanted = _names(negative_columns, LIGHT)
    theirs = pairs.batches(split, wanted, batch_size=READ_PAIRS, negatives=True) if hard else ()
    tables = ((pa.Table.from_batches([batch]) for batch in batches) for batches in (ours, theirs))
    yield from _join(*tables, columns, negative_columns, f"{pairs.path}, split {split!r}")


def read_files(
    file: str,
    negative_file: str | None,
    columns: Sequence[str] = SCALARS,
    negative_columns: Sequence[str] = NEGATIVE_SCALARS,
) -> Iterator[Part]:
    """Decode one part from its files, as `part_files` gives them, some pairs at a time; nothing of an empty part.

    Raises
    ------
    DhsError
        A hard negative whose pair is not in the part.
    """
    pairs = _slices(storage.read_table(file, columns=_names(columns, IMAGES)))
    negatives: Iterable[pa.Table] = ()
    if negative_file is not None:
        negatives = _slices(storage.read_table(negative_file, columns=_names(negative_columns, LIGHT)))
    yield from _join(pairs, negatives, columns, negative_columns, negative_file or file)


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    return (table.slice(start, READ_PAIRS) for start in range(0, table.num_rows, READ_PAIRS))
