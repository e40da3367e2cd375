"""Stored benchmark results, which the book shows."""

from __future__ import annotations

from dhs import storage
from dhs.book.build import project_root

FOLDER = "benchmarks/results"


def stored_benchmark(name: str) -> dict:
    """What ``benchmarks/<name>.py --json benchmarks/results/<name>.json`` wrote; empty where it was never run."""
    path = project_root() / FOLDER / f"{name}.json"
    return storage.read_json(path) if path.is_file() else {}
