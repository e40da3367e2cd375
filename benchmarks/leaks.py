"""Does a gate that fails foretell a network that leans? Networks trained on sets with a leak planted.

    python benchmarks/leaks.py --out DIR [--work DIR] [--deadline-s 200] [--seeds 2] [--smoke] ...

Kinds of leak and their strengths are in ``leak_kinds.py``. For each kind and strength a small network is trained on the
training pairs, positives with the leak, controls without, always the same number of stamps from the same start; its
logits are taken of clean test pairs, of test pairs with the leak, and of controls with the leak alone. Networks that
never met a leak are shown every one of them too: what they answer is taken off. Beside the device the cores run the
gates on pairs of the training split with the same leaks (``leak_gates.py``), at fainter strengths as well.
``leak_analysis.py`` has the numbers and the answer.

A second command with the same ``--work`` goes on where the first stopped; results are written after every network.
``--summarise`` makes the results again from ``--out`` as it is, and with ``--json`` the record that pages read. Pairs
are those in ``<work>/pairs``, as ``plan_on_gpu.py`` leaves them; without any they are injected there.

**Results**, ``<out>/leaks.json``: ``machine``, ``options``, ``train`` (configuration), ``data``, ``leaks`` (kinds),
``networks`` (a row each: loss, seconds, arc effect, AUROC), ``gates`` (rows of kind, strength and gate: status, value,
interval, threshold, ``distance`` in units of the limit), ``cells`` (`leak_analysis.cells`), ``answer``
(`leak_analysis.answer`), ``complete``. Logits are beside it, under ``logits``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import leak_analysis
import leak_gates
import numpy as np
from leak_kinds import LEAKS, cells
from leak_networks import Networks
from plan_on_gpu import about_machine

from dhs import storage
from dhs.config import load_profile
from dhs.datasets.reader import open_pairs
from dhs.validation.preflight.gate import jsonable

STAMPS, CLEAN_SEEDS = 163_840, 4
TRAIN = {"arch": "small", "batch_size": 256, "lr": 2e-3, "hard_negative_ratio": 0.0, "core_dropout_prob": 0.0}
TRAIN |= {"pretrained": "never", "weight_average": 0.0}


def arguments() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="results; small")
    parser.add_argument("--work", help="pairs and logits; gone on with if it is there. Default: --out")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--smoke", action="store_true", help="a rehearsal in a minute or two on two cores")
    parser.add_argument("--profile", help="of the pairs that are made, and of the gates; paper, or smoke")
    parser.add_argument("--n-pairs", type=int, default=60_000, help="to inject where there are none")
    parser.add_argument("--n-hosts", type=int, default=6_000)
    parser.add_argument("--stamps", type=int, default=STAMPS, help="of each network's training")
    parser.add_argument("--seeds", type=int, default=2, help="networks of each kind and strength")
    parser.add_argument("--clean-seeds", type=int, default=CLEAN_SEEDS)
    parser.add_argument("--test-pairs", type=int, default=2000)
    parser.add_argument("--gate-pairs", type=int, default=1500)
    parser.add_argument("--kinds", help="of leak_kinds, comma-separated; all by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--deadline-s", type=float, default=200.0, help="wall time of the whole command")
    parser.add_argument("--summarise", action="store_true", help="results again, from --out alone")
    parser.add_argument("--json", help="with --summarise: the small record, as benchmarks/results/leaks.json")
    parser.add_argument("--gates-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.work = args.work or args.out
    args.kinds = args.kinds.split(",") if args.kinds else list(LEAKS)
    if args.smoke:
        args.kinds, args.stamps, args.test_pairs, args.gate_pairs = args.kinds[:2], 192, 24, 60
        args.clean_seeds, args.n_pairs, args.n_hosts = 2, 120, 120
    return args


def profile_of(args):
    """The profile of the pairs and of the gates."""
    changes = {"preflight__n_null": 20, "preflight__n_bootstrap": 100}
    changes |= {f"train__{k}": v for k, v in TRAIN.items()}
    changes |= {"injection__n_pairs": args.n_pairs, "hosts__n_mock": args.n_hosts}
    if args.smoke:
        changes |= {"train__batch_size": 16}
    return load_profile(args.profile or ("smoke" if args.smoke else "paper"), **changes)


def wanted_cells(args) -> list[tuple[str, float]]:
    return cells(args.kinds, 1 if args.smoke else None)


def gate_cells(args) -> list[tuple[str, float]]:
    if args.smoke:
        return [leak_gates.CLEAN, *wanted_cells(args)]
    return [c for c in leak_gates.all_cells() if c[0] in ("none", *args.kinds)]


def gates_only(args) -> None:
    """What the process beside does."""
    profile, path = profile_of(args), str(Path(args.work) / "pairs")
    out, workers = Path(args.work) / "leaks" / "gates.json", max(args.workers - 2, 1)
    leak_gates.run(path, profile, out, args.gate_pairs, workers, gate_cells(args))


def name_of(kind: str, strength: float, seed: int) -> str:
    return f"{kind.replace(' ', '_')}-{strength:g}-{seed}"


def networks_to_train(args) -> list[tuple[str, float, int]]:
    """In this order: two clean ones, every cell once, the other clean ones, every cell with its other seeds."""
    clean = [("none", 0.0, s) for s in range(args.clean_seeds)]
    every = [[(*cell, seed) for cell in wanted_cells(args)] for seed in range(args.seeds)]
    return [*clean[:2], *every[0], *clean[2:], *(n for more in every[1:] for n in more)]


def summarise(out: Path, data: dict) -> dict:
    """Cells and answer, from the logits and the gates that there are."""
    folder = out / "logits"
    if not (folder / "test.npz").exists():
        return data
    about = np.load(folder / "test.npz", allow_pickle=False)
    grouped = leak_analysis.Grouped(about["host_id"], about["source_id"])
    shown = [(str(k), float(s)) for k, s in zip(about["kinds"], about["strengths"])]
    found: dict = {}
    for file in sorted(folder.glob("*.npz")):
        if file.stem != "test":
            kind, strength, _ = file.stem.rsplit("-", 2)
            found.setdefault((kind.replace("_", " "), float(strength)), []).append(dict(np.load(file)))
    given, bare = [], found.get(("none", 0.0), [])
    for i, (kind, strength) in enumerate(shown):
        mine = [_one(x, 0) for x in found.get((kind, strength), [])]
        if mine:
            given.append((kind, strength, mine, [_one(x, i) for x in bare]))
    data["cells"] = leak_analysis.cells(given, grouped)
    if bare:
        base = [leak_analysis.measures(_one(x, 0))["auroc_clean"] for x in bare]
        mean = float(np.mean([v for v, _ in base])), np.mean([i for _, i in base], axis=0)
        data["clean"] = {"auroc": grouped.one(mean), "networks": len(base)}
    data["answer"] = leak_analysis.answer(data["cells"], data.get("gates", []))
    return data


SMALL = ("machine", "seed", "data", "leaks", "steps", "train_pairs", "networks_asked", "gate_set", "clean", "cells")


def small(data: dict) -> dict:
    """What is stored with the project: numbers to four digits, and of the options and gates what pages tell."""
    options = ("stamps", "seeds", "clean_seeds", "test_pairs")
    out = {k: data[k] for k in SMALL} | {"options": {k: data["options"][k] for k in options}}
    out |= {"train": {k: data["train"][k] for k in (*TRAIN, "augment", "channels", "precision")}}
    out |= {"networks": [{k: n[k] for k in ("kind", "strength", "seed", "stamps")} for n in data["networks"]]}
    kept = ("kind", "strength", "gate", "status", "value", "distance")
    rows = sorted(data["gates"], key=lambda r: (r["kind"], r["strength"], r["gate"]))
    out |= {"gates": [{k: r[k] for k in kept} for r in rows], "complete": data["complete"]}
    out = leak_analysis.rounded(out)
    return out | {"answer": leak_analysis.rounded(jsonable(leak_analysis.answer(out["cells"], out["gates"])))}


def _one(logits: dict, leak: int) -> dict:
    return {k: v[leak] if k.startswith("leaked") else v for k, v in logits.items()}


def write(out: Path, data: dict, started: float) -> None:
    data["total_s"] = time.monotonic() - started
    storage.write_json(out / "leaks.json", jsonable(data))


def take_gates(work: Path, data: dict) -> None:
    file = work / "leaks" / "gates.json"
    if file.exists():
        held = storage.read_json(file)
        data["gates"] = held.pop("rows")
        data["gate_set"] = held


def begin_gates(args) -> subprocess.Popen:
    command = [sys.executable, *sys.argv, "--gates-only"]
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    return subprocess.Popen(["nice", "-n", "5", *command], start_new_session=True, env=os.environ | one)


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main() -> int:
    args, started = arguments(), time.monotonic()
    out, work = Path(args.out), Path(args.work)
    if args.gates_only:
        gates_only(args)
        return 0
    (out / "logits").mkdir(parents=True, exist_ok=True)
    (work / "leaks").mkdir(parents=True, exist_ok=True)
    if args.summarise:
        data = jsonable(summarise(out, storage.read_json(out / "leaks.json")))
        storage.write_json(out / "leaks.json", data)
        if args.json:
            storage.write_json(Path(args.json), small(data))
        _print(data)
        return 0
    spent = lambda what: print(f"[{time.monotonic() - started:6.1f} s] {what}", flush=True)  # noqa: E731
    profile = profile_of(args)
    if not (work / "pairs" / "manifest.json").exists():
        from dhs import inject

        spent("pairs")
        inject(work / "pairs", profile=profile, workers=max(args.workers - 1, 1), resume=True)
    pairs = open_pairs(work / "pairs")
    beside = begin_gates(args)
    try:
        return trained(args, profile, pairs, beside, started, spent)
    finally:
        end(beside)


def trained(args, profile, pairs, beside, started: float, spent) -> int:
    """Networks while the gates run beside, and the results."""
    import torch

    out, work = Path(args.out), Path(args.work)
    device = torch.device(args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    options = {k: v for k, v in vars(args).items() if k not in ("out", "work", "json", "gates_only", "summarise")}
    data: dict = {"machine": about_machine(device), "options": options, "seed": profile.seed, "complete": False}
    kept = ("content_hash", "counts", "sources", "versions")
    data["data"] = {k: pairs.manifest[k] for k in kept} | {
        "hosts": {k: pairs.manifest["hosts"][k] for k in ("n", "mock")}
    }
    fields = ("unit", "what", "strengths", "faint")
    data["leaks"] = {k: {f: getattr(LEAKS[k], f) for f in fields} for k in args.kinds}
    spent("steps, and pairs to the device")
    networks, shown = Networks(pairs, profile, device, args), wanted_cells(args)
    data |= {"train": networks.config.model_dump(mode="json"), "steps": networks.n_steps}
    data |= {"seconds_a_step_of_each_way": networks.ways, "train_pairs": len(networks.train_bank), "networks": []}
    kinds, strengths = zip(*shown)
    np.savez(out / "logits" / "test.npz", **networks.about, kinds=np.array(kinds), strengths=np.array(strengths))
    todo, longest = networks_to_train(args), 0.0
    spent(f"{len(todo)} networks of {networks.n_steps} steps")
    for kind, strength, seed in todo:
        file = name_of(kind, strength, seed) + ".npz"
        held, note = work / "leaks" / file, work / "leaks" / (file + ".json")
        if not (held.exists() and note.exists()):
            begun = time.monotonic()
            if begun + 1.1 * longest - started > args.deadline_s - 8.0:
                spent("no time for more networks")
                break
            row = networks.train(kind, strength, seed)
            logits = networks.logits(shown if kind == "none" else [(kind, strength)])
            row["arc_effect"] = float((logits["positive"] - logits["control"]).mean())
            row["auroc_clean"] = leak_analysis.area(logits["positive"], logits["control"])[0]
            if not all(np.isfinite(v).all() for v in logits.values()):
                raise ValueError(f"logits of {file} are not finite")
            np.savez(held, **logits)
            row["seconds"] = time.monotonic() - begun
            storage.write_json(note, jsonable(row))
            longest = max(longest, row["seconds"]) if len(data["networks"]) > 1 else row["seconds"]
            spent(
                f"{file[:-4]}: loss {row['loss_last_fifth']:.3f}, AUROC {row['auroc_clean']:.3f}, "
                f"{row['seconds']:.2f} s"
            )
        shutil.copyfile(held, out / "logits" / file)
        data["networks"].append(storage.read_json(note))
        write(out, data, started)
    data["networks_asked"] = len(todo)
    spent("waiting for the gates")
    while beside.poll() is None and time.monotonic() - started < args.deadline_s - 6.0:
        time.sleep(0.2)
    gates_done = beside.poll() == 0
    end(beside)
    take_gates(work, data)
    data["complete"] = gates_done and len(data["networks"]) == len(todo)
    write(out, data, started)
    write(out, summarise(out, data), started)
    spent("complete" if data["complete"] else f"incomplete: gates {gates_done}, networks {len(data['networks'])}")
    _print(data)
    return 0 if data["complete"] else 1


def _print(data: dict) -> None:
    said = leak_analysis.Said(data.get("gates", []))
    for row in data.get("cells", []):
        shown = [f"{k} {_interval(row[k])}" for k in ("lost", "lift") if k in row]
        fails = ", ".join(said.fails(row["kind"], row["strength"])) or "no gate fails"
        print(f"{row['kind']:18s} {row['strength']:<6g} {', '.join(shown)}; {fails}")
    for name, table in data.get("answer", {}).get("gates", {}).items():
        print(f"{name}: rank correlation {_interval(table.get('correlation', {}))}; {table['costs']}")


def _interval(metric: dict) -> str:
    value, *ends = (metric.get(key) for key in ("value", "ci_low", "ci_high"))
    if value is None:
        return "unknown"
    return f"{value:+.3f}" + ("" if None in ends else " ({:+.3f} to {:+.3f})".format(*ends))


if __name__ == "__main__":
    sys.exit(main())
