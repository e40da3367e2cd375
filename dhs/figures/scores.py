"""Pictures of scores: rates, strata, calibration, completeness, the core counterfactuals, galleries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.metrics import roc_curve

from dhs.artefacts.parts import absent
from dhs.figures.gates import axis_name, interval_name
from dhs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    note,
    number,
    picture,
    plot_interval,
    skipped,
    styled,
)

CORE_SWAPS = {
    "auroc": "core from the control",
    "auroc_placebo": "core from another draw of the noise",
    "auroc_outer": "all but the core from the control",
}
NEGATIVES = {
    "control": ("paired controls", BLUE),
    "hard_negative": ("hard negatives (look-alikes)", ORANGE),
    "survey_negative": ("survey negatives", GREEN),
}

MIN_EXPECTED = 10  # false positives below which a curve is dotted: too few to quote a rate

PUBLISHED = (
    ("HOLISMOKES XV, other data", 1e-4, 0.45, "v"),
    ("HOLISMOKES XVI, other data, real lenses", 1e-4, 0.75, "^"),
    ("Balaji & Johnson 2026, other data, real lenses", 1e-3, 0.795, "D"),
)
"""Recall at a false-positive rate as published, on other lenses and other negatives: arXiv:2411.18694, 2503.07733."""


def draw_published(axis: Axes) -> None:
    """`PUBLISHED` as open symbols, each marked as other data."""
    for label, fpr, recall, marker in PUBLISHED:
        axis.plot([fpr], [recall], marker, mfc="none", color=GREY, ms=6, ls="none", label=label)


def _frame(scores, split: str | None = "test"):
    frame = scores.to_pandas() if hasattr(scores, "to_pandas") else scores
    return frame[frame["split"] == split] if split and "split" in frame and (frame["split"] == split).any() else frame


@styled
def rates(scores, evaluation: Mapping, split: str = "test") -> Figure:
    """True-positive rate against false-positive rate, one curve a kind of negative, the tabled rates on top.

    Parameters
    ----------
    scores : pyarrow.Table or DataFrame
        ``scores.parquet``.
    evaluation : mapping
        ``evaluation.json``; of it ``tpr_at_fpr``.
    split : str
    """
    frame = _frame(scores, split)
    positive = frame.loc[frame["kind"] == "positive", "logit"].to_numpy()
    if not len(positive):
        return skipped("no scored positive", "TPR against FPR")
    figure, axis = plt.subplots(figsize=(8, 4))
    smallest = 1.0
    for kind, (label, colour) in NEGATIVES.items():
        negative = frame.loc[frame["kind"].str.startswith(kind), "logit"].to_numpy()
        if not len(negative):
            continue
        truth = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
        fpr, tpr, _ = roc_curve(truth, np.r_[positive, negative], drop_intermediate=False)
        few = MIN_EXPECTED / len(negative)
        for part, style in ((fpr >= few, "-"), ((fpr > 0) & (fpr <= fpr[np.searchsorted(fpr, min(few, 1.0))]), ":")):
            name = f"{label}, n = {len(negative)}" if style == "-" else None
            axis.plot(fpr[part], tpr[part], style, color=colour, label=name)
        smallest = min(smallest, 1 / len(negative))
    for i, entry in enumerate(evaluation.get("tpr_at_fpr") or []):
        label = "tabled, 95 %" if i == 0 else None
        plot_interval(axis, entry["fpr"], entry["tpr"], horizontal=False, color="#1a1a1a", ms=4, label=label)
    draw_published(axis)
    smallest = min(smallest, 0.7 * min(p[1] for p in PUBLISHED))
    grid = np.geomspace(smallest, 1, 100)
    axis.plot(grid, grid, ":", color=GREY, lw=1, label="chance")
    axis.set(
        xscale="log",
        xlim=(smallest, 1),
        ylim=(-0.02, 1.02),
        xlabel="false-positive rate",
        ylabel="true-positive rate",
    )
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    return figure


@styled
def score_distributions(scores, split: str = "test") -> Figure:
    """Distribution of the logit by kind of stamp.

    Parameters
    ----------
    scores : pyarrow.Table or DataFrame
    split : str
    """
    frame = _frame(scores, split)
    kinds = {"positive": ("positives", RED)} | NEGATIVES | {"real_lens": ("real lens candidates", PURPLE)}
    figure, axis = plt.subplots(figsize=(6.4, 2.8))
    everything = scores.to_pandas() if hasattr(scores, "to_pandas") else scores
    logits = everything["logit"].to_numpy(dtype=float)
    logits = logits[np.isfinite(logits)]
    if not len(logits):
        return skipped("no score", "scores by kind")
    edges = np.linspace(*np.quantile(logits, [0.001, 0.999]), 40) if np.ptp(logits) else np.array([-1, 1]) + logits[0]
    for kind, (label, colour) in kinds.items():
        source = everything if kind == "real_lens" else frame
        values = source.loc[source["kind"].str.startswith(kind), "logit"].to_numpy(dtype=float)
        if kind == "real_lens":
            for value in values:
                axis.axvline(value, color=colour, lw=1, ls="--", ymax=0.25)
            if len(values):
                axis.plot([], [], "--", color=colour, lw=1, label=f"{label}, n = {len(values)}")
        elif len(values):
            drawn = np.clip(values, edges[0], edges[-1])
            named = f"{label}, n = {len(values)}"
            axis.hist(drawn, edges, density=True, histtype="step", color=colour, lw=1.5, label=named)
    axis.set(xlabel="logit [1]", ylabel="density")
    axis.legend(fontsize=7)
    return figure


@styled
def strata(evaluation: Mapping) -> Figure:
    """AUROC, and recall at the smallest supported rate, by theta_E, both SNRs, PSF, depth and host magnitude.

    Parameters
    ----------
    evaluation : mapping
        ``evaluation.json``: ``auroc``, ``tpr_at_fpr`` and ``strata``, a list of bins (``lo, hi``, a metric, ``recall``)
        a stratifier.
    """
    groups = {name: entries for name, entries in (evaluation.get("strata") or {}).items() if entries}
    if not groups:
        return skipped("no stratum holds enough rows", "AUROC by stratum")
    heights = [len(entries) for entries in groups.values()]
    size = (8.4, 0.9 + 0.3 * sum(heights) + 0.35 * len(groups))
    ratios = {"height_ratios": heights}
    figure, axes = plt.subplots(len(groups), 2, figsize=size, sharex="col", squeeze=False, gridspec_kw=ratios)
    rates = evaluation.get("tpr_at_fpr") or [{}]
    overall = [number((m or {}).get("value")) for m in (evaluation.get("auroc"), rates[-1].get("tpr"))]
    for row, (name, entries) in zip(axes, groups.items(), strict=True):
        found = [entries, [e["recall"] for e in entries]]
        for axis, metrics, whole, colour in zip(row, found, overall, (BLUE, GREEN)):
            for i, metric in enumerate(metrics):
                if metric.get("value") is None:
                    axis.text(0.5, i, " too few", va="center", fontsize=7, color="#606060")
                else:
                    plot_interval(axis, i, metric, color=colour)
            if np.isfinite(whole):
                axis.axvline(whole, color=ORANGE, lw=1)
            axis.set_yticks(range(len(entries)), [])
            axis.set_ylim(len(entries) - 0.5, -0.5)
        labels = [f"{interval_name(e)}  (n = {e['n']})" for e in entries]
        row[0].set_yticks(range(len(entries)), labels)
        row[0].axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
        row[0].set_title(axis_name(name))
    fpr = rates[-1].get("fpr")
    axes[-1, 0].set_xlabel("AUROC against controls (dotted: chance)")
    axes[-1, 1].set_xlabel("recall" if fpr is None else f"recall at a false-positive rate of {fpr:.2g}")
    axes[-1, 1].set_xlim(-0.02, 1.02)
    return figure


@styled
def reliability(calibration: Mapping) -> Figure:
    """Reliability diagram: as trained, after temperature scaling, and after isotonic regression.

    Parameters
    ----------
    calibration : mapping
        Of ``evaluation.json``; see `dhs.artefacts.evaluation.Calibration`.
    """
    if absent(calibration):
        return skipped(absent(calibration), "reliability diagram")
    figure, (axis, below) = plt.subplots(2, 1, figsize=(4.6, 4.8), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    axis.plot([0, 1], [0, 1], ":", color="#1a1a1a", lw=0.8)
    for key, colour, label, shift in (
        ("bins", BLUE, "as trained", 0),
        ("bins_calibrated", ORANGE, "temperature-scaled", 0.008),
        ("bins_isotonic", GREEN, "isotonic", 0.016),
    ):
        entries = calibration[key]
        for i, entry in enumerate(entries):
            metric = {"value": entry["observed"], "ci_low": entry["ci_low"], "ci_high": entry["ci_high"]}
            place, name = entry["predicted"] + shift, label if i == 0 else None
            plot_interval(axis, place, metric, horizontal=False, color=colour, label=name)
        below.plot([e["predicted"] for e in entries], [e["n"] for e in entries], "o-", color=colour, ms=3)
    axis.set(ylabel="fraction of positives", xlim=(-0.02, 1.04), ylim=(-0.02, 1.02))
    axis.legend()
    below.set(xlabel="predicted probability", ylabel="stamps", yscale="log")
    return figure


@styled
def completeness_map(completeness: Mapping) -> Figure:
    """Completeness over theta_E and matched SNR at a fixed threshold; each cell shows its value and n.

    Parameters
    ----------
    completeness : mapping
        Of ``evaluation.json``; see `dhs.artefacts.evaluation.Completeness`.
    """
    if absent(completeness):
        return skipped(absent(completeness), "completeness map")
    cells = completeness["cells"]
    first = [(c["theta_e_lo"], c["theta_e_hi"]) for c in cells]
    second = [(c["snr_lo"], c["snr_hi"]) for c in cells]
    columns, lines = sorted(set(first)), sorted(set(second))
    grid = np.full((len(lines), len(columns)), np.nan)
    figure, axis = plt.subplots(figsize=(1.8 + 0.95 * len(columns), 1.3 + 0.5 * len(lines)))
    texts = []
    for cell, a, b in zip(cells, first, second, strict=True):
        i, j = lines.index(b), columns.index(a)
        grid[i, j] = number(cell["value"])
        texts.append((j, i, f"{grid[i, j]:.2f}\nn={cell['n']}" if np.isfinite(grid[i, j]) else "n=0"))
    mesh = axis.imshow(grid, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=1)
    for j, i, text in texts:
        dark = np.isfinite(grid[i, j]) and grid[i, j] < 0.6
        axis.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "#1a1a1a")
    axis.set_xticks(range(len(columns)), [interval_name({"lo": a, "hi": b}) for a, b in columns])
    axis.set_yticks(range(len(lines)), [interval_name({"lo": a, "hi": b}) for a, b in lines])
    axis.set(xlabel="θ_E [arcsec]", ylabel="arc SNR, matched filter")
    figure.colorbar(mesh, label="completeness")
    return figure


@styled
def core_effect(scores, evaluation: Mapping, split: str = "test") -> Figure:
    """What the score loses when the core is taken away, and the AUROCs beside the unmasked one.

    Parameters
    ----------
    scores : pyarrow.Table or DataFrame
        ``scores.parquet`` with ``logit_core_masked``.
    evaluation : mapping
        ``evaluation.json``: ``auroc``, ``core_masked``, ``core_swap``.
    split : str
    """
    frame = _frame(scores, split)
    masked = frame[(frame["kind"] == "positive") & frame["logit_core_masked"].notna()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4))
    if len(masked):
        points = left.scatter(
            masked["logit"],
            masked["logit_core_masked"],
            s=6,
            c=masked["theta_e_arcsec"],
            cmap="viridis",
            rasterized=True,
        )
        ends = [masked["logit"].min(), masked["logit"].max()]
        left.plot(ends, ends, ":", color="#1a1a1a", lw=0.8)
        left.set(xlabel="logit [1]", ylabel="logit, core masked [1]", title="positives")
        figure.colorbar(points, ax=left, label="θ_E [arcsec]")
    else:
        note(left, "no core-masked score", "positives")
    found = {"whole stamp": evaluation.get("auroc")}
    for name, shown in (("core_masked", {"auroc": "core masked"}), ("core_swap", CORE_SWAPS)):
        section = evaluation.get(name)
        found |= {} if absent(section) else {text: section[key] for key, text in shown.items()}
    found = {name: metric for name, metric in found.items() if metric and metric["value"] is not None}
    if found:
        for i, metric in enumerate(found.values()):
            plot_interval(right, i, metric, color=BLUE if i == 0 else ORANGE)
        right.set_yticks(range(len(found)), list(found))
        right.set_ylim(len(found) - 0.5, -0.5)
        right.axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
        right.set_xlabel("AUROC, 95 % interval by host")
    else:
        note(right, absent(evaluation.get("core_masked")) or "no core-masked AUROC", "AUROC")
    return figure


@styled
def gallery(stamps: np.ndarray, titles: Sequence[str], label: str = "", columns: int = 6) -> Figure:
    """Stamps with one line of text each: failures, or real lenses with score and rank.

    Parameters
    ----------
    stamps : ndarray, (n, 3, y, x)
        Nanomaggies.
    titles : sequence of str
    label : str
        What is shown.
    columns : int
    """
    if not len(stamps):
        return skipped("none to show", label)
    columns = min(columns, len(stamps))
    lines = -(-len(stamps) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(1.5 * columns, 1.72 * lines + 0.2), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (axis, image, title) in enumerate(zip(axes.flat, stamps, titles)):
        picture(axis, np.asarray(image), title, scale_bar=3 if i == 0 else None)
    figure.suptitle(label, x=0.01, ha="left", fontsize=9)
    return figure


@styled
def real_lens_scores(table, reference, label: str = "survey negatives") -> Figure:
    """Where each real stamp falls among the scores of the negatives.

    Parameters
    ----------
    table : DataFrame
        Rows of ``scores.parquet`` of kind ``real_lens`` or ``real_negative``.
    reference : ndarray, (n,)
        Logits of the negatives compared with.
    label : str
        Of the negatives.
    """
    if not len(table) or not len(reference):
        return skipped("no real stamp was scored" if not len(table) else f"no {label} were scored", "real lenses")
    table = table.sort_values("logit")
    figure, axis = plt.subplots(figsize=(6.4, 1.2 + 0.26 * len(table)))
    reference = np.sort(np.asarray(reference, dtype=float))
    exceed = 1 - np.searchsorted(reference, table["logit"], side="left") / len(reference)
    colours = [PURPLE if kind == "real_lens" else GREY for kind in table["kind"]]
    axis.hlines(range(len(table)), 0, expit(table["logit"]), color=colours, lw=2)
    axis.scatter(expit(table["logit"]), range(len(table)), color=colours, zorder=3)
    names = table["host_id"].astype(str).str.slice(0, 28)
    axis.set_yticks(range(len(table)), [f"{n}  (FPR {e:.3g})" for n, e in zip(names, exceed, strict=True)])
    axis.axvline(expit(np.quantile(reference, 0.99)), color=ORANGE, lw=1, label=f"99th percentile of {label}")
    axis.set(xlabel="sigmoid of the logit (not calibrated)", xlim=(0, 1))
    axis.legend(loc="lower right")
    return figure
