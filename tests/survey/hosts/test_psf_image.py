"""PSF images that would displace arcs, take their flux or turn them negative are refused."""

import numpy as np
import pytest

from dhs.survey.hosts.cutouts.psf_image import SIDE, centred


def moffat(side=63, shift=0.0, level=0.0):
    axis = np.arange(side) - side // 2
    image = (1 + np.add.outer(axis**2, (axis - shift) ** 2) / 12.0) ** -3.5
    return np.stack([image / image.sum() + level / side**2] * 3)


def test_a_good_image_keeps_its_flux_and_its_middle():
    images, fwhm, flags = centred(moffat())
    axis = np.arange(63) - 31
    assert np.allclose(images.sum(axis=(1, 2)), 1, atol=1e-6) and flags == []
    assert abs((images[0] * axis).sum()) < 1e-4 and fwhm == pytest.approx([0.847] * 3, abs=0.02)


@pytest.mark.parametrize("shift", [0.7, 2.0, 5.0])
def test_light_off_the_middle_is_refused(shift):
    with pytest.raises(ValueError, match=rf"its light is {shift:.1f} pixels off its middle"):
        centred(moffat(shift=shift))


@pytest.mark.parametrize("level", [-2.0, -0.98, -0.1, 0.1])
def test_a_pedestal_is_refused(level):
    with pytest.raises(ValueError, match="on a pedestal of"):
        centred(moffat(level=level))


@pytest.mark.parametrize("side", [65, 91, 255])
def test_a_large_image_is_cropped_and_says_so(side):
    images, _, flags = centred(moffat(side))
    assert images.shape == (3, SIDE, SIDE) and flags == ["psf_cropped"]
    assert np.allclose(images.sum(axis=(1, 2)), 1, atol=1e-6)


def test_wings_that_would_be_lost_are_refused():
    axis = np.arange(255) - 127
    wide = np.stack([(1 + np.hypot(*np.meshgrid(axis, axis)) / 5) ** -2.5] * 3)
    with pytest.raises(ValueError, match="of its flux lies outside 63 x 63|on a pedestal"):
        centred(wide)


def test_an_even_side_is_refused():
    with pytest.raises(ValueError, match="even"):
        centred(moffat()[:, :-1, :-1])
