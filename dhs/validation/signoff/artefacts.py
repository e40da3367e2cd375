"""The files of a run as one document tree, for the rules of the sign-off; and the projection of the paper-size run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from dhs import storage
from dhs.artefacts.report import refuse_other_version
from dhs.config import digest, load_profile
from dhs.errors import DhsError

FILES = {
    "preflight": "preflight.json",
    "evaluation": "evaluation.json",
    "real_lenses": "real_lenses.json",
    "manifest": "pairs/manifest.json",
    "training": "train/history.csv",
    "projection": "pairs/run.json",
    "plan": "pairs/plan.json",
}
MISSING = object()


def lookup(document, path: str):
    """Value at a dotted path of mappings and lists, or `MISSING`."""
    for part in path.split("."):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.lstrip("-").isdigit() and -len(document) <= int(part) < len(document):
            document = document[int(part)]
        else:
            return MISSING
    return document


def read_documents(run: str | Path) -> dict:
    """All files of a run that the rules may point into; what is not there is an empty mapping."""
    documents = {}
    for name in ("preflight", "evaluation", "real_lenses", "manifest"):
        path = storage.join(run, FILES[name])
        documents[name] = storage.read_json(path) if storage.exists(path) else {}
        refuse_other_version(documents[name], 1, path)
    if not documents["preflight"]:
        raise DhsError(f"{run}: no preflight.json. Run `dhs preflight --data-path PAIRS --out {run}` first.")
    documents["preflight"]["gates"] = {g["name"]: g for g in documents["preflight"]["gates"]}
    documents["plan"] = _plan(run)
    interventions = documents["evaluation"].get("interventions") or {}
    if isinstance(interventions.get("interventions"), list):
        interventions["by_name"] = {row["name"]: row for row in interventions["interventions"]}
    documents["training"] = _training(run, documents["manifest"])
    documents["projection"] = projection(run, documents)
    return documents


def _plan(run) -> dict:
    """The registered plan with the number of changes made after the test split had been read."""
    path = storage.join(run, FILES["plan"])
    if not storage.exists(path):
        return {}
    record = storage.read_json(path)
    late = [a for a in record.get("amendments", []) if a.get("after_test_read")]
    intact = isinstance(record.get("plan"), dict) and digest(record["plan"]) == record.get("sha256")
    return record | {"amended_after_test_read": len(late), "intact": intact}


def _training(run, manifest: dict) -> dict:
    """The last and the best epoch of ``train/history.csv``."""
    path = storage.join(run, FILES["training"])
    if not storage.exists(path):
        return {}
    epochs = list(csv.DictReader(io.StringIO(storage.read_bytes(path).decode())))
    if not epochs:
        return {}
    last = {k: _number(v) for k, v in epochs[-1].items()}
    seconds = [s for e in epochs if (s := _number(e.get("seconds"))) is not None]
    out = {"epochs": len(epochs), "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None}
    areas = [a for e in epochs if (a := _number(e.get("auroc_val"))) is not None]
    out["best_auroc_val"] = max(areas, default=None)
    losses = last.get("loss_val"), last.get("loss_train")
    out["loss_gap"] = None if None in losses else losses[0] - losses[1]
    seen, n = last.get("seen_ids"), manifest.get("counts", {}).get("train")
    out["seen_fraction"] = seen / n if seen is not None and n else None
    return out


def _number(text: str | None) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if value == value else None


def projected(run: str | Path) -> str:
    """One sentence: what the paper-size run would cost on this machine, from a finished run's timings."""
    cost = read_documents(run)["projection"]
    if None in (cost["inject_hours"], cost["train_hours"], cost["disk_gb"]):
        return f"{run} has no timings to project from"
    return (
        f"projected from {run}: {cost['inject_hours']:.1f} h to inject {cost['pairs']:,} pairs, "
        f"{cost['train_hours']:.0f} h to train {cost['epochs']} epochs, {cost['disk_gb']:.0f} GB of disk"
    )


def projection(run: str | Path, documents: dict) -> dict:
    """Hours and disk of the paper-size run, scaled linearly from this run's timings; null where not recorded."""
    paper = load_profile("paper")
    pairs, share = paper.injection.n_pairs, paper.splits.train
    out = {
        "pairs": pairs,
        "epochs": paper.train.epochs,
        "inject_hours": None,
        "train_hours": None,
        "disk_gb": None,
    }
    counts = documents["manifest"].get("counts", {})
    made = sum(counts.values())
    path = storage.join(run, FILES["projection"])
    timing = storage.read_json(path) if storage.exists(path) else {}
    if timing.get("pairs_per_s"):
        out["inject_hours"] = pairs / timing["pairs_per_s"] / 3600
    if made:
        folder = storage.join(run, "pairs")
        fs, _ = storage.resolve(folder)
        files = storage.list_files(folder, (".parquet",), recursive=True)
        sizes = [info.size for info in fs.get_file_info([storage.resolve(f)[1] for f in files])] if files else []
        out["disk_gb"] = sum(sizes) / made * pairs / 1e9 if sizes else None
    epoch = documents["training"].get("seconds_per_epoch")
    if epoch and counts.get("train"):
        out["train_hours"] = epoch / counts["train"] * share * pairs * paper.train.epochs / 3600
    out["basis"] = {"pairs": made, "pairs_per_s": timing.get("pairs_per_s"), "seconds_per_epoch": epoch}
    out["note"] = "linear in pairs and epochs, on this machine"
    return out
