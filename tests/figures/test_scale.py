"""The stored measurement and what is extrapolated from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dhs import figures
from dhs.figures.numbers.glue import glued
from dhs.figures.scale import NODES, plan_on_gpu

RUN = {"workers": 2, "wall_s": 100.0, "peak_gb": 0.5, "pairs_per_cpu_s": 20.0, "bytes_per_pair": 8000.0, "parts": 8}
MEASURED = {
    "date": "2026-01-01",
    "cores": 2,
    "runs": [RUN | {"pairs": 100, "wall_s": 10.0}, RUN | {"pairs": 1000, "pairs_per_cpu_s": 60.0}],
    "own_hosts": RUN | {"pairs": 1000},
    "slope_wall": 1.0,
    "spark_speedup": 1.8,
    "plan_bytes_per_pair": 150.0,
}


def test_hours_and_cost_follow_from_the_rate_of_one_core():
    rows = figures.scale_plan(MEASURED, cores=10, price=0.1)
    # 1e8 / 20 s = 5e6 core seconds = 1388.9 core hours
    assert [r["nodes"] for r in rows] == list(NODES) and {r["cost_usd"] for r in rows} == {"139"}
    assert rows[0]["hours"] == "138.9" and rows[1]["hours"] == "13.9"


def test_sentences_for_the_page():
    keys = glued(MEASURED, "scale")
    # 8,000 B, 8e-3 parts and 150 B of plan a pair; two objects a part
    for part in ("1,389 core hours", "0.8 TB", "1.6 million objects"):
        assert part in keys["scale_needs"]
    for part in ("On 2 cores", "1,000 pairs took 1.7 minutes", "0.5 GB", "8 kB each", "one core makes 60 a second"):
        assert part in keys["scale_measured"]
    assert keys["scale_held"] == "15 GB" and "1.8 times as fast" in keys["scale_spark"]
    assert keys["scale_growth"].endswith(
        "10 times as many, the wall time grows 10.0 times: in proportion, once the start is paid."
    )
    flat = [MEASURED["runs"][0], MEASURED["runs"][1] | {"wall_s": 12.0}]
    assert glued(MEASURED | {"runs": flat}, "scale")["scale_growth"].endswith("the start still counts.")
    assert glued({k: v for k, v in MEASURED.items() if k != "spark_speedup"}, "scale")["scale_spark"] == ""
    absent = glued({}, "scale")
    assert set(absent) == set(keys) and not any(absent.values())


def test_the_measurement_is_drawn_and_its_absence_said():
    axes = figures.scaling(MEASURED).axes
    assert [a.get_ylabel() for a in axes] == ["wall time [s]", "peak memory [GB]"]
    assert list(axes[0].lines[0].get_xdata()) == [100, 1000] and list(axes[1].lines[0].get_ydata()) == [0.5, 0.5]
    assert "benchmarks/scale.py" in repr(figures.scaling({}))
    assert figures.scale_plan({}, 8, 0.05) == []


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_what_the_page_reads():
    script = Path(__file__).parents[2] / "benchmarks" / "scale.py"
    sizes = ["--pairs", "40", "120", "--own-pairs", "40", "--spark-pairs", "0"]
    command = [sys.executable, script, *sizes, "--sources", "mock", "--json", "-"]
    measured = json.loads(subprocess.check_output(command, text=True))
    assert [r["pairs"] for r in measured["runs"]] == [40, 120]
    for run in measured["runs"]:
        assert 0 < run["cpu_s"] and 0.05 < run["peak_gb"] < 20 and 1000 < run["bytes_per_pair"] < 200_000
    keys = glued(measured, "scale")
    assert {k for k, v in keys.items() if not v} == {"scale_spark"} and "120 pairs took" in keys["scale_measured"]


def test_the_plan_on_a_gpu_is_drawn_or_said_not_to_have_been_run():
    def metric(value):
        return {"value": value, "ci_low": value - 0.02, "ci_high": None}

    rates = [
        {"fpr": 1e-2, "tpr": metric(0.4)},
        {"fpr": 1e-3, "tpr": metric(0.2)},
        {"fpr": 1e-4, "tpr": {"value": None}},
    ]
    strata = {"theta_e_arcsec": [{"lo": 0.5, "hi": 1.0, "recall": metric(0.1)}]}
    run = {"history": [{"epoch": e, "auroc_val": 0.8 + 0.01 * e} for e in (1, 2)]}
    run["evaluation"] = {"tpr_at_fpr": rates, "strata": strata}
    earlier = {"phases": {"train plan": {"at_s": 10.0, "seconds": 90.0}}}
    measured = {"machine": {"device": "some device"}, "data": {"counts": {"train": 2100, "test": 900}}}
    measured |= {"recipes": {"plan": run, "finder": {"error": "no"}}, "commands": [earlier], "phases": {}}
    learning, recall, by_radius, time = plan_on_gpu(measured).axes
    assert learning.lines[0].get_ydata() == pytest.approx([0.81, 0.82]) and len(learning.lines) == 1
    assert recall.lines[0].get_ydata().tolist() == [0.4, 0.2] and by_radius.lines[0].get_xdata().tolist() == [0.75]
    assert time.patches[0].get_width() == 90.0 and time.patches[0].get_x() == 10.0
    assert "not measured here" in repr(plan_on_gpu({}))
