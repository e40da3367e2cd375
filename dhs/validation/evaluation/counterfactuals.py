"""Counterfactual positives: one thing about a pair's arc changed, the galaxy and its noise as they were.

The arc is rendered again from its stored parameters and its source galaxy, so light can be taken away, turned, coloured
or added before the PSF, where no seam shows; shot noise is drawn for the light that is left. Each change gives its
stamp and the noiseless light in it, whose matched SNR over the arc's is stored beside the score: what changes the
colour or the shape keeps it, what takes light away does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dhs.datasets.reader import per_band
from dhs.datasets.rerender import flux_of, lens_of
from dhs.injection.noise import shot_noise
from dhs.injection.render.reference import subgrid
from dhs.injection.render.render import METHODS
from dhs.injection.snr import snr_matched
from dhs.injection.sources.source import Source
from dhs.random import Stream, generator
from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.photometry import galaxy_flux

SECTOR_RAD = np.pi / 3  # half width of the occulted sector
RING_WIDTH = 0.15  # of theta_E, standard deviation
COLOUR_STEP = 0.4  # mag, of g - r and of r - z


class Changed(NamedTuple):
    """A stamp, and the noiseless light in it that its control has not: (3, 64, 64) both, nanomaggies."""

    stamp: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class Injected:
    """One pair, open for intervention.

    Attributes
    ----------
    row : dict
        The pair's columns.
    source : Source
    light : ndarray, (64 s, 64 s)
        Lensed light before the PSF, per unit source flux.
    supersampling : int
    method : str
        Of `dhs.injection.render.render.METHODS`: what made the pair renders it again.
    psfs : object
        The bands' PSFs as that method holds them.
    """

    row: dict
    source: Source
    light: np.ndarray
    supersampling: int
    method: str
    psfs: object

    @classmethod
    def of(cls, row: dict, source: Source, supersampling: int, method: str = "fast") -> Injected:
        how, place = METHODS[method], (row["src_x_arcsec"], row["src_y_arcsec"], row["src_phi_rad"])
        light = how.light(lens_of(row), source, *place, supersampling)
        psfs = how.psf(row.get("psf"), per_band(row, "psf_fwhm", "_arcsec"), supersampling)
        return cls(row, source, light, supersampling, method, psfs)

    def _seen(self, light: np.ndarray) -> np.ndarray:
        return METHODS[self.method].observe(light, self.psfs, self.supersampling)

    @cached_property
    def _unit(self) -> np.ndarray:
        return self._seen(self.light)

    def arc(self, light: np.ndarray | None = None, flux: np.ndarray | None = None) -> np.ndarray:
        """(3, 64, 64) noiseless arc of this or of other light, at the source's or at other fluxes (3,)."""
        flux = flux_of(self.row, self.source) if flux is None else flux
        return (self._unit if light is None else self._seen(light)) * flux[:, None, None]

    @cached_property
    def control(self) -> np.ndarray:
        """(3, 64, 64) the galaxy without the arc."""
        return np.asarray(self.row["control"], dtype=float)

    def shown(self, arc: np.ndarray, attempt: int = 0) -> Changed:
        """Control plus an arc plus that arc's shot noise; ``attempt`` is another draw of it."""
        noise = shot_noise(arc, per_band(self.row, "gain"), generator(self.row["rng_key"], Stream.SHOT, attempt))
        return Changed((self.control + arc + noise).astype(np.float32), arc)

    def snr(self, light: np.ndarray) -> float:
        """Matched SNR of light added to the control."""
        sigma, gain = (per_band(self.row, name)[:, None, None] for name in ("sky_sigma", "gain"))
        variance = sigma**2 + np.clip(self.control, 0.0, None) / gain
        return snr_matched(light, variance, float(self.row["lag1"]))

    @cached_property
    def own_snr(self) -> float:
        """Matched SNR of the arc itself."""
        return self.snr(self.arc())

    def as_bright(self, arc: np.ndarray) -> np.ndarray:
        """An arc scaled to the matched SNR of the pair's own; as it is where either has none."""
        found = self.snr(arc)
        return arc * (self.own_snr / found) if found > 0 and self.own_snr > 0 else arc

    @cached_property
    def whole(self) -> Changed:
        """The positive, rendered again: what every change is measured against."""
        return self.shown(self.arc())

    @cached_property
    def redrawn(self) -> Changed:
        """The positive with another draw of its arc's shot noise."""
        return self.shown(self.arc(), attempt=1)

    def within(self, radius_px: float) -> np.ndarray:
        """Sub-pixels at r < R of the stamp's centre."""
        x, y = subgrid(self.supersampling)
        return (np.hypot(x, y) < radius_px * PIXEL_SCALE).reshape(self.light.shape)

    def polar(self) -> tuple[np.ndarray, np.ndarray]:
        """Radius (arcsec) and azimuth about the lens of every sub-pixel."""
        lens, (x, y) = lens_of(self.row), subgrid(self.supersampling)
        dx, dy = ((v - c).reshape(self.light.shape) for v, c in ((x, lens.x), (y, lens.y)))
        return np.hypot(dx, dy), np.arctan2(dy, dx)

    def host_flux(self) -> np.ndarray:
        """(3,) flux of the galaxy, nanomaggies; at least one sky sigma."""
        middle = 0.5 * (self.control.shape[-1] - 1)
        x, y = (middle + self.row[f"lens_{axis}_arcsec"] / PIXEL_SCALE for axis in "xy")
        return np.maximum([galaxy_flux(band, x, y) for band in self.control], per_band(self.row, "sky_sigma"))


def core_light_removed(item: Injected, radius_px: float) -> Changed:
    """Seam-free core-swap: the arc's light at r < R of the stamp's centre is taken away before the PSF."""
    return item.shown(item.arc(np.where(item.within(radius_px), 0.0, item.light)))


def _pixels(item: Injected, radius_px: float, core: Changed, rest: Changed) -> Changed:
    inside = radius_map() < radius_px
    return Changed(*(np.where(inside, a, b) for a, b in zip(core, rest)))


def core_pixels_swapped(item: Injected, radius_px: float) -> Changed:
    """Hard core-swap: pixels at r < R from the control; an edge is left where the arc crosses R."""
    return _pixels(item, radius_px, arc_removed(item, radius_px), item.whole)


def placebo_edge(item: Injected, radius_px: float) -> Changed:
    """The hard swap's edge without its removal: pixels at r < R from another draw of the same arc's noise."""
    return _pixels(item, radius_px, item.redrawn, item.whole)


def outer_pixels_swapped(item: Injected, radius_px: float) -> Changed:
    """All pixels but those at r < R from the control."""
    return _pixels(item, radius_px, item.whole, arc_removed(item, radius_px))


def noise_redrawn(item: Injected, radius_px: float) -> Changed:
    """The same arc with another draw of its shot noise: what no intervention at all does."""
    return item.redrawn


def colour_of_host(item: Injected, radius_px: float) -> Changed:
    """The arc in its galaxy's colours, its shape and matched SNR as they were."""
    return item.shown(item.as_bright(item.arc(flux=item.host_flux())))


def _recoloured(item: Injected, mag: float) -> Changed:
    steps = 10.0 ** (-0.4 * mag * np.array([1.0, 0.0, -1.0]))
    return item.shown(item.as_bright(item.arc(flux=flux_of(item.row, item.source) * steps)))


def colour_redder(item: Injected, radius_px: float) -> Changed:
    """g - r and r - z of the arc `COLOUR_STEP` redder, its shape and matched SNR as they were."""
    return _recoloured(item, COLOUR_STEP)


def colour_bluer(item: Injected, radius_px: float) -> Changed:
    """g - r and r - z of the arc `COLOUR_STEP` bluer, its shape and matched SNR as they were."""
    return _recoloured(item, -COLOUR_STEP)


def source_occulted(item: Injected, radius_px: float) -> Changed:
    """The arc's light within 60 degrees of its brightest image, seen from the lens, is taken away before the PSF."""
    lens, (_, azimuth) = lens_of(item.row), item.polar()
    arc = item.arc()[1]
    y, x = ((i - (len(arc) - 1) / 2) * PIXEL_SCALE for i in np.unravel_index(arc.argmax(), arc.shape))
    brightest = np.arctan2(y - lens.y, x - lens.x)
    apart = np.abs((azimuth - brightest + np.pi) % (2 * np.pi) - np.pi)
    return item.shown(item.arc(np.where(apart < SECTOR_RAD, 0.0, item.light)))


def arc_rotated(item: Injected, radius_px: float) -> Changed:
    """The arc's light turned by a quarter about the stamp's centre, at its matched SNR, the galaxy as it was."""
    return item.shown(item.as_bright(item.arc(np.ascontiguousarray(np.rot90(item.light)))))


def ring_added(item: Injected, radius_px: float) -> Changed:
    """The control with a uniform ring at theta_E, of the arc's colour and matched SNR: no lens makes it."""
    radius, _ = item.polar()
    theta = float(item.row["theta_e_arcsec"])
    ring = np.exp(-0.5 * ((radius - theta) / (RING_WIDTH * theta)) ** 2)
    return item.shown(item.as_bright(item.arc(ring * (item.light.sum() / ring.sum()))))


def arc_removed(item: Injected, radius_px: float) -> Changed:
    """The control: all of the arc taken away."""
    return Changed(item.control.astype(np.float32), np.zeros_like(item.control))


Intervention = Callable[[Injected, float], Changed]
INTERVENTIONS: dict[str, Intervention] = {
    f.__name__: f
    for f in (
        core_light_removed,
        core_pixels_swapped,
        placebo_edge,
        outer_pixels_swapped,
        noise_redrawn,
        source_occulted,
        colour_of_host,
        colour_redder,
        colour_bluer,
        arc_rotated,
        ring_added,
        arc_removed,
    )
}


def light_within(item: Injected, radius_px: float) -> float:
    """Share of the arc's light before the PSF at r < R of the stamp's centre."""
    return float(item.light[item.within(radius_px)].sum() / item.light.sum())
