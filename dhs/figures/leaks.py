"""Networks trained on sets with a planted leak, and what the gates said: ``benchmarks/leaks.py``, drawn."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dhs.figures.gates import Html, table
from dhs.figures.style import BLUE, GREY, PALETTE, STATUS_COLOURS, STATUS_MARKERS, WIDTH, number, skipped, styled

ABSENT = "not measured here: run benchmarks/leaks.py"
SHOWN = ("residual_image", "core_leakage", "radial_profile_leakage", "normalisation")
SHORT = {"residual_image": "residual", "core_leakage": "core", "radial_profile_leakage": "profile"}
SHORT |= {"normalisation": "sky", "hard_negative_texture": "texture", "arc_core_fraction": "arc"}


@styled
def leak_curves(measured: Mapping) -> Figure:
    """For each kind of leak how far trained networks lean on it, over its strength, and below it what each gate said.

    Parameters
    ----------
    measured : mapping
        What ``benchmarks/leaks.py`` wrote; empty where it was never run.
    """
    cells = measured.get("cells") or []
    if not cells:
        return skipped(ABSENT)
    kinds = list(dict.fromkeys(c["kind"] for c in cells))
    columns = min(2, len(kinds))
    rows = -(-len(kinds) // columns)
    heights = {"height_ratios": [2.2, 1] * rows}
    size = (WIDTH, 3.2 * rows)
    figure, axes = plt.subplots(2 * rows, columns, figsize=size, squeeze=False, sharey="row", gridspec_kw=heights)
    for i, kind in enumerate(kinds):
        row, column = divmod(i, columns)
        upper, lower = axes[2 * row, column], axes[2 * row + 1, column]
        _lean(upper, [c for c in cells if c["kind"] == kind], number(measured["answer"].get("material"), 0.1))
        _gates(lower, [g for g in measured.get("gates") or [] if g["kind"] == kind])
        unit = (measured["leaks"].get(kind) or {}).get("unit", "1")
        upper.set(title=kind, xticklabels=[])
        lower.set_xlabel(f"strength [{unit}]")
        judged = [g["strength"] for g in measured.get("gates") or [] if g["kind"] == kind]
        judged += [c["strength"] for c in cells if c["kind"] == kind]
        for axis in (upper, lower):
            axis.set(xscale="log", xlim=(min(judged) / 1.6, max(judged) * 1.6))
        if not column:
            upper.set_ylabel("excess reliance [arc]")
    for j in range(len(kinds), rows * columns):
        for k in (0, 1):
            axes[2 * (j // columns) + k, j % columns].set_axis_off()
    styles = {s: {"color": STATUS_COLOURS[s], "marker": STATUS_MARKERS[s]} for s in ("pass", "warn", "fail")}
    handles = [Line2D([], [], ls="", label=s, **style) for s, style in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _lean(axis, cells: list[Mapping], material: float) -> None:
    """Excess reliance with its interval; seeds as dots."""
    cells = sorted((c for c in cells if "excess_reliance" in c), key=lambda c: c["strength"])
    x, found = [c["strength"] for c in cells], [c["excess_reliance"] for c in cells]
    axis.plot(x, [number(e["value"]) for e in found], "o-", color=BLUE, ms=4)
    low, high = ([number(e[k], number(e["value"])) for e in found] for k in ("ci_low", "ci_high"))
    axis.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
    for strength, e in zip(x, found):
        off = np.array(e["seeds"]) - np.mean(e["clean_seeds"])
        axis.plot([strength] * len(off), off, ".", color=BLUE, ms=3, alpha=0.6)
    axis.axhline(0, color=GREY, lw=0.8)
    axis.axhline(material, color=GREY, lw=0.8, ls="--")
    axis.set_yscale("symlog", linthresh=material)


def _gates(axis, gates: list[Mapping]) -> None:
    """A line a gate, a mark a strength, by status."""
    for g in gates:
        if g["gate"] in SHOWN:
            style = {"color": STATUS_COLOURS[g["status"]], "marker": STATUS_MARKERS[g["status"]]}
            axis.plot(g["strength"], SHOWN.index(g["gate"]), ms=4, ls="", **style)
    axis.set_yticks(range(len(SHOWN)), [SHORT[name] for name in SHOWN])
    axis.set_ylim(len(SHOWN) - 0.5, -0.5)


@styled
def leak_scatter(measured: Mapping) -> Figure:
    """Excess reliance of each kind and strength against the gates' distances to their limits.

    Left the gate that renders arcs again, right the greater of the two that classify.

    Parameters
    ----------
    measured : mapping
        As in `leak_curves`.
    """
    cells = [c for c in measured.get("cells") or [] if "excess_reliance" in c]
    if not cells or not measured.get("gates"):
        return skipped(ABSENT)
    far = {(g["kind"], g["strength"], g["gate"]): g["distance"] for g in measured["gates"]}
    kinds, material = list(dict.fromkeys(c["kind"] for c in cells)), number(measured["answer"].get("material"), 0.1)
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 6.6), sharey=True)
    chosen = {"residual image": ("residual_image",), "core or profile": ("core_leakage", "radial_profile_leakage")}
    for axis, (label, names) in zip(axes, chosen.items()):
        for i, kind in enumerate(kinds):
            points = []
            for c in (c for c in cells if c["kind"] == kind):
                found = [abs(v) for n in names if (v := far.get((kind, c["strength"], n))) is not None]
                if found:
                    points.append((max(found), c["excess_reliance"]))
            if not points:
                continue
            x, y = [max(p[0], 1e-2) for p in points], [number(p[1]["value"]) for p in points]
            low, high = ([number(p[1][k], v) for p, v in zip(points, y)] for k in ("ci_low", "ci_high"))
            bars = [np.maximum(np.subtract(y, low), 0), np.maximum(np.subtract(high, y), 0)]
            axis.errorbar(x, y, yerr=bars, fmt="o", ms=4, color=PALETTE[i % len(PALETTE)], label=kind, elinewidth=1)
        axis.axvline(1, color=GREY, lw=0.8, ls="--")
        axis.axhline(material, color=GREY, lw=0.8, ls="--")
        axis.set(xscale="log", xlabel=f"{label}: distance from what is right [its limit]")
        axis.set_yscale("symlog", linthresh=material)
    axes[0].set_ylabel("excess reliance [effect of the arc]")
    axes[1].legend(ncols=2)
    return figure


def leak_table(measured: Mapping) -> Html:
    """For each kind the strength from which networks lean, and from which gates fail.

    Parameters
    ----------
    measured : mapping
        As in `leak_curves`.
    """
    rows = []
    for kind, found in ((measured.get("answer") or {}).get("kinds") or {}).items():
        fails = found["fails_from"]
        first = min((s for s in fails.values() if s is not None), default=None)
        names = [SHORT.get(n, n) for n, s in fails.items() if n != "any" and s is not None and s == first]
        classed = [fails.get(n) for n in ("core_leakage", "radial_profile_leakage")]
        rows.append(
            {
                "kind": kind,
                "unit": (measured["leaks"].get(kind) or {}).get("unit"),
                "lean": _strength(found["leans_from"]),
                "material": _strength(found["leans_materially_from"]),
                "fails": _strength(first) + (f" ({', '.join(names)})" if names else ""),
                "classed": _strength(min((s for s in classed if s is not None), default=None)),
            }
        )
    columns = {"kind": "leak", "unit": "strength in", "lean": "networks lean from", "material": "by a tenth of the arc"}
    columns |= {"fails": "a gate fails from", "classed": "core or profile gate fails from"}
    return table(rows, columns, ABSENT)


def _strength(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"
