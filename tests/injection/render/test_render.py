"""The renderer, fast and reference, against lenstronomy's own image simulation and what is known analytically."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.epl_shear_solver import caustics_epl_shear
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver
from lenstronomy.LightModel.light_model import LightModel

from dhs.errors import UsageError
from dhs.injection.lens import Lens, LenstronomyLens, caustics, n_images
from dhs.injection.light import half_light_radius
from dhs.injection.render import convolve, rays, reference
from dhs.injection.render.render import METHODS, render_arc
from dhs.injection.sources.source import Source
from dhs.survey.facts import PIXEL_SCALE, STAMP

FAST, SLOW = METHODS["fast"], METHODS["lenstronomy"]


def gaussian_source(sigma_arcsec=0.15, n=61, scale=0.03, ratio=0.6):
    axis = (np.arange(n) - n // 2) * scale
    image = np.exp(-0.5 * (axis[None, :] ** 2 + (axis[:, None] / ratio) ** 2) / sigma_arcsec**2)
    return Source("test", image / image.sum(), scale, np.ones(3), 2.0)


def psf_image(size, fwhm_arcsec=1.2, lean=0.2):
    """A lopsided, elliptical PSF image with the pixel's response in it."""
    axis = np.arange(size) - size // 2
    sigma = fwhm_arcsec / PIXEL_SCALE / 2.355
    psf = np.exp(-0.5 * ((axis[:, None] - lean) ** 2 + 1.3 * axis[None, :] ** 2) / sigma**2)
    return psf / psf.sum()


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
        lens_model_class=lens.model,
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


def assert_agree(ours, theirs):
    """1e-3 of the peak anywhere, 1e-3 of the flux, 1e-3 px in the centroid."""
    assert np.abs(ours - theirs).max() <= 1e-3 * theirs.max()
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-3)
    yy, xx = np.mgrid[:STAMP, :STAMP]
    for axis in (xx, yy):
        assert (ours * axis).sum() / ours.sum() == pytest.approx((theirs * axis).sum() / theirs.sum(), abs=1e-3)


lenses = st.builds(
    Lens,
    theta_e=st.floats(0.5, 3.0),
    q=st.floats(0.35, 0.999),
    phi=st.floats(-1.5, 1.5),
    gamma1=st.floats(-0.08, 0.08),
    gamma2=st.floats(-0.08, 0.08),
    x=st.floats(-0.3, 0.3),
    y=st.floats(-0.3, 0.3),
    slope=st.sampled_from([2.0, 2.0, 1.7, 2.2]),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lens=lenses,
    beta=st.floats(0.0, 0.9),
    azimuth=st.floats(0.0, 6.28),
    fwhm=st.floats(0.8, 1.8),
    psf_size=st.sampled_from([None, 31, 63]),
    supersampling=st.sampled_from([3, 4, 5]),
    method=st.sampled_from(["fast", "fast", "lenstronomy"]),
)
def test_arc_agrees_with_lenstronomy(lens, beta, azimuth, fwhm, psf_size, supersampling, method):
    source, s, how = gaussian_source(), supersampling, METHODS[method]
    x, y = lens.x + beta * lens.theta_e * np.cos(azimuth), lens.y + beta * lens.theta_e * np.sin(azimuth)
    psf = None if psf_size is None else np.stack([psf_image(psf_size, fwhm)])
    kernel = reference.kernels(psf, np.array([fwhm]), s)[0]
    light = how.light(lens, source, x, y, 0.4, s)
    ours = how.observe(light, how.psf(psf, np.array([fwhm]), s), s)[0]
    assert_agree(ours, lenstronomy_image(lens, source, x, y, 0.4, kernel, s))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(lens=lenses, beta=st.floats(0.0, 1.2), azimuth=st.floats(0.0, 6.28), size=st.floats(0.05, 0.4))
def test_every_lit_sub_pixel_is_shot(lens, beta, azimuth, size):
    source = gaussian_source(sigma_arcsec=size, scale=size / 5)
    where = lens.x + beta * lens.theta_e * np.cos(azimuth), lens.y + beta * lens.theta_e * np.sin(azimuth)
    ours, theirs = rays.lensed_light(lens, source, *where, 0.3, 4), reference.lensed_light(lens, source, *where, 0.3, 4)
    # a bilinear image is steep at scales below its pixel, so a deflection good to 1e-5 moves a value by a little
    assert np.abs(ours - theirs).max() <= 2e-3 * theirs.max()
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-4)


def test_any_lenstronomy_model_goes_the_same_way():
    models = ("SIE", "SHEAR", "SIS", "CONVERGENCE")
    parameters = Lens(1.3, 0.7, 0.4, 0.03, -0.02).kwargs()
    parameters += [{"theta_E": 0.2, "center_x": 1.1, "center_y": -0.6}, {"kappa": 0.03}]
    lens, source = LenstronomyLens(models, tuple(parameters)), gaussian_source()
    ours = render_arc(lens, source, 0.3, -0.2, 0.4, psf=[1.4, 1.2, 1.0])
    theirs = render_arc(lens, source, 0.3, -0.2, 0.4, psf=[1.4, 1.2, 1.0], method="lenstronomy")
    for a, b in zip(ours, theirs):
        assert_agree(a, b)
    plain = LenstronomyLens(("SIE", "SHEAR"), tuple(Lens(1.3, 0.7, 0.4, 0.03, -0.02).kwargs()))
    table = rays.lensed_light(Lens(1.3, 0.7, 0.4, 0.03, -0.02), source, 0.3, -0.2, 0.4, 4)
    assert np.abs(rays.lensed_light(plain, source, 0.3, -0.2, 0.4, 4) - table).max() <= 1e-3 * table.max()


def test_unknown_renderer_is_refused():
    with pytest.raises(UsageError, match=r"unknown renderer 'gpu': choose one of \['fast', 'lenstronomy'\]"):
        render_arc(Lens(1.0, 0.8, 0.0), gaussian_source(), 0.1, 0.0, psf=[1.2, 1.2, 1.2], method="gpu")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [None, 31, 32 + 1, 63])
@pytest.mark.parametrize("supersampling", [1, 2, 3, 4, 8])
def test_a_point_stays_where_it_was_and_keeps_its_flux(method, size, supersampling):
    s, how, n = supersampling, METHODS[method], STAMP * supersampling
    psf = None if size is None else np.stack([psf_image(size, lean=0.0)])
    light = np.zeros((n, n))
    light[n // 2, n // 3] = 1.0
    image = how.observe(light, how.psf(psf, np.array([1.3]), s), s)[0].astype(float)
    yy, xx = np.mgrid[:STAMP, :STAMP]
    assert image.sum() == pytest.approx(1.0, abs=2e-4)
    x, y = ((k + 0.5) / s - 0.5 for k in (n // 3, n // 2))
    near = np.hypot(xx - x, yy - y) < 20  # the frame cuts the wings unevenly
    total = image[near].sum()
    assert (image * xx)[near].sum() / total == pytest.approx(x, abs=1e-3)
    assert (image * yy)[near].sum() / total == pytest.approx(y, abs=1e-3)


def test_a_psf_image_of_even_size_is_refused():
    with pytest.raises(ValueError, match="odd number of pixels a side, below 90; this one has 64"):
        convolve.transfer(np.ones((3, 64, 64)), np.ones(3), 4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("supersampling", [3, 5])
def test_a_psf_image_comes_back_from_a_point_at_a_pixel_centre(method, supersampling):
    how, psf, n = METHODS[method], psf_image(41, 1.4, lean=0.4), STAMP * supersampling
    delta = np.zeros((n, n))
    centre = 32 * supersampling + supersampling // 2
    delta[centre, centre] = 1.0
    image = how.observe(delta, how.psf(np.stack([psf]), np.array([1.4]), supersampling), supersampling)[0]
    assert np.abs(image[12:53, 12:53] - psf).max() <= 1e-3 * psf.max()


@pytest.mark.parametrize("method", METHODS)
def test_moffat_has_the_delivered_fwhm_once_binned(method):
    s, fwhm, how = 9, 1.3, METHODS[method]
    n = STAMP * s
    delta = np.zeros((n, n))
    delta[32 * s + s // 2, 32 * s + s // 2] = 1.0
    row = how.observe(delta, how.psf(None, np.array([fwhm]), s), s)[0][32]
    fine = np.linspace(0, STAMP - 1, 20001)
    from scipy.interpolate import CubicSpline

    profile = CubicSpline(np.arange(STAMP), row)(fine)
    above = fine[profile >= profile.max() / 2]
    assert (above[-1] - above[0]) * PIXEL_SCALE == pytest.approx(fwhm, rel=0.01)


@pytest.mark.parametrize("light", [FAST.light, SLOW.light])
@pytest.mark.parametrize("beta", [0.35, 0.5, 0.7])
def test_magnification_is_that_of_an_sis(light, beta):
    """mu = 2 / beta of each point inside the Einstein radius of an SIS (Schneider, Ehlers & Falco 1992)."""
    lens, source = Lens(1.0, 0.999999, 0.0), gaussian_source(sigma_arcsec=0.05, n=51, scale=0.01, ratio=1.0)
    axis = (np.arange(51) - 25) * 0.01
    expected = (source.image * 2.0 / np.hypot(beta + axis[None, :], axis[:, None] + 1e-9)).sum()
    assert light(lens, source, beta, 0.0, 0.0, 12).sum() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("light", [FAST.light, SLOW.light])
def test_einstein_ring_has_the_einstein_radius(light):
    lens, source = Lens(1.5, 0.999999, 0.0), gaussian_source(sigma_arcsec=0.04, n=61, scale=0.01, ratio=1.0)
    ring = light(lens, source, 0.0, 0.0, 0.0, 6).ravel()
    x, y = reference.subgrid(6)
    assert (ring * np.hypot(x, y)).sum() / ring.sum() == pytest.approx(1.5, rel=0.01)
    assert half_light_radius(ring.reshape(384, 384), 0.0, 0.0, PIXEL_SCALE / 6) == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("size", [4, 63, 64, 128])
def test_thinning_looks_at_all_that_the_light_reaches(size):
    """Rows and columns beyond the light are left out: to the bit, the filter over the whole periodic frame."""
    frame = np.zeros((128, 128), np.float32)
    frame[:size, :size] = np.random.default_rng(size).random((size, size))
    once = convolve._halve(frame, size)
    assert np.array_equal(once, convolve._halve(frame, 128))
    assert np.array_equal(convolve._halve(once, min(size // 2 + 1, 64)), convolve._halve(once, 64))
    weights = np.array([1, 3, 3, 1]) / 4
    axis = sum(w * np.roll(frame.astype(float), 1 - k, axis=0) for k, w in enumerate(weights))[::2]
    both = sum(w * np.roll(axis, 1 - k, axis=1) for k, w in enumerate(weights))[:, ::2]
    np.testing.assert_allclose(once, both, atol=1e-5)


def test_half_light_radius_of_a_gaussian():
    """r = sigma sqrt(2 ln 2)."""
    axis = np.arange(101) - 50.0
    light = np.exp(-0.5 * ((axis[None, :] - 3) ** 2 + (axis[:, None] + 2) ** 2) / 9.0**2)
    assert half_light_radius(light, 0.3, -0.2, 0.1) == pytest.approx(0.9 * np.sqrt(2 * np.log(2)), rel=0.02)
    assert half_light_radius(np.zeros((5, 5)), 0.0, 0.0, 1.0) == 0.0


def test_theta_e_is_on_the_intermediate_axis():
    """The area inside the critical curve of an SIE is pi theta_E^2 whatever the axis ratio (Kormann et al. 1994)."""
    for q in (0.5, 0.9):
        axis = np.linspace(-3, 3, 1201)
        x, y = np.meshgrid(axis, axis)
        mu = LensModel(["SIE"]).magnification(x.ravel(), y.ravel(), Lens(1.2, q, 0.3).kwargs()[:1])
        area = (mu < 0).sum() * (axis[1] - axis[0]) ** 2
        assert np.sqrt(area / np.pi) == pytest.approx(1.2, rel=0.01)


def test_caustics_are_those_of_lenstronomy():
    lens = Lens(1.2, 0.6, 0.5, 0.04, -0.03)
    for ours, name, gamma in zip(caustics(lens), ("caustic", "cut"), (2.0, 1.9999)):
        kwargs = [{**lens.kwargs()[0], "gamma": gamma}, lens.kwargs()[1]]
        for other in caustics_epl_shear(kwargs, return_which=name, sourceplane=True).T[::20]:
            assert np.hypot(*(ours - other).T).min() < 0.02


def test_number_of_images_is_lenstronomys_but_for_faint_ones_beside_the_centre():
    rng = np.random.default_rng(4)
    compared = 0
    for _ in range(150):
        lens = Lens(1.0, rng.uniform(0.4, 0.95), rng.uniform(-1.5, 1.5), *rng.normal(0, 0.04, 2))
        x, y = rng.uniform(-0.8, 0.8, 2)
        solver = LensEquationSolver(lens.model)
        theirs = len(solver.image_position_from_source(x, y, lens.kwargs(), solver="analytical")[0])
        gap = min(np.hypot(curve[:, 0] - x, curve[:, 1] - y).min() for curve in caustics(lens))
        if gap > 0.06:
            compared += 1
            assert n_images(lens, x, y) == theirs
    assert compared > 100


def test_number_of_images_inside_and_outside_the_caustics():
    for slope in (2.0, 1.9):
        lens = Lens(1.0, 0.7, 0.2, 0.03, -0.02, slope=slope)
        assert n_images(lens, 0.02, 0.01) == 4
        assert n_images(lens, 0.5, 0.0) == 2
        assert n_images(lens, 1.4, 0.0) == 1


@pytest.mark.parametrize("method", METHODS)
def test_each_band_has_its_own_psf(method):
    how, light = METHODS[method], np.zeros((STAMP * 3, STAMP * 3))
    light[96, 96] = 1.0
    image = how.observe(light, how.psf(None, np.array([1.6, 1.2, 0.9]), 3), 3)
    peaks = image.max(axis=(1, 2))
    assert peaks[0] < peaks[1] < peaks[2]
