"""What a data set costs at any size: a measurement of ``benchmarks/scale.py``, drawn and extrapolated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from dhs.figures.style import GREY, skipped, stacked, styled

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
        return skipped("not measured here: run benchmarks/scale.py")
    pairs = np.array([r["pairs"] for r in runs], dtype=float)
    figure, axes = stacked([2.8, 2.5])
    for axis, key, unit in zip(axes, ("wall_s", "peak_gb"), ("wall time [s]", "peak memory [GB]")):
        axis.plot(pairs, [r[key] for r in runs], "o-", label=f"{runs[0]['workers']} processes")
        axis.set(xscale="log", xlabel="pairs", ylabel=unit)
    wall = np.array([r["wall_s"] for r in runs])
    proportional = wall[-1] * pairs / pairs[-1]
    axes[0].plot(pairs, proportional, ":", color=GREY, label="proportional")
    axes[0].set(yscale="log", ylim=(0.5 * wall.min(), None))
    axes[0].yaxis.set_major_formatter(ScalarFormatter())
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


@styled
def plan_on_gpu(measured: Mapping) -> Figure:
    """The plan on one machine with a graphics processor: learning, recall at small rates, arcs found, where time went.

    Parameters
    ----------
    measured : mapping
        What ``benchmarks/plan_on_gpu.py`` wrote; empty where it was never run.
    """
    runs = {name: r for name, r in (measured.get("recipes") or {}).items() if r.get("history")}
    if not runs:
        return skipped("not measured here: run benchmarks/plan_on_gpu.py")
    figure, stack = stacked([2.6, 2.6, 2.6, 2.8])
    axes = np.asarray(stack).reshape(2, 2)
    for name, run in runs.items():
        _learning(axes[0, 0], name, run)
        found = run.get("evaluation") or {}
        rates = [e for e in found.get("tpr_at_fpr") or [] if e["tpr"]["value"] is not None]
        _with_interval(axes[0, 1], [e["fpr"] for e in rates], [e["tpr"] for e in rates], name)
        bins = [e for e in (found.get("strata") or {}).get("theta_e_arcsec", []) if e["recall"]["value"] is not None]
        _with_interval(axes[1, 0], [(e["lo"] + e["hi"]) / 2 for e in bins], [e["recall"] for e in bins], name)
    axes[0, 0].set(xlabel="epoch", ylabel="validation AUROC")
    axes[0, 1].set(xscale="log", xlabel="false-positive rate, survey negatives", ylabel="recall", ylim=(0, 1))
    axes[1, 0].set(xlabel="Einstein radius [arcsec]", ylabel="recall, smallest rate", ylim=(0, 1))
    axes[0, 0].legend()
    commands = [*(measured.get("commands") or []), measured]
    phases = next((c["phases"] for c in commands if "train plan" in c["phases"]), {})
    axes[1, 1].barh(list(phases), [p["seconds"] for p in phases.values()], left=[p["at_s"] for p in phases.values()])
    axes[1, 1].invert_yaxis()
    axes[1, 1].set_xlabel("time [s]")
    figure.suptitle(f"{measured['machine']['device']}: {sum(measured['data']['counts'].values()):,} pairs")
    return figure


def _learning(axis, name: str, run: Mapping) -> None:
    rows = run["history"]
    axis.plot([r["epoch"] for r in rows], [r["auroc_val"] for r in rows], label=name.replace("_", " "))


def _with_interval(axis, x: list[float], metrics: list[Mapping], name: str) -> None:
    """Values and their intervals over x; nothing where there are none."""
    if not x:
        return
    low, high = ([m[k] if m[k] is not None else m["value"] for m in metrics] for k in ("ci_low", "ci_high"))
    (line,) = axis.plot(x, [m["value"] for m in metrics], "o-", label=name.replace("_", " "))
    axis.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
