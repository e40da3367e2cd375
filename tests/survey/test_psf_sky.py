import galsim
import numpy as np
import pytest
from cutout_samples import DATA, needs_data

from dhs.survey import facts, psf, sky
from dhs.survey.hosts.cutouts import read_cutout
from dhs.survey.mock.hosts import _kernel


@pytest.mark.parametrize("fwhm", [0.8, 1.1, 1.6])
@pytest.mark.parametrize("size", [41, 63])
def test_fwhm_of_a_moffat_drawn_by_galsim(fwhm, size):
    profile = galsim.Moffat(beta=3.5, fwhm=fwhm).shear(g1=0.05)
    image = profile.drawImage(nx=size, ny=size, scale=0.262, method="no_pixel").array
    assert psf.fwhm_of(image) == pytest.approx(fwhm, rel=0.01)


def test_moffat_transform_is_galsim_s():
    profile = galsim.Moffat(beta=psf.MOFFAT_BETA, fwhm=1.2)
    for k in (0.1, 1.0, 3.0, 8.0):
        assert psf.moffat_transform(np.array(k), 1.2) == pytest.approx(profile.kValue(k, 0).real, abs=1e-4)


def test_intrinsic_fwhm_gives_the_delivered_one_back_through_the_pixel():
    image = galsim.Moffat(beta=3.5, fwhm=float(psf.intrinsic_fwhm(1.2))).drawImage(nx=63, ny=63, scale=0.262).array
    assert psf.fwhm_of(image) == pytest.approx(1.2, rel=0.02)


@pytest.mark.parametrize("image", [np.zeros((31, 31)), np.full((31, 31), np.nan), np.eye(5)])
def test_fwhm_refuses_what_is_no_psf(image):
    with pytest.raises(ValueError, match="peak"):
        psf.fwhm_of(image)


@needs_data
def test_moffat_beta_of_the_survey_s_psf_images():
    from scipy.optimize import curve_fit

    betas = []
    for path in sorted((DATA / "hosts/decam_image_invvar_psf").glob("*.npz")):
        for image in np.load(path)["psf"]:
            y, x = np.indices(image.shape)
            r = np.hypot(x - (image * x).sum() / image.sum(), y - (image * y).sum() / image.sum())
            near = r < 25

            def moffat(r, a, alpha, beta):
                return a * (1 + (r / alpha) ** 2) ** -beta

            fit, _ = curve_fit(moffat, r[near], image[near], [image.max(), 3, 3])
            betas.append(fit[2])
            assert psf.fwhm_of(image) == pytest.approx(2 * fit[1] * np.sqrt(2 ** (1 / fit[2]) - 1) * 0.262, rel=0.05)
    assert len(betas) == 9 and np.mean(betas) == pytest.approx(psf.MOFFAT_BETA, abs=0.15)


def white(seed, sigma=(0.001, 0.002, 0.006), size=64):
    return np.random.default_rng(seed).standard_normal((3, size, size)) * np.array(sigma)[:, None, None]


def test_mad_sigma_of_white_noise_with_sources():
    image = white(1)
    image[:, 5:9, 50:54] += 0.05
    image[:, 30:34, 30:34] += 1.0
    mask = sky.sky_mask(image)
    assert not mask[5:9, 50:54].any() and not mask[32, 32]
    assert sky.sky_sigma_mad(image, mask) == pytest.approx([0.001, 0.002, 0.006], rel=0.06)


def test_mad_sigma_is_unbiased_on_average():
    ratios = [sky.sky_sigma_mad(i := white(k, (1.0, 1.0, 1.0)), sky.sky_mask(i)).mean() for k in range(40)]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)


def test_correlation_of_white_noise_is_none_and_of_resampled_noise_is_the_kernel_s():
    white_lag = np.mean([sky.lag_correlation(i := white(k), sky.sky_mask(i), 0, 1) for k in range(20)])
    assert white_lag == pytest.approx(0.0, abs=0.01)
    matrix = np.zeros((64, 76))
    for row in range(64):
        matrix[row, row : row + 13] = _kernel(32)
    kernel = matrix[30]
    expected = {k: float((kernel[:-k] * kernel[k:]).sum() / (kernel**2).sum()) for k in (1, 2, 3)}
    measured = {k: [] for k in expected}
    sums = []
    for seed in range(30):
        image = matrix @ white(seed, size=76) @ matrix.T
        mask = sky.sky_mask(image)
        for k in expected:
            measured[k] += [sky.lag_correlation(image, mask, 0, k), sky.lag_correlation(image, mask, k, 0)]
        sums.append(sky.noise_correlation(image, mask)[1])
    for k in expected:
        assert np.mean(measured[k]) == pytest.approx(expected[k], abs=0.015)
    # All noise of an area is S times what its pixels' own variances add up to: here 1 / (sum of squared weights)^2.
    # The cap, and masks that take the upward fluctuations away, leave it a little low.
    assert np.mean(sums) == pytest.approx((kernel**2).sum() ** -2.0, rel=0.12)


def test_sigma_from_invvar_ignores_masked_pixels():
    invvar = np.full((3, 64, 64), 1e6)
    invvar[:, ::3] = 0
    assert sky.sky_sigma_invvar(invvar, np.ones((64, 64), bool)) == pytest.approx(1e-3)


@pytest.mark.parametrize("q", [0.5, 0.8])
@pytest.mark.parametrize("phi", [0.3, 2.0])
def test_light_shape_of_a_galaxy_drawn_by_galsim(q, phi):
    galaxy = galsim.Gaussian(half_light_radius=1.4).shear(q=q, beta=phi * galsim.radians).shift(0.1, -0.15)
    image = galsim.Convolve(galaxy, galsim.Moffat(beta=3.5, fwhm=1.2)).drawImage(nx=64, ny=64, scale=0.262).array
    e1, e2, x, y = sky.light_shape(image, (31.5, 31.5), 1.2)
    e = (1 - q) / (1 + q)
    assert (e1, e2) == pytest.approx((e * np.cos(2 * phi), e * np.sin(2 * phi)), abs=0.03)
    assert (x, y) == pytest.approx((31.5 + 0.1 / 0.262, 31.5 - 0.15 / 0.262), abs=0.02)


@pytest.mark.parametrize("distance", [1.6, 3.0, 4.0])
@pytest.mark.parametrize("flux", [0.1, 0.4, 1.0])
def test_neighbours_pull_neither_the_centre_nor_the_shape(distance, flux):
    """A galaxy up to as bright as itself beside it."""
    moffat = galsim.Moffat(beta=3.5, fwhm=1.2)
    alone = galsim.Sersic(4, half_light_radius=1.2).shear(q=0.8, beta=1.0 * galsim.radians)
    beside = flux * galsim.Exponential(half_light_radius=0.4).shift(distance * np.cos(2.4), distance * np.sin(2.4))
    noise = np.random.default_rng(3).normal(0, 2e-4, (64, 64))
    both = [
        galsim.Convolve(g, moffat).drawImage(nx=64, ny=64, scale=0.262).array + noise for g in (alone, alone + beside)
    ]
    want, got = (sky.light_shape(image, (31.5, 31.5), 1.2) for image in both)
    assert np.hypot(got[2] - 31.5, got[3] - 31.5) < 1.0
    if distance > 2:
        assert np.hypot(got[2] - 31.5, got[3] - 31.5) < 0.3
        assert np.hypot(got[0] - want[0], got[1] - want[1]) < 0.08


def test_a_brighter_object_beside_does_not_take_the_galaxys_place():
    image = galsim.Convolve(galsim.Gaussian(half_light_radius=0.5), galsim.Moffat(beta=3.5, fwhm=1.2))
    image = (image + 8.0 * image.shift(1.2, 0.0)).drawImage(nx=64, ny=64, scale=0.262).array
    assert sky.light_shape(image, (31.5, 31.5), 1.2)[2:] == (31.5, 31.5)


def test_light_shape_of_nothing_is_round_and_central():
    assert sky.light_shape(np.zeros((64, 64)), (32.0, 32.0), 1.2) == (0.0, 0.0, 32.0, 32.0)


def test_gain_of_one_exposure_is_the_survey_s():
    # One 90 s DECam r exposure: about 4,400 electrons per nanomaggy.
    assert facts.gain_from_exposures([90, 90, 90])[1] == pytest.approx(4400, rel=0.02)
    assert facts.gain_from_exposures([90, 180, 90])[1] == pytest.approx(2 * facts.gain_from_exposures([90, 90, 90])[1])


@needs_data
def test_real_stamps_have_resampled_noise_and_coadd_gains():
    lags = []
    for path in sorted((DATA / "hosts/ls_dr10_grz").glob("*.npz")):
        host = read_cutout(path)
        mask = sky.sky_mask(host.image)
        first = sky.lag_correlation(host.image, mask, 0, 1) + sky.lag_correlation(host.image, mask, 1, 0)
        second = sky.lag_correlation(host.image, mask, 0, 2) + sky.lag_correlation(host.image, mask, 2, 0)
        assert first > 0.2 and second < -0.1  # a Lanczos kernel's signature
        lags.append(host.lag1)
        assert ((host.gain > 5e3) & (host.gain < 1e5)).all()
    assert 0.07 < np.mean(lags) < 0.16


def test_blank_sky_is_scipy_s_mask():
    """The compiled mask against filters of scipy and medians of numpy."""
    from scipy.ndimage import maximum_filter, uniform_filter

    rng = np.random.default_rng(3)
    image = rng.normal(0.0, 0.003, (3, 64, 64)).astype(np.float32)
    y, x = np.indices((64, 64))
    for cx, cy in ((60, 5), (2, 40), (31, 31)):
        image += 0.05 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 6.0).astype(np.float32)
    annulus = np.hypot(x - 31.5, y - 31.5) > sky.ANNULUS_PX

    def level(values):
        centre = np.sort(values)[values.size // 2]
        apart = np.sort(np.abs(values - centre))
        return centre, 1.4826 * apart[values.size // 2]

    levels = [level(band[annulus][::2]) for band in image]
    smooth = uniform_filter(sum((band - c) / s for band, (c, s) in zip(image.astype(float), levels)), 5)
    centre, sigma = level(smooth[annulus])
    expected = annulus & ~maximum_filter(smooth > centre + 2.5 * sigma, 7)
    assert (sky.sky_mask(image) == expected).all() and expected.sum() < annulus.sum()
