"""Intervals hold the truth as often as they say, where clusters are many; the table documents where they are few."""

import numpy as np
import pytest

from dhs.stats import coverage


def test_the_truth_of_the_simulation_is_what_a_huge_sample_gives():
    design = {"hosts": 20_000, "sources": 20_000, "per_host": 1, "spread": (0.5, 0.5, 0.7), "shift": 1.5}
    sample, want = coverage.simulate(np.random.default_rng(0), design), coverage.truth(design)
    scores, labels = sample["scores"], sample["labels"]
    assert scores[labels].mean() == pytest.approx(want["mean"], abs=0.03)
    assert np.mean(scores[labels] > np.quantile(scores[~labels], 0.9)) == pytest.approx(
        want["recall_at_fpr_0.1"], abs=0.01
    )
    got = coverage.metrics.auroc(scores, labels).value
    assert got == pytest.approx(want["auroc"], abs=0.005)


def test_the_shipped_table_covers_within_two_points_where_clusters_are_many_and_shows_the_few():
    rows = coverage.table()
    assert len(rows) == len(coverage.DESIGNS) * len(coverage.STATISTICS)
    many = [r for r in rows if min(r["hosts"], r["sources"]) >= 30]
    assert len(many) == 15 and all(abs(r["covered"] - 0.95) <= 0.02 for r in many)
    few = [r for r in rows if min(r["hosts"], r["sources"]) < 30]
    assert min(r["covered"] for r in few) > 0.8


def test_one_design_again_agrees_with_the_table():
    design = coverage.DESIGNS[2]
    got = {r["statistic"]: r["covered"] for r in coverage.coverage(design, n_samples=60, n_bootstrap=60)}
    assert all(0.85 <= share <= 1 for share in got.values())


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(coverage.DESIGNS)))
def test_the_whole_table_comes_out_again(index):
    want = coverage.table()[index * 3 : index * 3 + 3]
    for got, row in zip(coverage.coverage(coverage.DESIGNS[index]), want):
        assert got["covered"] == pytest.approx(row["covered"], abs=1e-3)
