"""`dhs.inject`: the contract of the data set, its reproducibility, and what it refuses."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import dhs
from dhs import storage
from dhs.datasets.inject import open_context, plan
from dhs.datasets.reader import images, per_band, rows
from dhs.datasets.schema import PAIR_SCHEMA, SCALARS, SPLITS, stored
from dhs.errors import DhsError, UsageError
from dhs.injection.lens import Lens
from dhs.injection.noise import shot_noise
from dhs.injection.pair import noise_variance
from dhs.injection.render.reference import convolve_and_bin, kernels, lensed_light
from dhs.injection.snr import snr_matched, snr_maxpix
from dhs.random import Stream, generator


def bytes_of(folder):
    return {f.removeprefix(str(folder)): storage.read_bytes(f) for f in storage.list_files(folder, (".parquet",), True)}


def test_manifest_counts_what_is_there(pairs, tiny):
    table = pairs.table()
    manifest = pairs.manifest
    assert table.num_rows == len(pairs) == tiny.injection.n_pairs == sum(manifest["counts"].values())
    assert sorted(table["pair_id"].to_pylist()) == list(range(30))
    assert manifest["hosts"]["mock"] and manifest["sources"]["mock"]
    assert manifest["draws"]["accepted"] == 30 and manifest["draws"]["rejected"]
    negatives = sum(t.num_rows for t in (pairs.table(s, ["pair_id"], negatives=True) for s in SPLITS))
    made = {k: v for k, v in manifest["negatives"].items() if k != "refused"}
    assert negatives == sum(made.values()) > 0 and len(made) > 2
    assert pq.read_schema(pairs.files("train")[0]).equals(stored(PAIR_SCHEMA))
    assert pairs.table(columns=PAIR_SCHEMA.names).schema.equals(PAIR_SCHEMA)


def test_every_engine_and_worker_count_gives_the_same_bytes(pairs, tiny, tmp_path):
    other = dhs.inject(tmp_path / "b", profile=tiny, engine="processes", workers=2)
    assert bytes_of(other.path) == bytes_of(pairs.path)
    assert other.manifest["content_hash"] == pairs.manifest["content_hash"]
    another = dhs.inject(tmp_path / "c", profile=tiny, engine="serial", seed=tiny.seed + 1, n_pairs=3)
    assert another.manifest["content_hash"] != pairs.manifest["content_hash"]


def test_an_interrupted_run_resumes_to_the_same_bytes(pairs, tiny, tmp_path):
    out = tmp_path / "b"
    shutil.copytree(pairs.path, out)
    (out / "manifest.json").unlink()
    storage.write_json(out / "run.json", {**storage.read_json(out / "run.json"), "finished": False})
    for file in storage.list_files(out, ("part-00001.parquet",), True):
        storage.resolve(file)[0].delete_file(file)
    with pytest.raises(DhsError, match="--resume"):
        dhs.inject(out, profile=tiny, engine="serial")
    resumed = dhs.inject(out, profile=tiny, engine="serial", resume=True)
    assert bytes_of(out) == bytes_of(pairs.path)
    assert resumed.manifest == pairs.manifest


def test_nothing_written_is_overwritten(pairs, tiny, tmp_path):
    before = bytes_of(pairs.path)
    with pytest.raises(DhsError, match="another configuration or seed"):
        dhs.inject(pairs.path, profile=tiny, seed=99, engine="serial", resume=True)
    with pytest.raises(DhsError, match="already|finished"):
        dhs.inject(pairs.path, profile=tiny, engine="serial")
    assert bytes_of(pairs.path) == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DhsError, match="not a pairs data set"):
        dhs.inject(tmp_path, profile=tiny, engine="serial")


def test_no_host_brick_cell_or_source_is_in_two_splits(pairs):
    table = pairs.table()
    for column in ("host_id", "brickname", "healpix", "source_id"):
        seen = [set(pairs.table(s, [column])[column].to_pylist()) for s in SPLITS]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2]), column
    assert set(table["split"].to_pylist()) <= set(SPLITS)


def test_columns_can_be_recomputed_from_the_row_alone(pairs, tiny):
    """Arc, SNRs, magnification and the positive follow from the stored parameters."""
    context = open_context(tiny.model_dump(mode="json"), pairs.path)
    sources = {name: i for i, name in enumerate(context.sources.ids)}
    s = tiny.injection.supersampling
    for index in (0, 11, 29):
        row = pairs[index]
        lens = Lens(*(row[k] for k in ("theta_e_arcsec", "q", "phi_rad", "gamma1", "gamma2")),
                    row["lens_x_arcsec"], row["lens_y_arcsec"])  # fmt: skip
        source = context.sources.read(sources[row["source_id"]])
        light = lensed_light(lens, source, row["src_x_arcsec"], row["src_y_arcsec"], row["src_phi_rad"], s)
        psf = kernels(None, per_band(row, "psf_fwhm", "_arcsec"), s)
        arc = convolve_and_bin(light, psf, s) * (source.flux * row["flux_scale"])[:, None, None]
        assert np.abs(arc - row["arc"]).max() < 2e-3 * row["arc"].max()
        assert light.sum() == pytest.approx(row["magnification"], rel=1e-3)
        host = next(context.hosts.read(i) for i, r in enumerate(context.hosts.refs) if r.host_id == row["host_id"])
        assert snr_maxpix(row["arc"], per_band(row, "sky_sigma")) == pytest.approx(row["arc_snr_maxpix"], rel=1e-5)
        assert snr_matched(row["arc"], noise_variance(host), row["lag1"]) == pytest.approx(
            row["arc_snr_matched"], rel=1e-5
        )
        noise = shot_noise(row["arc"], per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT))
        assert np.array_equal(dhs.stamp(row), row["control"] + row["arc"] + noise)


def test_priors_are_respected(pairs, tiny):
    table = pairs.table()
    config = tiny.injection
    theta_e, snr = np.array(table["theta_e_arcsec"]), np.array(table["arc_snr_maxpix"])
    assert config.theta_e_arcsec[0] <= theta_e.min() and theta_e.max() <= config.theta_e_arcsec[1]
    assert config.arc_snr_maxpix[0] * 0.999 <= snr.min() and snr.max() <= config.arc_snr_maxpix[1] * 1.001
    beta = np.hypot(
        np.array(table["src_x_arcsec"]) - np.array(table["lens_x_arcsec"]),
        np.array(table["src_y_arcsec"]) - np.array(table["lens_y_arcsec"]),
    )
    assert (beta <= theta_e * 1.001).all()
    assert min(table["magnification"].to_pylist()) >= config.min_magnification
    assert min(table["n_images"].to_pylist()) >= config.min_images
    assert (np.array(table["arc_snr_matched"]) > snr).mean() > 0.9


def test_hard_negatives_keep_the_matched_snr_and_differ_from_the_arc(pairs):
    arcs = {r["pair_id"]: r for r in rows(pairs.table(columns=[*SCALARS, "arc", "control"]))}
    for split in SPLITS:
        table = pairs.table(split, ["pair_id", "light", "arc_snr_matched", "rng_key"], negatives=True)
        for row, light in zip(table.to_pylist(), images(table["light"])):
            pair = arcs[row["pair_id"]]
            assert row["arc_snr_matched"] == pytest.approx(pair["arc_snr_matched"], rel=1e-3)
            cosine = (light * pair["arc"]).sum() / np.sqrt((light**2).sum() * (pair["arc"] ** 2).sum())
            assert cosine < 0.95
            joined = {k: v for k, v in pair.items() if k != "arc"} | {"light": light}
            assert not np.array_equal(dhs.stamp(joined), dhs.stamp(pair))


def test_the_plan_holds_every_slot_once_in_parts_of_bounded_size(tiny):
    context = open_context(tiny.model_dump(mode="json"), "unused")
    parts = plan(context)
    slots = [s for p in parts for s in p.slots]
    assert sorted(p for p, _ in slots) == list(range(30))
    assert all(len(p.slots) <= tiny.injection.pairs_per_part for p in parts)


def test_reader_prints_as_a_picture_and_says_what_is_missing(pairs, tmp_path):
    assert "MOCK hosts and sources" in repr(pairs)
    assert "data:image/png;base64" in pairs._repr_html_()
    assert len(pairs.table("train", ["pair_id"], limit=2)) == 2
    total = sum(b.num_rows for s in SPLITS for b in pairs.batches(s, ["pair_id"], batch_size=4))
    assert total == len(pairs)
    with pytest.raises(UsageError, match="no split 'dev'"):
        pairs.table("dev")
    with pytest.raises(IndexError):
        pairs[len(pairs)]
    assert [row["pair_id"] for row in pairs[1:4]] == [pairs[i]["pair_id"] for i in (1, 2, 3)] and pairs[9:2] == []
    assert np.array_equal(pairs[-2:][1]["arc"], pairs[len(pairs) - 1]["arc"])
    with pytest.raises(DhsError, match="no manifest.json"):
        dhs.open_pairs(tmp_path)


def test_unknown_engine_and_workers_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="unknown engine 'slurm'"):
        dhs.inject(tmp_path / "x", profile=tiny, engine="slurm")
    with pytest.raises(UsageError, match="at least 1"):
        dhs.inject(tmp_path / "y", profile=tiny, workers=0)
