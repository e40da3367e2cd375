"""Einstein radii of the lens population: velocity-dispersion function and isothermal deflection.

Pure functions of numbers: nothing here knows a host, a source or a configuration, so the injection can draw from the
population and the evaluation can reweight a response grid to it with the same density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.cosmology import FLRW
from scipy import stats

from dhs.survey.cosmology import COSMOLOGY

SPEED_OF_LIGHT = 299_792.458  # km/s
SIGMA_RANGE = (100.0, 400.0)  # km/s; the functions are measured between about these
FJ_SCATTER = 0.07  # dex in sigma_v at given luminosity, Bernardi et al. 2003


@dataclass(frozen=True)
class VelocityDispersionFunction:
    """phi(s) ds = phi_star (s/s_star)^alpha exp(-(s/s_star)^beta) beta / Gamma(alpha/beta) ds/s.

    The form of Sheth et al. 2003 (ApJ 594, 225, eq. 4). Divided by phi_star it is a generalised gamma density.

    Attributes
    ----------
    paper : str
    phi_star : float
        Comoving density, Mpc^-3, for H0 = 70 km/s/Mpc.
    sigma_star : float
        km/s.
    alpha, beta : float
    sigma_range : pair of float
        km/s; the density is 0 outside.
    """

    paper: str
    phi_star: float
    sigma_star: float
    alpha: float
    beta: float
    sigma_range: tuple[float, float] = SIGMA_RANGE

    def _shape(self, power: float):
        return stats.gengamma((self.alpha + power) / self.beta, self.beta, scale=self.sigma_star)

    def density(self, sigma_v) -> np.ndarray:
        """Comoving number density per km/s, Mpc^-3 (km/s)^-1; 0 outside ``sigma_range``.

        Parameters
        ----------
        sigma_v : array_like
            km/s.
        """
        sigma_v = np.asarray(sigma_v, dtype=float)
        inside = (sigma_v >= self.sigma_range[0]) & (sigma_v <= self.sigma_range[1])
        return np.where(inside, self.phi_star * self._shape(0.0).pdf(sigma_v), 0.0)

    def draw(self, rng: np.random.Generator, n: int, power: float = 4.0, sigma_range=None) -> np.ndarray:
        """Velocity dispersions in proportion to ``density * sigma_v^power``.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
        power : float
            4 weights galaxies by the area within their Einstein radius, so the draws are those of lenses; 0 gives
            galaxies.
        sigma_range : pair of float or of ndarray (n,), optional
            Narrower limits, km/s.

        Returns
        -------
        ndarray, (n,) float64
            km/s.

        Raises
        ------
        ValueError
            The limits leave no room.
        """
        low, high = self.sigma_range if sigma_range is None else sigma_range
        low, high = np.maximum(low, self.sigma_range[0]), np.minimum(high, self.sigma_range[1])
        if np.any(low >= high):
            raise ValueError(f"no velocity dispersion between {np.max(low):.4g} and {np.min(high):.4g} km/s")
        weighted = self._shape(power)
        return weighted.ppf(rng.uniform(weighted.cdf(low), weighted.cdf(high), n))


CHOI_2007 = VelocityDispersionFunction(
    "Choi, Park & Vogeley 2007, ApJ 658, 884: early types of SDSS", 8.0e-3 * 0.7**3, 161.0, 2.32, 2.67
)
BERNARDI_2010 = VelocityDispersionFunction(
    "Bernardi et al. 2010, MNRAS 404, 2087: all types of SDSS", 2.099e-2, 113.78, 0.94, 1.85
)


def faber_jackson(absolute_mag) -> np.ndarray:
    """Mean velocity dispersion, km/s, of an early type of an absolute r magnitude; its scatter is `FJ_SCATTER`.

    log10 sigma = 2.200 - 0.100 (M_r + 21.15), L ~ sigma^4 (Bernardi et al. 2003, AJ 125, 1849, Table 1 and sec. 3).
    """
    return 10.0 ** (2.200 - 0.100 * (np.asarray(absolute_mag, dtype=float) + 21.15))


def distance_ratio(z_lens, z_source, cosmology: FLRW = COSMOLOGY) -> np.ndarray:
    """D_ls / D_s of angular-diameter distances; 0 where the source is not behind the lens, NaN where a z is NaN.

    Raises
    ------
    ValueError
        The cosmology is curved.
    """
    if cosmology.Ok0:
        raise ValueError("distance_ratio is for flat cosmologies; this one is curved")
    z_lens, z_source = np.broadcast_arrays(np.asarray(z_lens, dtype=float), np.asarray(z_source, dtype=float))
    out = np.full(z_lens.shape, np.nan)
    known = np.isfinite(z_lens) & np.isfinite(z_source)
    behind = known & (z_source > z_lens) & (z_lens >= 0)
    out[known] = 0.0
    if behind.any():
        near, far = (cosmology.comoving_transverse_distance(z[behind]).value for z in (z_lens, z_source))
        out[behind] = 1.0 - near / far  # Hogg 1999, astro-ph/9905116, eq. 19 without curvature
    return out


def arcsec_at_full_ratio(sigma_v) -> np.ndarray:
    """Einstein radius, arcsec, of an isothermal sphere where D_ls / D_s is 1."""
    return 4.0 * np.pi * (np.asarray(sigma_v, dtype=float) / SPEED_OF_LIGHT) ** 2 * u.rad.to(u.arcsec)


def theta_e_of(sigma_v, z_lens, z_source, cosmology: FLRW = COSMOLOGY) -> np.ndarray:
    """Einstein radius of a singular isothermal sphere, theta_E = 4 pi (sigma_v/c)^2 D_ls/D_s.

    Parameters
    ----------
    sigma_v : array_like
        km/s.
    z_lens, z_source : array_like
    cosmology : astropy.cosmology.FLRW

    Returns
    -------
    ndarray
        Arcsec (Schneider, Ehlers & Falco 1992, eq. 8.34a).
    """
    return arcsec_at_full_ratio(sigma_v) * distance_ratio(z_lens, z_source, cosmology)


def sigma_v_of(theta_e_arcsec, z_lens, z_source, cosmology: FLRW = COSMOLOGY) -> np.ndarray:
    """Velocity dispersion, km/s, of an isothermal lens with this Einstein radius; infinite where D_ls is 0."""
    ratio = distance_ratio(z_lens, z_source, cosmology)
    with np.errstate(divide="ignore"):
        return np.sqrt(np.asarray(theta_e_arcsec, dtype=float) / (arcsec_at_full_ratio(1.0) * ratio))


def lens_density(
    theta_e_arcsec, z_lens, z_source, vdf: VelocityDispersionFunction = CHOI_2007, cosmology: FLRW = COSMOLOGY
) -> np.ndarray:
    """Relative number of lenses per arcsec of Einstein radius at given redshifts.

    phi(sigma) dsigma/dtheta_E times the area theta_E^2 in which a source is multiply imaged, with
    dsigma/dtheta_E = sigma / (2 theta_E). Magnification bias is left out.

    Parameters
    ----------
    theta_e_arcsec, z_lens, z_source : array_like
    vdf : VelocityDispersionFunction
    cosmology : astropy.cosmology.FLRW

    Returns
    -------
    ndarray
        In the units of ``vdf`` times arcsec; 0 where the source is not behind the lens, NaN where a redshift is.
    """
    theta = np.asarray(theta_e_arcsec, dtype=float)
    sigma = sigma_v_of(theta, z_lens, z_source, cosmology)
    density = vdf.density(np.where(np.isfinite(sigma), sigma, 0.0)) * np.where(np.isfinite(sigma), sigma, 0.0)
    return np.where(np.isnan(sigma), np.nan, density * theta / 2.0)


def draw_theta_e(
    rng: np.random.Generator,
    z_lens,
    z_source,
    theta_e_range=(0.0, np.inf),
    vdf: VelocityDispersionFunction = CHOI_2007,
    cosmology: FLRW = COSMOLOGY,
) -> tuple[np.ndarray, np.ndarray]:
    """Einstein radii of lenses at given redshifts, between two limits.

    Parameters
    ----------
    rng : numpy.random.Generator
    z_lens, z_source : array_like, (n,)
    theta_e_range : pair of float
        Arcsec.
    vdf : VelocityDispersionFunction
    cosmology : astropy.cosmology.FLRW

    Returns
    -------
    theta_e : ndarray, (n,)
        Arcsec, distributed as `lens_density`.
    sigma_v : ndarray, (n,)
        km/s.

    Raises
    ------
    ValueError
        A source that is not behind its lens, or limits that no galaxy of the function reaches.
    """
    ratio = np.atleast_1d(distance_ratio(z_lens, z_source, cosmology))
    if not (ratio > 0).all():
        raise ValueError(f"{int((~(ratio > 0)).sum())} of {len(ratio)} sources are not behind their lens")
    scale = arcsec_at_full_ratio(1.0) * ratio
    limits = tuple(np.sqrt(np.asarray(t, dtype=float) / scale) for t in theta_e_range)
    sigma_v = vdf.draw(rng, len(ratio), 4.0, limits)
    return scale * sigma_v**2, sigma_v
