"""How often the gates are wrong: sets made anew from other seeds, clean and with one planted fault.

``DHS_REPETITIONS`` sets how many (4 by default), ``DHS_FIRST`` the first. Many more faults, at several strengths, are
planted by ``benchmarks/audit_power.py``.
"""

import os

import numpy as np
import pytest
from planted_faults import FAULTS, N_PAIRS
from planted_pairs import make_rows, write
from scipy.stats import beta

from dhs.validation.preflight.gate import decide, run_gates
from dhs.validation.preflight.preflight import collect

REPETITIONS, FIRST = (int(os.environ.get(k, d)) for k, d in (("DHS_REPETITIONS", "4"), ("DHS_FIRST", "0")))


def measured(folder, rows, profile):
    return collect(write(folder, *rows), profile, engine="serial")


def entry(name, gates, hits):
    k, n = int(sum(hits)), len(hits)
    low = float(beta.ppf(0.05, k, n - k + 1)) if k else 0.0
    return {"set": name, "gates": sorted(gates), "as_it_should": k, "n": n, "lower_bound": low}


@pytest.mark.slow
def test_clean_sets_are_not_refused_and_planted_faults_are_caught(tmp_path, profile):
    hits: dict = {name: [] for name in ("clean", *FAULTS)}
    alarms: dict = {}
    for repetition in range(FIRST, FIRST + REPETITIONS):
        pairs, negatives = make_rows(N_PAIRS, first=10_000 * (repetition + 1))
        outcome = run_gates(measured(tmp_path / "set", (pairs, negatives), profile))
        decision, _ = decide(outcome)
        failed = [g.name for g in outcome if g.status == "fail"]
        for name in failed:
            alarms[name] = alarms.get(name, 0) + 1
        hits["clean"].append(decision != "NO-GO" and not failed)
        for name, (plant, size, gates) in FAULTS.items():
            few = pairs[: size or N_PAIRS]
            ids = {r["pair_id"] for r in few}
            rows = plant(few, [n for n in negatives if n["pair_id"] in ids], np.random.default_rng([3, repetition]))
            settings = profile if size else profile.replace(preflight__max_rows=0)
            got = run_gates(measured(tmp_path / "set", rows, settings), gates)
            hits[name].append(any(g.status == "fail" for g in got))
        table = [entry(n, FAULTS[n][2] if n in FAULTS else (), v) for n, v in hits.items()]
    for row in table:
        assert row["as_it_should"] >= 0.95 * row["n"], (row, alarms)
