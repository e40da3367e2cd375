"""Cutouts as other people write them: compressed, in capitals, in sub-folders, with odd values under known keys."""

import gzip
import io

import numpy as np
import pytest
from cutout_samples import channel_first, npz

from dhs.config import HostsConfig
from dhs.errors import InputRefused
from dhs.survey.hosts.cutouts import read_cutout
from dhs.survey.hosts.open import open_hosts


def plain(**changes):
    return npz(**(channel_first() | changes))


def refused(path):
    with pytest.raises(InputRefused) as error:
        read_cutout(path)
    return error.value.refusal


@pytest.mark.parametrize("name", ["a.npz", "A.NPZ", "a.fits", "a.npz.gz"])
def test_content_decides_and_not_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(plain()) if name.endswith("gz") else plain())
    assert read_cutout(tmp_path / name).image.shape == (3, 64, 64)


@pytest.mark.parametrize("bands", ["grz", np.array([b"g", b"r", b"z"]), np.array(["g", "r", "z"])])
def test_bands_may_be_one_word_or_bytes(tmp_path, bands):
    (tmp_path / "a.npz").write_bytes(plain(bands=bands))
    assert np.array_equal(read_cutout(tmp_path / "a.npz").image, read_cutout(_written(tmp_path)).image)


def _written(tmp_path):
    (tmp_path / "b.npz").write_bytes(plain())
    return tmp_path / "b.npz"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("z_phot", np.array([0.5, 0.6])),
        ("z_phot", "unknown"),
        ("psf_fwhm", np.array(["1.3", "1.2", "n/a"])),
        ("exptime", np.array(["90", "n/a", "90"])),
        ("invvar", None),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_key(tmp_path, key, value):
    buffer = io.BytesIO()
    np.savez(buffer, **(channel_first() | {key: value}))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    refusal = refused(tmp_path / "a.npz")
    assert f"`{key}`" in refusal.message and refusal.remedy


def test_a_bare_array_called_npz_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", channel_first()["image_nmgy"])
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "a bare array (.npy)" in refused(tmp_path / "a.npz").message


def test_a_truncated_gzip_and_a_bomb_are_refused(tmp_path):
    (tmp_path / "half.npz.gz").write_bytes(gzip.compress(plain())[:2000])
    (tmp_path / "bomb.fits.gz").write_bytes(gzip.compress(bytes(1 << 20) * 600, compresslevel=9))
    assert refused(tmp_path / "half.npz.gz").code == "unreadable"
    assert refused(tmp_path / "bomb.fits.gz").code == "too_large"


def test_capitals_and_sub_folders_are_read_and_the_rest_is_named(tmp_path):
    (tmp_path / "sub").mkdir()
    for i, name in enumerate(("a.npz", "B.NPZ", "sub/c.npz")):
        (tmp_path / name).write_bytes(npz(**channel_first(seed=i, ra=150.0 + i)))
    (tmp_path / "sub" / "notes.dat").write_text("x")
    hosts = open_hosts(HostsConfig(spec=str(tmp_path), known_lenses="none"), 1)
    assert len(hosts.refs) == 3 and [(r.id, r.code) for r in hosts.refusals] == [("notes.dat", "passed_over")]
