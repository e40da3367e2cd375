"""Weights of rows; that they make the population is tested where they are drawn (tests/injection/test_priors.py)."""

from types import SimpleNamespace

import numpy as np
import pytest

from dhs.config import InjectionConfig
from dhs.errors import DhsError
from dhs.injection.priors import brightness
from dhs.survey.facts import flux_from_mag
from dhs.validation.evaluation.population_weights import MAX_SHARE, above_floor, population_weights


def test_weights_have_mean_one_and_kish_counts_them():
    drawn = np.array([1.0, 3.0, 0.0, np.nan, 4.0])
    got = population_weights(drawn)
    np.testing.assert_allclose(got.weights, np.array([1, 3, 0, 0, 4]) / 1.6)
    assert got.n_used == 3 and got.n_effective == pytest.approx(64 / 26) and got.n_capped == 0


def test_one_row_does_not_become_the_result():
    drawn = np.ones(1000)
    drawn[7] = 5000.0
    got = population_weights(drawn)
    assert got.n_capped == 1 and got.weights[7] / got.weights.sum() < 6 * MAX_SHARE
    assert got.weights[7] == got.weights.max()


def test_rows_that_cannot_be_lenses_are_refused_when_all_are():
    with pytest.raises(DhsError, match="none of 3 rows"):
        population_weights([np.nan, 0.0, np.nan])


@pytest.mark.parametrize("prior", ("joint", "response_grid", "population"))
def test_the_share_above_the_floor_is_that_of_sources_drawn_from_counts(prior):
    """Arcs of a source of one nanomaggy differ in SNR by a factor of ten; magnitudes come from the prior, or counts."""
    rng, config = np.random.default_rng(1), InjectionConfig(prior=prior)
    n, mu = 20_000, 5.0
    of_one = 10.0 ** rng.uniform(1.2, 2.2, n)

    def counts(size):
        return 27.0 + np.log10(rng.uniform(size=size)) / config.counts_slope

    every = of_one * flux_from_mag(counts(n))
    low, high = config.arc_snr_maxpix
    bright = of_one * flux_from_mag(config.source_mag_r[0]) if prior == "joint" else high
    truth = ((every >= low) & (every <= np.minimum(high, bright))).mean()
    if prior == "population":
        flux, weights = flux_from_mag(counts(n)), np.ones(n)
    else:
        drawn = [SimpleNamespace(snr_quantile=float(u)) for u in rng.uniform(size=n)]
        made = [brightness(d, 1.0, s, config) for d, s in zip(drawn, of_one)]
        flux, weights = np.array([m.flux for m in made]), np.array([m.weight for m in made])
    table = {"arc_flux_r": mu * flux, "magnification": np.full(n, mu), "arc_snr_maxpix": of_one * flux}
    assert 0.02 < truth < 0.6 and above_floor(weights, table, config) == pytest.approx(truth, rel=0.05)
    assert above_floor(np.zeros(n), table, config) is None
