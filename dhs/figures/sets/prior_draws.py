"""The priors before and after a lens belonged to its galaxy, from the stored study."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dhs.figures.style import BLUE, GREY, ORANGE, WIDTH, styled

NAMES = {"response_grid": "response grid (before)", "joint": "joint (after)", "population": "population"}
COLOURS = {"response_grid": GREY, "joint": BLUE, "population": ORANGE}
PANELS = {
    "theta_e_arcsec": "Einstein radius [arcsec]",
    "sigma_v_kms": "σ needed [km/s]",
    "arc_r": "arc, r [mag]",
    "source_r": "unlensed source, r [mag]",
}
ROWS = {
    "spearman_theta_e_luminosity": "Spearman, Einstein radius and host luminosity",
    "sigma_v_median": "velocity dispersion needed, median [km/s]",
    "sigma_v_above_limit": "above 400 km/s",
    "sigma_v_off_by_half": "off the host's Faber-Jackson by more than 1.5",
    "arcs_brighter_than_21": "arcs brighter than r = 21",
    "arcs_brighter_than_host": "arcs brighter than their host",
    "magnification_median": "magnification, median",
    "quads": "four images or more",
    "snr_maxpix_above_floor": "SNR of the brightest pixel 3 or more",
}
_OF_PAIRS = ("sigma_v_above_limit", "sigma_v_off_by_half", "arcs_brighter_than_21", "arcs_brighter_than_host", "quads")


@styled
def prior_study(result: Mapping) -> Figure:
    """Histograms of each prior's draws; a line where the measured velocity dispersions end.

    Parameters
    ----------
    result : mapping
        What ``benchmarks/priors.py`` stored.
    """
    figure, grid = plt.subplots(2, 2, figsize=(WIDTH, 4.8))
    axes = grid.ravel()
    for axis, (name, label) in zip(axes, PANELS.items()):
        for prior, colour in COLOURS.items():
            found = result["histograms"][prior][name]
            edges = np.asarray(found["edges"])
            axis.stairs(np.asarray(found["share"]) / np.diff(edges), edges, color=colour, label=NAMES[prior])
        axis.set(xlabel=label, yticks=[])
    axes[1].axvline(400.0, color="black", lw=0.8, ls="--")
    for row in grid:
        row[0].set_ylabel("density")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, columnspacing=1)
    return figure


def prior_table(result: Mapping) -> pd.DataFrame:
    """The numbers of `ROWS` under each prior, as text."""

    def text(name: str, value: float) -> str:
        if name in _OF_PAIRS or name == "snr_maxpix_above_floor":
            return f"{100 * value:.1f} %"
        return f"{value:.0f}" if name == "sigma_v_median" else f"{value:.2f}"

    columns = {NAMES[p]: [text(r, result["priors"][p][r]) for r in ROWS] for p in COLOURS}
    return pd.DataFrame(columns, index=list(ROWS.values()))
