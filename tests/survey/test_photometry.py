"""Total magnitudes against galsim's own flux, with and without neighbours."""

import galsim
import numpy as np
import pytest

from dhs.survey.colours import colours
from dhs.survey.facts import flux_from_mag
from dhs.survey.photometry import galaxy_flux, red_sequence_redshift

MOFFAT = galsim.Moffat(beta=3.5, fwhm=1.2)


def drawn(galaxy):
    return galsim.Convolve(galaxy, MOFFAT).drawImage(nx=64, ny=64, scale=0.262).array.astype(float)


@pytest.mark.parametrize("radius", [0.4, 1.0])
@pytest.mark.parametrize("q", [1.0, 0.6])
def test_flux_is_that_within_the_aperture(radius, q):
    image = 3.0 * drawn(galsim.Exponential(half_light_radius=radius).shear(q=q, beta=0.4 * galsim.radians))
    y, x = np.mgrid[:64, :64]
    within = image[np.hypot(x - 31.5, y - 31.5) < 5.2 / 0.262].sum()
    assert galaxy_flux(image, 31.5, 31.5) == pytest.approx(within, rel=0.1)
    assert galaxy_flux(image + 0.1, 31.5, 31.5, sky=0.1) == pytest.approx(galaxy_flux(image, 31.5, 31.5))


def test_neighbours_add_little():
    alone, beside = galsim.Sersic(4, half_light_radius=1.0), galsim.Exponential(half_light_radius=0.4)
    one, two = drawn(alone), drawn(alone + beside.shift(2.5, 1.0) + beside.shift(-3.0, 1.5))
    assert two.sum() > 2.5 * one.sum()
    assert galaxy_flux(two, 31.5, 31.5) == pytest.approx(galaxy_flux(one, 31.5, 31.5), rel=0.35)


@pytest.mark.parametrize("z", [0.2, 0.45, 0.7])
def test_red_galaxies_have_the_redshift_of_their_colours(z):
    own = colours("E", z)
    fluxes = flux_from_mag(np.array([20.0 + own.g_r, 20.0, 20.0 - own.r_z]))
    assert red_sequence_redshift(fluxes) == pytest.approx(z, abs=0.011)
    assert np.isnan(red_sequence_redshift(fluxes * [1, -1, 1]))
