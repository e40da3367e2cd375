"""Tables of candidate hosts: Tractor and sweep catalogues (FITS), parquet, or any text table with RA and Dec."""

from __future__ import annotations

import io
import warnings

import numpy as np

from dhs import storage
from dhs.errors import DhsError
from dhs.survey.facts import known_redshift
from dhs.survey.hosts.selection import LRG_COLUMNS, NOBS
from dhs.survey.lenses import catalogues

FITS_SUFFIXES = (".fits", ".fits.gz", ".fit")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".ecsv", ".csv.gz")
SUFFIXES = (*FITS_SUFFIXES, ".parquet", *TEXT_SUFFIXES)  # in any case
OPTIONAL = ("brickname", "brick_primary", "release", "brickid", "objid", "gaia_phot_g_mean_mag", "z_phot", "host_id")
WANTED = {"ra", "dec", *OPTIONAL, *LRG_COLUMNS, *NOBS}
_WORDS = {"true": 1.0, "false": 0.0}
RENAMED = {"z_phot_mean": "z_phot", "z_phot_median": "z_phot"}


def files(spec: str) -> list[str]:
    """Catalogue files of a path: itself, or all that lie under a folder (sweeps; ``tractor/AAA/tractor-*.fits``).

    Raises
    ------
    DhsError
        Nothing there.
    """
    if spec.lower().endswith(SUFFIXES):
        return [spec]
    if storage.is_file(spec):
        raise DhsError(f"{spec}: not a catalogue by its name. Give a file that ends in {', '.join(SUFFIXES)}.")
    there = storage.list_files(spec, recursive=True)
    found = [f for f in there if f.lower().endswith(SUFFIXES) and not f.lower().endswith((".txt", ".dat"))]
    if not found:
        raise DhsError(f"{spec}: no catalogue there. Give a Tractor or sweep file, a folder of them, or a CSV.")
    return found


def read_targets(path: str) -> dict[str, np.ndarray]:
    """Columns of one catalogue that choosing hosts needs, lower-case, RA and Dec in degrees.

    Parameters
    ----------
    path : str
        ``.fits`` (Tractor or sweep), ``.parquet``, or a text table. Column names in any case; photo-z as ``z_phot``,
        ``Z_PHOT_MEAN`` or ``Z_PHOT_MEDIAN``.

    Raises
    ------
    DhsError
        Unreadable, no RA and Dec, or positions that are not degrees.
    """
    if path.lower().endswith(FITS_SUFFIXES):
        table = _fits_columns(path)
    elif path.lower().endswith(".parquet"):
        arrow = _parquet(path)
        table = {k: arrow[c].to_numpy() for k, c in _wanted(path, arrow.column_names).items()}
    else:
        positions = catalogues.read_catalogue(path)
        text = catalogues.read_table(path)
        table = {"ra": positions.ra, "dec": positions.dec}
        for name, column in _wanted(path, text).items():
            if name not in table:
                table[name] = np.array(text[column])
    table = {name: _column(path, name, column) for name, column in table.items()}
    if "z_phot" in table:
        table["z_phot"] = known_redshift(table["z_phot"])
    missing = [name for name in ("ra", "dec") if name not in table]
    if missing:
        raise DhsError(f"{path}: no column {missing}. Name the positions ra and dec, in decimal degrees.")
    for name, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        bad = np.flatnonzero(~((table[name] >= low) & (table[name] <= high)))
        if bad.size:
            value = table[name][bad[0]]
            if np.isnan(value):
                raise DhsError(
                    f"{path}, row {bad[0] + 1}, column {name!r}: no value ({bad.size} such rows or wrong ones). Give "
                    f"{name} in decimal degrees, or leave the row out."
                )
            raise DhsError(
                f"{path}, row {bad[0] + 1}, column {name!r}: {value:g} is outside {low:g} to {high:g} "
                f"degrees ({bad.size} such rows). Give {name} in decimal degrees."
            )
    return table


def _parquet(path: str):
    try:
        return storage.read_table(path)
    except DhsError as error:
        if "not a readable parquet" not in str(error):
            raise
        raise DhsError(f"{path}: not a readable parquet file. Fetch or write it again.") from None


TEXT_COLUMNS = ("brickname", "host_id", "type")
_MISSING = ("", "nan", "none", "null", "n/a", "na", "-", "--", "masked")


def _name(column: str) -> str:
    small = column.strip().lower()
    return RENAMED.get(small) or catalogues.position_column(column) or small


def _wanted(path: str, columns) -> dict[str, str]:
    """{name: column} of those that are read; the plain name before one that is only taken for it."""
    found: dict[str, str] = {}
    for column in columns:
        name = _name(column)
        if name not in WANTED:
            continue
        if name in found and (column.lower() == name) == (found[name].lower() == name):
            raise DhsError(f"{path}: columns {found[name]!r} and {column!r} are both taken for {name}. Leave one out.")
        if name not in found or column.lower() == name:
            found[name] = column
    return found


def _column(path: str, name: str, column) -> np.ndarray:
    """A column of numbers with NaN where a value is missing, however that is written; or of text."""
    column = np.ma.filled(np.ma.asarray(column).astype(float), np.nan) if np.ma.isMaskedArray(column) else column
    column = np.asarray(column)
    if column.ndim != 1:
        raise DhsError(f"{path}, column {name!r}: {column.shape[1:]} values a row. Give one number a row.")
    if name in TEXT_COLUMNS:
        return np.array([_word(v) for v in column.tolist()], dtype=str)
    if column.dtype.kind in "fiub":
        return column
    out = np.empty(len(column))
    for i, value in enumerate(column.tolist()):
        word = _word(value).lower()
        try:
            out[i] = np.nan if word in _MISSING else _WORDS[word] if word in _WORDS else float(word.replace("_", "?"))
        except ValueError:
            unit = "decimal degrees" if name in ("ra", "dec") else "numbers, empty where unknown"
            raise DhsError(f"{path}, row {i + 1}, column {name!r}: {word!r} is no number. Give {unit}.") from None
    return out


def _word(value) -> str:
    if value is None:
        return ""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _fits_columns(path: str) -> dict[str, np.ndarray]:
    from astropy.io import fits

    source = io.BytesIO(storage.read_bytes(path)) if "://" in path else path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(source) as hdus:
                table = next(h for h in hdus if isinstance(h, fits.BinTableHDU))
                columns = _wanted(path, table.columns.names)
                units = {name: str(table.columns[column].unit or "") for name, column in columns.items()}
                nulls = {name: table.columns[column].null for name, column in columns.items()}
                found = {name: np.array(table.data[column]) for name, column in columns.items()}
    except FileNotFoundError:
        raise DhsError(f"{path}: no such file. Check the path.") from None
    except DhsError:
        raise
    except Exception as error:  # astropy raises a dozen kinds on a damaged file
        raise DhsError(f"{path}: not a readable FITS table ({error}). Fetch it again.") from None
    for name in ("ra", "dec"):
        if units.get(name, "").lower() in ("h", "hr", "hour", "hourangle", "rad"):
            raise DhsError(f"{path}: column {name!r} is in {units[name]}. Convert it to decimal degrees.")
    found = {n: v.astype(v.dtype.newbyteorder("=")) if v.dtype.kind in "fiu" else v for n, v in found.items()}
    return {n: v if nulls[n] is None else np.where(v == nulls[n], np.nan, v) for n, v in found.items()}
