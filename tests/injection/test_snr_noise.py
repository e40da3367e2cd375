"""SNRs and random streams against direct computation and Monte Carlo."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from dhs.injection.noise import shot_noise, updated_invvar
from dhs.injection.snr import snr_matched, snr_maxpix
from dhs.random import Stream, generator, rng_key


def arc(rng):
    yy, xx = np.mgrid[:64, :64]
    ring = np.exp(-0.5 * ((np.hypot(xx - 31.5, yy - 31.5) - 6) / 2) ** 2) * (xx > 31)
    return ring[None] * np.array([0.7, 1.0, 1.1])[:, None, None]


def test_matched_snr_of_white_noise_is_the_quadratic_sum():
    a, sigma = arc(None), 0.3
    assert snr_matched(a, np.full_like(a, sigma**2), 0.0) == pytest.approx(np.sqrt((a**2).sum()) / sigma)


def test_matched_snr_with_correlated_noise_agrees_with_monte_carlo():
    """The filter's output on pure correlated noise has the scatter that the formula says."""
    rng, a = np.random.default_rng(3), arc(None)
    kernel = np.array([[0.0, 0.12, 0.0], [0.12, 1.0, 0.12], [0.0, 0.12, 0.0]])
    lag1 = (kernel * np.roll(kernel, 1, axis=1)).sum() / (kernel**2).sum()
    outputs = []
    for _ in range(400):
        white = rng.normal(size=(3, 72, 72))
        noise = np.stack([correlate(w, kernel)[4:-4, 4:-4] for w in white]) / np.sqrt((kernel**2).sum())
        outputs.append((a * noise).sum())
    measured = (a**2).sum() / np.std(outputs)
    assert snr_matched(a, np.ones_like(a), lag1) == pytest.approx(measured, rel=0.12)
    assert snr_matched(a, np.ones_like(a), lag1) < snr_matched(a, np.ones_like(a), 0.0)


def test_masked_pixels_do_not_count():
    a = arc(None)
    variance = np.ones_like(a)
    variance[:, :, 40:] = np.inf
    assert snr_matched(a, variance, 0.0) == pytest.approx(np.sqrt((a[:, :, :40] ** 2).sum()))


def test_maxpix_is_the_brightest_r_pixel_over_the_r_sky():
    a = arc(None)
    assert snr_maxpix(a, np.array([9.0, 0.1, 9.0])) == pytest.approx(a[1].max() / 0.1)


def test_shot_noise_has_zero_mean_and_variance_light_over_gain():
    light, gain = np.full((3, 200, 200), 0.02), np.array([5e4, 3e4, 1e3])
    noise = shot_noise(light, gain, np.random.default_rng(1))
    assert noise.dtype == np.float32
    for band in range(3):
        expected = 0.02 / gain[band]
        assert noise[band].var() == pytest.approx(expected, rel=0.03)
        assert abs(noise[band].mean()) < 5 * np.sqrt(expected / 40000)


def test_dark_pixels_bring_no_noise_and_take_nothing_from_the_stream():
    """Against a Poisson draw for every pixel, dark ones included: what is stored stays what it was."""
    light = np.random.default_rng(3).normal(0, 2e-4, (3, 64, 64)).astype(np.float32)
    light[:, 10:40] = 0.0
    light[1, 50] = 3e-2
    gain = np.array([5e4, 3e4, 1e3])
    electrons = np.clip(light.astype(np.float64), 0, None) * gain[:, None, None]
    expected = ((np.random.default_rng(4).poisson(electrons) - electrons) / gain[:, None, None]).astype(np.float32)
    noise = shot_noise(light, gain, np.random.default_rng(4))
    np.testing.assert_array_equal(noise, expected)
    assert noise.any() and not noise[light <= 0].any()


def test_streams_depend_on_key_purpose_and_attempt_alone():
    def first(*args):
        return generator(*args).integers(2**63)

    key = rng_key(7, 12)
    assert first(key, Stream.DRAW, 3) == first("7:12", Stream.DRAW, 3)
    values = {first(rng_key(s, p), stream, a) for s in (7, 8) for p in (0, 1) for stream in Stream for a in (0, 1)}
    assert len(values) == 2 * 2 * len(Stream) * 2


def test_an_infinite_gain_brings_no_noise():
    light = np.full((3, 4, 4), 0.01)
    assert not shot_noise(light, [np.inf] * 3, np.random.default_rng(1)).any()


def test_inverse_variance_is_updated_for_the_light_that_was_added():
    """1 / invvar' = 1 / invvar + light / gain, and the noise of many stamps agrees."""
    rng, gain = np.random.default_rng(2), np.array([3e4, 4e4, 5e4])
    invvar = np.full((3, 6, 6), 1 / 0.003**2, np.float32)
    invvar[1, 2, 3] = 0.0
    light = rng.uniform(-0.001, 0.5, (3, 6, 6))
    updated = updated_invvar(invvar, light, gain)
    assert updated[1, 2, 3] == 0
    noise = np.stack([shot_noise(light, gain, rng) + rng.normal(0, 0.003, light.shape) for _ in range(4000)])
    good = invvar > 0
    assert np.mean(noise.var(axis=0)[good] * updated[good]) == pytest.approx(1.0, abs=0.02)
