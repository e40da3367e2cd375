import numpy as np
import pytest
import torch
from scipy.stats import median_abs_deviation

from dhs.models.residuals import radius_map as radius_of_tensors
from dhs.stats.pixels import MAD_TO_SIGMA, mad, radius_map


@pytest.mark.parametrize("side", [5, 64, 101])
def test_radii_are_symmetric_and_the_same_for_tensors(side):
    radius = radius_map(side)
    assert radius[0, 0] == pytest.approx((side - 1) / np.sqrt(2))
    assert np.array_equal(radius, radius.T) and np.array_equal(radius, radius[::-1])
    assert torch.equal(radius_of_tensors(side), torch.tensor(radius.astype(np.float32)))


def test_kept_radii_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        radius_map()[0, 0] = 0.0


@pytest.mark.parametrize("axis", [None, 0, (1, 2)])
def test_deviation_is_that_of_scipy_and_estimates_sigma(axis):
    values = np.random.default_rng(0).normal(3.0, 2.0, (7, 60, 50))
    if not isinstance(axis, tuple):
        assert mad(values, axis) == pytest.approx(median_abs_deviation(values, axis))
    assert MAD_TO_SIGMA * mad(values, axis=(1, 2)) == pytest.approx(2.0, rel=0.1)
    assert mad(values, centre=0.0) == pytest.approx(np.median(np.abs(values)))
