"""`open_set`: whatever a user points at, by what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dhs import storage
from dhs.errors import DhsError, UsageError
from dhs.validation.audit.readers.base import Found, Layout
from dhs.validation.audit.readers.cubes import of_arrays, of_cube
from dhs.validation.audit.readers.folders import of_folders
from dhs.validation.audit.readers.pairs import is_pairs, of_pairs
from dhs.validation.audit.readers.tables import of_parquet, read_columns

CUBES = (".npy", ".npz", ".h5", ".hdf5", ".hdf")
FORMS = "a folder of FITS, npz, npy or PNG; one .npy, .npz, .h5 or .zarr with all stamps; .parquet; or our pairs"
USUAL = Layout()


def open_set(data, labels=None, negatives: str | None = None, layout: Layout = USUAL) -> Found:
    """Stamps and labels from what a user names.

    Parameters
    ----------
    data : str, Path or array
        A path, or stamps (n, bands, y, x) in memory.
    labels : str or array, optional
        A table, or (n,) labels.
    negatives : str, optional
        A second folder: ``data`` then holds the positives.
    layout : Layout

    Raises
    ------
    DhsError
        There is nothing that can be read.
    UsageError
        Options that do not go together.
    """
    if not isinstance(data, str | Path):
        columns = {} if labels is None else {"label": np.asarray(labels)}
        return of_arrays(np.asarray(data), columns, layout, "an array")
    path, table = str(data), labels
    if table is not None and not isinstance(table, str | Path):
        raise UsageError("labels is an array and the stamps are files: name a table with their file names.")
    table = None if table is None else str(table)
    if not storage.exists(path):
        raise DhsError(f"{path}: no such file or folder. Give {FORMS}.")
    if negatives is not None:
        if table is not None:
            raise UsageError("--negatives and --labels say the same in two ways: give one of them")
        return of_folders({"lens": path, "nonlens": negatives}, layout)
    low = path.lower().rstrip("/")
    if low.endswith((*CUBES, ".zarr")):
        return of_cube(path, layout, table)
    if low.endswith(".parquet"):
        return _with_labels(of_parquet(path, layout), table, layout)
    if storage.is_file(path):
        raise DhsError(f"{path}: not a set of stamps. Give {FORMS}.")
    if is_pairs(path):
        return of_pairs(path, layout)
    inside = storage.list_files(path)
    whole = [f for f in inside if f.lower().endswith((".h5", ".hdf5", ".parquet"))]
    if len(whole) == 1 and not storage.list_folders(path):
        return open_set(whole[0], table, None, layout)
    return of_folders({None: path}, layout, table)


def _with_labels(found: Found, table: str | None, layout: Layout) -> Found:
    if table is not None:
        columns = read_columns(table)
        for name, values in columns.items():
            if len(values) != len(found):
                raise DhsError(f"{table}: {len(values)} rows of {name!r} for {len(found)} stamps. Give one a stamp.")
        found.columns |= columns
    return found
