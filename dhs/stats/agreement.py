"""Do graders agree? Krippendorff's alpha for ordered grades, with an interval from resampled candidates."""

from __future__ import annotations

import numpy as np

from dhs.random import Stream, keyed
from dhs.stats.clusters import MIN_CLUSTERS, Metric, missing

N_BOOTSTRAP = 2000


def counts_of(grades: np.ndarray, n_grades: int) -> np.ndarray:
    """(units, n_grades) how often each grade was given to each unit.

    Parameters
    ----------
    grades : ndarray, (units, graders)
        0 to ``n_grades`` - 1; NaN where a grader gave none.
    n_grades : int
    """
    return np.stack([(grades == g).sum(axis=1) for g in range(n_grades)], axis=1).astype(float)


def _coincidences(counts: np.ndarray) -> np.ndarray:
    """(units, k, k) pairs of grades within each unit, each unit weighing as many as it has grades."""
    m = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return pairs / np.where(m > 1, m - 1, np.inf)[:, None, None]


def _ordinal_distances(totals: np.ndarray) -> np.ndarray:
    """(..., k, k) squared ordinal differences: the grades given between two, half of their own among them."""
    k = totals.shape[-1]
    below = np.concatenate([np.zeros((*totals.shape[:-1], 1)), np.cumsum(totals, axis=-1)], axis=-1)
    middle = (below[..., :-1] + below[..., 1:]) / 2
    return (middle[..., :, None] - middle[..., None, :]) ** 2 * (1 - np.eye(k))


def alpha_of(coincidences: np.ndarray) -> np.ndarray:
    """Alpha of (..., k, k) coincidences summed over units; NaN where only one grade was given.

    Krippendorff (2011), *Computing Krippendorff's Alpha-Reliability*: one minus the disagreement observed over that
    expected of the same grades dealt out at random.
    """
    totals = coincidences.sum(axis=-1)
    n = totals.sum(axis=-1)
    distance = _ordinal_distances(totals)
    observed = (coincidences * distance).sum(axis=(-2, -1))
    expected = (totals[..., :, None] * totals[..., None, :] * distance).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (n - 1) * observed / np.where(expected > 0, expected, np.nan)


def ordinal_alpha(grades: np.ndarray, n_grades: int, *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0) -> Metric:
    """Krippendorff's alpha for ordered grades: 1 where graders agree, 0 where they might as well have drawn lots.

    Parameters
    ----------
    grades : ndarray, (units, graders)
        0 to ``n_grades`` - 1; NaN where a grader gave none. Units with fewer than two grades say nothing.
    n_grades : int
    n_bootstrap : int
        Resamples of the units for the 95 % percentile interval; none is given below eight units.
    seed : int

    Returns
    -------
    Metric
        ``n`` counts the units with two grades or more.
    """
    counts = counts_of(np.asarray(grades, dtype=float), n_grades)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return missing("no_two_graders_on_one_candidate")
    each = _coincidences(counts)
    value = float(alpha_of(each.sum(axis=0)))
    if not np.isfinite(value):
        return missing("one_grade_only", len(counts))
    if len(counts) < MIN_CLUSTERS:
        return Metric(value, None, None, len(counts), None, None, ("few_candidates",))
    rng = keyed(seed, Stream.BOOTSTRAP, len(each))
    flat, draws = each.reshape(len(each), -1), []
    for start in range(0, n_bootstrap, 200):  # a few at a time: weights take (draws, units)
        weights = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), min(200, n_bootstrap - start))
        draws.append(alpha_of((weights @ flat).reshape(-1, n_grades, n_grades)))
    low, high = np.nanquantile(np.concatenate(draws), (0.025, 0.975))
    return Metric(value, float(low), float(high), len(counts), None, None, ("bootstrap",))
