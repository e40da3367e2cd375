"""`Survey`: what differs between imaging surveys, as one record; surveys by name.

What stored pairs hold does not differ: 64 x 64 pixels in three bands that stand for g, r, z, in nanomaggies (AB
zero-point 22.5), at 0.262 arcsec within a hundredth (`dhs.datasets.schema`). So a survey is read where its pixels are
within a hundredth of the Legacy Surveys'; a reader of other pixels resamples them, and says what that does to noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.registry import Registry

NANOMAGGY = 22.5  # AB magnitude


@dataclass(frozen=True)
class Band:
    """One band of a survey.

    Attributes
    ----------
    name : str
    sky_mag_arcsec2 : float
        Typical dark-sky surface brightness, AB mag per square arcsec: the fallback where a stamp has none.
    psf_fwhm_arcsec : float
        Typical delivered image quality of the coadds: the fallback where a stamp has none.
    filter_south, filter_north : str
        speclite names of the curves in the survey's two photometric systems; the same where it has one.
    zero_point_adu : float
        AB magnitude of one ADU a second of a single exposure (nominal).
    """

    name: str
    sky_mag_arcsec2: float
    psf_fwhm_arcsec: float
    filter_south: str
    filter_north: str
    zero_point_adu: float


@dataclass(frozen=True)
class Survey:
    """An imaging survey: the contract.

    Register a record with ``surveys.add(name, Survey(...))`` in a module of `dhs.survey.surveys`, or in one that
    another package names under the entry-point group ``dhs.surveys``; a host reader says whose stamps it reads with
    ``content["survey"] = name`` (`dhs.survey.hosts.cutouts.stamp_of`).

    Attributes
    ----------
    name, title : str
    bands : tuple of Band
        Three, in the order of the stored planes g, r, z.
    pixel_scale : float
        Arcsec.
    zero_point : float
        AB magnitude of one unit of its own images: 22.5 where they are in nanomaggies.
    detector_gain : float
        Electrons an ADU.
    lag1_correlation : float
        Correlation of sky noise between neighbouring pixels, effective: see `dhs.survey.sky.noise_correlation`.
    north_dec : float or None
        Declination from which, in the north galactic cap, the northern filters hold; None: one system everywhere.
    acknowledgement : str
        What must stand where its images are shown.
    """

    name: str
    title: str
    bands: tuple[Band, Band, Band]
    pixel_scale: float
    zero_point: float = NANOMAGGY
    detector_gain: float = 1.0
    lag1_correlation: float = 0.0
    north_dec: float | None = None
    acknowledgement: str = ""

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(b.name for b in self.bands)

    @property
    def psf_fwhm(self) -> np.ndarray:
        """(3,) typical FWHM, arcsec."""
        return np.array([b.psf_fwhm_arcsec for b in self.bands])

    def nanomaggies(self, pixels):
        """Images in the survey's own unit as nanomaggies."""
        return np.asarray(pixels) * 10.0 ** (0.4 * (NANOMAGGY - self.zero_point))

    def sky_flux_per_pixel(self) -> np.ndarray:
        """(3,) dark-sky brightness in nanomaggies per pixel."""
        sky = np.array([b.sky_mag_arcsec2 for b in self.bands])
        return 10.0 ** (0.4 * (NANOMAGGY - sky)) * self.pixel_scale**2

    def gain_from_sky_noise(self, sky_sigma) -> np.ndarray:
        """(3,) effective gain in electrons per nanomaggy from the per-pixel sky noise, (3,) nanomaggies.

        In sky-dominated pixels var = sky / gain, so gain = sky brightness per pixel x inverse variance.
        """
        return self.sky_flux_per_pixel() / np.asarray(sky_sigma, dtype=float) ** 2

    def gain_from_exposures(self, exptime) -> np.ndarray:
        """(3,) gain in electrons per nanomaggy of a coadd, from exposure time per band summed over exposures, seconds.

        10^(0.4 (zp - 22.5)) ADU a second and nanomaggy, times exposure time, times detector gain.
        """
        adu_per_second = np.array([10.0 ** (0.4 * (b.zero_point_adu - NANOMAGGY)) for b in self.bands])
        return adu_per_second * self.detector_gain * np.asarray(exptime, dtype=float)


surveys = Registry("survey", "dhs.surveys", "dhs.survey.surveys")
