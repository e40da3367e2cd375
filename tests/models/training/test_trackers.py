import json
import os
import sys
from types import SimpleNamespace

import pytest

from dhs.artefacts.training import read_history
from dhs.errors import DhsError, UsageError
from dhs.models.training.trackers import CsvTracker, WandbTracker
from dhs.models.training.train import train


def epoch(number, loss):
    return {"epoch": number, "loss_train": loss, "loss_val": loss, "auroc_val": 0.5}


def test_csv_tracker_keeps_earlier_rows(tmp_path):
    path = tmp_path / "new" / "history.csv"
    tracker = CsvTracker(str(path), [epoch(1, 0.5)])
    tracker.log(epoch(2, 0.25))
    history = read_history(path.parent)
    assert history["epoch"].tolist() == [1, 2] and history["loss_val"].tolist() == [0.5, 0.25]


def test_rows_of_a_resumed_run_are_written_at_once(tmp_path):
    path = tmp_path / "history.csv"
    CsvTracker(str(path), [epoch(1, 0.5), epoch(2, 0.4)])
    assert read_history(tmp_path)["epoch"].tolist() == [1, 2]


def test_wandb_asked_for_but_not_installed_says_how_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'dark-halo-scope\[wandb\]', or leave wandb_project out"):
        WandbTracker("project", None, {}, str(tmp_path))


def test_wandb_gets_the_rows_and_is_closed(tmp_path, monkeypatch):
    calls = []
    run = SimpleNamespace(log=lambda row: calls.append(row), finish=lambda: calls.append("finished"))
    fake = SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = WandbTracker("project", "name", {"lr": 1}, str(tmp_path))
    tracker.log({"epoch": 1})
    tracker.finish()
    expected = {"project": "project", "name": "name", "config": {"lr": 1}, "dir": str(tmp_path), "mode": None}
    assert calls[0] == expected
    assert calls[1:] == [{"epoch": 1}, "finished"]
    monkeypatch.chdir(tmp_path)
    WandbTracker("project", "name", {}, "s3://bucket/train")
    assert calls[-1]["dir"] is None and not list(tmp_path.iterdir()), "a bucket is no folder of this machine"


def test_wandb_keeps_the_run_of_an_object_store_in_the_working_directory(tmp_path, monkeypatch):
    told = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: told.update(options)))
    WandbTracker("project", None, {}, "s3://bucket/run", "offline")
    assert told["dir"] is None and not list(tmp_path.iterdir())


def test_wandb_that_will_not_start_says_what_to_do(tmp_path, monkeypatch):
    def init(**options):
        raise RuntimeError("api_key not configured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(DhsError, match=r"api_key not configured.*wandb_mode=offline"):
        WandbTracker("project", None, {}, str(tmp_path))


def test_the_real_wandb_offline_and_disabled(tiny, tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = {"profile": "smoke", "epochs": 1, "batch_size": 20, "wandb_project": "dark-halo-scope"}
    result = train(tiny.path, tmp_path / "a", wandb_run="gen5", wandb_mode="offline", **options)
    (log,) = tmp_path.glob("a/wandb/offline-run-*/run-*.wandb")
    kept = log.read_bytes()
    for name in ("loss_train", "auroc_val", "grad_norm", "hard_negative_accuracy_azimuthal_shuffle"):
        assert name.encode() in kept and json.dumps(float(result.history[name].iloc[0])).encode() in kept, name
    train(tiny.path, tmp_path / "b", wandb_mode="disabled", **options)
    assert (tmp_path / "b" / "history.csv").exists() and not list(tmp_path.glob("b/wandb/*run*"))
