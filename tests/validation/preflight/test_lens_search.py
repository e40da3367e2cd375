"""Smoothing and circles of the arc search, against scipy and plain sums."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dhs.validation.preflight import lens_search


@pytest.mark.parametrize("sigma", [0.3, 1.1, 1.7, 4.0])
def test_smoothing_is_scipys(sigma):
    image = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    want = gaussian_filter(image, sigma, mode="nearest", truncate=3)
    np.testing.assert_array_equal(lens_search.smoothed(image, sigma), want)


def test_windows_along_and_across_circles():
    polar = np.random.default_rng(2).normal(size=(len(lens_search.RADII_PX), lens_search.ANGLES))
    across = np.stack([np.convolve(column, np.ones(6) / 6, mode="same") for column in polar.T], axis=1)
    assert lens_search._means() @ polar == pytest.approx(across, abs=1e-12)
    level = lens_search._along(np.ones_like(polar))
    assert level == pytest.approx(np.ones_like(level), abs=1e-12)
    spike = np.zeros_like(polar)
    spike[:, 10] = 1.0
    found = lens_search._along(spike)
    assert found[:, 10] == pytest.approx(found.max(axis=1)) and found.sum(axis=1) == pytest.approx(np.ones(len(found)))
