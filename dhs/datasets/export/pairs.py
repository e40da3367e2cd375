"""``dhs export pairs``: a pairs data set as labelled stamps in a format that others read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from dhs import storage
from dhs.datasets import preregistration
from dhs.datasets.export.card import croissant, datasheet, sums
from dhs.datasets.export.formats import FORMATS
from dhs.datasets.export.stamps import Stamps, labelled
from dhs.datasets.reader import open_pairs
from dhs.datasets.schema import SPLITS
from dhs.errors import DhsError, UsageError


def export_pairs(
    data_path: str | Path,
    out: str | Path,
    *,
    format: str = "hdf5",
    splits: Sequence[str] = ("train", "val"),
    name: str = "Dark Halo Scope pairs",
    licence: str | None = None,
) -> list[str]:
    """Write labelled stamps, and a card that says what they are.

    Parameters
    ----------
    data_path : str or Path
        A pairs data set.
    out : str or Path
        A new or empty folder. Beside the data: ``README.md`` (datasheet), ``croissant.json``, ``SHA256SUMS``.
    format : {"hdf5", "webdataset", "hf"}
        One HDF5 file; tar shards of WebDataset; parquet for Hugging Face ``datasets``.
    splits : sequence of str
        ``test`` is given out only where a plan is registered, and the reading is noted.
    name : str
    licence : str, optional
        SPDX name. Without one the card says that none is stated.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    UsageError
        No such format or split.
    DhsError
        ``out`` holds files; the test split without a plan.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    if unknown := [s for s in splits if s not in SPLITS]:
        raise UsageError(f"no split {unknown[0]!r}: choose among {', '.join(SPLITS)}")
    out, pairs = str(out).rstrip("/"), open_pairs(data_path)
    if storage.list_files(out, recursive=True):
        raise DhsError(f"{out}: holds files. Give a new folder.")
    if "test" in splits:
        preregistration.open_test(pairs, what="export")
    counts: dict[str, Counter] = {s: Counter() for s in splits if pairs.manifest["counts"].get(s)}
    files = FORMATS[format](out, ((s, _counted(labelled(pairs, s), counts[s])) for s in counts))
    listed = sums(out, files)
    schema = (
        pq.read_schema(storage.resolve(files[0])[1], filesystem=storage.resolve(files[0])[0])
        if format == "hf"
        else None
    )
    storage.write_bytes(storage.join(out, "README.md"), datasheet(pairs, name, format, licence, counts).encode())
    storage.write_json(storage.join(out, "croissant.json"), croissant(pairs, name, licence, listed, schema))
    return [*files, *(storage.join(out, n) for n in ("README.md", "croissant.json", "SHA256SUMS"))]


def _counted(parts: Iterable[Stamps], counts: Counter) -> Iterator[Stamps]:
    for part in parts:
        counts.update(part.table["kind"].to_pylist())
        yield part
