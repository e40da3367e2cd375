"""Survey negatives as files are the ones that are made, and are made once."""

import numpy as np
import pytest

from dhs import storage
from dhs.datasets import survey_negatives
from dhs.engines import Engine
from dhs.errors import DhsError
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
    survey_negatives.ensure(str(tmp_path), 1, 2)
    (file,) = tmp_path.rglob("*.parquet")
    whole, written = storage.read_table(str(file)), file.stat().st_mtime_ns
    survey_negatives.ensure(str(tmp_path), 1, 3)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:500])
    survey_negatives.ensure(str(tmp_path), 1, 3)
    assert storage.read_table(str(file)).equals(whole)
    other = whole.slice(0, 3).replace_schema_metadata({survey_negatives.MADE_BY: b"other"})
    storage.write_table(str(file), other)
    assert survey_negatives.read(str(tmp_path), 1, (0, 3))["host_id"] == whole["host_id"].to_pylist()
    assert storage.read_table(str(file)).schema.metadata[survey_negatives.MADE_BY] != b"other"


def test_what_is_only_looked_at_is_the_same_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 3)
    maker = survey_negatives.Maker(str(tmp_path))
    loose = survey_negatives.looked_at(maker, 1, 5)
    assert not list(tmp_path.iterdir())
    survey_negatives.ensure(str(tmp_path), 1, 5)
    kept = survey_negatives.looked_at(maker, 1, 5)
    assert all(np.array_equal(loose[name], kept[name]) for name in kept)
    stamp = SurveyNegatives(5, 1).read(4)
    assert (kept["ra"][4], kept["dec"][4]) == (stamp.ra, stamp.dec)


def test_several_processes_make_what_one_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 4)
    made = []
    monkeypatch.setattr(
        survey_negatives.engines,
        "run",
        lambda f, items, setup, args, engine, progress: (
            made.append(engine),
            [f(setup(*args), i) for i in items],
        )[1],
    )
    survey_negatives.ensure(str(tmp_path), 1, 17, workers=2)
    assert made == [Engine("processes", 2)] and len(list(tmp_path.rglob("*.parquet"))) == 5


def test_single_ones_are_found_by_their_host(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 3)
    survey_negatives.ensure(str(tmp_path), 1, 6)
    stamp = SurveyNegatives(6, 1).read(4)
    found = survey_negatives.by_host(str(tmp_path), 1, [stamp.host_id, "unknown"])
    assert list(found) == [stamp.host_id]
    np.testing.assert_array_equal(found[stamp.host_id], stamp.image)
    assert survey_negatives.by_host(str(tmp_path), 1, []) == {} == survey_negatives.by_host(str(tmp_path), 2, ["a"])


def test_noise_is_rounded_and_dithered_by_less_than_a_32nd_of_the_sky(monkeypatch):
    from dhs.survey.mock import negatives

    rounded = SurveyNegatives(5, 8).read(4)
    monkeypatch.setattr(negatives, "served", lambda image, step: image)
    error = SurveyNegatives(5, 8).read(4).image - rounded.image
    assert 0 < np.abs(error / rounded.sky_sigma[:, None, None]).max() <= 1 / 32 + 1e-5


def real_set(tmp_path, n=24):
    """A finished data set on hosts of a deep, sharp survey of their own, without inverse variance or position."""
    import dhs

    rng = np.random.default_rng(5)
    y, x = np.indices((91, 91)) - 45
    noise = np.array([0.0013, 0.0026, 0.0039])[:, None, None]
    cube = 0.3 * np.exp(-np.hypot(x, y) / 3.0) + rng.normal(0, 1, (n, 3, 91, 91)) * noise
    (tmp_path / "hosts").mkdir()
    fwhm = np.full((n, 3), [0.82, 0.75, 0.7]) + rng.normal(0, 0.02, (n, 3))
    content = {"bands": np.array(list("grz")), "pixscale": 0.262, "psf_fwhm": fwhm}
    np.savez(tmp_path / "hosts" / "cube.npz", image_nmgy=cube.astype(np.float32), **content)
    options = {
        "sources": "mock",
        "n_pairs": 48,
        "seed": 2,
        "profile": "smoke",
        "engine": "serial",
        "known_lenses": None,
    }
    return dhs.inject(str(tmp_path / "pairs"), hosts=str(tmp_path / "hosts"), **options)


def test_negatives_are_seen_under_the_hosts_own_sky_where_those_are_real(tmp_path, monkeypatch):
    pairs = real_set(tmp_path)
    monkeypatch.setattr(survey_negatives, "PART", 40)
    found = survey_negatives.read(pairs.path, 3, (0, 40))
    assert np.median(found["psf_fwhm"], axis=0) == pytest.approx([0.82, 0.75, 0.7], abs=0.03)
    assert np.median(found["sky_sigma"], axis=0) == pytest.approx([0.0013, 0.0026, 0.0039], rel=0.12)
    own = survey_negatives.Maker(pairs.path)
    assert (own(5, 3).read(4).image == found["images"][4]).all() and np.isnan(own(5, 3).read(4).ra)
    assert own.mock and own.told == "mock, under the hosts' own sky"
    # Neither seeing nor depth tells them from the hosts; under the survey's sky both do.
    hosts, survey = survey_negatives.skies_of(pairs.path), survey_negatives.Maker(str(tmp_path))(40, 3)
    for name in ("psf_fwhm", "sky_sigma"):
        theirs = np.array([getattr(survey.read(i), name) for i in range(40)])
        assert np.abs(np.log(np.median(getattr(hosts, name), axis=0) / np.median(found[name], axis=0))).max() < 0.1
        assert np.abs(np.log(np.median(getattr(hosts, name), axis=0) / np.median(theirs, axis=0))).max() > 0.3
    assert survey_negatives.Maker(str(tmp_path)).told == "mock, under the survey's sky"


def test_a_folder_of_real_galaxies_takes_their_place(tmp_path):
    from dhs.survey.mock.hosts import write_mock_hosts

    write_mock_hosts(tmp_path / "galaxies", 20, 6)
    maker = survey_negatives.Maker(str(tmp_path), str(tmp_path / "galaxies"))
    assert not maker.mock and str(tmp_path / "galaxies") in maker.told
    assert maker.shares(10, 4) == (10, 4) and maker.shares(100, 25) == (16, 4) and maker.shares(0, 0) == (0, 0)
    first, second = maker(8, 1), maker(8, 2)
    assert len(first) == 8 and first.refs != second.refs and len({r.host_id for r in maker(20, 1).refs}) == 20
    found = survey_negatives.of_set(first, (2, 5))
    assert found["host_id"] == [r.host_id for r in first.refs[2:5]] and found["kind"] == ["real"] * 3
    assert found["images"].shape == (3, 3, 64, 64)
    write_mock_hosts(tmp_path / "few", 5, 6)
    with pytest.raises(DhsError, match="5 usable galaxies, 8 are needed"):
        survey_negatives.Maker(str(tmp_path), str(tmp_path / "few"))(3, 1)
