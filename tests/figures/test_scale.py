"""The stored measurement and what is extrapolated from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dhs import figures
from dhs.figures.scale import NODES

RUN = {"workers": 2, "wall_s": 100.0, "peak_gb": 0.5, "pairs_per_cpu_s": 20.0, "bytes_per_pair": 8000.0, "parts": 8}
MEASURED = {
    "date": "2026-01-01",
    "cores": 2,
    "runs": [RUN | {"pairs": 100, "wall_s": 10.0}, RUN | {"pairs": 1000}],
    "slope_wall": 1.0,
    "spark_speedup": 1.8,
    "plan_bytes_per_pair": 150.0,
}


def test_hours_and_cost_follow_from_the_rate_of_one_core():
    rows = figures.scale_plan(MEASURED, cores=10, price=0.1)
    # 1e8 / 20 s = 5e6 core seconds = 1388.9 core hours
    assert [r["nodes"] for r in rows] == list(NODES) and {r["cost_usd"] for r in rows} == {"139"}
    assert rows[0]["hours"] == "138.9" and rows[1]["hours"] == "13.9"


def test_numbers_for_the_page():
    keys = figures.glued(MEASURED, "scale")
    assert (keys["scale_tb"], keys["scale_objects"], keys["scale_plan_gb"]) == ("0.80", "1.60", "15.0")
    assert keys["scale_core_hours"] == "1389" and keys["scale_minutes"] == "1.7"
    assert set(figures.glued({}, "scale").values()) == {"not measured"}


def test_the_stored_measurement_is_whole_and_drawn():
    measured = figures.measured_scale()
    assert "not measured" not in figures.glued(measured, "scale").values()
    axes = figures.scaling(measured).axes
    assert [a.get_ylabel() for a in axes] == ["wall time [s]", "peak memory [GB]"]
    assert list(axes[0].lines[0].get_xdata()) == [r["pairs"] for r in measured["runs"]]


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_what_the_page_reads():
    script = Path(__file__).parents[2] / "benchmarks" / "scale.py"
    command = [sys.executable, script, "--pairs", "40", "120", "--spark-pairs", "0", "--sources", "mock", "--json", "-"]
    measured = json.loads(subprocess.check_output(command, text=True))
    assert [r["pairs"] for r in measured["runs"]] == [40, 120]
    for run in measured["runs"]:
        assert 0 < run["cpu_s"] and 0.05 < run["peak_gb"] < 20 and 1000 < run["bytes_per_pair"] < 200_000
    keys = figures.glued(measured, "scale")
    assert [k for k, v in keys.items() if v == "not measured"] == ["scale_spark"]
