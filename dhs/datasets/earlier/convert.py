"""The earlier data format: read where it lies, converted once into ours.

A set of that format is a folder or prefix with parquet files under ``train/``, ``val/`` and ``test/``, one row per
injected stamp: ``stamp_npz`` and ``ctrl_stamp_npz``, each a compressed npz with ``image_g``, ``image_r``, ``image_z``,
(64, 64) in nanomaggies, and scalars. It holds no noiseless arc, so here ``arc = stamp - control``, the arc's shot noise
included. So that a stamp does not get that noise twice, the gain of every row is `dhs.injection.noise.INFINITE_GAIN`
and the rows are flagged ``arc_has_shot_noise``; what else is derived stands in `dhs.datasets.earlier.rows.DERIVED` and
in the manifest under ``earlier_format``.

A work item is one row group, read in batches and written in parts of at most `ROWS_PER_PART` rows, so memory depends
neither on the size of the set nor on that of a row group. The main process holds eight bytes a row, to find repeated
ids.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from dhs import engines, storage
from dhs.config import SplitsConfig, digest
from dhs.datasets import writer as parts
from dhs.datasets.earlier.rows import DERIVED, IMAGES, NUMBERS, OPTIONAL, SEED, UNKNOWN, Place, convert_row
from dhs.datasets.resume import already_done, made_by, refusals_meta
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION, SPLITS, stored
from dhs.engines import Engine, Progress
from dhs.errors import DhsError, InputRefused, Refusal

CONVERSION = 1  # raised where the same input gives other rows; kept conversions of another number are not used
ROWS_PER_PART = 256
BATCH = 32  # rows decoded from the input at a time
ROWS_PER_WORKER = 500  # a second process takes as long to start as so many rows to convert
NSIDE = SplitsConfig().nside
READ_ERRORS = (pa.ArrowException, OSError)


@dataclass(frozen=True)
class InputFile:
    """One parquet file of the set; ``name`` within the set, size in bytes, time in nanoseconds."""

    split: str
    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Item:
    """One row group of an input file: where its rows stand in the file, among the pairs and among the parts."""

    split: str
    file: str
    row_group: int
    first_row: int
    n_rows: int
    first_id: int
    first_part: int
    repeated: frozenset[int]

    @property
    def parts(self) -> list[str]:
        """Names of the parts it becomes."""
        n = -(-self.n_rows // ROWS_PER_PART)
        return [parts.part_name(self.split, self.first_part + i) for i in range(n)]


def listing(path: str | Path) -> list[InputFile]:
    """Parquet files under ``train/``, ``val/`` and ``test/``, by split and name; hidden ones and ``_*`` left out."""
    found, (fs, inner) = [], storage.resolve(path)
    for split in SPLITS:
        with storage.explained(path):
            selector = pafs.FileSelector(f"{inner.rstrip('/')}/{split}", recursive=True, allow_not_found=True)
            infos = fs.get_file_info(selector)
        for info in infos:
            name = info.path[len(inner.rstrip("/")) + 1 :]
            hidden = any(part.startswith((".", "_")) for part in name.split("/"))
            if info.type == pafs.FileType.File and name.endswith(".parquet") and not hidden:
                found.append(InputFile(split, name, info.size, info.mtime_ns or 0))
    return sorted(found, key=lambda f: (SPLITS.index(f.split), f.name))


def is_earlier(path: str | Path) -> bool:
    """Whether a folder or prefix holds a set of the earlier format: its columns, and no ``manifest.json``."""
    if storage.exists(storage.join(path, "manifest.json")):
        return False
    for file in listing(path):
        try:
            with _opened(path, file.name) as stream:
                return set(IMAGES) <= set(pq.read_schema(stream).names)
        except READ_ERRORS:
            continue
    return False


def convert(path: str | Path, out: str | Path, workers: int | None = None) -> dict:
    """Convert a set of the earlier format; an interrupted conversion is gone on with, a finished one kept.

    Parameters
    ----------
    path : str or Path
        Folder or prefix with ``train/``, ``val/``, ``test/``.
    out : str or Path
        Where the pairs data set is written, as by ``dhs inject``.
    workers : int, optional
        CPUs by default. Changes no byte.

    Returns
    -------
    dict
        The manifest. ``earlier_format`` lists the columns derived and unknown, and counts refused inputs by reason;
        ``quarantine.parquet`` has them one by one.

    Raises
    ------
    DhsError
        No row can be used, or ``out`` holds something else.
    """
    path, out = str(path), str(out)
    engine = Engine("processes", workers)
    files, started = listing(path), time.time()
    maker = made_by(__name__)
    identity = digest([CONVERSION, SCHEMA_VERSION, [[f.name, f.size, f.mtime_ns] for f in files]])
    manifest_file = storage.join(out, "manifest.json")
    if already_done(out, identity, maker, resume=True):
        return storage.read_json(manifest_file)
    run = {"identity": identity, "finished": False, "input": path, "workers": workers, "out": out, **maker}
    storage.write_json(storage.join(out, "run.json"), run)
    items, refused = plan(path, files)
    there = set(storage.list_files(out, (".parquet",), recursive=True))
    todo = [(item, all(storage.join(out, name) in there for name in item.parts)) for item in items]
    sizes = [0 if done else item.n_rows for item, done in todo]
    engine, shown = engine.at_most(1 + sum(sizes) // ROWS_PER_WORKER), Progress("converting", "pair", sizes)
    order = {name: i for i, name in enumerate(name for item in items for name in item.parts)}
    done = [s for found in engines.run(convert_item, todo, _context, (path, out), engine, shown) for s in found]
    totals = parts.total(sorted(done, key=lambda s: order[s.name]))
    refused += totals.refused
    storage.write_quarantine(storage.join(out, "quarantine.parquet"), refused)
    manifest = _manifest(totals, refused, path, maker)
    run |= {"finished": True, "seconds": time.time() - started, "pairs_made": sum(s.made for s in done)}
    storage.write_json(storage.join(out, "run.json"), run)
    storage.write_json(manifest_file, manifest)
    return manifest


def _context(path: str, out: str) -> tuple[str, str]:
    return path, out


def _opened(path: str, name: str):
    file = storage.join(path, name)
    fs, inner = storage.resolve(file)
    with storage.explained(file):
        return fs.open_input_file(inner)


def _unreadable(name: str, row: int, what: str, error: Exception) -> Refusal:
    """Refusal of a damaged file; an object store that does not answer is no property of the file."""
    if "AWS Error" in str(error):
        with storage.explained(name):
            raise error
    message = f"{what} cannot be read ({str(error).splitlines()[0]})"
    return Refusal("", name, row, "row", "unreadable_file", message, "Copy or make the file again.")


def plan(path: str, files: list[InputFile]) -> tuple[list[Item], list[Refusal]]:
    """Row groups to convert, in the order of the files, and the files that are refused whole.

    The first row with a ``task_id`` keeps it; later ones are noted as repeated.
    """
    items, refused, keys = [], [], []
    next_id, next_part = 0, dict.fromkeys(SPLITS, 0)
    for file in files:
        try:
            with _opened(path, file.name) as stream:
                parquet = pq.ParquetFile(stream)
                names, groups = parquet.schema_arrow.names, parquet.metadata
                missing = [name for name in (*IMAGES, *NUMBERS) if name not in names]
                ids = _keys(parquet) if "task_id" in names and not missing else None
        except READ_ERRORS as error:
            refused.append(_unreadable(file.name, -1, "the file", error))
            continue
        if missing:
            message, remedy = f"no column {', '.join(missing)}", "Write the file again with these columns."
            refused.append(Refusal("", file.name, -1, "row", "missing_column", message, remedy))
            continue
        keys.append(np.zeros(groups.num_rows, np.uint64) if ids is None else ids)
        first = 0
        for group in range(groups.num_row_groups):
            n = groups.row_group(group).num_rows
            item = Item(file.split, file.name, group, first, n, next_id, next_part[file.split], frozenset())
            next_part[file.split] += len(item.parts)
            next_id, first = next_id + n, first + n
            items += [item] if n else []
    return _with_repeats(items, np.concatenate(keys or [np.empty(0, np.uint64)])), refused


def _keys(parquet: pq.ParquetFile) -> np.ndarray:
    """(n,) uint64 hash of each ``task_id``; 0 where it is null."""
    out = []
    for batch in parquet.iter_batches(columns=["task_id"], batch_size=65536):
        for value in batch.column(0).to_pylist():
            own = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
            out.append(0 if value is None else int.from_bytes(own, "big"))
    return np.array(out, np.uint64)


def _with_repeats(items: list[Item], keys: np.ndarray) -> list[Item]:
    order = np.argsort(keys, kind="stable")
    again = (keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != 0)
    repeated = np.sort(order[1:][again])
    out = []
    for item in items:
        low, high = np.searchsorted(repeated, [item.first_id, item.first_id + item.n_rows])
        rows = frozenset((repeated[low:high] - item.first_id + item.first_row).tolist())
        out.append(Item(**{**vars(item), "repeated": rows}))
    return out


def convert_item(context: tuple[str, str], task: tuple[Item, bool]) -> list[parts.Summary]:
    """Convert one row group into its parts; parts that are there already, and whole, are only summed up."""
    (path, out), (item, there) = context, task
    if there:
        found = [parts.read_summary(out, item.split, name) for name in item.parts]
        if all(found):
            return found
    rows, done, row = _rows(path, item), [], item.first_row
    for name in item.parts:
        pairs, refused = [], []
        for value in islice(rows, ROWS_PER_PART):
            if isinstance(value, Refusal):
                refused.append(value)
                break
            place = Place(item.file, row, item.split, item.first_id + row - item.first_row)
            try:
                pairs.append(convert_row(value, place, row in item.repeated, NSIDE))
            except InputRefused as error:
                refused.append(error.refusal)
            row += 1
        table = parts.as_table(pairs, stored(PAIR_SCHEMA))
        table = table.replace_schema_metadata({**table.schema.metadata, **refusals_meta(refused)})
        negatives = stored(NEGATIVE_SCHEMA).empty_table()
        done.append(parts.write(out, item.split, name, table, negatives, {}))
    return done


def _rows(path: str, item: Item) -> Iterator[dict | Refusal]:
    """Rows of a row group; where it is damaged, one refusal instead of the rest."""
    row = item.first_row
    try:
        with _opened(path, item.file) as stream:
            parquet = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
            names = [n for n in parquet.schema_arrow.names if n in (*IMAGES, *NUMBERS, *OPTIONAL)]
            for batch in parquet.iter_batches(BATCH, row_groups=[item.row_group], columns=names):
                yield from batch.to_pylist()
                row += batch.num_rows
    except READ_ERRORS as error:
        yield _unreadable(item.file, row, f"rows {row} to {item.first_row + item.n_rows - 1}", error)


def _manifest(totals: parts.Totals, refused: list[Refusal], path: str, maker: dict) -> dict:
    reasons = dict(sorted(Counter(r.code for r in refused).items()))
    n = sum(totals.counts.values())
    if n == 0:
        first = min(refused, key=lambda r: (r.file, r.row), default=None)
        said = f"First: {first.file}, row {first.row}: {first.message}. {first.remedy}" if first else ""
        raise DhsError(f"{path}: no row of this set in the earlier format can be used ({reasons}). {said}")
    hosts, sources = totals.host_ids, {split: ids - {""} for split, ids in totals.source_ids.items()}
    kind = {"kind": "earlier format", "spec": "earlier format", "mock": False}
    return {
        "schema_version": SCHEMA_VERSION,
        "seed": SEED,
        "versions": maker["versions"],
        "git_commit": parts.git_commit(),
        "counts": totals.counts,
        "hosts": {
            **kind,
            "n": len(set().union(*hosts.values())),
            "per_split": {split: len(ids) for split, ids in hosts.items()},
            "refused": len(refused),
            "known_lens_catalogue": None,
            "selection": None,
        },
        "sources": {
            **kind,
            "n": len(set().union(*sources.values())),
            "per_split": {split: len(ids) for split, ids in sources.items()},
            "used": {split: len(ids) for split, ids in sources.items()},
            "refused": 0,
            "limits": ["Source galaxies are known by cosmos_index alone."],
        },
        "draws": {},
        "negatives": {"refused": {}},
        "earlier_format": {"derived": DERIVED, "unknown": list(UNKNOWN), "refused": reasons},
        "content_hash": totals.content_hash,
    }


def cached(path: str | Path) -> Path:
    """Folder of the conversion of a set, made if there is none for its files as they are now; says so on stderr."""
    where = str(path) if "://" in str(path) else storage.resolve(path)[1]
    key = digest([CONVERSION, SCHEMA_VERSION, where, [[f.name, f.size, f.mtime_ns] for f in listing(path)]])
    folder = storage.cache_folder("earlier") / key[:32]
    if not (folder / "manifest.json").is_file():
        print(f"dhs: {path}: earlier data format, converted once into {folder}", file=sys.stderr)
        run = folder / "run.json"
        if run.is_file() and storage.read_json(run)["code"] != made_by(__name__)["code"]:
            shutil.rmtree(folder)  # begun by another version of the code
    manifest = convert(path, folder)
    pairs, derived = sum(manifest["counts"].values()), ", ".join(sorted(manifest["earlier_format"]["derived"]))
    print(
        f"dhs: {path}: read through {folder}: {pairs} pairs, {manifest['hosts']['refused']} inputs refused "
        f"(quarantine.parquet); derived columns (manifest.json says how): {derived}",
        file=sys.stderr,
    )
    return folder
