"""Pictures of the audit: the toys, the core fraction of re-rendered arcs, interventions, and the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent
from dhs.figures.gates import Html, bins_of, interval_name, table
from dhs.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    WIDTH,
    interval_text,
    number,
    plot_interval,
    says,
    signed,
    skipped,
    stacked,
    styled,
)

LABELS = {
    "core_light_removed": "core's arc light removed",
    "core_pixels_swapped": "core pixels of the twin",
    "placebo_edge": "placebo: the edge alone",
    "core_pixels_net_of_edge": "core pixels, net of placebo",
    "outer_pixels_swapped": "all but the core of the twin",
    "noise_redrawn": "noise drawn again",
    "core_masked": "core filled with sky",
    "source_occulted": "brightest image hidden",
    "colour_of_host": "in the galaxy's colours",
    "colour_redder": "0.4 mag redder",
    "colour_bluer": "0.4 mag bluer",
    "arc_rotated": "turned by a quarter",
    "ring_added": "plain ring instead",
    "arc_removed": "whole arc removed",
}


@styled
def toys(folds: Mapping[str, Sequence[float]], paired: Sequence[Mapping]) -> Figure:
    """Left: AUC on identical pairs, folds ungrouped and grouped. Right: marginal AUC and concordance.

    Parameters
    ----------
    folds : mapping
        Of `dhs.book.studies.leakage_toys.identical_pairs`.
    paired : sequence of mapping
        Of `dhs.book.studies.leakage_toys.hidden_effect`.
    """
    figure, (left, right) = stacked([2.7, 3.0])
    for i, (name, colour) in enumerate((("ungrouped", RED), ("grouped", BLUE))):
        values = np.asarray(folds[name])
        left.plot(i + np.linspace(-0.15, 0.15, len(values)), values, "o", ms=3.5, color=colour)
    left.axhline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    left.set_xticks([0, 1], ["folds ignore pairs", "folds by host"])
    left.set(xlim=(-0.5, 1.5), ylabel="AUC out of fold", title="Pairs without an arc: the truth is 0.5")
    effect = [row["effect"] for row in paired]
    right.plot(effect, [row["concordance"] for row in paired], "o-", color=BLUE, label="within-pair concordance")
    right.plot(effect, [row["auc"] for row in paired], "s-", color=ORANGE, label="marginal AUC")
    right.axhline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    right.set_xscale("symlog", linthresh=0.02)
    right.set_xticks([0, 0.1, 1], ["0", "0.1", "1"])
    right.minorticks_off()
    right.set(xlabel="effect of the arc, in units of the scatter between galaxies", ylabel="AUC, concordance")
    right.set(ylim=(0.45, 1.05), title="A small effect: pairs see it, the crowd hides it")
    right.margins(x=0.04)
    right.legend()
    ungrouped, grouped = (float(np.median(folds[k])) for k in ("ungrouped", "grouped"))
    return says(
        figure,
        f"On pairs without an arc, folds that ignore the pairing give a median AUC of {ungrouped:.2f}, folds by host "
        f"{grouped:.2f}; the truth is 0.5. A small effect is plain within pairs long before the AUC over all shows it.",
    )


@styled
def core_fractions(gate: Mapping) -> Figure:
    """Share of the added light in the core per theta_E bin, as stored and rendered again, and arcs that miss.

    Parameters
    ----------
    gate : mapping
        ``arc_core_fraction`` of ``preflight.json``.
    """
    entries = [b for b in bins_of(gate) if b.get("stored") is not None]
    if absent(gate) or not entries:
        return skipped(absent(gate) or "the gate holds no bins")
    figure, left = plt.subplots(figsize=(WIDTH, 2.6))
    names = [interval_name(e) if e.get("lo") is not None else "all" for e in entries]
    places = np.arange(len(entries))
    left.plot(places - 0.1, [e["stored"] for e in entries], "o", color=BLUE, label="stamp minus control")
    left.plot(places + 0.1, [e["expected"] for e in entries], "_", ms=12, mew=2, color=ORANGE, label="rendered again")
    left.set(ylabel="share of light in the core", ylim=(0, None))
    left.legend()
    left.set_xticks(places, names)
    left.set_xlabel("Einstein radius [arcsec]")
    said = ", ".join(f"{n} {e['stored']:.2f} and {e['expected']:.2f}" for n, e in zip(names, entries))
    return says(figure, f"Share of the added light in the core, found and rendered again, by Einstein radius: {said}.")


@styled
def interventions(section: Mapping) -> Figure:
    """Change of the logit under each intervention; by theta_E, and by radius, for the light taken out of the core.

    Parameters
    ----------
    section : mapping
        ``interventions`` of ``evaluation.json``.
    """
    rows = [r for r in section.get("interventions") or [] if r.get("value") is not None]
    if absent(section) or not rows:
        return skipped(absent(section) or "no intervention was scored")
    rows.sort(key=lambda r: r["value"])
    figure, axes = stacked([0.9 + 0.25 * len(rows), 2.7, 2.7])
    for i, row in enumerate(rows):
        plot_interval(axes[0], i, row, color=ORANGE if row["name"] in ("placebo_edge", "noise_redrawn") else BLUE)
    axes[0].set_yticks(range(len(rows)), [LABELS.get(r["name"], r["name"].replace("_", " ")) for r in rows], fontsize=9)
    axes[0].axvline(0, color="#1a1a1a", lw=0.8, ls=":")
    axes[0].set_xlabel("change of the logit, 95 %")
    chosen = {r["name"]: r for r in rows}
    for name, colour, shift in (("core_light_removed", BLUE, -0.08), ("arc_removed", GREY, 0.08)):
        for i, entry in enumerate(chosen.get(name, {}).get("by_theta_e") or []):
            label = LABELS[name] if i == 0 else None
            plot_interval(axes[1], i + shift, entry, horizontal=False, color=colour, label=label)
    entries = chosen.get("core_light_removed", {}).get("by_theta_e") or []
    axes[1].set_xticks(range(len(entries)), [interval_name(e) for e in entries], fontsize=9)
    axes[1].set(xlabel="Einstein radius [arcsec]", ylabel="change of the logit")
    axes[1].legend(fontsize=9)
    for i, entry in enumerate(section.get("sweep") or []):
        label = "light at r < R removed" if i == 0 else None
        plot_interval(axes[2], entry["radius_px"], entry, horizontal=False, color=BLUE, label=label)
    axes[2].set(xlabel="R [pixels]", ylabel="change of the logit")
    axes[2].legend(fontsize=9)
    for axis in axes[1:]:
        axis.axhline(0, color="#1a1a1a", lw=0.8, ls=":")
    said = "; ".join(f"{LABELS.get(r['name'], r['name'].replace('_', ' '))} {signed(r['value'], 2)}" for r in rows)
    return says(figure, f"Change of the logit under each intervention: {said}.")


SHARE_LABELS = {
    "ring": "a plain ring has",
    "core": "light in the core carries",
    "outer": "light outside it carries",
    "colour": "its colour carries",
    "brightest_image": "brightest image carries",
}


@styled
def effect_shares(section: Mapping) -> Figure:
    """Shares of the arc's effect on the score; by theta_E what a ring has, and the core's share of score and of light.

    Parameters
    ----------
    section : mapping
        ``interventions`` of ``evaluation.json``.
    """
    shares = section.get("shares") or {}
    if absent(section) or not any(s.get("value") is not None for s in shares.values()):
        return skipped(absent(section) or "the arc has no effect to share out")
    figure, axes = stacked([2.3, 2.6, 2.6])
    for i, name in enumerate(reversed(SHARE_LABELS)):
        if (shares.get(name) or {}).get("value") is not None:
            plot_interval(axes[0], i, shares[name], color=BLUE)
    axes[0].set_yticks(range(len(SHARE_LABELS)), [SHARE_LABELS[n] for n in reversed(SHARE_LABELS)], fontsize=9)
    axes[0].set_xlabel("share of the arc's effect, 95 %")
    core_light = section.get("core_light") or {}
    series = (
        (axes[1], ((shares.get("ring") or {}, BLUE, "plain ring"),)),
        (axes[2], ((shares.get("core") or {}, BLUE, "of the score"), (core_light, ORANGE, "of the light"))),
    )
    for axis, lines in series:
        for k, (part, colour, label) in enumerate(lines):
            entries = part.get("by_theta_e") or []
            known = [(i, e) for i, e in enumerate(entries) if e.get("value") is not None]
            for place, (i, entry) in enumerate(known):
                shift = 0.1 * (k - 0.5 * (len(lines) - 1))
                named = label if place == 0 else None
                plot_interval(axis, i + shift, entry, horizontal=False, color=colour, label=named)
            axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries], fontsize=9)
        axis.set_xlabel("Einstein radius [arcsec]")
        axis.axhline(0, color="#1a1a1a", lw=0.8, ls=":")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=9)
    axes[1].set_ylabel("ring's share of the effect")
    axes[1].axhline(1, color="#1a1a1a", lw=0.8, ls=":")
    axes[2].set_ylabel("the core's share")
    known = [(SHARE_LABELS[n], shares[n]) for n in SHARE_LABELS if (shares.get(n) or {}).get("value") is not None]
    said = "; ".join(f"{label} {interval_text(metric)}" for label, metric in known)
    return says(figure, f"Of the arc's effect on the score {said}.")


def interventions_table(section: Mapping) -> Html:
    """Change of the logit under each intervention, its interval, and the share of pairs whose score fell."""
    rows = []
    for row in section.get("interventions") or []:
        low, high = number(row.get("ci_low")), number(row.get("ci_high"))
        fell = (row.get("fell") or {}).get("value")
        name = LABELS.get(row["name"], row["name"].replace("_", " "))
        interval = f"{signed(low, 2)} to {signed(high, 2)}" if np.isfinite([low, high]).all() else None
        snr = number((row.get("snr_ratio") or {}).get("median"))
        rows.append(dict(row) | {"name": name, "interval": interval, "fell": fell, "snr": snr})
    columns = {
        "name": "intervention",
        "value": "change of logit",
        "interval": "95 % interval",
        "fell": "fell in",
        "snr": "SNR over the arc's",
    }
    columns |= {"n": "pairs", "n_hosts": "hosts", "n_sources": "sources"}
    return table(rows, columns, f"not measured: {absent(section) or 'no intervention was scored'}")


@styled
def foreign_arcs(entries: Sequence[Mapping]) -> Figure:
    """Arcs injected by others: light within a radius, as given and shifted, and what an aperture tells.

    Parameters
    ----------
    entries : sequence of mapping
        Of `dhs.book.studies.hsc_injections.measure`; empty where there are no such files.
    """
    if not entries:
        return skipped("no stamps with arcs injected by others under DHS_DATA_DIR")
    figure, (left, right) = stacked([3.0, 3.0])
    for entry, colour in zip(entries, (BLUE, ORANGE, RED)):
        label = f"shifted by {entry['shift_px']:g} px" if entry["shift_px"] else "as given"
        left.plot(entry["radii_px"], np.median(entry["core_fraction"], axis=0), "o-", color=colour, label=label)
    given = entries[0]
    for curve in given["core_fraction"]:
        left.plot(given["radii_px"], curve, color=GREY, lw=0.6, zorder=0)
    left.set(xlabel="radius [pixels]", ylabel="share of the arc's r-band light within")
    left.legend()
    right.plot(given["radii_px"], given["concordance"], "o-", color=BLUE, label="within-pair concordance")
    right.plot(given["radii_px"], given["auc"], "s-", color=ORANGE, label="marginal AUC")
    right.axhline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    right.set(xlabel="radius of the aperture [pixels]", ylabel=f"n = {given['n']} pairs, no interval", ylim=(0.4, 1.03))
    right.legend()
    return figure


def operating_table(study: Mapping) -> Html:
    """How often clean sets were refused, and from which strength on planted faults were caught.

    Parameters
    ----------
    study : mapping
        Of `dhs.book.results.operating_study`.
    """
    clean, rows = study.get("clean") or {}, []
    if clean.get("n"):
        kept, bound = clean["n"] - clean["false_failures"], clean.get("upper_bound")
        caught = f"{kept} of {clean['n']} let through" + (f" (refused at most {bound:.2f}, 95 %)" if bound else "")
        rows.append({"fault": "clean set", "caught": caught})
    for fault in study.get("faults") or []:
        smallest = fault.get("smallest_caught")
        tried = [f"{s:g}: {k}/{n}" for s, k, n in zip(fault["strengths"], fault["caught"], fault["tried"])]
        rows.append(
            {
                "fault": fault["name"],
                "where": fault["where"],
                "smallest": f"{smallest:g} {fault['unit']}" if smallest is not None else "invisible",
                "caught": ", ".join(tried),
                "gates": ", ".join(fault["gates"]).replace("_", " ") or "none",
            }
        )
    columns = {"fault": "fault", "where": "planted in", "smallest": "caught from", "caught": "caught", "gates": "by"}
    return table(rows, columns, "no study is stored with this version")


def fixed_threshold_table(rows: Sequence[Mapping]) -> Html:
    """What a fixed threshold would say, per theta_E bin."""
    shown = [{"bin": interval_name(r), "expected": r["expected"], "verdict": r["verdict"]} for r in rows]
    columns = {"bin": "θ_E [arcsec]", "expected": "AUC that physics gives", "verdict": "a threshold of 0.65"}
    return table(shown, columns, "the gate holds no bins of theta_E")
