"""Hard negatives by azimuthal block shuffle: the radial profile stays, the arc does not.

Two traps are avoided. Shuffling pixels of the final image would also destroy its noise texture; shuffling pixels of
the arc before the PSF would smear it into an Einstein ring with label 0. So whole blocks, at least one PSF FWHM
long, are permuted within each annulus, independently per annulus, before PSF and noise.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from dhs.survey.facts import PIXEL_SCALE

MIN_CONTRAST = 0.4  # azimuthal rms over mean, in the annulus that holds the light; a uniform ring has 0
MAX_OVERLAP = 0.9  # cosine between arc and result; an unchanged arc has 1


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
    ndarray, (n, n)
        An annulus too small for two blocks is turned by a random angle.
    """
    n = light.shape[0]
    axis = (np.arange(n) - (n - 1) / 2) * scale
    dx, dy = axis[None, :] - x, axis[:, None] - y
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % (2 * np.pi)
    ring = (radius / block_arcsec).astype(int)
    turned = np.empty_like(angle)
    last = int(ring[light > 0].max(initial=0))
    for index in range(last + 1):
        inside = ring == index
        blocks = int(2 * np.pi * (index + 0.5))
        offset = rng.uniform(0, 2 * np.pi)
        if blocks < 2:
            turned[inside] = angle[inside] + offset
            continue
        step = 2 * np.pi / blocks
        relative = (angle[inside] - offset) % (2 * np.pi)
        block = np.minimum((relative / step).astype(int), blocks - 1)
        turned[inside] = angle[inside] + (rng.permutation(blocks)[block] - block) * step
    keep = ring <= last
    out = np.zeros_like(light)
    columns = (x + radius[keep] * np.cos(turned[keep])) / scale + (n - 1) / 2
    lines = (y + radius[keep] * np.sin(turned[keep])) / scale + (n - 1) / 2
    out[keep] = map_coordinates(light, [lines, columns], order=1, mode="constant")
    total = out.sum()
    return out * (light.sum() / total) if total > 0 else out


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
    axis = np.arange(n) - (n - 1) / 2
    dx, dy = axis[None, :] - x / PIXEL_SCALE, axis[:, None] - y / PIXEL_SCALE
    radius = np.hypot(dx, dy)
    rings = np.bincount(radius.astype(int).ravel(), weights=image.ravel())
    centre = int(np.argmax(rings)) + 0.5
    band = np.abs(radius - centre) <= 1.5
    sector = ((np.arctan2(dy, dx)[band] % (2 * np.pi)) / (2 * np.pi) * 16).astype(int)
    counts = np.bincount(sector, minlength=16)
    means = np.bincount(sector, weights=image[band], minlength=16)[counts > 0] / counts[counts > 0]
    return float(means.std() / means.mean()) if means.mean() > 0 else 0.0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine between two images: 1 where the shuffle has changed nothing."""
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 0 else 0.0
