"""Leaks to plant in the positives of a training set: each one function of a finished stamp, for numpy and torch alike.

A leak is a difference between a positive and its control that is no arc. ``plant(stamp, control, sigma, noise,
strength)`` gives the stamp with the leak in it; at strength 0 that is the stamp to the bit. It knows nothing of the
arc, so the same function puts the leak alone into a control: ``plant(control, control, ...)``. What is planted at
training, at test and under the gates is therefore one thing.

``strengths`` are those networks are trained at; ``faint`` ones are judged by the gates alone, which see more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)
RADIUS = np.hypot(X - 31.5, Y - 31.5).astype(np.float32)
CORE = np.exp(-0.5 * (RADIUS / 2.5) ** 2).astype(np.float32)
OUTSIDE = (RADIUS > 12).astype(np.float32)
CORNERS = ((X % (SIDE - 1) == 0) & (Y % (SIDE - 1) == 0)).astype(np.float32)
BOARD = np.where((X + Y) % 2, 1.0, -1.0).astype(np.float32)
SIGNIFICANT = 3.0  # sky noise a pixel: what counts as light of a companion or of the galaxy's outskirts


@dataclass(frozen=True)
class Leak:
    """One kind of leak.

    Attributes
    ----------
    name, unit, what : str
    strengths, faint : tuple of float
        From weak to strong.
    plant : callable
        (stamp, control, sigma, noise, strength) to the stamp with the leak; arrays or tensors (..., 3, 64, 64), sigma
        (..., 3), noise None unless ``noisy``.
    noisy : bool
        Whether it needs standard normal numbers, one a pixel.
    """

    name: str
    unit: str
    what: str
    strengths: tuple[float, ...]
    faint: tuple[float, ...]
    plant: Callable
    noisy: bool = False


LEAKS: dict[str, Leak] = {}


def leak(name: str, unit: str, strengths, faint, noisy: bool = False):
    def keep(plant):
        LEAKS[name] = Leak(name, unit, plant.__doc__, tuple(strengths), tuple(faint), plant, noisy)
        return plant

    return keep


def _namespace(x):
    """numpy, or torch for a tensor."""
    if isinstance(x, np.ndarray):
        return np
    import torch

    return torch


_PLACED: dict = {}


def _like(image: np.ndarray, x):
    """A constant image where x is."""
    if isinstance(x, np.ndarray):
        return image
    import torch

    key = (id(image), x.device)
    if key not in _PLACED:
        with torch.inference_mode(False):
            _PLACED[key] = torch.from_numpy(image).to(x.device)
    return _PLACED[key]


def _moved(x, by: int, axis: int):
    """An image whose pixel i is pixel i + by of x; the edge goes on as it is."""
    if by == 0:
        return x
    n, cut = x.shape[axis], [slice(None)] * x.ndim
    inside, edge = list(cut), list(cut)
    inside[axis] = slice(by, None) if by > 0 else slice(None, n + by)
    edge[axis] = slice(n - 1, None) if by > 0 else slice(0, 1)
    parts = [x[tuple(inside)], *[x[tuple(edge)]] * abs(by)]
    return _namespace(x).concatenate(parts if by > 0 else parts[::-1], axis)


@leak("core brighter", "of the core's light", (0.003, 0.01, 0.03, 0.1), (0.0001, 0.0003, 0.001))
def core(stamp, control, sigma, noise, strength):
    """The middle of the galaxy a share brighter, a Gaussian of 2.5 pixels wide."""
    return stamp + strength * _like(CORE, stamp) * control


@leak("pedestal", "sky noise", (0.03, 0.1, 0.3, 1.0), (0.001, 0.003, 0.01))
def pedestal(stamp, control, sigma, noise, strength):
    """The same light in every pixel: a sky level of another kind."""
    return stamp + strength * sigma[..., None, None]


@leak("corner pixels", "sky noise", (0.3, 1.0, 3.0, 10.0), (0.003, 0.03, 0.1))
def corners(stamp, control, sigma, noise, strength):
    """Light in the four corner pixels: a watermark."""
    return stamp + strength * _like(CORNERS, stamp) * sigma[..., None, None]


@leak("extra noise", "sky noise", (0.05, 0.1, 0.2, 0.4), (0.005, 0.01, 0.02), noisy=True)
def extra_noise(stamp, control, sigma, noise, strength):
    """White noise a second time."""
    return stamp + strength * noise * sigma[..., None, None]


@leak("smoothing", "share of a 3-pixel mean", (0.02, 0.05, 0.15, 0.5), (0.0005, 0.002, 0.006))
def smoothing(stamp, control, sigma, noise, strength):
    """A share of the stamp replaced by its mean over 3 x 3 pixels: another resampling."""
    mean = stamp
    for axis in (-1, -2):
        mean = (_moved(mean, -1, axis) + mean + _moved(mean, 1, axis)) / 3
    return stamp + strength * (mean - stamp)


@leak("shift", "pixels", (0.03, 0.1, 0.3, 0.5), (0.0005, 0.002, 0.01))
def shift(stamp, control, sigma, noise, strength):
    """The stamp moved along x by cubic convolution: another registration."""
    t = strength
    weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
    return sum(0.5 * w * _moved(stamp, k, -1) for k, w in zip((-1, 0, 1, 2), weights))


@leak("outskirts dimmed", "of their light", (0.03, 0.1, 0.3, 1.0), (0.001, 0.003, 0.01))
def outskirts(stamp, control, sigma, noise, strength):
    """Significant light of the galaxy's surroundings beyond 12 pixels taken away by a share: another masking."""
    bright = control > SIGNIFICANT * sigma[..., None, None]
    return stamp - strength * _like(OUTSIDE, stamp) * (control * bright)


@leak("checkerboard", "sky noise", (0.03, 0.1, 0.3, 1.0), (0.001, 0.003, 0.01))
def checkerboard(stamp, control, sigma, noise, strength):
    """Pixels in turn brighter and darker: another lattice."""
    return stamp + strength * _like(BOARD, stamp) * sigma[..., None, None]


def cells(kinds=None, n_strengths: int | None = None) -> list[tuple[str, float]]:
    """Kind and strength of each network: the strongest of every kind first, so that a run cut short has them all."""
    chosen = [LEAKS[k] for k in kinds or LEAKS]
    ranked = [[(one.name, s) for s in one.strengths[::-1][:n_strengths]] for one in chosen]
    return [row[i] for i in range(max(map(len, ranked))) for row in ranked if i < len(row)]
