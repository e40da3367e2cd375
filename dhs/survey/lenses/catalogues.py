"""Catalogues of positions: reading any table with RA and Dec, and matching known lenses."""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import importlib.util
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from dhs import storage
from dhs.errors import DhsError

MAX_UNPACKED = 1 << 30  # bytes of a gzipped table
RA_NAMES = ("ra", "raj2000", "rajj2000", "radeg", "radegrees", "rightascension", "raicrs", "targetra", "metara")
DEC_NAMES = ("dec", "decj2000", "dej2000", "de", "decdeg", "decdegrees", "dedeg", "declination", "deicrs", "decicrs")
DEC_NAMES += ("targetdec", "metadec")
NAME_COLUMNS = ("name", "id", "objid", "object", "target", "system", "lens")
_HOURS = re.compile(r"(\[|\(|_|\s)(h|hr|hrs|hour|hours|hms|hh:mm:ss|sexagesimal|dms)(\]|\)|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Catalogue:
    """Positions on the sky.

    Attributes
    ----------
    label : str
        Where it comes from, without the machine's paths.
    ra, dec : ndarray, (n,) float64
        Degrees.
    names : tuple of str
        Of the rows; empty where the table has no column of names.
    """

    label: str
    ra: np.ndarray
    dec: np.ndarray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ra)

    def match(self, ra, dec, radius_arcsec: float) -> tuple[np.ndarray, np.ndarray]:
        """Nearest entry of each position.

        Parameters
        ----------
        ra, dec : array_like, (n,)
            Degrees.
        radius_arcsec : float

        Returns
        -------
        index : ndarray, (n,) int
            Row of the catalogue; -1 where none lies within the radius.
        separation : ndarray, (n,) float64
            Arcsec to the nearest entry, on the sphere, whether or not it is a match.
        """
        if len(self) == 0:
            n = np.size(ra)
            return np.full(n, -1), np.full(n, np.inf)
        chord, index = cKDTree(unit_vectors(self.ra, self.dec)).query(unit_vectors(ra, dec))
        separation = np.degrees(2.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))) * 3600.0
        return np.where(separation <= radius_arcsec, index, -1), separation


def unit_vectors(ra, dec) -> np.ndarray:
    """(n, 3) unit vectors of positions in degrees."""
    ra, dec = np.radians(np.atleast_1d(ra)), np.radians(np.atleast_1d(dec))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def read_table(path: str | Path) -> dict[str, list[str]]:
    """Columns of a CSV, TSV or blank-separated table with a header line, as text.

    A header may begin with ``#``. Rows that are empty or begin with ``#`` are left out.

    Raises
    ------
    DhsError
        No such file, no text, no header, or a row with another number of fields (the line is named).
    """
    lines = _lines(path)
    if not lines:
        raise DhsError(f"{path}: empty. Give a CSV or TSV with a header line and RA and Dec columns.")
    (_, first), body = lines[0], [(i, line) for i, line in lines[1:] if not line.startswith("#")]
    header = first.lstrip("#").strip()
    counts = {d: header.count(d) for d in ("\t", ",", ";", "|")}
    delimiter = max(counts, key=counts.get) if max(counts.values()) else None
    names = [name.strip() for name in _fields(path, 1, header, delimiter)]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DhsError(f"{path}: columns {twice} stand there twice. Give each column a name of its own.")
    table: dict[str, list[str]] = {name: [] for name in names}
    for number, line in body:
        row = _fields(path, number, line, delimiter)
        if len(row) != len(names):
            raise DhsError(
                f"{path}, line {number}: {len(row)} fields, the header has {len(names)}. Quote fields with separators."
            )
        for name, value in zip(names, row):
            table[name].append(value.strip())
    return table


def _lines(path) -> list[tuple[int, str]]:
    """Numbered lines of a text table, from its header on; comments above the header are left out.

    The header is the first line without ``#``, or a commented one where the next line is no comment.
    """
    data = storage.read_bytes(path)
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(path, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DhsError(
            f"{path}: not text in UTF-8 (byte {error.start}). Save it as UTF-8, or give a CSV or TSV with a "
            "header line."
        ) from None
    if text.startswith("PK") or "\0" in text[:1000]:
        raise DhsError(f"{path}: not a text table. Give a CSV or TSV with a header line.")
    numbered = [(i, line) for i, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    start = next((k for k, (_, line) in enumerate(numbered) if not line.startswith("#")), len(numbered))
    if start and _is_header(numbered[start - 1][1]) and not (start < len(numbered) and _is_header(numbered[start][1])):
        start -= 1
    return numbered[start:]


def _unpacked(path, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DhsError(f"{path}: not a whole gzip file ({error}). Fetch it again.") from None
    if len(text) > MAX_UNPACKED:
        raise DhsError(f"{path}: more than {MAX_UNPACKED >> 20} MB unpacked. Give a smaller table, or parquet.")
    return text


def _is_header(line: str) -> bool:
    """Whether a line names a right ascension."""
    words = re.split(r"[\t,;|\s]+", line.lstrip("#").strip().lower())
    return any(re.sub(r"[\[(].*?[\])]|[^a-z0-9]", "", word) in RA_NAMES for word in words)


def _fields(path, number: int, line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DhsError(f"{path}, line {number}: {error}. Close the quote, or double it inside a field.") from None


def read_catalogue(path: str | Path, label: str | None = None) -> Catalogue:
    """Positions of a table with RA and Dec columns in decimal degrees.

    Parameters
    ----------
    path : str or Path
        CSV, TSV or blank-separated; usual names are known (``ra``, ``RA [deg]``, ``RAJ2000``, ``DEC``, ...).
    label : str, optional
        The file's name by default.

    Raises
    ------
    DhsError
        A column is missing, in hours or sexagesimal, not a number, or out of range: file, line and column are named.
    """
    table = read_table(path)
    ra = degrees(path, table, "RA", RA_NAMES, 0.0, 360.0)
    dec = degrees(path, table, "Dec", DEC_NAMES, -90.0, 90.0)
    column = next((c for c in table if c.lower() in NAME_COLUMNS), None)
    return Catalogue(label or Path(str(path)).name, ra, dec, tuple(table[column]) if column else ())


def position_column(column: str) -> str | None:
    """``ra`` or ``dec`` where a column's name says so in one of the usual ways, else None."""
    plain = _plain(column)
    return "ra" if plain in RA_NAMES else "dec" if plain in DEC_NAMES else None


def _plain(column: str) -> str:
    return re.sub(r"[\[(].*?[\])]|[^a-z0-9]", "", column.lower())


def degrees(path, table: dict, what: str, names: tuple[str, ...], low: float, high: float) -> np.ndarray:
    """Values of the column of ``table`` that bears one of ``names``, as degrees; what else stands there is refused."""
    column = next((c for c in table if _plain(c) in names), None)
    hours = next((c for c in table if c.lower().lstrip().startswith(what.lower()) and _HOURS.search(c)), None)
    if hours is not None and column in (None, hours):
        raise DhsError(f"{path}: column {hours!r} is in hours or sexagesimal. Convert {what} to decimal degrees.")
    if column is None:
        raise DhsError(
            f"{path}: no {what} column; it has {[c[:40] for c in table][:12]}. Name it {names[0]!r}, in decimal "
            "degrees."
        )
    twice = [c for c in table if c.lower() == column.lower()]
    if len(twice) > 1:
        raise DhsError(f"{path}: columns {twice}: which one is {what}? Leave one out.")
    values = np.empty(len(table[column]))
    for row, text in enumerate(table[column]):
        try:
            values[row] = float(text.replace("_", "?"))  # Python reads 1_0 as ten
        except ValueError:
            kind = "sexagesimal" if re.search(r"\d[:h ]\s*\d", text) else "not a number"
            raise DhsError(
                f"{path}, row {row + 1}, column {column!r}: {text!r} is {kind}. Give {what} in decimal degrees."
            ) from None
    bad = np.flatnonzero(~((values >= low) & (values <= high)))
    if bad.size:
        raise DhsError(
            f"{path}, row {bad[0] + 1}, column {column!r}: {values[bad[0]]:g} is outside {low:g} to {high:g} degrees"
            f" ({bad.size} such rows). Give {what} in decimal degrees."
        )
    return values


def lenscat_file() -> tuple[Path | None, str]:
    """The table of the installed lenscat, else of ``DHS_DATA_DIR``, else None; and what to call it.

    The table is read as data: importing the package would pull in much else.
    """
    found = importlib.util.find_spec("lenscat")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "data" / "catalog.csv"
        if path.is_file():
            return path, f"lenscat {importlib.metadata.version('lenscat')}"
    found = storage.data_file("catalogues", "lenscat", "catalog.csv")
    return (Path(found), "lenscat of the data folder") if found else (None, "")


def known_lenses(spec: str | None) -> Catalogue | None:
    """The catalogue of known lenses and candidates to match hosts with.

    Parameters
    ----------
    spec : str or None
        ``auto``: the installed lenscat package's table, else ``catalogues/lenscat/catalog.csv`` under
        ``DHS_DATA_DIR``, else none. ``lenscat``: the same, but it must be found. A path: any table with RA and Dec.
        None or ``none``: no cross-match.

    Raises
    ------
    DhsError
        ``lenscat`` is not found, or the table can't be used.
    """
    if spec is None or spec == "none":
        return None
    if spec not in ("auto", "lenscat"):
        return read_catalogue(spec)
    path, label = lenscat_file()
    catalogue = read_catalogue(path, label) if path is not None else None
    if catalogue is None and spec == "lenscat":
        raise DhsError(
            "lenscat is not installed and no catalogues/lenscat/catalog.csv lies under DHS_DATA_DIR. "
            "Install the extra `lenses` (pip install dark-halo-scope[lenses]), or give a CSV with RA and Dec."
        )
    return catalogue
