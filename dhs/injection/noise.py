"""Random streams and shot noise.

Each pair has one key, ``"<seed>:<pair_id>"``. A counter-based generator (Philox, Salmon et al. 2011) is keyed by
it, and each purpose has its own region of the counter, so a pair is the same whoever makes it and in whatever
order.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream is for: the third word of the Philox counter."""

    DRAW = 0
    SHOT = 1
    NEGATIVE = 2
    NEGATIVE_SHOT = 3


def rng_key(seed: int, pair_id: int) -> str:
    return f"{seed}:{pair_id}"


def generator(key: str, stream: Stream, attempt: int = 0) -> np.random.Generator:
    """The stream of one pair, purpose and attempt.

    Parameters
    ----------
    key : str
        ``"<seed>:<pair_id>"``, the column ``rng_key``.
    stream : Stream
    attempt : int
        Draws rejected before this one.
    """
    seed, _, pair_id = key.partition(":")
    return np.random.Generator(np.random.Philox(key=[int(seed), int(pair_id)], counter=[0, 0, int(stream), attempt]))


def shot_noise(light: np.ndarray, gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photon noise that added light brings with it.

    Parameters
    ----------
    light : ndarray, (3, y, x)
        Noiseless light, nanomaggies; negative values (interpolation) bring none.
    gain : array_like, (3,)
        Electrons per nanomaggy.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, (3, y, x) float32
        Poisson deviate minus its mean, nanomaggies; zero mean, variance light / gain.
    """
    gain = np.asarray(gain, dtype=np.float64)[:, None, None]
    electrons = np.clip(np.asarray(light, dtype=np.float64), 0, None) * gain
    return ((rng.poisson(electrons) - electrons) / gain).astype(np.float32)
