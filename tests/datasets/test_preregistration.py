"""The test split is read under a registered plan or not at all."""

import json

import pytest

from dhs import storage
from dhs.config import digest, load_profile
from dhs.datasets import preregistration
from dhs.errors import DhsError

PROFILE = load_profile("smoke")


class Data:
    """What the plan needs of a pairs data set."""

    def __init__(self, path, content="abc"):
        self.path, self.manifest = str(path), {"content_hash": content, "seed": 3}


def test_no_plan_no_test_split(tmp_path):
    with pytest.raises(DhsError, match=r"before a plan is registered. Run `dhs preflight"):
        preregistration.open_test(Data(tmp_path), PROFILE)
    assert not storage.exists(tmp_path / "test_read.json")


def test_registered_plan_holds_what_was_asked_and_its_own_hash(tmp_path):
    record = preregistration.register(Data(tmp_path), PROFILE)
    held = record["plan"]
    assert record["sha256"] == digest(held) and record["amendments"] == []
    assert held["gates"]["equivalence_margin"] == 0.05 and held["primary_metric"] and held["signoff_rules"]
    assert held["strata"]["theta_e_arcsec"] == list(PROFILE.evaluate.theta_e_edges)
    assert held["seeds"] == {"injection": 3, "analysis": PROFILE.seed}
    assert preregistration.register(Data(tmp_path), PROFILE) == record
    assert preregistration.open_test(Data(tmp_path), PROFILE) == record == preregistration.open_test(Data(tmp_path))
    assert preregistration.read_under(Data(tmp_path)) == [record["sha256"]]


@pytest.mark.parametrize(
    "change, named",
    [
        ({"preflight__equivalence_margin": 0.2}, "gates"),
        ({"evaluate__n_bootstrap": 7}, "evaluation"),
        ({"seed": 9}, "seeds"),
        ({"evaluate__theta_e_edges": (0.5, 3.0)}, "strata"),
    ],
)
def test_other_settings_than_the_plan_s_are_refused_by_name(change, named, tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    with pytest.raises(DhsError, match=named):
        preregistration.open_test(Data(tmp_path), PROFILE.replace(**change))


def test_training_settings_are_not_of_the_plan(tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    assert preregistration.open_test(Data(tmp_path), PROFILE.replace(train__epochs=9))


def test_plan_of_other_data_is_refused_and_replaced_without_a_trace(tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    with pytest.raises(DhsError, match="another data set"):
        preregistration.open_test(Data(tmp_path, "other"), PROFILE)
    assert preregistration.register(Data(tmp_path, "other"), PROFILE)["amendments"] == []


def test_changes_are_remembered_with_whether_the_test_split_was_read(tmp_path):
    data, second = Data(tmp_path), PROFILE.replace(preflight__alpha=0.01)
    first = preregistration.register(data, PROFILE)
    before = preregistration.register(data, second)["amendments"]
    assert before == [{"from": first["sha256"], "changed": {"gates.alpha": [0.05, 0.01]}, "after_test_read": False}]
    preregistration.open_test(data, second)
    after = preregistration.register(data, PROFILE)["amendments"]
    assert [a["after_test_read"] for a in after] == [False, True]


def test_an_edited_plan_is_refused(tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    path = tmp_path / "plan.json"
    record = json.loads(path.read_text())
    record["plan"]["gates"]["equivalence_margin"] = 0.5
    path.write_text(json.dumps(record))
    for step in (preregistration.open_test, preregistration.register):
        with pytest.raises(DhsError, match="edited by hand"):
            step(Data(tmp_path), PROFILE)
