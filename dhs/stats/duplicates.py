"""The same picture twice: found by content, whatever it is called, turned, mirrored, shifted or noisy.

Two steps. **Propose**: an embedding that does not change under the eight symmetries of a square, nor under a shift:
the picture is put on its light's centroid, divided by its flux, smoothed, and described on rings by the amplitudes of
its angular Fourier modes. Fresh noise moves a vector a little; how far is measured by adding noise, and pictures nearer
than that are proposed. **Verify**: pixel by pixel, over the eight turns and all small shifts, the difference of the two
must be no more than their noise. Everything works on arrays: of hosts, of source galaxies, of somebody else's stamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy import fft
from scipy.spatial import cKDTree

from dhs.stats.pixels import radius_map

RINGS_PX = (0.0, 1.5, 3.0, 4.5, 6.5, 9.0, 12.0, 15.5, 19.5, 24.0)
MODES = 4  # angular modes 0 to 4
FLUX_PX = 6.0  # the flux that normalises: within this radius
MAX_SHIFT_PX = 5
COMPARED_PX = 22.0
DIMENSIONS = 24
SMOOTH_PX = 1.5  # of pictures compared pixel by pixel
CORRELATED = 1.6  # sum of the noise's correlation (`dhs.survey.sky`)
LIT, MIN_LIT = 3.0, 30  # noise of the smoothed difference from which a pixel counts; pixels needed, all bands
MIN_SKY = 200  # pixels without light, all bands, from which noise is compared
FLUX_RANGE = 1.5
REACH, LEAST_REACH, NEIGHBOURS = 2.0, 3.0, 4  # of proposals: over the noise, at least, and how many a picture
SAME = 1.3  # excess below which two pictures with surroundings are one; two as alike as any differ by 3 and more
MIN_LOPSIDED = 40
BRIGHT = 0.05  # of the light: a bright centre is lopsided by that much without a neighbour
SHARED_NOISE, SURE = 0.15, 6.0  # correlation; and its errors, for the best of many turns and proposals is looked at
TURNS = 8


@dataclass(frozen=True)
class Match:
    """Two pictures that are one.

    Attributes
    ----------
    first, second : int
        Places in the arrays compared.
    turn : int
        0 to 7: quarter-turns, and four more after mirroring (`turned`).
    excess, noise : float
        As in `Likeness`.
    """

    first: int
    second: int
    turn: int
    excess: float
    noise: float


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight symmetries of a square, of the last two axes."""
    return np.rot90(image[..., ::-1] if turn >= 4 else image, turn % 4, axes=(-2, -1))


@cache
def _frequencies(side: int) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]


@cache
def _rings(side: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Real and imaginary parts of ring modes as one matrix (side^2, k), and how many rings there are."""
    offset = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    columns = []
    for low, high in pairwise(RINGS_PX):
        member = ((radius >= low) & (radius < high)).astype(float)
        for m in range(MODES + 1):
            columns.append(member * np.exp(1j * m * angle) / np.sqrt(member.sum()))
    matrix = np.stack(columns, axis=-1).reshape(side * side, -1)
    return matrix.real.astype(np.float32), matrix.imag.astype(np.float32), len(RINGS_PX) - 1


def _centroid(light: np.ndarray, steps: int = 10, sigma: float = 3.0) -> np.ndarray:
    """(n, 2) x, y from the middle under a Gaussian weight that follows it; light (n, side, side)."""
    n, side, _ = light.shape
    axis = (np.arange(side) - (side - 1) / 2).astype(np.float32)
    at = np.zeros((n, 2), np.float32)
    for _ in range(steps):
        wx = np.exp(-0.5 * ((axis - at[:, :1]) / sigma) ** 2)
        wy = np.exp(-0.5 * ((axis - at[:, 1:]) / sigma) ** 2)
        columns, rows = np.einsum("nyx,ny->nx", light, wy), np.einsum("nyx,nx->ny", light, wx)
        total = np.maximum((columns * wx).sum(axis=1), 1e-30)
        move = np.stack([(columns * wx * (axis - at[:, :1])).sum(1), (rows * wy * (axis - at[:, 1:])).sum(1)], axis=1)
        at += np.clip(2.0 * move / total[:, None], -1.0, 1.0)
        at = np.clip(at, -8.0, 8.0)
    return at


def centred(images: np.ndarray, smooth: float = 0.0) -> np.ndarray:
    """Pictures shifted, by less than a pixel too, so that their light's centroid lies in the middle.

    ``smooth`` is the standard deviation in pixels of a Gaussian to smooth with.
    """
    side = images.shape[-1]
    at = _centroid(np.ascontiguousarray(images.mean(axis=1)))
    fy, fx = _frequencies(side)
    phase = np.exp(2j * np.pi * (fx * at[:, 0, None, None] + fy * at[:, 1, None, None]))
    phase *= np.exp(-2.0 * (np.pi * smooth) ** 2 * (fx**2 + fy**2))
    return fft.irfft2(fft.rfft2(images) * phase[:, None], s=(side, side)).astype(np.float32)


def embed(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a picture is, whichever way it is turned.

    Parameters
    ----------
    images : ndarray, (n, bands, side, side)
        In units in which their bands weigh alike, e.g. sky noise; the object near the middle.

    Returns
    -------
    vectors : ndarray, (n, k) float32
        Amplitudes of ring modes over the flux of the middle, asinh.
    flux : ndarray, (n,) float32
        That flux.
    """
    n, bands, side, _ = images.shape
    there = centred(np.asarray(images, np.float32))
    flux = np.maximum((there.sum(axis=1) * (radius_map(side) < FLUX_PX)).sum(axis=(1, 2)), 1e-6)
    real, imaginary, rings = _rings(side)
    flat = there.reshape(n * bands, -1)
    modes = np.hypot(flat @ real, flat @ imaginary).reshape(n, bands, rings, MODES + 1)
    signed = (flat @ real).reshape(modes.shape)
    modes[..., 0] = signed[..., 0]
    modes[:, :, :2, 1] = 0  # the centroid decides them
    return np.arcsinh(100.0 * modes.reshape(n, -1) / flux[:, None]).astype(np.float32), flux.astype(np.float32)


def propose(vectors: np.ndarray, flux: np.ndarray, noise: np.ndarray, noise_flux: np.ndarray) -> np.ndarray:
    """Pairs of pictures no farther apart than fresh noise moves one of their brightness.

    Parameters
    ----------
    vectors, flux : ndarray, (n, k) and (n,)
        Of `embed`.
    noise, noise_flux : ndarray, (m, k) and (m,)
        What fresh noise added to some vectors, and the flux of those.

    Returns
    -------
    ndarray, (pairs, 2) int
        Nearest first, in units of that distance.
    """
    if len(vectors) < 2:
        return np.empty((0, 2), int)
    scale = np.sqrt((noise.astype(float) ** 2).mean(axis=0)) + 1e-3 * vectors.std(axis=0) + 1e-6
    white = np.clip((vectors - vectors.mean(axis=0)) / scale, -1e3, 1e3)
    _, axes = np.linalg.eigh(np.cov(white, rowvar=False))
    axes = axes[:, ::-1][:, :DIMENSIONS]
    points, steps = white @ axes, (noise / scale) @ axes
    strength = REACH * np.quantile(np.linalg.norm(steps, axis=1) * noise_flux, 0.95)
    reach = np.minimum(strength / np.maximum(flux, 1e-6), 3 * np.linalg.norm(steps, axis=1).max()) + LEAST_REACH
    neighbours = min(NEIGHBOURS + 1, len(points))
    distance, index = cKDTree(points).query(points, k=neighbours, distance_upper_bound=float(reach.max()))
    first, place = np.nonzero(distance <= reach[:, None])
    second, apart = index[first, place], distance[first, place] / reach[first]
    keep = first != second
    pairs, apart = np.sort(np.stack([first[keep], second[keep]], axis=1), axis=1), apart[keep]
    order = np.argsort(apart, kind="stable")
    _, unique = np.unique(pairs[order], axis=0, return_index=True)
    return pairs[order][np.sort(unique)]


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are at the turn at which they are most.

    Attributes
    ----------
    excess : float
        Mean square difference of the smoothed pictures where either has light, over two draws of noise plus a hundredth
        of the light, squared; infinite where their fluxes differ by more than `FLUX_RANGE` or nothing has light.
    noise : float
        Correlation of what is left where neither has light, less what is smooth there (the faint wings of galaxies are
        alike): shared noise, whatever was added to it. Two looks at one field have 0, a copy 1; 0 where it is within
        `SURE` errors of 0.
    lopsided : int
        Pixels whose light has no twin on the galaxy's other side, in the picture that has fewer: neighbours, arms.
        Smooth galaxies can be alike by chance, their surroundings cannot.
    turn : int
    """

    excess: float
    noise: float
    lopsided: int
    turn: int

    @property
    def alike(self) -> bool:
        """By their light, surroundings included."""
        return self.excess < SAME and self.lopsided >= MIN_LOPSIDED

    @property
    def same(self) -> bool:
        return self.noise > SHARED_NOISE or self.alike


def compare(first: np.ndarray, second: np.ndarray, radius: float = COMPARED_PX) -> Likeness:
    """Two pictures, over turns.

    Parameters
    ----------
    first, second : ndarray, (bands, side, side)
        In sky noise.
    radius : float
        Pixels from the middle that are compared; less where a smaller picture is set in zeros.
    """
    pair = np.stack([first, second])
    a, whole = centred(pair, SMOOTH_PX)
    rough_a, rough_b = centred(pair) - (a, whole)
    disc = radius_map(a.shape[-1]) < radius
    level = 2.0 * CORRELATED / (4 * np.pi * SMOOTH_PX**2)
    limit, found = LIT * np.sqrt(level), []
    lopsided = min(int((disc & (x - turned(x, 2) > limit + BRIGHT * np.abs(x))).sum()) for x in (a, whole))
    for turn in range(TURNS):
        b, lit = turned(whole, turn), (a > limit) | (turned(whole, turn) > limit)
        shared = _shared(rough_a, turned(rough_b, turn), disc & ~lit)
        lit &= disc
        excess = np.inf
        if lit.sum() >= MIN_LIT:
            x, y = a[lit], b[lit]
            ratio = float((x * y).sum() / max(float((y * y).sum()), 1e-30))
            if 1 / FLUX_RANGE < ratio < FLUX_RANGE:
                excess = float(((x - ratio * y) ** 2 / (level + (0.01 * x) ** 2)).mean())
        found.append(Likeness(excess, shared, lopsided, turn))
    return min(found, key=lambda x: (not x.same, -x.noise if x.noise > SHARED_NOISE else 0.0, x.excess))


def _shared(first: np.ndarray, second: np.ndarray, sky: np.ndarray) -> float:
    """Correlation of two pictures' pixels in the sky; 0 where it can't be told from 0."""
    n = int(sky.sum())
    if n <= MIN_SKY:
        return 0.0
    x, y = (image[sky] - image[sky].mean() for image in (first, second))
    power = float((x * x).sum() * (y * y).sum())
    found = float((x * y).sum()) / np.sqrt(power) if power > 0 else 0.0
    return found if found > SURE * np.sqrt(2.0 / n) else 0.0


def find(fetch, vectors, flux, noise, noise_flux, most: int = 2000, skip=None, same=None) -> tuple[list[Match], int]:
    """Verified duplicates among embedded pictures.

    Parameters
    ----------
    fetch : callable
        Gives the picture (bands, side, side) of a place, in sky noise.
    vectors, flux, noise, noise_flux
        As for `propose`.
    most : int
        Proposals verified, the nearest ones.
    skip : callable, optional
        Whether a pair of places need not be compared.
    same : float, optional
        Excess below which two pictures are one, for pictures without noise; `Likeness.same` by default.

    Returns
    -------
    matches : list of Match
    n_proposed : int
        Pairs that were proposed, verified or not.
    """
    pairs = propose(vectors, flux, noise, noise_flux)
    pairs = [(int(i), int(j)) for i, j in pairs if skip is None or not skip(int(i), int(j))]
    out = []
    for i, j in pairs[:most]:
        found = compare(fetch(i), fetch(j))
        if found.same if same is None else found.excess < same:
            out.append(Match(i, j, found.turn, found.excess, found.noise))
    return out, len(pairs)
