"""Smooth stand-ins for real source galaxies: what a simulation without images would have put in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.modeling.models import Sersic2D

from dhs.injection.light import half_light_radius, thin
from dhs.injection.sources.source import Source

INDEX = 1.0
OVERSAMPLING = 3
MIN_AXIS_RATIO = 0.2
TAPER_FROM = 0.8  # of the frame's half width
FIT_STEPS = 3
LIMITS = ("Each source is a smooth Sersic profile (n = 1) of the size, shape and flux of the galaxy of its name.",)


def ellipse(image: np.ndarray) -> tuple[float, float]:
    """Axis ratio and angle of the light's second moments about the image's centre.

    Parameters
    ----------
    image : ndarray, (n, n)
        Not negative.

    Returns
    -------
    q, phi : float
        q from `MIN_AXIS_RATIO` to 1; phi counter-clockwise from +x, radians.
    """
    offset = np.arange(len(image)) - (len(image) - 1) / 2
    x, y = np.meshgrid(offset, offset)
    xx, yy, xy = (float((image * m).sum() / image.sum()) for m in (x * x, y * y, x * y))
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    q = float(np.sqrt(max(values[0], 0.0) / values[1])) if values[1] > 0 else 1.0
    return max(q, MIN_AXIS_RATIO), float(np.arctan2(vectors[1, 1], vectors[0, 1]))


def sersic_twin(source: Source) -> Source:
    """The source with an exponential disc (Sersic n = 1) in the place of its image.

    Flux, redshift, name, frame, half-light radius, axis ratio and angle are kept, so what differs is the structure:
    clumps, arms, lopsidedness, concentration. The disc is tapered to 0 on the frame's edge.
    """
    side, scale = len(source.image), source.pixel_scale
    q, phi = ellipse(source.image)
    offset = (np.arange(side * OVERSAMPLING) - (side * OVERSAMPLING - 1) / 2) / OVERSAMPLING
    x, y = np.meshgrid(offset, offset)
    edge = (side - 1) / 2
    ramp = np.clip((edge - np.hypot(x, y)) / ((1 - TAPER_FROM) * edge), 0.0, 1.0)
    taper = 0.5 - 0.5 * np.cos(np.pi * ramp)
    wanted = source.half_light_arcsec / scale
    r_eff = wanted / np.sqrt(q)
    for _ in range(FIT_STEPS):
        image = thin(Sersic2D(1.0, r_eff, INDEX, 0.0, 0.0, 1 - q, phi)(x, y) * taper, OVERSAMPLING)
        r_eff *= wanted / half_light_radius(image, 0.0, 0.0, 1.0)
    return replace(source, image=image / image.sum(), flags=(*source.flags, "sersic_twin"))
