"""The two signal-to-noise ratios of an arc; they differ by a factor of several and are never mixed."""

from __future__ import annotations

import numpy as np
from numba import njit

R_BAND = 1


def snr_maxpix(arc: np.ndarray, sky_sigma: np.ndarray) -> float:
    """Maximum over pixels of arc / sky sigma in r: ``arc_snr_maxpix``, the earlier format's ``arc_snr``.

    Parameters
    ----------
    arc : ndarray, (3, y, x)
    sky_sigma : ndarray, (3,)
        Same unit as ``arc``.
    """
    return float(arc[R_BAND].max() / sky_sigma[R_BAND])


def snr_matched(arc: np.ndarray, variance: np.ndarray, lag1: float) -> float:
    """Matched-filter SNR of a noiseless arc over all bands: ``arc_snr_matched``.

    With weights w = a / sigma^2, SNR = sum(a^2 / sigma^2) / sqrt(w^T C w). C is the noise covariance,
    C_ij = sigma_i sigma_j rho(i - j), with rho = 1 at lag 0, ``lag1`` at the four nearest neighbours and lag1^2 at
    the four diagonal ones (a separable first-order correlation, cut after one pixel).

    Parameters
    ----------
    arc : ndarray, (3, y, x)
    variance : ndarray, (3, y, x)
        Sky plus host shot noise; pixels with infinite variance do not count.
    lag1 : float
        Correlation of neighbouring pixels.
    """
    white, neighbours, diagonal = _sums(np.asarray(arc), np.asarray(variance))
    if white == 0:
        return 0.0
    return white / float(np.sqrt(white + 2.0 * lag1 * neighbours + 2.0 * lag1**2 * diagonal))


@njit(cache=True, error_model="numpy")
def _sums(arc, variance):
    """Sums of u^2, and of products of u = arc / sigma over the two neighbours and the two diagonals of each pixel."""
    bands, ny, nx = arc.shape
    white, neighbours, diagonal = 0.0, 0.0, 0.0
    last, row = np.zeros(nx + 2), np.zeros(nx + 2)
    for b in range(bands):
        last[:] = 0.0
        for j in range(ny):
            for i in range(nx):
                row[i + 1] = arc[b, j, i] / np.sqrt(variance[b, j, i])
            for i in range(1, nx + 1):
                u = row[i]
                white += u * u
                neighbours += u * (row[i - 1] + last[i])
                diagonal += u * (last[i - 1] + last[i + 1])
            last[:] = row
    return white, neighbours, diagonal
