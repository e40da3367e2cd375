"""`HostStamp`: one survey cutout, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dhs.survey.facts import LAG1_CORRELATION


@dataclass(frozen=True)
class HostStamp:
    """A 64 x 64 grz cutout centred on its galaxy, in nanomaggies.

    Attributes
    ----------
    host_id, brickname : str
    ra, dec, brick_ra, brick_dec : float
        Degrees; the brick's are those of its centre, from the survey's grid.
    image : ndarray, (3, 64, 64) float32
    invvar : ndarray or None, (3, 64, 64) float32
        Inverse variance, nanomaggies^-2; 0 where a pixel is masked.
    psf : ndarray or None, (3, k, k) float32
        PSF image per band at 0.262 arcsec a pixel, sum 1, k odd; pixel response included.
    psf_fwhm : ndarray, (3,)
        Arcsec; measured on ``psf`` where there is one.
    sky_sigma : ndarray, (3,)
        Per-pixel sky noise, nanomaggies.
    gain : ndarray, (3,)
        Electrons per nanomaggy, derived from the sky noise (`dhs.survey.facts.gain_from_sky_noise`).
    e1, e2 : float
        Ellipticity of the host's r-band light, e = (1-q)/(1+q), e1 = e cos 2 phi, e2 = e sin 2 phi, phi
        counter-clockwise from +x.
    x_arcsec, y_arcsec : float
        Centroid of the host's r-band light from the stamp's centre (pixel coordinate (31.5, 31.5)), arcsec.
    lag1 : float
        Effective correlation of sky noise between neighbouring pixels, mean over bands and axes: the sum over lags
        1 to 3, so that a covariance cut after one pixel (`dhs.injection.snr.snr_matched`) has the measured power.
    z_phot : float
        Photometric redshift; NaN where unknown.
    flags : tuple of str
        ``gain_assumed``, ``psf_assumed``, ``psf_from_star``, ``sigma_from_mad``, ``position_unknown``, ``des_coadd``,
        ``host_is_candidate``, ``mock``.
    file : str
    row : int
    survey : str
        Name of its record (`dhs.survey.survey.surveys`).
    """

    host_id: str
    brickname: str
    ra: float
    dec: float
    brick_ra: float
    brick_dec: float
    image: np.ndarray
    invvar: np.ndarray | None
    psf: np.ndarray | None
    psf_fwhm: np.ndarray
    sky_sigma: np.ndarray
    gain: np.ndarray
    e1: float = 0.0
    e2: float = 0.0
    x_arcsec: float = 0.0
    y_arcsec: float = 0.0
    lag1: float = LAG1_CORRELATION
    z_phot: float = float("nan")
    flags: tuple[str, ...] = ()
    file: str = ""
    row: int = -1
    meta: dict = field(default_factory=dict)
    survey: str = "legacy"
