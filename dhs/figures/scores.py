"""Pictures of scores: rates, strata, calibration, completeness, the core counterfactuals, galleries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
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
    WIDTH,
    interval_text,
    kind_name,
    number,
    picture,
    plot_interval,
    says,
    signed,
    skipped,
    stacked,
    styled,
)

CORE_SWAPS = {
    "auroc": "core of the twin",
    "auroc_placebo": "core of another noise draw",
    "auroc_outer": "all but the core of the twin",
}
NEGATIVES = {
    "control": ("twins", BLUE),
    "hard_negative": ("look-alikes", ORANGE),
    "survey_negative": ("survey negatives", GREEN),
}

MIN_EXPECTED = 10  # false positives below which a curve is dotted: too few to quote a rate

PUBLISHED = (
    ("HOLISMOKES XV, other data", 1e-4, 0.45, "v"),
    ("HOLISMOKES XVI, other data, real", 1e-4, 0.75, "^"),
    ("Balaji & Johnson 2026, other data, real", 1e-3, 0.795, "D"),
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
        return skipped("no scored positive")
    figure, axis = plt.subplots(figsize=(WIDTH, 5.2))
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
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    tabled = [e for e in evaluation.get("tpr_at_fpr") or [] if e["tpr"].get("value") is not None]
    said = "; ".join(f"{interval_text(e['tpr'])} at {e['fpr']:.2g}" for e in tabled)
    return says(figure, f"Recall by false-positive rate on survey negatives: {said or 'no rate is supported'}.")


@styled
def score_distributions(scores, evaluation: Mapping | None = None, ratio: float | None = None, split: str = "test"):
    """Logits by kind of stamp, a row each: median and middle half, with the threshold of the smallest rate.

    Parameters
    ----------
    scores : pyarrow.Table or DataFrame
    evaluation : mapping, optional
        ``evaluation.json``; of it the threshold of the smallest supported false-positive rate.
    ratio : float, optional
        Share of look-alikes among the training negatives: a network that sees added light and no arcs answers
        ln(1 / ratio).
    split : str
    """
    frame = _frame(scores, split)
    everything = scores.to_pandas() if hasattr(scores, "to_pandas") else scores
    rows = [("lenses", frame.loc[frame["kind"] == "positive", "logit"], BLUE)]
    hard = frame[frame["kind"].str.startswith("hard_negative")]
    rows += sorted(
        ((kind_name(k), part["logit"], ORANGE) for k, part in hard.groupby("kind")), key=lambda r: -r[1].median()
    )
    rows += [("survey galaxies", frame.loc[frame["kind"].str.startswith("survey_negative"), "logit"], GREEN)]
    rows += [("twins", frame.loc[frame["kind"] == "control", "logit"], GREY)]
    rows += [("real lenses", everything.loc[everything["kind"].str.startswith("real_lens"), "logit"], PURPLE)]
    rows = [(n, v.to_numpy(float)[np.isfinite(v.to_numpy(float))], c) for n, v, c in rows]
    rows = [r for r in rows if len(r[1])]
    if not rows:
        return skipped("no score")
    figure, axis = plt.subplots(figsize=(WIDTH, 1.5 + 0.42 * len(rows)))
    shape = {"vert": False} if tuple(map(int, matplotlib.__version__.split(".")[:2])) < (3, 10) else {}
    shape = shape or {"orientation": "horizontal"}
    for i, (_, values, colour) in enumerate(rows):
        if len(values) > 1 and np.ptp(values) > 0:
            body = axis.violinplot([values], [i], widths=0.85, showextrema=False, **shape)["bodies"][0]
            body.set(facecolor=colour, alpha=0.4)
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        axis.plot([low, high], [i, i], color=colour, lw=3, solid_capstyle="butt")
        axis.plot(middle, i, "o", color="white", mec=colour, ms=6)
    axis.set_yticks(range(len(rows)), [f"{name} ({len(v):,})" for name, v, _ in rows])
    axis.set(ylim=(len(rows) - 0.4, -0.6), xlabel="logit")
    points = [
        p for p in (evaluation or {}).get("tpr_at_fpr") or [] if (p.get("threshold") or {}).get("value") is not None
    ]
    if points:
        lowest = min(points, key=lambda p: p["fpr"])
        label = f"threshold at a false-positive rate of {lowest['fpr']:.2g}"
        axis.axvline(lowest["threshold"]["value"], color="#1a1a1a", lw=1, ls="--", label=label)
    if ratio:
        label = f"ln(1/{ratio:g}): where added light alone ends"
        axis.axvline(-np.log(ratio), color=RED, lw=1, ls=":", label=label)
    if points or ratio:
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1))
    said = "; ".join(f"{name} {signed(np.median(v))}" for name, v, _ in rows)
    return says(figure, f"Median logit: {said}.")


SHOWN_STRATA = ("arc_snr_matched", "theta_e_arcsec", "host_mag_r")


@styled
def strata(evaluation: Mapping) -> Figure:
    """AUROC, and recall at the smallest supported rate, by SNR, theta_E and host magnitude: what matters most.

    Parameters
    ----------
    evaluation : mapping
        ``evaluation.json``: ``auroc``, ``tpr_at_fpr`` and ``strata``, a list of bins (``lo, hi``, a metric, ``recall``)
        a stratifier.
    """
    found = evaluation.get("strata") or {}
    groups = {name: found[name] for name in SHOWN_STRATA if found.get(name)}
    if not groups:
        return skipped("no stratum holds enough rows")
    heights = [0.55 + 0.24 * len(entries) for entries in groups.values()]
    figure, axes = plt.subplots(
        len(groups), 2, figsize=(WIDTH, 0.6 + sum(heights)), sharex="col", squeeze=False, height_ratios=heights
    )
    rates = evaluation.get("tpr_at_fpr") or [{}]
    overall = [number((m or {}).get("value")) for m in (evaluation.get("auroc"), rates[-1].get("tpr"))]
    for row, (name, entries) in zip(axes, groups.items(), strict=True):
        found = [entries, [e["recall"] for e in entries]]
        for axis, metrics, whole, colour in zip(row, found, overall, (BLUE, GREEN)):
            for i, metric in enumerate(metrics):
                if metric.get("value") is not None:
                    plot_interval(axis, i, metric, color=colour)
            if np.isfinite(whole):
                axis.axvline(whole, color=ORANGE, lw=1)
            axis.set_yticks(range(len(entries)), [])
            axis.set_ylim(len(entries) - 0.5, -0.5)
        labels = [interval_name(e) + ("" if e.get("value") is not None else " (too few)") for e in entries]
        row[0].set_yticks(range(len(entries)), labels)
        row[0].axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
        row[0].set_title(axis_name(name))
    fpr = rates[-1].get("fpr")
    axes[-1, 0].set_xlabel("AUROC against twins")
    axes[-1, 1].set_xlabel("recall" if fpr is None else f"recall at rate {fpr:.2g}")
    axes[-1, 1].set_xlim(-0.02, None)
    said = "; ".join(
        f"{axis_name(name)}: "
        + ", ".join(f"{interval_name(e)} {e['value']:.2f}" for e in entries if e["value"] is not None)
        for name, entries in groups.items()
    )
    return says(figure, f"AUROC against twins by stratum. {said}.")


@styled
def reliability(calibration: Mapping) -> Figure:
    """Reliability diagram: as trained, and after temperature scaling.

    Parameters
    ----------
    calibration : mapping
        Of ``evaluation.json``; see `dhs.artefacts.evaluation.Calibration`.
    """
    if absent(calibration):
        return skipped(absent(calibration))
    figure, (axis, below) = stacked([3.6, 1.4], sharex=True)
    axis.plot([0, 1], [0, 1], ":", color="#1a1a1a", lw=0.8)
    for key, colour, label, shift in (("bins", BLUE, "as trained", 0), ("bins_calibrated", ORANGE, "scaled", 0.008)):
        entries = calibration[key]
        for i, entry in enumerate(entries):
            metric = {"value": entry["observed"], "ci_low": entry["ci_low"], "ci_high": entry["ci_high"]}
            place, name = entry["predicted"] + shift, label if i == 0 else None
            plot_interval(axis, place, metric, horizontal=False, color=colour, label=name)
        below.plot([e["predicted"] for e in entries], [e["n"] for e in entries], "o-", color=colour, ms=3)
    axis.set(ylabel="share that are lenses", xlim=(-0.02, 1.04), ylim=(-0.02, 1.02))
    axis.legend()
    below.set(xlabel="predicted probability", ylabel="stamps", ylim=(0, None))
    said = ", ".join(
        f"{e['predicted']:.2f} promised and {e['observed']:.2f} found" for e in calibration["bins_calibrated"]
    )
    return says(figure, f"Reliability after temperature scaling: {said}.")


@styled
def completeness_map(completeness: Mapping) -> Figure:
    """Completeness over theta_E and matched SNR at a fixed threshold; each cell shows its value and n.

    Parameters
    ----------
    completeness : mapping
        Of ``evaluation.json``; see `dhs.artefacts.evaluation.Completeness`.
    """
    if absent(completeness):
        return skipped(absent(completeness))
    cells = completeness["cells"]
    first = [(c["theta_e_lo"], c["theta_e_hi"]) for c in cells]
    second = [(c["snr_lo"], c["snr_hi"]) for c in cells]
    columns, lines = sorted(set(first)), sorted(set(second))
    grid = np.full((len(lines), len(columns)), np.nan)
    figure, axis = plt.subplots(figsize=(WIDTH, 1.4 + 0.55 * len(lines)))
    texts = []
    for cell, a, b in zip(cells, first, second, strict=True):
        i, j = lines.index(b), columns.index(a)
        grid[i, j] = number(cell["value"])
        texts.append((j, i, f"{grid[i, j]:.2f}\nn={cell['n']}" if np.isfinite(grid[i, j]) else "n=0"))
    top = max(float(np.nanmax(grid, initial=0.0)), 0.1)
    axis.imshow(grid, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=top)
    for j, i, text in texts:
        dark = np.isfinite(grid[i, j]) and grid[i, j] < 0.6 * top
        axis.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else "#1a1a1a")
    axis.set_xticks(range(len(columns)), [interval_name({"lo": a, "hi": b}) for a, b in columns])
    axis.set_yticks(range(len(lines)), [interval_name({"lo": a, "hi": b}) for a, b in lines])
    axis.set(xlabel="Einstein radius [arcsec]", ylabel="matched SNR of the arc")
    best = max((c for c in cells if c["value"] is not None), key=lambda c: c["value"], default=None)
    alt = f"Share of arcs found over Einstein radius and signal-to-noise, {len(cells)} cells."
    if best:
        at = (f"{best[k]:g}" for k in ("theta_e_lo", "theta_e_hi", "snr_lo", "snr_hi"))
        alt += " Most are found at {} to {} arcsec and SNR {} to {}: {:.0f} %.".format(*at, 100 * best["value"])
    return says(figure, alt)


@styled
def core_effect(evaluation: Mapping) -> Figure:
    """AUROC of the whole stamp beside that of each counterfactual of its core.

    Parameters
    ----------
    evaluation : mapping
        ``evaluation.json``: ``auroc``, ``core_masked``, ``core_swap``.
    """
    found = {"whole stamp": evaluation.get("auroc")}
    for name, shown in (("core_masked", {"auroc": "core masked"}), ("core_swap", CORE_SWAPS)):
        section = evaluation.get(name)
        found |= {} if absent(section) else {text: section[key] for key, text in shown.items()}
    found = {name: metric for name, metric in found.items() if metric and metric["value"] is not None}
    if len(found) < 2:
        return skipped(absent(evaluation.get("core_masked")) or "no counterfactual of the core was scored")
    figure, axis = plt.subplots(figsize=(WIDTH, 1.0 + 0.32 * len(found)))
    for i, metric in enumerate(found.values()):
        plot_interval(axis, i, metric, color=BLUE if i == 0 else ORANGE)
    axis.set_yticks(range(len(found)), list(found))
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    axis.set_xlabel("AUROC against twins, 95 %")
    return says(figure, "AUROC: " + "; ".join(f"{n} {interval_text(m)}" for n, m in found.items()) + ".")


@styled
def gallery(stamps: np.ndarray, titles: Sequence[str], label: str = "", columns: int = 4) -> Figure:
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
        return skipped("none to show")
    columns = min(columns, len(stamps))
    lines = -(-len(stamps) // columns)
    side = WIDTH / columns
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, (side + 0.36) * lines + 0.25), squeeze=False)
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
        return skipped("no real stamp was scored" if not len(table) else f"no {label} were scored")
    table = table.sort_values("logit")
    figure, axis = plt.subplots(figsize=(WIDTH, 1.2 + 0.3 * len(table)))
    reference = np.sort(np.asarray(reference, dtype=float))
    exceed = 1 - np.searchsorted(reference, table["logit"], side="left") / len(reference)
    colours = [PURPLE if kind == "real_lens" else GREY for kind in table["kind"]]
    axis.hlines(range(len(table)), 0, expit(table["logit"]), color=colours, lw=2)
    axis.scatter(expit(table["logit"]), range(len(table)), color=colours, zorder=3)
    names = table["host_id"].astype(str).str.slice(0, 18)
    axis.set_yticks(range(len(table)), [f"{n}  (FPR {e:.3g})" for n, e in zip(names, exceed, strict=True)])
    axis.axvline(expit(np.quantile(reference, 0.99)), color=ORANGE, lw=1, label=f"99th percentile of {label}")
    axis.set(xlabel="sigmoid of the logit (not calibrated)", xlim=(0, 1))
    axis.legend(loc="lower right")
    return figure
