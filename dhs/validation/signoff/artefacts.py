"""The files of a run as one document tree, for the rules of the sign-off; and the projection of the paper-size run."""

from __future__ import annotations

import math
from pathlib import Path

from dhs import storage
from dhs.artefacts.report import read
from dhs.artefacts.training import HISTORY, Epoch, read_history
from dhs.config import digest, load_profile
from dhs.datasets.preregistration import READS, Log
from dhs.errors import DhsError
from dhs.stats.clusters import plain
from dhs.validation.signoff.plan_lines import of_table, summary, verdicts

FILES = {
    "preflight": "preflight.json",
    "evaluation": "evaluation.json",
    "real_lenses": "real_lenses.json",
    "manifest": "pairs/manifest.json",
    "training": "train/history.csv",
    "projection": "pairs/run.json",
    "plan": "pairs/plan.json",
    "plan_lines": "ablation/ablation.parquet",
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


def read_documents(run: str | Path, plan_lines=()) -> dict:
    """All files of a run that the rules may point into; what is not there is an empty mapping.

    ``plan_lines`` are those of the rules, of which the run's ablation speaks.
    """
    documents = {}
    for name in ("preflight", "evaluation", "real_lenses", "manifest"):
        path = storage.join(run, FILES[name])
        documents[name] = read(path) if storage.exists(path) else {}
    if not documents["preflight"]:
        raise DhsError(f"{run}: no preflight.json. Run `dhs preflight --data-path PAIRS --out {run}` first.")
    documents["preflight"]["gates"] = {g["name"]: g for g in documents["preflight"]["gates"]}
    documents["plan"] = _plan(run, documents)
    interventions = documents["evaluation"].setdefault("interventions", {}) if documents["evaluation"] else {}
    if isinstance(interventions.get("interventions"), list):
        interventions["by_name"] = {row["name"]: row for row in interventions["interventions"]}
    interventions["ring_kept"] = ring_kept(interventions.get("by_name") or {})
    if documents["evaluation"]:
        documents["evaluation"]["decoys"] = decoys(documents["evaluation"])
    documents["training"] = _training(run, documents["manifest"])
    documents["plan_lines"] = _plan_lines(run, documents["manifest"], plan_lines)
    documents["projection"] = projection(run, documents)
    return documents


def ring_kept(by_name: dict) -> dict:
    """What of an arc's effect a plain ring of its flux keeps: 1 less the change by the ring over that by nothing.

    ``all``, ``by_theta_e`` and ``worst``, the largest of the bins in which taking the arc away lowers the score.
    """
    ring, removed = by_name.get("ring_added") or {}, by_name.get("arc_removed") or {}

    def kept(a: dict, b: dict) -> float | None:
        known = a.get("value") is not None and b.get("ci_high") is not None and b["ci_high"] < 0
        return 1 - a["value"] / b["value"] if known else None

    bins = [
        {"lo": a["lo"], "hi": a["hi"], "kept": kept(a, b)}
        for a, b in zip(ring.get("by_theta_e") or [], removed.get("by_theta_e") or [])
    ]
    values = [b["kept"] for b in bins if b["kept"] is not None]
    return {"all": kept(ring, removed), "by_theta_e": bins, "worst": max(values, default=kept(ring, removed))}


def decoys(evaluation: dict) -> dict:
    """How often decoys are called lenses at the survey's threshold, beside how often lenses are.

    ``over_recall`` is the largest share of a kind of hard negative above the threshold, over the recall there;
    ``above_zero`` the share of all with a logit above zero.
    """
    rates = evaluation.get("tpr_at_fpr") or []
    recall = (rates[-1].get("tpr") or {}).get("value") if rates else None
    kinds = (evaluation.get("hard_negatives") or {}).get("by_kind") or {}
    shares = {k: (v.get("fraction_above_threshold") or {}).get("value") for k, v in kinds.items()}
    shares = {k: v for k, v in shares.items() if v is not None}
    right = [v["accuracy"] for v in kinds.values() if (v.get("accuracy") or {}).get("value") is not None]
    n = sum(r["n"] for r in right)
    zero = {"above_zero": 1 - sum(r["value"] * r["n"] for r in right) / n} if n else {}
    if not shares:
        return zero | {"reason": "no share of hard negatives above the survey's threshold"}
    worst = max(shares, key=shares.get)
    over = shares[worst] / recall if recall else None
    return zero | {"kind": worst, "share": shares[worst], "recall": recall, "over_recall": over}


def _plan_lines(run, manifest: dict, lines) -> dict:
    """The training plan's lines with the verdict that the run's own ablation of this data set allows."""
    path, found = storage.join(run, FILES["plan_lines"]), {}
    if storage.exists(path):
        table = storage.read_table(path)
        if (table.schema.metadata or {}).get(b"dhs_content_hash") == str(manifest.get("content_hash")).encode():
            found = of_table(table.to_pandas())
    return summary(verdicts(lines, found))


def _plan(run, documents: dict) -> dict:
    """The registered plan, and what the log of readings of the test split says of it.

    ``amended_after_test_read`` counts plans under which the split was read, or that were changed after it was, other
    than the one that stands; ``networks_read`` and ``reads`` count the log; ``log_broken`` says why the log is
    not whole, empty where it is.
    """
    path = storage.join(run, FILES["plan"])
    record = storage.read_json(path) if storage.exists(path) else {}
    log = Log(storage.join(run, "pairs", READS), documents["manifest"].get("content_hash"))
    late = {a["from"] for a in record.get("amendments", []) if a.get("after_test_read")} | set(log.plans)
    about = {"amended_after_test_read": len(late - {record.get("sha256")}), "reads": len(log.reads)}
    about |= {"networks_read": len(log.networks), "log_broken": log.broken or _lost(run, record, log)}
    if record:
        about["intact"] = isinstance(record.get("plan"), dict) and digest(record["plan"]) == record.get("sha256")
    return record | about


def _lost(run, record: dict, log: Log) -> str:
    """Whether readings are missing that the plan or the evaluation know of."""
    if len(log.reads) < record.get("test_reads", 0):
        return f"{record['test_reads']} readings when the plan was registered, {len(log.reads)} now"
    path = storage.join(run, "evaluation_run.json")
    mine = (storage.read_json(path).get("test_read") or {}) if storage.exists(path) else {}
    if mine and mine["sha256"] not in {r["sha256"] for r in log.reads}:
        return f"reading {mine['n']}, by this run's evaluation, is not in it"
    return ""


def _training(run, manifest: dict) -> dict:
    """The last and the best epoch of ``train/history.csv``."""
    folder = storage.join(run, FILES["training"]).rpartition("/")[0]
    if not storage.exists(storage.join(folder, HISTORY)):
        return {}
    epochs = [Epoch.model_validate(row) for row in read_history(folder).to_dict("records")]
    if not epochs:
        return {}
    seconds, areas = ([v for e in epochs if not math.isnan(v := e[k])] for k in ("seconds", "auroc_val"))
    n = manifest.get("counts", {}).get("train")
    return {
        "epochs": len(epochs),
        "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None,
        "best_auroc_val": max(areas, default=None),
        "loss_gap": plain(epochs[-1].loss_val - epochs[-1].loss_train),
        "seen_fraction": plain(epochs[-1].seen_ids / n) if n else None,
    }


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
