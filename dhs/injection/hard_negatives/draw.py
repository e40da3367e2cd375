"""The hard negative of a pair: a kind drawn, its light through the pair's own PSF and colours.

Light is made on a grid of two samples a pixel (of ``supersampling`` where that is odd), which is fine beside a PSF.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dhs.config import InjectionConfig
from dhs.injection.hard_negatives.azimuthal import MAX_OVERLAP, MIN_CONTRAST, contrast, overlap
from dhs.injection.hard_negatives.base import ArcScene, NoNegative, kinds
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


def draw_hard_negative(
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
        The kind has none for this arc; or its light is a ring, much like the arc, or missed the stamp.
    UsageError
        A kind that nobody registered.
    """
    names = [k for k, weight in config.hard_negative_kinds.items() if weight > 0]
    weights = np.array([config.hard_negative_kinds[k] for k in names])
    kind = kinds[str(rng.choice(names, p=weights / weights.sum()))]
    how, s, lens = METHODS[config.renderer], config.supersampling, proposal.lens
    factor = s // 2 if s % 2 == 0 else 1
    coarse, step = s // factor, PIXEL_SCALE * factor / s

    def render(*where) -> np.ndarray:
        return thin(how.light(*where, s), factor)

    scene = ArcScene(thin(light, factor), arc, lens, source, proposal.phi, step, float(host.psf_fwhm.max()), render)
    other = kind.make(scene, rng)
    name, other = other if isinstance(other, tuple) else (kind.name, other)
    image = how.observe(other, how.psf(host.psf, host.psf_fwhm, coarse), coarse)
    if not image[R_BAND].max() > 0:
        raise NoNegative(f"{name}_missed_the_stamp")
    of_light = contrast(image[R_BAND], lens.x, lens.y)
    if kind.of_arc_light and of_light < MIN_CONTRAST:
        raise NoNegative("result_is_a_ring")
    if kind.unlike_arc and overlap(arc, image[R_BAND]) > MAX_OVERLAP:
        raise NoNegative("arc_unchanged")
    return HardNegative(name, image, of_light)
