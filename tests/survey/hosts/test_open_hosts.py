import pickle
import shutil

import numpy as np
import pytest
from cutout_samples import DATA, channel_first, needs_data, npz
from third_party_package import installed

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused
from dhs.survey.hosts.open import index_table, open_hosts, reader_of
from dhs.survey.hosts.record import host_reader
from dhs.survey.mock.hosts import write_mock_hosts
from dhs.survey.survey import surveys


def config(spec, **changes):
    return HostsConfig(spec=str(spec), **({"known_lenses": None} | changes))


@pytest.fixture
def folder(tmp_path):
    """Three good cutouts, one of them 0.5 arcsec from another, and two bad ones."""
    path = tmp_path / "hosts"
    path.mkdir()
    (path / "a.npz").write_bytes(npz(**channel_first(seed=1)))
    (path / "b.npz").write_bytes(npz(**channel_first(seed=2, ra=151.0)))
    (path / "c.npz").write_bytes(npz(**channel_first(seed=3, dec=2.0 + 0.5 / 3600)))
    (path / "d.npz").write_bytes(npz(**channel_first(size=40)))
    (path / "e.fits").write_bytes(b"nonsense")
    (path / "readme.txt").write_text("not a cutout")
    return path


def test_folder_is_checked_up_front(folder):
    hosts = open_hosts(config(folder), 1)
    assert (hosts.kind, hosts.mock, hosts.known_lens_catalogue) == ("folder", False, None)
    assert [r.host_id for r in hosts.refs] == ["a", "b"]
    assert {r.id: r.code for r in hosts.refusals} == {
        "c": "duplicate",
        "d": "too_small",
        "e": "unreadable",
        "readme.txt": "passed_over",
    }
    assert all(r.file.startswith(str(folder)) and r.remedy and r.stage == "host" for r in hosts.refusals)
    stamp = pickle.loads(pickle.dumps(hosts)).read(1)
    assert (stamp.host_id, stamp.ra, stamp.brickname) == ("b", 151.0, hosts.refs[1].brickname)


def test_one_file(folder):
    assert len(open_hosts(config(folder / "a.npz"), 1).refs) == 1
    with pytest.raises(InputRefused, match=r"40 x 40 pixels.*too_small"):
        open_hosts(config(folder / "d.npz"), 1)


def test_known_lenses_are_refused_or_marked(folder, tmp_path):
    catalogue = tmp_path / "known.csv"
    catalogue.write_text(f"ra,dec\n151.0,{2.0 + 10 / 3600}\n")
    hosts = open_hosts(config(folder, known_lenses=str(catalogue)), 1)
    assert [r.host_id for r in hosts.refs] == ["a"] and hosts.known_lens_catalogue == "known.csv (1 rows)"
    refusal = next(r for r in hosts.refusals if r.code == "known_lens")
    assert refusal.id == "b" and "10.0 arcsec away" in refusal.message and "--allow-known-lenses" in refusal.remedy
    marked = open_hosts(config(folder, known_lenses=str(catalogue), allow_known_lenses=True), 1)
    assert ["host_is_candidate" in marked.read(i).flags for i in range(2)] == [False, True]
    narrow = open_hosts(config(folder, known_lenses=str(catalogue), match_radius_arcsec=9.0), 1)
    assert len(narrow.refs) == 2


def test_same_id_in_two_files_is_refused(folder):
    (folder / "b2.npz").write_bytes(npz(**channel_first(seed=5, ra=160.0, host_id="b")))
    hosts = open_hosts(config(folder), 1)
    assert [r.file.rsplit("/")[-1] for r in hosts.refusals if r.code == "duplicate_id"] == ["b2.npz"]


def test_nothing_there(tmp_path, folder):
    with pytest.raises(DhsError, match="no such file or folder"):
        open_hosts(config(tmp_path / "absent"), 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DhsError, match="holds no cutouts"):
        open_hosts(config(tmp_path / "empty"), 1)
    for name in "abc":
        (folder / f"{name}.npz").unlink()
    with pytest.raises(DhsError, match=r"none of its 2 candidates can be a host \(1 too_small, 1 unreadable\)"):
        open_hosts(config(folder), 1)


def test_written_mocks_stay_mock_and_are_not_cross_matched(tmp_path):
    paths = write_mock_hosts(tmp_path / "m", 3, 5)
    mock = open_hosts(HostsConfig(spec="mock", n_mock=3), 5)
    catalogue = tmp_path / "known.csv"
    catalogue.write_text("ra,dec\n" + "".join(f"{r.ra},{r.dec}\n" for r in mock.refs))
    hosts = open_hosts(config(tmp_path / "m", known_lenses=str(catalogue)), 1)
    assert hosts.mock and len(hosts.refs) == len(paths) == 3
    for i in range(3):
        a, b = hosts.read(i), mock.read(i)
        assert a.host_id == b.host_id and (a.image == b.image).all() and (a.gain == b.gain).all()


@needs_data
def test_auto_removes_all_six_real_candidates():
    with pytest.raises(DhsError, match="6 known_lens"):
        open_hosts(HostsConfig(spec=str(DATA / "hosts/ls_dr10_grz")), 1)
    hosts = open_hosts(HostsConfig(spec=str(DATA / "hosts/ls_dr10_grz"), allow_known_lenses=True), 1)
    assert len(hosts.refs) == 6 and all("host_is_candidate" in hosts.read(i).flags for i in range(6))
    assert hosts.known_lens_catalogue.endswith("(32838 rows)")


@needs_data
def test_real_folder_with_bad_files(tmp_path):
    for name in ("decam_image_invvar_psf", "bad_pixels"):
        for path in (DATA / "hosts" / name).iterdir():
            shutil.copy(path, tmp_path)
    hosts = open_hosts(config(tmp_path), 1)
    codes = {r.id: r.code for r in hosts.refusals}
    assert codes["example_bad_pix_09782dd"] == "empty_band" and codes["legacypipe_testcase3"] == "too_small"


def test_a_package_adds_a_way_to_read_hosts(tmp_path):
    images = np.random.default_rng(3).normal(0.0, 0.003, (3, 3, 65, 65)).astype(np.float32)
    images[:, :, 30:35, 30:35] += 1.0
    np.save(tmp_path / "hosts.npy", 10.0 * images)  # of a zero-point 2.5 mag deeper than a nanomaggy's
    (tmp_path / "hosts.npy.csv").write_text("a,150.0,2.0\nb,151.0,2.0\na,152.0,2.0\n")
    asked = config(tmp_path / "hosts.npy")
    with pytest.raises(DhsError, match="hosts.npy"):
        open_hosts(asked, 1)
    with installed(host_reader, surveys):
        hosts = open_hosts(asked, 1)
        assert (hosts.kind, [r.host_id for r in hosts.refs]) == ("stack", ["a", "b"])
        assert [r.code for r in hosts.refusals] == ["duplicate_id"]
        storage.write_table(tmp_path / "index.parquet", index_table(hosts))
        for same in (pickle.loads(pickle.dumps(hosts)), open_hosts(asked, 1, str(tmp_path / "index.parquet"))):
            assert np.allclose(same.read(1).image, images[1][:, :64, :64], atol=1e-6) and same.read(1).row == 1
        assert reader_of(HostsConfig(spec="mock")) == "mock"
    assert reader_of(asked) == "cutouts"
