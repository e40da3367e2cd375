"""One pair: a control and the noiseless arc added to it, with everything that decided it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from dhs.config import InjectionConfig
from dhs.injection import negatives
from dhs.injection.noise import Stream, generator
from dhs.injection.population import Draw, draw
from dhs.injection.render import convolve_and_bin, kernels, lensed_light, n_images
from dhs.injection.snr import R_BAND, snr_matched, snr_maxpix
from dhs.injection.source import Source
from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.stamp import HostStamp


@dataclass(frozen=True)
class Pair:
    """An accepted pair.

    Attributes
    ----------
    draw : Draw
    source : Source
    arc : ndarray, (3, 64, 64) float32
        Noiseless arc, nanomaggies, PSF applied.
    flux_scale : float
        Source flux over catalogue flux.
    magnification : float
        Of the extended source: lensed over unlensed flux.
    n_images : int
        Of a point at the source's position.
    snr_matched, snr_maxpix : float
    negative : ndarray or None, (3, 64, 64) float32
        Light of the hard negative by azimuthal block shuffle.
    negative_snr_matched, negative_contrast : float
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
    negative: np.ndarray | None
    negative_snr_matched: float
    negative_contrast: float
    rejected: Counter


def noise_variance(host: HostStamp) -> np.ndarray:
    """(3, 64, 64) variance of a stamp: sky plus the host's own shot noise; infinite in masked pixels."""
    shot = np.clip(host.image, 0, None) / host.gain[:, None, None]
    variance = host.sky_sigma[:, None, None] ** 2 + shot
    return variance if host.invvar is None else np.where(host.invvar > 0, variance, np.inf)


def make_pair(key: str, host: HostStamp, sources, indices: np.ndarray, config: InjectionConfig) -> Pair | Counter:
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

    Returns
    -------
    Pair, or a Counter of rejection reasons where ``max_attempts`` draws were all rejected.
    """
    rejected: Counter = Counter()
    for attempt in range(config.max_attempts):
        rng = generator(key, Stream.DRAW, attempt)
        proposal = draw(rng, host, len(indices), config)
        source = sources.read(int(indices[proposal.source_index]))
        reason, light, images = _light(proposal, host, source, config)
        if reason is None:
            return _accept(key, proposal, host, source, light, images, config, rejected)
        rejected[reason] += 1
    return rejected


def _light(proposal: Draw, host: HostStamp, source: Source, config: InjectionConfig):
    """Reason for rejection or None, the light before the PSF, the number of images."""
    if source.z <= host.z_phot:
        return "source_in_front_of_lens", None, 0
    images = n_images(proposal.lens, proposal.x, proposal.y)
    if images < config.min_images:
        return "too_few_images", None, images
    light = lensed_light(proposal.lens, source, proposal.x, proposal.y, proposal.phi, config.supersampling)
    if light.sum() < config.min_magnification:
        return "low_magnification", None, images
    return None, light, images


def _accept(key, proposal, host, source, light, images, config, rejected) -> Pair:
    psfs = kernels(host.psf, host.psf_fwhm, config.supersampling)
    colour = (source.flux / source.flux[R_BAND])[:, None, None]
    unit = convolve_and_bin(light, psfs, config.supersampling) * colour
    amplitude = proposal.target_snr / snr_maxpix(unit, host.sky_sigma)
    arc = (unit * amplitude).astype(np.float32)
    variance = noise_variance(host)
    matched = snr_matched(arc, variance, host.lag1)
    negative, negative_matched, contrast = None, float("nan"), float("nan")
    rng = generator(key, Stream.NEGATIVE)
    if rng.uniform() < config.hard_negative_fraction:
        lens, step = proposal.lens, PIXEL_SCALE / config.supersampling
        shuffled = negatives.azimuthal_blocks(light, lens.x, lens.y, float(host.psf_fwhm.max()), step, rng)
        other = convolve_and_bin(shuffled, psfs, config.supersampling) * colour
        contrast = negatives.contrast(other[R_BAND], lens.x, lens.y)
        if negatives.contrast(unit[R_BAND], lens.x, lens.y) < negatives.MIN_CONTRAST:
            rejected["negative:arc_is_a_ring"] += 1
        elif contrast < negatives.MIN_CONTRAST:
            rejected["negative:result_is_a_ring"] += 1
        elif negatives.overlap(unit[R_BAND], other[R_BAND]) > negatives.MAX_OVERLAP:
            rejected["negative:arc_unchanged"] += 1
        else:
            negative = (other * (matched / snr_matched(other, variance, host.lag1))).astype(np.float32)
            negative_matched = snr_matched(negative, variance, host.lag1)
    return Pair(
        draw=proposal,
        source=source,
        arc=arc,
        flux_scale=float(amplitude / source.flux[R_BAND]),
        magnification=float(light.sum()),
        n_images=images,
        snr_matched=matched,
        snr_maxpix=snr_maxpix(arc, host.sky_sigma),
        negative=negative,
        negative_snr_matched=negative_matched,
        negative_contrast=contrast,
        rejected=rejected,
    )
