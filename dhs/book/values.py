"""The numbers and sentences that pages cite, from the files of a run and the results stored with the project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import dhs
from dhs import storage
from dhs.artefacts.report import read
from dhs.artefacts.training import HISTORY, SETTINGS, read_history, read_settings
from dhs.book.dress import TIMES, execution_table
from dhs.book.results import operating_study, stored_benchmark
from dhs.figures.numbers.glue import glued
from dhs.validation.ablation.ablate import Ablation

STORED = ("audit_power", "transfer", "recipe", "host_realism", "leaks", "learning_curve", "audit_any")


def _json(path: Path) -> dict:
    return read(path) if path.is_file() else {}


def artefacts(run: Path) -> dict[str, dict]:
    """Kind of number to what it is made of; a file that is not there is an empty mapping."""
    manifest, evaluation = _json(run / "pairs" / "manifest.json"), _json(run / "evaluation.json")
    found = {
        "pairs": manifest
        | {"benchmark": stored_benchmark("injection"), "host_realism": stored_benchmark("host_realism")},
        "preflight": _json(run / "preflight.json"),
        "training": _training(run, manifest),
        "evaluation": evaluation and evaluation | {"benchmark": stored_benchmark("evaluation")},
        "real_lenses": _json(run / "real_lenses.json"),
        "signoff": _json(run / "signoff.json"),
        "scale": stored_benchmark("scale"),
        "plan_on_gpu": stored_benchmark("plan_on_gpu"),
        "leaks": stored_benchmark("leaks"),
    }
    about = {"manifest": manifest, "operating": operating_study()}
    about |= {k: found[k] for k in ("preflight", "evaluation", "real_lenses", "signoff")}
    about |= {"logits": _logits(run, evaluation), "version": dhs.__version__}
    about["ratio"] = (manifest.get("config") or {}).get("train", {}).get("hard_negative_ratio")
    return found | {"story": about, "stored": {name: stored_benchmark(name) for name in STORED}}


def _logits(run: Path, evaluation: Mapping) -> dict:
    """Medians of the positives' logits by SNR, and the kinds of the survey negatives that score highest."""
    path = run / "scores.parquet"
    edges = [b["lo"] for b in (evaluation.get("strata") or {}).get("arc_snr_matched") or ()]
    if not path.is_file() or not edges:
        return {}
    scores = storage.read_table(path).to_pandas()
    scores = scores[scores["split"] == "test"]
    arcs = scores[scores["kind"] == "positive"]
    bins = [(lo, arcs[arcs["arc_snr_matched"].between(lo, hi)]) for lo, hi in zip(edges, [*edges[1:], np.inf])]
    rows = [{"lo": lo, "median": float(part["logit"].median())} for lo, part in bins if len(part) >= FEWEST]
    survey = scores[scores["kind"].str.startswith("survey_negative")].nlargest(HIGHEST, "logit")
    return {"by_snr": rows, "highest": survey["subkind"].value_counts().to_dict()}


FEWEST, HIGHEST = 8, 10
"""Arcs of which a median is told; negatives that are said to set the threshold."""


def _training(run: Path, manifest: Mapping) -> dict:
    folder = run / "train"
    trained = all((folder / name).is_file() for name in (HISTORY, SETTINGS))
    ablation = Ablation.find(run / "ablation", str(manifest.get("content_hash")))
    return {
        "history": read_history(folder) if trained else None,
        "config": read_settings(folder) if trained else None,
        "ablation": ablation and ablation.table,
        "benchmark": stored_benchmark("training"),
    }


def values(run: Path) -> dict[str, dict[str, str]]:
    """Every number and sentence of a run, by kind and key."""
    found = {kind: glued(artefact, kind) for kind, artefact in artefacts(run).items()}
    return found | {"book": {"execution": execution_table(_json_or_empty(run / TIMES))}}


def _json_or_empty(path: Path) -> dict:
    return storage.read_json(path) if path.is_file() else {}
