"""Stored results that the book shows beside those of a run."""

from __future__ import annotations

import json
from importlib import resources

from dhs import storage
from dhs.book.project import project_root
from dhs.errors import DhsError
from dhs.survey.lenses.lens_list import build

FOLDER = "benchmarks/results"


def stored_benchmark(name: str) -> dict:
    """What ``benchmarks/<name>.py --json benchmarks/results/<name>.json`` wrote; empty where it was never run."""
    path = project_root() / FOLDER / f"{name}.json"
    return storage.read_json(path) if path.is_file() else {}


def operating_study() -> dict:
    """How often clean sets were let through and planted faults caught: ``operating.json`` of the package."""
    return json.loads((resources.files("dhs.book.studies") / "operating.json").read_text())


def lens_list_counts() -> dict | str:
    """How the list of real lenses comes about from the catalogues at hand, or why there is none."""
    try:
        return build().about
    except DhsError as error:
        return str(error)
