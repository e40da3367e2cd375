"""Missing data is found by its want of noise, whatever value it holds; coarse storage is not taken for it."""

import numpy as np
import pytest

from dhs.survey.hosts.cutouts.holes import problem


def sky(seed=0, sigma=0.003):
    rng = np.random.default_rng(seed)
    y, x = np.indices((64, 64)) - 31.5
    return rng.normal(0, sigma, (64, 64)) + 0.6 * np.exp(-np.hypot(x, y) / 3)


@pytest.mark.parametrize("value", [0.0, -3e-4, 0.002, -99.0, -999.0, 1e20])
def test_a_patch_of_one_value_is_missing_data(value):
    band = sky()
    band[2:14, 5:25] = value
    assert problem(band)


@pytest.mark.parametrize("where", [np.s_[:, 60], np.s_[3, :], np.s_[:8, :8]])
def test_a_column_a_row_or_a_corner_without_noise_is_missing_data(where):
    band = sky()
    band[where] = 0.0
    assert "missing data" in problem(band)


def test_dither_around_zero_is_no_noise():
    band = sky()
    band[10:20] = np.random.default_rng(1).uniform(-5e-5, 5e-5, (10, 64))
    assert "hold no noise" in problem(band)


def test_a_single_fill_value_far_below_zero_is_found():
    band = sky()
    band[7, 9] = -99.0
    assert "below zero" in problem(band)


@pytest.mark.parametrize("levels", [0.25, 0.5, 1.0])
def test_coarse_quantisation_is_not_taken_for_holes(levels):
    step = 0.003 * levels
    assert problem(np.round(sky() / step) * step) is None


@pytest.mark.parametrize("seed", range(5))
def test_clean_sky_with_a_galaxy_passes(seed):
    assert problem(sky(seed)) is None


def test_masked_pixels_may_hold_anything():
    band, observed = sky(), np.ones((64, 64), bool)
    band[:3], observed[:3] = -99.0, False
    assert problem(band) and problem(band, observed) is None


def test_a_band_without_noise_is_refused():
    assert "no noise" in problem(np.zeros((64, 64)))
