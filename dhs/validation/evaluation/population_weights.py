"""Weights that turn the drawn pairs into the lens population.

Every pair holds the density of the population over that of its draw (`dhs.injection.priors`), known exactly where it
was drawn: there is one population, whatever prior a set was made under. A weighted mean is what a sample of that
population would have given, within the ranges of Einstein radius and SNR that were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.errors import DhsError

COLUMN = "population_weight"
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
