"""The point-spread function: the survey's profile, and the FWHM measured on a PSF image."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from dhs.survey.facts import PIXEL_SCALE

MOFFAT_BETA = 3.5
"""Wing index of the Moffat profile used where a stamp has a FWHM but no PSF image.

The survey's own inner PSF is a Moffat profile with beta free per CCD (legacysurvey.org/dr9/psf). Fitted to nine DECam
PSF images (three fields, g, r, z) beta is 3.06 to 3.87 with mean 3.48. At 3.5 the Fourier transform is elementary.
"""

_FINE = 8  # sub-samples a pixel for the half-maximum contour


def moffat_alpha(fwhm: float) -> float:
    """Scale radius alpha of I(r) = (1 + r^2/alpha^2)^-beta for a FWHM, in the FWHM's unit."""
    return fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0))


def intrinsic_fwhm(delivered_fwhm_arcsec):
    """FWHM before the pixel's response, arcsec: the pixel's second moment, 1/12 px^2, taken out of the delivered."""
    pixel = PIXEL_SCALE * 2.0 * np.sqrt(2.0 * np.log(2.0) / 12.0)
    delivered = np.asarray(delivered_fwhm_arcsec, dtype=float)
    return np.sqrt(np.maximum(delivered**2 - pixel**2, (0.25 * PIXEL_SCALE) ** 2))


def moffat_transform(k: np.ndarray, fwhm: float) -> np.ndarray:
    """Fourier transform of a unit-flux Moffat profile with beta = 3.5.

    For that beta it is exp(-x) (1 + x + x^2/3), x = k alpha: the Bessel function K_{5/2} is elementary.

    Parameters
    ----------
    k : ndarray
        Wave number, radians per unit length.
    fwhm : float
        In the same unit of length.
    """
    x = k * moffat_alpha(fwhm)
    return np.exp(-x) * (1.0 + x + x * x / 3.0)


def fwhm_of(psf_image: np.ndarray) -> float:
    """FWHM of a PSF image in arcsec, pixel response included.

    The diameter of the circle that has the area inside the half-maximum contour, on a cubic-spline interpolation: the
    geometric mean of the axes where the PSF is not round.

    Parameters
    ----------
    psf_image : ndarray, (k, k)
        At 0.262 arcsec a pixel; brightest pixel at least 8 px from the edge.

    Raises
    ------
    ValueError
        The image is not finite, has no positive peak, or its peak lies too near the edge.
    """
    image = np.asarray(psf_image, dtype=np.float64)
    if image.ndim != 2 or not np.isfinite(image).all() or image.max() <= 0:
        raise ValueError("a PSF image is two-dimensional, finite and has a positive peak")
    y, x = np.unravel_index(int(image.argmax()), image.shape)
    half = min(12, y, x, image.shape[0] - 1 - y, image.shape[1] - 1 - x)
    if half < 8:
        raise ValueError("the PSF's peak is less than 8 pixels from the image's edge")
    axis = np.arange(-half * _FINE, half * _FINE + 1) / _FINE
    fine = map_coordinates(image, np.meshgrid(y + axis, x + axis, indexing="ij"), order=3, mode="nearest")
    area = np.count_nonzero(fine > 0.5 * fine.max()) / _FINE**2
    return float(2.0 * np.sqrt(area / np.pi) * PIXEL_SCALE)
