"""Metrics: AUROC, recall at a false-positive rate, means, concordance, proportions.

Intervals are 95 % unless a function takes ``level``; `dhs.stats.clusters` says how they are made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from dhs.errors import DhsError
from dhs.stats.clusters import FEW_CLUSTERS, MIN_CLUSTERS, Clusters, Metric, missing, plain
from dhs.stats.proportions import supported_fprs

__all__ = [
    "FEW_CLUSTERS",
    "MIN_CLUSTERS",
    "Clusters",
    "Metric",
    "auroc",
    "auroc_influence",
    "auroc_statistic",
    "clopper_pearson",
    "concordance",
    "finite",
    "independent_rows",
    "jeffreys",
    "mean",
    "missing",
    "plain",
    "proportion",
    "recall_curve",
    "recall_statistic",
    "recall_statistics",
    "supported_fprs",
    "tpr_at_fpr",
    "wilson",
]


def auroc(
    scores,
    labels,
    hosts=None,
    sources=None,
    *,
    n_bootstrap: int = 0,
    seed: int = 0,
    row_weights=None,
) -> Metric:
    """Area under the ROC curve, ties counted half, with an interval for clustered rows.

    Parameters
    ----------
    scores : array_like, (n,)
    labels : array_like, (n,)
        Truthy for positives.
    hosts, sources : array_like, (n,), optional
        Clusters, as in `Clusters`; without hosts every row is its own.
    n_bootstrap, seed : int
        Draws of a bootstrap. 0, the default: the variance from placement values (DeLong et al. 1988, Biometrics 44,
        837; for clusters Obuchowski 1997, Biometrics 53, 567), which is that of the bootstrap to first order.
    row_weights : array_like, (n,), optional
        Importance of each row, e.g. of `dhs.validation.evaluation.population_weights.population_weights`.

    Returns
    -------
    Metric
        ``value`` None, flag ``one_class``, where a class is missing.

    Raises
    ------
    DhsError
        A score is NaN or infinite.
    """
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return missing("one_class", len(labels))
    clusters = Clusters(_each(scores) if hosts is None else hosts, sources, n_bootstrap, seed, row_weights, labels)
    statistic = auroc_statistic(scores, labels)
    value = float(statistic(clusters.unit)[0])
    if n_bootstrap:
        return clusters.metric(value, statistic)
    return clusters.linear(value, auroc_influence(scores, labels, clusters.unit[0], value))


def auroc_influence(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, value: float) -> np.ndarray:
    """Of each row: its placement among the other class less the AUROC, times its share of its class's weight."""
    influence = np.zeros(len(scores))
    for mine, sign in ((labels, 1.0), (~labels, -1.0)):
        others = np.sort(scores[~mine])
        total = np.r_[0.0, np.cumsum(weights[~mine][np.argsort(scores[~mine], kind="stable")])]
        below = (
            total[np.searchsorted(others, scores[mine], "left")] + total[np.searchsorted(others, scores[mine], "right")]
        ) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            share = below / total[-1]
            influence[mine] = weights[mine] / weights[mine].sum() * ((share if sign > 0 else 1 - share) - value)
    return influence


def _each(values) -> np.ndarray:
    """Every row its own cluster."""
    return np.arange(len(values))


def finite(scores) -> np.ndarray:
    """Scores as float64.

    Raises
    ------
    DhsError
        Some are NaN or infinite: they have no rank.
    """
    scores = np.asarray(scores, dtype=float)
    if bad := int((~np.isfinite(scores)).sum()):
        first = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DhsError(
            f"{bad} of {len(scores)} scores are NaN or infinite (first: row {first}), so they have no rank. "
            "Leave those rows out, or score their stamps again."
        )
    return scores


def auroc_statistic(scores: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Weighted AUROC as a function of weights (draws, n): the weighted Mann-Whitney statistic.

    Negatives are sorted once; per draw the weight of the negatives below each positive is a look-up in a
    cumulative sum, the mean of its left and right limits where scores tie.
    """
    positive = np.flatnonzero(labels)
    negative = np.flatnonzero(~labels)
    negative = negative[np.argsort(scores[negative], kind="stable")]
    left = np.searchsorted(scores[negative], scores[positive], "left")
    right = np.searchsorted(scores[negative], scores[positive], "right")

    def statistic(weights: np.ndarray) -> np.ndarray:
        below = np.zeros((len(weights), len(negative) + 1))
        np.cumsum(weights[:, negative], axis=1, out=below[:, 1:])
        of_positives = weights[:, positive]
        area = np.einsum("ij,ij->i", of_positives, below[:, left] + below[:, right]) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return area / (of_positives.sum(axis=1) * below[:, -1])

    return statistic


def recall_curve(
    scores, labels, fprs, hosts=None, sources=None, *, n_bootstrap: int = 500, seed: int = 0, row_weights=None
) -> list[tuple[Metric, Metric]]:
    """Recall and threshold at several false-positive rates, from the same bootstrap draws; see `tpr_at_fpr`."""
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return [(missing("one_class", len(labels)), missing("one_class", len(labels))) for _ in fprs]
    statistic = recall_statistics(scores, labels, fprs)
    clusters = Clusters(_each(scores) if hosts is None else hosts, sources, n_bootstrap, seed, row_weights, labels)
    bounds = ((0.0, 1.0), (-np.inf, np.inf)) * len(fprs)
    values = statistic(clusters.unit)[:, 0]
    found = clusters.metrics(values, statistic, bounds, _of_positives(scores, labels, values, clusters))
    return list(zip(found[::2], found[1::2]))


def _of_positives(scores: np.ndarray, labels: np.ndarray, values: np.ndarray, clusters: Clusters) -> np.ndarray | None:
    """Influence of rows on recall and threshold where only positives have sources: the threshold stays where it is."""
    if not clusters.two_way or (clusters.sources[~labels] >= 0).any():
        return None
    share = np.where(labels, clusters.unit[0], 0.0) / clusters.unit[0, labels].sum()
    influence = np.zeros((len(values), len(scores)))
    influence[::2] = share * ((scores > values[1::2, None]) - values[::2, None])
    return influence


def tpr_at_fpr(scores, labels, fpr: float, hosts=None, sources=None, **options) -> tuple[Metric, Metric]:
    """Recall at a false-positive rate; the interval holds the error of threshold and of recall.

    Each bootstrap draw resamples negatives and positives, sets its own threshold on the drawn negatives, and
    measures the recall of the drawn positives there. A row counts as found where ``score > threshold``; the
    threshold is the score of the first negative that the rate can no longer afford.

    Parameters
    ----------
    scores, labels, hosts, sources
        As in `auroc`.
    fpr : float
    **options
        ``n_bootstrap`` (500), ``seed``, ``row_weights``.

    Returns
    -------
    recall, threshold : Metric

    Raises
    ------
    DhsError
        A score is NaN or infinite.
    """
    return recall_curve(scores, labels, [fpr], hosts, sources, **options)[0]


def recall_statistic(scores: np.ndarray, labels: np.ndarray, fpr: float) -> Callable[[np.ndarray], np.ndarray]:
    """Recall at a false-positive rate, and its threshold, as a function of weights (draws, n); gives (2, draws)."""
    return recall_statistics(scores, labels, [fpr])


def recall_statistics(scores: np.ndarray, labels: np.ndarray, fprs) -> Callable[[np.ndarray], np.ndarray]:
    """As `recall_statistic` at several rates, gives (2 rates, draws): recall and threshold of each in turn.

    Rows are sorted once. Of the negatives only those above the lowest threshold of any draw are looked at.
    """
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    positive = positive[np.argsort(-scores[positive], kind="stable")]
    negative = negative[np.argsort(-scores[negative], kind="stable")]
    of_positives, of_negatives = -scores[positive], scores[negative]
    is_negative, affordable = (~labels).astype(float), np.asarray(fprs, dtype=float) * (1 + 1e-9)
    reach = min(len(negative), int(1.2 * affordable.max(initial=0.0) * len(negative)) + 64)

    def both(weights: np.ndarray) -> np.ndarray:
        limits = affordable[:, None] * (weights @ is_negative)
        k = reach
        running = np.cumsum(weights[:, negative[:k]], axis=1)
        while k < len(negative) and not (running[:, -1] > limits.max(axis=0)).all():
            k = min(2 * k, len(negative))
            running = np.cumsum(weights[:, negative[:k]], axis=1)
        found = np.zeros((len(weights), len(positive) + 1))
        np.cumsum(weights[:, positive], axis=1, out=found[:, 1:])
        out = []
        for limit in limits:
            first = (running <= limit[:, None]).sum(axis=1)
            threshold = np.where(first < k, of_negatives[np.minimum(first, k - 1)], -np.inf)
            above = np.searchsorted(of_positives, -threshold, "left")
            with np.errstate(invalid="ignore", divide="ignore"):
                recall = found[np.arange(len(above)), above] / found[:, -1]
            out += [recall, np.where(np.isfinite(recall), threshold, np.nan)]
        return np.stack(out)

    return both


def mean(
    values,
    hosts=None,
    sources=None,
    *,
    bounds=(-np.inf, np.inf),
    n_bootstrap: int = 0,
    seed: int = 0,
    row_weights=None,
) -> Metric:
    """Mean of a value per row, with an interval for clustered rows; ``n_bootstrap`` as in `auroc`."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return missing("empty")
    clusters = Clusters(_each(values) if hosts is None else hosts, sources, n_bootstrap, seed, row_weights)

    def average(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ values) / weights.sum(axis=1)

    value, weights = float(average(clusters.unit)[0]), clusters.unit[0]
    if n_bootstrap:
        return clusters.metric(value, average, bounds)
    return clusters.linear(value, weights * (values - value) / weights.sum(), bounds)


def concordance(positive, control, hosts=None, sources=None, *, n_bootstrap: int = 0, seed: int = 0) -> Metric:
    """Fraction of pairs whose positive outscores its own control, ties counted half.

    A marginal AUROC hides paired effects: hosts differ by more than an arc adds, yet within each pair the order
    may be certain.
    """
    difference = np.asarray(positive, dtype=float) - np.asarray(control, dtype=float)
    wins = (np.sign(difference) + 1) / 2
    return mean(wins, hosts, sources, bounds=(0.0, 1.0), n_bootstrap=n_bootstrap, seed=seed)


def wilson(k, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval of k successes in n trials (Wilson 1927, JASA 22, 209); NaN where n is 0."""
    k, n = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    z = stats.norm.ppf(0.5 + level / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def jeffreys(k, n, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Equal-tailed Jeffreys interval: quantiles of Beta(k + 1/2, n - k + 1/2); NaN where n is 0.

    The bounds of empty-handed cells stay what the quantiles say: they are not set to 0 or 1.
    """
    k, n = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    a, b = k + 0.5, np.where(n > 0, n - k + 0.5, np.nan)
    return stats.beta.ppf(0.5 - level / 2, a, b), stats.beta.ppf(0.5 + level / 2, a, b)


def independent_rows(found, hosts=None, sources=None, weights=None) -> float:
    """How many independent rows would know the (weighted) share of ``found`` as well as these clustered rows do.

    p (1 - p) over the share's variance, lowered by the ratio of the normal to the t quantile (Korn & Graubard 1998,
    Survey Methodology 24, 193), and never more than Kish's effective number. Where no row differs, or clusters are
    too few for a variance, it is the number of clusters on the smaller axis, where rows are more than that.
    """
    y = np.asarray(found, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    if not w.sum() > 0:
        return 0.0
    p, kish = float(np.average(y, weights=w)), float(w.sum() ** 2 / (w**2).sum())
    clusters = Clusters(_each(y) if hosts is None else hosts, sources)
    if clusters.n_hosts == len(y) and not clusters.two_way:
        return kish
    known = clusters.error(w * (y - p) / w.sum()) if 0 < p < 1 else None
    if known is None:
        return min(kish, float(clusters.smallest))
    error, degrees = known
    return (
        kish
        if error <= 0
        else min(kish, p * (1 - p) / error**2 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, degrees)) ** 2)
    )


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934, Biometrika 26, 404); (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    low = stats.beta.ppf(0.5 - level / 2, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(0.5 + level / 2, k + 1, n - k) if k < n else 1.0
    return float(low), float(high)


def proportion(k: int, n: int) -> Metric:
    """k of n as a metric with its Wilson interval; for rows that do not cluster."""
    if n == 0:
        return missing("empty")
    low, high = wilson(k, n)
    return Metric(k / n, float(low), float(high), int(n))
