"""Tables of published searches as one list that says of each lens how it was found.

Recall on lenses that were found in images flatters a finder of images. Recall on those found by their spectra does not,
and is given apart. The list also carries how probable each candidate is, and which ones were shown to be no lens.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import yaml
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from dhs import storage
from dhs.errors import DhsError, UsageError
from dhs.survey.lenses.catalogues import DEC_NAMES, NAME_COLUMNS, RA_NAMES, degrees, read_table, unit_vectors
from dhs.survey.lenses.lens_list import first_number

SAME_ARCSEC = 3.0
IMAGING, SPECTROSCOPY = "imaging", "spectroscopy"
Z_LENS = ("zlens", "zl", "zd", "zfg", "zforeground", "zspeclens", "redshiftlens", "zspec", "zphot", "z")
Z_SOURCE = ("zsource", "zs", "zbg", "zbackground", "zspecsource", "redshiftsource")
THETA_E = ("thetae", "thetaein", "thetaearcsec", "einsteinradius", "rein")
GRADE = ("grade", "grading", "finalgrade", "humangrade", "class")
PROBABILITY = ("plens", "lensprobability", "problens", "probabilitylens", "probabilityoflens")
VERDICT = ("islens", "status", "verdict", "confirmed", "confirmation")
NO_LENS = ("no", "false", "0", "refuted", "rejected", "non-lens", "nonlens", "not a lens", "no lens", "not lens")
COLUMNS = ("name", "ra", "dec", "z_lens", "z_source", "theta_e_arcsec", "grade", "probability")
COLUMNS += ("found_by", "is_lens", "searches")


@dataclass(frozen=True)
class Search:
    """A published search.

    Attributes
    ----------
    paper : str
    found_by : {"imaging", "spectroscopy"}
    columns : dict of str to list of str
        Column names that its documentation gives.
    spectra : bool
        A row is a spectrum; those within 3 arcsec make one system, its lens the nearer redshift.
    """

    paper: str
    found_by: str
    columns: dict | None = None
    spectra: bool = False


@cache
def searches() -> dict[str, Search]:
    """The searches that are known by name."""
    text = (resources.files("dhs.survey.lenses") / "searches.yaml").read_text()
    return {name: Search(**told) for name, told in yaml.safe_load(text).items()}


def _plain(name: str) -> str:
    return re.sub(r"[\[(].*?[\])]|[^a-z0-9]", "", name.lower())


def _column(table: dict, names) -> list[str] | None:
    """Values of the first column that bears one of the names, in the order of the names."""
    known = {_plain(c): c for c in reversed(list(table))}
    found = next((known[_plain(n)] for n in names if _plain(n) in known), None)
    return None if found is None else table[found]


def _read(path: str | Path) -> dict[str, list[str]]:
    """Columns of a text table, or of the first table of a FITS file, as text; arrays in cells are left out."""
    if not re.search(r"\.fits?(\.gz|\.fz)?$", str(path)):
        return read_table(path)
    from astropy.table import Table

    try:
        found = Table.read(io.BytesIO(storage.read_bytes(path)), format="fits", hdu=1)
    except (OSError, ValueError, IndexError) as error:
        raise DhsError(f"{path}: not a FITS table ({error}). Give the catalogue as FITS or CSV.") from None
    columns = [c for c in found.colnames if found[c].ndim == 1]
    return {c: [v.decode() if isinstance(v, bytes) else str(v) for v in found[c].tolist()] for c in columns}


def read_search(name: str, path: str | Path, weight: str | None = None) -> list[dict]:
    """Rows of one table.

    Parameters
    ----------
    name : str
        One of `searches`; ``imaging`` or ``spectroscopy`` for a table of another search.
    path : str or Path
        CSV, TSV or FITS.
    weight : str, optional
        Column with the probability that a candidate is a lens. The score of a network is none.

    Returns
    -------
    list of dict
        `COLUMNS`; NaN or the empty string where unknown, ``probability`` 1 where none is given.

    Raises
    ------
    UsageError
        No such search.
    DhsError
        No positions, the column of ``weight`` is missing, or a probability lies outside 0 to 1 (its row is named).
    """
    if name not in searches():
        raise UsageError(f"{name}: no search of this name. Write one of {', '.join(searches())} before the '='.")
    search, table = searches()[name], _read(path)
    given = search.columns or {}
    told = {k: [_column(table, v)] for k, v in given.items()}
    positions = {**table, **{k: v[0] for k, v in told.items() if k in ("ra", "dec") and v[0] is not None}}
    ra = degrees(path, positions, "RA", ("ra", *RA_NAMES), 0.0, 360.0)
    dec = degrees(path, positions, "Dec", ("dec", *DEC_NAMES), -90.0, 90.0)
    n = len(ra)

    def numbers(key: str, names) -> list[float]:
        values = (told.get(key) or [None])[0] or _column(table, names)
        return [first_number(v) for v in values] if values else [math.nan] * n

    names = (told.get("name") or [None])[0] or _column(table, (*NAME_COLUMNS, "targetid")) or [""] * n
    grades, verdicts = (_column(table, k) or [""] * n for k in (GRADE, VERDICT))
    z = numbers("z", Z_LENS)
    rows = [
        dict(zip(COLUMNS, (names[i], float(ra[i]), float(dec[i]), z[i], math.nan, math.nan, grades[i], 1.0)))
        for i in range(n)
    ]
    extra = {"z_source": numbers("", Z_SOURCE), "theta_e_arcsec": numbers("", THETA_E)}
    chances = _chances(path, table, weight, n)
    for i, row in enumerate(rows):
        row |= {k: v[i] for k, v in extra.items()} | {"probability": chances[i], "found_by": search.found_by}
        row["is_lens"] = not any(v.strip().lower() in NO_LENS for v in (grades[i], verdicts[i]))
        row["searches"] = name
    return _systems(table, rows) if search.spectra else rows


def _chances(path, table: dict, weight: str | None, n: int) -> list[float]:
    values = _column(table, (weight,) if weight else PROBABILITY)
    if values is None:
        if weight:
            raise DhsError(f"{path}: no column {weight!r}; it has {list(table)[:12]}. Name the one with probabilities.")
        return [1.0] * n
    out = []
    for i, text in enumerate(values):
        try:
            out.append(float(text))
        except ValueError:
            out.append(math.nan)
        if not 0 <= out[-1] <= 1:
            raise DhsError(f"{path}, row {i + 1}: {text!r} is no probability. Give numbers from 0 to 1.")
    return out


def _systems(table: dict, rows: list[dict]) -> list[dict]:
    """One row a system of spectra: stars left out, redshifts with a warning unknown, the nearer one the lens's."""
    kinds, warnings = (_column(table, (c,)) or [""] * len(rows) for c in ("SPECTYPE", "ZWARN"))
    kept = []
    for row, kind, warning in zip(rows, kinds, warnings):
        if kind.strip().upper() != "STAR":
            kept.append(row | ({} if warning.strip() in ("0", "") else {"z_lens": math.nan}))
    out = []
    for members in _groups(kept):
        z = sorted(kept[i]["z_lens"] for i in members if math.isfinite(kept[i]["z_lens"]))
        first = kept[members[0]] | {"z_lens": z[0] if z else math.nan}
        out.append(first | ({"z_source": z[-1]} if z and z[-1] - z[0] > 0.05 else {}))
    return out


def _groups(rows: list[dict]) -> list[list[int]]:
    """Rows linked by 3 arcsec, each group in the order of the rows."""
    if not rows:
        return []
    places = unit_vectors([r["ra"] for r in rows], [r["dec"] for r in rows])
    pairs = cKDTree(places).query_pairs(2 * np.sin(np.radians(SAME_ARCSEC / 3600) / 2), output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, group = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for i, g in enumerate(group.tolist()):
        members.setdefault(g, []).append(i)
    return list(members.values())


def merge(tables: list[list[dict]]) -> list[dict]:
    """One row a system over all tables.

    Found by images if any search of images has it: only what no eye and no network picked from images is ``found_by``
    spectroscopy. Shown to be no lens if any table says so. The probability is the greatest.
    """
    rows = [row for table in tables for row in table]
    out = []
    for members in _groups(rows):
        found = [rows[i] for i in members]
        merged = {k: next((r[k] for r in found if _known(r[k])), found[0][k]) for k in COLUMNS}
        ways = {r["found_by"] for r in found}
        merged |= {
            "found_by": IMAGING if IMAGING in ways else SPECTROSCOPY,
            "is_lens": all(r["is_lens"] for r in found),
        }
        merged |= {"probability": max(r["probability"] for r in found)}
        out.append(merged | {"searches": "; ".join(dict.fromkeys(r["searches"] for r in found))})
    return out


def _known(value) -> bool:
    return value != "" and not (isinstance(value, float) and math.isnan(value))


def lens_catalogue(tables: list[str], out: str | Path, *, weight: str | None = None) -> dict:
    """Write one catalogue of several searches, for ``dhs fetch hosts`` and ``dhs real-lenses``.

    Parameters
    ----------
    tables : list of str
        ``SEARCH=FILE`` each, e.g. ``desi-pairwise=pairs.csv``.
    out : str or Path
        CSV with `COLUMNS`.
    weight : str, optional
        Column with the probability that a candidate is a lens, where a table has one of that name.

    Returns
    -------
    dict
        ``n, imaging, spectroscopy, non_lenses, merged`` and ``papers``.

    Raises
    ------
    UsageError
        A table without ``SEARCH=``, or of no known search; ``weight`` is in none of them.
    DhsError
        A table can't be used.
    """
    read, papers, weighted = [], [], False
    for text in tables:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"{text}: write SEARCH=FILE, SEARCH one of {', '.join(searches())}")
        has = weight is not None and name in searches() and _column(_read(path), (weight,)) is not None
        weighted |= has
        read.append(read_search(name, path, weight if has else None))
        papers.append(searches()[name].paper)
    if weight is not None and not weighted:
        raise UsageError(f"--weight {weight}: no table has this column")
    rows, text = merge(read), io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: v if _known(v) else "" for k, v in row.items()} for row in rows)
    storage.write_bytes(out, text.getvalue().encode())
    lenses = Counter(row["found_by"] for row in rows if row["is_lens"])
    told = {"n": len(rows), IMAGING: lenses[IMAGING], SPECTROSCOPY: lenses[SPECTROSCOPY]}
    told |= {"non_lenses": sum(not row["is_lens"] for row in rows), "merged": sum(map(len, read)) - len(rows)}
    return told | {"papers": papers}
