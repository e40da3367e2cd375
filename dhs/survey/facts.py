"""Facts of the DESI Legacy Surveys imaging; nothing outside ``dhs.survey`` knows another constant of it.

Arrays are channel-first (band, y, x) in the order of `BANDS`; fluxes are nanomaggies (AB zero-point 22.5).
Sources: Dey et al. 2019, AJ 157, 168 (survey design, seeing, sky); legacysurvey.org/dr10/description.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Band:
    """One band of the survey.

    Attributes
    ----------
    name : str
    sky_mag_arcsec2 : float
        Typical dark-sky surface brightness, AB mag per square arcsec: the fallback where a stamp has none.
    psf_fwhm_arcsec : float
        Typical delivered image quality of the coadds: the fallback where a stamp has none.
    filter_south, filter_north : str
        speclite names of the DECam and of the BASS/MzLS curves.
    zero_point_adu : float
        DECam magnitude of one ADU a second (legacypipe, ``decam.py``, nominal zero-points).
    """

    name: str
    sky_mag_arcsec2: float
    psf_fwhm_arcsec: float
    filter_south: str
    filter_north: str
    zero_point_adu: float


G = Band("g", 22.0, 1.3, "decamDR1-g", "BASS-g", 25.001)
R = Band("r", 20.9, 1.2, "decamDR1-r", "BASS-r", 25.209)
Z = Band("z", 18.7, 1.1, "decamDR1-z", "MzLS-z", 24.875)

BANDS: tuple[Band, ...] = (G, R, Z)
BAND_NAMES: tuple[str, ...] = tuple(b.name for b in BANDS)
PIXEL_SCALE = 0.262  # arcsec
STAMP = 64  # pixels a side
ZERO_POINT = 22.5  # AB magnitude of one nanomaggy
LAG1_CORRELATION = 0.14  # effective, see `dhs.survey.sky.noise_correlation`; six real DR10 stamps: 0.09 to 0.18
NORTH_DEC = 32.375  # degrees; north of it BASS and MzLS, legacysurvey.org/dr9/description
DECAM_GAIN = 4.0  # electrons an ADU


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


def sky_flux_per_pixel() -> np.ndarray:
    """(3,) dark-sky brightness in nanomaggies per pixel."""
    return np.array([flux_from_mag(b.sky_mag_arcsec2) for b in BANDS]) * PIXEL_SCALE**2


def gain_from_sky_noise(sky_sigma) -> np.ndarray:
    """Effective gain in electrons per nanomaggy from the per-pixel sky noise.

    In sky-dominated pixels var = sky / gain, so gain = sky brightness per pixel x inverse variance.

    Parameters
    ----------
    sky_sigma : array_like, (3,)
        Per-pixel sky noise in nanomaggies, per band.
    """
    return sky_flux_per_pixel() / np.asarray(sky_sigma, dtype=float) ** 2


def gain_from_exposures(exptime) -> np.ndarray:
    """Gain in electrons per nanomaggy of a coadd, from its exposures.

    10^(0.4 (zp - 22.5)) ADU a second and nanomaggy, times exposure time, times detector gain.

    Parameters
    ----------
    exptime : array_like, (3,)
        DECam exposure time per band, summed over exposures, seconds.
    """
    adu_per_second = np.array([10.0 ** (0.4 * (b.zero_point_adu - ZERO_POINT)) for b in BANDS])
    return adu_per_second * DECAM_GAIN * np.asarray(exptime, dtype=float)


def galactic_latitude(ra, dec) -> np.ndarray:
    """Galactic latitude in degrees of a position in degrees (pole at RA 192.85948, Dec 27.12825)."""
    ra, dec, pole = np.radians(ra), np.radians(dec), np.radians(27.12825)
    sin_b = np.sin(pole) * np.sin(dec) + np.cos(pole) * np.cos(dec) * np.cos(ra - np.radians(192.85948))
    return np.degrees(np.arcsin(np.clip(sin_b, -1.0, 1.0)))


def is_north(ra: float, dec: float) -> bool:
    """Whether a position is BASS/MzLS sky: declination above 32.375 degrees in the north galactic cap."""
    return bool(dec > NORTH_DEC and galactic_latitude(ra, dec) > 0)
