import itertools
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import write_synthetic_pairs
from sklearn.metrics import roc_auc_score

from dhs.datasets import reader
from dhs.errors import DhsError, UsageError
from dhs.models import checkpoints, monitors
from dhs.models.score import Scorer
from dhs.models.train import Trainer, lr_factor, train

EXACT = {"profile": "smoke", "batch_size": 20, "lr": 1e-3, "precision": "float32", "core_masked_every": 2}
FILES = ("history.csv", "config.yaml", "checkpoints/best.pt", "checkpoints/last.pt")


def test_history_has_every_monitor(tiny, trained):
    history = pd.read_csv(f"{trained.output_dir}/history.csv")
    pd.testing.assert_frame_equal(history, trained.history, rtol=1e-9)
    assert history["epoch"].tolist() == [1, 2]
    assert history["seen_ids"].tolist() == [40, 40]
    columns = [
        "loss_train",
        "loss_val",
        "auroc_train",
        "auroc_val",
        "auroc_val_low",
        "auroc_val_high",
        "grad_norm",
    ]
    assert np.isfinite(history[columns]).all().all()
    assert history["hard_negative_accuracy"].between(0, 1).all()
    assert np.isfinite(history["auroc_theta_e_2_2.5"]).all()
    assert np.isnan(history["auroc_theta_e_0.5_1"]).all(), "the synthetic set has no such ring"
    assert history["auroc_core_masked"].isna().tolist() == [True, False], "every 2 epochs"
    assert (history["lr"].diff().dropna() < 0).all() and (history["samples_per_s"] > 0).all()


def test_validation_monitors_are_those_of_the_scores(tiny, trained):
    scorer = Scorer(trained.last)
    rows = [tiny[i] for i in range(40, 64)]
    stamps = np.stack([reader.stamp(row) for row in rows] + [row["control"] for row in rows])
    labels, logits = np.repeat([1, 0], 24), scorer.logits(stamps)
    last = trained.history.iloc[-1]
    assert last["auroc_val"] == pytest.approx(roc_auc_score(labels, logits), abs=2e-3)
    assert last["auroc_core_masked"] == pytest.approx(roc_auc_score(labels, scorer.logits(stamps, 5.0)), abs=2e-3)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(labels).float())
    assert last["loss_val"] == pytest.approx(float(loss), abs=1e-3)


def test_config_says_exactly_what_ran(tiny, trained):
    with open(f"{trained.output_dir}/config.yaml") as stream:
        config = yaml.safe_load(stream)
    assert config["profile"]["train"]["lr"] == 1e-3 and config["profile"]["name"] == "smoke"
    resolved = config["resolved"]
    assert resolved["precision"] == "float32"
    assert resolved["weights"] == "random" or resolved["weights"].startswith("pretrained: ")
    assert resolved["content_hash"] == tiny.manifest["content_hash"]
    assert resolved["mock"] == {"hosts": True, "sources": True}
    assert resolved["versions"]["torch"] == version("torch")
    assert resolved["pairs"] == {"train": 40, "val": 24}


def test_best_is_the_epoch_with_the_highest_validation_auroc(trained):
    best, history = checkpoints.load(trained.best), trained.history
    assert best["epoch"] == history.loc[history["auroc_val"].idxmax(), "epoch"] == trained.best_row["epoch"]
    assert "optimizer" not in best and "optimizer" in checkpoints.load(trained.last)


def test_result_prints_as_a_table(trained):
    assert "<table" in trained._repr_html_() and "auroc_val" in trained._repr_html_()
    assert "2 epochs; best: epoch" in repr(trained)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tiny, trained, tmp_path, monkeypatch):
    finish = monitors.CsvTracker.log

    def stop_after_first(self, row):
        finish(self, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(monitors.CsvTracker, "log", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            train(tiny.path, tmp_path, epochs=2, **EXACT)
    assert checkpoints.load(tmp_path / "checkpoints" / "last.pt")["epoch"] == 1
    resumed = train(tiny.path, tmp_path, resume=True, epochs=2, **EXACT)
    first, second = (checkpoints.load(result.last)["model"] for result in (trained, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    timing = ["seconds", "samples_per_s"]
    pd.testing.assert_frame_equal(
        trained.history.drop(columns=timing), resumed.history.drop(columns=timing), check_exact=True
    )
    again = train(tiny.path, tmp_path, resume=True, epochs=2, **EXACT)
    pd.testing.assert_frame_equal(again.history, resumed.history)


def test_an_earlier_run_is_neither_overwritten_nor_mixed(tiny, trained):
    before = {name: open(f"{trained.output_dir}/{name}", "rb").read() for name in FILES}
    with pytest.raises(DhsError, match=r"earlier run.*--resume"):
        train(tiny.path, trained.output_dir, epochs=2, **EXACT)
    with pytest.raises(DhsError, match="other lr, so it can't be resumed"):
        train(tiny.path, trained.output_dir, resume=True, epochs=2, **EXACT | {"lr": 2e-3})
    assert before == {name: open(f"{trained.output_dir}/{name}", "rb").read() for name in FILES}


def test_resume_refuses_other_data(trained, tmp_path):
    other = write_synthetic_pairs(tmp_path, {"train": 8, "val": 8, "test": 0}, seed=9)
    with pytest.raises(DhsError, match="other content_hash"):
        train(other.path, trained.output_dir, resume=True, epochs=2, **EXACT)


def test_overwrite_replaces_and_a_changed_configuration_is_used(tmp_path):
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 8, "val": 8, "test": 0})
    options = EXACT | {"batch_size": 8}
    first = train(pairs.path, tmp_path / "run", epochs=1, channels="raw+residual", **options)
    second = train(pairs.path, tmp_path / "run", epochs=1, channels="raw", overwrite=True, resume=False, **options)
    assert first.last == second.last and Scorer(second.last).config.channels == "raw"
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 1


@pytest.mark.parametrize("started", [False, True])
def test_a_loss_that_is_not_finite_stops_with_a_checkpoint_and_a_reason(tmp_path, monkeypatch, started):
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 8, "val": 8, "test": 0})
    forward, calls = Trainer.forward, itertools.count()

    def fails(self, stamps):
        bad = self.network.training and next(calls) == (2 if started else 0)
        return forward(self, stamps) * (float("nan") if bad else 1)

    monkeypatch.setattr(Trainer, "forward", fails)
    message = "last.pt holds the last finite epoch" if started else "no epoch was finished"
    with pytest.raises(DhsError, match=f"not finite in epoch {1 + started}, step 0.*{message}.*lower --lr"):
        train(pairs.path, tmp_path / "run", epochs=2, **EXACT | {"batch_size": 8})
    state = checkpoints.load(tmp_path / "run" / "checkpoints" / "diverged.pt")
    assert state["epoch"] == int(started) and "optimizer" in state
    assert (tmp_path / "run" / "checkpoints" / "last.pt").exists() == started


def test_hosts_that_are_candidates_are_refused_before_anything_is_written(tmp_path):
    pairs = write_synthetic_pairs(tmp_path / "p", {"train": 8, "val": 8, "test": 0}, flags=["host_is_candidate"])
    with pytest.raises(DhsError, match="host_is_candidate"):
        train(pairs.path, tmp_path / "run", profile="smoke")
    assert not (tmp_path / "run").exists()


def test_an_unknown_option_is_refused_with_a_hint(tiny, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'batch_size'"):
        train(tiny.path, tmp_path, profile="smoke", batchsize=3)


def test_schedule_warms_up_and_follows_the_cosine():
    factors = [lr_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11) and np.all(np.diff(factors[:11]) > 0)
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5) and np.all(np.diff(factors[10:]) < 0)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(50):
        assert lr_factor(step, 50, 0) == pytest.approx(cosine.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        cosine.step()


def test_256_pairs_are_overfitted(tmp_path):
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 256, "val": 16, "test": 0}, per_part=128, arc_sigmas=6)
    options = {"lr": 1e-3, "epochs": 5, "batch_size": 32, "augment": False, "core_dropout_prob": 0.0}
    result = train(pairs.path, tmp_path / "run", profile="smoke", hard_negative_ratio=0.0, **options)
    scorer = Scorer(result.last)
    rows = [pairs[i] for i in range(256)]
    stamps = np.stack([reader.stamp(row) for row in rows] + [row["control"] for row in rows])
    assert roc_auc_score(np.repeat([1, 0], 256), scorer.logits(stamps)) > 0.99
