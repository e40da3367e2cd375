"""Pictures of a training run."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dhs.figures.style import note, skipped, styled

PANELS = {
    "loss": (lambda c: "loss" in c, "binary cross-entropy"),
    "AUROC": (lambda c: c.startswith("auroc") and not _bin(c) and "core" not in c, "AUROC"),
    "AUROC by θ_E, validation": (lambda c: c.startswith("auroc") and _bin(c), "AUROC"),
    "recall on validation": (lambda c: c.startswith(("tpr_fpr_", "tpr_survey_")), "true-positive rate"),
    "core masked, core swapped": (lambda c: "core" in c, "AUROC"),
    "negatives": (lambda c: c.startswith(("hard_negative_accuracy", "survey_accuracy")), "fraction below logit 0"),
    "gradient norm": (lambda c: c.startswith("grad_norm"), "norm [1]"),
    "learning rate": (lambda c: c == "lr", "learning rate [1]"),
    "throughput": (lambda c: c == "samples_per_s", "stamps [1/s]"),
    "pairs met": (lambda c: c == "seen_ids", "distinct ids an epoch"),
}


def _bin(column: str) -> bool:
    return "theta" in column


def _label(column: str) -> str:
    if _bin(column):
        return '{}-{}"'.format(*column.split("_")[-2:])
    if column.startswith("tpr_fpr_"):
        return f"FPR {column.removeprefix('tpr_fpr_')}"
    if column.startswith("tpr_survey_"):
        return f"FPR {column.removeprefix('tpr_survey_')}, survey-like"
    if column.startswith("survey_accuracy"):
        return f"survey-like {column.removeprefix('survey_accuracy').strip('_')}".strip()
    if column.startswith("hard_negative_accuracy"):
        return column.removeprefix("hard_negative_accuracy").strip("_").replace("_", " ") or "all kinds"
    return column.replace("_", " ").replace("auroc", "AUROC")


@styled
def training_curves(history: pd.DataFrame) -> Figure:
    """Every monitor of ``history.csv`` by epoch; a monitor of some epochs only is drawn at those, one with an
    interval (``*_low``, ``*_high``) with its band.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, with a column ``epoch``.
    """
    if not len(history):
        return skipped("history.csv has no epoch", "training")
    figure, axes = plt.subplots(5, 2, figsize=(7.6, 11.5))
    used = {"epoch"}
    epochs = history["epoch"] if "epoch" in history else np.arange(1, len(history) + 1)
    for axis, (title, (wanted, unit)) in zip(axes.flat, PANELS.items()):
        columns = [
            c for c in history.columns if c not in used and wanted(c) and pd.api.types.is_numeric_dtype(history[c])
        ]
        columns = [c for c in columns if history[c].notna().any()]
        used.update(columns)
        columns = [c for c in columns if not c.endswith(("_low", "_high"))]
        if not columns:
            note(axis, "not monitored", title)
            continue
        colours = sns.color_palette("viridis" if len(columns) > 4 else "colorblind", len(columns))
        for column, colour in zip(columns, colours, strict=True):
            known = history[column].notna()
            low, high = f"{column}_low", f"{column}_high"
            if {low, high} <= set(history.columns):
                axis.fill_between(epochs, history[low], history[high], color=colour, alpha=0.2, lw=0)
            axis.plot(epochs[known], history.loc[known, column], "o-", ms=2.5, color=colour, label=_label(column))
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.set(title=title, xlabel="epoch", ylabel=unit)
        if len(columns) > 5:
            axis.legend(fontsize=5.5, loc="upper right", ncols=2)
        else:
            axis.legend(fontsize=7)
    for axis in list(axes.flat)[len(PANELS) :]:
        axis.set_axis_off()
    return figure
