import numpy as np
import pytest
from cutout_samples import channel_first, npz
from third_party_package import installed

from dhs.errors import InputRefused
from dhs.survey import facts
from dhs.survey.hosts.cutouts import read_npz
from dhs.survey.survey import surveys


def cutout(**changes):
    return npz(**(channel_first(seed=3) | changes))


def test_legacy_surveys_are_the_numbers_the_package_has_always_used():
    survey = surveys["legacy"]
    assert (survey.pixel_scale, survey.band_names, survey.zero_point) == (0.262, ("g", "r", "z"), 22.5)
    assert facts.PIXEL_SCALE == 0.262 and facts.BAND_NAMES == ("g", "r", "z") and facts.LAG1_CORRELATION == 0.14
    assert [b.psf_fwhm_arcsec for b in survey.bands] == [1.3, 1.2, 1.1]
    # an AB magnitude of 22.5 is a nanomaggy: 3631 Jy / 10^9 by definition
    assert survey.nanomaggies(2.0) == 2.0


@pytest.mark.parametrize("name", ["legacy", "des"])
def test_gain_is_electrons_over_nanomaggies(name):
    """The same photons two ways: from exposure time, and from the noise of a sky that bright."""
    survey, seconds = surveys[name], np.array([300.0, 200.0, 400.0])
    gain = survey.gain_from_exposures(seconds)
    adu = np.array([10 ** (-0.4 * (22.5 - b.zero_point_adu)) for b in survey.bands]) * seconds
    np.testing.assert_allclose(gain, adu * survey.detector_gain)
    sky_electrons = survey.sky_flux_per_pixel() * gain
    sigma = np.sqrt(sky_electrons) / gain
    np.testing.assert_allclose(survey.gain_from_sky_noise(sigma), gain)


def test_des_units_are_a_thousandth_of_a_nanomaggy():
    assert surveys["des"].nanomaggies(1000.0) == pytest.approx(1.0)


def test_a_cutout_gets_the_fallbacks_of_the_survey_it_says_it_is_of():
    of_legacy, of_des = read_npz(cutout(), "a"), read_npz(cutout(survey="des", pixscale=0.263), "b")
    assert (of_legacy.survey, of_des.survey) == ("legacy", "des")
    assert of_legacy.psf_fwhm.tolist() == [1.3, 1.2, 1.1] and of_des.psf_fwhm.tolist() == [1.16, 0.9, 0.78]
    np.testing.assert_allclose(of_des.gain / of_legacy.gain, (0.263 / 0.262) ** 2)
    with pytest.raises(InputRefused, match="of survey 'sdss', known are") as caught:
        read_npz(cutout(survey="sdss"), "c")
    assert caught.value.refusal.code == "unknown_survey"


def test_pixels_of_another_size_are_refused_whatever_the_survey():
    with pytest.raises(InputRefused, match="pixels of 0.2000 arcsec"):
        read_npz(cutout(survey="des", pixscale=0.2), "a")


def test_a_package_adds_a_survey():
    with installed(surveys):
        assert list(surveys)[-1] == "near" and surveys["near"].nanomaggies(10.0) == pytest.approx(1.0)
        assert read_npz(cutout(survey="near"), "a").psf_fwhm.tolist() == [1.9, 1.8, 1.7]
    with pytest.raises(InputRefused):
        read_npz(cutout(survey="near"), "a")
