"""Numbers with intervals: AUROC, recall at a false-positive rate, concordance, calibration, completeness, purity.

Everything drawn from pairs is grouped by host, and by source as well where sources are few. A bootstrap draw is
a set of weights: each cluster's weight is how often it was drawn, and where hosts and sources both cluster the
rows, a row's weight is the product of the two (the pigeonhole bootstrap, Owen 2007, Annals of Applied Statistics
1, 386; it errs on the wide side). Weighted statistics are computed for all draws at once.

Intervals are 95 % unless a function takes ``level``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dhs.models.monitors import supported_fprs as supported_fprs

MIN_CLUSTERS = 8  # below: no interval at all
FEW_CLUSTERS = 30  # below: a t interval and a flag; a percentile interval over so few covers too little
TWO_WAY_BELOW = 300  # with fewer sources than this, sources are resampled together with hosts
CHUNK_VALUES = 4_000_000  # bootstrap weights held at once


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Attributes
    ----------
    value, ci_low, ci_high : float or None
        None where it could not be measured or the clusters are too few for an interval.
    n : int
        Rows it was measured on.
    n_hosts, n_sources : int or None
        Distinct clusters among those rows.
    flags : tuple of str
        ``few_clusters``, ``no_interval``, ``two_way``, ``degenerate``, or why the value is missing.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_hosts: int | None = None
    n_sources: int | None = None
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """JSON-ready: no NaN, plain types."""
        return {
            "value": plain(self.value),
            "ci_low": plain(self.ci_low),
            "ci_high": plain(self.ci_high),
            "n": int(self.n),
            "n_hosts": None if self.n_hosts is None else int(self.n_hosts),
            "n_sources": None if self.n_sources is None else int(self.n_sources),
            "flags": list(self.flags),
        }


def plain(value) -> float | None:
    """A float that JSON can hold: NaN and infinities become None."""
    return None if value is None or not np.isfinite(value) else float(value)


def missing(reason: str, n: int = 0) -> Metric:
    """The metric that could not be measured, and why."""
    return Metric(None, None, None, n, flags=(reason,))


class Clusters:
    """Which host and which source each row belongs to, and bootstrap weights drawn over them.

    Parameters
    ----------
    hosts : array_like, (n,)
        Host identifiers.
    sources : array_like, (n,), optional
        Source identifiers; an empty string where no source's light is in the row (controls, survey negatives):
        such a row is resampled by its host alone.
    n_bootstrap : int
    seed : int
    """

    def __init__(self, hosts, sources=None, n_bootstrap: int = 500, seed: int = 0):
        self.hosts, self.n_hosts = _codes(np.asarray(hosts).astype(str))
        self.sources, self.n_sources = None, None
        if sources is not None:
            self.sources, self.n_sources = _codes(np.asarray(sources).astype(str), blank="")
        self.n, self.n_bootstrap, self.seed = len(self.hosts), n_bootstrap, seed
        self.two_way = self.n_sources is not None and 0 < self.n_sources < TWO_WAY_BELOW

    @property
    def smallest(self) -> int:
        """Clusters on the axis that has fewest."""
        return min(self.n_hosts, self.n_sources) if self.two_way else self.n_hosts

    def weights(self) -> Iterator[np.ndarray]:
        """Bootstrap weights in chunks of (draws, n) float64; the same on every call."""
        rng = np.random.Generator(np.random.Philox(self.seed))
        step = max(1, min(self.n_bootstrap, CHUNK_VALUES // max(self.n, 1)))
        for start in range(0, self.n_bootstrap, step):
            draws = min(step, self.n_bootstrap - start)
            weights = _counts(rng, draws, self.n_hosts)[:, self.hosts]
            if self.two_way:
                counts = np.hstack([_counts(rng, draws, self.n_sources), np.ones((draws, 1))])
                weights = weights * counts[:, self.sources]  # code -1, no source, picks the column of ones
            yield weights

    def metric(self, value: float, statistic: Callable[[np.ndarray], np.ndarray], bounds=(0.0, 1.0)) -> Metric:
        """Attach an interval to a value.

        Parameters
        ----------
        value : float
            The statistic at unit weights.
        statistic : callable
            Maps weights (draws, n) to values (draws,); NaN where a draw holds no row of a needed kind.
        bounds : pair of float
            Range of the statistic; an interval is clipped to it.

        Returns
        -------
        Metric
        """
        return self.attach(value, np.concatenate([statistic(w) for w in self.weights()]), bounds)

    def attach(self, value: float, draws: np.ndarray, bounds=(0.0, 1.0)) -> Metric:
        """Interval from the statistic's bootstrap draws: percentile, t where clusters are few, none below 8."""
        flags = ("two_way",) if self.two_way else ()
        low = high = None
        if not np.isfinite(value):
            return Metric(None, None, None, self.n, self.n_hosts, self.n_sources, (*flags, "undefined"))
        if self.smallest < MIN_CLUSTERS:
            flags = (*flags, "few_clusters", "no_interval")
        else:
            low, high, more = _interval(value, draws[np.isfinite(draws)], self.smallest, bounds)
            flags = (*flags, *more)
        return Metric(float(value), low, high, self.n, self.n_hosts, self.n_sources, flags)


def _interval(value, draws, clusters, bounds) -> tuple[float | None, float | None, tuple[str, ...]]:
    if len(draws) < 20:
        return None, None, ("no_interval",)
    if np.ptp(draws) < 1e-12:
        # No cluster disagrees: the bound is that of zero exceptions among so many clusters.
        reach = 1 - 0.025 ** (1 / clusters)
        width = reach * (bounds[1] - bounds[0]) if np.all(np.isfinite(bounds)) else 0.0
        return max(bounds[0], value - width), min(bounds[1], value + width), ("degenerate",)
    if clusters < FEW_CLUSTERS:
        error = np.std(draws, ddof=1) * np.sqrt(clusters / (clusters - 1)) * stats.t.ppf(0.975, clusters - 1)
        return max(bounds[0], value - error), min(bounds[1], value + error), ("few_clusters",)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high), ()


def _codes(labels: np.ndarray, blank: str | None = None) -> tuple[np.ndarray, int]:
    names, codes = np.unique(labels, return_inverse=True)
    if blank is not None and len(names) and names[0] == blank:
        return codes - 1, len(names) - 1
    return codes, len(names)


def _counts(rng: np.random.Generator, draws: int, clusters: int) -> np.ndarray:
    picks = rng.integers(0, clusters, size=(draws, clusters)) + clusters * np.arange(draws)[:, None]
    return np.bincount(picks.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)


def auroc(
    scores,
    labels,
    hosts=None,
    sources=None,
    *,
    n_bootstrap: int = 500,
    seed: int = 0,
) -> Metric:
    """Area under the ROC curve, ties counted half, with a grouped bootstrap interval.

    Parameters
    ----------
    scores : array_like, (n,)
    labels : array_like, (n,)
        Truthy for positives.
    hosts, sources : array_like, (n,), optional
        Clusters, as in `Clusters`; without hosts every row is its own.

    Returns
    -------
    Metric
        ``value`` None, flag ``one_class``, where a class is missing.
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return missing("one_class", len(labels))
    statistic = auroc_statistic(scores, labels)
    clusters = Clusters(np.arange(len(scores)) if hosts is None else hosts, sources, n_bootstrap, seed)
    return clusters.metric(float(statistic(np.ones((1, len(scores))))[0]), statistic)


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


def tpr_at_fpr(
    scores,
    labels,
    fpr: float,
    hosts=None,
    sources=None,
    *,
    n_bootstrap: int = 500,
    seed: int = 0,
) -> tuple[Metric, Metric]:
    """Recall at a false-positive rate; the interval holds the error of threshold and of recall.

    Each bootstrap draw resamples negatives and positives, sets its own threshold on the drawn negatives, and
    measures the recall of the drawn positives there. A row counts as found where ``score > threshold``; the
    threshold is the score of the first negative that the rate can no longer afford.

    Returns
    -------
    recall, threshold : Metric
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return missing("one_class", len(labels)), missing("one_class", len(labels))
    both = recall_statistic(scores, labels, fpr)
    clusters = Clusters(np.arange(len(scores)) if hosts is None else hosts, sources, n_bootstrap, seed)
    value = both(np.ones((1, len(scores))))[:, 0]
    draws = np.concatenate([both(w) for w in clusters.weights()], axis=1)
    return clusters.attach(value[0], draws[0]), clusters.attach(value[1], draws[1], (-np.inf, np.inf))


def recall_statistic(scores: np.ndarray, labels: np.ndarray, fpr: float) -> Callable[[np.ndarray], np.ndarray]:
    """Recall at a false-positive rate, and its threshold, as a function of weights (draws, n); gives (2, draws)."""
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    positive = positive[np.argsort(-scores[positive], kind="stable")]
    negative = negative[np.argsort(-scores[negative], kind="stable")]

    def both(weights: np.ndarray) -> np.ndarray:
        of_negatives = np.cumsum(weights[:, negative], axis=1)
        beyond = of_negatives > fpr * of_negatives[:, -1:] * (1 + 1e-9)
        first = np.argmax(beyond, axis=1)
        threshold = np.where(beyond[np.arange(len(first)), first], scores[negative][first], -np.inf)
        found = np.zeros((len(weights), len(positive) + 1))
        np.cumsum(weights[:, positive], axis=1, out=found[:, 1:])
        above = np.searchsorted(-scores[positive], -threshold, "left")
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = found[np.arange(len(above)), above] / found[:, -1]
        return np.stack([recall, np.where(np.isfinite(recall), threshold, np.nan)])

    return both


def mean(
    values, hosts=None, sources=None, *, bounds=(-np.inf, np.inf), n_bootstrap: int = 500, seed: int = 0
) -> Metric:
    """Mean of a value per row, with a grouped bootstrap interval."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return missing("empty")
    clusters = Clusters(np.arange(len(values)) if hosts is None else hosts, sources, n_bootstrap, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return clusters.metric(values.mean(), lambda w: (w @ values) / w.sum(axis=1), bounds)


def concordance(positive, control, hosts=None, sources=None, *, n_bootstrap: int = 500, seed: int = 0) -> Metric:
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


def reliability(probabilities, labels, n_bins: int = 10) -> dict:
    """Reliability diagram in equal-width bins and the expected calibration error.

    ECE = sum over bins of (n_bin / n) |observed fraction - mean probability| (Naeini et al. 2015, AAAI, eq. 3).

    Returns
    -------
    dict
        ``ece``, ``n`` and ``bins``: ``lo, hi, n, predicted, observed, ci_low, ci_high`` (Wilson); empty
        bins are left out.
    """
    p, y = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=float)
    edges = np.linspace(0, 1, n_bins + 1)
    which = np.clip(np.digitize(p, edges[1:-1]), 0, n_bins - 1)
    bins, ece = [], 0.0
    for b in range(n_bins):
        members = which == b
        n = int(members.sum())
        if not n:
            continue
        confidence, fraction = float(p[members].mean()), float(y[members].mean())
        low, high = wilson(y[members].sum(), n)
        ece += n / len(p) * abs(fraction - confidence)
        bins.append(
            {"lo": float(edges[b]), "hi": float(edges[b + 1]), "n": n, "predicted": confidence}
            | {"observed": fraction, "ci_low": float(low), "ci_high": float(high)}
        )
    return {"ece": float(ece) if len(p) else None, "n": len(p), "bins": bins}


def purity(tpr, fpr, prevalence: float):
    """Fraction of true lenses among those found: TPR pi / (TPR pi + FPR (1 - pi)), for prevalence pi."""
    tpr, fpr = np.asarray(tpr, dtype=float), np.asarray(fpr, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tpr * prevalence / (tpr * prevalence + fpr * (1 - prevalence))


def purity_at(
    scores, labels, threshold: float, prevalence: float, hosts=None, sources=None, *, n_bootstrap=500, seed=0
) -> Metric:
    """Purity of ``score > threshold`` at a prevalence, with a grouped bootstrap interval at that threshold."""
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return missing("one_class", len(labels))
    above = scores > threshold

    def statistic(weights):
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr = weights[:, labels & above].sum(axis=1) / weights[:, labels].sum(axis=1)
            fpr = weights[:, ~labels & above].sum(axis=1) / weights[:, ~labels].sum(axis=1)
        return purity(tpr, fpr, prevalence)

    clusters = Clusters(np.arange(len(scores)) if hosts is None else hosts, sources, n_bootstrap, seed)
    return clusters.metric(float(statistic(np.ones((1, len(scores))))[0]), statistic)
