"""Template colours against galsim's and speclite's own integrals."""

from pathlib import Path

import astropy.units as u
import galsim
import numpy as np
import pytest
import speclite.filters

from dhs.errors import UsageError
from dhs.survey.colours import TEMPLATES, ab_magnitude, colours, drawn_fluxes, template_sed, transmission
from dhs.survey.facts import mag_from_flux

FILTERS = {False: ("decamDR1-g", "decamDR1-r", "decamDR1-z"), True: ("BASS-g", "BASS-r", "MzLS-z")}


def galsim_magnitude(template, z, bandpass):
    sed = galsim.SED(f"CWW_{template}_ext.sed", wave_type="Ang", flux_type="flambda").atRedshift(z)
    return sed.calculateMagnitude(bandpass.withZeropoint("AB"))


def galsim_bandpass(name):
    curve = speclite.filters.load_filter(name)
    return galsim.Bandpass(galsim.LookupTable(curve.wavelength, curve.response, interpolant="linear"), "Ang")


@pytest.mark.parametrize("north", [False, True])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("z", [0.1, 0.55, 1.0, 1.6])
def test_against_galsim(template, z, north):
    """Below z of 1.9 no intergalactic absorption reaches g: galsim, which has none, must agree."""
    g, r, z_band = (galsim_magnitude(template, z, galsim_bandpass(name)) for name in FILTERS[north])
    i = galsim_magnitude(template, z, galsim.Bandpass("ACS_wfc_F814W.dat", "nm"))
    found = colours(template, z, north=north)
    np.testing.assert_allclose([found.g_r, found.r_z, found.i_r], [g - r, r - z_band, i - r], atol=0.015)


@pytest.mark.parametrize("z", [2.3, 3.0])
def test_against_speclite_with_absorption(z):
    rest, flux = template_sed("Im")
    # padded: BASS and DECam responses reach past the template's end at no weight
    wave = np.linspace(3000.0, 11500.0, 20000)
    seen = np.interp(wave / (1 + z), rest, flux) * transmission(wave, z)
    curves = speclite.filters.load_filters("decamDR1-g", "decamDR1-r")
    table = curves.get_ab_magnitudes(seen * u.Unit("erg / (s cm2 Angstrom)"), wave * u.Angstrom)
    assert float(colours("Im", z).g_r) == pytest.approx(table["decamDR1-g"][0] - table["decamDR1-r"][0], abs=0.01)


def test_flat_spectrum_has_no_colour(monkeypatch):
    """F_nu constant is AB 0 in every band: F_lambda ~ lambda^-2."""
    from dhs.survey import colours as module

    wave = np.linspace(100.0, 30000.0, 30000)
    monkeypatch.setattr(module, "template_sed", lambda template: (wave, wave**-2.0))
    magnitudes = [ab_magnitude("flat", 0.0, name) for name in (*FILTERS[False], *FILTERS[True], "F814W")]
    np.testing.assert_allclose(magnitudes, magnitudes[0], atol=1e-3)


def test_absorption():
    """No absorption redward of Lyman alpha, Madau 1995's tau of the forest just blueward, none below the limit."""
    z = 3.0
    assert transmission(np.array([1220.0 * (1 + z)]), z) == 1
    wave = 1100.0 * (1 + z)
    assert transmission(np.array([wave]), z) == pytest.approx(np.exp(-0.0036 * (wave / 1215.67) ** 3.46))
    assert transmission(np.array([900.0 * (1 + z)]), z) == 0


def test_shapes_and_templates_that_do_not_exist():
    many = colours("Scd", np.array([[0.5, 1.0], [1.5, 2.0]]))
    assert many.g_r.shape == (2, 2) and many.g_r[0, 1] == colours("Scd", 1.0).g_r
    with pytest.raises(UsageError, match="unknown galaxy template 'Irr'"):
        colours("Irr", 1.0)
    for bad in (-0.1, 5.1, np.nan):
        with pytest.raises(UsageError, match="redshift outside 0 to 5"):
            colours("Im", bad)


def test_drawn_fluxes():
    one, two = drawn_fluxes("a", 1.2, r=24.0), drawn_fluxes("a", 1.2, r=24.0)
    np.testing.assert_array_equal(one, two)
    assert mag_from_flux(one)[1] == pytest.approx(24.0)
    sample = mag_from_flux(np.array([drawn_fluxes(f"k{i}", 1.2, r=24.0) for i in range(400)]))
    expected = {t: float(colours(t, 1.2).g_r) for t in ("Sbc", "Scd", "Im")}
    mean = 0.2 * expected["Sbc"] + 0.35 * expected["Scd"] + 0.45 * expected["Im"]
    assert np.mean(sample[:, 0] - sample[:, 1]) == pytest.approx(mean, abs=0.05)
    with pytest.raises(UsageError, match="one magnitude"):
        drawn_fluxes("a", 1.2)
    with pytest.raises(UsageError, match="one magnitude"):
        drawn_fluxes("a", 1.2, r=24.0, f814w=24.0)


def test_template_files_are_galsims():
    assert all((Path(galsim.meta_data.share_dir) / "SEDs" / f"CWW_{t}_ext.sed").is_file() for t in TEMPLATES)
