"""A contact sheet for grading candidates by eye: one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

import numpy as np
from scipy.spatial import cKDTree

from dhs.datasets.stamp_sets import describe
from dhs.errors import DhsError
from dhs.survey.lenses.catalogues import Catalogue

GRADES = {0: ("X", "no lens"), 1: ("C", "possible"), 2: ("B", "probable"), 3: ("A", "certain")}
"""Letter and word of each grade."""
STEPS = 100  # levels of asinh(flux / scale): a sigma of noise each near zero, one per cent far from it
SCALE_SIGMA = 100.0
SAME_ARCSEC = 3.0


def contact_sheet(
    rows: Sequence[dict],
    stamps: Iterable[np.ndarray],
    title: str = "Lens candidates",
    *,
    lenses: tuple[Sequence[dict], Sequence[np.ndarray]] = ((), ()),
    prevalence: float | None = None,
) -> str:
    """An HTML page with one card a candidate; cards are made as they come into sight, so thousands are no burden.

    Keys grade (0 to 3, or X, C, B, A), undo, move, enlarge, choose band and stretch, take the median of rings off, and
    open the survey's viewer; the page lists them. Grades can be sorted and filtered by, are kept in the browser and in
    the page's address, are saved as ``grades.csv``, and are taken up again from there. Whatever stands in ``rows``
    is shown as text, and the page's policy forbids the browser to load anything.

    Parameters
    ----------
    rows : sequence of dict
        Of the candidate table; ``id`` must be unique. All plain columns go into the CSV.
    stamps : iterable of ndarray, (3, y, x)
        g, r, z nanomaggies, in the order of ``rows``, all of one size; stored in steps of their noise.
    title : str
    lenses : (rows, stamps)
        Known lenses to compare with: each candidate is shown beside the one most like it in brightness, colour and
        size that lies elsewhere. ``name``, ``ra`` and ``dec`` of the rows are used.
    prevalence : float, optional
        Probabilities are given as multiples of it, too.

    Returns
    -------
    str
        A whole document, about 7 kB a candidate.

    Raises
    ------
    DhsError
        An id occurs twice, or stamps and rows differ in number.
    """
    stamps = list(stamps)
    if len(rows) != len(stamps) or len({row["id"] for row in rows}) != len(rows):
        raise DhsError(f"{len(rows)} candidates, {len(stamps)} stamps: each needs its own id and stamp.")
    known, shown = lenses
    nearest = most_alike(rows, stamps, known, shown)
    plain = [_plain(row) | ({"nearest": k} if k >= 0 else {}) for row, k in zip(rows, nearest.tolist())]
    lines = "\n".join(map(packed, stamps))
    grades = [list(GRADES[g]) for g in sorted(GRADES)]
    identity = hashlib.sha256("\n".join(str(row["id"]) for row in rows).encode() + lines.encode()).hexdigest()[:12]
    style, script = _file("css"), _file("pixels.js") + _file("js")
    return Template(_file("html")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        about=_json({"sheet": identity, "grades": grades, "prevalence": prevalence}),
        rows=_json(plain),
        lenses=_json([_label(row) for row in known]),
        stamps=lines,
        lens_stamps="\n".join(map(packed, shown)),
    )


def _file(suffix: str) -> str:
    name = f"contact_sheet_{suffix}" if suffix.count(".") else f"contact_sheet.{suffix}"
    return (resources.files("dhs.validation.candidates") / name).read_text()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _label(row: dict) -> str:
    ra, dec = row.get("ra", math.nan), row.get("dec", math.nan)
    return str(row["name"]) + (f" ({ra:.4f} {dec:+.4f})" if math.isfinite(ra) and math.isfinite(dec) else "")


def packed(image: np.ndarray) -> str:
    """A stamp as the page reads it: a scale for each band, then levels of asinh(flux / scale), deflated, in base 64."""
    image = np.nan_to_num(np.asarray(image, dtype=float), posinf=0.0, neginf=0.0)
    noise = np.median(np.abs(np.diff(image, axis=2)), axis=(1, 2)) * 1.4826 / math.sqrt(2)
    scale = np.maximum(SCALE_SIGMA * noise, 1e-6 * np.abs(image).max() + 1e-12)
    levels = np.rint(STEPS * np.arcsinh(image / scale[:, None, None])).clip(-16383, 16383).astype("<i2")
    folded = (levels << 1) ^ (levels >> 15)  # 0, -1, 1, -2, ...: small numbers whatever the sign
    planes = np.ascontiguousarray(folded.reshape(-1).view(np.uint8).reshape(-1, 2).T)
    text = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()
    return " ".join([*(f"{s:.7g}" for s in scale), text])


def most_alike(rows, stamps, known: Sequence[dict], shown: Sequence[np.ndarray]) -> np.ndarray:
    """For each candidate the known lens nearest in brightness, colours and size; -1 where there is none.

    A lens within 3 arcsec of a candidate, or of its id, is the candidate itself and is passed over.
    """
    nearest = np.full(len(rows), -1)
    if not len(known) or not len(rows):
        return nearest
    a, b = _looks(stamps), _looks(shown)
    spread = np.nanstd(np.concatenate([a, b]), axis=0)
    spread[spread == 0] = 1.0
    tree, k = cKDTree(b / spread), min(len(known), 5)
    ranked = tree.query(a / spread, k=k)[1].reshape(len(rows), k)
    for i, row in enumerate(rows):
        nearest[i] = next((j for j in ranked[i] if not _same(row, known[j])), -1)
    return nearest


def _looks(stamps, chunk: int = 500) -> np.ndarray:
    parts = [np.stack(stamps[i : i + chunk]).astype(float) for i in range(0, len(stamps), chunk)]
    return np.nan_to_num(np.concatenate([describe(np.nan_to_num(part))["match"] for part in parts]))


def _same(row: dict, lens: dict) -> bool:
    places = [row.get("ra"), row.get("dec"), lens.get("ra"), lens.get("dec")]
    if row["id"] == lens.get("id") or any(v is None or not math.isfinite(v) for v in places):
        return row["id"] == lens.get("id")
    here = Catalogue("", np.array([lens["ra"]]), np.array([lens["dec"]]))
    return here.match([row["ra"]], [row["dec"]], SAME_ARCSEC)[0][0] >= 0
