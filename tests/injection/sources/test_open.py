"""Source sets: what they promise, and how they refuse."""

import pickle
import shutil

import numpy as np
import pytest
from astropy.io import fits
from catalogue_samples import CATALOGUE, needs_cosmos, small_catalogue, write_table

from dhs.config import SourcesConfig
from dhs.errors import DhsError
from dhs.injection.sources.galsim_catalogue import FETCH_FOLDER
from dhs.injection.sources.open import find_cosmos, open_sources
from dhs.survey.facts import mag_from_flux

SPECS = ["xdf", "mock", pytest.param(str(CATALOGUE), marks=needs_cosmos, id="cosmos")]


@pytest.mark.parametrize("spec", SPECS)
def test_promises_of_a_source_set(spec):
    found = open_sources(SourcesConfig(spec=spec), seed=1)
    assert len(found.ids) == len(set(found.ids)) == len(found) > 30
    assert found.limits and all(line.endswith(".") for line in found.limits)
    assert all(r.stage == "source" and r.message and r.remedy for r in found.refusals)
    for i, name in enumerate(found.ids):
        source = found.read(i)
        n = len(source.image)
        assert source.source_id == name and source.image.shape == (n, n) and source.image.dtype == np.float64
        assert source.image.min() >= 0 and source.image.sum() == pytest.approx(1, abs=1e-12)
        edges = np.concatenate([source.image[[0, -1]].ravel(), source.image[:, [0, -1]].ravel()])
        assert np.all(edges == 0)
        axis = np.arange(n) - (n - 1) / 2
        centroid = (source.image.sum(axis=0) @ axis, source.image.sum(axis=1) @ axis)
        assert np.abs(centroid).max() < 0.05
        assert source.flux.shape == (3,) and np.all(source.flux > 0) and np.isfinite(source.flux).all()
        assert source.z >= 0.6
        assert ("mock" in source.flags) == found.mock == (spec == "mock")


@pytest.mark.parametrize("spec", SPECS)
def test_survives_a_trip_to_a_worker_and_reopens_the_same(spec):
    config = SourcesConfig(spec=spec)
    first = open_sources(config, seed=5)
    again = pickle.loads(pickle.dumps(first))
    if spec == "xdf":  # a worker has no cache
        from dhs.injection.sources import xdf

        xdf.load.cache_clear()
        xdf._detect.cache_clear()
    reopened = open_sources(config, seed=5)
    for other in (again, reopened):
        assert other.ids == first.ids
        for i in (0, len(first) // 2, len(first) - 1):
            np.testing.assert_array_equal(other.read(i).image, first.read(i).image)
            np.testing.assert_array_equal(other.read(i).flux, first.read(i).flux)


def test_index_out_of_range_is_refused():
    found = open_sources(SourcesConfig(spec="mock"), seed=1)
    for i in (-1, len(found)):
        with pytest.raises(DhsError, match=f"source {i} of mock: there are 40, counted from 0"):
            found.read(i)


def test_sources_are_bluer_than_lens_galaxies():
    """Lens galaxies of the survey have g - r of about 1.5; a source population as red would be the lens's light."""
    found = open_sources(SourcesConfig(spec="xdf"), seed=1)
    magnitudes = mag_from_flux([found.read(i).flux for i in range(len(found))])
    assert 0.1 < np.median(magnitudes[:, 0] - magnitudes[:, 1]) < 0.8


# --- auto -------------------------------------------------------------------------------------------------------


@needs_cosmos
def test_auto_prefers_cosmos_of_the_data_folder():
    assert find_cosmos() == CATALOGUE
    assert open_sources(SourcesConfig(), seed=0).spec == f"cosmos_btk100/{CATALOGUE.name}"


def test_auto_takes_the_fetched_folder_then_the_picture(tmp_path, monkeypatch):
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_cosmos() is None
    assert open_sources(SourcesConfig(), seed=0).kind == "xdf"
    small_catalogue(tmp_path / FETCH_FOLDER / "COSMOS_25.2_training_sample")
    found = open_sources(SourcesConfig(), seed=0)
    assert (found.kind, found.spec) == ("real_galaxy", "COSMOS_25.2_training_sample/catalog.fits")


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["IDENT", "GAL_HDU", "NOISE_VARIANCE"])
def test_missing_column_of_galsim(tmp_path, missing):
    path = small_catalogue(tmp_path, drop=(missing,))
    with pytest.raises(DhsError, match=f"{path}: no column '{missing.lower()}'; a RealGalaxyCatalog has"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_missing_redshift_names_the_companion(tmp_path):
    path = small_catalogue(tmp_path, companion=False)
    with pytest.raises(DhsError, match=r"no column with the photometric redshift: .*catalog_fits\.fits, which"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_missing_magnitude(tmp_path):
    path = small_catalogue(tmp_path, drop=("MAG",))
    with pytest.raises(DhsError, match="no column with the magnitude: looked for mag, mag_auto"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_unreadable_file(tmp_path):
    path = tmp_path / "catalog.fits"
    path.write_bytes(b"this is no FITS file" * 200)
    with pytest.raises(DhsError, match=r"catalog\.fits: not a readable RealGalaxyCatalog"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_an_image_is_no_catalogue(tmp_path):
    path = tmp_path / "image.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 4)))]).writeto(path)
    with pytest.raises(DhsError, match="not a readable RealGalaxyCatalog"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


@pytest.mark.parametrize("content", [b"broken", None])
def test_unreadable_or_empty_companion(tmp_path, content):
    path = small_catalogue(tmp_path, companion=False)
    companion = tmp_path / "catalog_fits.fits"
    if content is None:
        write_table(companion, {"IDENT": np.zeros(0, int), "zphot": np.zeros(0)})
    else:
        companion.write_bytes(content)
    with pytest.raises(DhsError, match=r"catalog_fits\.fits: .*Fetch it again"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_companion_of_another_catalogue(tmp_path):
    path = small_catalogue(tmp_path, companion=False)
    write_table(tmp_path / "catalog_fits.fits", {"zphot": np.ones(3)})
    with pytest.raises(DhsError, match="3 rows without an IDENT column, the catalogue has 4"):
        open_sources(SourcesConfig(spec=str(path)), seed=0)


def test_wrong_paths(tmp_path):
    with pytest.raises(DhsError, match=r"no such source catalogue\. Give auto, xdf, mock, or"):
        open_sources(SourcesConfig(spec=str(tmp_path / "absent.fits")), seed=0)
    with pytest.raises(DhsError, match=r"a folder, not a catalogue\. No FITS file in it"):
        open_sources(SourcesConfig(spec=str(tmp_path)), seed=0)
    small_catalogue(tmp_path)
    with pytest.raises(DhsError, match=r"a folder, not a catalogue\. Give the file: catalog\.fits"):
        open_sources(SourcesConfig(spec=str(tmp_path)), seed=0)


def test_catalogue_away_from_its_images(tmp_path):
    path = small_catalogue(tmp_path / "whole")
    (tmp_path / "alone").mkdir()
    for name in ("catalog.fits", "catalog_fits.fits"):
        shutil.copy(path.parent / name, tmp_path / "alone" / name)
    with pytest.raises(DhsError, match=r"they fell: 4 to unreadable.*images\.fits.*beside the catalogue"):
        open_sources(SourcesConfig(spec=str(tmp_path / "alone" / "catalog.fits")), seed=0)


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"z_min": 3.0}, r"4 to z_min = 3\. Relax the cuts \(lower sources\.z_min\)"),
        ({"mag_max": 20.0}, r"4 to mag_max = 20\. Relax the cuts \(raise sources\.mag_max\)"),
        ({"min_snr": 1e6}, r"4 to min_snr = 1e\+06\. Relax the cuts \(lower sources\.min_snr\)"),
    ],
)
def test_empty_after_cuts_says_which(tmp_path, cuts, message):
    path = small_catalogue(tmp_path)
    with pytest.raises(DhsError, match=f"no source galaxy of 4 is left; they fell: {message}"):
        open_sources(SourcesConfig(spec=str(path), **cuts), seed=0)


@pytest.mark.parametrize("cuts", [{"z_min": 3.5}, {"mag_max": 22.0}, {"min_snr": 1e6}])
def test_picture_empty_after_cuts(cuts):
    with pytest.raises(DhsError, match=f"xdf: no source galaxy .*{next(iter(cuts))}"):
        open_sources(SourcesConfig(spec="xdf", **cuts), seed=0)


@pytest.mark.parametrize("scale", [0.0, np.nan, 0.03 / 3600])
def test_a_pixel_scale_that_no_telescope_has_is_refused(tmp_path, scale):
    path = small_catalogue(tmp_path / "c", PIXEL_SCALE=np.full(4, scale))
    with pytest.raises(DhsError, match=r"row 0, column 'pixel_scale'.*4 such rows"):
        open_sources(SourcesConfig(spec=str(path)), 1)


def test_a_redshift_of_99_is_unknown(tmp_path):
    path = small_catalogue(tmp_path / "c", zphot=np.array([99.0, 1.0, 99.0, 1.1]))
    found = open_sources(SourcesConfig(spec=str(path)), 1)
    assert found.cuts["z_unknown"] == 2 and all(found.read(i).z < 2 for i in range(len(found)))


def test_numbers_written_as_text_are_read_and_words_are_unknown(tmp_path):
    path = small_catalogue(tmp_path / "c", MAG=np.array(["N/A", "23.5", "23.5", "23.5"]))
    assert open_sources(SourcesConfig(spec=str(path)), 1).cuts["mag_max"] == 1
    words = small_catalogue(tmp_path / "d", MAG=np.array(["a", "b", "c", "d"]))
    with pytest.raises(DhsError, match="'MAG' holds no numbers"):
        open_sources(SourcesConfig(spec=str(words)), 1)


def test_a_catalogue_without_rows(tmp_path):
    path = small_catalogue(tmp_path / "c")
    with fits.open(path) as hdus:
        hdus[1].data = hdus[1].data[:0]
        hdus.writeto(path, overwrite=True)
    with pytest.raises(DhsError, match="without rows|not a readable"):
        open_sources(SourcesConfig(spec=str(path)), 1)


@pytest.mark.parametrize("content", [b"<html>login</html>", None])
def test_a_noise_file_that_is_none(tmp_path, content):
    path = small_catalogue(tmp_path / "c", NOISE_FILENAME=np.array(["noise.fits"] * 4))
    noise = path.parent / "noise.fits"
    noise.write_bytes(content) if content else fits.writeto(noise, np.ones((10, 10)))
    with pytest.raises(DhsError, match=r"noise.fits: (not a readable|no) noise correlation"):
        open_sources(SourcesConfig(spec=str(path)), 1)
