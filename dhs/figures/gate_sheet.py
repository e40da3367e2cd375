"""All gates on one sheet, each by how far it is from its limit, and two gates on planted faults beside a clean set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dhs.figures.gates import bins_of, interval_name
from dhs.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    STATUS_COLOURS,
    STATUS_MARKERS,
    WIDTH,
    number,
    plot_interval,
    says,
    skipped,
    styled,
)

FURTHEST = 1.25  # where the sheet ends: what is further stands there
IDEALS = {"arc_photometry": 1.0, "hard_negative_texture": 0.5, "observing_conditions": 0.5, "noise_gain_psf": 1.0}
"""Values at which a gate has nothing to complain of, where that is not 0; that of leakage is what physics gives."""
ONE_SIDED = ("controls_hold_no_arc", "arc_photometry", "hard_negative_texture", "observing_conditions")
COUNTS = ("samples", "assumptions")  # lists for the eye: nothing is held against a limit
LEAST = ("class_balance",)  # the limit is the least that is asked
WORDS = {
    "data_integrity": "every pair can be read",
    "class_balance": "enough negatives of each kind",
    "split_integrity": "no galaxy or source in two splits",
    "samples": "pictures to look at are listed",
    "normalisation": "no offset, noise as measured",
    "core_leakage": "the core tells what physics tells",
    "radial_profile_leakage": "the profile tells what physics tells",
    "hard_negative_texture": "look-alikes are not known by texture",
    "arc_core_fraction": "the added light is where it belongs",
    "observing_conditions": "classes share seeing, depth and sky",
    "arc_photometry": "arcs look like those that are found",
    "closure": "flux and centroid close",
    "residual_image": "stamp, control and arc add up",
    "host_duplicates": "no galaxy twice under two names",
    "source_duplicates": "no source twice under two names",
    "arcs_have_light": "every arc has its light",
    "controls_hold_no_arc": "no arc hides in a control",
    "mass_and_light": "the mass lies where the light is",
    "noise_gain_psf": "noise, gain and PSF are as stored",
    "priors_as_registered": "draws follow the registered prior",
    "priors_against_nature": "lenses like those of the sky",
    "assumptions": "what was assumed is listed",
}
VERDICTS = {"warn": "undecided: ", "fail": "NOT SO: ", "skip": "not measured: "}


def distances(gate: Mapping) -> tuple[float, float, float] | None:
    """Value and ends of its interval between the ideal (0) and the limit (1); None where nothing is held to a limit."""
    value, limit = number(gate.get("value")), number(gate.get("threshold"))
    difference, margin = ((gate.get("details") or {}).get(k) for k in ("delta", "margin"))
    if difference and margin and difference.get("value") is not None:
        return _from_difference(difference, margin)
    if gate["name"] in COUNTS or not np.isfinite([value, limit]).all():
        return None
    if gate["name"] in LEAST:
        return tuple([limit / value if value > 0 else np.inf] * 3)
    ideal = IDEALS.get(gate["name"], 0.0)
    if ideal == limit:
        return tuple([0.0 if value == ideal else np.inf] * 3)

    def place(x: float) -> float:
        found = (x - ideal) / (limit - ideal)
        return abs(found) if gate["name"] not in ONE_SIDED else max(found, 0.0)

    ends = [number(gate.get(k), value) for k in ("ci_low", "ci_high")]
    low, high = sorted(place(x) for x in ends)
    crosses = min(ends) < ideal < max(ends)
    return place(value), 0.0 if crosses else low, high


def _from_difference(difference: Mapping, margin: float) -> tuple[float, float, float]:
    """Of a gate that tests a difference against a margin either way."""
    value = difference["value"]
    ends = [number(difference.get(k), value) for k in ("ci_low", "ci_high")]
    low, high = sorted(abs(x) / margin for x in ends)
    return abs(value) / margin, 0.0 if min(ends) < 0 < max(ends) else low, high


@styled
def gate_sheet(report: Mapping) -> Figure:
    """Every gate in words, with the distance of its value from the ideal, in units of the limit's.

    Parameters
    ----------
    report : mapping
        ``preflight.json``.
    """
    gates = report.get("gates", [])
    if not gates:
        return skipped("the report holds no gate")
    worst = {"fail": 0, "warn": 1, "skip": 2, "pass": 3}
    gates = sorted(gates, key=lambda g: (worst[g["status"]], -(distances(g) or (-1,))[0]))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.9 + 0.42 * len(gates)))
    for line, gate in enumerate(gates):
        colour, found = STATUS_COLOURS[gate["status"]], distances(gate)
        axis.hlines(line + 0.2, 0, 1, color="#dddddd", lw=1, zorder=0)
        if found:
            value, low, high = (min(x, FURTHEST) for x in found)
            axis.hlines(line + 0.2, low, high, color=colour, lw=2.5)
            axis.plot(value, line + 0.2, STATUS_MARKERS[gate["status"]], ms=7, color=colour)
        else:
            axis.plot(0, line + 0.2, STATUS_MARKERS[gate["status"]], ms=7, color=colour, mfc="white")
        words = VERDICTS.get(gate["status"], "") + WORDS.get(gate["name"], gate["name"].replace("_", " "))
        axis.text(0, line - 0.2, words, va="center", fontsize=9, color="#1a1a1a")
    axis.axvline(1, color="#1a1a1a", lw=1.2)
    axis.set(xlim=(-0.04, FURTHEST + 0.04), ylim=(len(gates) - 0.4, -0.7), yticks=[])
    axis.set_xticks([0, 0.5, 1], ["ideal", "half way", "limit"])
    axis.spines["left"].set_visible(False)
    counts = {s: sum(g["status"] == s for g in gates) for s in ("pass", "warn", "fail", "skip")}
    named = {"pass": "pass", "warn": "undecided", "fail": "fail", "skip": "not measured"}
    for status, n in counts.items():
        if n:
            marker, colour = STATUS_MARKERS[status], STATUS_COLOURS[status]
            axis.plot([], [], marker, color=colour, ms=7, label=f"{n} {named[status]}")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handletextpad=0.2, columnspacing=1.0)
    others = [g["name"].replace("_", " ") for g in gates if g["status"] != "pass"]
    alt = ", ".join(f"{n} {named[s]}" for s, n in counts.items() if n)
    return says(figure, f"{len(gates)} gates: {alt}. Not passed: {', '.join(others) or 'none'}.")


@styled
def leakage_by_radius(gate: Mapping, fixed: float = 0.65) -> Figure:
    """The core's AUC by Einstein radius: observed, expected of the arcs rendered again, the margin, a fixed threshold.

    Parameters
    ----------
    gate : mapping
        ``core_leakage`` of ``preflight.json``.
    fixed : float
        A single threshold, to be compared with.
    """
    entries = _bins(gate)
    if not entries:
        return skipped("the gate holds no bins of Einstein radius")
    margin = _margin(gate)
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    _leak(axis, entries, margin)
    axis.axhline(fixed, color=RED, lw=1, ls="--", label=f"one threshold for all: {fixed:g}")
    axis.set_ylabel("AUC of the core's pixels")
    axis.legend(loc="upper right")
    refused = [interval_name(e) for e in entries if number(e.get("expected")) > fixed]
    said = "; ".join(f"{interval_name(e)} arcsec {e['value']:.2f}, expected {e['expected']:.2f}" for e in entries)
    alt = f"AUC of a classifier that sees the core alone, by Einstein radius: {said}."
    if refused:
        alt += f" A threshold of {fixed:g} would refuse honest physics at {', '.join(refused)} arcsec."
    return says(figure, alt)


def _bins(gate: Mapping) -> list[Mapping]:
    found = [b for b in bins_of(gate) if b.get("by") == "theta_e_arcsec"]
    return [b for b in found if b.get("value") is not None and b.get("expected") is not None]


def _margin(gate: Mapping) -> float:
    """The margin of the gate: its limit is what physics gives and that."""
    return number((gate.get("details") or {}).get("margin"), 0.05)


def _leak(axis, entries: Sequence[Mapping], margin: float) -> None:
    for i, entry in enumerate(entries):
        first = i == 0
        expected = entry["expected"]
        axis.fill_between(
            [i - 0.38, i + 0.38],
            expected - margin,
            expected + margin,
            color=ORANGE,
            alpha=0.25,
            lw=0,
            label="margin" if first else None,
        )
        axis.hlines(expected, i - 0.38, i + 0.38, color=ORANGE, lw=2, label="arcs rendered again" if first else None)
        inside = abs(entry["value"] - expected) <= margin
        plot_interval(
            axis,
            i,
            entry,
            horizontal=False,
            color=BLUE if inside else RED,
            fmt="o" if inside else "X",
            ms=6,
            label="observed, 95 %" if first else None,
        )
    axis.axhline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries])
    axis.set(xlabel="Einstein radius [arcsec]", xlim=(-0.6, len(entries) - 0.4))


TITLES = {
    "clean": "the set as it is",
    "pedestal": "{strength:g} sky sigma of light added to every core",
    "off_centre": "PSF {strength:g} pixels off its centre",
}


def _decided(gate: Mapping) -> str:
    return {"pass": "passes", "fail": "FAILS", "warn": "undecided"}.get(gate.get("status"), "not measured")


@styled
def failing_gates(study: Mapping) -> Figure:
    """Two gates on the same set clean and with faults planted: what a leak looks like.

    Parameters
    ----------
    study : mapping
        What ``benchmarks/planted_gates.py`` stored.
    """
    sets = study.get("sets") or {}
    drawn = [("core_leakage", "clean"), ("core_leakage", "pedestal"), ("core_leakage", "off_centre")]
    drawn += [("arc_core_fraction", "clean"), ("arc_core_fraction", "off_centre")]
    gates = {(g, s): _gate(sets.get(s) or {}, g) for g, s in drawn}
    if not all(gates.values()):
        return skipped("not measured here: run benchmarks/planted_gates.py")
    figure, axes = plt.subplots(5, 1, figsize=(WIDTH, 11.5), height_ratios=[1.1, 1, 1, 1, 1])
    said = []
    for axis, ((name, planted), gate) in zip(axes, gates.items()):
        if name == "core_leakage":
            _leak(axis, _bins(gate), number(study.get("margin"), 0.05))
            axis.set(ylabel="AUC of the core", ylim=(0.45, 1.03))
        else:
            _fractions(axis, gate)
        title = TITLES[planted].format(strength=sets[planted].get("strength") or 0)
        what = "Core leakage" if name == "core_leakage" else "Light in the core"
        axis.set_title(f"{what}, {title}: {_decided(gate)}", fontsize=9.5)
        axis.set_xlabel("Einstein radius [arcsec]" if axis is axes[-1] else "")
        said.append(f"{what}, {title}: {_decided(gate)}")
    axes[0].legend(loc="upper right", ncols=3, columnspacing=1)
    axes[3].legend(loc="upper right")
    return says(figure, "; ".join(said) + ".")


def _gate(planted: Mapping, name: str) -> Mapping:
    return next((g for g in planted.get("gates") or () if g["name"] == name), {})


def _fractions(axis, gate: Mapping) -> None:
    """Share of the added light in the core, by radius, as stored and rendered again."""
    entries = [b for b in bins_of(gate) if b.get("stored") is not None and b.get("lo") is not None]
    for i, entry in enumerate(entries):
        same = abs(entry["stored"] - entry["expected"]) <= number(gate.get("threshold"), 0.05)
        label = "stamp less control" if i == 0 else None
        axis.plot(i, entry["stored"], "o" if same else "X", color=BLUE if same else RED, ms=7, label=label)
        label = "arcs rendered again" if i == 0 else None
        axis.hlines(entry["expected"], i - 0.38, i + 0.38, color=ORANGE, lw=2, label=label)
    axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries])
    axis.set(ylabel="share of light in core", ylim=(0, None), xlim=(-0.6, len(entries) - 0.4))
    axis.axhline(0, color=GREY, lw=0.5)
