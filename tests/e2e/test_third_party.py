"""A package beside dhs adds one of each kind, and a run uses them all: in this process and in others."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from third_party_package import FOLDER

from dhs import storage
from dhs.config import load_profile
from dhs.datasets.reader import open_pairs
from dhs.datasets.schema import SPLITS

CHANGES = {
    "sources__spec": "beads",
    "injection__hard_negative_kinds": {"mirrored": 1.0},
    "injection__n_pairs": 24,
    "injection__pairs_per_part": 8,
    "injection__supersampling": 2,
    "injection__hard_negative_fraction": 1.0,
    "train__arch": "tiny",
    "train__epochs": 1,
    "preflight__thresholds": {"bright_arcs.least": 1, "bright_arcs.snr": 20.0},
    "hosts__known_lenses": "none",
}


@pytest.fixture(scope="module")
def host_stack(tmp_path_factory):
    """Twenty galaxies in one ``.npy`` file with positions beside it: a layout dhs itself does not read."""
    path = tmp_path_factory.mktemp("hosts") / "stack.npy"
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-32:33, -32:33]
    galaxy = 2.0 * np.exp(-np.hypot(x, y) / 4.0)
    images = galaxy * np.array([0.5, 1.0, 1.6])[:, None, None] + rng.normal(0.0, 0.004, (20, 3, 65, 65))
    np.save(path, 10.0 * images.astype(np.float32))
    lines = [f"host-{i:02d},{150 + 2.5 * i},{-10 + i}" for i in range(20)]
    path.with_name("stack.npy.csv").write_text("\n".join(lines))
    return path


def dhs(*arguments, **environment):
    path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", str(Path(__file__).parents[2]))])
    command = [sys.executable, "-m", "dhs", *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    return done


@pytest.fixture(scope="module")
def made(host_stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    profile = load_profile("smoke", **CHANGES, hosts__spec=str(host_stack))
    (folder / "profile.yaml").write_text(profile.to_yaml())
    said = dhs(
        "inject",
        "--profile",
        folder / "profile.yaml",
        "--workers",
        2,
        "--engine",
        "processes",
        "--out",
        folder / "pairs",
    )
    assert said.returncode == 0, said.stderr
    return folder


def test_stamps_of_a_packages_survey_have_its_seeing_and_gain(made):
    pairs = open_pairs(made / "pairs")
    table = pairs.table("train").to_pandas()
    assert np.allclose(table[[f"psf_fwhm_{b}_arcsec" for b in "grz"]], [1.9, 1.8, 1.7])


def test_hosts_sources_and_hard_negatives_of_a_package_make_a_data_set(made):
    pairs = open_pairs(made / "pairs")
    assert pairs.manifest["hosts"]["kind"] == "stack" and pairs.manifest["sources"]["kind"] == "beads"
    assert pairs.manifest["sources"]["limits"] == [
        "The sources are round beads of one size: an example, no number means anything."
    ]
    assert pairs.manifest["negatives"]["mirrored"] > 5
    kinds = set(pairs.table("train", columns=["kind"], negatives=True)["kind"].to_pylist())
    assert kinds == {"mirrored"}
    assert len(pairs) == 24 and set(pairs.table("train", columns=["host_id"])["host_id"].to_pylist()) <= {
        f"host-{i:02d}" for i in range(20)
    }


def test_without_the_package_the_profile_is_refused_by_name(made):
    done = subprocess.run(
        [sys.executable, "-m", "dhs", "inject", "--profile", str(made / "profile.yaml"), "--out", str(made / "other")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no kind of hard negative 'mirrored'" in done.stderr
    assert not storage.exists(made / "other/manifest.json")


def test_gate_network_and_section_of_a_package_judge_it(made):
    """One run of the verbs in another process: preflight, training, evaluation."""
    for verb, *arguments in (
        ("preflight", "--data-path", made / "pairs", "--out", made / "preflight"),
        ("train", "--data-path", made / "pairs", "--output-dir", made / "train"),
        ("evaluate", "--data-path", made / "pairs", "--checkpoint", made / "train/checkpoints/last.pt", "--out", made),
    ):
        said = dhs(verb, "--profile", made / "profile.yaml", *arguments)
        assert said.returncode in (0, 10, 20), said.stderr
    gates = {g["name"]: g for g in storage.read_json(made / "preflight/preflight.json")["gates"]}
    snr = np.concatenate([open_pairs(made / "pairs").table(s)["arc_snr_matched"].to_numpy() for s in SPLITS])
    assert gates["bright_arcs"]["value"] == (snr > 20).sum() and gates["bright_arcs"]["threshold"] == 1
    assert "arch: tiny" in storage.read_bytes(made / "train/config.yaml").decode()
    scores = storage.read_table(made / "scores.parquet").to_pandas()
    positive = scores[(scores.kind == "positive") & (scores.split == "test")]
    want = positive.theta_e_arcsec.corr(positive.logit, method="spearman")
    found = storage.read_json(made / "evaluation.json")["by_size"]
    assert found["spearman"] == pytest.approx(want, abs=1e-6) and found["n"] == len(positive)
    hard = storage.read_json(made / "evaluation.json")["hard_negatives"]["by_kind"]
    assert hard["hard_negative:mirrored"]["label"] == "mirrored arcs"


def test_a_threshold_that_no_gate_has_is_refused(made):
    text = (made / "profile.yaml").read_text().replace("bright_arcs.snr", "bright_arc.snr")
    (made / "wrong.yaml").write_text(text)
    said = dhs("preflight", "--profile", made / "wrong.yaml", "--data-path", made / "pairs", "--out", made / "x")
    assert (
        said.returncode == 2 and "no gate has them. There are ['bright_arcs.least', 'bright_arcs.snr']" in said.stderr
    )
