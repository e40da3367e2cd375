"""What stored pairs are measured in, and the Legacy Surveys' numbers under short names.

Arrays are channel-first (band, y, x) in the order of `BANDS`; fluxes are nanomaggies (AB zero-point 22.5). Another
survey's numbers are in its own record (`dhs.survey.survey.surveys`); pixels, stamp side and unit of stored pairs are
these whatever the survey.
"""

from __future__ import annotations

import numpy as np

from dhs.survey.survey import NANOMAGGY, Band
from dhs.survey.surveys.legacy import LEGACY_SURVEYS

BANDS: tuple[Band, ...] = LEGACY_SURVEYS.bands
BAND_NAMES: tuple[str, ...] = LEGACY_SURVEYS.band_names
PIXEL_SCALE = LEGACY_SURVEYS.pixel_scale  # arcsec
STAMP = 64  # pixels a side
ZERO_POINT = NANOMAGGY
LAG1_CORRELATION = LEGACY_SURVEYS.lag1_correlation
NORTH_DEC = LEGACY_SURVEYS.north_dec


Z_KNOWN = (0.0, 9.0)
"""Redshifts between which one is taken for known: tables write 0, -1, -99, 99, 999 or 9.99 where there is none."""


def known_redshift(z) -> np.ndarray:
    """Redshifts as float64, NaN where a value stands for "unknown" (`Z_KNOWN`)."""
    z = np.asarray(z, dtype=float)
    return np.where((z > Z_KNOWN[0]) & (z < Z_KNOWN[1]), z, np.nan)


def flux_from_mag(mag):
    """Nanomaggies of an AB magnitude."""
    return 10.0 ** (0.4 * (ZERO_POINT - np.asarray(mag, dtype=float)))


def mag_from_flux(flux):
    """AB magnitude of a flux in nanomaggies; NaN where the flux is not positive."""
    flux = np.asarray(flux, dtype=float)
    return ZERO_POINT - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def psf_depth(sky_sigma, psf_fwhm_arcsec) -> np.ndarray:
    """AB magnitude of a point source detected at 5 sigma in background noise.

    The noise of PSF photometry is sigma sqrt(N), with N = 4 pi s^2 pixels for a Gaussian of standard deviation s
    (King 1983, PASP 95, 163).

    Parameters
    ----------
    sky_sigma : array_like
        Per-pixel sky noise, nanomaggies.
    psf_fwhm_arcsec : array_like
    """
    s = np.asarray(psf_fwhm_arcsec, dtype=float) / np.sqrt(8.0 * np.log(2.0)) / PIXEL_SCALE
    return mag_from_flux(5.0 * np.asarray(sky_sigma, dtype=float) * s * np.sqrt(4.0 * np.pi))


gain_from_sky_noise = LEGACY_SURVEYS.gain_from_sky_noise
gain_from_exposures = LEGACY_SURVEYS.gain_from_exposures


def galactic_latitude(ra, dec) -> np.ndarray:
    """Galactic latitude in degrees of a position in degrees (pole at RA 192.85948, Dec 27.12825)."""
    ra, dec, pole = np.radians(ra), np.radians(dec), np.radians(27.12825)
    sin_b = np.sin(pole) * np.sin(dec) + np.cos(pole) * np.cos(dec) * np.cos(ra - np.radians(192.85948))
    return np.degrees(np.arcsin(np.clip(sin_b, -1.0, 1.0)))


def is_north(ra: float, dec: float) -> bool:
    """Whether a position is BASS/MzLS sky: declination above 32.375 degrees in the north galactic cap."""
    return bool(dec > NORTH_DEC and galactic_latitude(ra, dec) > 0)
