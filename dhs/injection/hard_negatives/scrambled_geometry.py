"""``scrambled_geometry``: the same source through a lens that does not belong to the galaxy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dhs.injection.hard_negatives.base import ArcScene, hard_negative, of_flux

SCRAMBLED_BETA = (1.6, 3.0)  # over theta_E: one image, weakly stretched, where no second one answers it
FARTHEST = 6.5  # arcsec from the lens that an image may lie


@hard_negative("scrambled_geometry", label="scrambled geometry", of_arc_light=True)
def scrambled_geometry(scene: ArcScene, rng: np.random.Generator) -> np.ndarray:
    """(n, n): light that no lens at the galaxy makes.

    Half of the draws take the source out to beta of 1.6 to 3 theta_E (as far as the stamp holds the image), where one
    weakly stretched image is left and nothing answers it on the other side. Half go through a lens of half theta_E
    whose centre lies 1 to 1.6 theta_E away from the galaxy, so that the images do not close about it.
    """
    light, lens, source, phi, render = scene.light, scene.lens, scene.source, scene.phi, scene.render
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    direction = np.array([np.cos(azimuth), np.sin(azimuth)])
    if rng.uniform() < 0.5:
        beta = min(lens.theta_e * rng.uniform(*SCRAMBLED_BETA), max(FARTHEST - lens.theta_e, 1.1 * lens.theta_e))
        x, y = np.array([lens.x, lens.y]) + beta * direction
        return of_flux(render(lens, source, float(x), float(y), phi), light)
    centre = np.array([lens.x, lens.y]) + max(lens.theta_e, 0.8) * rng.uniform(1.0, 1.6) * direction
    small = replace(lens, theta_e=0.5 * lens.theta_e, x=float(centre[0]), y=float(centre[1]))
    place = centre + small.theta_e * rng.uniform(0.3, 0.7) * direction
    return of_flux(render(small, source, float(place[0]), float(place[1]), phi), light)
