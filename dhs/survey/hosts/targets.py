"""Tables of candidate hosts: Tractor and sweep catalogues (FITS), parquet, or any text table with RA and Dec."""

from __future__ import annotations

import io
import warnings

import numpy as np

from dhs import storage
from dhs.errors import DhsError
from dhs.survey.hosts.selection import LRG_COLUMNS, NOBS
from dhs.survey.lenses import catalogues

FITS_SUFFIXES = (".fits", ".fits.gz", ".fit")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".ecsv", ".csv.gz")
SUFFIXES = (*FITS_SUFFIXES, ".parquet", *TEXT_SUFFIXES)  # in any case
OPTIONAL = ("brickname", "brick_primary", "release", "brickid", "objid", "gaia_phot_g_mean_mag", "z_phot", "host_id")
WANTED = {"ra", "dec", *OPTIONAL, *LRG_COLUMNS, *NOBS}
_WORDS = {"": np.nan, "true": 1.0, "false": 0.0}
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
        arrow = storage.read_table(path)
        table = {_name(c): np.asarray(arrow[c].to_numpy()) for c in arrow.column_names if _name(c) in WANTED}
    else:
        positions = catalogues.read_catalogue(path)
        text = {_name(c): v for c, v in catalogues.read_table(path).items()}
        table = {"ra": positions.ra, "dec": positions.dec}
        for name in sorted((WANTED & set(text)) - {"ra", "dec"}):
            table[name] = _numbers(path, name, text[name])
    missing = [name for name in ("ra", "dec") if name not in table]
    if missing:
        raise DhsError(f"{path}: no column {missing}. Name the positions ra and dec, in decimal degrees.")
    for name, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        if table[name].dtype.kind not in "fiu":
            raise DhsError(f"{path}, column {name!r}: text, not numbers. Convert it to decimal degrees.")
        bad = np.flatnonzero(~((table[name] >= low) & (table[name] <= high)))
        if bad.size:
            raise DhsError(
                f"{path}, row {bad[0] + 1}, column {name!r}: {table[name][bad[0]]:g} is outside {low:g} to {high:g} "
                f"degrees ({bad.size} such rows). Give {name} in decimal degrees."
            )
    return table


def _name(column: str) -> str:
    return RENAMED.get(column.strip().lower(), column.strip().lower())


def _numbers(path: str, name: str, column: list[str]) -> np.ndarray:
    if name in ("brickname", "host_id", "type"):
        return np.array(column)
    try:
        return np.array([_WORDS[v.lower()] if v.lower() in _WORDS else float(v) for v in column])
    except ValueError as error:
        raise DhsError(f"{path}, column {name!r}: {error}. Give numbers, or leave it empty.") from None


def _fits_columns(path: str) -> dict[str, np.ndarray]:
    from astropy.io import fits

    source = io.BytesIO(storage.read_bytes(path)) if "://" in path else path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(source) as hdus:
                table = next(h for h in hdus if isinstance(h, fits.BinTableHDU))
                units = {_name(c.name): str(c.unit or "") for c in table.columns}
                columns = {_name(c): c for c in table.columns.names if _name(c) in WANTED}
                found = {name: np.array(table.data[column]) for name, column in columns.items()}
    except FileNotFoundError:
        raise DhsError(f"{path}: no such file. Check the path.") from None
    except Exception as error:  # astropy raises a dozen kinds on a damaged file
        raise DhsError(f"{path}: not a readable FITS table ({error}). Fetch it again.") from None
    for name in ("ra", "dec"):
        if units.get(name, "").lower() in ("h", "hr", "hour", "hourangle", "rad"):
            raise DhsError(f"{path}: column {name!r} is in {units[name]}. Convert it to decimal degrees.")
    return {n: v.astype(v.dtype.newbyteorder("=")) if v.dtype.kind in "fiu" else v for n, v in found.items()}
