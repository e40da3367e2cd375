"""The renderer against lenstronomy's own image simulation and against what is known analytically."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

from dhs.injection.render import (
    Lens,
    convolve_and_bin,
    image_kernel,
    kernels,
    lensed_light,
    moffat_kernel,
    n_images,
    subgrid,
)
from dhs.injection.source import Source
from dhs.survey.facts import PIXEL_SCALE, STAMP


def gaussian_source(sigma_arcsec=0.15, n=61, scale=0.03, ratio=0.6):
    axis = (np.arange(n) - n // 2) * scale
    image = np.exp(-0.5 * (axis[None, :] ** 2 + (axis[:, None] / ratio) ** 2) / sigma_arcsec**2)
    return Source("test", image / image.sum(), scale, np.ones(3), 2.0)


def lenstronomy_image(lens, source, x, y, phi, kernel, supersampling):
    """The same arc through lenstronomy's ImageModel, convolved on the supersampled grid."""
    half = (STAMP - 1) / 2 * PIXEL_SCALE
    grid = PixelGrid(
        nx=STAMP, ny=STAMP, ra_at_xy_0=-half, dec_at_xy_0=-half, transform_pix2angle=np.eye(2) * PIXEL_SCALE
    )
    psf = PSF("PIXEL", kernel_point_source=kernel, point_source_supersampling_factor=supersampling)
    model = ImageModel(
        grid,
        psf,
        lens_model_class=LensModel(["SIE", "SHEAR"]),
        source_model_class=LightModel(["INTERPOL"]),
        kwargs_numerics={
            "supersampling_factor": supersampling,
            "supersampling_convolution": True,
            "supersampling_kernel_size": None,
        },
    )
    light = {"image": source.image / source.pixel_scale**2, "amp": 1, "center_x": x, "center_y": y}
    light |= {"phi_G": phi, "scale": source.pixel_scale}
    return model.image(lens.kwargs(), [light])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    theta_e=st.floats(0.5, 3.0),
    q=st.floats(0.35, 0.99),
    phi=st.floats(-1.5, 1.5),
    gamma1=st.floats(-0.08, 0.08),
    beta=st.floats(0.0, 0.9),
    fwhm=st.floats(0.8, 1.8),
)
def test_arc_agrees_with_lenstronomy_to_1e_3_of_the_peak(theta_e, q, phi, gamma1, beta, fwhm):
    lens, source, s = Lens(theta_e, q, phi, gamma1, 0.02, 0.05, -0.1), gaussian_source(), 3
    kernel = moffat_kernel(fwhm, s)
    light = lensed_light(lens, source, beta * theta_e * 0.6, beta * theta_e * 0.5, 0.4, s)
    ours = convolve_and_bin(light, [kernel], s)[0]
    theirs = lenstronomy_image(lens, source, beta * theta_e * 0.6, beta * theta_e * 0.5, 0.4, kernel, s)
    assert np.abs(ours - theirs).max() <= 1e-3 * theirs.max()
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-3)
    yy, xx = np.mgrid[:STAMP, :STAMP]
    for axis in (xx, yy):
        assert (ours * axis).sum() / ours.sum() == pytest.approx((theirs * axis).sum() / theirs.sum(), abs=1e-3)


@pytest.mark.parametrize("size", [31, 63])
@pytest.mark.parametrize("supersampling", [3, 4])
def test_a_point_stays_where_it_was_and_keeps_its_flux(size, supersampling):
    axis = np.arange(size) - size // 2
    psf = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / 2.2**2)
    for kernel in (moffat_kernel(1.3, supersampling), image_kernel(psf / psf.sum(), supersampling)):
        n = STAMP * supersampling
        delta = np.zeros((n, n))
        delta[n // 2, n // 3] = 1.0
        image = convolve_and_bin(delta, [kernel], supersampling)[0]
        yy, xx = np.mgrid[:STAMP, :STAMP]
        assert image.sum() == pytest.approx(1.0, abs=2e-3)  # the wings beyond the stamp
        total = image.sum()
        assert (image * xx).sum() / total == pytest.approx((n // 3 + 0.5) / supersampling - 0.5, abs=2e-2)
        assert (image * yy).sum() / total == pytest.approx((n // 2 + 0.5) / supersampling - 0.5, abs=2e-2)


@pytest.mark.parametrize("supersampling", [3, 5])
def test_a_psf_image_comes_back_from_a_point_at_a_pixel_centre(supersampling):
    axis = np.arange(41) - 20
    psf = np.exp(-0.5 * ((axis[:, None] - 0.4) ** 2 + 1.3 * axis[None, :] ** 2) / 2.2**2)  # lopsided on purpose
    psf /= psf.sum()
    n = STAMP * supersampling
    delta = np.zeros((n, n))
    centre = 32 * supersampling + supersampling // 2
    delta[centre, centre] = 1.0
    image = convolve_and_bin(delta, [image_kernel(psf, supersampling)], supersampling)[0]
    assert np.abs(image[12:53, 12:53] - psf).max() <= 1e-3 * psf.max()


def test_moffat_has_the_delivered_fwhm_once_binned():
    s, fwhm = 9, 1.3
    n = STAMP * s
    delta = np.zeros((n, n))
    delta[32 * s + s // 2, 32 * s + s // 2] = 1.0
    row = convolve_and_bin(delta, [moffat_kernel(fwhm, s)], s)[0][32]
    fine = np.linspace(0, STAMP - 1, 20001)
    from scipy.interpolate import CubicSpline

    profile = CubicSpline(np.arange(STAMP), row)(fine)
    above = fine[profile >= profile.max() / 2]
    assert (above[-1] - above[0]) * PIXEL_SCALE == pytest.approx(fwhm, rel=0.01)


@pytest.mark.parametrize("beta", [0.35, 0.5, 0.7])
def test_magnification_is_that_of_an_sis(beta):
    """mu = 2 / beta of each point inside the Einstein radius of an SIS (Schneider, Ehlers & Falco 1992)."""
    lens, source = Lens(1.0, 0.999999, 0.0), gaussian_source(sigma_arcsec=0.05, n=51, scale=0.01, ratio=1.0)
    axis = (np.arange(51) - 25) * 0.01
    expected = (source.image * 2.0 / np.hypot(beta + axis[None, :], axis[:, None] + 1e-9)).sum()
    light = lensed_light(lens, source, beta, 0.0, 0.0, 12)
    assert light.sum() == pytest.approx(expected, rel=0.01)


def test_einstein_ring_has_the_einstein_radius():
    lens, source = Lens(1.5, 0.999999, 0.0), gaussian_source(sigma_arcsec=0.04, n=61, scale=0.01, ratio=1.0)
    light = lensed_light(lens, source, 0.0, 0.0, 0.0, 6).ravel()
    x, y = subgrid(6)
    assert (light * np.hypot(x, y)).sum() / light.sum() == pytest.approx(1.5, rel=0.01)


def test_theta_e_is_on_the_intermediate_axis():
    """The area inside the critical curve of an SIE is pi theta_E^2 whatever the axis ratio (Kormann et al. 1994)."""
    for q in (0.5, 0.9):
        axis = np.linspace(-3, 3, 1201)
        x, y = np.meshgrid(axis, axis)
        mu = LensModel(["SIE"]).magnification(x.ravel(), y.ravel(), Lens(1.2, q, 0.3).kwargs()[:1])
        area = (mu < 0).sum() * (axis[1] - axis[0]) ** 2
        assert np.sqrt(area / np.pi) == pytest.approx(1.2, rel=0.01)


def test_number_of_images_inside_and_outside_the_caustics():
    lens = Lens(1.0, 0.7, 0.2, 0.03, -0.02)
    assert n_images(lens, 0.02, 0.01) == 4
    assert n_images(lens, 0.5, 0.0) == 2
    assert n_images(lens, 1.4, 0.0) == 1


def test_each_band_has_its_own_psf():
    light = np.zeros((STAMP * 3, STAMP * 3))
    light[96, 96] = 1.0
    image = convolve_and_bin(light, kernels(None, np.array([1.6, 1.2, 0.9]), 3), 3)
    peaks = image.max(axis=(1, 2))
    assert peaks[0] < peaks[1] < peaks[2]
