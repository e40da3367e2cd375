"""What a data set costs at any size: a measurement of ``benchmarks/scale.py``, drawn and extrapolated."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dhs.figures.style import skipped, styled

TARGET = 1e8  # cutouts
NODES = (1, 10, 34, 100)


@styled
def scaling(measured: Mapping) -> Figure:
    """Wall time and peak memory of one run against its number of pairs.

    Parameters
    ----------
    measured : mapping
        What the benchmark wrote; empty where it was never run.
    """
    runs = measured.get("runs")
    if not runs:
        return skipped("not measured here: run benchmarks/scale.py", "scale")
    pairs = np.array([r["pairs"] for r in runs], dtype=float)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, key, unit in zip(axes, ("wall_s", "peak_gb"), ("wall time [s]", "peak memory [GB]")):
        axis.plot(pairs, [r[key] for r in runs], "o-", label=f"{runs[0]['workers']} processes")
        axis.set(xscale="log", xlabel="pairs [1]", ylabel=unit)
    wall = np.array([r["wall_s"] for r in runs])
    line = np.exp(np.polyval(np.polyfit(np.log(pairs), np.log(wall), 1), np.log(pairs)))
    axes[0].plot(pairs, line, "--", label=f"slope {measured['slope_wall']:.2f}")
    axes[0].set_yscale("log")
    axes[0].yaxis.set_minor_locator(NullLocator())
    axes[1].set_ylim(0)
    axes[0].legend()
    return figure


def scale_plan(measured: Mapping, cores: int, price: float, target: float = TARGET) -> list[dict]:
    """Hours and cost of ``target`` cutouts on some numbers of nodes, at the measured rate of one core.

    Parameters
    ----------
    measured : mapping
        What the benchmark wrote; the rate a CPU second of its run with a host for every pair counts.
    cores : int
        Of a node.
    price : float
        Of one core for an hour, US dollars.
    target : float

    Returns
    -------
    list of dict
        ``nodes, cores, hours, cost_usd``; empty without a measurement.
    """
    if not measured.get("runs"):
        return []
    rate = measured["own_hosts"]["pairs_per_cpu_s"]
    hours = target / rate / 3600.0
    return [
        {
            "nodes": nodes,
            "cores": nodes * cores,
            "hours": f"{hours / (nodes * cores):,.1f}",
            "cost_usd": f"{hours * price:,.0f}",
        }
        for nodes in NODES
    ]
