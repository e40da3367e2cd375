"""How often the audit refuses a set that has nothing wrong: independent sets, each with galaxies of its own.

    python benchmarks/audit_clean.py [--sets 100] [--pairs 1000] [--workers N] [--deadline-s S] [--json FILE]

``audit_power.py`` draws its clean sets from one data set, and they share pairs; here each set is injected from a seed
of its own and measured by `dhs.preflight` as a user would, with the demo's settings. The file is written after every
set, and a run goes on where it stopped: ``sets`` (seed, decision, failed and warned gates), ``n``, ``false_failures``,
``upper_bound`` (one-sided 95 %, exact), ``failed`` (sets per gate), ``seconds_a_set`` of one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from scipy.stats import beta

FIRST_SEED = 1000


def one(job: tuple[int, int]) -> dict:
    """Inject and measure one clean set."""
    import dhs
    from dhs.config import load_profile
    from dhs.validation.preflight.gate import NO_GO

    seed, pairs = job
    started, folder = time.process_time(), Path(tempfile.mkdtemp(prefix="dhs-clean-"))
    options = {"injection__n_pairs": pairs, "hosts__n_mock": pairs, "preflight__n_survey": 0}
    profile = load_profile("demo", seed=seed, **options)
    try:
        made = dhs.inject(folder / "pairs", profile=profile, engine="serial")
        report = dhs.preflight(made.path, folder / "preflight", profile=profile, workers=1)
        by = {s: sorted(g.name for g in report.gates if g.status == s) for s in ("fail", "warn")}
        return {
            "seed": seed,
            "decision": report.decision,
            "refused": report.decision == NO_GO,
            "failed": by["fail"],
            "warned": by["warn"],
            "seconds": time.process_time() - started,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summary(pairs: int, sets: list[dict]) -> dict:
    """What is stored."""
    n, k = len(sets), sum(s["refused"] for s in sets)
    return {
        "pairs_a_set": pairs,
        "n": n,
        "false_failures": k,
        "upper_bound": float(beta.ppf(0.95, k + 1, n - k)) if k < n else 1.0,
        "failed": dict(Counter(name for s in sets for name in s["failed"])),
        "warned": dict(Counter(name for s in sets for name in s["warned"])),
        "seconds_a_set": sum(s["seconds"] for s in sets) / max(n, 1),
        "sets": sorted(sets, key=lambda s: s["seed"]),
    }


def main() -> None:
    from dhs import storage

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deadline-s", type=float, default=1e9, help="none begins after it")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "audit_clean.json")
    args = parser.parse_args()
    held = storage.read_json(args.json) if args.json.is_file() else {}
    sets = held.get("sets", []) if held.get("pairs_a_set") == args.pairs else []
    done = {s["seed"] for s in sets}
    todo = [(FIRST_SEED + i, args.pairs) for i in range(args.sets) if FIRST_SEED + i not in done]
    end = time.monotonic() + args.deadline_s
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for found in pool.imap_unordered(one, todo):
            sets.append(found)
            storage.write_json(args.json, summary(args.pairs, sets))
            print(f"{found['seed']}: {found['decision']} {found['failed']} {found['seconds']:.0f} s", flush=True)
            if time.monotonic() > end:
                pool.terminate()
                break
    out = summary(args.pairs, sets)
    print(f"{out['false_failures']} of {out['n']} clean sets refused (upper bound {out['upper_bound']:.3f})")


if __name__ == "__main__":
    main()
