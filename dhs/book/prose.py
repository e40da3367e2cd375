"""Pages written from prose, executed notebooks and the run's numbers.

A page cites a number or a sentence as ``{number}`kind.key```. What a run did not measure is empty, and then the
paragraph, list item or table row that cites it is left out, with the heading that has nothing left below it; in
captions and alternative texts the sentence. With a question mark, ``{number}`kind.key?```, only the text itself is. A
figure whose numbers are missing was not drawn: its cell and parentheses that point at it are left out as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

NUMBER = re.compile(r"\{number\}`(\w+)\.(\w+)(\??)`")
FIGURE = re.compile(r"\{numref\}`([\w-]+)`")
POINTER = r" ?\((?:see )?\{{numref\}}`{name}`\)"
FENCE = re.compile(r"^(`{3,}|:{3,})(.*)$")
ITEM = re.compile(r"^\s*(?:[-*+] |\d+\. |\||:[\w-]+:|: |`{3,}|:{3,})")
HEADING = re.compile(r"^(#+) ")
ALONE = re.compile(r"^(?:#+ |`{3,}|:{3,}|:[\w-]+:)")
SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z{])")

Values = Mapping[str, Mapping[str, str]]


def value(values: Values, kind: str, key: str) -> str:
    """The text of a number or sentence; a key that no number has is an error, an empty text is not."""
    return values[kind][key]


def _known(text: str, values: Values) -> bool:
    return all(value(values, kind, key) or may_lack for kind, key, may_lack in NUMBER.findall(text))


def _filled(text: str, values: Values) -> str:
    return NUMBER.sub(lambda match: value(values, match[1], match[2]), text)


def sentences(text: str, values: Values) -> str:
    """A caption or an alternative text without the sentences whose numbers are missing."""
    return " ".join(_filled(s, values) for s in SENTENCE.split(text) if _known(s, values))


def fill(markdown: str, values: Values, absent: Collection[str] = (), whole: bool = False) -> str:
    """A page's or a cell's Markdown with its numbers.

    Parameters
    ----------
    markdown : str
    values : mapping of str to mapping of str to str
        Kind to key to text.
    absent : collection of str
        Names of figures that were not drawn.
    whole : bool
        Whether this is a page to its end: a heading with nothing below it is then left out there too.

    Returns
    -------
    str
    """
    for name in absent:
        markdown = re.sub(POINTER.format(name=re.escape(name)), "", markdown)
    blocks = [_block(block, values, absent) for block in _blocks(markdown)]
    return "\n\n".join(_headed([b for b in blocks if b], whole)) + "\n" * markdown.endswith("\n")


def _blocks(markdown: str) -> list[list[str]]:
    """Runs of lines without an empty one between; a fenced code block, empty lines and all, is one."""
    blocks, lines, code = [], [], ""
    for line in markdown.splitlines():
        fence = FENCE.match(line)
        if code:
            lines.append(line)
            code = "" if line.strip() == code else code
            continue
        if fence and _is_code(fence):
            code = fence[1]
        if line.strip() or code:
            lines.append(line)
        elif lines:
            blocks.append(lines)
            lines = []
    return [*blocks, lines] if lines else blocks


def _is_code(fence: re.Match) -> bool:
    """Whether a fence opens code, in which nothing is filled in or left out; a directive's holds prose."""
    return bool(fence[2].strip()) and not fence[2].strip().startswith("{")


def _block(lines: list[str], values: Values, absent: Collection[str]) -> str:
    items: list[list[str]] = []
    code = ""
    for line in lines:
        fence = FENCE.match(line)
        if items and (code or not (ITEM.match(line) or HEADING.match(line) or ALONE.match(items[-1][-1]))):
            items[-1].append(line)
        else:
            items.append([line])
        if code:
            code = "" if line.strip() == code else code
        elif fence and _is_code(fence):
            code = fence[1]
    kept = []
    for item in items:
        text = "\n".join(item)
        if text.lstrip().startswith(":alt:"):
            text = ":alt: " + sentences(text.partition(":alt:")[2].strip(), values)
        if FENCE.match(item[0]) and _is_code(FENCE.match(item[0])):
            kept.append(text)
        elif _known(text, values) and not any(name in absent for name in FIGURE.findall(text)):
            kept.append(_filled(text, values))
    rows = [t for t in kept if t.lstrip().startswith("|")]
    if len(rows) == 2 and rows[1].replace("|", "").replace("-", "").replace(":", "").strip() == "":
        kept = [t for t in kept if t not in rows]
    return "\n".join(kept)


def _headed(blocks: list[str], whole: bool) -> list[str]:
    """Blocks without headings below which nothing is left; the title and anchored ones stay."""
    kept: list[str] = []
    following = int(whole)  # level of the heading that comes next with nothing between, 0: something stands between
    for block in reversed(blocks):
        level = HEADING.match(block)
        lone = level is not None and "\n" not in block
        if lone and len(level[1]) > 1 and following and following <= len(level[1]):
            continue
        kept.append(block)
        following = len(level[1]) if lone else 0
    return kept[::-1]


def drawn(cell: Mapping) -> bool:
    """Whether an executed cell shows a picture, or anything else but text."""
    data = [set(output.get("data", {})) for output in cell.get("outputs", ())]
    return any(kinds - {"text/plain"} for kinds in data)


def figure_of(cell: Mapping) -> str | None:
    """Name of the numbered figure a cell makes."""
    return cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")


def absent_figures(notebooks: Iterable[Mapping]) -> set[str]:
    """Names of figures that notebooks asked for and did not draw."""
    return {
        figure_of(c)
        for n in notebooks
        for c in n["cells"]
        if c["cell_type"] == "code" and figure_of(c) and not drawn(c)
    }


def merged(script: Mapping, executed: Mapping) -> dict:
    """An executed notebook with the prose, captions and tags of its script as they are now."""
    done = iter(c for c in executed["cells"] if c["cell_type"] == "code")
    cells = []
    for number, cell in enumerate(script["cells"]):
        if cell["cell_type"] != "code":
            cells.append(dict(cell))
            continue
        ran = next(done)
        cells.append(dict(ran) | {"metadata": {**ran["metadata"], **cell["metadata"], "number": number}})
        if "parameters" in cell["metadata"].get("tags", ()):
            cells[-1]["metadata"]["tags"] = ran["metadata"].get("tags", [])
            injected = next(done)  # papermill's own cell comes right after
            cells.append(dict(injected))
    return dict(executed) | {"cells": cells}


def page(notebook: Mapping, values: Values, absent: Collection[str]) -> dict:
    """A notebook as it stands in the book: numbers filled in, what shows nothing and figures not drawn left out."""
    cells: list[dict] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell = dict(cell) | {"source": fill(cell["source"], values, absent)}
            if not cell["source"].strip():
                continue
        elif figure_of(cell) in absent or _silent(cell):
            continue
        elif figure_of(cell):
            about = cell["metadata"]["mystnb"]
            caption = sentences(about["figure"]["caption"], values)
            about = about | {"figure": about["figure"] | {"caption": caption}}
            if "image" in about:
                about["image"] = about["image"] | {"alt": sentences(about["image"]["alt"], values)}
            cell = dict(cell) | {"metadata": cell["metadata"] | {"mystnb": about}}
        cells.append(cell)
    return dict(notebook) | {"cells": _without_bare_headings(cells)}


def _silent(cell: Mapping) -> bool:
    """Whether a cell shows nothing: parameters, imports, and a result that is not there."""
    return not drawn(cell) and not any(o.get("output_type") == "stream" for o in cell.get("outputs", ()))


def _without_bare_headings(cells: list[dict]) -> list[dict]:
    kept: list[dict] = []
    following = 1
    for cell in reversed(cells):
        if cell["cell_type"] == "markdown":
            blocks = [b for b in cell["source"].split("\n\n") if b.strip()]
            while blocks and following:
                level = HEADING.match(blocks[-1])
                if not (level and "\n" not in blocks[-1] and 1 < len(level[1]) and following <= len(level[1])):
                    break
                blocks.pop()
            first = HEADING.match(blocks[0]) if blocks else None
            following = len(first[1]) if first else 0 if blocks else following
            if not blocks:
                continue
            cell = cell | {"source": "\n\n".join(blocks)}
        elif drawn(cell) or any(o.get("output_type") == "stream" for o in cell.get("outputs", ())):
            following = 0
        kept.append(cell)
    return kept[::-1]
