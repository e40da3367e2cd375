"""The hard negative of a pair: a kind drawn, its light through the pair's own PSF and colours.

Light is made on a grid of two samples a pixel (of ``supersampling`` where that is odd), which is fine beside a PSF.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dhs.config import InjectionConfig
from dhs.injection.hard_negatives import azimuthal, lookalikes
from dhs.injection.light import thin
from dhs.injection.priors import Draw
from dhs.injection.render.render import METHODS
from dhs.injection.snr import R_BAND
from dhs.injection.sources.source import Source
from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.hosts.stamp import HostStamp


class HardNegative(NamedTuple):
    """``kind``; ``image`` (3, 64, 64), unit flux before colours; azimuthal ``contrast`` of its r band."""

    kind: str
    image: np.ndarray
    contrast: float


class NoNegative(Exception):
    """There is no hard negative of the kind drawn; its message is the reason."""


def hard_negative(
    light: np.ndarray,
    arc: np.ndarray,
    proposal: Draw,
    source: Source,
    host: HostStamp,
    config: InjectionConfig,
    rng: np.random.Generator,
) -> HardNegative:
    """Draw a kind by ``config.hard_negative_kinds`` and make its light.

    Parameters
    ----------
    light : ndarray, (64 s, 64 s)
        The arc's light before the PSF.
    arc : ndarray, (64, 64)
        The arc in r, any normalisation.
    proposal : Draw
    source : Source
    host : HostStamp
    config : InjectionConfig
    rng : numpy.random.Generator

    Returns
    -------
    HardNegative

    Raises
    ------
    NoNegative
        The arc is a ring, or the result of a shuffle is a ring or much like the arc; or the light missed the stamp.
    """
    kinds = [k for k, weight in config.hard_negative_kinds.items() if weight > 0]
    weights = np.array([config.hard_negative_kinds[k] for k in kinds])
    kind = str(rng.choice(kinds, p=weights / weights.sum()))
    how, s, lens = METHODS[config.renderer], config.supersampling, proposal.lens
    factor = s // 2 if s % 2 == 0 else 1
    coarse, step = s // factor, PIXEL_SCALE * factor / s
    base = thin(light, factor)
    shuffled = kind == "azimuthal_shuffle"
    if shuffled:
        if azimuthal.contrast(arc, lens.x, lens.y) < azimuthal.MIN_CONTRAST:
            raise NoNegative("arc_is_a_ring")
        other = azimuthal.azimuthal_blocks(base, lens.x, lens.y, float(host.psf_fwhm.max()), step, rng)
    elif kind == "companions":
        other = lookalikes.companions(base, lens, step, rng)
    elif kind == "lookalike":
        kind, other = lookalikes.lookalike(base, lens, step, rng)
    else:

        def render(*where) -> np.ndarray:
            return thin(how.light(*where, s), factor)

        other = lookalikes.scrambled_geometry(base, lens, source, proposal.phi, render, rng)
    image = how.observe(other, how.psf(host.psf, host.psf_fwhm, coarse), coarse)
    if not image[R_BAND].max() > 0:
        raise NoNegative(f"{kind}_missed_the_stamp")
    contrast = azimuthal.contrast(image[R_BAND], lens.x, lens.y)
    if kind in ("azimuthal_shuffle", "scrambled_geometry") and contrast < azimuthal.MIN_CONTRAST:
        raise NoNegative("result_is_a_ring")
    if shuffled and azimuthal.overlap(arc, image[R_BAND]) > azimuthal.MAX_OVERLAP:
        raise NoNegative("arc_unchanged")
    return HardNegative(kind, image, contrast)
