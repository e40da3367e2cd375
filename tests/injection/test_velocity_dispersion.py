"""The lens population against quadrature, lenstronomy and the closed form of the draws."""

import numpy as np
import pytest
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from scipy import stats
from scipy.integrate import quad
from scipy.special import gamma

from dhs.injection import velocity_dispersion as vd


@pytest.mark.parametrize("vdf", [vd.CHOI_2007, vd.BERNARDI_2010])
def test_density_is_the_published_form(vdf):
    s = np.array([120.0, 200.0, 320.0])
    x = s / vdf.sigma_star
    want = vdf.phi_star * x**vdf.alpha * np.exp(-(x**vdf.beta)) * vdf.beta / gamma(vdf.alpha / vdf.beta) / s
    np.testing.assert_allclose(vdf.density(s), want, rtol=1e-12)
    assert vdf.density(50.0) == 0 and vdf.density(500.0) == 0


@pytest.mark.parametrize("z_lens, z_source, sigma_v", [(0.2, 0.6, 230.0), (0.5, 1.5, 280.0), (0.7, 2.5, 180.0)])
def test_einstein_radius_is_lenstronomys(z_lens, z_source, sigma_v):
    want = LensCosmo(z_lens, z_source, cosmo=vd.COSMOLOGY).sis_sigma_v2theta_E(sigma_v)
    got = vd.theta_e_of(sigma_v, z_lens, z_source)
    assert got == pytest.approx(want, rel=1e-6)
    assert vd.sigma_v_of(got, z_lens, z_source) == pytest.approx(sigma_v)


def test_sources_in_front_give_no_lens_and_unknown_redshifts_stay_unknown():
    ratio = vd.distance_ratio([0.5, 0.5, np.nan], [0.3, 1.5, 1.5])
    assert ratio[0] == 0 and 0 < ratio[1] < 1 and np.isnan(ratio[2])
    assert vd.lens_density(1.0, 0.5, 0.3) == 0 and np.isnan(vd.lens_density(1.0, np.nan, 1.0))
    with pytest.raises(ValueError, match="1 of 2 sources"):
        vd.draw_theta_e(np.random.default_rng(0), [0.5, 0.5], [0.3, 1.5])


def test_draws_follow_the_density_within_the_limits():
    rng, n = np.random.default_rng(1), 20_000
    theta, sigma = vd.draw_theta_e(rng, np.full(n, 0.5), np.full(n, 1.5), (0.5, 3.0))
    np.testing.assert_allclose(vd.theta_e_of(sigma, 0.5, 1.5), theta)
    assert theta.min() >= 0.5 and theta.max() <= 3.0
    total = quad(lambda t: float(vd.lens_density(t, 0.5, 1.5)), 0.5, 3.0, limit=200)[0]
    grid = np.linspace(0.5, 3.0, 400)
    steps = (vd.lens_density(grid[1:], 0.5, 1.5) + vd.lens_density(grid[:-1], 0.5, 1.5)) / 2 * np.diff(grid)
    cdf = np.r_[0, np.cumsum(steps)]
    assert cdf[-1] == pytest.approx(total, rel=1e-3)
    assert stats.kstest(theta, lambda t: np.interp(t, grid, cdf / cdf[-1])).pvalue > 1e-3


def test_a_lens_sample_is_weighted_by_area_not_by_number():
    lenses = vd.CHOI_2007.draw(np.random.default_rng(2), 20_000)
    galaxies = vd.CHOI_2007.draw(np.random.default_rng(2), 20_000, power=0.0)
    grid = np.linspace(*vd.SIGMA_RANGE, 4001)
    for got, power in ((lenses, 4), (galaxies, 0)):
        weight = vd.CHOI_2007.density(grid) * grid**power
        assert got.mean() == pytest.approx((grid * weight).sum() / weight.sum(), rel=0.01)
    with pytest.raises(ValueError, match="no velocity dispersion"):
        vd.CHOI_2007.draw(np.random.default_rng(0), 3, sigma_range=(500.0, 600.0))
