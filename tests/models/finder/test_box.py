"""The box: what is packed scores as it did, says what it is, and refuses what was measured on another network."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import dhs
from dhs import cli, storage
from dhs.config import TrainConfig
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.models.finder import box
from dhs.models.networks import registry
from dhs.models.score import Scorer

IN_THE_BOX = (box.HERE / "finder.pt").is_file()


def checkpoint(path, arch="small", scale=1.0):
    config = TrainConfig(arch=arch, pretrained="never")
    network, _ = registry.make(config, 3, seed=3)
    model = {k: v * scale if v.is_floating_point() else v for k, v in network.state_dict().items()}
    state = {"model": model, "train": config.model_dump(mode="json"), "seed": 3, "content_hash": "synthetic-0"}
    checkpoints.save(path, state | {"weights": "random", "epoch": 2, "optimizer": {"large": torch.zeros(9)}})
    return path


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    return folder, box.pack(checkpoint(folder / "whole.pt"), folder / "box")


def test_it_scores_as_the_checkpoint_did_to_half_precision(packed):
    folder, card = packed
    with np.load(folder / "box" / "sample.npz", allow_pickle=False) as sample:
        stamps, sigma, stored = sample["stamps"], sample["sky_sigma"], sample["logits"]
    whole = Scorer(folder / "whole.pt").logits(stamps, sky_sigma=sigma)
    np.testing.assert_allclose(stored, whole, atol=0.02)
    assert np.abs(stored - whole).max() == pytest.approx(card["half_precision"]["largest_change_of_a_logit"])
    assert not np.array_equal(stored, whole) and len(stored) == 12 and np.std(stored) > 0
    np.testing.assert_allclose(Scorer(folder / "box" / "finder.pt").logits(stamps, sky_sigma=sigma), stored, atol=1e-5)


def test_the_card_says_what_it_is_and_what_it_is_not_for(packed):
    folder, card = packed
    assert card == storage.read_json(folder / "box" / "card.json")
    assert card["rates"] is None and card["gates"] is None and card["data"] is None
    assert card["training"]["content_hash"] == "synthetic-0" and len(card["must_not_be_used_for"]) >= 4
    state = checkpoints.load(folder / "box" / "finder.pt")
    assert "optimizer" not in state and card["network"] == Scorer(folder / "box" / "finder.pt").state["network"]


def test_what_does_not_fit_or_overflows_is_refused(tmp_path):
    with pytest.raises(DhsError, match="MB at half precision"):
        box.pack(checkpoint(tmp_path / "large.pt", "resnet18"), tmp_path / "box")
    with pytest.raises(DhsError, match="not finite at half precision"):
        box.pack(checkpoint(tmp_path / "wild.pt", scale=1e6), tmp_path / "box")
    assert not (tmp_path / "box").exists()


def test_rates_and_gates_of_another_network_or_data_set_are_refused(packed, tmp_path, tiny):
    folder, card = packed
    storage.write_json(tmp_path / "evaluation.json", {"checkpoint": {"network": "another"}})
    storage.write_json(tmp_path / "preflight.json", {"data": {"content_hash": "another"}})
    for name, message in (("evaluation", "of another network"), ("preflight", "of another data set")):
        with pytest.raises(DhsError, match=message):
            box.pack(folder / "whole.pt", tmp_path / "box", **{name: tmp_path / f"{name}.json"})
    metric = {"value": 0.9, "ci_low": 0.8, "ci_high": 0.95, "n": 7}
    rates = [{"fpr": 0.01, "tpr": metric, "threshold": {"value": 1.5}}]
    found = {"checkpoint": {"network": card["network"]}, "auroc": metric, "auroc_survey": metric, "tpr_at_fpr": rates}
    found |= {"hard_negatives": {"auroc": metric}, "survey_negatives": {"mock": True, "n": 300}}
    storage.write_json(tmp_path / "evaluation.json", found)
    gates = [{"name": "class_balance", "status": "pass"}]
    storage.write_json(
        tmp_path / "preflight.json", {"data": {"content_hash": "synthetic-0"}, "decision": "GO", "gates": gates}
    )
    files = {name: tmp_path / f"{name}.json" for name in ("evaluation", "preflight")}
    card = box.pack(folder / "whole.pt", tmp_path / "box", pairs=tiny.path, **files)
    assert card["rates"]["measured_on"] == "the packed network"
    assert card["rates"]["recall_at_fpr"] == [{"fpr": 0.01, "recall": metric, "threshold": 1.5}]
    assert card["gates"] == {"decision": "GO", "of": {"class_balance": "pass"}}
    assert card["data"]["hosts"]["mock"] is True and card["data"]["counts"] == {"train": 40, "val": 24, "test": 20}


def test_a_plans_results_are_taken_for_its_own_checkpoint_alone(packed, tmp_path, monkeypatch):
    folder, metric = packed[0], {"value": 0.9, "ci_low": 0.8, "ci_high": 0.95, "n": 7}
    found = {"auroc": metric, "auroc_survey": metric, "hard_negatives": {"auroc": metric}, "tpr_at_fpr": []}
    entry = {"evaluation": found | {"survey_negatives": {"mock": True, "n": 300}}}
    entry["checkpoint"] = {"sha256": storage.sha256(folder / "whole.pt")}
    data = {"counts": {"train": 9}, "hosts": {"mock": True, "n": 5, "path": "not kept"}, "sources": {"mock": False}}
    plan = {"recipes": {"finder": entry, "plan": {}}, "data": data, "preflight": {"decision": "GO"}}
    plan["profile"] = {"injection": {"n_pairs": 9}}
    storage.write_json(tmp_path / "plan.json", plan)
    card = box.pack(folder / "whole.pt", tmp_path / "box", plan=(tmp_path / "plan.json", "finder"))
    assert card["rates"]["auroc_lookalikes"] == metric and card["rates"]["measured_on"] == "the whole network"
    assert card["gates"] == {"decision": "GO"} and card["data"]["hosts"] == {"kind": None, "mock": True, "n": 5}
    with pytest.raises(DhsError, match="gave another checkpoint"):
        box.pack(folder / "whole.pt", tmp_path / "box", plan=(tmp_path / "plan.json", "plan"))
    monkeypatch.setattr(box, "CLOSE", 0.0)
    with pytest.raises(DhsError, match="not the packed one's"):
        box.pack(folder / "whole.pt", tmp_path / "box", plan=(tmp_path / "plan.json", "finder"))


def test_score_takes_the_finder_in_the_box(packed, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(box, "HERE", packed[0] / "box")
    monkeypatch.setattr(dhs, "score", lambda checkpoint, out, **_: asked.update(checkpoint=checkpoint) or out)
    CliRunner().invoke(cli.app, ["score", "--cutouts", "folder", "--out", str(tmp_path / "c.parquet")])
    assert asked["checkpoint"] == str(packed[0] / "box" / "finder.pt")
    monkeypatch.setattr(box, "HERE", tmp_path)
    result = CliRunner().invoke(cli.app, ["score", "--cutouts", "folder", "--out", str(tmp_path / "c.parquet")])
    assert "holds no trained finder" in str(result.exception)


@pytest.mark.skipif(not IN_THE_BOX, reason="no finder is in the box of this copy")
def test_the_finder_in_the_box_gives_its_stored_logits():
    card = box.card()
    assert storage.sha256(box.path()) == card["sha256"] and (box.HERE / "finder.pt").stat().st_size <= box.LIMIT_BYTES
    assert card["must_not_be_used_for"] and card["data"]["hosts"]["mock"] in (True, False)
    with np.load(box.HERE / "sample.npz", allow_pickle=False) as sample:
        logits = Scorer(box.path()).logits(sample["stamps"], sky_sigma=sample["sky_sigma"])
        np.testing.assert_allclose(logits, sample["logits"], rtol=1e-4, atol=1e-3)
        assert logits[sample["kind"] == "positive"].mean() > logits[sample["kind"] == "control"].mean()
