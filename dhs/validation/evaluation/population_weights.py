"""Weights that turn a response grid into the lens population.

A response grid is uniform in theta_E and has its source fluxes rescaled to a drawn SNR. Each row is weighted with the
density of the population over the density it was drawn from, so a weighted mean is what a sample of that population
would have given, within the range that the grid covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import gaussian_kde

from dhs.errors import DhsError
from dhs.injection.velocity_dispersion import CHOI_2007, COSMOLOGY, VelocityDispersionFunction, lens_density
from dhs.survey.facts import mag_from_flux

COLUMNS = ("theta_e_arcsec", "z_lens", "z_source", "arc_flux_r", "magnification")
COUNTS_SLOPE = 0.33  # d log10 N / dm of faint galaxies in i (Metcalfe et al. 2001, MNRAS 323, 795)
MAG_LIMIT = 27.0  # fainter unlensed sources are left out of the population
KDE_ROWS = 2000  # the kernel density is made of about so many rows
MAX_SHARE = 0.05  # of the total weight for one row; more is noise of the density estimate


@dataclass(frozen=True)
class PopulationWeights:
    """Weights and what they rest on.

    Attributes
    ----------
    weights : ndarray, (n,)
        Mean 1; 0 for rows without redshifts, with a source in front, or outside the population.
    n_effective : float
        (sum w)^2 / sum w^2 (Kish 1965): so many equal rows carry the same information.
    n_used : int
        Rows with a weight above 0.
    n_capped : int
        Rows whose weight was cut to `MAX_SHARE` of the total.
    """

    weights: np.ndarray
    n_effective: float
    n_used: int
    n_capped: int


def population_weights(
    table,
    *,
    by_flux: bool = True,
    vdf: VelocityDispersionFunction = CHOI_2007,
    cosmology=COSMOLOGY,
    counts_slope: float = COUNTS_SLOPE,
    mag_limit: float = MAG_LIMIT,
) -> PopulationWeights:
    """Weights of response-grid rows.

    The target in theta_E is `dhs.injection.velocity_dispersion.lens_density` at the row's own redshifts: hosts keep
    their distribution of z_lens, sources theirs of z_source. The grid's density in theta_E is uniform. With
    ``by_flux``, the target in the unlensed source magnitude m is 10^(slope m) up to a limit; the grid's density of m
    at given theta_E is estimated from the rows: a straight line in log theta_E and a Gaussian kernel density of
    what is left.

    Parameters
    ----------
    table : mapping of str to array_like
        Columns `COLUMNS`; the last two only with ``by_flux``.
    by_flux : bool
    vdf, cosmology
        Of the lenses.
    counts_slope, mag_limit : float
        Of the sources, r band.

    Returns
    -------
    PopulationWeights

    Raises
    ------
    DhsError
        No row can be a lens of the population.
    """
    theta, z_lens, z_source = (np.asarray(table[c], dtype=float) for c in COLUMNS[:3])
    weights = np.nan_to_num(lens_density(theta, z_lens, z_source, vdf, cosmology))
    if by_flux:
        flux = np.asarray(table["arc_flux_r"], dtype=float) / np.asarray(table["magnification"], dtype=float)
        mag = mag_from_flux(flux)
        known = np.isfinite(mag) & (theta > 0)
        weights[~known | (np.nan_to_num(mag, nan=99.0) > mag_limit)] = 0.0
        if known.sum() >= 10:
            rest = mag[known] - np.polyval(np.polyfit(np.log(theta[known]), mag[known], 1), np.log(theta[known]))
            drawn = gaussian_kde(rest[:: -(-len(rest) // KDE_ROWS)])(rest)
            weights[known] *= 10.0 ** (counts_slope * (mag[known] - mag_limit)) / drawn
    if not (weights > 0).any():
        raise DhsError(
            f"none of {len(theta)} rows can be a lens of the population: they need z_source > z_lens and an Einstein "
            "radius that a galaxy can have. Give a data set with redshifts."
        )
    limit = MAX_SHARE * weights.sum()
    capped = int((weights > limit).sum()) if len(weights) > 2 / MAX_SHARE else 0
    weights = np.minimum(weights, limit) if capped else weights
    weights = weights / weights.mean()
    return PopulationWeights(weights, float(weights.sum() ** 2 / (weights**2).sum()), int((weights > 0).sum()), capped)
