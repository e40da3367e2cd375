"""The total magnitude of a stamp's galaxy, whatever stands beside it.

The light of a ring about the galaxy is its median, so neighbours that fill less than half of a ring add nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dhs.survey.facts import PIXEL_SCALE, mag_from_flux
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.population import photo_z

REACH_ARCSEC = 5.2  # the sky begins there (`dhs.survey.sky.ANNULUS_PX`)
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


def redshift_of(fluxes: np.ndarray) -> float:
    """Redshift that real lens galaxies of a galaxy's magnitude and colours have; NaN where a flux is not positive.

    For galaxies without a photo-z of their own; it knows luminous red galaxies alone.

    Parameters
    ----------
    fluxes : ndarray, (3,)
        g, r, z, nanomaggies.
    """
    g, r, z = (float(m) for m in mag_from_flux(fluxes))
    return photo_z(r, g - r, r - z, 0.0) if np.isfinite(g + r + z) else float("nan")
