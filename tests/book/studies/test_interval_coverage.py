"""Intervals hold the truth as often as they say, where clusters are many; the table documents where they are few."""

import numpy as np
import pytest

from dhs.book.studies import interval_coverage as coverage
from dhs.stats.metrics import Metric


def test_the_truth_of_the_simulation_is_what_a_huge_sample_gives():
    design = {"hosts": 60_000, "sources": 60_000, "per_host": 1, "spread": (0.5, 0.5, 0.7), "shift": 1.5}
    sample, want = coverage.simulate(np.random.default_rng(0), design), coverage.truth(design)
    found = {f: run(sample, design, 0) for f, run in (("a", coverage.of_scores), ("b", coverage.of_shares))}
    for name, interval in (found["a"] | found["b"]).items():
        value = interval.value if isinstance(interval, Metric) else np.mean(interval)
        assert value == pytest.approx(want[name], abs=0.08 if "60 arcs" in name else 0.012), name
    small = design | {"hosts": 20_000, "sources": 20_000}
    for name, metric in coverage.of_draws(coverage.simulate(np.random.default_rng(1), small), small, 0).items():
        assert metric.value == pytest.approx(want[name], abs=0.02), name


def test_the_table_holds_every_interval_at_the_papers_size_and_at_few_clusters():
    rows = coverage.table()
    at = {(r["statistic"], r["hosts"], r["sources"]): r for r in rows}
    for hosts, sources in ((15_000, 300), (45_000, 300), (3000, 299), (3000, 300)):
        for name in ("auroc", "mean", "concordance", "share found", "purity", "brier"):
            assert (
                abs(at[name, hosts, sources]["covered"] - 0.95) <= 0.02 + 2 * at[name, hosts, sources]["standard_error"]
            )
    for n in (10, 20, 40, 300, 2000):
        assert ("auroc", 3000, n) in at and (n == 2000 or ("auroc", n, 2000) in at)
    families = {r["family"] for r in rows}
    assert families == set(coverage.FAMILIES)
    shown = [r for r in rows if not (r["statistic"].startswith("leakage concordance") and r["sources"] < 41)]
    many = [r for r in shown if min(r["hosts"], r["sources"] or 99) >= 30 and r["n_samples"]]
    outside = [r for r in many if r["covered"] < 0.93 - 2.5 * r["standard_error"]]
    assert not outside, outside


@pytest.mark.parametrize("family", ["scores", "shares", "calibration"])
def test_one_design_again_agrees_with_the_table(family):
    design = coverage.DESIGNS[9]
    got = {r["statistic"]: r["covered"] for r in coverage.coverage(family, design, n_samples=60)}
    assert all(0.85 <= share <= 1 for share in got.values())


def test_a_one_way_interval_would_not_have_passed_at_the_papers_size():
    """The table can see the fault it was blind to: 300 sources dropped from the variance."""
    design = coverage.DESIGNS[-2] | {"hosts": 6000}
    held = {True: 0, False: 0}
    for k in range(40):
        sample = coverage.simulate(np.random.default_rng(k), design)
        for two_way in held:
            sources = sample["sources"] if two_way else np.full(12_000, -1)
            metric = coverage.of_scores(sample | {"sources": sources}, design, 0)["mean"]
            held[two_way] += metric.ci_low <= 1.5 <= metric.ci_high
    assert held[True] >= 33 and held[False] <= 30


@pytest.mark.slow
@pytest.mark.parametrize("family", coverage.FAMILIES)
def test_the_whole_table_comes_out_again(family):
    want = {(r["statistic"], r["hosts"], r["sources"], r["weak_source"]): r for r in coverage.table()}
    for design in coverage.designs(family):
        for got in coverage.coverage(family, design, 100):
            row = want[got["statistic"], got["hosts"], got["sources"], got["weak_source"]]
            assert got["covered"] == pytest.approx(row["covered"], abs=0.08)
