"""Pictures of what scores are worth: purity at prevalence, realism, causes of failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent
from dhs.figures.gates import figure_text
from dhs.figures.scores import PUBLISHED, draw_published
from dhs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    WIDTH,
    interval_text,
    note,
    number,
    plot_interval,
    says,
    skipped,
    stacked,
    styled,
)


@styled
def purity_curve(purity: Mapping) -> Figure:
    """Purity against completeness at a prevalence, threshold by threshold.

    Parameters
    ----------
    purity : mapping
        Of ``evaluation.json``: ``curve`` and ``prevalence``.
    """
    curve = purity.get("curve") or []
    if absent(purity) or not curve:
        return skipped(absent(purity) or "too few survey negatives for a curve")
    figure, axis = plt.subplots(figsize=(WIDTH, 3.9))
    x, y, low, high = (np.array([number(p[k]) for p in curve]) for k in ("completeness", "purity", "ci_low", "ci_high"))
    keep, prevalence = y > 0, purity["prevalence"]
    if not keep.any():
        return skipped("no threshold finds a lens")
    axis.fill_between(x[keep], np.maximum(low[keep], 1e-9), high[keep], color=BLUE, alpha=0.2, lw=0)
    axis.plot(x[keep], y[keep], "o-", color=BLUE, ms=3)
    axis.axhline(prevalence, color="#1a1a1a", lw=0.8, ls=":")
    right = x[keep].max()
    axis.text(
        right, prevalence * 1.1, f"a random draw: one in {1 / prevalence:,.0f}", ha="right", va="bottom", fontsize=9
    )
    best = int(np.argmax(np.where(keep, y, -1)))
    axis.annotate(
        f"one lens in {1 / y[best]:,.0f} candidates,\nfinding {100 * x[best]:.0f} % of them",
        (x[best], y[best]),
        (0.35, 0.9),
        textcoords="axes fraction",
        va="top",
        arrowprops={"arrowstyle": "-", "color": GREY},
    )
    places = [10.0**-k for k in range(6) if prevalence / 3 <= 10.0**-k <= 1.5]
    axis.set(yscale="log", xlim=(0, right * 1.06), ylim=(prevalence / 2, min(1.5, max(high[keep].max(), y[best] * 4))))
    axis.set_yticks(places, [f"1 in {round(1 / p):,}" for p in places])
    axis.minorticks_off()
    axis.set(xlabel="share of the injected lenses found", ylabel="lenses among the candidates")
    axis.grid(True)
    return says(
        figure,
        f"At best one candidate in {1 / y[best]:,.0f} is a lens, when {100 * x[best]:.0f} % of the injected lenses are "
        f"found; a random draw holds one in {1 / prevalence:,.0f}.",
    )


@styled
def realism_gap(realism: Mapping) -> Figure:
    """How well a linear probe tells real lenses from injections, and by what, beside the control on real stamps.

    Parameters
    ----------
    realism : mapping
        A report of `dhs.validation.realism.probe.compare`.
    """
    if absent(realism) or not realism.get("auc"):
        return skipped(absent(realism) or "not probed")
    rows = [(f"probe on {realism['features']} features", realism["auc"], BLUE)]
    rows += [(f"by {f['family']} alone", f, ORANGE) for f in realism["families"]]
    rows.append(("left after matching hosts", realism["left_after_matching"], GREY))
    control = realism["control"]
    if control.get("auc"):
        rows.append((f"control: {control['what'].replace('_', ' ')}", control["auc"], GREEN))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.4 * len(rows)))
    for i, (_, metric, colour) in enumerate(rows):
        plot_interval(axis, i, metric, color=colour)
    null = (realism.get("probe") or {}).get("null_95")
    if null is not None:
        axis.axvline(null, color=GREY, lw=0.8, ls="--", label="95 % of permutations lie below")
        axis.legend(fontsize=9, loc="lower right")
    axis.axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    axis.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axis.set(xlim=(0.25, 1.02), ylim=(len(rows) - 0.5, -0.5))
    axis.set_xlabel(f"AUC, 95 % interval by host ({realism['mode']})")
    return figure


@styled
def failure_causes(failures: Mapping) -> Figure:
    """How often an arc is missed with and without each cause, and how often each kind of negative passes.

    Parameters
    ----------
    failures : mapping
        Of ``evaluation.json``.
    """
    if absent(failures):
        return skipped(absent(failures))
    causes, kinds = failures["misses"]["causes"], failures["alarms"]["causes"]
    if not causes and not kinds:
        return skipped("no failure at this threshold")
    figure, (left, right) = stacked([1.1 + 0.36 * max(len(causes), 1), 1.1 + 0.36 * max(len(kinds), 1)])
    for i, cause in enumerate(causes):
        plot_interval(left, i - 0.12, cause["missed_with"], color=RED, label="with the cause" if i == 0 else None)
        plot_interval(left, i + 0.12, cause["missed_without"], color=BLUE, label="without" if i == 0 else None)
    if causes:
        left.set_yticks(range(len(causes)), [f"{c['cause']} ({c['n']})" for c in causes])
        left.set(ylim=(len(causes) - 0.5, -0.5), xlabel="share of arcs missed", title="Misses")
        left.legend(fontsize=9)
    else:
        note(left, "no arc is missed", "misses")
    for i, kind in enumerate(kinds):
        plot_interval(right, i, kind["rate"], color=ORANGE)
    right.set_yticks(range(len(kinds)), [f"{k['cause'].replace('_', ' ')} ({k['n']})" for k in kinds])
    right.set(ylim=(len(kinds) - 0.5, -0.5), xlabel="share above the threshold", title="False alarms")
    missed = "; ".join(f"{c['cause']} {c['n']}" for c in causes)
    passed = "; ".join(f"{k['cause'].replace('_', ' ')} {k['n']}" for k in kinds)
    return says(figure, f"Arcs missed by cause: {missed or 'none'}. False alarms by kind: {passed or 'none'}.")


@styled
def coverage(rows: Sequence[Mapping]) -> Figure:
    """How often simulated 95 % intervals hold the truth: every kind of interval, by number of hosts and sources.

    Parameters
    ----------
    rows : sequence of mapping
        Of `dhs.book.studies.interval_coverage.table`. A cell without a number is one for which no interval is given, or
        that was not simulated.
    """
    designs = sorted({(r["hosts"], r["sources"], r["weak_source"]) for r in rows})
    names = list(dict.fromkeys(r["statistic"] for r in rows))
    share = np.full((len(names), len(designs)), np.nan)
    for r in rows:
        share[names.index(r["statistic"]), designs.index((r["hosts"], r["sources"], r["weak_source"]))] = r["covered"]
    figure, axis = plt.subplots(figsize=(1.5 + 0.62 * len(designs), 1.2 + 0.27 * len(names)))
    axis.imshow(np.clip(share - 0.95, -0.08, 0.08), cmap="PuOr", vmin=-0.08, vmax=0.08, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        outside = np.isfinite(value) and not 0.93 <= value <= 0.97
        word = f"{value:.3f}".removeprefix("0") if np.isfinite(value) else ""
        axis.text(j, i, word, ha="center", va="center", fontsize=9, weight="bold" if outside else "normal")
    axis.set_xticks(range(len(designs)), [f"{h:g}\n{s:g}" + ("\nweak" if w else "") for h, s, w in designs], fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlabel="hosts, sources", title="share that holds the truth (bold: outside 0.93 to 0.97)")
    return figure


def fixes(failures: Mapping):
    """Table of causes and what would help: ``cause, failures, share, what would help``.

    Parameters
    ----------
    failures : mapping
        Of ``evaluation.json``.
    """
    if absent(failures):
        return skipped(absent(failures))
    rows = [
        ("missed: " + c["cause"], c["n"], c["missed_with"]["value"], c["fix"]) for c in failures["misses"]["causes"]
    ]
    rows += [
        ("passed: " + k["cause"], k["n"], k["rate"]["value"], k["fix"]) for k in failures["alarms"]["causes"] if k["n"]
    ]
    table = pd.DataFrame(rows, columns=["cause", "failures", "share of such stamps", "what would help"])
    table["share of such stamps"] = [figure_text(v) for v in table["share of such stamps"]]
    return table.style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})


@styled
def real_recall(real: Mapping) -> Figure:
    """Recall on real lenses against the false-positive rate on survey negatives, beside published points.

    Parameters
    ----------
    real : mapping
        ``real_lenses.json``: ``recall_at_fpr``, with exact intervals.
    """
    entries = [] if absent(real) else real.get("recall_at_fpr") or []
    if not entries:
        return skipped(absent(real) or "no evaluation set a threshold")
    figure, axis = plt.subplots(figsize=(WIDTH, 4.6))
    for i, entry in enumerate(entries):
        label = f"this network, {entry['recall']['n']} real stamps, exact 95 %" if i == 0 else None
        plot_interval(axis, entry["fpr"], entry["recall"], horizontal=False, color=PURPLE, label=label)
    draw_published(axis)
    low = 0.5 * min([e["fpr"] for e in entries] + [p[1] for p in PUBLISHED])
    axis.set(xscale="log", xlim=(low, 1), ylim=(-0.02, 1.02))
    axis.set(xlabel="false-positive rate on survey negatives", ylabel="recall on real lenses")
    axis.grid(True)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    said = "; ".join(f"{interval_text(e['recall'])} at {e['fpr']:.2g}" for e in entries)
    return says(figure, f"Recall on {entries[0]['recall']['n']} real stamps by false-positive rate: {said}.")


def missed_lenses(real: Mapping):
    """Table of the real lenses below the threshold and what about them was hard or new.

    Parameters
    ----------
    real : mapping
        ``real_lenses.json``.
    """
    misses = real.get("misses") or {"status": "skip", "reason": real.get("reason") or "no real stamp was scored"}
    if misses.get("status") == "skip":
        return skipped(misses["reason"])
    rows = [(e["host_id"], e.get("name") or "", f"{e['logit']:z.1f}", "; ".join(e["why"])) for e in misses["stamps"]]
    table = pd.DataFrame(rows, columns=["stamp", "name", "logit", "what is known"])
    return (
        table.style.format(escape="html")
        .hide(axis="index")
        .set_properties(**{"text-align": "left", "white-space": "normal"})
    )


def lens_list(about: Mapping | str):
    """Table of how the list of real lenses is built from the catalogues at hand: rows dropped by each rule.

    Parameters
    ----------
    about : mapping or str
        Of `dhs.book.results.lens_list_counts`; a string says why there is none.
    """
    if isinstance(about, str):
        return skipped(about)
    rows = [(f"dropped: {reason}", n) for reason, n in sorted(about["dropped"].items(), key=lambda e: -e[1])]
    rows += [("kept", about["n"]), ("kept, in a spectroscopic follow-up", about["n_spectroscopic"])]
    table = pd.DataFrame(rows, columns=[f"rules, version {about['rules_version']}", "rows"])
    return table.style.hide(axis="index").set_properties(**{"text-align": "left"})
