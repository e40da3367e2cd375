"""Data sets no number should come from: every gate says skip, warn or fail with the reason, and none crashes."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_pairs import write

from dhs.datasets.schema import SCHEMA_VERSION
from dhs.errors import DhsError
from dhs.validation.preflight.gate import registered, run_gates
from dhs.validation.preflight.preflight import collect, preflight


@pytest.fixture
def every(tmp_path, profile):
    """All gates on rows, after a change to the files."""

    def run(pairs, negatives, change=lambda folder: None):
        data = write(tmp_path / "pairs", pairs, negatives)
        change(tmp_path / "pairs")
        got = {g.name: g for g in run_gates(collect(data, profile, engine="serial"))}
        assert len(got) == len(registered())
        for g in got.values():
            assert g.explanation and (g.status == "pass" or g.remedy), g.name
            assert not any(w in g.explanation for w in ("Error:", "nan", "Traceback")), (g.name, g.explanation)
            assert g.status != "skip" or g.value is None
        return got

    return run


def test_one_class_only(rows, every):
    """No hard negative, and arcs without light: positive and control are the same stamp."""
    flat = [{**r, "arc": np.zeros_like(r["arc"]), **{f"arc_flux_{b}": 0.0 for b in "grz"}} for r in rows[0][:50]]
    got = every(flat, [])
    assert got["class_balance"].status == "fail" and got["hard_negative_texture"].status == "skip"
    assert got["arc_core_fraction"].status == "skip" and "0 arcs have light" in got["arc_core_fraction"].explanation
    assert got["core_leakage"].details["concordance"].value == 0.5, "ties count half"


def test_controls_missing(rows, every):
    got = every([{**r, "control": None} for r in rows[0][:30]], [])
    assert got["data_integrity"].status == "fail" and "30 pairs have an image" in got["data_integrity"].explanation
    assert {got[n].status for n in ("core_leakage", "closure", "normalisation", "arc_photometry")} == {"skip"}


def test_one_host(rows, every):
    got = every([{**r, "host_id": "the-one"} for r in rows[0][:50]], rows[1][:20])
    assert got["core_leakage"].status == "skip" and "one host" in got["core_leakage"].explanation
    assert got["split_integrity"].status == "fail" and "host_id in two splits" in got["split_integrity"].explanation
    assert got["observing_conditions"].status == "skip" and "on 1 hosts" in got["observing_conditions"].explanation
    assert got["normalisation"].status == "skip"
    assert got["arc_core_fraction"].ci_low is None, "one host gives no interval"


def test_a_bin_with_three_samples_says_so_and_gives_no_number(rows, every):
    pairs = [r for r in rows[0][:140] if r["theta_e_arcsec"] > 1.0][:60]
    pairs += [r for r in rows[0] if r["theta_e_arcsec"] < 1.0][:3]
    bins = every(pairs, [])["core_leakage"].details["bins"]
    first = next(b for b in bins if b["by"] == "theta_e_arcsec" and b["lo"] == 0.5)
    assert first["n"] == 3 and first["value"] is None and "3 pairs on 3 hosts" in first["reason"]


def test_unreadable_part_is_named_and_the_rest_measured(rows, every):
    def cut(folder):
        part = folder / "split=val" / "part-00000.parquet"
        part.write_bytes(part.read_bytes()[:1000])

    got = every(rows[0][:60], rows[1][:20], cut)
    assert (
        got["data_integrity"].status == "fail" and "split=val/part-00000.parquet" in got["data_integrity"].explanation
    )
    assert got["core_leakage"].n == 55


def test_unreadable_images_behind_readable_scalars(rows, every):
    def garble(folder):
        part = folder / "split=train" / "part-00000.parquet"
        chunk = next(
            c
            for i in range(pq.read_metadata(part).num_columns)
            if "control" in (c := pq.read_metadata(part).row_group(0).column(i)).path_in_schema
        )
        data = bytearray(part.read_bytes())
        middle = chunk.data_page_offset + chunk.total_compressed_size // 2
        data[middle : middle + 4000] = b"\xff" * 4000
        part.write_bytes(bytes(data))

    got = every(rows[0][:60], [], garble)["data_integrity"]
    assert got.status == "fail" and ("unreadable" in got.explanation or "NaN or Inf" in got.explanation)


def test_duplicated_ids(rows, every):
    pairs = rows[0][:50]
    pairs[9] = {**pairs[9], "pair_id": pairs[2]["pair_id"], "rng_key": pairs[2]["rng_key"]}
    got = every(pairs, [])["data_integrity"]
    assert got.status == "fail" and "1 pair ids occur more than once" in got.explanation


def test_mixed_versions(rows, every):
    def older(folder):
        part = folder / "split=train" / "part-00001.parquet"
        table = pq.read_table(part, partitioning=None)
        pq.write_table(table.replace_schema_metadata({b"dhs_schema_version": b"0"}), part)

    got = every(rows[0][:50], [], older)["data_integrity"]
    assert got.status == "fail" and "split=train/part-00001.parquet: schema version 0" in got.explanation


def test_another_version_in_the_manifest_is_refused(rows, tmp_path, profile):
    write(tmp_path / "pairs", rows[0][:20], [])
    manifest = tmp_path / "pairs" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'))
    with pytest.raises(DhsError, match="schema version 99"):
        preflight(tmp_path / "pairs", tmp_path, profile=profile)


def test_a_set_without_invvar_and_without_lens_parameters(rows, every):
    """As the earlier format leaves it: no inverse variance, no source, no lens ellipticity."""
    gone = {"invvar": None, "q": None, "phi_rad": None, "flux_scale": None, "source_id": None, "magnification": None}
    got = every([{**r, **gone} for r in rows[0][:50]], [])
    assert got["data_integrity"].status == "fail" and "needed scalar missing" in got["data_integrity"].explanation
    assert {got[n].status for n in ("core_leakage", "arc_core_fraction", "closure")} == {"skip"}
    assert got["data_integrity"].details["with_invvar"] == 0
    assert got["host_duplicates"].status == "pass" and got["host_duplicates"].n == 50, "pixels need no parameters"
    assert got["arcs_have_light"].status == "pass"


def test_masked_pixels_beyond_the_limit(rows, every):
    invvar = np.ones((3, 64, 64), np.float32)
    invvar[:, :10] = 0
    got = every([{**r, "invvar": invvar} for r in rows[0][:30]], [])["data_integrity"]
    assert got.status == "fail" and "have no inverse variance" in got.explanation
    assert got.details["masked_fraction"] == pytest.approx(10 / 64)


def test_a_brick_in_two_splits(rows, every):
    pairs = rows[0][:50]
    other = next(i for i, r in enumerate(pairs) if r["split"] == "test")
    pairs[other] = {**pairs[other], "brickname": pairs[0]["brickname"]}
    got = every(pairs, [])["split_integrity"]
    assert got.status == "fail" and "1 brickname in two splits" in got.explanation


def test_no_rows_at_all(rows, every):
    def empty(folder):
        for part in folder.rglob("part-*.parquet"):
            part.unlink()

    got = every(rows[0][:10], [], empty)
    assert got["data_integrity"].status == "fail"
    assert {g.status for g in got.values()} <= {"fail", "skip"}
