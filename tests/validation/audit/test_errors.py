"""How often clean sets are refused, and that the null is what it says."""

from dataclasses import replace

import numpy as np
import pytest
from foreign_sets import halves, stamps
from scipy.stats import binom, kstest

from dhs.stats.permuted import Null, tail
from dhs.survey.imaging import imaging
from dhs.validation.audit.audit import Wanted, judge, measure
from dhs.validation.audit.check import CHECKS, AuditData
from dhs.validation.audit.readers.base import Layout

POOL, SETS, N = 400, 36, 120
STATISTICAL = {c.name for c in CHECKS.values() if 10 <= c.number < 24 or c.number in (41, 42)}


@pytest.fixture(scope="module")
def pool():
    return measure(Wanted(stamps(POOL, seed=3), halves(POOL), None, imaging("legacy"), Layout(), 0), 1)


def part(data: AuditData, rows, labels) -> AuditData:
    families = {k: (x[rows], names) for k, (x, names) in data.measured.families.items()}
    measured = replace(data.measured, places=rows, families=families)
    known = np.ones(len(rows), bool)
    return replace(data, measured=measured, labels=labels, known=known, groups=np.arange(len(rows)), sections={})


def test_few_clean_sets_are_refused(pool):
    refused = 0
    for number in range(SETS):
        rng = np.random.default_rng([1, number])
        rows, labels = np.sort(rng.permutation(POOL)[:N]), rng.permutation(np.arange(N) % 2 == 1)
        refused += any(g.status == "fail" for g in judge(part(pool, rows, labels), STATISTICAL))
    assert refused <= binom.ppf(0.995, SETS, 0.05), refused


def test_p_values_of_no_difference_are_uniform_and_groups_are_kept():
    got = {"probe": [], "single": []}
    for number in range(60):
        rng = np.random.default_rng([2, number])
        groups = np.repeat(np.arange(30), 2)  # two looks at one galaxy, one label
        x = rng.normal(size=(30, 4))[groups] + 0.1 * rng.normal(size=(60, 4))
        labels = rng.permutation(np.arange(30) % 2)[groups]
        null = Null(labels, groups, number, n_single=199)
        assert all(len(set(null.folds[groups == g])) == 1 for g in range(30))
        assert (null.permuted.reshape(30, 2, -1)[:, 0] == null.permuted.reshape(30, 2, -1)[:, 1]).all()
        got["probe"].append(null.probe(x).p)
        got["single"].append(null.single(x).p)
    assert all(kstest(p, "uniform").pvalue > 0.005 for p in got.values())


def test_a_difference_is_found_and_a_margin_forgives_it():
    rng = np.random.default_rng(5)
    labels = np.arange(400) % 2
    x = rng.normal(size=(400, 6))
    x[:, 3] += 0.6 * labels
    null = Null(labels, np.arange(400))
    single = null.single(x)
    assert single.feature == 3 and single.p < 0.01 and single.metric.ci_low > 0.5
    assert null.probe(x).p < 0.02 and null.probe(x, margin=0.4).p > 0.9 and null.single(x, margin=0.4).p > 0.9
    wide = rng.normal(size=(400, 6))
    wide[:, 2] *= 1 + labels  # the same mean, another spread
    assert null.probe(wide).p < 1e-4


def test_the_tail_is_counted_where_it_can_be():
    null = np.random.default_rng(0).normal(size=999)
    assert tail(0.0, null) == pytest.approx((1 + (null >= 0).sum()) / 1000)
    assert tail(6.0, null) < 1e-6
    assert tail(0.5, np.full(99, 0.5)) == 1.0
