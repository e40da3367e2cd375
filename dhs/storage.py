"""Files and object stores through ``pyarrow.fs``: atomic writes, listing, the quarantine.

A path is a local path or a URI that ``pyarrow.fs`` understands (``s3://bucket/key``). Every write is whole or
absent: locally through a temporary file and a rename, on an object store because an upload is atomic there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from dhs.errors import DhsError, Refusal

QUARANTINE_SCHEMA = pa.schema(
    [("id", pa.string()), ("file", pa.string()), ("row", pa.int64()), ("stage", pa.string())]
    + [(name, pa.string()) for name in ("code", "message", "remedy")]
)


def resolve(path: str | Path) -> tuple[pafs.FileSystem, str]:
    """File system and path within it, of a local path or a URI."""
    text = str(path)
    if "://" in text:
        return pafs.FileSystem.from_uri(text)
    return pafs.LocalFileSystem(), os.path.abspath(os.path.expanduser(text))


def join(path: str | Path, *parts: str) -> str:
    """Append path components to a local path or URI."""
    return "/".join([str(path).rstrip("/"), *parts])


def exists(path: str | Path) -> bool:
    fs, inner = resolve(path)
    return fs.get_file_info(inner).type != pafs.FileType.NotFound


def list_files(folder: str | Path, suffixes: tuple[str, ...] = (), recursive: bool = False) -> list[str]:
    """Sorted paths of the files in a folder; hidden and temporary files are left out."""
    fs, inner = resolve(folder)
    infos = fs.get_file_info(pafs.FileSelector(inner, recursive=recursive, allow_not_found=True))
    prefix = str(folder).rstrip("/")
    names = [i.path[len(inner.rstrip("/")) + 1 :] for i in infos if i.type == pafs.FileType.File]
    keep = [n for n in names if not n.rsplit("/", 1)[-1].startswith(".") and (not suffixes or n.endswith(suffixes))]
    return [f"{prefix}/{name}" for name in sorted(keep)]


def list_folders(folder: str | Path) -> list[str]:
    """Sorted names of the folders directly in a folder."""
    fs, inner = resolve(folder)
    infos = fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True))
    return sorted(i.base_name for i in infos if i.type == pafs.FileType.Directory and not i.base_name.startswith("."))


def read_bytes(path: str | Path) -> bytes:
    fs, inner = resolve(path)
    try:
        with fs.open_input_file(inner) as stream:
            return stream.read()
    except FileNotFoundError:
        raise DhsError(f"{path}: no such file. Check the path, or make the step that writes it.") from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    fs, inner = resolve(path)
    if isinstance(fs, pafs.LocalFileSystem):
        folder = os.path.dirname(inner)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, inner)
        except BaseException:
            os.unlink(temporary)
            raise
    else:
        with fs.open_output_stream(inner) as stream:
            stream.write(data)


def read_json(path: str | Path) -> dict:
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise DhsError(f"{path}: not valid JSON ({error}). Delete it and run the step that writes it.") from None


def write_json(path: str | Path, value) -> None:
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def write_table(path: str | Path, table: pa.Table, row_group_size: int | None = None) -> None:
    """Write one parquet file atomically; the bytes depend on the table and the pyarrow version alone.

    Row groups carry the least and greatest value of every column but binary ones, so that a reader can leave out
    groups that a filter excludes.
    """
    sink = pa.BufferOutputStream()
    blobs = {f.name for f in table.schema if pa.types.is_binary(f.type)}
    plain = [name for name in table.schema.names if name not in blobs]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        row_group_size=row_group_size or max(table.num_rows, 1),
        use_dictionary=plain if blobs else True,
        write_statistics=plain if blobs else True,
    )
    write_bytes(path, sink.getvalue().to_pybytes())


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    fs, inner = resolve(path)
    try:
        return pq.read_table(inner, columns=columns, filesystem=fs, partitioning=None)
    except FileNotFoundError:
        raise DhsError(f"{path}: no such file. Check the path, or make the step that writes it.") from None
    except pa.ArrowInvalid as error:
        raise DhsError(f"{path}: not a readable parquet file ({error}). Delete it and run the step again.") from None


def write_quarantine(path: str | Path, refusals: Iterable[Refusal]) -> None:
    """Write refused inputs, sorted, so that the file does not depend on the order in which they were met."""
    rows = sorted((r.as_dict() for r in refusals), key=lambda r: (r["stage"], r["file"], r["row"], r["id"]))
    write_table(path, pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA))


def sha256(path: str | Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()
