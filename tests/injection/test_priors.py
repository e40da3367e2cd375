"""The two priors, the slope, and the northern filters."""

import numpy as np
import pytest
from scipy.stats import kstest

from dhs.config import InjectionConfig
from dhs.injection.colours import colours, drawn_fluxes, north_over_south
from dhs.injection.priors import Rejected, draw
from dhs.injection.velocity_dispersion import lens_density
from dhs.survey.facts import is_north, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp


def host(z=0.4, e1=0.2, e2=-0.1):
    ones = np.ones(3)
    return HostStamp("h", "b", 1.0, 2.0, 1.0, 2.0, np.zeros((3, 64, 64), np.float32), None, None, 1.2 * ones,
                     0.003 * ones, 4e4 * ones, e1=e1, e2=e2, z_phot=z)  # fmt: skip


def many(config, n=1000, z_source=1.5, **kwargs):
    rng = np.random.default_rng(5)
    return [draw(rng, host(**kwargs), z_source, config) for _ in range(n)]


def test_response_grid_is_uniform_in_radius_and_area_weighted_in_offset():
    drawn = many(InjectionConfig())
    assert kstest([d.lens.theta_e for d in drawn], "uniform", (0.5, 2.5)).pvalue > 0.01
    offset = [(np.hypot(d.x - d.lens.x, d.y - d.lens.y) / d.lens.theta_e) ** 2 for d in drawn]
    assert kstest(offset, "uniform").pvalue > 0.01
    assert kstest(np.log([d.target_snr for d in drawn]), "uniform", (np.log(3), np.log(50 / 3))).pvalue > 0.01
    assert {d.lens.slope for d in drawn} == {2.0}


def test_population_follows_the_velocity_dispersion_function_and_keeps_the_flux():
    drawn = many(InjectionConfig(prior="population"))
    grid = np.linspace(0.5, 3.0, 2001)
    cumulative = np.cumsum(lens_density(grid, 0.4, 1.5))
    assert (
        kstest([d.lens.theta_e for d in drawn], lambda t: np.interp(t, grid, cumulative / cumulative[-1])).pvalue > 0.01
    )
    assert all(d.target_snr is None for d in drawn)


def test_lens_ellipticity_follows_the_host():
    drawn = many(InjectionConfig(ellipticity_scatter=0.05))
    e = [(1 - d.lens.q) / (1 + d.lens.q) * np.exp(2j * d.lens.phi) for d in drawn]
    assert np.mean(e) == pytest.approx(0.2 - 0.1j, abs=0.01)
    assert np.std(np.real(e)) == pytest.approx(0.05, rel=0.15)


def test_slopes_scatter_within_their_range():
    slopes = [d.lens.slope for d in many(InjectionConfig(slope_mean=2.05, slope_scatter=0.2))]
    assert np.mean(slopes) == pytest.approx(2.05, abs=0.03) and 1.6 <= min(slopes) < max(slopes) <= 2.4


def test_impossible_draws_say_why():
    rng, config = np.random.default_rng(1), InjectionConfig(prior="population")
    for z_lens, z_source, reason in (
        (0.8, 0.7, "source_in_front_of_lens"),
        (float("nan"), 1.5, "host_without_redshift"),
        (0.4, 0.41, "theta_e_out_of_range"),
    ):
        with pytest.raises(Rejected, match=reason):
            draw(rng, host(z=z_lens), z_source, config)


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
