"""What is drawn for each pair: source, lens, place and brightness, under one of three priors.

**joint**, the default: a lens belongs to its galaxy. Velocity dispersion follows the host's luminosity (Faber-Jackson
with its scatter), Einstein radius follows from it and the two redshifts, within the measured range of dispersions.
What training needs beyond the population is shaped, not invented: lenses count as (D_ls / D_s)^2
sigma_v^``sigma_power`` (the cross-section theta_E^2 has the power 4) and as mu^(2.5 ``counts_slope``), since at given
observed flux a magnified source is a fainter and commoner one; the arc's SNR falls as SNR^-``snr_slope`` (0 would be
log-uniform, 2.5 ``counts_slope`` what counts give) as far as the unlensed source keeps within ``source_mag_r``.

**population**: the same lenses in proportion to their cross-section, sources anywhere within theta_E and of their own
catalogue flux: what a host's lenses are before anything is selected.

**response_grid**: Einstein radius uniform and SNR log-uniform, whatever the host and the source: not lenses, but even
coverage for a study of the response.

`population_weight` of a draw turns the first and the third into the second, magnitudes counted to `MAG_LIMIT`. Every
host keeps its frequency: the population is of the lenses that these hosts have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from dhs.config import InjectionConfig
from dhs.injection.lens import ISOTHERMAL, Lens
from dhs.injection.velocity_dispersion import FJ_SCATTER, SIGMA_RANGE, arcsec_at_full_ratio, faber_jackson
from dhs.survey.cosmology import absolute_mag_r, flat_ratio
from dhs.survey.facts import flux_from_mag, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp

MIN_AXIS_RATIO = 0.3
SLOPE_RANGE = (1.6, 2.4)
MAG_LIMIT = 27.0  # r of the unlensed source: fainter ones are left out of the population
CROSS_SECTION = 4.0  # power of sigma_v by which a lens of the population counts
_SCATTER = FJ_SCATTER * np.log(10.0)


class Rejected(Exception):
    """A draw that makes no pair; its message is the reason."""


class NoLens(Rejected):
    """A host that no draw makes a lens of."""


@dataclass(frozen=True)
class Draw:
    """One proposal: a source, a lens, a place, and what its flux is scaled to.

    Attributes
    ----------
    source : int
        Index into the redshifts it was drawn from.
    lens : Lens
    sigma_v : float
        km/s, of an isothermal lens of this Einstein radius at the two redshifts; NaN where one is unknown.
    x, y : float
        Source position, arcsec, source plane, from the stamp's centre.
    phi : float
        Rotation of the source image, radians.
    snr_quantile : float or None
        Of the distribution of ``arc_snr_maxpix``; None keeps the source's flux.
    weight : float
        Density of the population over that of this draw, but for the source's magnitude; relative, NaN where the
        host's redshift is unknown.
    """

    source: int
    lens: Lens
    sigma_v: float
    x: float
    y: float
    phi: float
    snr_quantile: float | None
    weight: float


@dataclass(frozen=True)
class Deflector:
    """Einstein radii that one host can have with each source.

    Attributes
    ----------
    sigma_fj : float
        km/s, mean of the host's luminosity.
    arcsec : ndarray, (sources,)
        Einstein radius at 1 km/s, arcsec; it grows with sigma_v^2.
    bounds : tuple of ndarray, (sources,)
        Natural logarithm of sigma_v between which the lens is in the ranges of theta_E and sigma_v.
    """

    sigma_fj: float
    arcsec: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, mag_r: float, z_lens: float, z_sources: np.ndarray, theta_e_arcsec) -> Deflector:
        """That of a host of r magnitude ``mag_r``.

        Raises
        ------
        NoLens
            ``host_without_redshift`` or ``host_without_magnitude``.
        """
        if not (np.isfinite(z_lens) and z_lens > 0):
            raise NoLens("host_without_redshift")
        if not np.isfinite(mag_r):
            raise NoLens("host_without_magnitude")
        arcsec = arcsec_at_full_ratio(1.0) * flat_ratio(z_lens, z_sources)
        scale = np.maximum(arcsec, 1e-12)
        low, high = (0.5 * np.log(theta / scale) for theta in theta_e_arcsec)
        bounds = np.maximum(low, np.log(SIGMA_RANGE[0])), np.minimum(high, np.log(SIGMA_RANGE[1]))
        return cls(float(faber_jackson(absolute_mag_r(mag_r, z_lens))), arcsec, bounds)

    def _normal(self, power: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Bounds in standard deviations of the tilted normal in log sigma_v, the mass between them, and its mean.

        A normal of mean m and width s times sigma^p is one of mean m + p s^2.
        """
        mean = np.log(self.sigma_fj) + power * _SCATTER**2
        low, high = ((b - mean) / _SCATTER for b in self.bounds)
        upper = low > 0  # there the tail is measured from above: 1 - ndtr loses its digits
        mass = np.where(upper, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
        return low, high, np.where(high > low, mass, 0.0), mean

    def masses(self, power: float) -> np.ndarray:
        """(sources,) mean of arcsec^2 sigma_v^power over the host's velocity dispersions, 0 where out of range.

        With a power of 4 it is the mean cross-section theta_E^2.
        """
        tilt = np.exp(power * np.log(self.sigma_fj) + 0.5 * (power * _SCATTER) ** 2)
        return self.arcsec**2 * tilt * self._normal(power)[2]

    def draw(self, rng: np.random.Generator, power: float) -> tuple[int, float]:
        """Index of a source and sigma_v, in proportion to the Faber-Jackson scatter times arcsec^2 sigma_v^power.

        Raises
        ------
        NoLens
            ``host_makes_no_lens``: none of the sources gives the host an Einstein radius in the range.
        """
        share = np.cumsum(self.masses(power))
        u = rng.uniform(size=2)
        if not share[-1] > 0:
            raise NoLens("host_makes_no_lens")
        i = min(int(np.searchsorted(share, u[0] * share[-1], "right")), len(share) - 1)
        low, high, mass, mean = self._normal(power)
        if low[i] > 0:
            x = -ndtri(ndtr(-low[i]) - u[1] * mass[i])
        else:
            x = ndtri(ndtr(low[i]) + u[1] * mass[i])
        return i, float(np.exp(mean + _SCATTER * np.clip(x, low[i], high[i])))

    def density(self, sigma_v: float) -> float:
        """Of the Faber-Jackson scatter, per unit log sigma_v."""
        x = (np.log(sigma_v) - np.log(self.sigma_fj)) / _SCATTER
        return float(np.exp(-0.5 * x * x) / (_SCATTER * np.sqrt(2.0 * np.pi)))


def draw(
    rng: np.random.Generator, host: HostStamp, mag_r: float, z_sources: np.ndarray, config: InjectionConfig
) -> Draw:
    """Draw one proposal for a host.

    The lens's ellipticity follows the host's light with Gaussian scatter in (e1, e2), the lens sits on the host's
    light, and beta / theta_E lies within ``beta_max``.

    Parameters
    ----------
    rng : numpy.random.Generator
    host : HostStamp
    mag_r : float
        Its total r magnitude; the response grid does not need it.
    z_sources : ndarray, (sources,)
        Redshifts of the sources to choose from.
    config : InjectionConfig

    Raises
    ------
    Rejected
        ``source_in_front_of_lens``, or `NoLens` with the reason of `Deflector`.
    """
    source, theta_e, sigma_v, weight = _LENSES[config.prior](rng, host, mag_r, z_sources, config)
    e1, e2 = np.array([host.e1, host.e2]) + rng.normal(0.0, config.ellipticity_scatter, 2)
    e = float(np.hypot(e1, e2))
    gamma1, gamma2 = rng.normal(0.0, config.shear_sigma, 2)
    bias = 2.5 * config.counts_slope if config.prior == "joint" else 0.0
    offset = config.beta_max * float(rng.uniform()) ** (1.0 / (2.0 - bias))
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    phi = float(rng.uniform(0.0, 2.0 * np.pi))
    quantile = float(rng.uniform())
    slope = ISOTHERMAL
    if config.slope_scatter > 0 or config.slope_mean != ISOTHERMAL:
        slope = float(np.clip(rng.normal(config.slope_mean, config.slope_scatter), *SLOPE_RANGE))
    lens = Lens(
        theta_e=theta_e,
        q=max((1.0 - e) / (1.0 + e), MIN_AXIS_RATIO),
        phi=0.5 * float(np.arctan2(e2, e1)),
        gamma1=float(gamma1),
        gamma2=float(gamma2),
        x=host.x_arcsec,
        y=host.y_arcsec,
        slope=slope,
    )
    beta = theta_e * offset
    x, y = lens.x + float(beta * np.cos(azimuth)), lens.y + float(beta * np.sin(azimuth))
    kept = config.prior == "population"
    return Draw(source, lens, sigma_v, x, y, phi, None if kept else quantile, weight * offset**bias)


def _from_galaxy(power: float | None):
    """Source, theta_E, sigma_v and weight of lenses that belong to their galaxy; None: of the configured power."""

    def lens(rng, host: HostStamp, mag_r: float, z_sources: np.ndarray, config: InjectionConfig):
        deflector = Deflector.of(mag_r, host.z_phot, z_sources, config.theta_e_arcsec)
        p = config.sigma_power if power is None else power
        source, sigma_v = deflector.draw(rng, p)
        theta_e = float(deflector.arcsec[source] * sigma_v**2)
        share = deflector.masses(p).sum() / deflector.masses(CROSS_SECTION).sum() if p != CROSS_SECTION else 1.0
        return source, theta_e, sigma_v, float(sigma_v ** (CROSS_SECTION - p) * share)

    return lens


def _from_grid(rng, host: HostStamp, mag_r: float, z_sources: np.ndarray, config: InjectionConfig):
    """A source and an Einstein radius that know nothing of the galaxy, nor of each other."""
    source, theta_e = int(rng.integers(len(z_sources))), float(rng.uniform(*config.theta_e_arcsec))
    if z_sources[source] <= host.z_phot:
        raise Rejected("source_in_front_of_lens")
    try:
        deflector = Deflector.of(mag_r, host.z_phot, z_sources, config.theta_e_arcsec)
    except NoLens:
        return source, theta_e, float("nan"), float("nan")
    sigma_v = float(np.sqrt(theta_e / deflector.arcsec[source]))
    all_lenses = deflector.masses(CROSS_SECTION).sum()
    if not SIGMA_RANGE[0] <= sigma_v <= SIGMA_RANGE[1] or not all_lenses > 0:
        return source, theta_e, sigma_v, 0.0
    # d log sigma_v = d theta_E / (2 theta_E); a source behind the lens, and a radius, were drawn evenly
    even = 1.0 / (deflector.arcsec > 0).sum() / (config.theta_e_arcsec[1] - config.theta_e_arcsec[0])
    density = deflector.density(sigma_v) / (2.0 * theta_e)
    return source, theta_e, sigma_v, float(theta_e**2 * density / (all_lenses * even))


_LENSES = {"joint": _from_galaxy(None), "population": _from_galaxy(CROSS_SECTION), "response_grid": _from_grid}


@dataclass(frozen=True)
class Brightness:
    """``flux``: of the unlensed source in r, nanomaggies; ``weight``: of the population over the draw in it."""

    flux: float
    weight: float


def brightness(drawn: Draw, catalogue_flux: float, snr_of_one: float, config: InjectionConfig) -> Brightness:
    """How bright the source is.

    Parameters
    ----------
    drawn : Draw
    catalogue_flux : float
        Of the source in r, nanomaggies: kept where the draw has no SNR.
    snr_of_one : float
        ``arc_snr_maxpix`` of the arc of a source of one nanomaggy.
    config : InjectionConfig

    Raises
    ------
    Rejected
        ``source_outside_counts``: no magnitude within ``source_mag_r`` gives an SNR in the range.
    """
    if drawn.snr_quantile is None:
        return Brightness(catalogue_flux, 1.0)
    low, high = config.arc_snr_maxpix
    slope = 0.0
    if config.prior == "joint":
        bright, faint = (snr_of_one * float(flux_from_mag(m)) for m in config.source_mag_r)
        low, high, slope = max(low, faint), min(high, bright), config.snr_slope
        if low >= high:
            raise Rejected("source_outside_counts")
    target, area = _power_law(drawn.snr_quantile, low, high, slope)
    flux = target / snr_of_one
    mag = float(mag_from_flux(flux))
    counts = 10.0 ** (config.counts_slope * (mag - MAG_LIMIT)) if mag <= MAG_LIMIT else 0.0
    return Brightness(flux, counts * target**slope * area)


def _power_law(quantile: float, low: float, high: float, slope: float) -> tuple[float, float]:
    """Value of a quantile of the density x^-slope per unit log x between two limits, and that density's integral."""
    if slope == 0.0:
        return low * (high / low) ** quantile, float(np.log(high / low))
    a, b = low**-slope, high**-slope
    return (a - quantile * (a - b)) ** (-1.0 / slope), (a - b) / slope
