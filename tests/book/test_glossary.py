"""A term says what it means where the pointer rests on it."""

from types import SimpleNamespace

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document

from dhs.book.glossary import definitions, hover

TERMS = "twin\n  The *control* of a pair,\n  without the arc.\n\nEinstein radius\n  A radius."
PAGE = f"# Glossary\n\n```{{glossary}}\n{TERMS}\n```\n"


def page(*addresses):
    document = new_document("a", get_default_settings())
    document += [nodes.reference("", "", refuri=address) for address in addresses]
    return document


def test_terms_and_what_they_mean_are_read_from_the_page():
    assert definitions(PAGE) == {"twin": "The control of a pair, without the arc.", "Einstein radius": "A radius."}
    assert definitions("# No glossary") == {}


def test_references_to_terms_get_a_title_and_others_none():
    app = SimpleNamespace(env=SimpleNamespace(dhs_glossary=definitions(PAGE)))
    found = page(
        "glossary.html#term-twin", "glossary.html#term-Einstein-radius", "other.html#twin", "glossary.html#term-x"
    )
    hover(app, found, "book/primer")
    assert [n.get("reftitle") for n in found.findall(nodes.reference)] == [
        "The control of a pair, without the arc.",
        "A radius.",
        None,
        None,
    ]
    own = page("#term-twin")
    hover(app, own, "book/glossary")
    assert next(own.findall(nodes.reference)).get("reftitle") is None
