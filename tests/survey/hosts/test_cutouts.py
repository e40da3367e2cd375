import io

import numpy as np
import pytest
from astropy.io import fits
from cutout_samples import DATA, channel_first, needs_data, npz

from dhs.errors import DhsError, InputRefused
from dhs.survey.facts import gain_from_exposures, gain_from_sky_noise
from dhs.survey.hosts.cutouts import read_cutout, read_fits, read_npz


def cube(size=80, bands="grz", invvar=None, maskbits=False, scale=0.262, **header):
    """A cutout as the survey's service writes it."""
    image = channel_first(size)["image_nmgy"]
    image = np.stack([image["grz".index(b)] if b in "grz" else image[0] for b in bands])
    h = fits.Header()
    h["SURVEY"], h["BANDS"], h["IMAGETYP"] = "LegacySurvey", bands, "IMAGE"
    for i, band in enumerate(bands):
        h[f"BAND{i}"] = band
    h["CTYPE1"], h["CTYPE2"], h["CRVAL1"], h["CRVAL2"] = "RA---TAN", "DEC--TAN", 150.0, 2.0
    h["CRPIX1"] = h["CRPIX2"] = (size + 1) / 2
    h["CD1_1"], h["CD1_2"], h["CD2_1"], h["CD2_2"] = -scale / 3600, 0.0, 0.0, scale / 3600
    h.update(header)
    hdus = [fits.PrimaryHDU(image, h)]
    if invvar is not None:
        hdus.append(fits.ImageHDU(np.full(image.shape, invvar, np.float32), h.copy()))
        hdus[-1].header["IMAGETYP"] = "INVVAR"
    if maskbits:
        hdus.append(fits.ImageHDU(np.zeros(image.shape[1:], np.int16), h.copy()))
        hdus[-1].header["IMAGETYP"] = "MASKBITS"
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def refused(call) -> tuple[str, str]:
    with pytest.raises(InputRefused) as caught:
        call()
    assert caught.value.refusal.stage == "host" and caught.value.refusal.remedy
    return caught.value.refusal.code, str(caught.value)


# ------------------------------------------------------------------------------------------------------ what is read


def test_both_layouts_of_the_same_pixels_give_the_same_stamp():
    first = channel_first()
    last = {
        "cutout": first["image_nmgy"].transpose(1, 2, 0), "meta_ra": 150.0, "meta_dec": 2.0, "meta_pixel_scale": 0.262,
        "meta_galaxy_id": "x", "meta_bands_requested": "grz",
    }  # fmt: skip
    a, b = read_npz(npz(**first, host_id="x"), "a.npz"), read_npz(npz(**last), "b.npz")
    assert (a.image == b.image).all() and a.image.dtype == np.float32 and a.image.shape == (3, 64, 64)
    assert a.host_id == b.host_id == "x" and a.brickname == b.brickname == "1501p020"
    assert a.flags == b.flags == ("gain_assumed", "psf_assumed", "sigma_from_mad")
    assert a.sky_sigma == pytest.approx([0.0016, 0.0026, 0.0074], rel=0.07)


@pytest.mark.parametrize(("size", "pixel"), [(64, 31.5), (65, 32.0), (100, 31.5), (101, 32.0)])
def test_where_the_target_goes(size, pixel):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2  # on the geometric centre, where the service puts it
    galaxy = 0.3 * np.exp(-(x**2 + y**2) / (2 * 3.0**2))
    noise = np.random.default_rng(2).normal(0, 0.002, (3, size, size))
    host = read_npz(npz(**channel_first(size, image_nmgy=galaxy + noise)), "a.npz")
    assert (host.x_arcsec / 0.262 + 31.5, host.y_arcsec / 0.262 + 31.5) == pytest.approx((pixel, pixel), abs=0.03)


def test_the_centre_pixel_of_every_size_goes_to_32():
    for size in (64, 65, 80, 101):
        content = channel_first(size)
        content["image_nmgy"][:, size // 2, size // 2] = 7.0
        assert (read_npz(npz(**content), "a").image[:, 32, 32] == 7.0).all()


def test_bands_in_another_order_and_with_more_of_them():
    content = channel_first()
    shuffled = content | {"image_nmgy": content["image_nmgy"][[2, 0, 1]], "bands": np.array(["z", "g", "r"])}
    assert (read_npz(npz(**shuffled), "a").image == read_npz(npz(**content), "a").image).all()
    four = read_fits(cube(bands="griz"), "a.fits")
    assert (four.image == read_fits(cube(), "a.fits").image).all()


def test_invvar_gives_sigma_and_gain_without_flags():
    content = channel_first(invvar=np.full((3, 80, 80), 1e5, np.float32), psf_fwhm=np.array([1.4, 1.25, 1.0]))
    host = read_npz(npz(**content, z_phot=0.5), "a.npz")
    assert host.flags == () and host.z_phot == 0.5 and host.psf_fwhm.tolist() == [1.4, 1.25, 1.0]
    assert host.gain == pytest.approx(gain_from_sky_noise(np.full(3, 1e5**-0.5)))
    assert host.sky_sigma == pytest.approx(1e5**-0.5 / (1 + 2 * host.lag1), rel=1e-6) and host.lag1 < 0.05


def test_exposures_give_the_gain():
    host = read_npz(npz(**channel_first(exptime=np.array([300.0, 200.0, 400.0]))), "a.npz")
    assert host.gain == pytest.approx(gain_from_exposures([300, 200, 400])) and "gain_assumed" not in host.flags


def test_psf_images_are_normalised_and_measured():
    axis = np.arange(31) - 15
    image = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 2.0**2))
    host = read_npz(npz(**channel_first(psf=np.stack([image, 3 * image, image]))), "a.npz")
    assert host.psf.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
    assert host.psf_fwhm == pytest.approx(2.3548 * 2.0 * 0.262, rel=0.01) and "psf_assumed" not in host.flags


@pytest.mark.parametrize("maskbits", [False, True])
def test_fits_of_the_cutout_service(maskbits):
    host = read_fits(cube(101, invvar=2e5, maskbits=maskbits), "a.fits")
    assert (host.ra, host.dec) == pytest.approx((150.0, 2.0), abs=1e-9)
    assert host.invvar.shape == (3, 64, 64) and (host.invvar == 2e5).all() and "sigma_from_mad" not in host.flags
    plain = read_fits(cube(101), "a.fits")
    assert plain.invvar is None and (plain.image == host.image).all() and plain.image.dtype.isnative


def test_fits_subimage_layout_takes_the_brick_that_covers_it():
    whole, part = fits.open(io.BytesIO(cube(80, invvar=1e5))), fits.open(io.BytesIO(cube(80)))
    hdus = [fits.PrimaryHDU()]
    for brickname, source, size in (("1500p017", part, 30), ("1501p020", whole, 80)):
        for i, band in enumerate("grz"):
            for kind, hdu in (("image", source[0]), ("invvar", whole[1])):
                header = hdu.header.copy()
                header.update({"BRICK": brickname, "BAND": band, "IMAGETYP": kind})
                hdus.append(fits.ImageHDU(hdu.data[i, :size, :size], header))
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    host = read_fits(buffer.getvalue(), "a.fits")
    assert host.brickname == "1501p020" and (host.image == read_fits(cube(80), "b").image).all()
    assert (host.invvar == 1e5).all()


# --------------------------------------------------------------------------------------------------- what is refused


def with_pixels(value, where):
    content = channel_first()
    content["image_nmgy"][where] = value
    return content


ZEROS = np.s_[1, :, :43]
PSF = np.stack([np.ones((31, 31))] * 3)
BAD = {
    "not_finite": with_pixels(np.nan, np.s_[0, 40, 40]),
    "empty_band": with_pixels(0, np.s_[2]),
    "missing_data": with_pixels(0, ZEROS),
    "missing_band": channel_first(bands=np.array(["g", "r", "i"])),
    "channel_order": channel_first(image_nmgy=channel_first()["image_nmgy"].transpose(1, 2, 0)),
    "wrong_shape": channel_first(image_nmgy=np.ones((80, 80), np.float32)),
    "too_small": channel_first(63),
    "wrong_pixel_scale": channel_first(pixscale=0.168),
    "missing_pixel_scale": channel_first(pixscale=None),
    "missing_position": channel_first(ra=None),
    "bad_position": channel_first(dec=95.0),
    "implausible_units": channel_first(image_nmgy=1e3 * channel_first()["image_nmgy"]),
    "bad_invvar": channel_first(invvar=np.full((3, 80, 80), -1.0)),
    "masked": channel_first(invvar=np.where(np.arange(80) < 40, 0, 1e5) * np.ones((3, 80, 1))),
    "bad_psf": channel_first(psf=PSF),
    "bad_psf_fwhm": channel_first(psf_fwhm=np.array([1.0, 0.0, 1.0])),
    "bad_exptime": channel_first(exptime=np.array([90.0, 90.0])),
    "unknown_layout": {"picture": np.ones(3)},
}


@pytest.mark.parametrize("code", BAD)
def test_refused_with_its_reason(code):
    found, message = refused(lambda: read_npz(npz(**BAD[code]), "some/file.npz"))
    assert found == code and "some/file.npz" in message


def test_messages_say_what_is_wrong():
    assert "0.1680 arcsec, not 0.262" in refused(lambda: read_npz(npz(**BAD["wrong_pixel_scale"]), "a"))[1]
    assert "no z band" in refused(lambda: read_npz(npz(**BAD["missing_band"]), "a"))[1]
    assert (
        "r: 55% hold no noise (about 0 nanomaggies): missing data"
        in refused(lambda: read_npz(npz(**BAD["missing_data"]), "a"))[1]
    )


def test_unreadable_and_hostile_files(tmp_path):
    assert refused(lambda: read_npz(b"not a zip", "a.npz"))[0] == "unreadable"
    whole = npz(**channel_first())
    assert refused(lambda: read_npz(whole[: len(whole) // 2], "a.npz"))[0] == "unreadable"
    pickled = npz(**channel_first(bands=np.array([{"a": 1}], dtype=object)))
    assert refused(lambda: read_npz(pickled, "a.npz"))[0] == "bad_value"
    assert refused(lambda: read_fits(b"SIMPLE  = nonsense", "a.fits"))[0] == "unreadable"
    assert refused(lambda: read_fits(cube()[:4000], "a.fits"))[0] == "unreadable"
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert refused(lambda: read_cutout(tmp_path / "a.jpg"))[0] == "unknown_format"
    with pytest.raises(DhsError, match="no such file"):
        read_cutout(tmp_path / "absent.npz")


def test_channel_first_under_the_channel_last_key_is_refused():
    content = {"cutout": channel_first()["image_nmgy"], "meta_ra": 1.0, "meta_dec": 1.0, "meta_pixel_scale": 0.262}
    assert refused(lambda: read_npz(npz(**content), "a"))[0] == "wrong_shape"
    content["cutout"] = content["cutout"].transpose(1, 2, 0)
    assert refused(lambda: read_npz(npz(**content, meta_has_g=False), "a"))[0] == "missing_band"


def test_fits_refusals():
    assert refused(lambda: read_fits(cube(bands="gr"), "a.fits"))[0] == "missing_band"
    assert refused(lambda: read_fits(cube(scale=0.13), "a.fits"))[0] == "wrong_pixel_scale"
    assert refused(lambda: read_fits(cube(CTYPE1="LINEAR", CTYPE2="LINEAR"), "a.fits"))[0] == "missing_position"


# ---------------------------------------------------------------------------------------------------------- real data


@needs_data
def test_real_cutouts():
    candidates = [read_cutout(p) for p in sorted((DATA / "hosts/ls_dr10_grz").glob("*.npz"))]
    assert len(candidates) == 6
    for host in candidates:
        assert host.flags == ("gain_assumed", "psf_assumed", "sigma_from_mad") and np.isfinite(host.image).all()
        assert host.sky_sigma[0] < host.sky_sigma[1] < host.sky_sigma[2]
    field = read_cutout(DATA / "hosts/decam_image_invvar_psf/obiwan_decals_grz.npz")
    assert field.flags == () and field.psf.shape == (3, 63, 63) and field.psf_fwhm[1] == pytest.approx(0.75, abs=0.03)


@needs_data
def test_real_bad_cutouts_are_refused():
    path = DATA / "hosts/bad_pixels/example_bad_pix_09782dd.fits"
    code, message = refused(lambda: read_cutout(path))
    assert code == "empty_band" and "all pixels of g are zero" in message
    small = DATA / "hosts/decam_image_invvar_psf/legacypipe_testcase3.npz"
    assert refused(lambda: read_cutout(small))[0] == "too_small"
    assert refused(lambda: read_cutout(DATA / "hosts/hsc_injected_triples/lens_1.fits"))[0] == "unknown_layout"
