"""Isothermal lenses against lenstronomy, distances against astropy, luminosities against arithmetic."""

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import LambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from dhs.injection import velocity_dispersion as vd
from dhs.survey.cosmology import COSMOLOGY, absolute_mag_r, flat_ratio


@pytest.mark.parametrize("z_lens, z_source, sigma_v", [(0.2, 0.6, 230.0), (0.5, 1.5, 280.0), (0.7, 2.5, 180.0)])
def test_einstein_radius_is_lenstronomys(z_lens, z_source, sigma_v):
    want = LensCosmo(z_lens, z_source, cosmo=COSMOLOGY).sis_sigma_v2theta_E(sigma_v)
    got = vd.theta_e_of(sigma_v, z_lens, z_source)
    assert got == pytest.approx(want, rel=1e-6)
    assert vd.sigma_v_of(got, z_lens, z_source) == pytest.approx(sigma_v)
    assert vd.arcsec_at_full_ratio(sigma_v) * flat_ratio(z_lens, z_source) == pytest.approx(want, rel=1e-4)


def test_sources_in_front_give_no_lens_and_unknown_redshifts_stay_unknown():
    ratio = vd.distance_ratio([0.5, 0.5, np.nan], [0.3, 1.5, 1.5])
    assert ratio[0] == 0 and 0 < ratio[1] < 1 and np.isnan(ratio[2])
    np.testing.assert_allclose(flat_ratio(0.5, np.array([0.3, 0.5, 1.5])), [0, 0, ratio[1]], atol=1e-5)
    assert np.isinf(vd.sigma_v_of(1.0, 0.5, 0.3))
    with pytest.raises(ValueError, match="flat"):
        vd.distance_ratio(0.5, 1.5, LambdaCDM(H0=70, Om0=0.3, Ode0=0.5))


@pytest.mark.parametrize("z", [0.05, 0.3, 0.9])
def test_luminosity_and_its_velocity_dispersion(z):
    want = 19.0 - COSMOLOGY.distmod(z).to_value(u.mag) - z
    assert absolute_mag_r(19.0, z) == pytest.approx(want, abs=2e-3)
    assert vd.faber_jackson(-21.15) == pytest.approx(10**2.2)
    assert vd.faber_jackson(-23.65) / vd.faber_jackson(-21.15) == pytest.approx(10**0.25), "L ~ sigma^4, 2.5 mag"
