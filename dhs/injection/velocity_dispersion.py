"""Velocity dispersions of lenses: what a galaxy's luminosity says, and what an isothermal Einstein radius needs."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.cosmology import FLRW

from dhs.survey.cosmology import COSMOLOGY

SPEED_OF_LIGHT = 299_792.458  # km/s
SIGMA_RANGE = (100.0, 400.0)  # km/s; velocity-dispersion functions of galaxies are measured between about these
FJ_SCATTER = 0.07  # dex in sigma_v at given luminosity, Bernardi et al. 2003


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
