"""A Sphinx extension: a term of the glossary says what it means when the pointer rests on it."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes

GLOSSARY = re.compile(r"^```\{glossary\}\n(.*?)^```", re.S | re.M)


def definitions(page: str) -> dict[str, str]:
    """Term to what it means, from a page with a glossary; Markdown's stars are left out."""
    found = GLOSSARY.search(page)
    entries = (found[1] if found else "").strip("\n").split("\n\n")
    parts = [entry.split("\n", 1) for entry in entries if "\n" in entry]
    return {term.strip(): " ".join(text.split()).replace("*", "") for term, text in parts}


def hover(app, doctree, docname: str) -> None:
    """Give each reference to a term its meaning as a title."""
    known = {term.lower(): text for term, text in app.env.dhs_glossary.items()}
    for node in doctree.findall(nodes.reference):
        address = node.get("refuri") or node.get("refid") or ""
        if "term-" in address and docname != "book/glossary":
            name = address.rpartition("term-")[2].replace("-", " ").lower()
            text = known.get(name) or next((t for k, t in known.items() if k.replace("-", " ") == name), "")
            if text:
                node["reftitle"] = text


def read(app) -> None:
    page = Path(app.srcdir) / "book" / "glossary.md"
    app.env.dhs_glossary = definitions(page.read_text()) if page.is_file() else {}


def setup(app) -> dict:
    app.connect("builder-inited", read)
    app.connect("doctree-resolved", hover)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
