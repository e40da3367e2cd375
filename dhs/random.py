"""Every random stream of the package, in one list.

A stream is a counter-based generator (Philox, Salmon et al. 2011) keyed by a seed and an index: a pair, a mock galaxy,
an epoch. Its purpose is a region of the counter (`Stream`), so no two purposes share a number, whatever the index, and
anything is the same whoever makes it and in whatever order. There is no global generator.

A pair's key is ``"<seed>:<pair_id>"``, or ``"<seed>:<pair_id>:<epoch>"`` where it is made afresh for an epoch of
training; a stored data set is epoch 0. What a name decides, for instance the colours of a catalogue's galaxy, is keyed
by the name's hash instead (`of_text`).
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, unique

import numpy as np

HOST_ORDER = 2**63
"""Index of the order in which a data set takes its hosts; no pair has it."""


@unique
class Stream(IntEnum):
    """What a stream is for: the third word of the Philox counter. Index in brackets."""

    DRAW = 0  # lens, source position and acceptance (pair)
    SHOT = 1  # the arc's photon noise (pair)
    NEGATIVE = 2  # kind and light of the hard negative (pair)
    NEGATIVE_SHOT = 3  # its photon noise (pair)
    MOCK_HOST = 16  # a mock host (host)
    MOCK_NEGATIVE = 17  # a survey-like negative (galaxy)
    MOCK_POSITION = 18  # positions of mock galaxies (block)
    MOCK_SOURCE = 19  # a mock source galaxy (source)
    EPOCH = 32  # order and negatives of a training epoch (epoch)
    AUGMENT = 33  # turns, flips and core dropout (epoch; the attempt is the step)
    TRAIN_HOSTS = 34  # which hosts a training run uses, and what for
    READ_ORDER = 35  # order in which a reader takes row groups (epoch)
    TRAIN_NEGATIVES = 36  # pairs whose negative is a galaxy of a pool's (epoch)
    POOL_ORDER = 37  # order in which a pool's galaxies are met (set; the epoch is the round)
    POOL_REST = 38  # galaxies kept beside those mined
    BOOTSTRAP = 48  # weights of clusters (axis)
    SIMULATION = 49  # samples whose intervals are counted (sample)
    LABEL_SWAP = 50  # labels exchanged within pairs
    SAMPLE = 51  # rows for the eye, and rows for a comparison (gate)
    PERMUTATION = 52  # labels exchanged for a null distribution
    FRESH_NOISE = 54  # sky noise on stamps looked for a second time (pair)
    MEASURED = 55  # rows whose costly measurements are made, and renderings tried (split)
    HALVES = 53  # a set of stamps divided by hosts
    PERFECT = 56  # calibration errors of perfect probabilities
    SHEET = 57  # order of a blind contact sheet, and what is planted in it
    AUDIT = 58  # weights that name a picture's pixels, and leaks planted for practice (purpose)
    STUDY = 64  # toys and checks of the book (study)


def keyed(seed: int, stream: Stream, index: int = 0, *, epoch: int = 0, attempt: int = 0) -> np.random.Generator:
    """The generator of a seed, purpose and index, at its beginning.

    Parameters
    ----------
    seed, index : int
        0 to 2^64 - 1.
    stream : Stream
    epoch, attempt : int
        Further words of the counter. 2^66 numbers lie between two of either.
    """
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, epoch, int(stream), attempt]))


def rng_key(seed: int, pair_id: int, epoch: int = 0) -> str:
    """The key of a pair."""
    return f"{seed}:{pair_id}:{epoch}" if epoch else f"{seed}:{pair_id}"


def generator(key: str, stream: Stream, attempt: int = 0) -> np.random.Generator:
    """The stream of one pair, purpose and attempt.

    Parameters
    ----------
    key : str
        ``"<seed>:<pair_id>[:<epoch>]"``, the column ``rng_key``.
    stream : Stream
    attempt : int
        Draws rejected before this one.
    """
    seed, pair_id, epoch = (int(part) for part in f"{key}:0".split(":")[:3])
    return keyed(seed, stream, pair_id, epoch=epoch, attempt=attempt)


def stable_key(text: str) -> int:
    """64-bit integer of a text, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def of_text(text: str) -> np.random.Generator:
    """The generator a text decides: a name and a purpose, as in ``redshift:xdf-017``."""
    return np.random.Generator(np.random.Philox(key=stable_key(text)))
