"""How often ``dhs audit`` cries wolf, and how weak a planted leak may be that it catches.

    python benchmarks/audit_any.py [--clean 200] [--stamps 400] [--repetitions 4] [--pool 3000] [--json FILE]

A pool of mock galaxies of the kinds that a lens finder meets is made once. A clean set is a random part of it with
labels at random: two halves of one population, unpaired. Each leak of `dhs.validation.audit.leaks` is planted into the
positives of such sets at five strengths; copies are planted turned, mirrored, shifted and noisy, under the other label.
The file is written as it goes, and a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.stats import beta

from dhs import storage
from dhs.stats.duplicates import turned
from dhs.survey.imaging import imaging
from dhs.survey.mock.negatives import SurveyNegatives
from dhs.validation.audit.audit import Wanted, judge, measure
from dhs.validation.audit.leaks import LEAKS
from dhs.validation.audit.readers.base import Layout
from dhs.validation.preflight.gate import NO_GO, decide

NOTE = (
    "Sets are random parts of one pool of mock galaxies, labels at random, so they share stamps: counts are of "
    "decisions. A leak counts as caught where the decision is NO-GO, or where a check that does not block fails "
    "by name; upper bounds are one-sided 95 %, Clopper-Pearson."
)
COPIES = {
    "under the other label": (0, 0, 0.0),
    "rotated": (1, 0, 0.0),
    "mirrored": (4, 0, 0.0),
    "shifted by 3 pixels": (0, 3, 0.0),
    "with half its noise again": (0, 0, 0.5),
    "rotated, with its noise again": (3, 0, 1.0),
    "mirrored, shifted, with half its noise again": (6, 2, 0.5),
}


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def pool_of(n: int, path: Path) -> np.ndarray:
    """(n, 3, 64, 64) mock galaxies, kept in a file; a little noise takes them off the lattice they are stored on."""
    if not path.is_file():
        made = SurveyNegatives(n, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack([made.read(i).image for i in range(n)]).astype(np.float32))
    pool = np.load(path, allow_pickle=False)
    scale = 1.4826 * np.median(np.abs(pool[..., :8, :8]), axis=(0, 2, 3))[:, None, None]
    return pool + (0.1 * scale * generator(20).standard_normal(pool.shape, np.float32)).astype(np.float32)


def drawn(pool: np.ndarray, n: int, *seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = generator(*seed)
    rows = np.sort(rng.permutation(len(pool))[:n])
    return np.array(pool[rows]), rng.permutation(np.arange(n) % 2), rng


def outcome(images: np.ndarray, labels: np.ndarray) -> dict:
    """Decision of all checks, and which fail."""
    gates = judge(measure(Wanted(images, labels, None, imaging("legacy"), Layout(), 0), 1))
    decision, _ = decide(gates)
    return {"refused": decision == NO_GO, "failed": sorted(g.name for g in gates if g.status == "fail")}


def clean(pool, n: int, number: int) -> dict:
    images, labels, _ = drawn(pool, n, 21, number)
    return outcome(images, labels)


def planted(pool, n: int, index: int, strength: float, repetition: int) -> dict:
    """One set whose positives have been through a leak."""
    images, labels, rng = drawn(pool, n, 22, index, repetition)
    scale = 1.4826 * np.median(np.abs(images[..., :8, :8]), axis=(0, 2, 3))
    mine = labels == 1
    images[mine] = LEAKS[index].plant(images[mine], scale, strength, rng)
    return outcome(images, labels)


def copied(pool, n: int, how: tuple[int, int, float], repetition: int) -> bool:
    """Whether one copy under the other label was found."""
    images, labels, rng = drawn(pool, n, 23, repetition)
    first, second = int(np.flatnonzero(labels == 1)[0]), int(np.flatnonzero(labels == 0)[0])
    turn, moved, noise = how
    copy = np.roll(turned(images[first], turn), moved, axis=-1)
    sigma = 1.4826 * np.median(np.abs(images[first][:, :8, :8]), axis=(1, 2))[:, None, None]
    images[second] = (copy + noise * sigma * rng.standard_normal(copy.shape)).astype(np.float32)
    data = measure(Wanted(images, labels, None, imaging("legacy"), Layout(), 0), 1)
    return any({t.first, t.second} == {first, second} for t in data.twins.pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=int, default=200)
    parser.add_argument("--stamps", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=4)
    parser.add_argument("--pool", type=int, default=3000)
    parser.add_argument("--strengths", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs") / "audit_any")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "audit_any.json")
    args = parser.parse_args()
    key = {"stamps": args.stamps, "pool": args.pool}
    held = json.loads(args.json.read_text()) if args.json.is_file() else {}
    if held.get("made_with") != key:
        held = {"made_with": key, "note": NOTE, "clean": {"n": 0, "false_failures": 0, "failed": {}}}
        held |= {"leaks": {}, "copies": {}}
    start = time.time()
    pool = pool_of(args.pool, args.work / f"pool_{args.pool}.npy")
    print(f"a pool of {len(pool)} in {time.time() - start:.0f} s", flush=True)
    for repetition in range(args.repetitions):  # a little of everything first
        _more_clean(held, pool, args, round(args.clean * (repetition + 1) / args.repetitions))
        for name, how in COPIES.items():
            entry = held["copies"].setdefault(name, {"n": 0, "caught": 0})
            if entry["n"] <= repetition:
                entry["caught"] += copied(pool, args.stamps, how, repetition)
                entry["n"] += 1
                _write(args.json, held)
        for index, leak in enumerate(LEAKS):
            _more_leaks(held, pool, args, index, leak, repetition)


def _more_clean(held: dict, pool, args, upto: int) -> None:
    entry = held["clean"]
    while entry["n"] < upto:
        found = clean(pool, args.stamps, entry["n"])
        entry["n"] += 1
        entry["false_failures"] += int(found["refused"])
        for name in found["failed"]:
            entry["failed"][name] = entry["failed"].get(name, 0) + 1
        k, n = entry["false_failures"], entry["n"]
        entry["upper_bound"] = float(beta.ppf(0.95, k + 1, n - k)) if k < n else 1.0
        if found["failed"]:
            print(f"  clean set {n - 1}: {found['failed']}", flush=True)
        _write(args.json, held)


def _more_leaks(held: dict, pool, args, index: int, leak, repetition: int) -> None:
    strengths = np.geomspace(*leak.strengths, args.strengths).tolist()
    entry = held["leaks"].setdefault(leak.name, {"unit": leak.unit, "strengths": strengths, "check": leak.check})
    for name in ("caught", "tried"):
        entry.setdefault(name, [0] * len(strengths))
    entry.setdefault("by", [{} for _ in strengths])
    for place, strength in enumerate(entry["strengths"]):
        if entry["tried"][place] > repetition:
            continue
        found = planted(pool, args.stamps, index, strength, repetition)
        entry["tried"][place] += 1
        entry["caught"][place] += bool(found["failed"])
        for name in found["failed"]:
            entry["by"][place][name] = entry["by"][place].get(name, 0) + 1
        _write(args.json, held)
    said = ", ".join(f"{s:.2g}: {c}/{t}" for s, c, t in zip(entry["strengths"], entry["caught"], entry["tried"]))
    print(f"  {leak.name}: {said}", flush=True)


def _write(path: Path, held: dict) -> None:
    storage.write_json(path, held)


if __name__ == "__main__":
    main()
