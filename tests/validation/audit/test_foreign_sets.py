"""The audit of sets that nobody here made: clean ones pass, planted leaks are named."""

import json

import numpy as np
import pytest
from foreign_sets import LEAKS, halves, stamps
from typer.testing import CliRunner

import dhs
from dhs.artefacts.audit import Audit
from dhs.cli import app
from dhs.stats.duplicates import turned

N = 240
LABELS = halves(N)


@pytest.fixture(scope="module")
def clean():
    return stamps(N)


def failed(report):
    return {g.name for g in report.content.gates if g.status == "fail"}


def test_two_halves_of_one_population_are_not_told_apart(clean):
    report = dhs.audit(clean, labels=LABELS)
    assert not failed(report) and report.decision != "NO-GO"
    assert report["data"]["n_positive"] == N // 2 and report["tests"] > 20
    assert all(f.p_holm > 0.05 for f in report.content.ranked)


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_that_was_planted_is_named(clean, name):
    change, checks = LEAKS[name]
    images = clean.copy()
    images[LABELS == 1] = change(images[LABELS == 1], np.random.default_rng(1))
    report = dhs.audit(images, labels=LABELS)
    assert report.decision == "NO-GO" and checks & failed(report), (name, failed(report))


@pytest.mark.parametrize("turn", [0, 3, 6])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_one_picture_under_two_labels_is_found_turned_and_noisy(clean, turn, noise):
    images = clean.copy()
    sigma = 1.4826 * np.median(np.abs(images[7]))
    copy = turned(images[7], turn) + np.random.default_rng(2).normal(0, 1, images[7].shape) * noise * sigma
    images[12] = copy.astype(np.float32)
    gate = dhs.audit(images, labels=LABELS).gate("contradicting_labels")
    assert gate.status == "fail" and gate.value == 1
    assert {gate.details["pairs"][0]["first"], gate.details["pairs"][0]["second"]} == {"7", "12"}


def test_a_copy_in_another_split_is_found_whatever_it_is_called(clean, tmp_path):
    for i, image in enumerate(clean[:120]):
        folder = tmp_path / "set" / ("train" if i < 80 else "test") / ("lens" if i % 2 else "nonlens")
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"g{i:03d}.npy", image)
    copy = turned(clean[5], 2)
    np.save(tmp_path / "set/test/lens/another.npy", copy)
    got = CliRunner().invoke(app, ["audit", str(tmp_path / "set"), "--out", str(tmp_path / "out")])
    assert got.exit_code == 20, got.output
    report = Audit.read(tmp_path / "out")
    assert report.gate("duplicates_across_splits").status == "fail" and "g005.npy" in got.output
    assert (tmp_path / "out/audit.html").read_text().count("data:image/png") > 20
    assert json.loads((tmp_path / "out/audit.json").read_text())["decision"] == "NO-GO"


def test_the_set_is_the_same_however_it_is_kept(clean, tmp_path):
    import h5py

    np.save(tmp_path / "x.npy", clean)
    np.savetxt(tmp_path / "labels.csv", LABELS, fmt="%d", header="label", comments="")
    np.savez(tmp_path / "x.npz", images=clean, labels=LABELS)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = clean.transpose(0, 2, 3, 1), LABELS
    array = dhs.audit(clean, labels=LABELS)
    for name, labels in (("x.npy", tmp_path / "labels.csv"), ("x.npz", None), ("x.h5", None)):
        report = dhs.audit(tmp_path / name, labels=labels)
        mine, theirs = ([(g["name"], g["value"]) for g in r["gates"] if g["name"] != "files"] for r in (report, array))
        assert mine == theirs, name
