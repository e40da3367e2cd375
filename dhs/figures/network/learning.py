"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dhs.figures.style import BLUE, GREEN, ORANGE, RED, kind_name, plot_interval, says, skipped, stacked, styled

PANELS = {
    "Loss": (lambda c: c in ("loss_train", "loss_val"), "binary cross-entropy"),
    "AUROC": (lambda c: c.startswith("auroc") and not _bin(c), "AUROC"),
    "Look-alikes called no lens": (lambda c: c.startswith(("hard_negative_accuracy", "survey_accuracy")), "share"),
}


NAMES = {
    "loss_train": "training",
    "loss_val": "validation",
    "auroc_train": "training",
    "auroc_val": "validation",
    "auroc_core_masked": "core masked",
    "auroc_core_swap": "core swapped",
}


def _bin(column: str) -> bool:
    return "theta" in column


def _label(column: str) -> str:
    if column.startswith("survey_accuracy"):
        return f"survey-like {column.removeprefix('survey_accuracy').strip('_')}".strip()
    if column.startswith("hard_negative_accuracy"):
        kind = column.removeprefix("hard_negative_accuracy").strip("_")
        return kind_name(kind) if kind else "all kinds"
    return NAMES.get(column) or column.replace("_", " ").replace("auroc", "AUROC")


@styled
def training_curves(history: pd.DataFrame) -> Figure:
    """Loss, AUROC and how look-alikes fare, by epoch; a monitor of some epochs only is drawn at those, one with an
    interval (``*_low``, ``*_high``) with its band.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, with a column ``epoch``.
    """
    if not len(history):
        return skipped("history.csv has no epoch")
    epochs = history["epoch"] if "epoch" in history else np.arange(1, len(history) + 1)
    panels = {title: (_columns(history, wanted), unit) for title, (wanted, unit) in PANELS.items()}
    panels = {title: found for title, found in panels.items() if found[0]}
    if not panels:
        return skipped("history.csv has no monitor")
    figure, axes = stacked([2.4 + 0.2 * max(0, len(c) - 3) for c, _ in panels.values()], squeeze=False)
    for axis, (title, (columns, unit)) in zip(axes[:, 0], panels.items()):
        colours = sns.color_palette("colorblind", len(columns))
        for column, colour in zip(columns, colours, strict=True):
            known = history[column].notna()
            low, high = f"{column}_low", f"{column}_high"
            if {low, high} <= set(history.columns):
                axis.fill_between(epochs, history[low], history[high], color=colour, alpha=0.2, lw=0)
            whole = len(columns) > 4 and column == columns[0]
            width = 3 if whole else 1.5
            axis.plot(
                epochs[known], history.loc[known, column], "o-", ms=3, lw=width, color=colour, label=_label(column)
            )
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set(title=title, ylabel=unit)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1)
    axes[-1, 0].set_xlabel("epoch")
    said = []
    for title, (columns, _) in panels.items():
        for column in columns[:2]:
            known = history.loc[history[column].notna(), column]
            said.append(f"{title}, {_label(column)}: {known.iloc[0]:.2f} to {known.iloc[-1]:.2f}")
    return says(figure, "From the first epoch to the last. " + "; ".join(said) + ".")


def _columns(history: pd.DataFrame, wanted) -> list[str]:
    """Monitors of a panel that were written, without the ends of their intervals."""
    numeric = [c for c in history.columns if wanted(c) and pd.api.types.is_numeric_dtype(history[c])]
    return [c for c in numeric if history[c].notna().any() and not c.endswith(("_low", "_high"))]


@styled
def learning_curve(study: Mapping) -> Figure:
    """AUROC and recall against the number of training pairs: whether more of the same would help.

    Parameters
    ----------
    study : mapping
        What ``benchmarks/learning_curve.py`` stored: ``points``, each with ``pairs`` and metrics by name.
    """
    points = sorted(study.get("points") or (), key=lambda p: p["pairs"])
    drawn = {
        "auroc": ("AUROC against twins", BLUE),
        "auroc_survey": ("AUROC against survey galaxies", GREEN),
        "auroc_hard": ("AUROC against look-alikes", ORANGE),
        "recall": ("recall", RED),
    }
    series = {k: [p for p in points if _value(p.get(k)) is not None] for k in drawn}
    series = {k: found for k, found in series.items() if len(found) > 1}
    if not series:
        return skipped("not measured here: run benchmarks/learning_curve.py")
    panels = [[k for k in series if k != "recall"], [k for k in series if k == "recall"]]
    panels = [p for p in panels if p]
    figure, axes = stacked([3.0, 2.6][: len(panels)], squeeze=False)
    said = []
    for axis, names in zip(axes[:, 0], panels):
        for name in names:
            label, colour = drawn[name]
            for i, point in enumerate(series[name]):
                named = label if i == 0 else None
                plot_interval(axis, point["pairs"], point[name], horizontal=False, color=colour, label=named)
            axis.plot([p["pairs"] for p in series[name]], [_value(p[name]) for p in series[name]], color=colour, lw=1)
            first, last = series[name][0], series[name][-1]
            ends = (
                f"from {_value(first[name]):.2f} at {first['pairs']:,} to {_value(last[name]):.2f} at {last['pairs']:,}"
            )
            said.append(f"{label} {ends} pairs")
        ticks = sorted({p["pairs"] for name in names for p in series[name]})
        axis.set(xscale="log", ylabel="recall" if names == ["recall"] else "AUROC")
        axis.set_xticks(ticks, [f"{t:,}" for t in ticks])
        axis.minorticks_off()
        axis.legend(loc="best")
    axes[-1, 0].set_xlabel("training pairs")
    return says(figure, "; ".join(said) + ".")


def _value(metric) -> float | None:
    return metric.get("value") if isinstance(metric, Mapping) else None
