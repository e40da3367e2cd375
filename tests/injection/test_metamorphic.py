"""What must not depend on the way it is looked at: turned, brightened, named in another order."""

from dataclasses import replace

import numpy as np
import pytest
from cutout_samples import channel_first, npz

import dhs
from dhs import storage
from dhs.config import load_profile
from dhs.injection.lens import Lens, n_images
from dhs.injection.noise import shot_noise
from dhs.injection.render.render import render_arc
from dhs.injection.sources.source import Source
from dhs.random import Stream, generator
from dhs.survey.hosts.cutouts import read_npz
from dhs.survey.mock.hosts import write_mock_hosts

LENS = Lens(1.3, 0.7, 0.4, 0.03, -0.05, x=0.21, y=-0.13)
AT = (0.37, 0.05)
FWHM = np.array([1.3, 1.2, 1.1])
# Arithmetic in single precision with other intermediate values; 1e-5 of the peak is a tenth of a storage step.
ROUNDING = 1e-5


def source(flux=(1.0, 1.4, 1.8)):
    axis = (np.arange(61) - 30) * 0.03
    y, x = np.meshgrid(axis, axis, indexing="ij")
    image = np.exp(-0.5 * ((x - 0.06) ** 2 + (y / 0.6) ** 2) / 0.15**2) + 0.3 * np.exp(-((x + 0.2) ** 2 + y**2) / 0.01)
    return Source("test", image / image.sum(), 0.03, np.array(flux), 2.0)


def quarter(x, y):
    """A position a quarter turn counter-clockwise."""
    return -y, x


def turned(lens):
    """Spin-2 quantities change sign under a quarter turn."""
    x, y = quarter(lens.x, lens.y)
    return replace(lens, phi=lens.phi + np.pi / 2, gamma1=-lens.gamma1, gamma2=-lens.gamma2, x=x, y=y)


def rot90(image):
    """Pixels a quarter turn counter-clockwise, with y upwards."""
    return np.rot90(image, 1, axes=(-1, -2))


@pytest.mark.parametrize("slope", [2.0, 1.9])
@pytest.mark.parametrize("method", ["fast", "lenstronomy"])
def test_a_lens_a_quarter_turn_on_gives_the_arc_turned(method, slope):
    """Not to the bit: the mass model goes through cos and sin of the other angle."""
    lens = replace(LENS, slope=slope)
    arc = render_arc(lens, source(), *AT, 0.2, psf=FWHM, method=method)
    other = render_arc(turned(lens), source(), *quarter(*AT), 0.2 + np.pi / 2, psf=FWHM, method=method)
    assert np.abs(other - rot90(arc)).max() < 10 * ROUNDING * arc.max()
    assert np.abs(rot90(arc) - arc).max() > 0.1 * arc.max(), "the arc is not round, so the test can fail"
    assert n_images(lens, *AT) == n_images(turned(lens), *quarter(*AT))


@pytest.mark.parametrize("method", ["fast", "lenstronomy"])
def test_a_psf_image_turned_with_its_lens_gives_the_arc_turned(method):
    axis = np.arange(31) - 15
    psf = np.exp(-0.5 * ((axis[:, None] - 0.2) ** 2 + 1.3 * axis**2) / 2.0**2)
    psfs = np.stack([psf / psf.sum()] * 3)
    arc = render_arc(LENS, source(), *AT, psf=psfs, method=method)
    other = render_arc(turned(LENS), source(), *quarter(*AT), np.pi / 2, psf=rot90(psfs), method=method)
    assert np.abs(other - rot90(arc)).max() < 10 * ROUNDING * arc.max()


@pytest.mark.parametrize("method", ["fast", "lenstronomy"])
def test_twice_the_flux_is_twice_the_arc_to_the_bit_and_bands_are_their_own(method):
    arc = render_arc(LENS, source(), *AT, psf=FWHM, method=method)
    assert np.array_equal(render_arc(LENS, source((2.0, 2.8, 3.6)), *AT, psf=FWHM, method=method), 2 * arc)
    order = [2, 0, 1]
    other = render_arc(LENS, source(np.array((1.0, 1.4, 1.8))[order]), *AT, psf=FWHM[order], method=method)
    assert np.array_equal(other, arc[order]), "to the bit"


def test_shot_noise_of_a_band_does_not_depend_on_the_light_of_the_others():
    light = np.abs(render_arc(LENS, source(), *AT, psf=FWHM)).astype(np.float32)
    gain = np.array([4e4, 4e4, 4e4])
    plain = shot_noise(light, gain, generator("1:7", Stream.SHOT))
    darker = shot_noise(light * np.array([1, 1, 0], np.float32)[:, None, None], gain, generator("1:7", Stream.SHOT))
    assert np.array_equal(plain[:2], darker[:2]) and not darker[2].any()


# ------------------------------------------------------------------------------------------------------------- hosts


def test_a_host_turned_is_read_as_the_host_turned():
    """65 pixels: the middle of an even-sized cutout is no pixel, and would move with the turn."""
    content = channel_first(65, invvar=np.full((3, 65, 65), 1e5, np.float32))
    y, x = np.mgrid[:65, :65] - 32
    content["image_nmgy"] += 0.3 * np.exp(-0.5 * ((x - 3) ** 2 / 9 + y**2 / 2)).astype(np.float32)
    plain, other = (
        read_npz(npz(**(content | {"image_nmgy": im})), "a.npz")
        for im in (content["image_nmgy"], rot90(content["image_nmgy"]))
    )
    assert np.array_equal(other.image[:, 1:, 1:], rot90(plain.image[:, 1:, 1:])), "the stamp's odd part, to the bit"
    assert (other.e1, other.e2) == pytest.approx((-plain.e1, -plain.e2), abs=0.01)
    middle = 0.5 * 0.262  # from the stamp's centre to the pixel the cutout is turned about
    moved = quarter(plain.x_arcsec - middle, plain.y_arcsec - middle)
    assert (other.x_arcsec - middle, other.y_arcsec - middle) == pytest.approx(moved, abs=0.01)


def test_bands_in_another_order_are_the_same_host():
    content = channel_first(psf_fwhm=np.array([1.4, 1.25, 1.0]))
    order = [2, 0, 1]
    shuffled = content | {"image_nmgy": content["image_nmgy"][order], "bands": np.array(list("zgr"))}
    a, b = read_npz(npz(**content), "a"), read_npz(npz(**shuffled), "a")
    for name in ("image", "sky_sigma", "gain", "psf_fwhm"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


# ---------------------------------------------------------------------------------------------------------- data sets

SMALL = {"sources__spec": "mock", "injection__supersampling": 2, "hosts__known_lenses": "none"}


def pairs_of(folder, hosts):
    profile = load_profile("smoke", hosts__spec=str(hosts), injection__n_pairs=12, **SMALL)
    return dhs.inject(folder, profile=profile, engine="serial")


def test_a_data_set_made_twice_has_one_hash_whatever_the_folders_are_called(tmp_path):
    write_mock_hosts(tmp_path / "first" / "hosts", 6, 3)
    write_mock_hosts(tmp_path / "second" / "hosts", 6, 3)
    one, two = (pairs_of(tmp_path / n / "pairs", tmp_path / n / "hosts") for n in ("first", "second"))
    assert one.manifest["content_hash"] == two.manifest["content_hash"]
    files = [f for s in ("train", "val", "test") for f in one.files(s)]
    assert files and all(
        storage.sha256(f) == storage.sha256(f.replace(str(tmp_path / "first"), str(tmp_path / "second"))) for f in files
    )


def test_a_host_keeps_its_split_and_its_pixels_whatever_the_order_of_hosts(tmp_path):
    """Files are renamed so that they sort the other way round: the same galaxies, in other slots."""
    write_mock_hosts(tmp_path / "a", 6, 3)
    (tmp_path / "b").mkdir()
    files = sorted((tmp_path / "a").glob("*.npz"))
    for i, path in enumerate(files):
        (tmp_path / "b" / f"{len(files) - i:03d}.npz").write_bytes(path.read_bytes())
    one, two = pairs_of(tmp_path / "pa", tmp_path / "a"), pairs_of(tmp_path / "pb", tmp_path / "b")
    controls = [
        {row["host_id"]: (row["split"], row["control"].tobytes(), row["sky_sigma_r"]) for row in pairs[:]}
        for pairs in (one, two)
    ]
    shared = set(controls[0]) & set(controls[1])
    assert len(shared) >= 4 and all(controls[0][h] == controls[1][h] for h in shared)
