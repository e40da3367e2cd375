"""Time, memory and size as they stand in prose, from the stored benchmarks; empty where one was never run."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.figures.numbers.words import number


def training(bench: Mapping) -> dict[str, str]:
    """What ``benchmarks/training.py`` stored."""
    out = {}
    for key, name, digits in (
        ("bench_vs_plain", "ratio_vs_plain_fp32_loop", 1),
        ("bench_rate", "stamps_per_s_ours", 0),
        ("bench_ddp_live", "ddp_live_loss_difference", 3),
    ):
        out[key] = number(bench.get(name), digits)
    frozen = bench.get("ddp_frozen_loss_difference")
    out["bench_ddp_frozen"] = "" if frozen is None else "none" if abs(frozen) < 1e-4 else number(frozen, 3)
    reads = bench.get("loader_overhead")
    out["bench_reading"] = f"{100 * reads:.0f} %" if reads is not None else ""
    return out


def evaluation(bench: Mapping) -> dict[str, str]:
    """What ``benchmarks/evaluation.py`` stored, as one sentence."""
    runs = bench.get("runs") or []
    if not runs:
        return {"evaluation_cost": ""}
    largest = max(runs, key=lambda run: run["n_passes"])
    said = f"On {bench['cores']} cores an evaluation of {number(largest['n_passes'])} forward passes took "
    said += f"{number(largest['evaluate_s'] / 60, 1)} minutes"
    return {"evaluation_cost": f"{said}, {number(largest['ratio'], 1)} times what the bare network needs for them."}


def scale(measured: Mapping) -> dict[str, str]:
    """The stored measurement and what it makes of 10⁸ cutouts, as sentences."""
    target, runs = 1e8, measured.get("runs") or []
    if not runs:
        return dict.fromkeys(("scale_measured", "scale_growth", "scale_spark", "scale_needs", "scale_held"), "")
    last, own = runs[-1], measured["own_hosts"]
    spark = measured.get("spark_speedup")
    objects = 2e-6 * target * own["parts"] / own["pairs"]
    return {
        "scale_measured": f"On {measured['cores']} cores {number(last['pairs'])} pairs took "
        f"{number(last['wall_s'] / 60, 1)} minutes and at most {number(last['peak_gb'], 1)} GB of memory over all "
        "processes together. They share some thousand mock hosts, and one core makes "
        f"{number(last['pairs_per_cpu_s'], 0)} a second. "
        f"With a host for every pair it makes {number(own['pairs_per_cpu_s'], 0)}, of "
        f"{number(own['bytes_per_pair'] / 1e3, 0)} kB each on disk: that is what a survey costs.",
        "scale_growth": _growth(runs),
        "scale_spark": f"Spark on two cores is {number(spark, 1)} times as fast as on one." if spark else "",
        "scale_needs": f"A host each, they take {number(round(target / own['pairs_per_cpu_s'] / 3600))} core hours and "
        f"{number(own['bytes_per_pair'] * target / 1e12, 1)} TB, in {number(objects, 1)} million objects.",
        "scale_held": f"{number(measured['plan_bytes_per_pair'] * target / 1e9, 0)} GB",
    }


def _growth(runs) -> str:
    """Whether wall time grows in proportion to the pairs, from the two largest runs."""
    if len(runs) < 2 or runs[-1]["pairs"] <= runs[-2]["pairs"]:
        return ""
    a, b = runs[-2:]
    pairs, wall = b["pairs"] / a["pairs"], b["wall_s"] / a["wall_s"]
    said = f"From {number(a['pairs'])} to {number(b['pairs'])} pairs, {number(pairs, 0)} times as many, "
    said += f"the wall time grows {number(wall, 1)} times"
    near = 0.7 * pairs <= wall <= 1.3 * pairs
    return said + (": in proportion, once the start is paid." if near else ": the start still counts.")
