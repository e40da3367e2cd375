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
    keys = figures.glued(MEASURED, "scale")
    # 8,000 B, 8e-3 parts and 150 B of plan a pair; two objects a part
    for part in ("1,389 core hours", "0.80 TB", "1.60 million objects"):
        assert part in keys["scale_needs"]
    for part in (
        "On 2026-01-01, on 2 cores",
        "1,000 pairs took 1.7 minutes",
        "0.50 GB",
        "8.0 kB",
        "60.0 pairs for each second",
        "With a host for every pair it is 20.0 pairs",
        "1.80 times",
    ):
        assert part in keys["scale_measured"]
    assert keys["scale_held"] == "15.0 GB"
    without = figures.glued({k: v for k, v in MEASURED.items() if k != "spark_speedup"}, "scale")
    assert without["scale_measured"].endswith("Spark was not measured.")
    absent = figures.glued({}, "scale")
    assert set(absent) == set(keys) and "benchmarks/scale.py" in absent["scale_measured"]
    assert not any(c.isdigit() for text in absent.values() for c in text)


def test_the_measurement_is_drawn_and_its_absence_said():
    axes = figures.scaling(MEASURED).axes
    assert [a.get_ylabel() for a in axes] == ["wall time [s]", "peak memory [GB]"]
    assert list(axes[0].lines[0].get_xdata()) == [100, 1000] and list(axes[1].lines[0].get_ydata()) == [0.5, 0.5]
    assert "benchmarks/scale.py" in figures.scaling({}).axes[0].texts[0].get_text()
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
    keys = figures.glued(measured, "scale")
    assert not any("not measured" in v for k, v in keys.items() if k != "scale_measured")
    assert "120 pairs took" in keys["scale_measured"] and keys["scale_measured"].endswith("Spark was not measured.")
