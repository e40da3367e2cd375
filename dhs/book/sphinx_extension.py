"""What the pages need of Sphinx: formulas as MathML, which any browser shows without script or network, the line that
says what made a figure, and no scripts from elsewhere."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes

FRONT = re.compile(r'<img[^>]*src="([^"]*_images/)front\.png"[^>]*>')
NARROW = '<picture><source media="(max-width: 700px)" srcset="{folder}front_phone.png">{picture}</picture>'
WORKS = re.compile(r"<div[^>]*citation-list[^>]*>")  # its works are no list items
MATHML_STYLE = re.compile(r' xmlns="[^"]*"')


def _mathml(latex: str, display: str) -> str:
    from latex2mathml.converter import convert

    return MATHML_STYLE.sub("", convert(_with_words(latex), display=display))


def _with_words(latex: str) -> str:
    """Upright words as text: set letter by letter they come apart."""
    return re.sub(r"\\mathrm\{([A-Za-z\\ ]{2,})\}", lambda m: rf"\text{{{m[1]}}}".replace("\\ ", " "), latex)


def visit_math(writer, node: nodes.math) -> None:
    """A formula in a line."""
    writer.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(writer, node: nodes.math_block) -> None:
    """A formula of its own, with a number where it has one."""
    writer.body.append(f'<div class="math-block">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def made_by(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Role ``made-by``: small print under a figure."""
    return [nodes.inline(rawtext, text, classes=["dhs-made-by"])], []


def without_foreign_scripts(app, pagename, templatename, context, doctree) -> None:
    """Pages load nothing from elsewhere: no live kernels, whose settings are written twice besides."""
    scripts = context.get("script_files") or []
    context["script_files"] = [s for s in scripts if not _foreign(s)]


def _foreign(script) -> bool:
    where = str(getattr(script, "filename", script) or "")
    body = str((getattr(script, "attributes", None) or {}).get("body") or "")
    return "thebe" in where.lower() or "THEBE" in body or where.startswith(("http:", "https:", "//"))


def settled(app, pagename, templatename, context, doctree) -> None:
    """No empty heads in tables of pandas, a narrow first figure on a phone, and a description from the first lines."""
    body = context.get("body")
    if body:
        body = FRONT.sub(lambda m: NARROW.format(folder=m[1].replace("_images", "_static"), picture=m[0]), body)
        body = WORKS.sub(lambda m: m[0].replace(' role="list"', ""), body)
        context["body"] = body.replace("<th></th>", "<td></td>").replace(
            '<th class="blank level0" >&nbsp;</th>', "<td></td>"
        )
    if doctree is not None:
        first = next((p.astext() for p in doctree.findall(nodes.paragraph)), "")
        if first:
            text = escape(" ".join(first.split())[:200], quote=True)
            context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{text}">'


def configured(app, config) -> None:
    """One search box, in the side bar: the theme's upper bar would hold another. The reader's own light or dark."""
    config.html_context = {"default_mode": "auto", **config.html_context}
    config.html_theme_options = {**config.html_theme_options, "navbar_persistent": []}


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("config-inited", configured, priority=900)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_role("made-by", made_by)
    app.connect("html-page-context", without_foreign_scripts, priority=900)
    app.connect("html-page-context", settled, priority=901)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
