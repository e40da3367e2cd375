"""One pair: a control and the noiseless arc added to it, with everything that decided it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from dhs.config import InjectionConfig
from dhs.encoding import quantise
from dhs.injection.hard_negatives.base import NoNegative
from dhs.injection.hard_negatives.draw import draw_hard_negative
from dhs.injection.lens import n_images
from dhs.injection.light import half_light_radius
from dhs.injection.priors import Draw, NoLens, Rejected, brightness, draw
from dhs.injection.render.render import METHODS
from dhs.injection.snr import R_BAND, snr_matched, snr_maxpix
from dhs.injection.sources.source import Source
from dhs.random import Stream, generator
from dhs.survey.colours import north_over_south
from dhs.survey.facts import PIXEL_SCALE, is_north, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.photometry import host_fluxes, redshift_of

FROM_COLOUR = "z_lens_from_colour"  # flag of a pair whose host came without a redshift
ARC_LEVELS = 2048  # quantisation steps a sky sigma, of noiseless light, whose faint wings hold flux


@dataclass(frozen=True)
class Pair:
    """An accepted pair.

    Attributes
    ----------
    draw : Draw
    source : Source
    arc : ndarray, (3, 64, 64) float32
        Noiseless arc, nanomaggies, PSF applied, in steps of ``sky_sigma / ARC_LEVELS``.
    flux_scale : float
        Source flux over catalogue flux.
    magnification : float
        Of the extended source: lensed over unlensed flux.
    n_images : int
        Of a point at the source's position.
    snr_matched, snr_maxpix : float
    source_r50, arc_r50 : float
        Radius in arcsec that holds half of the source's light, about its centre; and half of the lensed light, before
        the PSF, about the lens.
    negative_kind : str or None
    negative : ndarray or None, (3, 64, 64) float32
        Light of the hard negative.
    negative_snr_matched, negative_contrast : float
    z_lens : float
        The host's redshift; NaN where it has none and no colours to tell.
    host_flags : tuple of str
    host_mag_r : float
        Total r magnitude of the host, which the prior took its luminosity from.
    population_weight : float
        Density of the population over that of the draw, relative; NaN where the host's redshift is unknown.
    rejected : Counter
        Draws rejected before this one, by reason; and, under ``negative:``, why there is no hard negative.
    """

    draw: Draw
    source: Source
    arc: np.ndarray
    flux_scale: float
    magnification: float
    n_images: int
    snr_matched: float
    snr_maxpix: float
    source_r50: float
    arc_r50: float
    negative_kind: str | None
    negative: np.ndarray | None
    negative_snr_matched: float
    negative_contrast: float
    z_lens: float
    host_flags: tuple[str, ...]
    host_mag_r: float
    population_weight: float
    rejected: Counter

    @property
    def n_rejected(self) -> int:
        """Draws rejected before this one."""
        return sum(n for reason, n in self.rejected.items() if not reason.startswith("negative:"))


def noise_variance(host: HostStamp) -> np.ndarray:
    """(3, 64, 64) variance of a stamp: sky plus the host's own shot noise; infinite in masked pixels."""
    shot = np.clip(host.image, 0, None) / host.gain[:, None, None]
    variance = host.sky_sigma[:, None, None] ** 2 + shot
    return variance if host.invvar is None else np.where(host.invvar > 0, variance, np.inf)


def _measured(host: HostStamp) -> tuple[HostStamp, float]:
    """The host with a redshift, from its colours where it has none, and its r magnitude."""
    fluxes = host_fluxes(host)
    if not np.isfinite(host.z_phot):
        host = replace(host, z_phot=redshift_of(fluxes), flags=(*host.flags, FROM_COLOUR))
    return host, float(mag_from_flux(fluxes[R_BAND]))


def make_pair(
    key: str,
    host: HostStamp,
    sources,
    indices: np.ndarray,
    config: InjectionConfig,
    variance: np.ndarray | None = None,
) -> Pair | Counter:
    """Draw until accepted, render, scale, and make the hard negative.

    Parameters
    ----------
    key : str
        ``rng_key`` of the pair; with ``config`` it decides every number.
    host : HostStamp
    sources : SourceSet
    indices : ndarray of int
        The sources of the host's split.
    config : InjectionConfig
    variance : ndarray, optional
        `noise_variance` of the host, where it serves several pairs.

    Returns
    -------
    Pair, or a Counter of rejection reasons where ``max_attempts`` draws were all rejected, or the host makes no lens.
    """
    rejected: Counter = Counter()
    variance = noise_variance(host) if variance is None else variance
    host, mag_r = _measured(host)
    z_sources = sources.redshifts[indices]
    for attempt in range(config.max_attempts):
        rng = generator(key, Stream.DRAW, attempt)
        try:
            proposal = draw(rng, host, mag_r, z_sources, config)
            source = sources.read(int(indices[proposal.source]))
            images = n_images(proposal.lens, proposal.x, proposal.y)
            if images < config.min_images:
                raise Rejected("too_few_images")
            how, s = METHODS[config.renderer], config.supersampling
            light = how.light(proposal.lens, source, proposal.x, proposal.y, proposal.phi, s)
            if light.sum() < config.min_magnification:
                raise Rejected("low_magnification")
            return _accept(key, proposal, host, source, light, images, config, rejected, variance, mag_r)
        except NoLens as reason:
            rejected[str(reason)] += 1
            break
        except Rejected as reason:
            rejected[str(reason)] += 1
    return rejected


def _accept(key, proposal, host, source, light, images, config, rejected, variance, mag_r) -> Pair:
    how, s = METHODS[config.renderer], config.supersampling
    flux = source.flux * north_over_south(source.flux, source.z) if is_north(host.ra, host.dec) else source.flux
    colour = (flux / flux[R_BAND]).astype(np.float32)[:, None, None]
    unit = how.observe(light, how.psf(host.psf, host.psf_fwhm, s), s) * colour
    bright = brightness(proposal, float(flux[R_BAND]), snr_maxpix(unit, host.sky_sigma), config)
    step = host.sky_sigma / ARC_LEVELS
    arc = quantise(unit * bright.flux, step)
    peak = snr_maxpix(arc, host.sky_sigma)
    if peak == 0:
        raise Rejected("too_faint_to_store")
    matched = snr_matched(arc, variance, host.lag1)
    kind, negative, negative_matched, contrast = None, None, float("nan"), float("nan")
    rng = generator(key, Stream.NEGATIVE) if config.hard_negative_fraction > 0 else None
    if rng is not None and rng.uniform() < config.hard_negative_fraction:
        try:
            kind, other, contrast = draw_hard_negative(light, unit[R_BAND], proposal, source, host, config, rng)
            other = other * colour
            negative = quantise(other * (matched / snr_matched(other, variance, host.lag1)), step)
            negative_matched = snr_matched(negative, variance, host.lag1)
        except NoNegative as reason:
            rejected[f"negative:{reason}"] += 1
    lens = proposal.lens
    return Pair(
        draw=proposal,
        source=source,
        arc=arc,
        flux_scale=float(bright.flux / source.flux[R_BAND]),
        magnification=float(light.sum()),
        n_images=images,
        snr_matched=matched,
        snr_maxpix=peak,
        source_r50=source.half_light_arcsec,
        arc_r50=half_light_radius(light, lens.x, lens.y, PIXEL_SCALE / s),
        negative_kind=kind,
        negative=negative,
        negative_snr_matched=negative_matched,
        negative_contrast=contrast,
        z_lens=host.z_phot,
        host_flags=host.flags,
        host_mag_r=mag_r,
        population_weight=proposal.weight * bright.weight,
        rejected=rejected,
    )
