"""A small pairs data set, and the artefacts of a stored small run (``python tests/helpers/smoke_run.py`` makes it)."""

import json
from pathlib import Path

import matplotlib
import pyarrow.parquet as pq
import pytest
from drawn_pairs import write_pairs

from dhs.artefacts.training import read_history, read_settings

matplotlib.use("Agg")
SMOKE = Path(__file__).parent / "smoke_run"


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("run") / "pairs")


@pytest.fixture
def smoke():
    """A JSON artefact of the stored run by its name."""
    return lambda name: json.loads((SMOKE / f"{name}.json").read_text())


@pytest.fixture
def report(smoke):
    return smoke("preflight")


@pytest.fixture
def evaluation(smoke):
    return smoke("evaluation")


@pytest.fixture(scope="session")
def scores():
    return pq.read_table(SMOKE / "scores.parquet")


@pytest.fixture
def history():
    return read_history(SMOKE)


@pytest.fixture
def config():
    return read_settings(SMOKE)
