"""Two CPU processes on gloo train the network that one process trains."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from dhs.models import checkpoints
from dhs.models.training.distributed import Group
from dhs.models.training.train import train

OPTIONS = {"batch_size": 20, "lr": 1e-4, "epochs": 2, "precision": "float32", "pretrained": "never"}
OPTIONS |= {"core_fill": "noise", "core_masked_every": 1}


def two_processes(path, out, **options):
    """``torchrun --nproc-per-node 2 -m dhs train``, as a user types it."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dhs"]
    command = ["train", "--data-path", path, "--output-dir", str(out), "--profile", "smoke"]
    for key, value in (OPTIONS | options).items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *command], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return pd.read_csv(out / "history.csv")


def test_one_process_is_a_group_of_its_own():
    group = Group()
    assert group.main and group.gather(3) == [3]
    np.testing.assert_array_equal(group.total(np.arange(3)), np.arange(3))


def test_with_batchnorm_frozen_two_processes_are_one(tiny, tmp_path):
    alone = train(tiny.path, tmp_path / "one", profile="smoke", freeze_batchnorm=True, **OPTIONS).history
    shared = two_processes(tiny.path, tmp_path / "two", freeze_batchnorm=True)
    assert shared["seen_ids"].tolist() == alone["seen_ids"].tolist() == [40, 40]
    for name in ("loss_train", "loss_val", "lr"):
        np.testing.assert_allclose(shared[name], alone[name], rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(shared["grad_norm"], alone["grad_norm"], rtol=1e-2)
    for name in ("auroc_train", "auroc_val", "auroc_core_masked", "hard_negative_accuracy"):
        # rounding may exchange two neighbours in rank: of 24 positives and 24 controls, one pair in 576
        np.testing.assert_allclose(shared[name], alone[name], atol=2.1 / 24**2, err_msg=name)
    ours, theirs = (checkpoints.load(tmp_path / n / "checkpoints" / "last.pt")["model"] for n in ("one", "two"))
    for name in ours:
        # AdamW divides by the gradient's size, so rounding moves weights with hardly a gradient by up to lr a step
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=8 * 2 * OPTIONS["lr"])


def test_live_batchnorm_differs_by_what_its_smaller_batches_do(tiny, tmp_path):
    alone = train(tiny.path, tmp_path / "one", profile="smoke", lanes=1, **OPTIONS).history
    lanes = train(tiny.path, tmp_path / "lanes", profile="smoke", lanes=2, **OPTIONS).history
    shared = two_processes(tiny.path, tmp_path / "two")
    assert shared["seen_ids"].tolist() == [40, 40]
    first = [h["loss_train"].iloc[0] for h in (shared, lanes)]
    assert first[0] == pytest.approx(first[1], abs=1e-3), "two parts of a batch are two processes' shares of it"
    difference = (shared["loss_train"] - alone["loss_train"]).abs()
    print(f"live BatchNorm: the training losses differ by {difference.max():.2g}")
    assert 1e-5 < difference.max() < 0.3
