"""Tables of labels: CSV, parquet, FITS, npy; and parquet that holds the stamps themselves."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from dhs import storage
from dhs.errors import DhsError, InputRefused
from dhs.validation.audit.readers.base import Found, Layout, Raw, named, refused, take_roles
from dhs.validation.audit.readers.files import decode

CHUNK = 64


def read_columns(path: str) -> dict[str, np.ndarray]:
    """A table as columns, by its ending: parquet, FITS, npy (one column, ``label``), npz, else CSV.

    Raises
    ------
    DhsError
        It can't be read as such a table.
    """
    low = path.lower()
    try:
        if low.endswith(".parquet"):
            return _plain(storage.read_table(path))
        data = io.BytesIO(storage.read_bytes(path))
        if low.endswith(".npy"):
            return {"label": np.load(data, allow_pickle=False)}
        if low.endswith(".npz"):
            with np.load(data, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files if archive[k].ndim == 1}
        if low.endswith((".fits", ".fit", ".fits.gz")):
            from astropy.table import Table

            table = Table.read(data, format="fits", hdu=1)
            return {n: np.asarray(table[n]) for n in table.colnames if table[n].ndim == 1}
        delimiter = "\t" if low.endswith((".tsv", ".tab")) else ","
        return _plain(pacsv.read_csv(data, parse_options=pacsv.ParseOptions(delimiter=delimiter)))
    except (ValueError, OSError, KeyError, pa.ArrowException) as error:
        said = str(error).splitlines()[0]
        raise DhsError(f"{path}: not a readable table ({said}). Give CSV, parquet, FITS or npy.") from None


def _plain(table: pa.Table) -> dict[str, np.ndarray]:
    keep = [f.name for f in table.schema if not pa.types.is_nested(f.type) and not pa.types.is_binary(f.type)]
    return {
        name: table[name].to_numpy(zero_copy_only=False) for name in keep if not _extension(table.schema.field(name))
    }


def _extension(field: pa.Field) -> bool:
    return isinstance(field.type, pa.BaseExtensionType)


class ParquetStamps:
    """Stamps in a column of a parquet file; a row group is read at a time, the last one kept."""

    def __init__(self, path: str, column: str):
        fs, inner = storage.resolve(path)
        self.path, self.column = path, column
        self.file = pq.ParquetFile(inner, filesystem=fs)
        sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.ends, self.kept = np.cumsum([0, *sizes]), (-1, None)

    def read(self, places) -> list[Raw | InputRefused]:
        return [self._one(int(i)) for i in places]

    def _one(self, place: int) -> Raw | InputRefused:
        group = int(np.searchsorted(self.ends, place, "right")) - 1
        if self.kept[0] != group:
            self.kept = (group, self.file.read_row_group(group, columns=[self.column])[self.column])
        value = self.kept[1][place - int(self.ends[group])].as_py()
        name = f"row {place}"
        if isinstance(value, dict):
            value = value.get("bytes")
        if value is None:
            return refused(name, self.path, "no image in this row", "Leave the row out.", "missing", place)
        if isinstance(value, bytes):
            try:
                return decode(value, f"{self.path}, {name}")
            except InputRefused as error:
                return error
        return self._array(value, name, place)

    def _array(self, value, name: str, place: int) -> Raw | InputRefused:
        try:
            array = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            return refused(name, self.path, "its image is no array", "Store lists of numbers.", "wrong_shape", place)
        if array.ndim == 1:
            for bands in (1, 3, 4, 5, 6, 2):
                side = round(np.sqrt(array.size / bands))
                if side > 8 and bands * side * side == array.size:
                    return Raw(array.reshape(bands, side, side), {"dtype": "list"})
            message, remedy = (
                f"a list of {array.size} numbers is no stamp",
                "Store bands x y x x numbers, band by band.",
            )
            return refused(name, self.path, message, remedy, "wrong_shape", place)
        return Raw(array, {"dtype": "list"})


def of_parquet(path: str, layout: Layout) -> Found:
    """A parquet file with one stamp a row: lists, tensors, npz, npy or PNG bytes, or ``{"bytes": ...}``."""
    fs, inner = storage.resolve(path)
    try:
        with storage.explained(path):
            schema = pq.read_schema(inner, filesystem=fs)
    except pa.ArrowInvalid as error:
        raise DhsError(f"{path}: not a readable parquet file ({error}).") from None
    images = [f.name for f in schema if pa.types.is_nested(f.type) or pa.types.is_binary(f.type) or _extension(f)]
    column = layout.image or named(images, "image", Layout()) or (images[0] if len(images) == 1 else None)
    if column is None:
        raise DhsError(f"{path}: no column of images; it has {', '.join(schema.names)[:200]}. Name it with --image.")
    scalars = [n for n in schema.names if n not in images]
    table = _plain(storage.read_table(path, columns=scalars)) if scalars else {}
    stamps = ParquetStamps(path, column)
    n = int(stamps.ends[-1])
    first = stamps.read(range(min(n, 1)))
    display = bool(first) and not isinstance(first[0], InputRefused) and bool(first[0].about.get("display"))
    columns = take_roles(table, layout, n)
    return Found("parquet", [f"row {i}" for i in range(n)], columns, stamps.read, display=display)
