"""The test split is read under a registered plan or not at all."""

import json
from types import SimpleNamespace

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
    assert not storage.exists(tmp_path / "test_reads")


def test_registered_plan_holds_what_was_asked_and_its_own_hash(tmp_path):
    record = preregistration.register(Data(tmp_path), PROFILE)
    held = record["plan"]
    assert record["sha256"] == digest(held) and record["amendments"] == []
    assert held["gates"]["equivalence_margin"] == 0.05 and held["primary_metric"] and held["signoff_rules"]
    assert held["strata"]["theta_e_arcsec"] == list(PROFILE.evaluate.theta_e_edges)
    assert held["seeds"] == {"injection": 3, "analysis": PROFILE.seed}
    assert preregistration.register(Data(tmp_path), PROFILE) == record
    assert held["training"]["lr"] == PROFILE.train.lr and "wandb_run" not in held["training"]
    assert held["primary_analysis"]["networks"] == 1 and held["primary_analysis"]["epoch_chosen_by"] == "auroc_val"
    for n in (1, 2):
        opened = preregistration.open_test(Data(tmp_path), PROFILE if n == 1 else None)
        assert opened.pop("read")["n"] == n and opened == record
    log = preregistration.Log.of(Data(tmp_path))
    assert list(log.plans) == [record["sha256"]] and [r["n"] for r in log.reads] == [1, 2] and not log.broken


@pytest.mark.parametrize(
    "change, named",
    [
        ({"preflight__equivalence_margin": 0.2}, "gates"),
        ({"evaluate__n_bootstrap": 7}, "evaluation"),
        ({"seed": 9}, "seeds"),
        ({"evaluate__theta_e_edges": (0.5, 3.0)}, "strata"),
        ({"train__epochs": 9}, "training"),
    ],
)
def test_other_settings_than_the_plan_s_are_refused_by_name(change, named, tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    with pytest.raises(DhsError, match=named):
        preregistration.open_test(Data(tmp_path), PROFILE.replace(**change))


def network(name="one", **changes):
    return SimpleNamespace(state={"network": name}, config=PROFILE.replace(**changes).train)


def test_training_settings_that_make_no_other_network_are_free(tmp_path):
    preregistration.register(Data(tmp_path), PROFILE)
    free = {"train__wandb_mode": "disabled", "train__memory_gb": 1.0}
    opened = preregistration.open_test(Data(tmp_path), PROFILE.replace(**free), network=network(**free))
    assert opened["read"]["trained_otherwise"] == []


def test_every_network_that_reads_is_on_record_with_how_it_was_trained(tmp_path):
    data = Data(tmp_path)
    preregistration.register(data, PROFILE)
    changes = (
        {},
        {"train__lr": 0.01},
        {"train__epochs": 9},
        {"train__stretch": "clip"},
        {"train__annulus_px": (20, 30)},
    )
    for i, change in enumerate(changes):
        read = preregistration.open_test(data, PROFILE, network=network(f"net {i}", **change))["read"]
        assert read["trained_otherwise"] == [k.removeprefix("train__") for k in change]
    log = preregistration.Log.of(data)
    assert len(log.networks) == 5 and len(log.reads) == 5 and all(r["time"].endswith("Z") for r in log.reads)
    preregistration.open_test(data, network=network(), noted=False)
    assert len(preregistration.Log.of(data).reads) == 5


def test_deleting_the_plan_hides_nothing(tmp_path):
    data, other = Data(tmp_path), PROFILE.replace(preflight__equivalence_margin=0.3)
    first = preregistration.register(data, PROFILE)
    preregistration.open_test(data, PROFILE)
    (tmp_path / "plan.json").unlink()
    amended = preregistration.register(data, other)["amendments"]
    assert [(a["from"], a["after_test_read"]) for a in amended] == [(first["sha256"], True)]
    assert amended[0]["changed"]["gates.equivalence_margin"] == [0.05, 0.3]
    (tmp_path / "plan.json").write_text((tmp_path / "plan.json").read_text().replace(first["sha256"], "0" * 64))
    assert first["sha256"] in {a["from"] for a in preregistration.register(data, other)["amendments"]}


@pytest.mark.parametrize("lost", (0, 1))
def test_a_reading_that_was_taken_out_breaks_the_log(lost, tmp_path):
    data = Data(tmp_path)
    preregistration.register(data, PROFILE)
    for name in ("one", "two", "three"):
        preregistration.open_test(data, PROFILE, network=network(name))
    sorted((tmp_path / "test_reads").iterdir())[lost].unlink()
    assert "does not follow" in preregistration.Log.of(data).broken


def test_a_reading_that_was_edited_breaks_the_log(tmp_path):
    data = Data(tmp_path)
    preregistration.register(data, PROFILE)
    for name in ("one", "two"):
        preregistration.open_test(data, PROFILE, network=network(name))
    first = sorted((tmp_path / "test_reads").iterdir())[0]
    first.write_text(first.read_text().replace('"one"', '"two"'))
    assert "00002" in preregistration.Log.of(data).broken


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
