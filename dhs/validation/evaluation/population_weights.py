"""Weights that turn the drawn pairs into the lens population.

Every pair holds the density of the population over that of its draw (`dhs.injection.priors`), known exactly where it
was drawn: there is one population, whatever prior a set was made under. A weighted mean is what a sample of that
population would have given, within the ranges of Einstein radius and SNR that were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.config import InjectionConfig
from dhs.errors import DhsError
from dhs.injection.priors import MAG_LIMIT
from dhs.survey.facts import mag_from_flux

COLUMN = "population_weight"
NEEDED = ("arc_flux_r", "magnification", "arc_snr_maxpix")  # of `above_floor`
POPULATION = (
    "lenses of these hosts: velocity dispersions by Faber-Jackson with its scatter (Bernardi et al. 2003), in "
    "proportion to their cross-section"
)
MAX_SHARE = 0.05  # of the total weight for one row; more would make one row the result


@dataclass(frozen=True)
class PopulationWeights:
    """Weights and what they rest on.

    Attributes
    ----------
    weights : ndarray, (n,)
        Mean 1; 0 for rows outside the population, and for hosts without redshift.
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


def population_weights(drawn) -> PopulationWeights:
    """Weights of a set's rows.

    Parameters
    ----------
    drawn : array_like, (n,)
        Column `COLUMN` of the pairs; NaN where it is not known.

    Returns
    -------
    PopulationWeights

    Raises
    ------
    DhsError
        No row can be a lens of the population.
    """
    weights = np.clip(np.nan_to_num(np.asarray(drawn, dtype=float)), 0.0, None)
    if not (weights > 0).any():
        raise DhsError(
            f"none of {len(weights)} rows can be a lens of the population: their hosts have no redshift or magnitude, "
            "or their Einstein radii are of no galaxy. Give a data set with redshifts."
        )
    limit = MAX_SHARE * weights.sum()
    capped = int((weights > limit).sum()) if len(weights) > 2 / MAX_SHARE else 0
    weights = np.minimum(weights, limit) if capped else weights
    weights = weights / weights.mean()
    return PopulationWeights(weights, float(weights.sum() ** 2 / (weights**2).sum()), int((weights > 0).sum()), capped)


def above_floor(weights, table, config: InjectionConfig) -> float | None:
    """Share of the population whose arcs have an SNR in the range that was drawn.

    A weighted number holds for that share alone. At a pair's own geometry, sources to r = `MAG_LIMIT` in proportion
    to 10^(``counts_slope`` m) reach the range with probability F, the difference of that power at the two magnitudes
    where the SNR enters and leaves it. A pair's expected weight is the population's density at its geometry times F,
    so dividing by F gives the population without the cut: the share is sum w / sum (w / F). Under the prior
    ``population`` catalogue fluxes are kept and nothing is cut: it is counted.

    Parameters
    ----------
    weights : ndarray, (n,)
    table : mapping of str to array_like, (n,)
        ``arc_flux_r`` (nanomaggies), ``magnification``, ``arc_snr_maxpix``.
    config : InjectionConfig
        Of the set.

    Returns
    -------
    float or None
        None where no pair has a weight.
    """
    flux, magnification, snr = (np.asarray(table[c], dtype=float) for c in NEEDED)
    known = (weights > 0) & np.isfinite(flux / magnification) & (flux > 0) & (snr > 0)
    if not known.any():
        return None
    w, snr = np.asarray(weights, dtype=float)[known], snr[known]
    low, high = config.arc_snr_maxpix
    if config.prior == "population":
        return float(w[(snr >= low) & (snr <= high)].sum() / w.sum())
    mag = mag_from_flux(flux[known] / magnification[known])
    faint, bright = (np.minimum(mag + 2.5 * np.log10(snr / limit), MAG_LIMIT) for limit in (low, high))
    if config.prior == "joint":
        faint, bright = np.minimum(faint, config.source_mag_r[1]), np.maximum(bright, config.source_mag_r[0])
    reach = 10.0 ** (config.counts_slope * (faint - MAG_LIMIT)) - 10.0 ** (config.counts_slope * (bright - MAG_LIMIT))
    possible = reach > 0
    return float(w[possible].sum() / (w[possible] / reach[possible]).sum()) if possible.any() else None
