"""Leaks to plant: what one class alone may have been through, at any strength.

A strength is in the set's scale (the noise of its outskirts), in pixels, or a share of stamps, as ``unit`` says. They
serve to say what an audit could have missed, and to measure how often it catches them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from dhs.random import Stream, keyed
from dhs.validation.audit import geometry as geo


@dataclass(frozen=True)
class Leak:
    """One kind.

    Attributes
    ----------
    name, unit : str
    plant : callable
        (images (k, bands, y, x) float32, scale (bands,), strength, rng) to changed images, new ones.
    strengths : tuple of float
        Least and most that make sense.
    check, family : str
        That is there for it, and the numbers it looks at; no family for mean images.
    """

    name: str
    unit: str
    plant: Callable
    strengths: tuple[float, float]
    check: str
    family: str = ""


def _wide(scale: np.ndarray) -> np.ndarray:
    return np.asarray(scale, np.float32)[:, None, None]


def _some(images: np.ndarray, share: float, rng) -> np.ndarray:
    return rng.random(len(images)) < share


def lattice(x, scale, s, rng):
    """Values rounded to steps."""
    step = s * _wide(scale)
    return (np.round(x / step) * step).astype(np.float32)


def bits(x, scale, s, rng):
    """Trailing bits of the float32 mantissa set to zero."""
    lost = np.int32(-1) << np.int32(round(s))
    return (np.ascontiguousarray(x, np.float32).view(np.int32) & lost).view(np.float32)


def smoothing(x, scale, s, rng):
    return gaussian_filter(x, (0, 0, s, s), mode="nearest").astype(np.float32)


def resampling(x, scale, s, rng):
    """A linear shift by a part of a pixel."""
    return shift(x, (0, 0, s, s), order=1, mode="nearest").astype(np.float32)


def noise(x, scale, s, rng):
    return x + (s * _wide(scale) * rng.standard_normal(x.shape, np.float32))


def pedestal(x, scale, s, rng):
    return x + s * _wide(scale)


def gradient(x, scale, s, rng):
    """From one side of the frame to the other."""
    ramp = np.linspace(-0.5, 0.5, x.shape[-1], dtype=np.float32)
    return x + s * _wide(scale) * ramp


def watermark(x, scale, s, rng):
    """A fixed pattern of signs on one pixel in fifty, everywhere."""
    own = keyed(0, Stream.AUDIT, 1)
    pattern = np.where(own.random(x.shape[1:]) < 0.02, own.choice([-1.0, 1.0], x.shape[1:]), 0.0)
    return (x + s * _wide(scale) * pattern).astype(np.float32)


def hot_pixel(x, scale, s, rng):
    out = x.copy()
    out[..., x.shape[-2] // 8, x.shape[-1] // 8] += s * np.asarray(scale, np.float32)
    return out


def corner_mark(x, scale, s, rng):
    """Three by three pixels near a corner, one band."""
    out = x.copy()
    out[:, 0, 2:5, 2:5] += np.float32(s * scale[0])
    return out


def stripes(x, scale, s, rng):
    """Every eighth line brighter."""
    out = x.copy()
    out[..., ::8, :] += s * _wide(scale)
    return out


def blocks(x, scale, s, rng):
    """An offset of its own for each 8 x 8 block of each stamp, as strong compression leaves."""
    y, w = (-(-n // 8) for n in x.shape[-2:])
    small = rng.standard_normal((*x.shape[:2], y, w), np.float32)
    large = np.repeat(np.repeat(small, 8, axis=-2), 8, axis=-1)[..., : x.shape[-2], : x.shape[-1]]
    return x + s * _wide(scale) * large


def frame(x, scale, s, rng):
    """The outermost line set to zero, in some stamps."""
    out, some = x.copy(), _some(x, s, rng)
    for line in (np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., :, 0], np.s_[..., :, -1]):
        out[line] = np.where(some[:, None, None], 0, out[line])
    return out


def clipping(x, scale, s, rng):
    """Negative pixels set to zero, in some stamps."""
    return np.where(_some(x, s, rng)[:, None, None, None], np.maximum(x, 0), x).astype(np.float32)


def missing(x, scale, s, rng):
    """A corner without data, in some stamps."""
    out, c = x.copy(), geo.corner(x.shape[-2:])
    out[_some(x, s, rng), :, :c, :c] = np.nan
    return out


def calibration(x, scale, s, rng):
    """All pixels brighter by a share."""
    return (x * np.float32(1 + s)).astype(np.float32)


def core_glow(x, scale, s, rng):
    """A pedestal in the core alone."""
    return x + s * _wide(scale) * (geo.radius(x.shape[-2:]) < geo.CORE)


def moved(x, scale, s, rng):
    """The galaxy off the middle by whole and part pixels, noise kept sharp where they are whole."""
    return shift(x, (0, 0, 0, s), order=1, mode="nearest").astype(np.float32)


LEAKS = (
    Leak("values rounded (lattice)", "step, of the noise", lattice, (1e-4, 3.0), "quantisation", "quantisation"),
    Leak("bits of the mantissa lost", "bits of 23", bits, (1, 20), "quantisation", "quantisation"),
    Leak("smoothing", "sigma, pixels", smoothing, (0.15, 1.0), "noise", "noise"),
    Leak("resampling", "shift, pixels", resampling, (0.01, 0.5), "noise", "noise"),
    Leak("noise added", "of the noise", noise, (0.02, 2.0), "noise", "noise"),
    Leak("flux scale", "share", calibration, (0.005, 1.0), "noise", "noise"),
    Leak("pedestal", "of the noise", pedestal, (0.005, 2.0), "corners", "corners"),
    Leak("gradient across the frame", "of the noise", gradient, (0.02, 4.0), "border", "border"),
    Leak("mark in a corner", "of the noise", corner_mark, (0.05, 5.0), "fixed_pattern"),
    Leak("watermark of single pixels", "of the noise", watermark, (0.05, 5.0), "fixed_pattern"),
    Leak("hot pixel", "of the noise", hot_pixel, (0.05, 10.0), "fixed_pattern"),
    Leak("stripes every 8 lines", "of the noise", stripes, (0.01, 2.0), "blocks_and_stripes", "blocks and stripes"),
    Leak("blocks of 8 x 8", "of the noise", blocks, (0.02, 3.0), "outskirts", "outskirts"),
    Leak("frame of zeros", "share of stamps", frame, (0.01, 1.0), "zeros_and_limits", "zeros and limits"),
    Leak("clipping at zero", "share of stamps", clipping, (0.01, 1.0), "zeros_and_limits", "zeros and limits"),
    Leak("corner without data", "share of stamps", missing, (0.01, 1.0), "zeros_and_limits", "zeros and limits"),
    Leak("light in the core", "of the noise", core_glow, (0.02, 20.0), "core", "core"),
    Leak("off the middle", "pixels", moved, (0.02, 3.0), "centring", "centring"),
)
