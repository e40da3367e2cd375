"""Reweighting a grid against sampling the population itself."""

import numpy as np
import pytest

from dhs.errors import DhsError
from dhs.injection import velocity_dispersion as vd
from dhs.survey.facts import flux_from_mag
from dhs.validation.evaluation.population_weights import population_weights


def grid(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.5, 3.0, n)
    magnification = rng.uniform(2, 10, n)
    mag = 24.5 + np.log(theta) + rng.normal(size=n)
    flux = flux_from_mag(mag) * magnification
    columns = {"theta_e_arcsec": theta, "z_lens": np.full(n, 0.5), "z_source": np.full(n, 1.5)}
    return columns | {"arc_flux_r": flux, "magnification": magnification}, mag


def test_weighted_grid_has_the_moments_of_a_population_draw():
    table, _ = grid()
    got = population_weights(table, by_flux=False)
    n = len(got.weights)
    drawn, _ = vd.draw_theta_e(np.random.default_rng(1), np.full(n, 0.5), np.full(n, 1.5), (0.5, 3.0))
    theta = table["theta_e_arcsec"]
    assert np.average(theta, weights=got.weights) == pytest.approx(drawn.mean(), rel=0.01)
    found = 1 / (1 + np.exp(-4 * (theta - 1.2)))  # a completeness that rises with theta_E
    want = np.mean(1 / (1 + np.exp(-4 * (drawn - 1.2))))
    assert np.average(found, weights=got.weights) == pytest.approx(want, abs=0.01)
    assert got.weights.mean() == pytest.approx(1) and 0.2 * n < got.n_effective < n


def test_flux_weights_give_the_source_counts_their_slope():
    table, mag = grid()
    got = population_weights(table, counts_slope=0.3, mag_limit=26.0)
    assert (got.weights[mag > 26] == 0).all() and got.n_used < len(mag)
    inside = (mag > 23.5) & (mag < 25.5)
    counts, edges = np.histogram(mag[inside], np.linspace(23.5, 25.5, 9), weights=got.weights[inside])
    slope = np.polyfit((edges[1:] + edges[:-1]) / 2, np.log10(counts), 1)[0]
    assert slope == pytest.approx(0.3, abs=0.08)


def test_rows_that_cannot_be_lenses_weigh_nothing():
    table, _ = grid(200)
    table["z_source"][:50], table["z_lens"][50:60] = 0.3, np.nan
    weights = population_weights(table).weights
    assert (weights[:60] == 0).all() and (weights[60:] > 0).any()
    with pytest.raises(DhsError, match="none of 200 rows"):
        population_weights(table | {"z_source": np.zeros(200)})
