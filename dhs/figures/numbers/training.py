"""Numbers of a training and of the ablations as they stand in prose."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dhs.artefacts.parts import metric_text, text
from dhs.figures.numbers import costs

ABLATIONS = ("unpaired", "no_hard_negatives", "no_core_dropout", "scaled_core_dropout", "raw_and_residual")
ABLATIONS += ("sersic_sources", "seed_augmentation", "pretrained")
MORE_ABLATIONS = ("deeplens", "seed_clip", "seed_annulus", "four_negatives", "elliptical_residual", "replaced_conv1")
SETTINGS = ("arch", "channels", "batch_size", "lr", "weight_decay", "hard_negative_ratio", "core_dropout_prob")


def training(record: Mapping) -> dict[str, str]:
    """All keys of a training.

    Parameters
    ----------
    record : mapping
        ``history`` and ``ablation`` (DataFrames), ``config`` (``config.yaml``) and ``benchmark`` (as stored); each may
        be left out.
    """
    history, config = record.get("history"), record.get("config") or {}
    out = dict.fromkeys(("epochs", "best_epoch", "best_val_auroc", "last_train_loss", "last_val_loss"), "not measured")
    out["loss_gap"] = "not measured"
    if history is not None and len(history):
        last = history.iloc[-1]
        out |= {"epochs": text(len(history)), "loss_gap": text(float(last["loss_val"] - last["loss_train"]))}
        out |= {f"last_{name}_loss": text(float(last[f"loss_{name}"])) for name in ("train", "val")}
        if history["auroc_val"].notna().any():
            best = history.loc[_best(history, ((config.get("profile") or {}).get("train") or {}).get("monitor"))]
            out["best_epoch"] = text(int(best["epoch"]))
            ends = {k: float(best[f"auroc_val_{end}"]) for k, end in (("ci_low", "low"), ("ci_high", "high"))}
            ends = {k: v for k, v in ends.items() if math.isfinite(v)}
            out["best_val_auroc"] = metric_text({"value": float(best["auroc_val"])} | ends)
    out["weights"] = str((config.get("resolved") or {}).get("weights", "not recorded"))
    section = (config.get("profile") or {}).get("train") or {}
    out |= {name: str(section.get(name, "not recorded")) for name in SETTINGS}
    return out | costs.training(record.get("benchmark") or {}) | _ablation(record.get("ablation"))


def _best(history, monitor: str | None) -> int:
    """Index of the epoch that the run kept: the one its monitor chose."""
    column = history[monitor if monitor in history else "auroc_val"]
    return column.idxmin() if monitor == "loss_val" else column.idxmax()


def _ablation(table) -> dict[str, str]:
    """AUROC difference of each variant of the full plan; ``table`` is a DataFrame or None."""
    out = {}
    for name in (*ABLATIONS, *MORE_ABLATIONS):
        key = f"ablation_{name}"
        rows = (
            [] if table is None else table[(table["variant"] == name) & (table["metric"] == "auroc")].to_dict("records")
        )
        if not rows or not math.isfinite(rows[0]["difference"]):
            command = "dhs ablate" if name in ABLATIONS else "dhs ablate --plan full"
            out[key] = (rows and rows[0]["reason"]) or f"not measured in this run ({command})"
            continue
        row = rows[0]
        seeds = ", ".join(f"{d:+.3f}" for d in row["difference_by_seed"])
        interval = "no interval"
        if math.isfinite(row["ci_low"]):
            interval = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
        out[key] = f"AUROC {row['difference']:+.3f} ({interval}; by seed {seeds})"
    return out
