"""Survey negatives as files are the ones that are made, and are made once."""

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.datasets import survey_negatives
from dhs.survey.mock.negatives import SurveyNegatives


def test_stored_negatives_are_the_made_ones_and_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 6)
    first = survey_negatives.read(str(tmp_path), 3, (4, 14))
    files = sorted(tmp_path.rglob("*.parquet"))
    assert [f.name for f in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    negatives = SurveyNegatives(14, 3)
    for k, i in enumerate(range(4, 14)):
        stamp = negatives.read(i)
        np.testing.assert_array_equal(first["images"][k], stamp.image)
        np.testing.assert_array_equal(first["sky_sigma"][k], stamp.sky_sigma.astype(np.float32))
        np.testing.assert_array_equal(first["psf_fwhm"][k], stamp.psf_fwhm.astype(np.float32))
        assert (first["host_id"][k], first["kind"][k]) == (stamp.host_id, stamp.meta["kind"])
    written = [f.stat().st_mtime_ns for f in files]
    again = survey_negatives.read(str(tmp_path), 3, (4, 14))
    assert [f.stat().st_mtime_ns for f in files] == written
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert survey_negatives.read(str(tmp_path), 3, (4, 4))["images"].shape == (0, 3, 64, 64)


def test_a_damaged_part_or_one_of_other_code_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 3)
    whole = survey_negatives.make(str(tmp_path), 1, 0)
    (file,) = tmp_path.rglob("*.parquet")
    assert survey_negatives.make(str(tmp_path), 1, 0) is None
    file.write_bytes(file.read_bytes()[:500])
    assert survey_negatives.make(str(tmp_path), 1, 0).equals(whole)
    other = whole.slice(0, 3).replace_schema_metadata({survey_negatives.MADE_BY: b"other"})
    storage.write_table(str(file), other)
    assert survey_negatives.read(str(tmp_path), 1, (0, 3))["host_id"] == whole["host_id"].to_pylist()
    assert storage.read_table(str(file)).schema.metadata[survey_negatives.MADE_BY] != b"other"
    assert isinstance(whole, pa.Table)


def test_noise_is_rounded_and_dithered_by_less_than_a_32nd_of_the_sky(monkeypatch):
    from dhs.survey.mock import negatives

    rounded = SurveyNegatives(5, 8).read(4)
    monkeypatch.setattr(negatives, "served", lambda image, step: image)
    error = SurveyNegatives(5, 8).read(4).image - rounded.image
    assert 0 < np.abs(error / rounded.sky_sigma[:, None, None]).max() <= 1 / 32 + 1e-5
