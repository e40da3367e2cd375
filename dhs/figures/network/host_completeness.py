"""Completeness along the host's magnitude, and under both priors."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from dhs.figures.gates import interval_name
from dhs.figures.style import BLUE, ORANGE, RED, absent, plot_interval, skipped, stacked, styled

SHADES = (BLUE, ORANGE, RED, "#7f7f7f", "#9467bd")


def _entries(cells: list[dict], axis: str) -> list[dict]:
    return [{"lo": c[f"{axis}_lo"], "hi": c[f"{axis}_hi"], **c} for c in cells]


@styled
def completeness_by_host(section: Mapping) -> Figure:
    """Left: completeness over theta_E for each bin of host magnitude. Middle and right: as drawn, and as a population.

    Parameters
    ----------
    section : mapping
        ``completeness`` of ``evaluation.json``.
    """
    cells = section.get("host_cells") or []
    if absent(section) or not cells:
        return skipped(absent(section) or "host magnitudes are not known")
    figure, axes = stacked([2.7, 2.5, 2.5])
    bins = sorted({(c["host_mag_r_lo"], c["host_mag_r_hi"]) for c in cells})
    for k, (bounds, colour) in enumerate(zip(bins, SHADES)):
        mine = [c for c in cells if (c["host_mag_r_lo"], c["host_mag_r_hi"]) == bounds]
        label = f"r {bounds[0]:.1f} to {bounds[1]:.1f}"
        _row(axes[0], _entries(mine, "theta_e_arcsec"), 0.12 * (k - 0.5 * (len(bins) - 1)), colour, label)
    drawn, weighted = section.get("marginals") or {}, section.get("marginals_population") or {}
    for axis, name, label in (
        (axes[1], "theta_e_arcsec", "Einstein radius [arcsec]"),
        (axes[2], "host_mag_r", "host r [mag]"),
    ):
        _row(axis, _entries(drawn.get(name) or [], name), -0.06, BLUE, f"{section.get('prior', 'as drawn')}")
        _row(axis, _entries(weighted.get(name) or [], name), 0.06, ORANGE, "population")
        axis.set_xlabel(label)
    axes[0].set_xlabel("Einstein radius [arcsec]")
    for axis in axes:
        axis.set(ylim=(-0.02, None), ylabel="share found")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=9)
    return figure


def _row(axis, entries: list[dict], shift: float, colour: str, label: str) -> None:
    known = [(i, e) for i, e in enumerate(entries) if e.get("value") is not None]
    for place, (i, entry) in enumerate(known):
        named = label if place == 0 else None
        plot_interval(axis, i + shift, entry, horizontal=False, color=colour, label=named)
    if entries:
        axis.set_xticks(range(len(entries)), [interval_name(e) for e in entries], fontsize=9)
