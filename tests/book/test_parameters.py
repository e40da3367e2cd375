"""A notebook's parameters: what papermill would set without a word is refused."""

import ast
from pathlib import Path

import pytest

from dhs.book.parameters import refuse_unknown
from dhs.errors import UsageError

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))


def namespace(injected: str) -> dict:
    names = {"In": [""], "Out": {}, "_ih": [""], "pathlib": Path}
    exec("epochs: int = 0\nprofile: str = 'demo'\n" + injected, names)
    return names


@pytest.mark.parametrize("injected", ["epochs = 2", "profile = 'smoke'\nepochs = 3", ""])
def test_its_own_parameters_are_taken(injected):
    refuse_unknown(namespace(injected))


@pytest.mark.parametrize(
    ("injected", "said"), [("epoch = 2", "Did you mean epochs"), ("lr = 1e-3", "It has epochs, profile")]
)
def test_another_one_is_refused(injected, said):
    with pytest.raises(UsageError, match=said):
        refuse_unknown(namespace(injected))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_looks_before_it_works(path):
    calls = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Expr)]
    assert ast.unparse(calls[0]) == "refuse_unknown(globals())"
