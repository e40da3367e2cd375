"""The whole road once, and what is not walked twice."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dhs.book.run import STEPS, Run
from dhs.models.training import trackers
from dhs.models.training.train import train


def mtimes(run):
    return {f: os.stat(run.path / f).st_mtime_ns for step in STEPS.values() for f in step.makes}


def test_every_artefact_of_the_contract_is_there(run):
    assert all((run.path / f).exists() for step in STEPS.values() for f in step.makes)
    gates = json.loads((run.path / "preflight.json").read_text())["gates"]
    fields = {"name", "status", "blocking", "value", "ci_low", "ci_high", "threshold", "n", "n_hosts", "n_sources"}
    assert all(fields | {"explanation", "remedy"} <= set(g) for g in gates)
    signoff = json.loads((run.path / "signoff.json").read_text())
    assert signoff["decision"] in ("CONDITIONAL-GO", "NO-GO"), "mock hosts cap the decision"
    assert {"blockers", "conditions", "recommended_changes", "priority_order"} <= set(signoff)


def test_a_second_call_makes_nothing_again(run):
    before = mtimes(run)
    again = Run(run.path, run.profile)
    again.signoff()
    assert mtimes(again) == before


def test_a_changed_setting_remakes_exactly_what_depends_on_it(run):
    changed = Run(run.path, run.profile.replace(preflight__sample_n=7))
    assert [name for name in STEPS if not changed.current(name)] == ["preflight", "evaluate"]  # by its plan
    changed = Run(run.path, run.profile.replace(evaluate__prevalence=2e-4))
    assert set(name for name in STEPS if not changed.current(name)) <= {"preflight", "train", "evaluate", "real_lenses"}
    assert not Run(run.path, run.profile, seed=1).current("inject")


SHOWN = {
    "inject": ["60 pairs", "MOCK hosts", "data:image/png;base64,"],
    "preflight": ["split_integrity", "core_leakage", "what to do"],
    "train": ["Best epoch", "auroc_val", "loss_train"],
    "evaluate": ["AUROC, positives against controls", "within-pair concordance", "hosts = "],
    "real_lenses": ["real lens"],
    "signoff": ["after training", "mock", "priority order"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_step_returns_prints_as_a_table_or_picture(run, name):
    page = getattr(run, name)()._repr_html_()
    assert [word for word in SHOWN[name] if word not in page] == []


def test_training_is_read_back_as_it_was(run):
    from dhs.models.training.train import TrainResult

    result = run.train()
    assert isinstance(result, TrainResult) and len(result.history) == run.profile.train.epochs
    assert result.best == str(run.checkpoint) and os.path.exists(result.last)


@pytest.fixture
def copy(run, tmp_path):
    """The run's pairs, without what was made of them."""
    shutil.copytree(run.path / "pairs", tmp_path / "run/pairs")
    shutil.copytree(run.path / ".steps", tmp_path / "run/.steps")
    return Run(tmp_path / "run", run.profile)


def test_a_notebook_s_training_is_the_command_s(copy, monkeypatch):
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    told = {"epochs": 2, "wandb_project": "dark-halo-scope", "wandb_run": "gen5-prime-v1", "wandb_mode": "offline"}
    ours = copy.train(**told)
    assert len(list((copy.path / "train/wandb").glob("offline-run-*/run-*.wandb"))) == 1
    (copy.path / "tiny.yaml").write_text(copy.profile.to_yaml())
    command = [sys.executable, "-m", "dhs", "train", "--data-path", copy.path / "pairs"]
    command += [
        "--output-dir",
        copy.path / "b",
        "--profile",
        copy.path / "tiny.yaml",
        "--epochs",
        2,
        "--set",
        "wandb_mode=disabled",
    ]
    command += ["--wandb-project", "dark-halo-scope", "--wandb-run", "gen5-prime-v1"]
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((copy.path / "b").glob("wandb/*run*"))
    theirs = pd.read_csv(copy.path / "b/history.csv")
    for name in ("loss_train", "loss_val", "grad_norm", "auroc_val"):
        np.testing.assert_allclose(ours.history[name], theirs[name], rtol=1e-6, err_msg=name)
    configs = [yaml.safe_load((copy.path / f / "config.yaml").read_text()) for f in ("train", "b")]
    assert configs[0]["resolved"] == configs[1]["resolved"]


def test_an_interrupted_training_goes_on_and_another_begins_anew(copy, monkeypatch):
    log = trackers.CsvTracker.log

    def stop_after_first(self, row):
        log(self, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trackers.CsvTracker, "log", stop_after_first)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                copy.train(epochs=3)
    assert len(pd.read_csv(copy.path / "train/history.csv")) == 2, "the second call went on with the second epoch"
    assert copy.train(epochs=3).history["epoch"].tolist() == [1, 2, 3]
    assert copy.train(epochs=1).history["epoch"].tolist() == [1]


def test_arcs_are_injected_afresh_while_it_trains(run, tmp_path):
    options = {"profile": run.profile, "epochs": 2, "precision": "float32"}
    fresh = train(run.path / "pairs", tmp_path / "fresh", fresh_arcs=True, **options).history
    stored = train(run.path / "pairs", tmp_path / "stored", **options).history
    n = yaml.safe_load((tmp_path / "fresh/config.yaml").read_text())["resolved"]["pairs"]["train"]
    assert fresh["seen_ids"].between(0.99 * n, n).all() and np.isfinite(fresh["loss_train"]).all()
    assert not np.allclose(fresh["loss_train"], stored["loss_train"]), "other arcs than those stored"
