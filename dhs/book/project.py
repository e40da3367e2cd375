"""Where the project is, and which pages its book has."""

from __future__ import annotations

from pathlib import Path

import yaml

from dhs.errors import DhsError


def project_root(start: Path | None = None) -> Path:
    """The folder that holds ``_toc.yml``: the working directory, one above it, or the package's source tree."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise DhsError(f"{here}: no _toc.yml here or above. Run `dhs book` inside a clone of the project.")


def pages(root: Path) -> list[str]:
    """Documents named in ``_toc.yml``."""
    found: list[str] = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(node[k] for k in ("root", "file") if k in node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(yaml.safe_load((root / "_toc.yml").read_text()))
    return found
