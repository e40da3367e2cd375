"""The list of real lenses a ground-based finder is tested on, built from published catalogues by rules.

No coordinate is typed by hand and no row is picked: each rule names the rows it drops. The rules have a version, and a
list carries it with the checksums of the tables it was made from.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from dhs import storage
from dhs.errors import DhsError
from dhs.survey.lenses.catalogues import Catalogue, lenscat_file, read_catalogue, read_table, unit_vectors

RULES_VERSION = 2
MATCH_ARCSEC = 2.0
TRAINING_ARCSEC = 11.0
SECOND_CATALOGUES = (
    "catalogues/stein2022/new_lenses.tsv",
    "catalogues/stein2022/training_lenses.tsv",
    "catalogues/slacs/SLACS_table.cat",
)

# Searches of ground-based imaging, by what lenscat cites.
GROUND = {
    "Legacy Surveys": ("2206.02764", "2005.04730", "1906.00970", "2110.00023"),
    "DES": ("2109.00014", "2110.02418", "aa8667", "ab26b6", "2210.10802", "1206.3412"),
    "HSC": (
        "1704.01585",
        "1809.07341",
        "2002.01611",
        "2004.00634",
        "2203.12805",
        "2201.11135",
        "2107.07829",
        "1911.02587",
    ),
    "KiDS": ("1812.03168", "2110.01905"),
    "Pan-STARRS": ("2004.13048",),
    "CFHTLS, UNIONS": ("1109.1821", "2110.11972", "0610362"),
}
OWN_TABLES = {"new_lenses.tsv": "2110.00023"}
"""Tables of a search, and the paper lenscat cites for them: they say nothing new of a lens that only this paper has."""
SPECTROSCOPIC = {"AGEL (Tran et al. 2022)": ("2205.05307",)}
CLUSTER_CATALOGUES = (
    "10.1086/423038", "0106055", "10.1086/191426", "0411075", "0405546", "0003219", "9812394", "0609815", "0003191",
    "1002.2226", "0403354", "relics.stsci.edu",
)  # fmt: skip

CLUSTERS_ALONE = "cites cluster catalogues alone"


@dataclass(frozen=True)
class LensList:
    """A curated list.

    Attributes
    ----------
    rows : list of dict
        ``name, ra, dec, z_lens, grade, surveys, spectroscopic, n_references, second_catalogue,
        second_separation_arcsec, theta_e_arcsec``; NaN where unknown.
    about : dict
        ``rules_version, inputs`` (name and SHA-256), ``dropped`` (counts by rule), ``n``.
    """

    rows: list[dict]
    about: dict

    def __len__(self) -> int:
        return len(self.rows)

    def write(self, folder: str | Path) -> list[str]:
        """Write ``real_lenses.csv`` and ``real_lenses_about.json`` into a folder."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]) if self.rows else ["name", "ra", "dec"])
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: "" if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()})
        paths = [storage.join(folder, name) for name in ("real_lenses.csv", "real_lenses_about.json")]
        storage.write_bytes(paths[0], text.getvalue().encode())
        storage.write_json(paths[1], self.about)
        return paths


def first_number(text: str) -> float:
    """The redshift, or the radius, in a free-text field: its first number in (0, 5]; NaN where there is none.

    Fields such as ``0.49 | 0.49``, ``0.3?``, ``L``, ``not measured`` and ``-`` occur. A field with a colon is refused:
    it is no redshift. Negative numbers stand for "not measured" in many tables and are passed over.
    """
    if ":" in text:
        return float("nan")
    for found in re.findall(r"(?<![\w.\-−])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text):
        if 0 < float(found) <= 5:
            return float(found)
    return float("nan")


def _cites(reference: str, keys: dict[str, tuple[str, ...]]) -> list[str]:
    return [name for name, marks in keys.items() if any(mark in reference for mark in marks)]


def build(lenscat: str | Path | None = None, second=None, training=None, *, need_second: bool = True) -> LensList:
    """Build the list.

    Parameters
    ----------
    lenscat : path, optional
        lenscat's table; by default that of the installed package or of ``DHS_DATA_DIR``.
    second : sequence of path, optional
        Tables with RA and Dec to check every coordinate against, within 2 arcsec; by default those of
        `SECOND_CATALOGUES` that lie under ``DHS_DATA_DIR``. A column ``theta_Ein`` or ``theta_e_arcsec`` is taken over.
        The table of the only paper that has a lens is no second catalogue (`OWN_TABLES`).
    training : sequence of path or Catalogue, optional
        Positions that a network was trained on; lenses within 11 arcsec are dropped.
    need_second : bool
        Drop lenses that no second catalogue has; otherwise they stay with an empty ``second_catalogue``.

    Returns
    -------
    LensList

    Raises
    ------
    DhsError
        No lenscat table, or one of the tables has no usable position (its file, row and column are named).
    """
    path, label = (lenscat, Path(str(lenscat)).name) if lenscat else lenscat_file()
    if path is None:
        raise DhsError("no lenscat table: install the extra `lenses`, or give its catalog.csv.")
    table, positions = read_table(path), read_catalogue(path, label)
    needed = ("name", "zlens", "type", "grading", "ref")
    if absent := [c for c in needed if c not in table]:
        raise DhsError(f"{path}: no column {absent}; lenscat's table has {list(needed)}. Give its catalog.csv.")
    dropped: Counter = Counter()
    keep, others_of_it = [], []
    for i, (kind, grade, ref) in enumerate(zip(table["type"], table["grading"], table["ref"])):
        reason = _why_not(kind, grade, ref)
        if reason:
            dropped[reason] += 1
            others_of_it += [i] if reason != CLUSTERS_ALONE else []
        else:
            keep.append(i)
    merged = _merge(table, positions, keep, others_of_it)
    dropped["within 2 arcsec of another row, merged"] = len(keep) - len(merged)
    others = [_second(p) for p in (second_catalogues() if second is None else second)]
    trained = [t if isinstance(t, Catalogue) else read_catalogue(t) for t in (training or ())]
    rows = []
    for row, references, kinds in merged:
        own = False
        for catalogue, theta in others:
            index, separation = catalogue.match([row["ra"]], [row["dec"]], MATCH_ARCSEC)
            paper = OWN_TABLES.get(catalogue.label)
            if index[0] >= 0 and paper and all(paper in r for r in references):
                own = True
            elif index[0] >= 0 and not row["second_catalogue"]:
                row |= {"second_catalogue": catalogue.label, "second_separation_arcsec": round(float(separation[0]), 3)}
            if index[0] >= 0 and theta is not None and np.isnan(row["theta_e_arcsec"]):
                row["theta_e_arcsec"] = float(theta[index[0]])
        if any(t.match([row["ra"]], [row["dec"]], TRAINING_ARCSEC)[0][0] >= 0 for t in trained):
            dropped["in the training list"] += 1
        elif kinds != {"galaxy"}:
            dropped["within 2 arcsec of a cluster's or group's row"] += 1
        elif need_second and not row["second_catalogue"]:
            dropped["in the table of its own paper alone" if own else "in no second catalogue"] += 1
        else:
            rows.append(row)
    inputs = [path, *(second_catalogues() if second is None else second)]
    inputs += [t for t in (training or ()) if not isinstance(t, Catalogue)]
    about = {
        "rules_version": RULES_VERSION,
        "inputs": [{"name": Path(str(p)).name, "sha256": storage.sha256(p)} for p in inputs],
        "dropped": dict(sorted(dropped.items())),
        "n": len(rows),
        "n_coordinates_checked": sum(bool(r["second_catalogue"]) for r in rows),
        "n_spectroscopic": sum(bool(r["spectroscopic"]) for r in rows),
        "n_without_redshift": sum(bool(np.isnan(r["z_lens"])) for r in rows),
    }
    return LensList(rows, about)


def _references(ref: str) -> list[str]:
    return [r.strip() for r in re.split(r"\s\|\s|\s(?=https?://)", ref) if r.strip()]


def _why_not(kind: str, grade: str, ref: str) -> str | None:
    if kind != "galaxy":
        return "of type cluster or group"
    cited = _references(ref)
    if cited and all(any(mark in r for mark in CLUSTER_CATALOGUES) for r in cited):
        return CLUSTERS_ALONE
    if grade != "confident":
        return "graded probable"
    return None if _cites(ref, GROUND) else "not found in ground-based imaging"


def _merge(
    table: dict, positions: Catalogue, keep: list[int], others: list[int]
) -> list[tuple[dict, list[str], set[str]]]:
    """A lens for each group of rows linked by 2 arcsec that holds a row of ``keep``: its row, references and types.

    Name and position are those of the first row kept. ``others`` are rows that were dropped, of lenses that may stay:
    they add references and redshifts, and say where a lens is that of a cluster.
    """
    if not keep:
        return []
    rows = np.array(keep + others)
    chord = 2 * np.sin(np.radians(MATCH_ARCSEC / 3600) / 2)
    places = unit_vectors(positions.ra[rows], positions.dec[rows])
    pairs = cKDTree(places).query_pairs(chord, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, group = connected_components(links, directed=False)
    members: dict[int, list[int]] = {g: [] for g in group[: len(keep)].tolist()}
    for i, g in zip(rows.tolist(), group.tolist()):
        if g in members:
            members[g].append(i)  # those kept come first
    return [_lens(table, positions, m) for m in members.values()]


def _lens(table: dict, positions: Catalogue, members: list[int]) -> tuple[dict, list[str], set[str]]:
    references = list(dict.fromkeys(r for m in members for r in _references(table["ref"][m])))
    z = [v for v in (first_number(table["zlens"][m]) for m in members) if np.isfinite(v)]
    text = " | ".join(references)
    row = {
        "name": table["name"][members[0]],
        "ra": float(positions.ra[members[0]]),
        "dec": float(positions.dec[members[0]]),
        "z_lens": z[0] if z else float("nan"),
        "grade": table["grading"][members[0]],
        "surveys": "; ".join(_cites(text, GROUND)),
        "spectroscopic": "; ".join(_cites(text, SPECTROSCOPIC)),
        "n_references": len(set(re.findall(r"\d{4}\.\d{4,5}|astro-ph/\d+|10\.\d{4,}/\S+", text))),
        "second_catalogue": "",
        "second_separation_arcsec": float("nan"),
        "theta_e_arcsec": float("nan"),
    }
    return row, references, {table["type"][m] for m in members}


def _second(path) -> tuple[Catalogue, np.ndarray | None]:
    """Positions of a table, and its Einstein radii where it has a column of them."""
    table = read_table(path)
    column = next((c for c in table if c.lower() in ("theta_ein", "theta_e_arcsec", "theta_e")), None)
    theta = None if column is None else np.array([first_number(v) for v in table[column]])
    return read_catalogue(path), theta


def second_catalogues() -> list[str]:
    """The tables of `SECOND_CATALOGUES` that are at hand."""
    return [path for name in SECOND_CATALOGUES if (path := storage.data_file(name))]
