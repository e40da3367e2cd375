"""Reading a pairs data set: `open_pairs` and `stamp`."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from dhs import storage
from dhs.config import Profile, parse_profile
from dhs.datasets.schema import (
    ASSUMPTIONS,
    BANDS,
    IMAGE,
    IMAGE_COLUMNS,
    NEGATIVE_SCHEMA,
    NOISY_COLUMNS,
    PAIR_SCHEMA,
    PSF_IMAGE,
    SCALARS,
    SCHEMA_VERSION,
    SPLITS,
    STAMP_SHAPE,
)
from dhs.encoding import decode
from dhs.errors import DhsError, UsageError
from dhs.injection.noise import shot_noise, updated_invvar
from dhs.picture import png
from dhs.random import Stream, generator, keyed


def images(column: pa.ChunkedArray | pa.Array, noisy: bool = False) -> np.ndarray:
    """(n, 3, 64, 64) float32 of an image column, encoded or tensor; 0 where an encoded image is null.

    ``noisy`` is for stamps with noise (`NOISY_COLUMNS`): encoded ones are read with their dither (`dhs.encoding`).
    """
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(chunk, pa.ChunkedArray):
        chunk = pa.concat_arrays(chunk.chunks)
    if pa.types.is_binary(chunk.type):
        return decode(chunk, noisy) if len(chunk) else np.empty((0, *STAMP_SHAPE), np.float32)
    return chunk.to_numpy_ndarray() if len(chunk) else np.empty((0, *chunk.type.shape), np.float32)


def decoded(table: pa.Table) -> pa.Table:
    """A table with its encoded image columns as float32 tensors."""
    for index, name in enumerate(table.column_names):
        column = table.column(index)
        if name in IMAGE_COLUMNS and pa.types.is_binary(column.type):
            kind = PSF_IMAGE if name == "psf" else IMAGE
            pixels = images(column, name in NOISY_COLUMNS)
            size = int(np.prod(kind.shape))
            flat = pa.array(pixels.reshape(-1) if pixels.size else np.zeros(len(column) * size, np.float32))
            mask = column.is_null().combine_chunks() if column.null_count else None
            inner = pa.FixedSizeListArray.from_arrays(flat, size, mask=mask)
            tensor = pa.ExtensionArray.from_storage(kind, inner)
            table = table.set_column(index, pa.field(name, kind), tensor)
    return table


def per_band(row, name: str, unit: str = "") -> np.ndarray:
    """(3,) or (n, 3) of ``name_g, name_r, name_z`` from a row mapping or a table."""
    columns = [row[f"{name}_{band}{unit}"] for band in BANDS]
    return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=-1)


def stamp(row) -> np.ndarray:
    """The positive of one pair: control + arc + the arc's own shot noise.

    Parameters
    ----------
    row : mapping
        One row of a pairs data set (``pairs[i]``), with ``control``, ``arc``, ``gain_g, gain_r, gain_z`` and
        ``rng_key``; or one row of its negatives joined to the control, with ``light`` instead of ``arc``.

    Returns
    -------
    ndarray, (3, 64, 64) float32
        Nanomaggies; the same bytes each time.
    """
    light, stream = ("arc", Stream.SHOT) if "arc" in row else ("light", Stream.NEGATIVE_SHOT)
    added = np.asarray(row[light], dtype=np.float32)
    noise = shot_noise(added, per_band(row, "gain"), generator(row["rng_key"], stream))
    return np.asarray(row["control"], dtype=np.float32) + added + noise


def stamps(control: np.ndarray, light: np.ndarray, gain: np.ndarray, keys: list[str], stream: Stream) -> np.ndarray:
    """`stamp` of many rows at once, to the bit.

    Parameters
    ----------
    control, light : ndarray, (n, 3, y, x) float32
        Nanomaggies.
    gain : ndarray, (n, 3)
        Electrons per nanomaggy.
    keys : list of str
        Column ``rng_key``.
    stream : Stream
        ``SHOT`` for positives, ``NEGATIVE_SHOT`` for hard negatives.

    Returns
    -------
    ndarray, (n, 3, y, x) float32
    """
    out = control + light
    for row, added, electrons, key in zip(out, light, gain, keys, strict=True):
        row += shot_noise(added, electrons, generator(key, stream))
    return out


def stamp_invvar(row) -> np.ndarray:
    """(3, 64, 64) float32 inverse variance of the positive: the host's, updated for the arc's shot noise.

    Parameters
    ----------
    row : mapping
        One row of a pairs data set whose host has ``invvar``.
    """
    return updated_invvar(row["invvar"], row["arc"], per_band(row, "gain"))


class Pairs:
    """A pairs data set on disk or in an object store, read lazily.

    Attributes
    ----------
    path : str
    manifest : dict
        ``pairs/manifest.json``.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        if not storage.exists(storage.join(path, "manifest.json")):
            raise DhsError(
                f"{path}: no manifest.json, so not a finished pairs data set. "
                "Make one with `dhs inject --out ...`, or finish it with --resume."
            )
        self.manifest = storage.read_json(storage.join(path, "manifest.json"))
        told = self.manifest if isinstance(self.manifest, dict) else {}
        if missing := [key for key in ("schema_version", "counts", "hosts", "sources") if key not in told]:
            raise DhsError(
                f"{path}/manifest.json: not the manifest of a pairs data set (no {', '.join(missing)}). Put the whole "
                "data set there again, or make it again."
            )
        if self.manifest["schema_version"] != SCHEMA_VERSION:
            raise DhsError(
                f"{path}: schema version {self.manifest['schema_version']}, this dhs reads {SCHEMA_VERSION}. "
                "Make the data set again with this version, or install the version in its manifest."
            )

    def __len__(self) -> int:
        return sum(self.manifest["counts"].values())

    def files(self, split: str, negatives: bool = False) -> list[str]:
        """Parquet parts of a split, sorted."""
        if split not in SPLITS:
            raise UsageError(f"no split {split!r}: choose one of {list(SPLITS)}")
        base = storage.join(self.path, "negatives") if negatives else self.path
        return storage.list_files(storage.join(base, f"split={split}"), (".parquet",))

    def dataset(self, split: str | None = None, negatives: bool = False) -> pads.Dataset | None:
        """`pyarrow.dataset.Dataset` of a split or of all; None where there is no part."""
        splits = SPLITS if split is None else (split,)
        files = [f for name in splits for f in self.files(name, negatives)]
        if not files:
            return None
        fs, _ = storage.resolve(self.path)
        return pads.dataset([storage.resolve(f)[1] for f in files], filesystem=fs, format="parquet")

    def table(
        self, split: str | None = None, columns=SCALARS, limit: int | None = None, negatives=False, where=None
    ) -> pa.Table:
        """Columns of a split (all splits by default), in the order of ``pair_id`` within a part.

        Parameters
        ----------
        split : {"train", "val", "test"}, optional
        columns : sequence of str
            Scalars by default; ask for ``control`` and ``arc`` only where you need them.
        limit : int, optional
            At most so many rows, from the start.
        negatives : bool
            Read the hard negatives instead of the pairs.
        where : pyarrow.dataset.Expression, optional
            Rows to keep, e.g. ``pyarrow.dataset.field("theta_e_arcsec") > 1.5``; row groups that hold none are not
            read.
        """
        columns, dataset = list(columns), self.dataset(split, negatives)
        if dataset is None:
            return (NEGATIVE_SCHEMA if negatives else PAIR_SCHEMA).empty_table().select(columns)
        if limit:
            return decoded(dataset.head(limit, columns=columns, filter=where))
        return decoded(dataset.to_table(columns=columns, filter=where))

    def batches(self, split: str, columns=None, batch_size: int = 256, negatives=False) -> Iterator[pa.RecordBatch]:
        """Stream record batches of a split, memory flat in its size."""
        dataset = self.dataset(split, negatives)
        if dataset is not None:
            for batch in dataset.to_batches(
                columns=columns, batch_size=batch_size, batch_readahead=2, fragment_readahead=1
            ):
                yield from decoded(pa.Table.from_batches([batch])).to_batches()

    def stream(
        self,
        split: str,
        columns=None,
        batch_size: int = 256,
        *,
        shard: int = 0,
        n_shards: int = 1,
        seed: int | None = None,
        epoch: int = 0,
        negatives: bool = False,
    ) -> Iterator[pa.Table]:
        """Stream one shard of a split: its row groups dealt out, so that no row is in two shards.

        Parameters
        ----------
        split : str
        columns : sequence of str, optional
            All by default; others are not read.
        batch_size : int
            At most so many rows a table.
        shard, n_shards : int
            This reader, and how many there are over all ranks and workers.
        seed : int, optional
            Shuffles the row groups; in file order without.
        epoch : int
            With the seed, decides the order, the same for every shard.
        negatives : bool
            The hard negatives instead of the pairs.

        Raises
        ------
        UsageError
            ``shard`` is not one of ``n_shards``.
        """
        if not 0 <= shard < n_shards:
            raise UsageError(f"shard {shard} of {n_shards}: it must be 0 to {n_shards - 1}")
        fs, _ = storage.resolve(self.path)
        groups = []
        for file in self.files(split, negatives):
            fragment = pads.ParquetFileFormat().make_fragment(storage.resolve(file)[1], fs)
            groups += fragment.split_by_row_group()
        order = np.arange(len(groups))
        if seed is not None:
            order = keyed(seed, Stream.READ_ORDER, epoch).permutation(len(groups))
        for index in order[shard::n_shards]:
            table = groups[index].to_table(columns=columns)
            for start in range(0, table.num_rows, batch_size):
                yield decoded(table.slice(start, batch_size))

    def __getitem__(self, index: int | slice) -> dict | list[dict]:
        """One row as a dict, by position over train, val, test; images as (3, 64, 64) arrays. A slice gives a list."""
        n = len(self)
        if isinstance(index, slice):
            return rows(self._all.take(pa.array(range(*index.indices(n)), pa.int64())))
        if not -n <= index < n:
            raise IndexError(f"pair {index} of {n}")
        return rows(self._all.take(pa.array([index % n])))[0]

    @cached_property
    def _all(self) -> pads.Dataset:
        return self.dataset()

    @property
    def assumptions(self) -> list[str]:
        """What was not known of the hosts and taken for granted, one sentence each; and whom to acknowledge."""
        hosts, n = self.manifest["hosts"], sum(self.manifest["counts"].values())
        flags = hosts.get("flags", {})
        out = [f"{flags[name]} of {n} pairs: {text}." for name, text in ASSUMPTIONS.items() if flags.get(name)]
        thanks = (hosts.get("selection") or {}).get("acknowledgement")
        return out + ([f"Hosts: {thanks}."] if thanks else [])

    def __repr__(self) -> str:
        counts = ", ".join(f"{k} {v}" for k, v in self.manifest["counts"].items())
        mock = [k for k in ("hosts", "sources") if self.manifest[k]["mock"]]
        return (
            f"Pairs({self.path!r}: {len(self)} pairs: {counts}; hosts {self.manifest['hosts']['kind']}, "
            f"sources {self.manifest['sources']['kind']}{'; MOCK ' + ' and '.join(mock) if mock else ''})"
        )

    def _repr_html_(self) -> str:
        table = self.table(columns=["control", "arc"], limit=6)
        controls, arcs = images(table["control"], True), images(table["arc"], False)
        rows_ = [np.concatenate(list(x), axis=2) for x in (controls, arcs, controls + arcs)]
        picture = base64.b64encode(png(np.concatenate(rows_, axis=1))).decode()
        return (
            f"<p>{html.escape(repr(self))}</p><img alt='rows: controls, noiseless arcs, their sum, in grz colour' "
            f"src='data:image/png;base64,{picture}' style='image-rendering:pixelated;width:100%;max-width:768px'>"
        )


def rows(table: pa.Table) -> list[dict]:
    """Rows of a table as dicts, image columns as arrays."""
    pictures = {}
    for name in IMAGE_COLUMNS:
        if name in table.column_names and table[name].null_count == 0:
            pictures[name] = images(table[name], name in NOISY_COLUMNS)
    scalars = table.drop_columns([n for n in IMAGE_COLUMNS if n in table.column_names]).to_pylist()
    return [row | {name: picture[i] for name, picture in pictures.items()} for i, row in enumerate(scalars)]


def configuration(manifest: dict, where: str) -> Profile:
    """The profile a data set was injected with.

    Parameters
    ----------
    manifest : dict
    where : str
        What to call it in a message.

    Raises
    ------
    DhsError
        It has none: it comes from a set of the earlier data format.
    """
    if "config" not in manifest:
        raise DhsError(
            f"{where}: in the earlier data format, which does not say how it was injected. Take a set of `dhs inject`."
        )
    return parse_profile(manifest["config"], f"{where}: manifest")


def open_pairs(path: str | Path) -> Pairs:
    """Open a pairs data set: the folder or ``s3://`` prefix that holds ``split=*`` and ``manifest.json``.

    A set of the earlier data format (`dhs.datasets.earlier.convert`) is converted once into the user's cache and opened
    there.

    Raises
    ------
    DhsError
        No finished data set there, or one of another schema version; none of an earlier set's rows can be used.
    """
    if not storage.exists(storage.join(path, "manifest.json")):
        from dhs.datasets.earlier import convert

        if convert.is_earlier(path):
            path = convert.cached(path)
    return Pairs(path)
