"""Time and memory of ``dhs evaluate`` against the forward passes it needs and the number of stamps.

    python benchmarks/evaluation.py [--quick] [--stamps 10000 300000] [--data-path PAIRS] [--json FILE]

``--json -`` prints the result as the last line. The network is untrained: its logits mean nothing, its passes cost
what any network's do. A data set of each size is made by repeating a small one under new ids, with as many survey
negatives for each test pair as the paper's plan has; those are made beforehand, as ``dhs preflight`` does. Each
evaluation is a process of its own; memory is its proportional set size, sampled.

- ``passes``: stamps that went through the network, by what they were: every positive, control and hard negative of the
  test split whole and core-masked, three swaps of each positive, the validation split, the interventions, the survey
  negatives, those set apart for calibration.
- ``bare_stamps_per_s``: the bare network, float32 as in the evaluation, on input held ready, on all cores: the best of
  one process with a thread a core and of a process a core, each at several batch sizes. Measured before and after each
  evaluation; the mean of the two counts.
- ``ratio``: seconds of the evaluation over (passes / bare rate), from the call to its return; ``ratio_with_start`` with
  the start of the process as well; ``ratio_cpu``: processor's time of the whole process over that of as many bare
  passes, which other work on the machine hardly touches.
- ``seconds``: the evaluation's wall time by stage; ``cpu_seconds``: processor's time of each kind of job in ``scores``.
- ``memory_growth``: peak at the largest size over that at the smallest.
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
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import torch

import dhs
from dhs import storage
from dhs.config import Profile, load_profile
from dhs.datasets import preregistration, survey_negatives
from dhs.datasets.reader import open_pairs
from dhs.models import checkpoints
from dhs.models.networks import registry
from dhs.models.preprocess import Preprocess

SMALL_PAIRS = 960
NEGATIVES_A_PAIR = 100_000 / 45_000  # of the paper's plan: survey negatives for each pair of the test split
HARD_A_PAIR = 0.6
SAMPLE_S = 0.5
BATCHES = (32, 64, 128, 256)


def profile_of(stamps: int) -> tuple[Profile, int]:
    """Settings of an evaluation of about so many stamps, and how many pairs test and val hold each."""
    n = max(int(stamps / (2 * (2 + HARD_A_PAIR) + NEGATIVES_A_PAIR)), 60)
    options = {"n_survey_negatives": int(NEGATIVES_A_PAIR * n), "n_calibration_negatives": min(1000, n)}
    options["n_interventions"] = min(2000, max(20, n // 22))
    return load_profile("demo", **{f"evaluate__{k}": v for k, v in options.items()}), n


def repeated(table: pa.Table, copy: int, pairs: bool) -> pa.Table:
    """A part under the ids of its copy; images are handed on as they are."""
    ids = [i + copy * SMALL_PAIRS for i in table["pair_id"].to_pylist()]
    columns = {"pair_id": ids, "host_id": [f"{h}-{copy}" for h in table["host_id"].to_pylist()]}
    columns["rng_key"] = [f"1:{i}" for i in ids]
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return table


def make(folder: Path, small, n: int) -> Path:
    """A data set whose test and val splits hold about n pairs each; the training split is that of the small one."""
    counts = dict(small.manifest["counts"])
    for file in storage.list_files(small.path, (".parquet",), recursive=True):
        inner = file.removeprefix(small.path + "/")
        if not inner.startswith(("split=", "negatives/")):
            continue
        table, split = storage.read_table(file), inner.split("split=")[1].split("/")[0]
        for copy in range(1 if split == "train" else -(-n // counts[split])):
            part = repeated(table, copy, inner.startswith("split="))
            storage.write_table(folder / inner.replace("part-", f"part-{copy:04d}"), part)
    counts |= {split: counts[split] * -(-n // counts[split]) for split in ("val", "test")}
    storage.write_json(folder / "manifest.json", small.manifest | {"counts": counts})
    return folder


def untrained(path: Path) -> Path:
    """A checkpoint of a network at its random initialisation."""
    config = load_profile("demo", train__pretrained="never").train
    network, weights = registry.make(config, Preprocess.from_config(config).n_channels, 0)
    state = {"train": config.model_dump(mode="json"), "epoch": 0, "seed": 0, "weights": weights}
    checkpoints.save(path, state | {"content_hash": None, "history": [], "model": network.state_dict()})
    return path


def forward(batch: int, threads: int, seconds: float) -> tuple[float, float]:
    """Stamps a second of the bare network in this process, and processor's seconds a stamp."""
    torch.set_num_threads(threads)
    network = registry.build(3).eval().to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(images)
        started, cpu, n = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < seconds:
            network(images)
            n += batch
        return n / (time.perf_counter() - started), (time.process_time() - cpu) / n


def bare(seconds: float) -> dict:
    """The bare network's best rate on all cores, how it is reached, and the processor's seconds a stamp at best."""
    cores = os.cpu_count() or 1
    rates, costs = {}, []
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        list(pool.map(forward, [8] * cores, [1] * cores, [0.1] * cores))  # start them
        for batch in BATCHES:
            found = list(pool.map(forward, [batch] * cores, [1] * cores, [seconds] * cores))
            rates[f"{cores} processes, batch {batch}"] = sum(rate for rate, _ in found)
            costs.append(float(np.mean([cost for _, cost in found])))
            rate, cost = pool.submit(forward, batch, cores, seconds).result()
            rates[f"{cores} threads, batch {batch}"] = rate
            costs.append(cost)
    best = max(rates, key=rates.get)
    return {"how": best, "stamps_per_s": rates[best], "cpu_s_per_stamp": min(costs), "rates": rates}


def evaluate(data: Path, checkpoint: Path, profile: Profile, out: Path) -> dict:
    """One evaluation in a process of its own: wall time, memory, and what it says of itself."""
    settings = out / "profile.yaml"
    storage.write_bytes(settings, profile.to_yaml().encode())
    preregistration.register(open_pairs(data), profile)
    n = profile.evaluate.n_survey_negatives + profile.evaluate.n_calibration_negatives
    survey_negatives.ensure(str(data), profile.seed, n)
    command = [sys.executable, "-m", "dhs", "evaluate", "--data-path", str(data), "--checkpoint", str(checkpoint)]
    command += ["--out", str(out), "--profile", str(settings)]
    started, peak, cpu = time.perf_counter(), 0, 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            peak, times = max(peak, process.memory_full_info().pss), process.cpu_times()
            cpu = times.user + times.system
        time.sleep(SAMPLE_S)
    wall = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(process.stderr.read().decode())
    run = storage.read_json(out / "evaluation_run.json")
    rows = storage.read_table(out / "scores.parquet", columns=["kind"]).num_rows
    counts = storage.read_json(data / "manifest.json")["counts"]
    passes = sum(run["passes"].values())
    return {
        "pairs": {k: counts[k] for k in ("val", "test")},
        "rows": rows,
        "passes": run["passes"],
        "n_passes": passes,
        "wall_s": wall,
        "cpu_s": cpu,
        "evaluate_s": sum(run["seconds"].values()),
        "seconds": run["seconds"],
        "cpu_seconds": run["cpu_seconds"],
        "peak_gb": peak / 1e9,
        "load": os.getloadavg()[0],
    }


def against_bare(run: dict, before: dict, after: dict) -> None:
    """The ratios of one evaluation, from the bare rates on both sides of it."""
    run["bare"] = [before, after]
    run["bare_stamps_per_s"] = float(np.mean([b["stamps_per_s"] for b in run["bare"]]))
    run["bare_s"] = run["n_passes"] / run["bare_stamps_per_s"]
    run["ratio"] = run["evaluate_s"] / run["bare_s"]
    run["ratio_with_start"] = run["wall_s"] / run["bare_s"]
    run["ratio_cpu"] = run["cpu_s"] / (run["n_passes"] * float(np.mean([b["cpu_s_per_stamp"] for b in run["bare"]])))


def measure(sizes: list[int], data_path: str | None, seconds: float) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = untrained(folder / "untrained.pt")
        small = None
        if not data_path:
            small = dhs.inject(folder / "small", profile="demo", n_pairs=SMALL_PAIRS, hosts="mock", sources="xdf")
        before, runs = bare(seconds), []
        for stamps in [0] if data_path else sizes:
            profile, n = profile_of(stamps)
            data = Path(data_path) if data_path else make(folder / f"pairs-{stamps}", small, n)
            run = evaluate(data, checkpoint, load_profile("demo") if data_path else profile, folder / f"{stamps}")
            after = bare(seconds)
            against_bare(run, before, after)
            print(f"{run['n_passes']} passes: {run['wall_s']:.1f} s, {run['peak_gb']:.2f} GB", file=sys.stderr)
            before = after
            runs.append(run)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "precision": "float32",
        "runs": runs,
        "memory_growth": runs[-1]["peak_gb"] / runs[0]["peak_gb"],
    } | {k: runs[-1][k] for k in ("ratio", "ratio_with_start", "ratio_cpu", "bare_stamps_per_s")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 and 10,000 stamps: some minutes instead of an hour")
    parser.add_argument("--stamps", type=int, nargs="+", help="rows scored; 10,000 and 300,000 by default")
    parser.add_argument("--data-path", help="a data set to evaluate at the demo's settings; its plan is registered")
    parser.add_argument("--json", metavar="FILE", default="-", help="write the result; - prints it as the last line")
    args = parser.parse_args()
    sizes = sorted(args.stamps or ((2_000, 10_000) if args.quick else (10_000, 300_000)))
    result = measure(sizes, args.data_path, 3.0 if args.quick else 10.0)
    for run in result["runs"]:
        ratios = (
            f"{run['ratio']:.2f} ({run['ratio_with_start']:.2f} with start, {run['ratio_cpu']:.2f} in processor's time)"
        )
        print(f"{run['n_passes']:8d} passes, {run['peak_gb']:.2f} GB, ratio {ratios}")
        for stage, spent in run["seconds"].items():
            print(f"    {stage:28s} {spent:8.1f} s")
    print(f"memory growth {result['memory_growth']:.2f}")
    if args.json == "-":
        print(json.dumps(result))
    else:
        storage.write_json(args.json, result)


if __name__ == "__main__":
    main()
