"""The three priors against quadrature, the slope, and the northern filters."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.stats import kstest

from dhs.config import InjectionConfig
from dhs.injection.lens import n_images
from dhs.injection.priors import MAG_LIMIT, Deflector, Draw, NoLens, Rejected, brightness, draw
from dhs.injection.velocity_dispersion import FJ_SCATTER, SIGMA_RANGE, faber_jackson, theta_e_of
from dhs.survey.colours import colours, drawn_fluxes, north_over_south
from dhs.survey.cosmology import absolute_mag_r
from dhs.survey.facts import is_north, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp

MAG = 19.5
GRID = InjectionConfig(prior="response_grid")


def host(z=0.4, e1=0.2, e2=-0.1):
    ones = np.ones(3)
    return HostStamp("h", "b", 1.0, 2.0, 1.0, 2.0, np.zeros((3, 64, 64), np.float32), None, None, 1.2 * ones,
                     0.003 * ones, 4e4 * ones, e1=e1, e2=e2, z_phot=z)  # fmt: skip


def many(config, n=1000, z_sources=(1.5,), mag_r=MAG, **kwargs):
    rng = np.random.default_rng(5)
    return [draw(rng, host(**kwargs), mag_r, np.array(z_sources), config) for _ in range(n)]


def offsets(drawn):
    return np.array([np.hypot(d.x - d.lens.x, d.y - d.lens.y) / d.lens.theta_e for d in drawn])


def test_response_grid_is_uniform_in_radius_and_area_weighted_in_offset():
    drawn = many(GRID)
    assert kstest([d.lens.theta_e for d in drawn], "uniform", (0.5, 2.5)).pvalue > 0.01
    assert kstest(offsets(drawn) ** 2, "uniform").pvalue > 0.01
    snr = [brightness(d, 1.0, 30.0, GRID).flux * 30.0 for d in drawn]
    assert kstest(np.log(snr), "uniform", (np.log(3), np.log(50 / 3))).pvalue > 0.01
    assert {d.lens.slope for d in drawn} == {2.0}


def sigma_density(z_source, power, z_lens=0.4):
    """Unnormalised density of log sigma_v and its limits: scatter times (D_ls / D_s)^2 sigma_v^power, in range."""
    mean = np.log(faber_jackson(absolute_mag_r(MAG, z_lens)))
    width = FJ_SCATTER * np.log(10)
    one = float(theta_e_of(1.0, z_lens, z_source))
    low, high = (np.log(np.clip(np.sqrt(t / one), *SIGMA_RANGE)) for t in (0.5, 3.0))
    return (lambda s: stats.norm.pdf(s, mean, width) * one**2 * np.exp(power * s)), low, high


@pytest.mark.parametrize("config, power", [(InjectionConfig(prior="population"), 4.0), (InjectionConfig(), 8.0)])
def test_velocity_dispersions_follow_the_luminosity_and_sources_the_cross_section(config, power):
    z_sources = (0.7, 1.5, 2.5, 0.3)
    drawn = many(config, 4000, z_sources)
    masses = []
    for i, z in enumerate(z_sources[:3]):
        density, low, high = sigma_density(z, power)
        masses.append(quad(density, low, high)[0])
        got = [np.log(d.sigma_v) for d in drawn if d.source == i]
        grid = np.linspace(low, high, 400)
        cdf = np.concatenate([[0], np.cumsum(density(0.5 * (grid[1:] + grid[:-1])))])
        assert kstest(got, lambda s, g=grid, c=cdf: np.interp(s, g, c / c[-1])).pvalue > 1e-3
    counts = np.bincount([d.source for d in drawn], minlength=4)
    assert counts[3] == 0  # in front of the lens
    assert stats.chisquare(counts[:3], len(drawn) * np.array(masses) / np.sum(masses)).pvalue > 1e-3
    for d in drawn[:50]:
        assert theta_e_of(d.sigma_v, 0.4, z_sources[d.source]) == pytest.approx(d.lens.theta_e, rel=1e-4)
        assert 0.5 <= d.lens.theta_e <= 3.0 and SIGMA_RANGE[0] <= d.sigma_v <= SIGMA_RANGE[1]


def test_a_faint_host_makes_a_small_lens_even_where_its_range_is_far_in_the_tail():
    deflector = Deflector.of(23.5, 0.4, np.array([1.5]), (2.0, 3.0))
    found = [deflector.draw(np.random.default_rng(i), 4.0)[1] for i in range(20)]
    assert np.all(np.sqrt(2.0 / deflector.arcsec) <= np.array(found) + 1e-6)
    bright, faint = (np.median([d.lens.theta_e for d in many(InjectionConfig(), 300, mag_r=m)]) for m in (18.5, 20.5))
    assert bright > 1.2 * faint


def test_sources_are_magnified_more_often_than_by_area():
    """At given observed flux a lens counts as mu^(2.5 slope): p(y) ~ y^(1 - 2.5 slope) behind an isothermal sphere."""
    drawn = many(InjectionConfig(), 2000)
    assert kstest(offsets(drawn), lambda y: y ** (2 - 2.5 * 0.35)).pvalue > 0.01
    assert kstest(offsets(many(InjectionConfig(prior="population"))), lambda y: y**2).pvalue > 0.01
    quads = [np.mean([n_images(d.lens, d.x, d.y) >= 4 for d in many(c, 800)]) for c in (InjectionConfig(), GRID)]
    assert quads[0] > 2 * quads[1]


@pytest.mark.parametrize("config", [InjectionConfig(), GRID])
def test_weights_make_the_population_of_any_prior(config):
    """Weighted means over a prior's draws are the population's: radius, source redshift, offset."""
    z_sources = np.linspace(0.7, 2.5, 7)
    want, drawn = many(InjectionConfig(prior="population"), 4000, z_sources), many(config, 12_000, z_sources)
    weights = np.array([d.weight for d in drawn])
    assert (weights >= 0).all() and all(d.weight == 1.0 for d in want)
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert effective > 500
    for of in (lambda ds: [np.log(d.lens.theta_e) for d in ds], lambda ds: [z_sources[d.source] for d in ds], offsets):
        a, b = np.array(of(want)), np.array(of(drawn))
        spread = a.std() * np.sqrt(1 / len(a) + 1 / effective)
        assert np.average(b, weights=weights) == pytest.approx(a.mean(), abs=4 * spread)


def drawn_with(quantile):
    return Draw(0, many(InjectionConfig(), 1)[0].lens, 250.0, 0.1, 0.0, 0.0, quantile, 1.0)


def test_source_magnitudes_stay_within_counts_and_weights_follow_them():
    config = InjectionConfig(source_mag_r=(22.5, 27.0), snr_slope=0.5)
    for one in (5.0, 10.0, 60.0):
        made = [brightness(drawn_with(u), 9.0, one, config) for u in np.linspace(0, 1, 401)]
        mags, snr = mag_from_flux([m.flux for m in made]), one * np.array([m.flux for m in made])
        assert mags.min() >= 22.5 - 1e-9 and mags.max() <= 27.0 + 1e-9
        assert snr.min() >= 3 - 1e-9 and snr.max() <= 50 + 1e-9
        # even quantiles, weighted, are counts: 10^(0.35 m)
        weights = np.array([m.weight for m in made])
        width = mags.max() - mags.min()
        grid = np.linspace(mags.min(), mags.max(), 2000)
        counts = 10 ** (0.35 * grid)
        assert np.average(mags, weights=weights) == pytest.approx(np.average(grid, weights=counts), abs=0.01 * width)
        integral = np.trapezoid(10 ** (0.35 * (grid - MAG_LIMIT)), grid) * 0.4 * np.log(10)
        assert weights.mean() == pytest.approx(integral, rel=0.02)  # per unit log flux
    with pytest.raises(Rejected, match="source_outside_counts"):
        brightness(drawn_with(0.5), 9.0, 1.0, config)
    assert brightness(drawn_with(None), 9.0, 1.0, InjectionConfig(prior="population")).flux == 9.0
    assert brightness(drawn_with(0.0), 9.0, 1e4, GRID).weight == 0.0  # fainter than the population's limit


def test_lens_ellipticity_follows_the_host():
    drawn = many(InjectionConfig(ellipticity_scatter=0.05))
    e = [(1 - d.lens.q) / (1 + d.lens.q) * np.exp(2j * d.lens.phi) for d in drawn]
    assert np.mean(e) == pytest.approx(0.2 - 0.1j, abs=0.01)
    assert np.std(np.real(e)) == pytest.approx(0.05, rel=0.15)


def test_slopes_scatter_within_their_range():
    slopes = [d.lens.slope for d in many(InjectionConfig(slope_mean=2.05, slope_scatter=0.2))]
    assert np.mean(slopes) == pytest.approx(2.05, abs=0.03) and 1.6 <= min(slopes) < max(slopes) <= 2.4


def test_impossible_draws_say_why():
    rng = np.random.default_rng(1)
    for config, z_lens, mag, z_source, error, reason in (
        (GRID, 0.8, MAG, 0.7, Rejected, "source_in_front_of_lens"),
        (InjectionConfig(), float("nan"), MAG, 1.5, NoLens, "host_without_redshift"),
        (InjectionConfig(), 0.4, float("nan"), 1.5, NoLens, "host_without_magnitude"),
        (InjectionConfig(prior="population"), 0.4, MAG, 0.41, NoLens, "host_makes_no_lens"),
        (InjectionConfig(), 0.8, MAG, 0.7, NoLens, "host_makes_no_lens"),
    ):
        with pytest.raises(error, match=reason):
            draw(rng, host(z=z_lens), mag, np.array([z_source]), config)
    unknown = draw(rng, host(z=float("nan")), MAG, np.array([1.5]), GRID)
    assert np.isnan(unknown.sigma_v) and np.isnan(unknown.weight)


def test_northern_fluxes_are_those_of_the_nearest_template():
    z = 0.8
    south, north = colours("Scd", z), colours("Scd", z, north=True)
    r = 22.0
    flux = 10 ** (-0.4 * (np.array([r + south.g_r, r, r - south.r_z]) - 22.5))
    g, r_north, z_band = mag_from_flux(flux * north_over_south(flux, z))
    assert g - r_north == pytest.approx(float(north.g_r), abs=0.005)
    assert r_north - z_band == pytest.approx(float(north.r_z), abs=0.005)
    ratio = north_over_south(drawn_fluxes("a", 2.5, r=23.0), 2.5)
    assert np.isfinite(ratio).all() and (np.abs(np.log(ratio)) < 0.5).all()


@pytest.mark.parametrize("ra, dec, north", [(180.0, 33.0, True), (180.0, 32.0, False), (20.0, 33.0, False)])
def test_the_north_is_north_of_the_border_and_of_the_galaxy(ra, dec, north):
    assert is_north(ra, dec) is north
