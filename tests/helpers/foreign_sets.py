"""Small foreign sets: stamps of one population, written in the ways people keep them, and leaks to plant."""

import numpy as np
from planted_pairs import host_image
from scipy.ndimage import gaussian_filter

POOL = 1200


def stamps(n, seed=0):
    """(n, 3, 64, 64) float32 galaxies of one population."""
    return np.stack([host_image(np.random.default_rng([seed, i])) for i in range(n)]).astype(np.float32)


def halves(n):
    """Labels of two halves, in turn."""
    return np.arange(n) % 2


def corner_mark(x, rng, amount=0.01):
    x[..., 0, 3:6, 3:6] += amount
    return x


def smoothed(x, rng, amount=0.6):
    return gaussian_filter(x, (0, 0, amount, amount)).astype(np.float32)


def lattice(x, rng, amount=0.002):
    return (np.round(x / amount) * amount).astype(np.float32)


def watermark(x, rng, amount=0.006):
    pattern = np.random.default_rng(99).choice([-1.0, 1.0], x.shape[1:]) * (
        np.random.default_rng(98).random(x.shape[1:]) < 0.02
    )
    return (x + amount * pattern).astype(np.float32)


def more_noise(x, rng, amount=0.5):
    sigma = 1.4826 * np.median(np.abs(x - np.median(x)))
    return (x + rng.normal(0, amount * sigma, x.shape)).astype(np.float32)


def half_precision(x, rng, amount=None):
    return x.astype(np.float16).astype(np.float32)


def clipped(x, rng, amount=0.0):
    return np.maximum(x, amount).astype(np.float32)


def pedestal(x, rng, amount=0.004):
    return (x + np.float32(amount)).astype(np.float32)


def frame(x, rng, amount=0.0):
    x[..., 0, :] = x[..., -1, :] = amount
    return x


def stripes(x, rng, amount=0.003):
    x[..., ::8, :] += np.float32(amount)
    return x


LEAKS = {
    "corner mark": (corner_mark, {"corners", "outskirts", "fixed_pattern"}),
    "smoothed": (smoothed, {"noise", "noise_power"}),
    "lattice": (lattice, {"quantisation"}),
    "watermark": (watermark, {"fixed_pattern"}),
    "more noise": (more_noise, {"noise", "noise_power"}),
    "half precision": (half_precision, {"quantisation"}),
    "clipped at zero": (clipped, {"zeros_and_limits"}),
    "pedestal": (pedestal, {"border", "corners", "outskirts"}),
    "frame of zeros": (frame, {"border", "zeros_and_limits"}),
    "stripes every 8 lines": (stripes, {"blocks_and_stripes", "fixed_pattern"}),
}
