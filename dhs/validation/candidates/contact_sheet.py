"""A contact sheet for grading candidates by eye: one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence

import numpy as np

from dhs.datasets.reader import png
from dhs.errors import DhsError

GRADES = {0: "no lens", 1: "possible", 2: "probable", 3: "certain"}

_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:0;background:#fff;color:#1a1a1a}
header{position:sticky;top:0;background:#fff;border-bottom:1px solid #bbb;padding:.6em 1em;z-index:1}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:12px;padding:12px}
figure{margin:0;padding:8px;border:2px solid #ccc;border-radius:4px}
figure:focus{outline:3px solid #0072b2}
figure[data-grade]{border-color:#0072b2;background:#eef5fa}
img{width:100%;image-rendering:pixelated;display:block;background:#000}
figure.zoom{position:fixed;inset:4vh auto auto 50%;transform:translateX(-50%);width:min(84vh,92vw);z-index:2}
figure.zoom{background:#fff}
figcaption{font-size:13px;overflow-wrap:anywhere}
.grade{font-weight:600}
@media (prefers-color-scheme:dark){
body,header,figure.zoom{background:#15181b;color:#eee}
figure[data-grade]{background:#1c2a35}
}
"""

_SCRIPT = """
const rows = JSON.parse(document.getElementById('rows').textContent);
const grades = JSON.parse(document.getElementById('grades').textContent);
const key = 'dhs-grades-' + rows.map(r => r.id).join('|').length + '-' + rows[0].id;
const cards = [...document.querySelectorAll('figure')];
let given = {}, unsaved = false;
try { given = JSON.parse(localStorage.getItem(key) || '{}'); } catch (e) { given = {}; }
// A browser may keep nothing for a page opened from a file: the address holds the grades as well.
const marked = /^#grades=([-0-9]*)$/.exec(globalThis.location?.hash || '');
if (marked && marked[1].length === rows.length) {
  given = {};
  rows.forEach((r, i) => { if (marked[1][i] in grades) given[r.id] = Number(marked[1][i]); });
}
function show(i) {
  const g = given[rows[i].id], card = cards[i];
  if (g === undefined) { delete card.dataset.grade; } else { card.dataset.grade = g; }
  card.querySelector('.grade').textContent = g === undefined ? 'not graded' : g + ': ' + grades[g];
  document.getElementById('count').textContent = Object.keys(given).length + ' of ' + rows.length + ' graded';
}
function set(i, g) {
  if (g === undefined) { delete given[rows[i].id]; } else { given[rows[i].id] = g; }
  unsaved = true;
  try { localStorage.setItem(key, JSON.stringify(given)); } catch (e) { /* kept in this page and its address */ }
  globalThis.history?.replaceState(null, '', '#grades=' + rows.map(r => given[r.id] ?? '-').join(''));
  show(i);
}
function focus(i) {
  cards.forEach(c => c.classList.remove('zoom'));
  const card = cards[Math.max(0, Math.min(cards.length - 1, i))];
  card.focus(); card.scrollIntoView({block: 'center'});
}
function quote(v) {
  v = String(v === null ? '' : v);
  return /[",\\n\\r]/.test(v) ? '"' + v.replace(/"/g, '""') + '"' : v;
}
function table() {
  const names = Object.keys(rows[0]);
  const grade = r => given[r.id] === undefined ? '' : given[r.id];
  const lines = rows.map(r => names.map(n => quote(r[n])).concat(grade(r)).join(','));
  return names.map(quote).concat('grade').join(',') + '\\n' + lines.join('\\n') + '\\n';
}
function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([table()], {type: 'text/csv'}));
  link.download = 'grades.csv'; link.click(); URL.revokeObjectURL(link.href);
  unsaved = false;
}
globalThis.addEventListener?.('beforeunload', event => { if (unsaved) event.preventDefault(); });
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const i = cards.indexOf(document.activeElement);
  if (event.key === 's') { save(); return; }
  if (i < 0) { if (event.key === 'ArrowRight') focus(0); return; }
  if (event.key in grades) { set(i, Number(event.key)); if (i + 1 < cards.length) focus(i + 1); }
  else if (event.key === 'Backspace' || event.key === 'Delete') set(i, undefined);
  else if (event.key === 'ArrowRight') focus(i + 1);
  else if (event.key === 'ArrowLeft') focus(i - 1);
  else if (event.key === 'z') cards[i].classList.toggle('zoom');
  else return;
  event.preventDefault();
});
document.getElementById('save').addEventListener('click', save);
rows.forEach((_, i) => show(i));
if (cards.length) cards[0].focus();
"""


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
    script = f"<script>{_SCRIPT}</script>" if rows else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<header><b>{html.escape(title)}</b> <span id='count'></span> <button id='save'>Save grades.csv (s)</button>"
        f"<br>Grade with the keys {keys}; Backspace takes a grade back, arrows move, z zooms. "
        "Grades stay in this browser until you save them.</header>"
        f"<main>{cards or '<p>No candidate.</p>'}</main>"
        f'<script type="application/json" id="rows">{_json([_plain(row) for row in rows])}</script>'
        f'<script type="application/json" id="grades">{_json(GRADES)}</script>{script}</body></html>\n'
    )


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
