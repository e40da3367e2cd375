"""Smooth twins of real sources: measured with photutils, not with the code that makes them."""

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.morphology import data_properties

from dhs.config import SourcesConfig
from dhs.injection.sources.open import open_sources
from dhs.injection.sources.sersic import ellipse, sersic_twin

CHOSEN = (0, 3, 4, 17)


@pytest.fixture(scope="module")
def sets():
    return [open_sources(SourcesConfig(spec="xdf", morphology=m), seed=1) for m in ("image", "sersic")]


def half_light(image, scale):
    """Radius of the circular aperture that holds half of the light, arcsec."""
    middle = (len(image) - 1) / 2
    radii = np.linspace(0.3, middle, 120)
    flux = [aperture_photometry(image, CircularAperture((middle, middle), r))["aperture_sum"][0] for r in radii]
    return float(np.interp(0.5 * image.sum(), flux, radii)) * scale


def test_a_twin_keeps_size_shape_flux_and_name(sets):
    real, smooth = sets
    assert smooth.ids == real.ids and smooth.mock and not real.mock
    assert set(smooth.limits) > set(real.limits)
    for i in CHOSEN:
        ours, twin = real.read(i), smooth.read(i)
        assert (twin.flux == ours.flux).all() and twin.z == ours.z and twin.image.shape == ours.image.shape
        assert twin.image.sum() == pytest.approx(1.0) and "sersic_twin" in twin.flags
        assert np.abs(twin.image[[0, -1]]).max() < 1e-5 and np.abs(twin.image[:, [0, -1]]).max() < 1e-5
        size = half_light(ours.image, ours.pixel_scale)
        assert half_light(twin.image, twin.pixel_scale) == pytest.approx(size, rel=0.06)
        measured = [data_properties(s.image) for s in (ours, twin)]
        shapes = [float(m.semiminor_axis / m.semimajor_axis) for m in measured]
        assert shapes[1] == pytest.approx(shapes[0], abs=0.05)
        turn = np.deg2rad(float(measured[0].orientation.value - measured[1].orientation.value))
        assert shapes[0] > 0.9 or abs(np.sin(turn)) < 0.1


def test_a_twin_is_smooth_and_symmetric_where_the_galaxy_is_not(sets):
    for i in CHOSEN:
        ours, twin = (s.read(i).image for s in sets)
        lopsided = [np.abs(image - image[::-1, ::-1]).sum() for image in (ours, twin)]
        assert lopsided[1] < 1e-6 < 0.05 < lopsided[0]
        middle = len(twin) // 2
        assert (np.diff(twin[middle, middle:]) <= 1e-12).all(), "falls from the centre outwards"


def test_the_ellipse_is_that_of_the_light():
    y, x = np.mgrid[:41, :41] - 20.0
    along, across = x * np.cos(0.6) + y * np.sin(0.6), -x * np.sin(0.6) + y * np.cos(0.6)
    q, phi = ellipse(np.exp(-0.5 * ((along / 5) ** 2 + (across / 3) ** 2)))
    assert q == pytest.approx(0.6, abs=0.01) and abs(np.sin(phi - 0.6)) < 1e-3
    assert ellipse(np.eye(1))[0] == 1.0


def test_twins_of_twins_are_the_same(sets):
    twin = sets[1].read(0)
    again = sersic_twin(twin).image
    assert np.abs(again - twin.image).sum() < 0.05
