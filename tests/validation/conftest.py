"""Fixtures on the tiny data sets of ``planted_pairs``."""

import copy

import pytest
from planted_pairs import SEED, make_rows, write

from dhs.config import load_profile


@pytest.fixture(scope="session")
def base_rows():
    return make_rows()


@pytest.fixture
def rows(base_rows):
    """(pairs, negatives) to change freely."""
    pairs, negatives = base_rows
    return [copy.copy(r) for r in pairs], [copy.copy(r) for r in negatives]


@pytest.fixture(scope="session")
def clean(base_rows, tmp_path_factory):
    """A clean data set on disk; not to be changed."""
    return write(tmp_path_factory.mktemp("clean") / "pairs", *base_rows)


@pytest.fixture(scope="session")
def profile():
    return load_profile("smoke", preflight__n_null=40, preflight__n_bootstrap=120, preflight__n_survey=0, seed=SEED)
