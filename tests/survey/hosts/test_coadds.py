"""Bricks in the survey's layout: what is cut, with what noise and PSF, and every way a brick can be unusable."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from brick_samples import FWHM, SIGMA, header, write, write_brick, write_coadds

from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused
from dhs.survey.hosts.coadds import BrickRefused, Coadds
from dhs.survey.hosts.cutouts.masks import MASKBITS
from dhs.survey.hosts.open import open_hosts
from dhs.survey.hosts.record import HostRef


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    root = tmp_path_factory.mktemp("dr10-south")
    name, wcs, images, catalogue = write_brick(root, 150.1, 2.2, n_targets=6, size=600)
    return root, name, wcs, images, catalogue


def ref(ra, dec, name="h"):
    return HostRef(name, float(ra), float(dec), "b", 0.0, 0.0)


def test_a_stamp_is_the_bricks_own_pixels_with_the_target_on_pixel_32(survey):
    """Against astropy's own decompression of the whole brick and its Cutout2D."""
    root, name, wcs, images, catalogue = survey
    coadds = Coadds(str(root), name)
    for row in catalogue:
        stamp = coadds.stamp(ref(row["ra"], row["dec"]))
        for i, band in enumerate("grz"):
            path = root / "coadd" / name[:3] / name / f"legacysurvey-{name}-image-{band}.fits.fz"
            whole = fits.getdata(path)
            # An even Cutout2D puts its position between the pixels 31 and 32: half a pixel to the left, then.
            x, y = wcs.world_to_pixel(SkyCoord(row["ra"], row["dec"], unit="deg"))
            expected = Cutout2D(whole, (np.floor(x + 0.5) - 0.4, np.floor(y + 0.5) - 0.4), 64).data
            assert np.array_equal(stamp.image[i], expected)
            assert np.abs(whole - images["image", band]).max() < 1e-4, "fpack's quantum"
        peak = np.unravel_index(stamp.image[2].argmax(), (64, 64))
        assert max(abs(peak[0] - 32), abs(peak[1] - 32)) <= 1
        assert (stamp.brickname, stamp.invvar.shape) == (name, (3, 64, 64))
        assert stamp.psf_fwhm == pytest.approx(FWHM, rel=1e-5)
        assert stamp.sky_sigma == pytest.approx(SIGMA, rel=0.02) and "gain_assumed" not in stamp.flags


def test_coadd_psf_images_are_preferred_to_psfsize(tmp_path):
    name, _, _, catalogue = write_brick(tmp_path, 210.0, -5.0, n_targets=1, size=200, copsf=True)
    stamp = Coadds(str(tmp_path), name).stamp(ref(catalogue["ra"][0], catalogue["dec"][0]))
    assert stamp.psf.shape == (3, 63, 63) and stamp.psf.sum(axis=(1, 2)) == pytest.approx(np.ones(3), rel=1e-5)
    assert stamp.psf_fwhm == pytest.approx(FWHM, rel=0.03)


def test_uncompressed_files_are_read_as_well(tmp_path):
    name, _, _, catalogue = write_brick(tmp_path, 210.0, -5.0, n_targets=1, size=200)
    folder = tmp_path / "coadd" / name[:3] / name
    packed = Coadds(str(tmp_path), name).stamp(ref(catalogue["ra"][0], catalogue["dec"][0]))
    for path in folder.glob("*.fits.fz"):
        with fits.open(path) as hdus:
            fits.PrimaryHDU(hdus[1].data, hdus[1].header).writeto(path.with_suffix(""))
        path.unlink()
    plain = Coadds(str(tmp_path), name).stamp(ref(catalogue["ra"][0], catalogue["dec"][0]))
    assert np.array_equal(plain.image, packed.image) and np.array_equal(plain.invvar, packed.invvar)


@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (lambda f, n: (f / f"legacysurvey-{n}-image-z.fits.fz").unlink(), "missing_band", "no image in z"),
        (lambda f, n: (f / f"legacysurvey-{n}-invvar-g.fits.fz").unlink(), "missing_invvar", "no invvar in g"),
        (lambda f, n: (f / f"legacysurvey-{n}-maskbits.fits.fz").unlink(), "missing_maskbits", "no maskbits"),
        (lambda f, n: (f / f"legacysurvey-{n}-psfsize-r.fits.fz").unlink(), "missing_psfsize", "no psfsize in r"),
        (lambda f, n: [p.unlink() for p in f.iterdir()], "missing_brick", "no coadds of brick"),
        (
            lambda f, n: (p := f / f"legacysurvey-{n}-image-g.fits.fz").write_bytes(p.read_bytes()[:4000]),
            "unreadable",
            "not a readable coadd",
        ),
        (
            lambda f, n: write(f / f"legacysurvey-{n}-image-r.fits.fz", np.ones((200, 200)), fits.Header(), "IMAGE_r"),
            "missing_position",
            "no usable WCS",
        ),
    ],
)
def test_an_unusable_brick_says_what_is_wrong(tmp_path, break_it, code, said):
    name, *_ = write_brick(tmp_path, 210.0, -5.0, n_targets=1, size=200)
    break_it(tmp_path / "coadd" / name[:3] / name, name)
    with pytest.raises(BrickRefused, match=said) as error:
        Coadds(str(tmp_path), name)
    assert error.value.code == code and error.value.remedy


def test_planes_of_different_shape_are_refused(tmp_path):
    name, wcs, _, _ = write_brick(tmp_path, 210.0, -5.0, n_targets=1, size=200)
    path = tmp_path / "coadd" / name[:3] / name / f"legacysurvey-{name}-invvar-z.fits.fz"
    write(path, np.ones((100, 200), np.float32), header(wcs, name, 0, 0, "invvar", "wtmap", "z"), "INVVAR_z")
    with pytest.raises(BrickRefused, match="have shapes"):
        Coadds(str(tmp_path), name)


@pytest.mark.parametrize("bit", ["BRIGHT", "GALAXY", "ALLMASK_Z"])
def test_a_mask_that_covers_the_stamp_is_refused_and_a_few_pixels_are_not(tmp_path, bit):
    name, wcs, images, catalogue = write_brick(tmp_path, 210.0, -5.0, n_targets=1, size=200)
    folder = tmp_path / "coadd" / name[:3] / name
    where = ref(catalogue["ra"][0], catalogue["dec"][0])
    x, y = Coadds(str(tmp_path), name).pixel(where.ra, where.dec)
    images["maskbits"][y + 10 : y + 14, x + 10 : x + 14] = 1 << MASKBITS[bit]
    images["maskbits"][:, :5] = 1  # NPRIMARY: outside the brick's own area, which spoils nothing
    write_coadds(folder, name, wcs, (0.0, 0.0), images)
    stamp = Coadds(str(tmp_path), name).stamp(where)
    assert (stamp.invvar == 0).sum() == 3 * 16
    images["maskbits"][:] |= 1 << MASKBITS[bit]
    write_coadds(folder, name, wcs, (0.0, 0.0), images)
    with pytest.raises(InputRefused, match=rf"100% of the stamp is masked \({bit}\)"):
        Coadds(str(tmp_path), name).stamp(where)


def test_positions_near_the_edge_or_on_the_far_side_of_the_sky_are_refused(survey):
    root, name, wcs, _, _ = survey
    coadds = Coadds(str(root), name)
    for x, y in ((31, 300), (300, 31), (568, 300), (300, 568)):
        with pytest.raises(InputRefused, match=rf"pixel \({x}, {y}\) leaves brick {name} \(600, 600\)"):
            coadds.stamp(ref(*wcs.wcs_pix2world([[x, y]], 0)[0]))
    with pytest.raises(InputRefused, match="outside_brick"):
        coadds.stamp(ref(330.0, -2.0))


def test_hosts_in_bricks_are_sorted_and_each_brick_is_opened_once(tmp_path):
    for ra in (150.1, 150.4, 150.9):
        write_brick(tmp_path, ra, 2.2, n_targets=4, size=300, seed=int(ra * 10))
    hosts = open_hosts(HostsConfig(spec=str(tmp_path), known_lenses=None), 1)
    assert (hosts.kind, hosts.mock, len(hosts)) == ("bricks", False, 12)
    assert [r.brickname for r in hosts.refs] == sorted(r.brickname for r in hosts.refs)
    assert len({hosts.read(i).host_id for i in range(12)}) == 12
    assert hosts.opened.opened == len({r.brickname for r in hosts.refs}) == 3


def test_a_broken_brick_costs_its_own_hosts_alone(tmp_path):
    good, *_ = write_brick(tmp_path, 150.1, 2.2, n_targets=2, size=200)
    bad, *_ = write_brick(tmp_path, 150.4, 2.2, n_targets=2, size=200, seed=1)
    (tmp_path / "coadd" / bad[:3] / bad / f"legacysurvey-{bad}-image-g.fits.fz").unlink()
    hosts = open_hosts(HostsConfig(spec=str(tmp_path), known_lenses=None), 1)
    for i, r in enumerate(hosts.refs):
        if r.brickname == good:
            assert hosts.read(i).brickname == good
        else:
            with pytest.raises(InputRefused, match="missing_band"):
                hosts.read(i)
    assert hosts.opened.opened == 2, "a brick that can't be opened is not tried again for each of its hosts"


def test_a_folder_without_bricks_is_refused(tmp_path):
    (tmp_path / "coadd").mkdir()
    with pytest.raises(DhsError, match="no bricks there"):
        open_hosts(HostsConfig(spec=str(tmp_path)), 1)
