"""Masks, whatever layout they come in, and names under which they would not have been found."""

import io

import numpy as np
import pytest
from astropy.io import fits
from cutout_samples import channel_first, npz

from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused
from dhs.survey.hosts.cutouts import read_npz
from dhs.survey.hosts.cutouts.fits import open_fits
from dhs.survey.hosts.cutouts.masks import MASKBITS, spoilt
from dhs.survey.hosts.open import open_hosts

BIT = 1 << MASKBITS["ALLMASK_R"]


def mask(side, value=1, dtype=np.uint8):
    """A square of spoilt pixels in the middle of a cutout of 80 pixels."""
    plane = np.zeros((80, 80), dtype)
    plane[40 - side // 2 : 40 + side // 2, 40 - side // 2 : 40 + side // 2] = value
    return plane


@pytest.mark.parametrize(
    "layout",
    [
        {"mask": mask(30)},
        {"mask": mask(30, True, bool)},
        {"maskbits": mask(30, BIT, np.int16)},
        {"mask": np.stack([mask(0), mask(30), mask(0)])},
        {"maskbits": mask(30, BIT, np.int32)[None]},
        {"mask": mask(30), "invvar": np.full((3, 80, 80), 1e5)},
    ],
)
def test_a_large_mask_is_refused_in_every_layout(layout):
    with pytest.raises(InputRefused) as error:
        read_npz(npz(**channel_first(**layout)), "a.npz")
    assert error.value.refusal.code == "masked" and "22%" in error.value.refusal.message


def test_a_small_mask_takes_its_pixels_out_and_other_bits_none():
    plain = {"invvar": np.full((3, 80, 80), 1e5)}
    host = read_npz(npz(**channel_first(**plain, maskbits=mask(6, BIT, np.int16))), "a.npz")
    assert (host.invvar == 0).sum() == 3 * 36 and (host.invvar[:, 29:35, 29:35] == 0).all()
    assert (read_npz(npz(**channel_first(**plain, maskbits=mask(40, 1, np.int16))), "a.npz").invvar > 0).all()


def test_what_a_mask_names_is_no_missing_data():
    content = channel_first(mask=np.broadcast_to(mask(12), (3, 80, 80)))
    content["image_nmgy"][content["mask"] > 0] = -99.0
    assert read_npz(npz(**content), "a.npz").image.shape == (3, 64, 64)
    with pytest.raises(InputRefused):
        read_npz(npz(**(content | {"mask": mask(0)})), "a.npz")


@pytest.mark.parametrize("wrong", [mask(4, 1.0, np.float32), np.zeros((40, 40), np.uint8), np.array(["a"])])
def test_a_mask_that_is_none_is_refused_by_its_key(wrong):
    with pytest.raises(ValueError, match="`mask`"):
        spoilt(wrong, None, (3, 80, 80))


@pytest.mark.parametrize(("name", "meant"), [("ivar", "invvar"), ("MASK", "mask"), ("weight", "invvar"), ("RA", "ra")])
def test_a_key_that_looks_like_a_known_one_is_refused(name, meant):
    content = channel_first(ra=None) | {name: mask(20)}
    with pytest.raises(InputRefused, match=f"Name it `{meant}`"):
        read_npz(npz(**content), "a.npz")


def service(kinds):
    """A cube of the cutout service with more HDUs beside it, in the order given."""
    header = fits.Header({"BANDS": "grz", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0})
    header.update({"CRPIX1": 40.5, "CRPIX2": 40.5, "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600})
    pixels = {"IMAGE": channel_first()["image_nmgy"], "MASKBITS": mask(30, BIT, np.int16)}
    pixels["INVVAR"] = np.full((3, 80, 80), 1e5, np.float32)
    hdus = []
    for kind in kinds:
        own = header.copy()
        own["IMAGETYP"] = kind
        hdus.append((fits.ImageHDU if hdus else fits.PrimaryHDU)(pixels[kind], own))
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kinds", [("IMAGE", "INVVAR", "MASKBITS"), ("MASKBITS", "IMAGE"), ("INVVAR", "IMAGE")])
def test_fits_is_read_by_what_its_hdus_say(kinds):
    content = open_fits(service(kinds))
    assert (content["image"] == channel_first()["image_nmgy"]).all()
    assert (content["maskbits"] is not None) == ("MASKBITS" in kinds)
    assert (content["invvar"] is not None) == ("INVVAR" in kinds)


def cube(folder, **more):
    content = channel_first()
    many = np.stack([channel_first(seed=i)["image_nmgy"] for i in range(4)])
    keys = {"image_nmgy": many, "bands": content["bands"], "pixscale": 0.262, **more}
    np.savez(folder / "cube.npz", **keys)
    return HostsConfig(spec=str(folder), known_lenses="none")


def test_a_cube_of_stamps_has_masks_too(tmp_path):
    with pytest.raises(DhsError, match="4 masked"):
        open_hosts(cube(tmp_path, mask=mask(30)), 1)
    hosts = open_hosts(cube(tmp_path, mask=np.stack([mask(30), mask(0), mask(4), mask(0)])), 1)
    assert len(hosts.refs) == 3 and [r.code for r in hosts.refusals] == ["masked"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ra": np.zeros(3)}, "`ra` is for 3, image_nmgy for 4"),
        ({"pixscale": np.full(4, 0.262)}, "`pixscale` is"),
        ({"ivar": np.ones((4, 3, 80, 80))}, "Name it `invvar`"),
        ({"z_phot": 0.4}, "`z_phot` is for one value"),
    ],
)
def test_a_cube_that_contradicts_itself_is_refused(tmp_path, more, said):
    with pytest.raises(DhsError, match=said):
        open_hosts(cube(tmp_path, **more), 1)
