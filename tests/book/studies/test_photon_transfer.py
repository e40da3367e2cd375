"""The derived gain against photon-transfer curves, simulated and of real DECam fields."""

import numpy as np
import pytest
from cutout_samples import DATA, needs_data

from dhs.book.studies.photon_transfer import photon_transfer
from dhs.survey.facts import gain_from_sky_noise

FIELDS = ("legacypipe_testcase3", "legacypipe_testcase9", "obiwan_decals_grz")


def test_gain_of_a_simulated_galaxy_comes_back():
    rng, gain, sky = np.random.default_rng(1), 5000.0, 0.3
    y, x = np.mgrid[-60:61, -60:61]
    light = 0.5 * np.exp(-np.hypot(x, 1.4 * y) / 9.0)
    image = rng.poisson((light + sky) * gain) / gain - sky
    curve = photon_transfer(image, gain / (light + sky))
    assert curve["gain"] == pytest.approx(gain, rel=0.05)
    assert np.median(curve["scatter"] / curve["variance"]) == pytest.approx(1.0, abs=0.15)
    assert gain_from_sky_noise(np.full(3, curve["sky_sigma"]))[1] == pytest.approx(gain, rel=0.1)  # r sky is 0.30


@needs_data
def test_derived_gain_is_that_of_real_fields_within_a_factor_of_three_and_150_is_not():
    """Sky noise times a dark sky's brightness underestimates the gain where the night was bright, never the reverse."""
    ratios = []
    for name in FIELDS:
        with np.load(DATA / "hosts/decam_image_invvar_psf" / f"{name}.npz", allow_pickle=False) as field:
            for band, (image, invvar) in enumerate(zip(field["image_nmgy"], field["invvar"])):
                curve = photon_transfer(image, invvar)
                ratios.append(gain_from_sky_noise(np.full(3, curve["sky_sigma"]))[band] / curve["gain"])
                assert curve["gain"] > 10 * 150
    assert 0.3 < min(ratios) and max(ratios) < 1.3
    assert 0.6 < np.median(ratios) < 1.1
