"""The reference on the window that holds the light is the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import gaussian_source, lenses, psf_image

from dhs.injection.lens import Lens
from dhs.injection.render import reference, windowed


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lens=lenses,
    beta=st.floats(0.0, 1.5),
    azimuth=st.floats(0.0, 6.28),
    sigma=st.floats(0.03, 0.6),
    psf_size=st.sampled_from([None, None, 31, 63]),
    least=st.sampled_from([0.6, 1.1]),
    supersampling=st.sampled_from([2, 4, 5]),
)
def test_the_window_leaves_nothing_out(lens, beta, azimuth, sigma, psf_size, least, supersampling):
    source, s, fwhm = (
        gaussian_source(sigma, scale=sigma / 5),
        supersampling,
        np.array([1.8, 1.2, 1.1 if supersampling == 2 else least]),
    )
    where = lens.x + beta * lens.theta_e * np.cos(azimuth), lens.y + beta * lens.theta_e * np.sin(azimuth), 0.4
    psf = None if psf_size is None else np.stack([psf_image(psf_size, f) for f in fwhm])
    plain, lit = reference.lensed_light(lens, source, *where, s), windowed.lensed_light(lens, source, *where, s)
    assert np.abs(lit.frame(s) - plain).max() <= 1e-13 * plain.max()
    x, y = reference.subgrid(s)
    centroid = np.array([plain.ravel() @ x, plain.ravel() @ y]) / plain.sum() / 0.262
    assert lit.centroid_px(s) == pytest.approx(centroid, abs=1e-9)
    theirs = reference.convolve_and_bin(plain, reference.kernels(psf, fwhm, s), s)
    assert (
        np.abs(windowed.observe(lit, psf, fwhm, s) - theirs).max() <= 2e-5 * theirs.max()
    )  # the reference cuts its kernel at 63 pixels


@pytest.mark.parametrize("where", [(0.0, 0.0), (9.0, 0.0), (7.9, 7.9), (40.0, 0.0)])
def test_light_at_the_edge_and_beyond(where):
    """A source that hardly bends: in the middle, cut by the edge, in the corner, outside."""
    lens, source, fwhm = Lens(0.01, 0.8, 0.3), gaussian_source(0.4, scale=0.08), np.full(3, 1.2)
    plain, lit = (how.lensed_light(lens, source, *where, 0.4, 4) for how in (reference, windowed))
    assert np.abs(lit.frame(4) - plain).max() <= 1e-13 * max(plain.max(), 1e-3)
    theirs = reference.convolve_and_bin(plain, reference.kernels(None, fwhm, 4), 4)
    assert np.abs(windowed.observe(lit, None, fwhm, 4) - theirs).max() <= 2e-5 * max(theirs.max(), 1e-3)
    assert np.isfinite(lit.centroid_px(4)).all()


def test_a_lens_wider_than_the_stamp_is_shot_everywhere():
    lens, source = Lens(9.0, 0.5, 0.3, 0.9, 0.3), gaussian_source(0.6, scale=0.12)
    plain, lit = (how.lensed_light(lens, source, 0.5, 0.2, 0.4, 2) for how in (reference, windowed))
    assert np.abs(lit.frame(2) - plain).max() <= 1e-13 * max(plain.max(), 1.0)
