"""The map says what is there: rooms, contracts, and examples that a test runs."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest
from third_party_package import FOLDER

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book/architecture.md").read_text()
ROOMS = sorted(p.parent for pattern in ("*", "validation/*") for p in (ROOT / "dhs").glob(f"{pattern}/__init__.py"))


@pytest.mark.parametrize("room", [r.relative_to(ROOT).as_posix() for r in ROOMS])
def test_each_room_is_on_the_map_with_the_sentence_of_its_init(room):
    said = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())).split("\n")[0]
    assert f"| `{room}/` | {said} |" in PAGE


def test_every_example_is_the_module_that_the_package_installs():
    shown = re.findall(r"```(?:python|ini)\n# (\S+)\n(.*?)\n```", PAGE, flags=re.S)
    assert len(shown) == len(dict(shown)) == 8
    files = {p.name: p for p in FOLDER.rglob("*") if p.suffix in (".py", ".txt")}
    assert set(dict(shown)) == set(files) - {"__init__.py"}
    for name, text in shown:
        assert text == files[name].read_text().strip(), name


def test_each_kind_has_its_contract_folder_and_entry_point():
    rows = re.findall(r"^\| (?:an?) [\w ]+ \| `([\w.]+)` \| `([\w/]+)/` \| `([\w.]+)` \|$", PAGE, flags=re.M)
    assert len(rows) == 7
    for contract, folder, group in rows:
        module, _, name = contract.rpartition(".")
        try:
            importlib.import_module(contract)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), contract
        made = f'"{group}", "{folder.replace("/", ".")}")'
        assert any(made in p.read_text() for p in (ROOT / "dhs").rglob("*.py")), made
        assert f"[{group}]" in PAGE


def test_layers_on_the_map_are_those_the_contract_holds():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"\w+", layer) for layer in contracts[0]["layers"]]
    picture = PAGE.split("```text\n")[1].split("```")[0]
    named = [re.split(r"\s{4,}", line.strip())[0] for line in picture.splitlines()]  # without what is said of it
    words = re.findall(r"\b\w+\b", " ".join(named))
    places = [max(words.index(name) for name in layer) for layer in layers if set(layer) <= set(words)]
    assert places == sorted(places) and len(places) >= 10
