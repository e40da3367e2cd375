"""Distances in the flat cosmology of the scaling relations used here, from a table."""

from __future__ import annotations

from functools import cache

import numpy as np
from astropy import units as u
from astropy.cosmology import FlatLambdaCDM

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)
_Z_LIMIT = 10.0


@cache
def _comoving_mpc() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0.0, _Z_LIMIT, 5001)
    return z, COSMOLOGY.comoving_distance(z).to_value(u.Mpc)


def flat_ratio(z_lens: float, z_source) -> np.ndarray:
    """D_ls / D_s = 1 - D_l / D_s of comoving distances, to 1e-5; 0 where the source is not behind the lens.

    Parameters
    ----------
    z_lens : float
    z_source : array_like
        Up to 10.
    """
    z, distance = _comoving_mpc()
    far = np.interp(z_source, z, distance)
    behind = np.asarray(z_source, dtype=float) > z_lens
    return np.where(behind, 1.0 - np.interp(z_lens, z, distance) / np.maximum(far, 1e-9), 0.0)


def absolute_mag_r(mag_r, z) -> np.ndarray:
    """Absolute r magnitude of an early type, H0 = 70: m - DM - z.

    K-correction less passive evolution of early types is close to z magnitudes up to z = 0.7.
    """
    z_grid, distance = _comoving_mpc()
    z = np.asarray(z, dtype=float)
    luminosity_mpc = np.maximum(np.interp(z, z_grid, distance) * (1.0 + z), 1e-5)
    return np.asarray(mag_r, dtype=float) - (5.0 * np.log10(luminosity_mpc) + 25.0) - z
