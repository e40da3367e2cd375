"""What a step depends on, as one hash: the code it imports, its configuration, the files it reads.

The code of a step is the closure of ``dhs`` imports from the module that holds its verb, functions' own imports
included, so a change in a module re-runs exactly the steps that use it. A registry (`dhs.registry`) stands for every
module of its folder, and for the packages that add to it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from importlib import metadata
from pathlib import Path

from dhs import storage

PACKAGE = Path(__file__).resolve().parent
WHOLE, ENDS = 2**28, 2**20  # bytes
DATA = (".json", ".yaml", ".mplstyle", ".csv", ".css", ".js", ".html")


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of this package."""
    return _file(name) is not None


def _file(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(source: str) -> frozenset[str]:
    """``dhs`` modules that a script or module imports, anywhere in it; ``import dhs`` itself brings none.

    A registry brings the modules that register themselves in it.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    for _, folder in registries(source):
        inside = PACKAGE.joinpath(*folder.split(".")[1:])
        own = (path.relative_to(PACKAGE.parent).with_suffix("") for path in inside.rglob("*.py"))
        found.update(".".join(path.parts) for path in own if path.name != "__init__")
    return frozenset(name for name in found if name.startswith("dhs.") and is_module(name))


def registries(source: str) -> list[tuple[str, str]]:
    """Entry-point group and folder of each registry that a module makes."""
    calls = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and len(n.args) == 3)
    named = (n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "Registry")
    return [(n.args[1].value, n.args[2].value) for n in named if all(isinstance(a, ast.Constant) for a in n.args)]


def _added(group: str) -> list[bytes]:
    """Packages that add to a registry, and the source of what they add."""
    out = []
    for point in sorted(metadata.entry_points(group=group), key=lambda p: (p.dist.name, p.name)):
        found = importlib.util.find_spec(point.module)
        source = Path(found.origin).read_bytes() if found and found.origin else b""
        out.append(f"{point.dist.name} {point.dist.version} {point.value}".encode() + source)
    return out


@cache
def _imports(module: str) -> frozenset[str]:
    return imported(_file(module).read_text())


def modules(start: str) -> list[str]:
    """Sorted closure of ``dhs`` modules imported from a module, itself included."""
    seen, queue = set(), [start]
    while queue:
        module = queue.pop()
        if module not in seen:
            seen.add(module)
            queue.extend(_imports(module))
    return sorted(seen)


def code(*starts: str) -> str:
    """SHA-256 over the sources of a closure and the data files that lie beside them."""
    total = hashlib.sha256()
    for module in sorted({m for s in starts for m in modules(s)}):
        source = _file(module)
        total.update(module.encode() + source.read_bytes())
        for group, _ in registries(source.read_text()) if b"Registry(" in source.read_bytes() else ():
            total.update(b"".join(_added(group)))
        for data in sorted(p for p in source.parent.iterdir() if p.suffix in DATA):
            total.update(data.name.encode() + data.read_bytes())
    return total.hexdigest()


def data(root: str, names: tuple[str, ...]) -> str:
    """SHA-256 over the names and contents of the files below some folders of ``root``, wherever that lies.

    Of a file beyond `WHOLE` bytes, or in an object store, its size stands for what lies between its ends.
    """
    total, root = hashlib.sha256(), root.rstrip("/")
    for name in names if root else ():
        for path in storage.list_files(storage.join(root, name), recursive=True):
            total.update(path.removeprefix(root).encode() + _content(path, *_state(path)))
    return total.hexdigest()


def _state(path: str) -> tuple[int, int]:
    fs, inner = storage.resolve(path)
    info = fs.get_file_info(inner)
    return info.size, info.mtime_ns or 0


@cache
def _content(path: str, size: int, mtime_ns: int) -> bytes:
    if "://" in path:
        return f"{size} {mtime_ns}".encode()
    with open(path, "rb") as stream:
        if size <= WHOLE:
            return hashlib.sha256(stream.read()).digest()
        first = stream.read(ENDS)
        stream.seek(-ENDS, 2)
        ends = first + stream.read(ENDS)
    return hashlib.sha256(ends + str(size).encode()).digest()


def files(*paths: Path) -> str:
    """SHA-256 over the names and bytes of files; a missing one counts as missing."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + (path.read_bytes() if path.is_file() else b"missing"))
    return total.hexdigest()
