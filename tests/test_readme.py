"""What README says was found is what is stored."""

from pathlib import Path

import pytest

from dhs import storage

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def said() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


def _recall(run: dict, fpr: float) -> str:
    found = next(e["tpr"]["value"] for e in run["evaluation"]["tpr_at_fpr"] if abs(e["fpr"] / fpr - 1) < 0.01)
    return f"{100 * found:.0f} %"


def test_the_planted_leaks(said):
    """Every set with a leak that costs failed a gate, and every one that costs nothing as well."""
    found = storage.read_json(RESULTS / "leaks.json")["answer"]["gates"]["any"]
    costs = found["costs"]
    assert not costs["silent_yes"] and not costs["silent_no"]
    assert f"Of {found['n_cells']} sets with a leak planted, {costs['raised_yes']} cost the network accuracy" in said
    assert f"in all {costs['raised_yes']}, and in all {costs['raised_no']} of those that cost nothing" in said


def test_the_finder(said):
    runs = storage.read_json(RESULTS / "plan_on_gpu.json")["recipes"]
    galaxies = runs["finder"]["data"]["hosts"]["per_split"]["train"]
    assert f"{galaxies:,} distinct galaxies" in said
    assert f"finds {_recall(runs['finder'], 1e-3)} of the arcs at one false alarm in a thousand" in said
    assert f"on a few thousand galaxies it was {_recall(runs['finder_few_galaxies'], 1e-3)}" in said


def test_mock_and_real(said):
    study = storage.read_json(RESULTS / "transfer.json")
    rows = {(r["trained_on"], r["tested_on"]): r for r in study["rows"]}
    mock, real = (f"{100 * rows['mock', side]['recall_1e-2']['value']:.0f} %" for side in ("mock", "real"))
    assert rows["mock", "real"]["false_alarms_1e-2"]["k"] == 0 and f"On {study['hosts']['real']['n']} real" in said
    assert f"finds {real} of the arcs where it finds {mock} in mock ones" in said
