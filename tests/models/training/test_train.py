import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score
from synthetic import write_synthetic_pairs

from dhs.datasets import reader
from dhs.errors import DhsError, UsageError
from dhs.models import checkpoints
from dhs.models.score import Scorer
from dhs.models.training import trackers, trainer
from dhs.models.training.data import Samples
from dhs.models.training.schedule import lr_factor
from dhs.models.training.train import TrainResult, train
from dhs.models.training.trainer import Trainer, device_and_precision

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
    np.testing.assert_array_equal(
        history["hard_negative_accuracy_azimuthal_shuffle"], history["hard_negative_accuracy"]
    )
    assert history["tpr_fpr_0.417"].between(0, 1).all(), "24 controls support a rate of 10 / 24"
    assert (history["grad_norm_max"] >= history["grad_norm"]).all() and (history["loader_wait_s"] >= 0).all()
    assert np.isfinite(history["auroc_theta_e_2_2.5"]).all()
    assert np.isnan(history["auroc_theta_e_0.5_1"]).all(), "the synthetic set has no such ring"
    for name in ("auroc_core_masked", "auroc_core_swap"):
        assert history[name].isna().tolist() == [True, False], "every 2 epochs"
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
    finish = trackers.CsvTracker.log

    def stop_after_first(self, row):
        finish(self, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trackers.CsvTracker, "log", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            train(tiny.path, tmp_path, epochs=2, **EXACT)
    assert checkpoints.load(tmp_path / "checkpoints" / "last.pt")["epoch"] == 1
    resumed = train(tiny.path, tmp_path, resume=True, epochs=2, **EXACT)
    same_run(trained, resumed)
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

    def fails(self, images, model=None):
        bad = self.network.training and next(calls) == (2 if started else 0)
        return forward(self, images, model) * (float("nan") if bad else 1)

    monkeypatch.setattr(Trainer, "forward", fails)
    message = "last.pt holds the last finite epoch" if started else "no epoch was finished"
    with pytest.raises(DhsError, match=f"not finite in epoch {1 + started}, step 0.*{message}.*lower --lr"):
        train(pairs.path, tmp_path / "run", epochs=2, **EXACT | {"batch_size": 8, "lanes": 1})
    state = checkpoints.load(tmp_path / "run" / "checkpoints" / "diverged.pt")
    assert state["epoch"] == int(started) and "optimizer" in state
    assert (tmp_path / "run" / "checkpoints" / "last.pt").exists() == started


def test_a_validation_loss_that_is_not_finite_stops_the_run_too(tiny, tmp_path, monkeypatch):
    forward = Trainer.forward

    def fails(self, images, model=None):
        return forward(self, images, model) * (1 if self.network.training else float("nan"))

    monkeypatch.setattr(Trainer, "forward", fails)
    with pytest.raises(DhsError, match=r"the validation loss is not finite in epoch 1, step 4 .*diverged\.pt"):
        train(tiny.path, tmp_path, epochs=2, **EXACT)
    assert checkpoints.load(tmp_path / "checkpoints" / "diverged.pt")["epoch"] == 0


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


def test_a_gradient_beyond_its_limit_stops_the_run(tiny, tmp_path):
    with pytest.raises(DhsError, match=r"gradient norm .* beyond grad_norm_limit 0.001 in epoch 1, step 0.*lower --lr"):
        train(tiny.path, tmp_path, epochs=1, grad_norm_limit=1e-3, **EXACT)
    assert checkpoints.load(tmp_path / "checkpoints" / "diverged.pt")["epoch"] == 0


def test_a_silent_loader_stops_the_run_with_a_checkpoint_that_can_be_taken_up(tiny, trained, tmp_path, monkeypatch):
    gate, epoch = threading.Event(), Samples.epoch

    def stalls(self, number, *args, **options):
        for i, batch in enumerate(epoch(self, number, *args, **options)):
            if number == 2 and i == 1:
                gate.wait(30)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Samples, "epoch", stalls)
        with pytest.raises(DhsError, match=r"loader gave nothing for 1 s in epoch 2, step 1; the state.*--resume"):
            train(tiny.path, tmp_path, epochs=2, stall_seconds=1.0, **EXACT)
        gate.set()
    assert checkpoints.load(tmp_path / "checkpoints" / "last.pt")["progress"]["step"] == 1
    same_run(trained, train(tiny.path, tmp_path, resume=True, epochs=2, **EXACT))


def test_a_loader_silent_in_validation_costs_no_step(tiny, trained, tmp_path, monkeypatch):
    gate, parts = threading.Event(), Samples.parts

    def stalls(self, *args):
        if self.split == "val":
            gate.wait(30)
        yield from parts(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Samples, "parts", stalls)
        with pytest.raises(DhsError, match=r"loader gave nothing for 1 s in epoch 1, step 4; the state.*--resume"):
            train(tiny.path, tmp_path, epochs=2, stall_seconds=1.0, **EXACT)
        gate.set()
    state = checkpoints.load(tmp_path / "checkpoints" / "last.pt")
    assert state["epoch"] == 0 and state["progress"]["step"] == 4
    steps = []
    with monkeypatch.context() as patch:
        step = Trainer.step
        patch.setattr(Trainer, "step", lambda self, batch, epoch: steps.append(epoch) or step(self, batch, epoch))
        same_run(trained, train(tiny.path, tmp_path, resume=True, epochs=2, **EXACT))
    assert steps == [2] * 4, "the first epoch was validated without being trained again"


def test_a_run_killed_before_its_last_row_was_written_gets_it_on_resume(trained, tiny, tmp_path):
    shutil.copytree(trained.output_dir, tmp_path / "run")
    history = tmp_path / "run" / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    assert len(pd.read_csv(history)) == 1
    train(tiny.path, tmp_path / "run", resume=True, epochs=2, **EXACT)
    pd.testing.assert_frame_equal(pd.read_csv(history), trained.history, rtol=1e-9)


def same_run(first, second):
    """Weights and monitors agree to the bit."""
    ours, theirs = (checkpoints.load(result.last) for result in (first, second))
    assert all(torch.equal(ours["model"][name], theirs["model"][name]) for name in ours["model"])
    states = [state["optimizer"]["state"] for state in (ours, theirs)]
    assert all(torch.equal(states[0][i]["exp_avg_sq"], states[1][i]["exp_avg_sq"]) for i in states[0])
    timing = ["seconds", "samples_per_s", "loader_wait_s"]
    pd.testing.assert_frame_equal(
        first.history.drop(columns=timing), second.history.drop(columns=timing), check_exact=True
    )


KILLED = """
import os, signal, sys
from dhs.models.training.train import train
from dhs.models.training.trainer import Trainer
step, count = Trainer.step, 0
def killed(self, batch, epoch):
    global count
    step(self, batch, epoch)
    count += 1
    if count == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
Trainer.step = killed
train({path!r}, {out!r}, **{options!r})
"""


def test_a_run_killed_within_an_epoch_ends_as_the_uninterrupted_one(tiny, tmp_path):
    options = EXACT | {"epochs": 2, "deterministic": True, "checkpoint_steps": 2}
    options |= {"memory_gb": 0.0, "core_dropout": "scaled", "core_fill": "noise"}
    whole = train(tiny.path, tmp_path / "whole", **options)
    script = KILLED.format(after=7, path=tiny.path, out=str(tmp_path / "killed"), options=options)
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = checkpoints.load(tmp_path / "killed" / "checkpoints" / "last.pt")
    assert state["epoch"] == 1 and state["progress"]["step"] == 2, "4 steps an epoch, a checkpoint every 2"
    same_run(whole, train(tiny.path, tmp_path / "killed", resume=True, **options))


def test_a_run_ends_early_where_the_monitor_no_longer_improves(tiny, tmp_path, monkeypatch):
    losses = iter([0.5, 0.55, 0.4])
    validate = trainer.validate
    monkeypatch.setattr(trainer, "validate", lambda run, e: validate(run, e) | {"loss_val": next(losses)})
    options = EXACT | {"monitor": "loss_val", "patience": 1, "epochs": 3}
    result = train(tiny.path, tmp_path, **options)
    assert len(result.history) == 2 and result.best_row["epoch"] == 1
    assert checkpoints.load(result.best)["epoch"] == 1
    assert TrainResult.read(tmp_path).best_row["epoch"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"arch": "deeplens", "channels": "raw+residual", "residual": "elliptical"},
        {
            "precision": "bfloat16",
            "stretch": "clip",
            "core_dropout": "scaled",
            "core_fill": "noise",
            "sigma_floor": 0.0,
        },
        {
            "freeze_batchnorm": True,
            "controls": "unpaired",
            "rotation": "any",
            "core_fill": "control",
            "negatives_per_positive": 2.0,
        },
    ],
)
def test_every_option_trains_and_scores(tiny, tmp_path, options):
    result = train(tiny.path, tmp_path, epochs=1, pretrained="never", **EXACT | options)
    assert np.isfinite(result.history["loss_train"]).all()
    assert np.isfinite(Scorer(result.best).logits(np.stack([tiny[0]["control"]]))).all()


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("avx2 avx512f avx512_bf16", torch.bfloat16),
        ("avx512f amx_bf16 amx_tile", torch.bfloat16),
        ("avx2", torch.float32),
    ],
)
def test_a_processor_that_multiplies_bfloat16_is_used_so(monkeypatch, flags, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: f"flags : fpu {flags}")
    monkeypatch.setattr("pathlib.Path.is_file", lambda self: True)
    assert device_and_precision("auto") == (torch.device("cpu"), dtype)
    assert device_and_precision("float32")[1] == torch.float32


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, native, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert device_and_precision("auto", 1) == (torch.device("cuda", 1), dtype)


def test_a_compiled_network_trains_as_the_plain_one(tiny, tmp_path, monkeypatch):
    """The graph is torch.compile's; its kernels, which need a compiler and a minute, are not made."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    compiled = train(tiny.path, tmp_path / "compiled", epochs=2, compile=True, **EXACT)
    plain = train(tiny.path, tmp_path / "plain", epochs=2, lanes=1, **EXACT)
    np.testing.assert_allclose(compiled.history["loss_train"], plain.history["loss_train"], rtol=1e-5)
    assert checkpoints.load(compiled.last)["model"].keys() == checkpoints.load(plain.last)["model"].keys()


def test_more_hard_negatives_than_there_are_is_said(tiny, tmp_path, caplog):
    train(tiny.path, tmp_path / "a", epochs=1, hard_negative_ratio=0.3, **EXACT)
    assert "hard_negative_ratio" not in caplog.text
    train(tiny.path, tmp_path / "b", epochs=1, hard_negative_ratio=0.8, **EXACT)
    assert "hard_negative_ratio 0.8 was asked for, 0.5 of the negatives will be hard: 20 of 40" in caplog.text
    with open(tmp_path / "b" / "config.yaml") as stream:
        assert yaml.safe_load(stream)["resolved"]["hard_negative_share"] == 0.5


def test_256_pairs_are_overfitted(tmp_path):
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 256, "val": 16, "test": 0}, per_part=128, arc_sigmas=6)
    options = {"lr": 1e-3, "epochs": 5, "batch_size": 32, "augment": False, "core_dropout_prob": 0.0}
    result = train(pairs.path, tmp_path / "run", profile="smoke", hard_negative_ratio=0.0, **options)
    scorer = Scorer(result.last)
    rows = [pairs[i] for i in range(256)]
    stamps = np.stack([reader.stamp(row) for row in rows] + [row["control"] for row in rows])
    assert roc_auc_score(np.repeat([1, 0], 256), scorer.logits(stamps)) > 0.99
