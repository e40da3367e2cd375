"""What a page adds to an executed notebook: pictures sharp and told in words, files beside it, and who made what."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

TIMES = ".steps/times.json"  # of a run: seconds each notebook took when it was last executed
DATA_URI = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
LINKED = 4_000  # characters of a picture's address from which on it becomes a file


def dressed(notebook: Mapping, name: str, run_hash: str, static: Path) -> dict:
    """An executed notebook as its page shows it.

    Parameters
    ----------
    notebook : mapping
        Executed; it is not changed.
    name : str
        Of the notebook, which stands under its figures.
    run_hash : str
        Of the run, likewise.
    static : Path
        ``_static`` folder of the book: pictures inside HTML become files in its folder ``run``.

    Returns
    -------
    dict
    """
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            outputs = [_linked(output, static) for output in cell.get("outputs", ())]
            place = cell["metadata"].get("number", number)
            about = _about(cell, f"Made by cell {place} of notebook {name}, run {run_hash}.")
            cell = dict(cell) | {"outputs": outputs, "metadata": cell["metadata"] | about}
            if not any(map(_shows, outputs)):  # parameters, imports, what has no numbers in this run
                tags = [*cell["metadata"].get("tags", ()), "remove-cell"]
                cell["metadata"] = cell["metadata"] | {"tags": tags}
        cells.append(cell)
    return dict(notebook) | {"cells": cells}


def _shows(output: Mapping) -> bool:
    """Whether an output is more than the reason why there is no figure."""
    data = output.get("data") or {}
    alone = set(data) == {"text/plain"} and "".join(data["text/plain"]).startswith("no figure:")
    return bool(data or output.get("text")) and not alone


def _about(cell: Mapping, made_by: str) -> dict:
    """The figure's metadata with its width, its alternative text where the figure says its own, and its origin."""
    about = cell["metadata"].get("mystnb") or {}
    if "figure" not in about:
        return {}
    said: dict = {}
    for output in cell.get("outputs", ()):
        said |= (output.get("metadata") or {}).get("image/png") or {}
    image = dict(about.get("image") or {}) | ({"alt": said["alt"]} if said.get("alt") else {})
    if said.get("width"):
        image["width"] = f"{said['width']}px"
    caption = f"{about['figure']['caption'].rstrip()} {{made-by}}`{made_by}`"
    return {"mystnb": about | {"figure": about["figure"] | {"caption": caption}, "image": image}}


def _linked(output: Mapping, static: Path) -> dict:
    """An output whose HTML holds no large picture inside: each is a file, named by what is in it."""
    data = output.get("data") or {}
    if "text/html" not in data:
        return dict(output)

    def to_file(found: re.Match) -> str:
        if len(found[1]) < LINKED:
            return found[0]
        picture = base64.b64decode(found[1])
        name = f"{hashlib.sha256(picture).hexdigest()[:16]}.png"
        (static / "run").mkdir(parents=True, exist_ok=True)
        (static / "run" / name).write_bytes(picture)
        return f"../_static/run/{name}"

    html = "".join(data["text/html"])
    return dict(output) | {"data": data | {"text/html": DATA_URI.sub(to_file, html)}}


FRONT = re.compile(r"```\{figure\} _static/front\.png\n(.*?)\n\n(.*?)\n```\n", re.S)


def front_page(page: str, words: Mapping[str, str]) -> str:
    """The first page with its figure's caption and alternative text, or without the figure where there is none.

    Parameters
    ----------
    page : str
    words : mapping
        ``caption`` and ``alt`` of `dhs.figures.front.words`.
    """
    if not words["alt"]:
        return FRONT.sub("", page)

    def told(found: re.Match) -> str:
        options = re.sub(r"^:alt:.*$", lambda _: f":alt: {words['alt']}", found[1], flags=re.M)
        options = re.sub(r"^:width:.*$", f":width: {words.get('width', '100%')}", options, flags=re.M)
        return f"```{{figure}} _static/front.png\n{options}\n\n{words['caption']}\n```\n"

    return FRONT.sub(told, page)


def front_pictures(evaluation: Mapping, static: Path) -> dict[str, str]:
    """Draw the first figure, wide and for a phone, into a folder; its caption and alternative text."""
    from dhs.figures.front import front, words

    widths: list[str] = []
    for name, wide in (("front", True), ("front_phone", False)):
        figure = front(evaluation, wide=wide)
        if hasattr(figure, "savefig"):
            figure.savefig(static / f"{name}.png", dpi=200)
            widths.append(f"{round(90 * figure.get_figwidth())}px")
    return words(evaluation) | {"width": widths[0] if widths else ""}


FILES = {
    "01_injection": ("pairs/manifest.json",),
    "02_preflight": ("preflight.json",),
    "03_training": ("train/history.csv",),
    "04_evaluation": ("evaluation.json", "scores.parquet"),
    "05_real_lenses": ("real_lenses.json", "real_scores.parquet"),
    "06_signoff": ("signoff.json",),
    "08_survey": ("evaluation.json", "scores.parquet", "completeness.parquet"),
    "09_appendix": ("evaluation.json", "scores.parquet"),
}
"""Files of a run that a page's numbers are from: a reader can take them along."""


def downloads(name: str, run: Path, folder: Path) -> str:
    """A line of links to a page's numbers, whose files are copied to ``folder/downloads``; empty where it has none."""
    links = []
    for file in FILES.get(name, ()):
        if (run / file).is_file():
            target = folder / "downloads" / Path(file).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / file, target)
            links.append(f"{{download}}`{target.name} <../downloads/{target.name}>`")
    return f"Numbers of this page: {', '.join(links)}." if links else ""


def execution_table(seconds: Mapping[str, float]) -> str:
    """What each notebook took where it was last executed, as a Markdown table; empty where nothing is on record."""
    if not seconds:
        return ""
    rows = "\n".join(f"| `{name}` | {round(s)} |" for name, s in sorted(seconds.items()))
    machine = f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return f"| notebook, with the steps it made ({machine}) | seconds |\n|---|---|\n{rows}"
