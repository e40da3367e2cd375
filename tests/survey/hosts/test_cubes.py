import csv

import numpy as np
import pytest
from cutout_samples import DATA, needs_data

from dhs.config import HostsConfig, SplitsConfig
from dhs.datasets.splits import cells, split_hosts
from dhs.errors import DhsError
from dhs.survey.hosts.open import open_hosts, resolved
from dhs.survey.hosts.selection import duplicates, near_lenses


def write_cube(folder, n=5, bands="griz", stars=(0, 2), **more):
    """Round galaxies at 0.263 arcsec with white noise, in counts nobody else has; a table with stars in some."""
    folder.mkdir(parents=True)
    y, x = np.indices((91, 91)) - 45
    rng = np.random.default_rng(1)
    light = 0.3 * np.exp(-np.hypot(x, y) / 3.0)
    cube = light * np.arange(1, 1 + len(bands))[:, None, None] + rng.normal(0, 0.004, (n, len(bands), 91, 91))
    content = {"image_nmgy": cube.astype(np.float32), "bands": np.array(list(bands)), "pixscale": 0.263}
    np.savez(folder / "cube.npz", **content | more)
    with (folder / "cube.csv").open("w") as stream:
        table = csv.writer(stream)
        table.writerow(["index", "star_fwhm_g", "star_fwhm_r", "star_fwhm_z", "star_snr_r"])
        for i in range(n):
            table.writerow([i, *((1.1, 0.9, 0.8, 40.0) if i in stars else ("", "", "", ""))])
    return folder


def opened(folder):
    return open_hosts(HostsConfig(spec=str(folder), known_lenses=None), 3)


def test_a_cube_s_stamps_say_what_was_not_known(tmp_path):
    hosts = opened(write_cube(tmp_path / "set"))
    assert (hosts.reader, hosts.kind, len(hosts), hosts.refusals, hosts.mock) == ("cubes", "cubes", 5, [], False)
    own, taken = hosts.read(0), hosts.read(1)
    common = {"gain_assumed", "sigma_from_mad", "position_unknown"}
    assert set(own.flags) == common | {"psf_from_star"} and set(taken.flags) == common | {"psf_assumed"}
    assert own.psf_fwhm.tolist() == taken.psf_fwhm.tolist() == [1.1, 0.9, 0.8]
    # i is left out: z is three times the light of g plus one.
    flux = own.image[:, 20:45, 20:45].sum(axis=(1, 2))
    assert flux[1] / flux[0] == pytest.approx(2, rel=0.05) and flux[2] / flux[0] == pytest.approx(4, rel=0.05)
    assert own.sky_sigma == pytest.approx([0.004] * 3, rel=0.05)
    assert np.isnan(own.ra) and own.brickname == f"unknown:{own.host_id}" != taken.brickname
    assert hosts.selection == {"stamps": 5, "with_a_star_for_the_psf": 2}


def test_positions_and_psf_of_the_file_are_used(tmp_path):
    place = {"ra": np.arange(5.0), "dec": np.full(5, -10.0), "psf_fwhm": np.full((5, 4), [1.3, 1.2, 1.1, 1.0])}
    stamp = opened(write_cube(tmp_path / "set", **place)).read(2)
    assert (stamp.ra, stamp.dec) == (2.0, -10.0) and stamp.psf_fwhm.tolist() == [1.3, 1.2, 1.0]
    assert not {"position_unknown", "psf_assumed", "psf_from_star"} & set(stamp.flags)


def test_a_cube_says_of_which_survey_it_is(tmp_path):
    plain = opened(write_cube(tmp_path / "plain")).read(0)
    one = opened(write_cube(tmp_path / "one", survey=np.array("des"))).read(0)
    each = opened(write_cube(tmp_path / "each", survey=np.array(["legacy"] + 4 * ["des"])))
    assert (plain.survey, one.survey, each.read(0).survey, each.read(4).survey) == ("legacy", "des", "legacy", "des")
    np.testing.assert_allclose(one.gain / plain.gain, (0.263 / 0.262) ** 2)
    unknown = write_cube(tmp_path / "unknown", survey=np.array("sdss"))
    with pytest.raises(DhsError, match="of survey 'sdss', known are"):
        opened(unknown)
    with pytest.raises(DhsError, match="`survey` is for 2, image_nmgy for 5 stamps"):
        opened(write_cube(tmp_path / "two", survey=np.array(["des", "des"])))


def test_a_star_unlike_the_set_s_is_not_a_psf(tmp_path):
    folder = write_cube(tmp_path / "set", stars=(0, 1, 2))
    text = (folder / "cube.csv").read_text().replace("1,1.1,0.9,0.8", "1,1.9,0.9,0.8")
    (folder / "cube.csv").write_text(text)
    hosts = opened(folder)
    assert "psf_assumed" in hosts.read(1).flags and hosts.read(1).psf_fwhm.tolist() == [1.1, 0.9, 0.8]


def test_bad_stamps_are_refused_and_bad_files_named(tmp_path):
    folder = write_cube(tmp_path / "set", n=6)
    with np.load(folder / "cube.npz") as archive:
        content = {name: archive[name] for name in archive.files}
    content["image_nmgy"][1, 0, 45, 45] = np.nan
    content["image_nmgy"][2] *= 1e4
    np.savez(folder / "cube.npz", **content)
    hosts = opened(folder)
    assert {(r.row, r.code) for r in hosts.refusals} == {(1, "not_finite"), (2, "implausible_units")} and len(
        hosts
    ) == 4
    np.savez(folder / "cube.npz", **content | {"bands": np.array(list("griy"))})
    with pytest.raises(DhsError, match="missing_band"):
        opened(folder)
    np.savez(folder / "cube.npz", image_nmgy=content["image_nmgy"], bands=content["bands"])
    with pytest.raises(DhsError, match="no pixscale"):
        opened(folder)
    np.savez(folder / "cube.npz", **content | {"image_nmgy": content["image_nmgy"][:4]})
    with pytest.raises(DhsError, match="6 rows for 4 stamps"):
        opened(folder)
    whole = (folder / "cube.npz").read_bytes()
    (folder / "cube.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DhsError, match="unreadable"):
        opened(folder)


def test_unknown_positions_are_near_nothing():
    ra, dec = np.array([np.nan, 10.0, np.nan, 10.0]), np.array([np.nan, 1.0, np.nan, 1.0])
    assert duplicates(ra, dec) == {3: 1}
    assert near_lenses(ra, dec, None, 11.0) == {}


def test_hosts_of_unknown_position_are_split_by_id(tmp_path):
    refs = opened(write_cube(tmp_path / "set", n=46, stars=())).refs
    config = SplitsConfig()
    split = split_hosts(refs, 3, config)
    assert {name: split.count(name) for name in ("train", "val", "test")} == {"train": 30, "val": 8, "test": 8}
    backwards = split_hosts(refs[::-1], 3, config)
    assert backwards[::-1] == split != split_hosts(refs, 4, config)
    unknown = [float("nan")] * 46
    of_cell = cells(unknown, unknown, 32, [r.host_id for r in refs])
    assert len(set(of_cell.tolist())) == 46 and (of_cell < 0).all()
    assert of_cell[7] == cells([np.nan], [np.nan], 32, [refs[7].host_id])[0]


def test_auto_is_mock_without_data(monkeypatch, tmp_path):
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    assert resolved("auto") == "mock" and resolved("elsewhere") == "elsewhere"
    monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path))
    assert resolved("auto") == "mock"
    folder = write_cube(tmp_path / "hosts" / "des_lrg46")
    assert resolved("auto") == str(folder)
    hosts = open_hosts(HostsConfig(spec="auto", known_lenses=None), 3)
    assert len(hosts) == 5 and "des_coadd" in hosts.read(0).flags and "DES" in hosts.selection["acknowledgement"]


@needs_data
def test_the_real_hosts_are_all_read():
    hosts = open_hosts(HostsConfig(spec=str(DATA / "hosts/des_lrg46")), 3)
    assert len(hosts) == 46 and hosts.refusals == []
    stamps = [hosts.read(i) for i in range(46)]
    with (DATA / "hosts/des_lrg46/des_lrg46.csv").open() as stream:
        table = list(csv.DictReader(stream))
    # The table's noise was measured on the whole stamp by another program.
    for j, band in enumerate("grz"):
        ratio = [s.sky_sigma[j] / float(row[f"skysig_{band}_nmgy"]) for s, row in zip(stamps, table)]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.06)
    assert 12 <= sum("psf_from_star" in s.flags for s in stamps) <= 19
    assert np.median([s.psf_fwhm for s in stamps], axis=0) == pytest.approx([1.16, 0.90, 0.78], abs=0.04)
