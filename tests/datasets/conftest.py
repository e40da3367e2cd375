import pytest

import dhs
from dhs.config import load_profile

TINY = {
    "hosts__n_mock": 30,
    "sources__spec": "mock",
    "injection__n_pairs": 30,
    "injection__pairs_per_part": 8,
    "injection__supersampling": 2,
}


@pytest.fixture(scope="session")
def tiny():
    return load_profile("smoke", **TINY)


@pytest.fixture(scope="session")
def pairs(tiny, tmp_path_factory):
    """A small data set from mock hosts and mock sources."""
    return dhs.inject(tmp_path_factory.mktemp("pairs") / "a", profile=tiny, engine="serial")
