"""Hard negatives beside the azimuthal shuffle: companions, look-alikes, and arcs of a lens that is not there.

Every function takes a pair's lensed light on the sub-pixel grid and gives back other light on the same grid, of the
same total, before PSF and noise; through the pair's own PSF, colours and noise, and rescaled to the positive's matched
SNR, it becomes a hard negative whose flux and texture are the positive's. Azimuth and radius are about the lens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dhs.injection.lens import Lens
from dhs.injection.sources.source import Source

MIN_COMPANIONS, MAX_COMPANIONS = 1, 3
SCRAMBLED_BETA = (1.6, 3.0)  # over theta_E: one image, weakly stretched, where no second one answers it

FARTHEST = 6.5  # arcsec from the lens that an image may lie


def grid(n: int, lens: Lens, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y in arcsec from the lens of an (n, n) grid of ``scale`` arcsec a sub-pixel."""
    axis = (np.arange(n) - (n - 1) / 2) * scale
    return np.broadcast_to(axis[None, :] - lens.x, (n, n)), np.broadcast_to(axis[:, None] - lens.y, (n, n))


def _of_flux(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    total = image.sum()
    return image * (light.sum() / total) if total > 0 else np.zeros_like(light)


def _galaxy(x, y, x0: float, y0: float, radius: float, q: float, phi: float) -> np.ndarray:
    """Exponential disc of unit flux density scale: semi-major scale length ``radius`` arcsec, axis ratio q."""
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * (x - x0) + s * (y - y0), (c * (y - y0) - s * (x - x0)) / q
    return np.exp(-np.hypot(along, across) / radius) / (radius**2 * q)


def companions(light: np.ndarray, lens: Lens, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Unlensed companions: one to three discs about the galaxy, at the radii of the arc's images, unstretched.

    Parameters
    ----------
    light : ndarray, (n, n)
        The arc's light per sub-pixel, before the PSF; the companions share its flux (and, through the pair, its
        colour).
    lens : Lens
        Where the galaxy is, and theta_E.
    scale : float
        Arcsec a sub-pixel.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, (n, n)
    """
    x, y = grid(len(light), lens, scale)
    out = np.zeros_like(light)
    for _ in range(int(rng.integers(MIN_COMPANIONS, MAX_COMPANIONS + 1))):
        # beyond 0.8 arcsec, or the companion is not apart from the galaxy
        r, azimuth = max(lens.theta_e, 0.8) * rng.uniform(0.8, 1.8), rng.uniform(0.0, 2.0 * np.pi)
        size, q, phi = rng.uniform(0.12, 0.35), rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi)
        out += rng.uniform(0.4, 1.0) * _galaxy(x, y, r * np.cos(azimuth), r * np.sin(azimuth), size, q, phi)
    return _of_flux(out, light)


def ring(light: np.ndarray, lens: Lens, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A ring galaxy's ring about the galaxy: elliptical, of the disc's own width, with star-forming knots."""
    x, y = grid(len(light), lens, scale)
    q, phi = rng.uniform(0.55, 0.95), rng.uniform(0.0, np.pi)
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * x + s * y, (c * y - s * x) / q
    r, azimuth = np.hypot(along, across), np.arctan2(across, along)
    radius = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.4)
    knots = 1.0 + sum(
        rng.uniform(0.5, 2.0) * np.exp(6.0 * (np.cos(azimuth - rng.uniform(0, 2 * np.pi)) - 1.0))
        for _ in range(int(rng.integers(3, 7)))
    )
    return _of_flux(knots * np.exp(-0.5 * ((r - radius) / (rng.uniform(0.15, 0.3) * radius)) ** 2), light)


def spiral(light: np.ndarray, lens: Lens, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Two logarithmic spiral arms about the galaxy, out to where the arc's images lie."""
    x, y = grid(len(light), lens, scale)
    q, phi = rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * x + s * y, (c * y - s * x) / q
    r, azimuth = np.hypot(along, across), np.arctan2(across, along)
    radius = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.4)
    turn = np.log(np.maximum(r, 0.05) / radius) / np.tan(np.radians(rng.uniform(12.0, 28.0)))
    arms = np.exp(4.0 * (np.cos(2.0 * (azimuth - rng.choice([-1.0, 1.0]) * turn)) - 1.0))
    one_sided = 1.0 + rng.uniform(0.3, 0.8) * np.cos(azimuth - rng.uniform(0, 2 * np.pi))
    return _of_flux(arms * one_sided * np.exp(-0.5 * ((r - radius) / (0.4 * radius)) ** 2), light)


def merger(light: np.ndarray, lens: Lens, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A second nucleus with a tidal tail bent about the galaxy: an arc without counter-image, thick at one end."""
    x, y = grid(len(light), lens, scale)
    radius, start = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.5), rng.uniform(0.0, 2.0 * np.pi)
    length, sense = rng.uniform(0.6, 1.6), rng.choice([-1.0, 1.0])
    out = rng.uniform(1.0, 2.0) * _galaxy(
        x, y, radius * np.cos(start), radius * np.sin(start), rng.uniform(0.15, 0.3), rng.uniform(0.5, 1.0), start
    )
    for step in np.linspace(0.0, 1.0, 12):
        r, azimuth = radius * (1.0 + 0.6 * step), start + sense * length * step
        width = 0.12 + 0.2 * step
        knot = np.exp(-0.5 * ((x - r * np.cos(azimuth)) ** 2 + (y - r * np.sin(azimuth)) ** 2) / width**2)
        out += (1.0 - 0.8 * step) * 0.15 * knot / width**2
    return _of_flux(out, light)


LOOKALIKES: dict[str, Callable] = {"ring": ring, "spiral": spiral, "merger": merger}


def lookalike(light: np.ndarray, lens: Lens, scale: float, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """One of `LOOKALIKES`, drawn evenly: its kind, ``lookalike_ring_mock`` and so on, and its light."""
    name = str(rng.choice(sorted(LOOKALIKES)))
    return f"lookalike_{name}_mock", LOOKALIKES[name](light, lens, scale, rng)


def scrambled_geometry(
    light: np.ndarray, lens: Lens, source: Source, phi: float, render: Callable, rng: np.random.Generator
) -> np.ndarray:
    """The same source through a lens that does not belong to the galaxy.

    Half of the draws take the source out to beta of 1.6 to 3 theta_E (as far as the stamp holds the image), where one
    weakly stretched image is left and nothing answers it on the other side. Half go through a lens of half theta_E
    whose centre lies 1 to 1.6 theta_E away from the galaxy, so that the images do not close about it.

    Parameters
    ----------
    light : ndarray, (n, n)
        For its total.
    lens : Lens
    source : Source
    phi : float
        Rotation of the source image, radians.
    render : callable
        ``render(lens, source, x, y, phi) -> (n, n)``: light before the PSF, x and y in arcsec from the stamp's centre;
        `dhs.injection.render.rays.lensed_light` with its supersampling bound.
    rng : numpy.random.Generator
    """
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    direction = np.array([np.cos(azimuth), np.sin(azimuth)])
    if rng.uniform() < 0.5:
        beta = min(lens.theta_e * rng.uniform(*SCRAMBLED_BETA), max(FARTHEST - lens.theta_e, 1.1 * lens.theta_e))
        x, y = np.array([lens.x, lens.y]) + beta * direction
        return _of_flux(render(lens, source, float(x), float(y), phi), light)
    centre = np.array([lens.x, lens.y]) + max(lens.theta_e, 0.8) * rng.uniform(1.0, 1.6) * direction
    small = replace(lens, theta_e=0.5 * lens.theta_e, x=float(centre[0]), y=float(centre[1]))
    place = centre + small.theta_e * rng.uniform(0.3, 0.7) * direction
    return _of_flux(render(small, source, float(place[0]), float(place[1]), phi), light)
