"""The command line as a user types it: exit codes, messages, and real data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cutout_samples import channel_first, npz

import dhs
from dhs import storage

DATA = os.environ.get("DHS_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="DHS_DATA_DIR is not set: no real stamps to read")


def cli(*args, **env):
    command = [sys.executable, "-m", "dhs", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["inject", "--out", "x", "--colour", "red"], 2, "No such option"),
        (["inject", "--out", "x", "--profile", "dmeo"], 2, "no profile 'dmeo'"),
        (["inject", "--out", "x", "--hosts", "no/such/folder"], 3, "no/such/folder"),
        (["inject", "--out", "x", "--engine", "slurm", "--n-pairs", "2"], 2, "unknown engine"),
        (["preflight", "--data-path", "no/such/pairs", "--out", "x"], 3, "no manifest.json"),
        (["fetch", "galaxies", "--out", "x"], 2, "cosmos, hosts or lenses"),
        (["train", "--data-path", "no/such", "--output-dir", "x", "--epochs", "0"], 2, "epochs"),
        (["train", "--data-path", "no/such", "--output-dir", "x", "--set", "chanels=raw"], 2, "'channels'"),
        (["train", "--data-path", "no/such", "--output-dir", "x", "--set", "augment"], 2, "KEY=VALUE"),
        (["realism", "--first", "no/such/folder", "--second", "x", "--out", "x"], 3, "no/such/folder"),
        (["ablate", "--data-path", "no/such", "--out", "x", "--plan", "defualt"], 2, "no plan 'defualt'"),
        (["train", "--data-path", "no/such", "--output-dir", "x", "--nonlenses", ""], 2, "an empty argument"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(tmp_path, args, code, said):
    done = subprocess.run(
        [sys.executable, "-m", "dhs", *args], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_public_verbs_have_docstrings_and_import_light():
    assert {"inject", "preflight", "train", "score", "evaluate", "real_lenses", "signoff", "fetch"} <= set(dhs.__all__)
    for name in dhs.__all__:
        assert len(getattr(dhs, name).__doc__) > 40, name
    code = "import sys, dhs; print([m for m in ('torch', 'lenstronomy', 'matplotlib') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_trained_network_scores_and_decides_from_the_command_line(run, tmp_path):
    out = tmp_path / "scores.parquet"
    done = cli("score", "--checkpoint", run.checkpoint, "--data-path", run.path / "pairs", "--out", out)
    assert done.returncode == 0, done.stderr
    assert storage.read_table(out).num_rows > 0
    assert cli("signoff", "--run", run.path).returncode in (10, 20)


@needs_data
def test_the_seed_s_stamps_and_sources_give_the_same_bytes_whatever_the_workers(tmp_path):
    """COSMOS galaxies into the real DR10 stamps, marked as candidates, by one worker and by two."""
    catalogue = Path(DATA) / "sources/cosmos_btk100/real_galaxy_catalog_26_extension_example.fits"
    common = ["--sources", catalogue, "--hosts", Path(DATA) / "hosts/ls_dr10_grz", "--allow-known-lenses"]
    hashes = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        done = cli("inject", *common, "--out", out, "--n-pairs", 24, "--seed", 5, "--workers", workers)
        assert done.returncode == 0, done.stderr
        files = storage.list_files(out, (".parquet",), recursive=True)
        hashes.append({f.removeprefix(str(out)): storage.sha256(f) for f in files})
    assert hashes[0] == hashes[1]
    pairs = dhs.open_pairs(tmp_path / "1")
    assert all("host_is_candidate" in flags for flags in pairs.table()["flags"].to_pylist())
    done = cli("train", "--data-path", tmp_path / "1", "--output-dir", tmp_path / "t", "--epochs", 1)
    assert done.returncode == 3 and "host_is_candidate" in done.stderr


@needs_data
def test_known_lenses_are_refused_without_the_flag(tmp_path):
    done = cli("inject", "--hosts", Path(DATA) / "hosts/ls_dr10_grz", "--out", tmp_path / "x", "--n-pairs", 3)
    assert done.returncode == 3
    assert "known" in done.stderr and "--allow-known-lenses" in done.stderr


def test_inject_says_what_was_refused(tmp_path):
    for i in range(6):
        (tmp_path / f"c{i}.npz").write_bytes(npz(**channel_first(seed=i, ra=20.0 * i, z_phot=0.4)))
    (tmp_path / "small.npz").write_bytes(npz(**channel_first(size=40)))
    options = [
        "--sources",
        "mock",
        "--n-pairs",
        6,
        "--profile",
        "smoke",
        "--engine",
        "serial",
        "--known-lenses",
        "none",
    ]
    said = cli("inject", "--hosts", tmp_path, "--out", tmp_path / "out", *options).stdout
    assert "refused, host: 1 too_small; see " in said
