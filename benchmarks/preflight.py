"""Time and memory of `dhs.preflight` on a large pairs data set, made by repeating a small one under new ids.

    python benchmarks/preflight.py [--pairs 20000] [--quick] [--workers 2] [--json FILE]

``--json -`` prints the numbers as JSON. Hosts of the repetitions are told apart by name, cell and position; their
images are those of the small set, so the time is real and the decision means nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import dhs
from dhs import storage

SEED_PAIRS = 240


def repeated(table: pa.Table, copy: int, seed: int, pairs: bool) -> pa.Table:
    """A part under the ids of its copy; image columns are handed on as they are."""
    ids = [i + copy * SEED_PAIRS for i in table["pair_id"].to_pylist()]
    columns = {"pair_id": ids, "host_id": [f"{h}-{copy}" for h in table["host_id"].to_pylist()]}
    columns["rng_key"] = [f"{seed}:{i}" for i in ids]
    if pairs:
        rng = np.random.default_rng(copy)
        columns["healpix"] = [100_000 * (copy + 1) + c for c in table["healpix"].to_pylist()]
        columns["brickname"] = [f"{b}-{copy}" for b in table["brickname"].to_pylist()]
        columns["ra"] = rng.uniform(0, 360, len(ids)).tolist()
        columns["dec"] = rng.uniform(-20, 30, len(ids)).tolist()
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    return table


def make(folder: Path, n_pairs: int) -> Path:
    """A data set of about ``n_pairs`` pairs in ``folder / "large"``."""
    small = dhs.inject(folder / "small", profile="smoke", n_pairs=SEED_PAIRS, sources="mock", engine="serial")
    large, copies = folder / "large", -(-n_pairs // SEED_PAIRS)
    for file in storage.list_files(small.path, (".parquet",), recursive=True):
        inner = file.removeprefix(small.path + "/")
        if not inner.startswith(("split=", "negatives/")):
            continue
        table = storage.read_table(file)
        for copy in range(copies):
            part = repeated(table, copy, small.manifest["seed"], inner.startswith("split="))
            storage.write_table(large / inner.replace("part-", f"part-{copy:03d}"), part)
    counts = {k: v * copies for k, v in small.manifest["counts"].items()}
    storage.write_json(large / "manifest.json", small.manifest | {"counts": counts})
    return large


def measure(folder: Path, n_pairs: int, workers: int) -> dict:
    path = make(folder, n_pairs)
    before, cpu = time.perf_counter(), _cpu()
    report = dhs.preflight(path, folder / "out", profile="demo", workers=workers)
    wall = time.perf_counter() - before
    peak = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "pairs": report.data["rows_read"],
        "measured": report.data["images_measured"],
        "workers": workers,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "wall_s": wall,
        "cpu_s": _cpu() - cpu,
        "peak_gb_main": peak[0],
        "peak_gb_largest_worker": peak[1],
        "peak_gb_at_most": peak[0] + workers * peak[1],
    }


def _cpu() -> float:
    return sum(sum(resource.getrusage(w)[:2]) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="1,000 pairs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", help="file for the numbers, - for standard output")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), 1_000 if args.quick else args.pairs, args.workers)
    text = json.dumps(found, indent=1)
    if args.json and args.json != "-":
        Path(args.json).write_text(text + "\n")
    sys.stdout.write(text + "\n" if args.json == "-" else f"{found}\n")


if __name__ == "__main__":
    main()
