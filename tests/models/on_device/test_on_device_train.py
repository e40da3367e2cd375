"""A run on one device: resumed it is the run that was not stopped, and its checkpoint is one of `dhs train`."""

import math

import numpy as np
import pytest
import torch

from dhs.config import TrainConfig
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.models.on_device.train import Recipe, Run, forward
from dhs.models.preprocess import Preprocess
from dhs.models.score import Scorer

CONFIG = TrainConfig(
    batch_size=16,
    epochs=2,
    lr=1e-3,
    precision="float32",
    pretrained="never",
    arch="small",
    survey_negative_ratio=0.2,
    weight_average=0.5,
    label_smoothing=0.05,
    monitor="auroc_finder",
)


@pytest.fixture(scope="module")
def make(bank, val_bank):
    def run(folder, config=CONFIG, **options):
        return Run(Recipe(config, 3, **options), bank, val_bank, str(folder), "abc")

    return run


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    run = make(tmp_path_factory.mktemp("whole"))
    run.run()
    return run


def test_a_resumed_run_is_the_run_that_was_not_stopped(make, whole, tmp_path):
    stopped = make(tmp_path)
    stopped.run(until=-math.inf)
    assert len(stopped.history) == 1 and stopped.about["stopped_early"]
    resumed = make(tmp_path)
    resumed.run()
    assert resumed.about["resumed_at_epoch"] == 1 and len(resumed.history) == 2
    for name, value in whole.state.tensors().items():
        torch.testing.assert_close(resumed.state.tensors()[name], value, rtol=0, atol=0, msg=name)
    assert [r["loss_train"] for r in resumed.history] == [r["loss_train"] for r in whole.history]
    with pytest.raises(DhsError, match="belongs to a run with other lr"):
        make(tmp_path, CONFIG.model_copy(update={"lr": 2e-3}))


def test_its_checkpoint_is_read_by_the_scorer(whole, bank):
    scorer, rows = Scorer(whole.path("best")), torch.arange(5)
    stamps, sigma = bank.base.take(rows), bank.sky_sigma[rows]
    logits = scorer.logits(stamps.numpy(), sky_sigma=sigma.numpy())
    assert scorer.state["negatives"]["seeds"] == [77, 78]
    assert scorer.state["epoch"] == whole.best_epoch and scorer.state["content_hash"] == "abc"
    network = whole.state.judged
    network.load_state_dict(whole.best)
    images = Preprocess.from_config(CONFIG)(stamps, sky_sigma=sigma)
    np.testing.assert_allclose(forward(network, images, torch.float32).numpy(), logits, rtol=1e-3, atol=1e-4)


def test_history_says_where_the_positives_lie(whole):
    row = whole.history[-1]
    assert row["positive_logit_q10"] < row["positive_logit_median"] < row["positive_logit_q90"]
    assert row["lr"] < CONFIG.lr and 0 <= row["auroc_finder"] <= 1 and row["samples_per_s"] > 0


def test_epochs_are_those_that_fit(make, tmp_path, monkeypatch):
    run = make(tmp_path / "a", CONFIG.model_copy(update={"epochs": 50}))
    monkeypatch.setattr(run.validation, "monitors", lambda network: {})
    steps = run.batches.n_steps
    run._fit((lambda: 10.0, 0.0, 20), until=1.02 * 0.5 * steps * 7.5)  # half a second a step
    assert run.about["seconds_a_step"] == 0.5 and run.epochs == 7
    assert len(run._rates()) == 7 * steps and run._rates()[-1] < 0.01 * CONFIG.lr
    run._fit((lambda: 10.0, 0.0, 20), until=1e6)
    assert run.epochs == 50
    run._fit((lambda: 10.0, 0.0, 20), until=-5.0)
    assert run.epochs == 1


def test_a_teacher_is_mixed_into_the_labels(make, whole, tmp_path):
    taught = make(tmp_path, teacher=whole.path("best"), teacher_weight=0.25)
    images, label = next(iter(taught.batches.epoch(1)))
    target = taught._targets(images, label)
    said = (target - 0.75 * label) / 0.25
    assert target.shape == label.shape and ((said > 0) & (said < 1)).all()
    assert torch.equal(whole._targets(images, label), label)


def test_a_loss_that_is_not_finite_stops_the_run(make, tmp_path):
    run = make(tmp_path)
    with torch.no_grad():
        run.state.network.head.weight.fill_(math.nan)
    with pytest.raises(DhsError, match="not finite in epoch 1"):
        run.run()


def test_pieces_make_the_file_again(tmp_path):
    (tmp_path / "best.pt").write_bytes(bytes(range(256)) * 10)
    pieces = checkpoints.split(tmp_path / "best.pt", tmp_path / "cut", 1000)
    assert pieces["pieces"] == ["best.pt.0", "best.pt.1", "best.pt.2"] and pieces["bytes"] == 2560
    checkpoints.join(tmp_path / "cut", pieces, tmp_path / "again.pt")
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "best.pt").read_bytes()
    (tmp_path / "cut" / "best.pt.1").write_bytes(b"x" * 1000)
    with pytest.raises(DhsError, match="Copy them again"):
        checkpoints.join(tmp_path / "cut", pieces, tmp_path / "again.pt")
