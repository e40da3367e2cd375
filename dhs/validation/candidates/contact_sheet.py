"""A contact sheet for grading candidates by eye: one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from importlib import resources
from string import Template

import numpy as np

from dhs.errors import DhsError
from dhs.picture import png

GRADES = {0: "no lens", 1: "possible", 2: "probable", 3: "certain"}


def contact_sheet(rows: Sequence[dict], stamps: Sequence[np.ndarray], title: str = "Lens candidates") -> str:
    """An HTML page with one card a candidate.

    Keys: 0 to 3 grade the card in focus and go on, Backspace takes a grade back, arrows move, z zooms, s saves
    ``grades.csv``. Until then grades stay in the page's address and in the browser's store, and the page asks before it
    is left. Whatever stands in ``rows`` is escaped.

    Parameters
    ----------
    rows : sequence of dict
        Of the candidate table; ``id`` must be unique. All plain columns go into the CSV.
    stamps : sequence of ndarray, (3, y, x)
        g, r, z nanomaggies, in the order of ``rows``.
    title : str

    Returns
    -------
    str
        A whole document: pictures are in it, nothing is loaded.

    Raises
    ------
    DhsError
        An id occurs twice, or stamps and rows differ in number.
    """
    if len(rows) != len(stamps) or len({row["id"] for row in rows}) != len(rows):
        raise DhsError(f"{len(rows)} candidates, {len(stamps)} stamps: each needs its own id and stamp.")
    cards = "\n".join(_card(row, image) for row, image in zip(rows, stamps))
    keys = ", ".join(f"<b>{grade}</b> {word}" for grade, word in GRADES.items())
    script = f"<script>\n{_file('js')}</script>" if rows else ""
    return Template(_file("html")).substitute(
        title=html.escape(title),
        style=_file("css"),
        keys=keys,
        cards=cards or "<p>No candidate.</p>",
        rows=_json([_plain(row) for row in rows]),
        grades=_json(GRADES),
        script=script,
    )


def _file(suffix: str) -> str:
    return (resources.files("dhs.validation.candidates") / f"contact_sheet.{suffix}").read_text()


def _json(value) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plain(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _card(row: dict, image: np.ndarray) -> str:
    picture = base64.b64encode(png(np.asarray(image))).decode()
    name = html.escape(str(row["id"]))
    lines = [f"<b>{html.escape(str(row.get('rank', '')))}. {name}</b>", f"logit {row['logit']:.2f}"]
    probability = row.get("probability")
    if probability is not None and math.isfinite(probability):
        lines[1] += f", probability {probability:.3g}"
    if row.get("ra") is not None and math.isfinite(row["ra"]):
        lines.append(f"RA {row['ra']:.5f}, Dec {row['dec']:+.5f}")
    if row.get("known_lens"):
        lines.append(f"known: {html.escape(str(row['known_lens']))}")
    if row.get("flags"):
        lines.append(html.escape(str(row["flags"])))
    return (
        f'<figure tabindex="0"><img alt="colour picture of {name}" src="data:image/png;base64,{picture}">'
        f"<figcaption>{'<br>'.join(lines)}<br><span class='grade'></span></figcaption></figure>"
    )
