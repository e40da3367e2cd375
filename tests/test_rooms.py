"""The limits that keep rooms easy to walk: lines of a module, modules of a folder, parameters of a function."""

import ast
import tomllib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "dhs"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES, IN_A_FOLDER, PARAMETERS = 400, 12, 8
UNTYPED = 113  # modules whose types are not checked yet: lower it with the list, never raise it
VERBS = "cli"  # an option of a verb is a parameter of its function


def crowded(package: Path, limit: int) -> dict[str, int]:
    """Folders with more modules than allowed; their ``__init__`` is not one."""
    folders = {p.parent for p in package.rglob("*.py")}
    n = {f.relative_to(package).as_posix(): sum(p.name != "__init__.py" for p in f.glob("*.py")) for f in folders}
    return {name: count for name, count in n.items() if count > limit}


def long_signatures(source: str, limit: int) -> list[str]:
    """Public functions, and ``__init__`` of classes, with too many parameters; ``self`` counts not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            public = node.name == "__init__" or not node.name.startswith("_")
            if public and sum(name not in ("self", "cls") for name in names) > limit:
                found.append(f"{node.name} has {len(names)}")
    return found


def test_modules_stay_short():
    lines = {m.relative_to(PACKAGE).as_posix(): len(m.read_text().splitlines()) for m in MODULES}
    assert {m: n for m, n in lines.items() if n > LINES} == {}


def test_no_folder_is_crowded():
    assert crowded(PACKAGE, IN_A_FOLDER) == {}


def test_no_public_function_takes_many_parameters():
    library = [m for m in MODULES if m.relative_to(PACKAGE).parts[0] != VERBS]
    found = {m.relative_to(PACKAGE).as_posix(): long_signatures(m.read_text(), PARAMETERS) for m in library}
    assert {m: long for m, long in found.items() if long} == {}


def test_types_are_checked_in_ever_more_modules():
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["mypy"]
    (loose,) = [o["module"] for o in settings["overrides"] if o.get("ignore_errors")]
    there = {".".join(m.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for m in MODULES}
    assert set(loose) <= there and len(loose) <= UNTYPED and loose == sorted(loose)


def test_what_is_too_much_is_seen(tmp_path):
    for number in range(3):
        (tmp_path / f"m{number}.py").write_text("")
    (tmp_path / "__init__.py").write_text("")
    assert crowded(tmp_path, 2) == {".": 3} and crowded(tmp_path, 3) == {}
    source = "class A:\n    def __init__(self, a, b, *, c): ...\n    def _own(self, a, b, c, d): ...\n"
    source += "def f(a, b, **o): ...\n"
    assert long_signatures(source, 2) == ["__init__ has 4"] and long_signatures(source, 3) == []
