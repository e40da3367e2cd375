"""Faults of prose, looked for in the pages as they were built: what a person would not have written."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

SKIPPED = ("script", "style", "pre", "code", "nav", "svg", "math", "header", "footer", "title")
BLOCKS = ("p", "li", "td", "th", "figcaption", "h1", "h2", "h3", "h4", "dd", "dt", "summary", "span.alt")
VOID = ("img", "br", "hr", "input", "meta", "link", "source", "wbr")
REFERENCE = ("api", "references", "architecture", "what_goes_wrong", "genindex", "search")
"""Pages of fields, works and messages as they are printed, which are read otherwise."""

FAULTS = {
    "sizes inside a sentence": re.compile(r"[,(;] ?n = \d|\b(?:hosts|sources) = \d"),
    "a number that is not there": re.compile(
        r"not measured(?: ?[:(]|$)|of not measured|\bNone(?=[.,;)]|$)|\bnan\b|\(not part of this run\)"
    ),
    "a number that was not filled in": re.compile(r"\{(?:number|glue|numref|cite)[:}]|\{number\}"),
    "a key in prose": re.compile(r"(?<![\w/.])[a-z]{2,}(?:_[a-z0-9]+)+\b(?![/(]|\.\w)"),
    "a mapping or list as text": re.compile(r"\{'|\['|': |\[\]"),
    "float noise": re.compile(r"\d\.\d{5,}|\d[eE][-+]\d\d|\b[1-9]\d*\.000\b|-0\.0+(?![\d])"),
    "a full stop twice": re.compile(r"(?<!\.)\.\.(?!\.)(?!/)|\. \.|;\s*\."),
    "an empty parenthesis": re.compile(r"\(\s*\)|\(\s*[,;]"),
}
EMPTY = re.compile(r">\s*(?:[\w ]+: )?(skipped: [^<]*)<")
INTERVAL = re.compile(r"([-+]?\d*\.\d+) \(([-+]?\d*\.\d+) to ([-+]?\d*\.\d+)\)")


class _Text(HTMLParser):
    """The text of each block of a page's article, results of code aside, and the alternative text of its pictures."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.inside, self.skipped, self.figures, self.divs, self.blocks, self.open = 0, 0, 0, [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "article":
            self.inside += 1
        if tag == "img" and self.inside and attributes.get("alt"):
            self.blocks.append(attributes["alt"])
        if tag in VOID:
            return
        if tag == "div":
            self.divs.append("cell_output" in (attributes.get("class") or ""))
        self.figures += tag == "figure"
        if tag in SKIPPED:
            if tag == "code" and self.blocks and self.inside and not self.skipped:
                self.blocks[-1] += "code"  # a word stands there, which is read otherwise
            self.skipped += 1
        elif tag in BLOCKS:
            self.open.append(tag)
            self.blocks.append("")

    def handle_endtag(self, tag):
        if tag == "article":
            self.inside -= 1
        if tag == "div" and self.divs:
            self.divs.pop()
        self.figures -= tag == "figure"
        if tag in SKIPPED:
            self.skipped -= 1
        elif tag in BLOCKS and tag in self.open:
            while self.open.pop() != tag:
                pass
            self.blocks.append("")

    def handle_data(self, data):
        result = any(self.divs) and not self.figures
        if self.inside and not self.skipped and not result and self.blocks:
            self.blocks[-1] += data


def texts(page: str) -> list[str]:
    """Paragraphs, list items, cells, captions and alternative texts of a built page, without code."""
    parser = _Text()
    parser.feed(page)
    return [" ".join(block.split()) for block in parser.blocks if block.strip()]


def of_text(text: str) -> list[str]:
    """Names of the faults in one piece of prose."""
    found = [name for name, pattern in FAULTS.items() if pattern.search(text)]
    for value, low, high in INTERVAL.findall(text):
        decimals = len(value.partition(".")[2])
        if decimals > 2 and abs(float(high) - float(low)) >= 0.01:
            found.append("more decimals than the interval leaves")
    return found


def of_page(page: str) -> list[str]:
    """Faults of one built page, each with the words around it."""
    out = [f"{fault}: {text[:160]}" for text in texts(page) for fault in of_text(text)]
    out += [f"a result that says it is empty: {said[:120]}" for said in EMPTY.findall(page)]
    return out + [f"a figure without a picture: {caption[:120]}" for caption in _bare_figures(page)]


def _bare_figures(page: str) -> list[str]:
    """Captions of figures that hold no picture."""
    figures = re.findall(r"<figure\b.*?</figure>", page, re.S)
    bare = [f for f in figures if "<img" not in f and "<svg" not in f and "<canvas" not in f and "<table" not in f]
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", f)).split()) for f in bare]


def of_pages(folder: Path) -> list[str]:
    """Faults of every page below a folder of built pages, each after the page's name."""
    out = []
    for path in sorted(folder.rglob("*.html")):
        inside = path.relative_to(folder)
        if path.stem in REFERENCE or inside.parts[0].startswith("_"):
            continue
        out += [f"{inside}: {fault}" for fault in of_page(path.read_text())]
    return out
