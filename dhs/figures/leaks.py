"""Networks trained on sets with a planted leak, and what the gates said: ``benchmarks/leaks.py``, drawn."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dhs.figures.gates import Html, table
from dhs.figures.style import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    WIDTH,
    interval_text,
    number,
    says,
    skipped,
    stacked,
    styled,
)

ABSENT = "not measured here: run benchmarks/leaks.py"
SHORT = {"residual_image": "residual image", "arc_core_fraction": "arc's flux", "hard_negative_texture": "texture"}
SHORT |= {"core_leakage": "core", "radial_profile_leakage": "radial profile", "normalisation": "sky"}
LOOKS = dict(zip(SHORT, zip((BLUE, GREEN, ORANGE, PURPLE, BROWN, GREY), "oDs^vP")))
FREE, UNKNOWN, COSTS = "#d6e6f2", "#eeeeee", "#f4cdbb"  # behind the marks: what a strength costs


def _kinds(measured: Mapping) -> dict[str, Mapping]:
    """Kinds of leak: first those that cost, in the order in which they lose most."""
    kinds = (measured.get("answer") or {}).get("kinds") or {}
    worst = {k: max(number(c["lost"]["value"]) for c in measured["cells"] if c["kind"] == k) for k in kinds}
    return {k: kinds[k] for k in sorted(kinds, key=lambda k: -worst[k])}


def _unit(measured: Mapping, kind: str) -> str:
    return (measured["leaks"].get(kind) or {}).get("unit", "1")


@styled
def leak_onsets(measured: Mapping) -> Figure:
    """For each kind of leak, over its strength: where each gate begins to fail, and where a network begins to lose.

    Parameters
    ----------
    measured : mapping
        What ``benchmarks/leaks.py`` wrote; empty where it was never run.
    """
    kinds = _kinds(measured)
    if not kinds or not measured.get("gates"):
        return skipped(ABSENT)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.62 * len(kinds) + 1.5))
    names = [n for n in SHORT if any(n in e["fails_from"] for e in kinds.values())]
    for row, entry in enumerate(kinds.values()):
        _bands(axis, row, entry)
        for lane, name in enumerate(names):
            first = entry["fails_from"].get(name)
            if first is not None:
                colour, marker = LOOKS[name]
                height = row - 0.3 + 0.6 * lane / max(len(names) - 1, 1)
                axis.plot(first, height, marker, color=colour, ms=5.5, mec="white", mew=0.4, zorder=3)
    labels = [f"{kind}\n[{_unit(measured, kind)}]" for kind in kinds]
    axis.set_yticks(range(len(kinds)), labels, fontsize=8.6)
    axis.set(xscale="log", xlabel="strength of the leak [unit beside its name]", ylim=(len(kinds) - 0.5, -0.5))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    handles: list[Artist] = [
        Line2D([], [], ls="", marker=LOOKS[n][1], color=LOOKS[n][0], label=SHORT[n]) for n in names
    ]
    what = {"costs nothing": FREE, "not known": UNKNOWN, "costs": COSTS}
    handles += [Patch(facecolor=c, label=w) for w, c in what.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.2, columnspacing=1.2)
    return says(figure, _onset_words(kinds))


def _bands(axis, row: int, entry: Mapping) -> None:
    """What a network loses at each strength, as colours; ticks are the strengths that networks were trained at."""
    least, most = min(entry["judged_at"]), max(entry["trained_at"])
    free = entry["costs_not_to"] if entry["costs_not_to"] is not None else least
    costs = entry["costs_from"] if entry["costs_from"] is not None else most
    for low, high, colour in ((least, free, FREE), (free, costs, UNKNOWN), (costs, 1.25 * most, COSTS)):
        if high > low and not (colour == COSTS and entry["costs_from"] is None):
            axis.barh(row, high - low, left=low, height=0.84, color=colour, zorder=1)
    axis.vlines(entry["trained_at"], row + 0.34, row + 0.42, color="#555555", lw=0.8, zorder=2)


def _onset_words(kinds: Mapping[str, Mapping]) -> str:
    said = []
    for kind, e in kinds.items():
        first = e["fails_from"]["any"]
        cost = "costs nothing at any strength tried"
        if e["costs_from"] is not None:
            cost = f"costs from {e['costs_from']:g}"
        elif e["costs_not_to"] != max(e["trained_at"]):
            cost = f"costs nothing up to {number(e['costs_not_to'], 0.0):g}, and beyond that is not known"
        said.append(f"{kind}: " + (f"a gate fails from {first:g}, it {cost}" if first else f"no gate fails, it {cost}"))
    return "Strengths by kind of leak. " + "; ".join(said) + "."


@styled
def leak_curves(measured: Mapping) -> Figure:
    """AUROC of trained networks by kind and strength of leak: on clean pairs, and on pairs with the leak.

    Parameters
    ----------
    measured : mapping
        As in `leak_onsets`.
    """
    kinds = _kinds(measured)
    if not kinds:
        return skipped(ABSENT)
    columns = min(2, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 1.45 * rows + 0.5), squeeze=False, sharey=True, layout="constrained"
    )
    base = number(measured["clean"]["auroc"]["value"])
    for axis, kind in zip(axes.flat, kinds):
        cells = sorted((c for c in measured["cells"] if c["kind"] == kind), key=lambda c: c["strength"])
        for name, colour, line in (("auroc_leaked", ORANGE, "s--"), ("auroc_clean", BLUE, "o-")):
            x, y = [c["strength"] for c in cells], [number(c[name]["value"]) for c in cells]
            axis.plot(x, y, line, color=colour, ms=4)
        low, high = (np.array([base - number(c["lost"][k], np.nan) for c in cells]) for k in ("ci_high", "ci_low"))
        axis.fill_between(x, np.clip(low, 0, 1), np.clip(high, 0, 1), color=BLUE, alpha=0.2, lw=0)
        axis.axhline(base, color=GREY, lw=0.8)
        axis.set(xscale="log", title=kind, ylim=(0.45, 1.02), xlabel=_unit(measured, kind))
        axis.set_xticks(x, [f"{v:g}" for v in x])
        axis.set_xticks([], minor=True)
        axis.xaxis.labelpad = 0
    for axis in axes.flat[len(kinds) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("AUROC")
    handles = [
        Line2D([], [], color=BLUE, marker="o", label="clean test pairs"),
        Line2D([], [], color=ORANGE, marker="s", ls="--", label="test with the leak"),
        Line2D([], [], color=GREY, lw=0.8, label="trained clean"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2)
    worst = max(measured["cells"], key=lambda c: number(c["lost"]["value"]))
    hurt = [k for k, e in kinds.items() if e["costs_from"] is not None]
    alt = f"{len(hurt)} of {len(kinds)} kinds of leak lower the AUROC on clean pairs, from {base:.2f}; lowest "
    alt += f"{interval_text(worst['auroc_clean'])} for {worst['kind']} at {worst['strength']:g}, where a test with the "
    return says(figure, alt + f"leak reads {number(worst['auroc_leaked']['value']):.2f}.")


@styled
def leak_scatter(measured: Mapping) -> Figure:
    """What each kind and strength of leak cost, against how far two gates lie beyond their limits.

    Above the gate on texture, below the greater of the two that classify by core and profile.

    Parameters
    ----------
    measured : mapping
        As in `leak_onsets`.
    """
    cells = [c for c in measured.get("cells") or [] if "lost" in c]
    if not cells or not measured.get("gates"):
        return skipped(ABSENT)
    far = {(g["kind"], g["strength"], g["gate"]): g["distance"] for g in measured["gates"]}
    kinds = list(_kinds(measured))
    figure, axes = stacked((2.5, 2.5), sharex=True, sharey=True)
    chosen = {
        "texture": ("hard_negative_texture",),
        "core or radial profile": ("core_leakage", "radial_profile_leakage"),
    }
    for axis, (label, names) in zip(axes, chosen.items()):
        for i, kind in enumerate(kinds):
            points = []
            for c in (c for c in cells if c["kind"] == kind):
                found = [abs(v) for n in names if (v := far.get((kind, c["strength"], n))) is not None]
                points += [(max(found), c["lost"])] if found else []
            if not points:
                continue
            y = [number(m["value"]) for _, m in points]
            low, high = ([number(m[k], v) for (_, m), v in zip(points, y)] for k in ("ci_low", "ci_high"))
            bars = [np.maximum(np.subtract(y, low), 0), np.maximum(np.subtract(high, y), 0)]
            look = {"color": PALETTE[i % len(PALETTE)], "marker": "os^vDPX*"[i % 8], "ls": "", "elinewidth": 1}
            axis.errorbar([max(x, 1e-2) for x, _ in points], y, yerr=bars, ms=5, label=kind, **look)
        axis.axvline(1, color=RED, lw=1, ls="--")
        axis.set(xscale="log", title=label, ylabel="AUROC lost")
    axes[-1].set_xlabel("distance from what is right [the gate's limit]")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.2)
    found = {
        n: (measured["answer"]["gates"].get(n) or {}).get("correlation") or {} for ns in chosen.values() for n in ns
    }
    said = [f"{SHORT[n]} {c['value']:.2f}" for n, c in found.items() if c.get("value") is not None]
    return says(figure, f"AUROC lost against a gate's distance; rank correlations: {', '.join(said) or 'none'}.")


def leak_table(measured: Mapping) -> Html:
    """For each kind where it begins to cost, and which gates fail there and one step below.

    Parameters
    ----------
    measured : mapping
        As in `leak_onsets`.
    """
    rows = []
    for kind, found in _kinds(measured).items() if measured.get("cells") else ():
        at, below = found.get("at"), found.get("below")
        low, high = found["costs_not_to"], found["costs_from"]
        rows.append(
            {
                "kind": f"{kind} [{_unit(measured, kind)}]",
                "begins": f"{low:g} to {high:g}" if low and high else _not_begun(found),
                "lost": interval_text(at["lost"]) if at else "",
                "at": _named(at),
                "below": _named(below),
                "first": _first(found),
            }
        )
    columns = {"kind": "leak [unit]", "begins": "begins to cost between", "lost": "AUROC lost there"}
    columns |= {"at": "gates that fail there", "below": "and one step below", "first": "first gate fails from"}
    return table(rows, columns, ABSENT)


def _not_begun(found: Mapping) -> str:
    low, most = found["costs_not_to"], max(found["trained_at"])
    return "not known" if low is None else f"not up to {low:g}" if low == most else f"above {low:g}, not known where"


def _first(found: Mapping) -> str:
    first = found["fails_from"]["any"]
    return "never" if first is None else f"{first:g}" + (" or less" if first == min(found["judged_at"]) else "")


def _named(step: Mapping | None) -> str:
    return "" if step is None else ", ".join(SHORT.get(n, n) for n in step["fails"]) or "none"
