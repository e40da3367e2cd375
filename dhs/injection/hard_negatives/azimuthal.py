"""``azimuthal_shuffle``: blocks of the arc permuted about the lens: the radial profile stays, the arc does not.

Two traps are avoided. Shuffling pixels of the final image would also destroy its noise texture; shuffling pixels of
the arc before the PSF would smear it into an Einstein ring with label 0. So whole blocks, at least one PSF FWHM
long, are permuted within each annulus, independently per annulus, before PSF and noise.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dhs.injection.hard_negatives.base import ArcScene, NoNegative, hard_negative
from dhs.survey.facts import PIXEL_SCALE

MIN_CONTRAST = 0.4  # azimuthal rms over mean, in the annulus that holds the light; a uniform ring has 0
MAX_OVERLAP = 0.9  # cosine between arc and result; an unchanged arc has 1
_SECTORS = 16


@hard_negative("azimuthal_shuffle", label="azimuthal shuffle", of_arc_light=True, unlike_arc=True)
def azimuthal_shuffle(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """(n, n): the arc's light, its blocks exchanged; a ring is not shuffled, it would stay one."""
    if contrast(scene.arc, scene.lens.x, scene.lens.y) < MIN_CONTRAST:
        raise NoNegative("arc_is_a_ring")
    return azimuthal_blocks(scene.light, scene.lens.x, scene.lens.y, scene.psf_fwhm, scene.scale, rng)


def azimuthal_blocks(
    light: np.ndarray, x: float, y: float, block_arcsec: float, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Permute azimuthal blocks of each annulus about (x, y).

    Parameters
    ----------
    light : ndarray, (n, n)
        Flux per sub-pixel, before the PSF.
    x, y : float
        Centre, arcsec from the array's centre.
    block_arcsec : float
        Annulus width, and the least length of a block along the circle.
    scale : float
        Arcsec a sub-pixel.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, (n, n) float32
        The sum of ``light`` is kept. An annulus too small for two blocks is turned by a random angle.
    """
    n = light.shape[0]
    cx, cy, width = x / scale + 0.5 * (n - 1), y / scale + 0.5 * (n - 1), block_arcsec / scale
    farthest = np.hypot(*(np.maximum(c, n - 1 - c) for c in (cx, cy)))
    blocks = (2 * np.pi * (np.arange(int(farthest / width) + 1) + 0.5)).astype(np.int64)
    offsets = rng.uniform(0, 2 * np.pi, len(blocks))
    starts = np.concatenate([[0], np.cumsum(blocks)])
    turns = np.empty(starts[-1])
    for k, count in enumerate(blocks):
        shift = (rng.permutation(count) - np.arange(count)) * (2 * np.pi / count)
        turns[starts[k] : starts[k + 1]] = shift if count > 1 else offsets[k]
    light = np.ascontiguousarray(light, np.float32)
    out = _turned(light, cx, cy, width, blocks, offsets, starts, np.cos(turns), np.sin(turns))
    total = float(out.sum())
    return out * np.float32(float(light.sum()) / total) if total > 0 else out


@njit(cache=True, error_model="numpy")
def _turned(light, cx, cy, width, blocks, offsets, starts, cosines, sines):
    n = light.shape[0]
    out = np.zeros_like(light)
    last = 0
    for j in range(n):
        for i in range(n):
            if light[j, i] > 0:
                last = max(last, int(np.sqrt((i - cx) ** 2 + (j - cy) ** 2) / width))
    for j in range(n):
        for i in range(n):
            dx, dy = i - cx, j - cy
            ring = int(np.sqrt(dx * dx + dy * dy) / width)
            if ring > last:
                continue
            angle = (np.arctan2(dy, dx) - offsets[ring]) % (2 * np.pi)
            k = starts[ring] + min(int(angle / (2 * np.pi) * blocks[ring]), blocks[ring] - 1)
            px, py = cx + cosines[k] * dx - sines[k] * dy, cy + sines[k] * dx + cosines[k] * dy
            if px < 0 or py < 0 or px >= n - 1 or py >= n - 1:
                continue
            a, b = int(px), int(py)
            u, v = px - a, py - b
            low = (1 - u) * light[b, a] + u * light[b, a + 1]
            high = (1 - u) * light[b + 1, a] + u * light[b + 1, a + 1]
            out[j, i] = (1 - v) * low + v * high
    return out


def contrast(image: np.ndarray, x: float, y: float) -> float:
    """Azimuthal contrast of light: rms over mean around the annulus that holds most of it.

    Parameters
    ----------
    image : ndarray, (n, n)
        Noiseless light of one band after the PSF.
    x, y : float
        Centre, arcsec from the stamp's centre.
    """
    n = image.shape[0]
    sectors = _sectors(image, x / PIXEL_SCALE + 0.5 * (n - 1), y / PIXEL_SCALE + 0.5 * (n - 1))
    means = sectors[0][sectors[1] > 0] / sectors[1][sectors[1] > 0]
    return float(means.std() / means.mean()) if means.mean() > 0 else 0.0


@njit(cache=True, error_model="numpy")
def _sectors(image, cx, cy):
    """Sums and counts over sectors of the annulus, 3 pixels wide, about the brightest ring."""
    n = image.shape[0]
    rings = np.zeros(2 * n)
    for j in range(n):
        for i in range(n):
            rings[min(int(np.sqrt((i - cx) ** 2 + (j - cy) ** 2)), 2 * n - 1)] += image[j, i]
    centre = np.argmax(rings) + 0.5
    out = np.zeros((2, _SECTORS))
    for j in range(n):
        for i in range(n):
            if abs(np.sqrt((i - cx) ** 2 + (j - cy) ** 2) - centre) <= 1.5:
                k = min(int((np.arctan2(j - cy, i - cx) / (2 * np.pi) % 1.0) * _SECTORS), _SECTORS - 1)
                out[0, k] += image[j, i]
                out[1, k] += 1
    return out


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine between two images: 1 where the shuffle has changed nothing."""
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 0 else 0.0
