"""Krippendorff's alpha against the worked example its author published, and against the definition written out."""

import itertools

import numpy as np
import pytest

from dhs.stats.agreement import ordinal_alpha

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units, 1 to 5.
OBSERVERS = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
EXAMPLE = np.array(
    [[np.nan if v == "." else float(v) - 1 for v in row.split()] for row in OBSERVERS.split("\n") if row]
).T


def by_definition(grades, n_grades):
    """Alpha from every ordered pair of grades, one by one."""
    units = [row[np.isfinite(row)].astype(int) for row in grades]
    units = [u for u in units if len(u) > 1]
    every = np.concatenate(units)
    totals = np.bincount(every, minlength=n_grades)

    def distance(a, b):
        low, high = min(a, b), max(a, b)
        return (totals[low : high + 1].sum() - (totals[low] + totals[high]) / 2) ** 2 if a != b else 0.0

    observed = sum(distance(a, b) / (len(u) - 1) for u in units for a, b in itertools.permutations(u, 2))
    expected = sum(distance(a, b) for a, b in itertools.permutations(every, 2))
    return 1 - (len(every) - 1) * observed / expected


def test_the_published_example():
    assert ordinal_alpha(EXAMPLE, 5).value == pytest.approx(0.815, abs=5e-4)
    assert by_definition(EXAMPLE, 5) == pytest.approx(0.815, abs=5e-4)


def test_any_table_is_as_the_definition_says():
    rng = np.random.default_rng(0)
    for n_graders in (2, 3, 5):
        grades = rng.integers(0, 4, (40, n_graders)).astype(float)
        grades[rng.random(grades.shape) < 0.2] = np.nan
        assert ordinal_alpha(grades, 4, n_bootstrap=10).value == pytest.approx(by_definition(grades, 4), abs=1e-12)


def test_agreement_is_one_and_lots_are_nought():
    rng = np.random.default_rng(1)
    same = np.repeat(rng.integers(0, 4, (200, 1)), 3, axis=1).astype(float)
    assert ordinal_alpha(same, 4, n_bootstrap=50).value == 1.0
    lots = ordinal_alpha(rng.integers(0, 4, (2000, 2)).astype(float), 4)
    assert lots.ci_low < 0 < lots.ci_high and lots.ci_high - lots.ci_low < 0.2


def test_a_slip_of_one_step_counts_less_than_one_of_three():
    first = np.tile([0.0, 1, 2, 3], 25)
    near, far = first.copy(), first.copy()
    near[::10] = np.clip(near[::10] + 1, 0, 3)
    far[::10] = 3 - far[::10]
    assert ordinal_alpha(np.stack([first, near], 1), 4).value > ordinal_alpha(np.stack([first, far], 1), 4).value + 0.1


def test_the_interval_covers():
    """Graders who see one truth with slips: the interval of 100 samples of 60 units against alpha of a million."""
    rng = np.random.default_rng(2)

    def sample(n):
        truth = rng.integers(0, 4, (n, 1))
        return np.clip(truth + rng.choice([-1, 0, 1], (n, 3), p=(0.2, 0.6, 0.2)), 0, 3).astype(float)

    true = ordinal_alpha(sample(200_000), 4, n_bootstrap=2).value
    found = [ordinal_alpha(sample(60), 4, n_bootstrap=400, seed=k) for k in range(100)]
    assert 88 <= sum(m.ci_low <= true <= m.ci_high for m in found) <= 100


def test_what_cannot_be_measured_says_why():
    assert ordinal_alpha(np.array([[1.0, np.nan]]), 4).flags == ("no_two_graders_on_one_candidate",)
    assert ordinal_alpha(np.zeros((20, 2)), 4).flags == ("one_grade_only",)
    few = ordinal_alpha(np.array([[0.0, 1], [1, 1], [2, 3]]), 4)
    assert few.value is not None and few.ci_low is None and few.flags == ("few_candidates",)
