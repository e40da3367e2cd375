"""Time and memory of ``dhs inject`` against the number of pairs, and Spark on two cores against one.

    python benchmarks/scale.py [--quick] [--pairs 1000 3000 10000 ...] [--spark-pairs N] [--json FILE]

``--json -`` prints the numbers alone. Every run is a process of its own, from nothing to a finished data set, mock
hosts and the embedded sources; memory is the peak of the process and all its workers together (proportional set size,
sampled), bytes a pair are those on disk. The log-log slopes are least-squares fits: of wall time and of CPU time, both
with start-up in them. Spark's two runs take turns and the better of each counts; session start is left out, as the
time between the first part file and the last.

The sizes share the default profile's few thousand mock hosts, so the largest ones put many arcs into each. A survey
has a host for every cutout: ``own_hosts`` is a run with as many hosts as pairs, and it is what a plan must reckon with,
in time (making or reading a host costs more than a pair) and in bytes (a stored host is no longer shared).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import psutil

from dhs import storage
from dhs.config import load_profile
from dhs.datasets.inject import open_context, plan

FULL = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
QUICK = (200, 800)
SAMPLE_S = 0.5


def run(out: Path, n_pairs: int, engine: str, workers: int, sources: str, n_hosts: int | None = None) -> dict:
    """One data set in a process of its own: wall and CPU seconds, peak memory, bytes."""
    command = [sys.executable, "-m", "dhs", "inject", "--out", str(out), "--n-pairs", str(n_pairs), "--seed", "1"]
    command += ["--engine", engine, "--workers", str(workers), "--sources", sources, "--hosts", "mock"]
    if n_hosts:
        profile = out.with_suffix(".yaml")
        storage.write_bytes(profile, f"name: scale\nhosts: {{spec: mock, n_mock: {n_hosts}}}\n".encode())
        command += ["--profile", str(profile)]
    started, peak, cpu = time.perf_counter(), 0, {}
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        peak = max(peak, _sample(process, cpu))
        time.sleep(SAMPLE_S)
    wall = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(process.stderr.read().decode())
    files = [f for f in out.rglob("*") if f.is_file()]
    written = sorted(f.stat().st_mtime for f in out.glob("split=*/*.parquet"))
    return {
        "pairs": n_pairs,
        "engine": engine,
        "workers": workers,
        "wall_s": wall,
        "cpu_s": sum(cpu.values()),
        "pairs_per_s": n_pairs / wall,
        "pairs_per_cpu_s": n_pairs / max(sum(cpu.values()), 1e-9),
        "first_to_last_part_s": written[-1] - written[0],
        "parts": len(written),
        "peak_gb": peak / 1e9,
        "bytes_per_pair": sum(f.stat().st_size for f in files) / n_pairs,
        "load": os.getloadavg()[0],
    }


def _sample(process: psutil.Process, cpu: dict[int, float]) -> int:
    """Memory of a process tree now; the CPU seconds of its members are kept, of those that ended too."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_full_info().pss
                times = member.cpu_times()
                cpu[member.pid] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return total


def plan_bytes(n_pairs: int, sources: str) -> float:
    """Bytes the driver holds for each pair of the plan."""
    config = load_profile("demo", hosts__n_mock=1000, injection__n_pairs=n_pairs, sources__spec=sources)
    context = open_context(config.model_dump(mode="json"), "")
    tracemalloc.start()
    parts = plan(context)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / sum(len(p.slots) for p in parts)


def slope(runs: list[dict], key: str) -> float:
    """Exponent of a power law in the number of pairs."""
    return float(np.polyfit(np.log([r["pairs"] for r in runs]), np.log([r[key] for r in runs]), 1)[0])


def measure(sizes: list[int], own: int, spark_pairs: int, repeats: int, workers: int, sources: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for n in sizes:
            runs.append(run(Path(folder) / f"n{n}", n, "processes", workers, sources))
            print(f"{n} pairs: {runs[-1]['wall_s']:.1f} s, {runs[-1]['peak_gb']:.2f} GB", file=sys.stderr)
        own_hosts = run(Path(folder) / "own", own, "processes", workers, sources, n_hosts=own)
        spark = {1: [], 2: []}
        for repeat in range(repeats if spark_pairs else 0):
            for cores in spark:
                out = Path(folder) / f"spark{cores}-{repeat}"
                spark[cores].append(run(out, spark_pairs, "spark", cores, sources))
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "runs": runs,
        "own_hosts": own_hosts,
        "slope_wall": slope(runs, "wall_s"),
        "slope_cpu": slope(runs, "cpu_s"),
        "plan_bytes_per_pair": plan_bytes(min(max(sizes), 100_000), sources),
    }
    if spark_pairs:
        best = {cores: min(done, key=lambda r: r["first_to_last_part_s"]) for cores, done in spark.items()}
        result["spark"] = list(best.values())
        result["spark_speedup"] = best[1]["first_to_last_part_s"] / best[2]["first_to_last_part_s"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small sizes, one Spark run of each kind")
    parser.add_argument("--pairs", type=int, nargs="+")
    parser.add_argument("--own-pairs", type=int, help="pairs of the run in which each has a host of its own")
    parser.add_argument("--spark-pairs", type=int, help="0: no Spark")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sources", default="xdf")
    parser.add_argument("--json", default="-")
    args = parser.parse_args()
    sizes = args.pairs or list(QUICK if args.quick else FULL)
    spark_pairs = args.spark_pairs if args.spark_pairs is not None else (600 if args.quick else 20_000)
    own = args.own_pairs or (200 if args.quick else 20_000)
    result = measure(sizes, own, spark_pairs, 1 if args.quick else 2, args.workers, args.sources)
    if args.json == "-":
        print(json.dumps(result))
    else:
        storage.write_json(args.json, result)


if __name__ == "__main__":
    main()
