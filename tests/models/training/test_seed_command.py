"""The command of the training plan, flag for flag, on both data formats, as a user types it."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from earlier_samples import write_earlier
from synthetic import write_synthetic_pairs

ASKED = {
    "epochs": 50,
    "batch_size": 128,
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "hard_negative_ratio": 0.3,
    "core_dropout_prob": 0.3,
    "wandb_project": "dark-halo-scope",
    "wandb_run": "gen5-prime-v1",
}


def command(data, out, epochs, *more, **env):
    words = f"""
        --data-path {data}
        --output-dir {out}
        --epochs {epochs}
        --batch-size 128
        --lr 1e-4
        --weight-decay 1e-4
        --hard-negative-ratio 0.3
        --core-dropout-prob 0.3
        --wandb-project dark-halo-scope
        --wandb-run gen5-prime-v1
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-m", "dhs", "train", *words.split(), *more],
        env=clean | {"WANDB_SILENT": "true"} | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=["ours", "earlier"])
def data(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "v5_cosmos_paired"
    if request.param == "ours":
        write_synthetic_pairs(folder, {"train": 8, "val": 4, "test": 2})
    else:
        write_earlier(folder, 4, faults=False, files=1)
    return request.param, folder


@pytest.mark.parametrize("epochs", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_the_seed_s_command_runs_as_it_was_written(data, tmp_path, epochs):
    kind, folder = data
    out, env = tmp_path / "gen5_prime_v1", {"DHS_CACHE_DIR": str(tmp_path / "cache")}
    done = command(folder, out, epochs, WANDB_MODE="offline", **env)
    assert done.returncode == 0, done.stderr
    history = pd.read_csv(out / "history.csv")
    assert history["epoch"].tolist() == list(range(1, epochs + 1))
    assert history["seen_ids"].eq(8 if kind == "ours" else 4).all() and history["loss_train"].notna().all()
    config = yaml.safe_load((out / "config.yaml").read_text())
    train = config["profile"]["train"]
    assert {k: train[k] for k in ASKED} == ASKED | {"epochs": epochs}
    assert (train["core_dropout"], train["core_dropout_radius_px"], train["core_fill"]) == ("fixed", 5.0, "sky")
    assert {p.name for p in (out / "checkpoints").iterdir()} == {"best.pt", "last.pt"}
    (log,) = out.glob("wandb/offline-run-*/run-*.wandb")
    assert all(word in log.read_bytes() for word in (b"gen5-prime-v1", b"dark-halo-scope", b"loss_train"))
    share = config["resolved"]["hard_negative_share"]
    if kind == "ours":
        assert share == pytest.approx(0.3) and "hard_negative_ratio" not in done.stderr
    else:
        assert share == 0 and "hard_negative_ratio 0.3 was asked for, 0 of the negatives will be hard" in done.stderr

    resumed = command(folder, out, epochs, "--resume", WANDB_MODE="disabled", **env)
    assert resumed.returncode == 0, resumed.stderr
    pd.testing.assert_frame_equal(pd.read_csv(out / "history.csv"), history)
    assert len(list(out.glob("wandb/*run-*"))) == 1, "disabled: nothing more is kept"


def test_without_a_login_it_stops_before_anything_is_written(tmp_path):
    write_synthetic_pairs(tmp_path / "pairs", {"train": 8, "val": 4, "test": 0})
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none"), "WANDB_CONFIG_DIR": str(tmp_path / "w")}
    home |= {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = command(tmp_path / "pairs", tmp_path / "out", 1, **home)
    assert done.returncode == 3 and "--set wandb_mode=offline" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "history.csv").exists()
