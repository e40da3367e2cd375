"""Numbers of a training and of the ablations as they stand in prose."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dhs.figures.numbers import costs
from dhs.figures.numbers.words import number, short

ABLATIONS = {
    "unpaired": "controls of other galaxies instead",
    "no_hard_negatives": "no hard negatives",
    "no_core_dropout": "no core dropout",
    "scaled_core_dropout": "a dropout radius scaled with Einstein radius and PSF, filled from the control",
    "raw_and_residual": "residual channels added",
    "sersic_sources": "Sérsic discs instead of real sources",
    "seed_augmentation": "free rotation instead of quarter turns",
    "pretrained": "pretrained weights",
}
MORE_ABLATIONS = {
    "deeplens": "CMU DeepLens instead",
    "seed_clip": "hard clips instead of asinh",
    "seed_annulus": "no floor under the annulus's noise",
    "four_negatives": "four negatives to a positive",
    "elliptical_residual": "elliptical isophotes instead of round rings",
    "replaced_conv1": "a new first layer",
}
SETTINGS = ("arch", "channels", "batch_size", "lr", "weight_decay", "hard_negative_ratio", "core_dropout_prob")
MEASURED = ("epochs", "best_epoch", "best_val_auroc", "last_train_loss", "last_val_loss", "lookalike_accuracy")
ARCHITECTURES = {"resnet18": "A ResNet-18", "deeplens": "CMU DeepLens", "small": "A small residual network"}
OVERFITTED = 0.3
"""Validation loss less training loss from which the sign-off calls a network overfitted."""


def training(record: Mapping) -> dict[str, str]:
    """All keys of a training.

    Parameters
    ----------
    record : mapping
        ``history`` and ``ablation`` (DataFrames), ``config`` (``config.yaml``) and ``benchmark`` (as stored); each may
        be left out.
    """
    history, config = record.get("history"), record.get("config") or {}
    section = (config.get("profile") or {}).get("train") or {}
    out = dict.fromkeys((*MEASURED, "says_network", "says_gap", "says_lookalikes"), "")
    out["weights"] = str((config.get("resolved") or {}).get("weights", ""))
    out |= {name: str(section.get(name, "")) for name in SETTINGS}
    if history is not None and len(history):
        last = history.iloc[-1]
        out |= {"epochs": number(len(history)), "says_gap": _gap(last)}
        out |= {f"last_{name}_loss": number(float(last[f"loss_{name}"])) for name in ("train", "val")}
        if history["auroc_val"].notna().any():
            best = history.loc[_best(history, section.get("monitor"))]
            out["best_epoch"] = number(int(best["epoch"]))
            ends = {k: float(best[f"auroc_val_{end}"]) for k, end in (("ci_low", "low"), ("ci_high", "high"))}
            ends = {k: v for k, v in ends.items() if math.isfinite(v)}
            out["best_val_auroc"] = short({"value": float(best["auroc_val"])} | ends)
        out |= _lookalikes(history)
        out["says_network"] = _network(out, history)
    return out | costs.training(record.get("benchmark") or {}) | _ablation(record.get("ablation"))


def _network(known: Mapping, history) -> str:
    """What was trained, in one sentence."""
    arch = ARCHITECTURES.get(known["arch"], f"The network {known['arch']}")
    weights = "without pretrained weights" if known["weights"] in ("random", "never", "") else "with pretrained weights"
    said = f"{arch} {weights} saw "
    met = history["seen_ids"].iloc[-1] if "seen_ids" in history and history["seen_ids"].notna().iloc[-1] else None
    said += f"the {number(int(met))} training pairs" if met is not None else "the training pairs"
    return said + f" {len(history)} times."


def _gap(last) -> str:
    """What the distance of the two losses means."""
    gap = float(last["loss_val"] - last["loss_train"])
    if not math.isfinite(gap):
        return ""
    if gap > OVERFITTED:
        return (
            "At the last epoch the validation loss lies far above the training loss: the network has learnt its pairs."
        )
    if gap > 0:
        return (
            "At the last epoch the validation loss lies a little above the training loss: overfitting has hardly begun."
        )
    return (
        "At the last epoch the validation loss lies below the training loss, which is that of harder stamps, with "
        "look-alikes and dropped cores: no overfitting at this size."
    )


def _lookalikes(history) -> dict[str, str]:
    """Accuracy on hard negatives, and which way it went."""
    column = history.get("hard_negative_accuracy")
    column = column[column.notna()] if column is not None else ()
    if not len(column):
        return {}
    first, last = float(column.iloc[0]), float(column.iloc[-1])
    said = f"Of look-alikes in the validation split {100 * last:.0f} of 100 are called no lens at the last epoch"
    if len(column) > 1 and abs(first - last) > 0.1:
        said += f", {100 * first:.0f} at the first: it {'fell' if last < first else 'rose'} as training went on"
    tail = ". The AUROC against twins does not show it." if last < 0.5 else "."
    return {"lookalike_accuracy": f"{100 * last:.0f} of 100", "says_lookalikes": said + tail}


def _best(history, monitor: str | None) -> int:
    """Index of the epoch that the run kept: the one its monitor chose."""
    column = history[monitor if monitor in history else "auroc_val"]
    return column.idxmin() if monitor == "loss_val" else column.idxmax()


def _ablation(table) -> dict[str, str]:
    """AUROC difference of each variant of the full plan; ``table`` is a DataFrame or None."""
    out, not_told = {}, []
    for name, what in (ABLATIONS | MORE_ABLATIONS).items():
        rows = (
            [] if table is None else table[(table["variant"] == name) & (table["metric"] == "auroc")].to_dict("records")
        )
        if not rows or not math.isfinite(rows[0]["difference"]):
            not_told.append(name)
            out |= {f"ablation_{name}": "", f"ablation_{name}_says": ""}
            continue
        row = rows[0]
        metric = {"value": row["difference"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
        seeds = ", ".join(f"{d:+.3f}" for d in row["difference_by_seed"])
        out[f"ablation_{name}"] = f"AUROC {short(metric, True)}; by seed {seeds}"
        out[f"ablation_{name}_says"] = f"Measured: {what} changes the AUROC by {short(metric, True)}."
    total = len(ABLATIONS) + len(MORE_ABLATIONS)
    out["ablation_measured"] = f"{total - len(not_told) or 'none'} of {total}"
    return out
