"""Total magnitudes against galsim's own flux, with and without neighbours."""

import galsim
import numpy as np
import pytest

from dhs.survey.facts import flux_from_mag
from dhs.survey.mock.deflectors import deflectors
from dhs.survey.photometry import galaxy_flux, redshift_of

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


def test_redshifts_are_those_of_galaxies_of_the_same_light():
    """Against the deflectors themselves: draws of their summary, whose redshifts are known."""
    normal = np.random.default_rng(2).standard_normal((800, 4))
    mag_r, g_r, r_z, z = deflectors().transform(normal).T
    fluxes = flux_from_mag(np.stack([mag_r + g_r, mag_r, mag_r - r_z], axis=1))
    found = np.array([redshift_of(f) for f in fluxes])
    error = (found - z) / (1 + z)
    assert abs(np.median(error)) < 0.02 and 1.4826 * np.median(np.abs(error)) < 0.08
    assert np.corrcoef(found, z)[0, 1] > 0.8
    assert np.isnan(redshift_of(fluxes[0] * [1, -1, 1]))
