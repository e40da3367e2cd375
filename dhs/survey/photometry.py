"""The total magnitude of a stamp's galaxy, whatever stands beside it.

The light of a ring about the galaxy is its median, so neighbours that fill less than half of a ring add nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from dhs.survey.colours import colours
from dhs.survey.facts import PIXEL_SCALE, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp

REACH_ARCSEC = 5.2  # the sky begins there (`dhs.survey.sky.ANNULUS_PX`)
RED_SEQUENCE_Z = (0.05, 0.95)  # where both colours grow with redshift, or nearly so
CORE_PX = 2.5  # within it every pixel counts: rings of a few pixels have no robust median


def galaxy_flux(band: np.ndarray, x: float, y: float, sky: float = 0.0) -> float:
    """Flux of the galaxy at (x, y): all light within `CORE_PX`, ring medians from there to `REACH_ARCSEC`.

    Parameters
    ----------
    band : ndarray, (y, x)
        Nanomaggies.
    x, y : float
        Centre, pixels.
    sky : float
        Residual sky level to subtract, per pixel.
    """
    return _galaxy_flux(np.ascontiguousarray(band, np.float64) - sky, x, y, CORE_PX, REACH_ARCSEC / PIXEL_SCALE)


@njit(cache=True, error_model="numpy")
def _galaxy_flux(band, x, y, core, reach):
    ny, nx = band.shape
    n_rings = int(np.ceil(reach - core))
    counts = np.zeros(n_rings, np.int64)
    values = np.empty((n_rings, 8 * int(reach + 2)))
    total = 0.0
    for j in range(ny):
        for i in range(nx):
            r = np.hypot(i - x, j - y)
            if r < core:
                total += band[j, i]
            elif r < reach:
                k = min(int(r - core), n_rings - 1)
                values[k, counts[k]] = band[j, i]
                counts[k] += 1
    for k in range(n_rings):
        if counts[k] > 0:
            total += counts[k] * np.median(values[k, : counts[k]])
    return total


def host_fluxes(host: HostStamp) -> np.ndarray:
    """(3,) total fluxes of a host, nanomaggies."""
    middle = 0.5 * (host.image.shape[-1] - 1)
    x, y = (middle + v / PIXEL_SCALE for v in (host.x_arcsec, host.y_arcsec))
    return np.array([galaxy_flux(band, x, y) for band in host.image])


def host_mag_r(host: HostStamp) -> float:
    """Total r magnitude of a host; NaN where its light is not positive."""
    return float(mag_from_flux(host_fluxes(host)[1]))


@cache
def _red_sequence() -> tuple[np.ndarray, np.ndarray]:
    z = np.arange(RED_SEQUENCE_Z[0], RED_SEQUENCE_Z[1], 0.01)
    own = colours("E", z)
    return z, np.stack([own.g_r, own.r_z], axis=1)


def red_sequence_redshift(fluxes: np.ndarray) -> float:
    """Redshift at which an elliptical has the colours nearest to a galaxy's; NaN where a flux is not positive.

    For galaxies without a photo-z of their own: good to some 0.05 for luminous red ones, meaningless for blue ones.

    Parameters
    ----------
    fluxes : ndarray, (3,)
        g, r, z, nanomaggies.
    """
    g, r, z_band = mag_from_flux(fluxes)
    if not np.isfinite(g + r + z_band):
        return float("nan")
    z, own = _red_sequence()
    return float(z[((own - [g - r, r - z_band]) ** 2).sum(axis=1).argmin()])
