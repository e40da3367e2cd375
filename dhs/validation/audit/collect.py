"""One pass over the stamps: numbers, hashes, embeddings, mean images; memory holds a batch of pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import uniform_filter

from dhs import engines
from dhs.engines import Engine, Progress
from dhs.errors import Refusal
from dhs.random import Stream, keyed
from dhs.stats import duplicates
from dhs.validation.audit import geometry as geo
from dhs.validation.audit.measure import high_pass, measure
from dhs.validation.audit.stamps import Stamps

CHUNK, BATCH = 512, 128
BLOCKS = 48  # of groups a class, for mean images
SIDE = 64  # of what is compared with duplicates
ROUND = 0.69  # of half the side, as the 22 pixels that are compared of 64
EDGE_PX = 2.0  # a stamp set in zeros is moved by so much when its light is centred
FRESH_EVERY = 8
MAPS = ("fixed pattern", "noise", "light")
CLIP = 5.0
SERIAL_BELOW = 3000


@dataclass
class Measured:
    """Usable stamps, of one chunk or all of them.

    Attributes
    ----------
    places : ndarray of int, (n,)
        Of the set, in order.
    families : dict of str to (ndarray (n, d), list of str)
    hashes : ndarray of uint64, (n, 3)
        Of the pixels, the same for all eight turns; of the pixels as they lie; of the outermost lines, 0 where those
        are one value.
    vectors, flux, fresh : ndarray
        Of `dhs.stats.duplicates.embed`; ``fresh`` under added noise, NaN where that was not done.
    sigma : ndarray, (n, bands)
        Noise a pixel, own unit.
    missing : ndarray, (n,)
        Share of pixels that are NaN.
    sums : dict of (class, block) to (ndarray (maps, bands, y, x), int)
        Sums of images, and over how many.
    about : list of dict
    refusals : list of Refusal
    """

    places: np.ndarray
    families: dict
    hashes: np.ndarray
    vectors: np.ndarray
    flux: np.ndarray
    fresh: np.ndarray
    sigma: np.ndarray
    missing: np.ndarray
    sums: dict = field(default_factory=dict)
    about: list = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What chunks share: the stamps, the class of each place (-1 unknown) and its block."""

    stamps: Stamps
    classes: np.ndarray
    blocks: np.ndarray
    seed: int


def blocks_of(groups: np.ndarray, seed: int) -> np.ndarray:
    """A block of each row; a group is in one."""
    codes = np.unique(groups, return_inverse=True)[1]
    order = keyed(seed, Stream.HALVES).permutation(int(codes.max(initial=-1)) + 1)
    return order[codes] % BLOCKS


def collect(context: Context, opened=None, arguments: tuple = (), engine: Engine | str = "serial") -> Measured:
    """Measure every stamp.

    Parameters
    ----------
    context : Context
    opened, arguments
        A function that makes the context again in a worker process, and what it takes; without one the work is done
        here.
    engine : Engine or str
        It changes no number.
    """
    n = len(context.stamps.found)
    chunks = [range(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
    if opened is None or n < SERIAL_BELOW:
        opened, arguments, engine = _same, (context,), Engine("serial")
    sizes = Progress("audit", "stamp", [len(c) for c in chunks])
    parts = sorted(
        engines.run(one_chunk, chunks, opened, arguments, Engine.of(engine), sizes),
        key=lambda p: p.places[0] if len(p.places) else -1,
    )
    return _together(parts)


def _same(context: Context) -> Context:
    return context


def one_chunk(context: Context, places: range) -> Measured:
    """Measure some places, a batch at a time."""
    found = [_batch(context, range(i, min(i + BATCH, places.stop))) for i in range(places.start, places.stop, BATCH)]
    return _together(found)


def _batch(context: Context, places: range) -> Measured:
    stamps = context.stamps
    keep, images, about, refusals = stamps.read(places)
    families = measure(images, stamps.scale, stamps.bands) if len(images) else {}
    sky, sigma = _sky(images, stamps.scale)
    light = np.nan_to_num(images - sky[..., None, None])
    vectors, flux, fresh = _embedded(light / stamps.scale[:, None, None], keep, context.seed)
    sums: dict = {}
    if len(images):
        maps = _maps(light, stamps.scale)
        for label in (0, 1):
            mine = context.classes[keep] == label
            for block in np.unique(context.blocks[keep][mine]):
                rows = mine & (context.blocks[keep] == block)
                sums[label, int(block)] = (maps[:, rows].sum(axis=1), int(rows.sum()))
    missing = 1 - np.isfinite(images).reshape(len(images), -1).mean(axis=1) if len(images) else np.empty(0)
    return Measured(keep, families, hashes(images), vectors, flux, fresh, sigma, missing, sums, about, refusals)


def _sky(images: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, bands) median and noise a pixel of the outskirts; a stamp without noise has a hundredth of the set's."""
    if not len(images):
        return np.empty((0, len(scale))), np.empty((0, len(scale)))
    far = images[..., geo.outskirts(images.shape[-2:])]
    with np.errstate(all="ignore"):
        sky = np.nan_to_num(np.nanmedian(far, axis=-1))
        sigma = 1.4826 * np.nan_to_num(np.nanmedian(np.abs(far - sky[..., None]), axis=-1))
    return sky, np.maximum(sigma, 0.01 * scale).astype(np.float32)


def inside(shape: tuple[int, int], side: int = SIDE) -> float:
    """Pixels from the middle within which `square` sets a stamp's own pixels, wherever its light is centred."""
    return side / 2 if min(shape) >= side else ROUND * min(shape) / 2 - EDGE_PX


def square(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The middle of stamps on ``side`` pixels; smaller ones are cut round and set in zeros, so that no frame counts."""
    y, x = images.shape[-2:]
    images = images if min(y, x) >= side else images * (geo.radius((y, x)) < ROUND).astype(np.float32)
    top, left = max(y - side, 0) // 2, max(x - side, 0) // 2
    part = images[..., top : top + side, left : left + side]
    a, b = side - part.shape[-2], side - part.shape[-1]
    if a or b:
        around = ((a // 2, a - a // 2), (b // 2, b - b // 2))
        part = np.pad(part, ((0, 0),) * (part.ndim - 2) + around)
    return part


def _embedded(light: np.ndarray, keep: np.ndarray, seed: int):
    """Vectors and flux of stamps in the set's scale, and the vectors of one in `FRESH_EVERY` with noise added."""
    if not len(light):
        return np.empty((0, 0), np.float32), np.empty(0, np.float32), np.empty((0, 0), np.float32)
    small = square(np.clip(light, -1e6, 1e6)).astype(np.float32)
    vectors, flux = duplicates.embed(small)
    fresh = np.full_like(vectors, np.nan)
    some = np.flatnonzero(keep % FRESH_EVERY == 0)
    if len(some):
        rngs = [keyed(seed, Stream.FRESH_NOISE, int(keep[i])) for i in some]
        noise = [rng.standard_normal(small[0].shape, np.float32) for rng in rngs]
        fresh[some] = duplicates.embed(small[some] + np.stack(noise))[0]
    return vectors, flux, fresh


def _maps(light: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(maps, k, bands, y, x): the pixel against its neighbours, its square, and the light, each clipped.

    The first two are in the set's scale and clipped, so that no bright neighbour dominates; a stamp with more noise
    than others shows in the second.
    """
    scale = scale[:, None, None].astype(np.float32)
    rough = np.clip(high_pass(light.astype(np.float32)) / scale, -CLIP, CLIP)
    smooth = uniform_filter(light / scale, (0, 0, 3, 3), mode="nearest")
    return np.stack([rough, rough**2, np.arcsinh(smooth)]).astype(np.float32)


_MULTIPLIERS: dict = {}


def _multipliers(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Odd 64-bit weights a pixel: the same on all that the square's symmetries exchange; free; of the frame alone."""
    if shape not in _MULTIPLIERS:
        rng = keyed(0, Stream.AUDIT)
        _, y, x = shape
        a, b = (np.abs(2 * np.arange(n) - (n - 1)) for n in (y, x))
        low, high = np.minimum.outer(a, b), np.maximum.outer(a, b)
        most = 2 * max(y, x) + 2
        table = rng.integers(0, 2**63, (shape[0], most, most), dtype=np.uint64) * 2 + 1
        free = rng.integers(0, 2**63, shape, dtype=np.uint64) * 2 + 1
        frame = free.copy()
        frame[:, geo.FRAME_PX : -geo.FRAME_PX, geo.FRAME_PX : -geo.FRAME_PX] = 0
        _MULTIPLIERS[shape] = (table[:, low, high].reshape(-1), free.reshape(-1), frame.reshape(-1))
    return _MULTIPLIERS[shape]


def hashes(images: np.ndarray) -> np.ndarray:
    """(k, 3) of the pixels; see `Measured`."""
    if not len(images):
        return np.empty((0, 3), np.uint64)
    weights = _multipliers(images.shape[1:])
    flat = (np.nan_to_num(images) + np.float32(0)).reshape(len(images), -1)
    bits = flat.view(np.uint32).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits ^= bits >> np.uint64(29)
    with np.errstate(over="ignore"):
        out = np.stack([(bits * w).sum(axis=1) for w in weights], axis=1)
    out[np.ptp(flat[:, weights[2] > 0], axis=1) == 0, 2] = 0
    return out


def _together(parts: list[Measured]) -> Measured:
    whole = [p for p in parts if len(p.places)]
    families = {}
    if whole:
        for name in whole[0].families:
            families[name] = (np.concatenate([p.families[name][0] for p in whole]), whole[0].families[name][1])
    sums: dict = {}
    for part in whole:
        for key, (image, n) in part.sums.items():
            old, m = sums.get(key, (0.0, 0))
            sums[key] = (old + image, m + n)
    used = whole or parts
    stacked = {
        name: np.concatenate([getattr(p, name) for p in used])
        for name in ("places", "hashes", "vectors", "flux", "fresh", "sigma", "missing")
    }
    about = [a for p in parts for a in p.about]
    return Measured(
        families=families, sums=sums, about=about, refusals=[r for p in parts for r in p.refusals], **stacked
    )
