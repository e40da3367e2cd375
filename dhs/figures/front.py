"""The book's first figure: what the network sees, what a plain ring is worth to it, and whether it leans on the core.

Titles, caption and alternative text follow from the intervals by rule, so that another run gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent
from dhs.figures.gates import interval_name
from dhs.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    WIDTH,
    interval_text,
    kind_name,
    number,
    plot_interval,
    says,
    skipped,
    styled,
)

HALF = 0.5  # of the arc's effect: what a ring must keep to be as good as most of an arc


def _known(metric) -> bool:
    return bool(metric) and not absent(metric) and metric.get("value") is not None


def rows(evaluation: Mapping) -> list[tuple[str, Mapping, tuple]]:
    """What the first panel holds: label, AUROC with interval, colour."""
    base, hard = evaluation.get("baselines") or {}, evaluation.get("hard_negatives") or {}
    found = [
        ("core pixels alone", (base.get("core_only") or {}).get("auroc"), GREY),
        ("radial profile alone", (base.get("radial_profile") or {}).get("auroc"), GREY),
        ("network v. twins", evaluation.get("auroc"), BLUE),
        ("network v. survey", evaluation.get("auroc_survey"), GREEN),
        ("network v. look-alikes", hard.get("auroc"), RED),
    ]
    kinds = [(kind_name(k, v), v.get("auroc"), ORANGE) for k, v in (hard.get("by_kind") or {}).items()]
    kinds = sorted((k for k in kinds if _known(k[1])), key=lambda k: -k[1]["value"])
    return [r for r in found if _known(r[1])] + kinds


def shares(evaluation: Mapping, name: str) -> list[Mapping]:
    """Bins of theta_E of a share of the arc's effect that were measured."""
    section = evaluation.get("interventions") or {}
    part = section.get("core_light") if name == "core_light" else (section.get("shares") or {}).get(name)
    return [e for e in (part or {}).get("by_theta_e") or [] if _known(e)]


def _light_says(twins: Mapping, decoys: Mapping) -> str:
    if not (_known(twins) and _known(decoys)):
        return "What it tells apart"
    if number(decoys.get("ci_low"), -np.inf) <= 0.5:
        return "Look-alikes score\nlike lenses"
    if number(decoys.get("ci_high"), np.inf) < (0.5 + twins["value"]) / 2:
        return "It sees that light was added,\nhardly that the light is an arc"
    if number(decoys.get("ci_high"), np.inf) < number(twins.get("ci_low"), -np.inf):
        return "It sees added light better\nthan it sees an arc"
    return "It tells arcs from look-alikes\nas well as from nothing"


def _ring_says(entries: Sequence[Mapping]) -> str:
    up_to = None
    for entry in entries:
        if number(entry.get("ci_low"), -np.inf) <= HALF:
            break
        up_to = entry["hi"]
    if up_to is not None:
        everywhere = up_to == entries[-1]["hi"]
        where = "At every radius" if everywhere else f"Below {up_to:g} arcsec"
        return f"{where} a plain ring has\nmost of the arc's effect"
    if all(number(e.get("ci_high"), np.inf) < HALF for e in entries):
        return "A plain ring has less than half\nof the arc's effect"
    return "What a plain ring has\nof the arc's effect"


def _more_than_light(core: Sequence[Mapping], light: Sequence[Mapping]) -> list[Mapping]:
    """Bins in which the core carries more of the score than of the light, by their intervals."""
    lit = {(e["lo"], e["hi"]): e for e in light}
    both = [(e, lit[e["lo"], e["hi"]]) for e in core if (e["lo"], e["hi"]) in lit]
    return [c for c, e in both if number(c.get("ci_low"), -np.inf) > number(e.get("ci_high"), e["value"])]


def _core_says(core: Sequence[Mapping], light: Sequence[Mapping]) -> str:
    more = _more_than_light(core, light)
    if not more:
        return "The core counts no more than\nthe light the lens puts there"
    return "The core counts more than its light\nat " + ", ".join(f'{interval_name(e)}"' for e in more)


def _panels(evaluation: Mapping) -> list[str]:
    held = ["seen"] if len(rows(evaluation)) > 1 else []
    held += ["ring"] if shares(evaluation, "ring") else []
    return held + (["core"] if shares(evaluation, "core") and shares(evaluation, "core_light") else [])


@styled
def front(evaluation: Mapping, wide: bool = True) -> Figure:
    """The three panels side by side, or stacked for a phone; those whose numbers are missing are left out.

    Parameters
    ----------
    evaluation : mapping
        ``evaluation.json``.
    wide : bool
    """
    held = _panels(evaluation)
    if "seen" not in held:
        return skipped("no AUROC was measured")
    tall = 1.1 + 0.24 * len(rows(evaluation))
    if wide:
        size, ratios = (3.9 * len(held) + 1.2, 4.2), [1.25, *[1] * (len(held) - 1)]
        figure, axes = plt.subplots(1, len(held), figsize=size, width_ratios=ratios, squeeze=False)
    else:
        heights = [tall, *[2.8] * (len(held) - 1)]
        figure, axes = plt.subplots(len(held), 1, figsize=(WIDTH, sum(heights)), height_ratios=heights, squeeze=False)
    for axis, name in zip(axes.flat, held):
        {"seen": _seen, "ring": _ring, "core": _core}[name](axis, evaluation)
        axis.title.set_fontweight("bold")
        axis.set_title(axis.get_title(loc="left"), fontweight="bold", fontsize=11)
    return says(figure, words(evaluation)["alt"])


def _seen(axis: Axes, evaluation: Mapping) -> None:
    entries = rows(evaluation)
    for i, (_, metric, colour) in enumerate(entries):
        plot_interval(axis, i, metric, color=colour, ms=6)
    axis.set_yticks(range(len(entries)), [r[0] for r in entries])
    axis.set_ylim(len(entries) - 0.5, -0.5)
    axis.axvline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    axis.set_xlabel("AUROC (dotted: chance)")
    axis.set_title(
        _light_says(evaluation.get("auroc") or {}, (evaluation.get("hard_negatives") or {}).get("auroc") or {})
    )


def _ring(axis: Axes, evaluation: Mapping) -> None:
    entries = shares(evaluation, "ring")
    for i, entry in enumerate(entries):
        plot_interval(axis, i, _per_cent(entry), horizontal=False, color=RED, ms=6)
    for level in (0, 100):
        axis.axhline(level, color="#1a1a1a", lw=0.8, ls=":")
    _by_radius(axis, entries)
    axis.set_ylabel("effect left when a plain\nring replaces the arc [%]")
    axis.set_title(_ring_says(entries))


def _core(axis: Axes, evaluation: Mapping) -> None:
    core, light = shares(evaluation, "core"), shares(evaluation, "core_light")
    for i, entry in enumerate(light):
        label = "of the arc's light" if i == 0 else None
        axis.hlines(100 * entry["value"], i - 0.25, i + 0.25, color=ORANGE, lw=3, label=label)
    places = {(e["lo"], e["hi"]): i for i, e in enumerate(light)}
    for k, entry in enumerate(core):
        place = places.get((entry["lo"], entry["hi"]))
        if place is not None:
            label = "of the arc's effect" if k == 0 else None
            plot_interval(axis, place, _per_cent(entry), horizontal=False, color=BLUE, ms=6, label=label)
    _by_radius(axis, light)
    axis.set_ylim(min(0, axis.get_ylim()[0]), None)
    axis.set_ylabel("share in the core, r < 1.3 arcsec [%]")
    axis.legend(loc="upper right")
    axis.set_title(_core_says(core, light))


def _by_radius(axis: Axes, entries: Sequence[Mapping]) -> None:
    axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries])
    axis.set_xlim(-0.5, len(entries) - 0.5)
    axis.set_xlabel("Einstein radius [arcsec]")


def _per_cent(metric: Mapping) -> dict:
    return {k: 100 * metric[k] if metric.get(k) is not None else None for k in ("value", "ci_low", "ci_high")}


def words(evaluation: Mapping) -> dict[str, str]:
    """Caption and alternative text of the figure: what its panels show; both empty where there is none.

    Parameters
    ----------
    evaluation : mapping
        ``evaluation.json``.

    Returns
    -------
    dict
        ``caption`` and ``alt``.
    """
    held = _panels(evaluation)
    if "seen" not in held:
        return {"caption": "", "alt": ""}
    entries = rows(evaluation)
    caption = [
        "How well the network, and two simple looks at the same stamps, tell lensed galaxies from their own twins, "
        "from survey galaxies and from look-alikes: the probability that a lens scores higher, with its 95 % interval."
    ]
    alt = ["AUROC: " + "; ".join(f"{name} {interval_text(metric)}" for name, metric, _ in entries) + "."]
    if "ring" in held:
        ring = shares(evaluation, "ring")
        caption.append(
            "What is left of the arc's effect on the score when a ring of its flux and colour takes its place."
        )
        alt.append("A plain ring has of the arc's effect, by Einstein radius: " + _listed(ring) + ".")
    if "core" in held:
        caption.append("The core's share of that effect beside its share of the arc's light.")
        alt.append("The core carries of the effect: " + _listed(shares(evaluation, "core")) + ";")
        alt.append("of the light: " + _listed(shares(evaluation, "core_light")) + ".")
    return {"caption": " ".join(caption), "alt": " ".join(alt)}


def _listed(entries: Sequence[Mapping]) -> str:
    return ", ".join(f"{100 * e['value']:.0f} % at {interval_name(e)} arcsec" for e in entries)
