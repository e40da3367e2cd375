"""Ways to write labelled stamps: one HDF5 file, WebDataset shards, parquet as Hugging Face ``datasets`` reads it."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.datasets.export.stamps import Stamps

SHARD = 1000  # stamps a file: some 100 MB before compression
Split = tuple[str, Iterable[Stamps]]


def _shards(parts: Iterable[Stamps], size: int = SHARD) -> Iterable[list[Stamps]]:
    """Parts in runs of at least ``size`` stamps, the last one whatever is left."""
    held: list[Stamps] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= size:
            yield held
            held = []
    if held:
        yield held


def hdf5(out: str, splits: Iterable[Split]) -> list[str]:
    """``stamps.h5``: a group a split, in it ``image``, ``light`` and a data set for each column."""
    target = storage.join(out, "stamps.h5")
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "stamps.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file.attrs["bands"], file.attrs["unit"] = ["g", "r", "z"], "nanomaggy"
            for split, parts in splits:
                group = file.create_group(split)
                for part in parts:
                    _append(group, "image", part.image)
                    _append(group, "light", part.light)
                    for name in part.table.column_names:
                        _append(group, name, _filled(part.table[name]))
        storage.copy(path, target)
    return [target]


def _filled(column: pa.ChunkedArray) -> np.ndarray:
    """Values with NaN, -1 or the empty string for null."""
    if pa.types.is_string(column.type):
        return np.array([v or "" for v in column.to_pylist()], dtype=object)
    empty = float("nan") if pa.types.is_floating(column.type) else -1
    return column.fill_null(pa.scalar(empty, column.type)).to_numpy()


def _append(group, name: str, values: np.ndarray) -> None:
    if name not in group:
        kind = h5py.string_dtype() if values.dtype == object else values.dtype
        chunk = (1, *values.shape[1:]) if values.ndim > 1 else (4096,)
        options = {"chunks": chunk, "compression": "gzip", "compression_opts": 1, "shuffle": values.dtype != object}
        group.create_dataset(name, (0, *values.shape[1:]), kind, maxshape=(None, *values.shape[1:]), **options)
    data = group[name]
    data.resize(len(data) + len(values), axis=0)
    data[-len(values) :] = values


def webdataset(out: str, splits: Iterable[Split]) -> list[str]:
    """``SPLIT-000000.tar`` ...: a stamp is ``KEY.image.npy``, ``.light.npy``, ``.json``; the same bytes each time."""
    paths = []
    for split, parts in splits:
        n = 0
        for number, shard in enumerate(_shards(parts)):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for part in shard:
                    for image, light, row in zip(part.image, part.light, part.table.to_pylist()):
                        key, n = f"{split}-{n:08d}", n + 1
                        _member(tar, f"{key}.image.npy", _npy(image))
                        _member(tar, f"{key}.light.npy", _npy(light))
                        told = {k: v for k, v in row.items() if v is not None and v == v}
                        _member(tar, f"{key}.json", json.dumps(told, sort_keys=True, allow_nan=False).encode())
            paths.append(storage.join(out, f"{split}-{number:06d}.tar"))
            storage.write_bytes(paths[-1], buffer.getvalue())
    return paths


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def hf(out: str, splits: Iterable[Split]) -> list[str]:
    """``data/SPLIT-00000.parquet`` ...: images as Array3D."""
    paths = []
    for split, parts in splits:
        for number, shard in enumerate(_shards(parts)):
            table = pa.concat_tables([part.table for part in shard])
            for name in ("light", "image"):
                stack = np.concatenate([getattr(part, name) for part in shard])
                table = table.add_column(0, name, _nested(stack))
            features = {f.name: _feature(f.type) for f in table.schema}
            told = {"huggingface": json.dumps({"info": {"features": features}})}
            paths.append(storage.join(out, "data", f"{split}-{number:05d}.parquet"))
            storage.write_table(paths[-1], table.replace_schema_metadata(told), row_group_size=100)
    return paths


def _nested(stack: np.ndarray) -> pa.Array:
    """(n, bands, y, x) as lists of lists of lists."""
    column = pa.array(np.ascontiguousarray(stack).reshape(-1))
    for side, count in zip(stack.shape[:0:-1], np.cumprod(stack.shape)[-2::-1]):
        column = pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * side, pa.int32()), column)
    return column


def _feature(kind: pa.DataType) -> dict:
    if pa.types.is_list(kind):
        return {"shape": [3, 64, 64], "dtype": "float32", "_type": "Array3D"}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


FORMATS: dict[str, Callable[[str, Iterable[Split]], list[str]]] = {"hdf5": hdf5, "webdataset": webdataset, "hf": hf}
