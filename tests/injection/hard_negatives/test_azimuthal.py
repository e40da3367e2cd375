"""The azimuthal shuffle keeps what it must keep and destroys what it must destroy."""

import numpy as np
import pytest

from dhs.injection.hard_negatives import azimuthal
from dhs.injection.light import thin

SCALE = 0.262 / 4


def arc(n=256, radius=1.6, span=1.0, x=0.0, y=0.0):
    axis = (np.arange(n) - (n - 1) / 2) * SCALE
    r, t = np.hypot(axis[None] - x, axis[:, None] - y), np.arctan2(axis[:, None] - y, axis[None] - x)
    return np.exp(-0.5 * ((r - radius) / 0.15) ** 2) * (np.abs(t) < span)


def radial(image, x=0.0, y=0.0):
    axis = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * SCALE
    r = np.hypot(axis[None] - x, axis[:, None] - y)
    return np.bincount((r / 0.3).astype(int).ravel(), image.ravel())


@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.1, -0.13)])
def test_radial_profile_and_flux_stay_while_the_arc_goes(centre):
    light = arc(x=centre[0], y=centre[1])
    out = azimuthal.azimuthal_blocks(light, *centre, 1.2, SCALE, np.random.default_rng(5))
    assert out.sum() == pytest.approx(light.sum(), rel=1e-6)
    assert radial(out, *centre) == pytest.approx(radial(light, *centre), abs=0.08 * radial(light, *centre).max())
    assert azimuthal.overlap(light, out) < azimuthal.MAX_OVERLAP


def test_blocks_keep_their_texture_inside():
    """A block is moved whole: brightest values survive, unlike in a pixel shuffle smeared by the PSF."""
    light = arc()
    out = azimuthal.azimuthal_blocks(light, 0, 0, 1.2, SCALE, np.random.default_rng(6))
    assert out.max() > 0.9 * light.max()


def test_a_ring_has_no_contrast_and_an_arc_has():
    yy, xx = np.mgrid[:64, :64] - 31.5
    ring = np.exp(-0.5 * ((np.hypot(xx, yy) - 7) / 2) ** 2)
    assert azimuthal.contrast(ring, 0, 0) < azimuthal.MIN_CONTRAST
    assert azimuthal.contrast(ring * (xx > 0), 0, 0) > azimuthal.MIN_CONTRAST


def test_dark_light_stays_dark():
    assert azimuthal.azimuthal_blocks(np.zeros((64, 64)), 0, 0, 1.2, SCALE, np.random.default_rng(0)).sum() == 0


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7, 8])
def test_thinned_light_is_the_sum_over_blocks_to_the_bit(factor):
    light = np.random.default_rng(2).random((24 * factor, 24 * factor)).astype(np.float32) ** 3
    assert np.array_equal(thin(light, factor), light.reshape(24, factor, 24, factor).sum(axis=(1, 3)))
