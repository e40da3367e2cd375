"""The earlier data format: what is read, what is derived, what is refused, against the truth it was written from."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from earlier_samples import SIGMA, make_row, write_earlier, write_file
from scipy.ndimage import correlate
from typer.testing import CliRunner

import dhs
from dhs import storage
from dhs.cli import app
from dhs.config import load_profile
from dhs.datasets.earlier import convert
from dhs.datasets.fresh import FreshPairs
from dhs.datasets.reader import Pairs, per_band, rows
from dhs.datasets.schema import PAIR_SCHEMA
from dhs.errors import DhsError
from dhs.survey.surveys.legacy import LEGACY_SURVEYS

GOOD = 24  # a file; more than there are bad rows


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier") / "v5"
    return folder, write_earlier(folder, GOOD, files=1)


@pytest.fixture(scope="module")
def pairs(written, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "a"
    convert.convert(written[0], out, workers=1)
    return Pairs(out)


def parquet(folder) -> dict[str, bytes]:
    names = storage.list_files(folder, (".parquet",), recursive=True)
    return {n.removeprefix(str(folder)): storage.read_bytes(n) for n in names}


def converted(pairs):
    return {row["pair_id"]: row for row in rows(pairs.table(columns=PAIR_SCHEMA.names))}


def test_pixels_and_parameters_are_those_that_were_written(written, pairs):
    found = converted(pairs)
    good = {i: row for i, row in enumerate(written[1]) if not row.code}
    assert set(found) == set(good), "pair_id is the position over all rows"
    for i, truth in good.items():
        row = found[i]
        sigma = per_band(row, "sky_sigma")[:, None, None]
        assert (np.abs(row["control"] - truth.control) <= sigma / 32 * 1.001 + 1e-6 * np.abs(truth.control)).all()
        assert (np.abs(row["arc"] - (truth.stamp - truth.control)) <= sigma / 4096 * 1.01 + 1e-7).all()
        assert np.array_equal(dhs.stamp(row), row["control"] + row["arc"]), "no shot noise is added a second time"
        assert (np.abs(dhs.stamp(row) - truth.stamp) <= sigma * (1 / 32 + 1 / 4096) * 1.01 + 1e-6).all()
        assert sigma[:, 0, 0] == pytest.approx(SIGMA, rel=0.12)
        for name in ("theta_e_arcsec", "src_x_arcsec", "src_y_arcsec", "magnification", "ra", "dec", "brickname"):
            assert row[name] == pytest.approx(truth.columns[name]), name
        assert row["arc_snr_maxpix"] == pytest.approx(truth.columns["arc_snr"])
        assert [row[k] for k in ("q", "gamma1", "gamma2")] == pytest.approx(
            [truth.truth[k] for k in ("q", "gamma1", "gamma2")], abs=1e-6
        )
        assert row["phi_rad"] == pytest.approx(truth.columns["lens_phi_rad"])
        assert per_band(row, "psf_fwhm", "_arcsec") == pytest.approx(truth.truth["fwhm"], rel=1e-6)
        assert per_band(row, "arc_flux") == pytest.approx(truth.light.sum(axis=(1, 2)), rel=0.02)
        assert row["split"] == truth.split and row["source_id"] == f"cosmos-{truth.columns['cosmos_index']}"
        assert {"earlier_format", "arc_has_shot_noise", "gain_assumed", "sigma_from_mad"} <= set(row["flags"])
        assert "psf_assumed" not in row["flags"] and row["rng_key"] == f"0:{i}"
    assert len({row["host_id"] for row in found.values()}) == len(good)


def test_matched_snr_follows_from_the_row(written, pairs):
    """w^T C w through a correlation of the whitened arc with the noise kernel; gain from the nominal sky noise."""
    for i, row in converted(pairs).items():
        truth, lag1, sigma = written[1][i], row["lag1"], per_band(row, "sky_sigma")[:, None, None]
        gain = LEGACY_SURVEYS.sky_flux_per_pixel()[:, None, None] / (sigma * (1 + 2 * lag1)) ** 2
        whitened = (truth.stamp - truth.control) / np.sqrt(sigma**2 + np.clip(truth.control, 0, None) / gain)
        kernel = np.outer([lag1, 1, lag1], [lag1, 1, lag1])
        smooth = np.stack([correlate(band, kernel, mode="constant") for band in whitened])
        expected = (whitened**2).sum() / np.sqrt((whitened * smooth).sum())
        assert row["arc_snr_matched"] == pytest.approx(expected, rel=1e-3)


def test_every_bad_row_is_refused_with_its_place_its_reason_and_a_remedy(written, pairs):
    table = storage.read_table(storage.join(pairs.path, "quarantine.parquet")).to_pylist()
    expected = {(r.file, r.row, r.code) for r in written[1] if r.code}
    expected |= {("val/part-8.parquet", -1, "missing_column"), ("val/part-9.parquet", -1, "unreadable_file")}
    assert {(r["file"], r["row"], r["code"]) for r in table} == expected and len(table) == len(expected)
    assert all(r["message"] and r["remedy"] and r["stage"] == "row" for r in table)
    assert {r["id"] for r in table if r["row"] == 3} == {"train/part-0.parquet:3"}
    said = next(r["message"] for r in table if r["code"] == "missing_column")
    assert "stamp_npz" in said and "lens_e" in said
    counted = pairs.manifest["earlier_format"]["refused"]
    assert sum(counted.values()) == pairs.manifest["hosts"]["refused"] == len(expected)
    assert counted["unreadable_npz"] == 3 and counted["duplicate_id"] == 1


def test_the_manifest_says_what_was_derived(pairs):
    about = pairs.manifest["earlier_format"]
    assert "shot noise" in about["derived"]["arc"] and "1e+12" in about["derived"]["gain_{g,r,z}"]
    assert "z_lens" in about["unknown"]
    assert sum(pairs.manifest["counts"].values()) == len(pairs) == pairs.table(columns=["pair_id"]).num_rows
    assert pairs.manifest["counts"] == {"train": GOOD, "val": GOOD, "test": GOOD}
    names = [f.removeprefix(pairs.path) for split in ("train", "val", "test") for f in pairs.files(split)]
    assert all(storage.exists(f"{pairs.path}/negatives{name}") for name in names)
    assert pairs.table(columns=["pair_id"], negatives=True).num_rows == 0
    assert "earlier format" in repr(pairs)
    with pytest.raises(DhsError, match="does not say how it was injected"):
        FreshPairs.like(pairs)


def test_workers_and_the_order_of_writing_change_no_byte(written, pairs, tmp_path):
    folder = tmp_path / "moved"
    for file in sorted((f for f in written[0].rglob("*") if f.is_file()), reverse=True):
        (folder / file.relative_to(written[0])).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.relative_to(written[0]))
    manifest = convert.convert(folder, tmp_path / "b", workers=2)
    assert parquet(tmp_path / "b") == parquet(pairs.path)
    assert manifest["content_hash"] == pairs.manifest["content_hash"]


def test_an_interrupted_conversion_is_gone_on_with(written, pairs, tmp_path, monkeypatch):
    out = tmp_path / "a"
    shutil.copytree(pairs.path, out)
    (out / "manifest.json").unlink()
    storage.write_json(out / "run.json", {**storage.read_json(out / "run.json"), "finished": False})
    gone, *kept = sorted(out.glob("split=*/*.parquet"))
    gone.unlink()
    kept[0].write_bytes(b"damaged")
    before = {f: f.stat().st_mtime_ns for f in kept[1:]}
    convert.convert(written[0], out, workers=1)
    assert parquet(out) == parquet(pairs.path)
    assert {f: f.stat().st_mtime_ns for f in before} == before, "whole parts are not made again"
    monkeypatch.setattr(convert, "convert_item", None)
    assert convert.convert(written[0], out)["content_hash"] == pairs.manifest["content_hash"], "finished: kept"
    with pytest.raises(DhsError, match="another configuration"):
        convert.convert(written[0] / "train", out)


def test_row_groups_become_parts_of_bounded_size(written, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "ROWS_PER_PART", 7)
    convert.convert(written[0], tmp_path / "small", workers=1)
    small = Pairs(tmp_path / "small")
    assert len(small.files("train")) > len(pairs.files("train"))
    keys = ["pair_id", "host_id", "arc_snr_matched"]
    assert small.table(columns=keys).equals(pairs.table(columns=keys))
    quarantines = [storage.read_bytes(storage.join(p.path, "quarantine.parquet")) for p in (small, pairs)]
    assert quarantines[0] == quarantines[1]


def test_a_damaged_row_group_is_refused_from_its_first_lost_row(tmp_path):
    rng = np.random.default_rng(1)
    good = [make_row("train", "train/a.parquet", i, rng) for i in range(6)]
    write_file(tmp_path / "v5/train/a.parquet", good, row_group_size=3)
    file = tmp_path / "v5/train/a.parquet"
    data, group = bytearray(file.read_bytes()), pq.ParquetFile(file).metadata.row_group(1)
    pages = group.column(group.num_columns - 1)
    assert pages.path_in_schema == "stamp_npz"
    start = pages.dictionary_page_offset or pages.data_page_offset
    data[start : start + 2000] = b"\xff" * 2000
    file.write_bytes(data)
    manifest = convert.convert(tmp_path / "v5", tmp_path / "out", workers=1)
    assert manifest["counts"]["train"] == 3
    (lost,) = storage.read_table(tmp_path / "out/quarantine.parquet").to_pylist()
    assert (lost["file"], lost["row"], lost["code"]) == ("train/a.parquet", 3, "unreadable_file")
    assert "rows 3 to 5" in lost["message"]


def test_a_band_without_its_own_psf_is_estimated_and_flagged(tmp_path):
    rng = np.random.default_rng(2)
    lines = [make_row("train", "train/a.parquet", i, rng) for i in range(3)]
    lines[0].columns.update(psf_fwhm_used_g=None, psf_fwhm_used_r=None, psf_fwhm_used_z=None, psfsize_r=1.32)
    lines[1].columns.update(psf_fwhm_used_r=float("nan"))
    lines[2].columns.update(psf_fwhm_used_g=None, psf_fwhm_used_r=None, psf_fwhm_used_z=0.0, psfsize_r=None)
    lines[2].columns.update(cosmos_index=None, magnification=None)
    write_file(tmp_path / "v5/train/a.parquet", lines, without=("brickname", "region_split", "task_id"))
    convert.convert(tmp_path / "v5", tmp_path / "out", workers=1)
    found = converted(Pairs(tmp_path / "out"))
    assert per_band(found[0], "psf_fwhm", "_arcsec") == pytest.approx([1.43, 1.32, 1.21])
    assert per_band(found[1], "psf_fwhm", "_arcsec") == pytest.approx(lines[1].truth["fwhm"])
    assert per_band(found[2], "psf_fwhm", "_arcsec") == pytest.approx([1.3, 1.2, 1.1])
    assert ["psf_assumed" in found[i]["flags"] for i in range(3)] == [True, False, True]
    assert found[2]["source_id"] == "" and np.isnan(found[2]["magnification"])
    assert len(found[0]["brickname"]) == 8


def test_a_set_is_converted_once_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    write_earlier(tmp_path / "v5", 2, faults=False, files=1)
    first = dhs.open_pairs(tmp_path / "v5")
    assert Path(first.path).parent == tmp_path / "cache" / "earlier" and len(first) == 6
    said = capsys.readouterr().err
    assert "converted once into" in said and first.path in said and "derived columns" in said and "0 inputs" in said
    assert not list((tmp_path / "v5").glob("*.json")), "nothing is written beside the input"
    before = {f: f.stat().st_mtime_ns for f in Path(first.path).rglob("*") if f.is_file()}
    again = dhs.open_pairs(str(tmp_path / "v5") + "/")
    assert again.path == first.path
    assert {f: f.stat().st_mtime_ns for f in Path(first.path).rglob("*") if f.is_file()} == before
    assert "converted once" not in capsys.readouterr().err
    os.utime(tmp_path / "v5/test/part-0.parquet", ns=(1, 1))
    changed = dhs.open_pairs(tmp_path / "v5")
    assert changed.path != first.path and changed.manifest["content_hash"] == first.manifest["content_hash"]


def test_a_leftover_of_other_code_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    write_earlier(tmp_path / "v5", 1, faults=False, files=1)
    folder = Path(dhs.open_pairs(tmp_path / "v5").path)
    (folder / "manifest.json").unlink()
    run = storage.read_json(folder / "run.json")
    storage.write_json(folder / "run.json", {**run, "finished": False, "code": "of another day"})
    (folder / "stray").write_text("of another day")
    assert len(dhs.open_pairs(tmp_path / "v5")) == 3
    assert not (folder / "stray").exists()


def test_what_is_not_of_this_format_is_left_alone(pairs, tmp_path):
    assert not convert.is_earlier(pairs.path) and not convert.is_earlier(tmp_path / "nowhere")
    row = make_row("train", "train/a.parquet", 0, np.random.default_rng(0))
    write_file(tmp_path / "other/train/a.parquet", [row], without=("ctrl_stamp_npz",))
    assert not convert.is_earlier(tmp_path / "other")
    with pytest.raises(DhsError, match="no manifest.json"):
        dhs.open_pairs(tmp_path / "other")
    row.columns["is_control"] = True
    write_file(tmp_path / "controls/train/a.parquet", [row])
    with pytest.raises(DhsError, match=r"no row of this set .*is_control.*train/a.parquet, row 0"):
        convert.convert(tmp_path / "controls", tmp_path / "x", workers=1)


def test_preflight_and_training_take_the_set_as_it_is(written, tmp_path, monkeypatch):
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    profile = load_profile(
        "smoke",
        preflight__n_null=5,
        preflight__n_bootstrap=20,
        preflight__max_rows=12,
        train__epochs=1,
        train__batch_size=16,
    )
    (tmp_path / "tiny.yaml").write_text(profile.to_yaml())
    common = ["--data-path", str(written[0]), "--profile", str(tmp_path / "tiny.yaml")]
    done = CliRunner().invoke(app, ["preflight", *common, "--out", str(tmp_path / "run")])
    assert done.exit_code in (10, 20), done.output
    gates = {g["name"]: g for g in json.loads((tmp_path / "run/preflight.json").read_text())["gates"]}
    assert gates["data_integrity"]["status"] == "pass", gates["data_integrity"]["explanation"]
    assert not [g for g in gates.values() if "error" in g["explanation"].lower()]
    done = CliRunner().invoke(app, ["train", *common, "--output-dir", str(tmp_path / "t")])
    assert done.exit_code == 0, done.output
    (row,) = pd.read_csv(tmp_path / "t/history.csv").to_dict("records")
    assert row["seen_ids"] == GOOD and np.isfinite([row["loss_train"], row["loss_val"], row["auroc_val"]]).all()
