"""Pictures of the preflight gates and of the sign-off."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent
from dhs.figures.style import (
    BAND_COLOURS,
    BANDS,
    BLUE,
    GREY,
    ORANGE,
    RED,
    STATUS_COLOURS,
    STATUS_MARKERS,
    number,
    plot_interval,
    skipped,
    styled,
)


def gate_of(report: Mapping, name: str) -> Mapping:
    """The gate of that name in ``preflight.json``; an empty mapping where there is none."""
    return next((g for g in report.get("gates", []) if g["name"] == name), {})


def bins_of(section: Mapping) -> list[Mapping]:
    """Per-bin entries of a gate, of its ``details``."""
    return (section.get("details") or {}).get("bins") or []


@styled
def gate_overview(report: Mapping) -> Figure:
    """Every gate on one line: status, value with its interval, threshold.

    Parameters
    ----------
    report : mapping
        ``preflight.json``. A gate's value has its own unit, so each line has its own axis, scaled to hold the
        value, its interval and the threshold.
    """
    gates = report.get("gates", [])
    if not gates:
        return skipped("the report holds no gate", "gates")
    figure, axis = plt.subplots(figsize=(8.2, 0.6 + 0.36 * len(gates)))
    for line, gate in enumerate(gates):
        colour, marker = STATUS_COLOURS[gate["status"]], STATUS_MARKERS[gate["status"]]
        value, low, high, limit = (number(gate.get(k)) for k in ("value", "ci_low", "ci_high", "threshold"))
        known = [x for x in (value, low, high, limit) if np.isfinite(x)]
        if np.isfinite(value):
            start, stop = min(known), max(known)
            width = (stop - start) or 1.0

            def place(x, start=start, width=width):
                return 0.12 + 0.76 * (x - start) / width

            axis.hlines(line, 0, 1, color="#e6e6e6", lw=0.8, zorder=0)
            if np.isfinite([low, high]).all():
                axis.hlines(line, place(low), place(high), color=colour, lw=2)
            if np.isfinite(limit):
                axis.plot(place(limit), line, marker="|", ms=13, mew=1.5, color="#1a1a1a")
            axis.plot(place(value), line, marker=marker, ms=7, color=colour)
            text = f"{value:.4g}" + (f"  [{low:.3g}, {high:.3g}]" if np.isfinite([low, high]).all() else "")
            text += f"  limit {limit:.3g}" if np.isfinite(limit) else ""
        else:
            axis.plot(0.12, line, marker=marker, ms=7, color=colour)
            text = "no value"
        axis.text(
            1.03,
            line,
            f"{gate['status']:4s}  {text}",
            va="center",
            fontsize=7.5,
            family="monospace",
            color="#1a1a1a",
        )
    names = [g["name"].replace("_", " ") + (" *" if g.get("blocking") else "") for g in gates]
    axis.set(xlim=(0, 1), ylim=(len(gates) - 0.4, -0.6), xticks=[], yticks=range(len(gates)))
    axis.set_yticklabels(names)
    axis.set_xlabel("value of each gate between its own limits (bar: interval, tick: threshold; * blocking)")
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)
    return figure


@styled
def leakage(gate: Mapping, label: str = "AUC of a logistic regression") -> Figure:
    """Leakage per bin: what was observed, what the null gives, what physics makes one expect.

    Parameters
    ----------
    gate : mapping
        A leakage gate; its bins hold ``lo, hi`` and ``value`` (with interval), ``null_low, null_high`` and
        ``expected``, each of which may be null.
    label : str
        Of the vertical axis.
    """
    reason = absent(gate)
    bins = bins_of(gate)
    if reason or not bins:
        return skipped(reason or "the gate holds no bins", gate.get("name", "leakage").replace("_", " "))
    groups = {}
    for entry in bins:
        groups.setdefault(entry["by"], []).append(entry)
    figure, axes = plt.subplots(1, len(groups), figsize=(1.2 + 3.8 * len(groups), 3), sharey=True, squeeze=False)
    for axis, (name, entries) in zip(axes[0], groups.items(), strict=True):
        _leakage_panel(axis, name, entries)
    axes[0, 0].set_ylabel(label)
    axes[0, 0].legend(loc="best")
    return figure


def _leakage_panel(axis, name: str, entries: Sequence[Mapping]) -> None:
    for i, entry in enumerate(entries):
        first = {} if i else {"label": True}
        low, high = number(entry.get("null_low")), number(entry.get("null_high"))
        if np.isfinite([low, high]).all():
            axis.fill_between(
                [i - 0.35, i + 0.35],
                low,
                high,
                color=GREY,
                alpha=0.35,
                lw=0,
                label="null, 95 %" if first else None,
            )
        expected = number(entry.get("expected"))
        if np.isfinite(expected):
            axis.hlines(
                expected,
                i - 0.35,
                i + 0.35,
                color=ORANGE,
                lw=2,
                label="expected of physics" if first else None,
            )
        plot_interval(axis, i, entry, horizontal=False, color=BLUE, label="observed, 95 %" if first else None)
    axis.axhline(0.5, color="#1a1a1a", lw=0.8, ls=":")
    axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries])
    axis.set(xlabel=axis_name(name), xlim=(-0.6, len(entries) - 0.4))


AXES = {
    "theta_e_arcsec": "θ_E [arcsec]",
    "arc_snr_matched": "arc SNR, matched filter",
    "arc_snr_maxpix": "arc SNR, maximum pixel",
    "psf_fwhm_r_arcsec": "PSF FWHM in r [arcsec]",
    "sky_sigma_r": "sky noise in r [nanomaggies a pixel]",
    "magnification": "magnification",
    "depth_r_mag": "5σ depth in r [mag]",
    "host_mag_r": "host r [mag]",
}


def axis_name(column: str) -> str:
    """Label with unit of a stratifier's column."""
    return AXES.get(column, column.replace("_", " "))


def interval_name(entry: Mapping) -> str:
    """``lo-hi`` of a bin; ``all`` without edges."""
    if entry.get("lo") is None:
        return "all"
    high = number(entry.get("hi"))
    return f"{entry['lo']:.3g}-{high:.3g}" if np.isfinite(high) and high < 999 else f"> {entry['lo']:.3g}"


@styled
def radial_profiles(profiles: Mapping) -> Figure:
    """Mean radial profile of stamps and controls in units of the sky noise, and the sky after normalisation.

    Parameters
    ----------
    profiles : mapping
        Of `dhs.book.stamps.radial_profiles`: ``radius``, ``annulus``, ``stamps``, ``controls``, ``noise_ratio``.
    """
    if not len(profiles["noise_ratio"]):
        return skipped("no stamps", "radial profiles")
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3))
    for i, band in enumerate(BANDS):
        colour = BAND_COLOURS[band]
        axes[0].plot(profiles["radius"], profiles["stamps"][i], "-", color=colour, label=f"{band}, stamps")
        axes[0].plot(profiles["radius"], profiles["controls"][i], "--", color=colour)
        ratio = profiles["noise_ratio"][:, i]
        axes[1].hist(ratio[np.isfinite(ratio)], bins=25, histtype="step", color=colour, lw=1.4, label=band)
    axes[0].axvspan(*profiles["annulus"], color=GREY, alpha=0.25, lw=0, label="annulus")
    axes[0].set(yscale="symlog", xlabel="radius [arcsec]", ylabel="mean flux a pixel [sky σ]")
    axes[0].set_title("solid: stamps, dashed: controls")
    axes[0].legend()
    axes[1].axvline(1, color="#1a1a1a", lw=0.8, ls=":")
    axes[1].set(xlabel="MAD sigma in the annulus / sky noise of the host", ylabel="stamps")
    axes[1].legend(title="band")
    return figure


DECISIONS = {"GO": BLUE, "CONDITIONAL-GO": ORANGE, "NO-GO": RED}


@styled
def decision_banner(signoff: Mapping) -> Figure:
    """The decision in one strip, with the number of blockers, conditions and recommended changes."""
    decision = signoff.get("decision")
    if not decision:
        return skipped("no decision in signoff.json", "sign-off")
    figure, axis = plt.subplots(figsize=(6.4, 0.9))
    axis.set_axis_off()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.add_patch(plt.Rectangle((0, 0), 0.36, 1, color=DECISIONS.get(decision, GREY)))
    axis.text(0.18, 0.5, decision, ha="center", va="center", color="white", fontsize=13, weight="bold")
    kinds = {
        "blockers": "blocker(s)",
        "conditions": "condition(s)",
        "recommended_changes": "recommended change(s)",
    }
    counts = [(name, len(signoff.get(key) or [])) for key, name in kinds.items()]
    axis.text(0.4, 0.66, "   ".join(f"{n} {k}" for k, n in counts), va="center", fontsize=10)
    two = [
        f"{name}: {signoff.get(key) or 'not decided'}" for name, key in (("set", "data_set"), ("network", "network"))
    ]
    axis.text(0.4, 0.3, "; ".join(two), va="center", fontsize=9)
    return figure


class Html:
    """A piece of HTML that Jupyter shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "<table>"


def table(
    rows: Sequence[Mapping], columns: Mapping[str, str], empty: str = "none", below: tuple[str, ...] = ()
) -> Html:
    """An HTML table of records; every cell is escaped.

    Parameters
    ----------
    rows : sequence of mapping
    columns : mapping
        Key of a record to the heading of its column.
    empty : str
        Shown instead of a table without rows.
    below : tuple of str
        Keys of sentences that stand under their row, over its whole width.
    """
    if not rows:
        return Html(f"<p>{html.escape(empty)}</p>")
    head = "".join(f"<th>{html.escape(title)}</th>" for title in columns.values())
    body = ""
    for row in rows:
        body += "<tr>" + "".join(f"<td>{_cell(row.get(key))}</td>" for key in columns) + "</tr>"
        sentences = " ".join(_cell(row[key]) for key in below if row.get(key))
        if sentences:
            body += f"<tr class='below'><td colspan='{len(columns)}'>{sentences}</td></tr>"
    return Html(f"<table class='dhs'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _cell(value) -> str:
    if value is None:
        return "&ndash;"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def gate_table(report: Mapping) -> Html:
    """All gates with value, interval, threshold, sizes, what they mean and what to do."""
    rows = []
    for gate in report.get("gates", []):
        low, high = number(gate.get("ci_low")), number(gate.get("ci_high"))
        interval = f"{low:.3g} to {high:.3g}" if np.isfinite([low, high]).all() else None
        rows.append(dict(gate) | {"interval": interval, "name": gate["name"].replace("_", " ")})
    return table(
        rows,
        {
            "name": "gate",
            "status": "status",
            "blocking": "blocking",
            "value": "value",
            "interval": "95 % interval",
            "threshold": "threshold",
            "n": "n",
            "n_hosts": "hosts",
            "n_sources": "sources",
        },
        "the report holds no gate",
        below=("explanation", "remedy"),
    )


def signoff_table(signoff: Mapping) -> Html:
    """Blockers, conditions, recommended changes and priority order, each with the evidence it points at."""
    kinds = {"blockers": "blocker", "conditions": "condition", "recommended_changes": "recommended change"}
    rows = [{**entry, "kind": kind} for key, kind in kinds.items() for entry in signoff.get(key) or []]
    for rank, entry in enumerate(signoff.get("priority_order") or [], start=1):
        rows.append({**entry, "kind": f"priority {rank}", "remedy": entry["why"]})
    columns = {"kind": "kind", "text": "what", "remedy": "what to do"}
    return table(rows, columns, "nothing stands against this run", below=("source",))
