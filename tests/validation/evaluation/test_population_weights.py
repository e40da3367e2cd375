"""Weights of rows; that they make the population is tested where they are drawn (tests/injection/test_priors.py)."""

import numpy as np
import pytest

from dhs.errors import DhsError
from dhs.validation.evaluation.population_weights import MAX_SHARE, population_weights


def test_weights_have_mean_one_and_kish_counts_them():
    drawn = np.array([1.0, 3.0, 0.0, np.nan, 4.0])
    got = population_weights(drawn)
    np.testing.assert_allclose(got.weights, np.array([1, 3, 0, 0, 4]) / 1.6)
    assert got.n_used == 3 and got.n_effective == pytest.approx(64 / 26) and got.n_capped == 0


def test_one_row_does_not_become_the_result():
    drawn = np.ones(1000)
    drawn[7] = 5000.0
    got = population_weights(drawn)
    assert got.n_capped == 1 and got.weights[7] / got.weights.sum() < 6 * MAX_SHARE
    assert got.weights[7] == got.weights.max()


def test_rows_that_cannot_be_lenses_are_refused_when_all_are():
    with pytest.raises(DhsError, match="none of 3 rows"):
        population_weights([np.nan, 0.0, np.nan])
