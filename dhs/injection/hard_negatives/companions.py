"""``companions``: unlensed galaxies beside the host, where the arc's images were."""

from __future__ import annotations

import numpy as np

from dhs.injection.hard_negatives.base import ArcScene, disc, grid, hard_negative, of_flux

MIN_COMPANIONS, MAX_COMPANIONS = 1, 3


@hard_negative("companions", label="companions")
def companions(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """(n, n): one to three discs about the galaxy, at the radii of the arc's images, unstretched.

    They share the arc's flux and, through the pair, its colour.
    """
    lens = scene.lens
    x, y = grid(len(scene.light), lens, scene.scale)
    out = np.zeros_like(scene.light)
    for _ in range(int(rng.integers(MIN_COMPANIONS, MAX_COMPANIONS + 1))):
        # beyond 0.8 arcsec, or the companion is not apart from the galaxy
        r, azimuth = max(lens.theta_e, 0.8) * rng.uniform(0.8, 1.8), rng.uniform(0.0, 2.0 * np.pi)
        size, q, phi = rng.uniform(0.12, 0.35), rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi)
        out += rng.uniform(0.4, 1.0) * disc(x, y, r * np.cos(azimuth), r * np.sin(azimuth), size, q, phi)
    return of_flux(out, scene.light)
