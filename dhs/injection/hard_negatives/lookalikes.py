"""``lookalike``: mock rings, spirals and mergers about the galaxy, of the arc's flux and colour, drawn evenly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dhs.injection.hard_negatives.base import ArcScene, disc, grid, hard_negative, of_flux


def ring(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """A ring galaxy's ring about the galaxy: elliptical, of the disc's own width, with star-forming knots."""
    light, lens = scene.light, scene.lens
    x, y = grid(len(light), lens, scene.scale)
    q, phi = rng.uniform(0.55, 0.95), rng.uniform(0.0, np.pi)
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * x + s * y, (c * y - s * x) / q
    r, azimuth = np.hypot(along, across), np.arctan2(across, along)
    radius = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.4)
    knots = 1.0 + sum(
        rng.uniform(0.5, 2.0) * np.exp(6.0 * (np.cos(azimuth - rng.uniform(0, 2 * np.pi)) - 1.0))
        for _ in range(int(rng.integers(3, 7)))
    )
    return of_flux(knots * np.exp(-0.5 * ((r - radius) / (rng.uniform(0.15, 0.3) * radius)) ** 2), light)


def spiral(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """Two logarithmic spiral arms about the galaxy, out to where the arc's images lie."""
    light, lens = scene.light, scene.lens
    x, y = grid(len(light), lens, scene.scale)
    q, phi = rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * x + s * y, (c * y - s * x) / q
    r, azimuth = np.hypot(along, across), np.arctan2(across, along)
    radius = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.4)
    turn = np.log(np.maximum(r, 0.05) / radius) / np.tan(np.radians(rng.uniform(12.0, 28.0)))
    arms = np.exp(4.0 * (np.cos(2.0 * (azimuth - rng.choice([-1.0, 1.0]) * turn)) - 1.0))
    one_sided = 1.0 + rng.uniform(0.3, 0.8) * np.cos(azimuth - rng.uniform(0, 2 * np.pi))
    return of_flux(arms * one_sided * np.exp(-0.5 * ((r - radius) / (0.4 * radius)) ** 2), light)


def merger(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """A second nucleus with a tidal tail bent about the galaxy: an arc without counter-image, thick at one end."""
    light, lens = scene.light, scene.lens
    x, y = grid(len(light), lens, scene.scale)
    radius, start = max(lens.theta_e, 0.8) * rng.uniform(0.9, 1.5), rng.uniform(0.0, 2.0 * np.pi)
    length, sense = rng.uniform(0.6, 1.6), rng.choice([-1.0, 1.0])
    out = rng.uniform(1.0, 2.0) * disc(
        x, y, radius * np.cos(start), radius * np.sin(start), rng.uniform(0.15, 0.3), rng.uniform(0.5, 1.0), start
    )
    for step in np.linspace(0.0, 1.0, 12):
        r, azimuth = radius * (1.0 + 0.6 * step), start + sense * length * step
        width = 0.12 + 0.2 * step
        knot = np.exp(-0.5 * ((x - r * np.cos(azimuth)) ** 2 + (y - r * np.sin(azimuth)) ** 2) / width**2)
        out += (1.0 - 0.8 * step) * 0.15 * knot / width**2
    return of_flux(out, light)


LOOKALIKES: dict[str, Callable] = {"ring": ring, "spiral": spiral, "merger": merger}


@hard_negative("lookalike", label="look-alikes")
def lookalike(scene: ArcScene, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """One of `LOOKALIKES`: its kind, ``lookalike_ring_mock`` and so on, and its light."""
    name = str(rng.choice(sorted(LOOKALIKES)))
    return f"lookalike_{name}_mock", LOOKALIKES[name](scene, rng)
