"""What a leak looks like: two gates on one set as it is, with a pedestal in every core, and with a PSF off its centre.

    python benchmarks/planted_gates.py [--pairs 600] [--work FOLDER] [--json FILE]

The same pairs are measured three times; only the arcs' pixels are changed, and the numbers stored beside them agree.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from audit_faults import RADIUS, Fault, all_arcs, sigma
from audit_power import Bench
from scipy.ndimage import shift

import dhs
from dhs import fingerprint, storage
from dhs.config import load_profile
from dhs.validation.preflight.gate import run_gates

GATES = ("core_leakage", "arc_core_fraction", "residual_image")
GROUPS = ("leakage", "arcs")
PLANTED = {
    "pedestal": (1.5, "sky noise", lambda r, s, rng: r["arc"] + s * (RADIUS < 5) * sigma(r)),
    "off_centre": (2.0, "pixels", lambda r, s, rng: np.stack([shift(b, (s, s), order=3) for b in r["arc"]])),
}
KEPT = ("by", "lo", "hi", "n", "value", "ci_low", "ci_high", "expected", "null_low", "null_high", "stored", "delta")


def shown(gate) -> dict:
    """Of a gate, what its figure draws."""
    about = gate.as_dict() if hasattr(gate, "as_dict") else dict(gate)
    bins = [{k: b[k] for k in KEPT if k in b} for b in about["details"].get("bins", [])]
    kept = {k: about.get(k) for k in ("name", "status", "value", "ci_low", "ci_high", "threshold", "explanation")}
    return kept | {"details": {"bins": bins} | {k: about["details"].get(k) for k in ("expected", "margin", "delta")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--work", type=Path, default=Path("runs") / "planted_gates")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "planted_gates.json")
    args = parser.parse_args()
    options = {"preflight__n_null": 20, "preflight__n_survey": 0, "preflight__max_rows": args.pairs}
    profile = load_profile("demo", hosts__n_mock=args.pairs, injection__n_pairs=args.pairs, **options)
    dhs.inject(args.work / "pairs", profile=profile, engine="serial", resume=True)
    bench = Bench(args.work / "pairs", profile)
    members, rng = np.arange(len(bench.rows)), np.random.Generator(np.random.PCG64(11))
    sets = {"clean": {"gates": [shown(g) for g in run_gates(bench.data(members, {}, None), GATES)]}}
    for name, (strength, unit, change) in PLANTED.items():
        fault = Fault(name, "set", unit, (strength,), all_arcs(change), GATES, GROUPS)
        planted = fault.plant(bench.rows, strength, rng)
        gates = run_gates(bench.data(members, planted, fault), GATES)
        sets[name] = {"strength": strength, "unit": unit, "gates": [shown(g) for g in gates]}
        print(name, [(g.name, g.status) for g in gates], flush=True)
    about = {"pairs": args.pairs, "seed": profile.seed, "content_hash": bench.pairs.manifest["content_hash"]}
    about |= {"date": time.strftime("%Y-%m-%d"), "margin": profile.preflight.equivalence_margin}
    storage.write_json(
        args.json, about | {"code": fingerprint.code("dhs.validation.preflight.preflight"), "sets": sets}
    )


if __name__ == "__main__":
    main()
