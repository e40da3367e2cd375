"""Pictures of the preflight gates and of the sign-off."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dhs.artefacts.parts import absent
from dhs.figures.style import (
    BAND_COLOURS,
    BANDS,
    BLUE,
    GREY,
    ORANGE,
    in_words,
    number,
    plot_interval,
    says,
    skipped,
    stacked,
    styled,
)


def gate_of(report: Mapping, name: str) -> Mapping:
    """The gate of that name in ``preflight.json``; an empty mapping where there is none."""
    return next((g for g in report.get("gates", []) if g["name"] == name), {})


def bins_of(section: Mapping) -> list[Mapping]:
    """Per-bin entries of a gate, of its ``details``."""
    return (section.get("details") or {}).get("bins") or []


@styled
def leakage(gate: Mapping, label: str = "AUC of the core's pixels") -> Figure:
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
        return skipped(reason or "the gate holds no bins")
    groups = {}
    for entry in bins:
        groups.setdefault(entry["by"], []).append(entry)
    figure, axes = stacked([2.8] * len(groups), squeeze=False)
    for axis, (name, entries) in zip(axes[:, 0], groups.items(), strict=True):
        _leakage_panel(axis, name, entries)
        axis.set_ylabel(label)
    axes[0, 0].legend(loc="best")
    known = [b for b in bins if b.get("value") is not None and b.get("expected") is not None]
    off = max((abs(b["value"] - b["expected"]) for b in known), default=0.0)
    return says(figure, f"{len(known)} bins: observed and expected AUC differ by {off:.3f} at most.")


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
                label="arcs rendered again" if first else None,
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
        return skipped("no stamps")
    figure, axes = stacked([3.0, 2.6])
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
    return html.escape(figure_text(value) if isinstance(value, float) else str(value))


def figure_text(value: float | None) -> str:
    """A number in a table: three decimals below one, three digits above, and no zeros or powers of ten to read past."""
    if value is None or not np.isfinite(value):
        return "\u2013"
    if abs(value) >= 1:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "\u2248 0" if text in ("0", "-0") and value else text.replace("-0.", "\u22120.").replace("-0", "0")


def gate_table(report: Mapping) -> Html:
    """All gates with value, interval, threshold, sizes, what they mean and what to do."""
    rows = []
    for gate in report.get("gates", []):
        low, high = number(gate.get("ci_low")), number(gate.get("ci_high"))
        interval = f"{figure_text(low)} to {figure_text(high)}" if np.isfinite([low, high]).all() else None
        said = {k: in_words(gate.get(k) or "") for k in ("explanation", "remedy")}
        rows.append(dict(gate) | {"interval": interval, "name": gate["name"].replace("_", " ")} | said)
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
