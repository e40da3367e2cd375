"""Metrics of a ranking that look at its top: partial AUC, TPR0 and TPR10, F1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dhs.stats.metrics import Clusters, Metric, finite, mean, missing, recall_statistic, tpr_at_fpr

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps weights (draws, n) to values (draws,)."""


def _prepared(scores, labels) -> tuple[np.ndarray, np.ndarray, bool]:
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    return scores, labels, bool(labels.all() or not labels.any())


def _clusters(labels, hosts, sources, options) -> Clusters:
    return Clusters(np.arange(len(labels)) if hosts is None else hosts, sources, classes=labels, **options)


def partial_auc(scores, labels, max_fpr: float, hosts=None, sources=None, **options) -> Metric:
    """Area under the ROC curve left of a false-positive rate, standardised so that chance is 1/2.

    With A the area up to ``max_fpr`` = f: (1 + (A - f^2/2) / (f - f^2/2)) / 2 (McClish 1989, Medical Decision Making
    9, 190), as in ``sklearn.metrics.roc_auc_score(max_fpr=...)``.

    Parameters
    ----------
    scores, labels, hosts, sources
        As in `dhs.stats.metrics.auroc`.
    max_fpr : float
        In (0, 1].
    **options
        ``n_bootstrap``, ``seed``, ``row_weights`` of `dhs.stats.clusters.Clusters`.

    Raises
    ------
    DhsError
        A score is NaN or infinite.
    """
    scores, labels, single = _prepared(scores, labels)
    if single:
        return missing("one_class", len(labels))
    clusters = _clusters(labels, hosts, sources, options)
    return together({"partial_auc": partial_auc_statistic(scores, labels, max_fpr)}, clusters)["partial_auc"]


def partial_auc_statistic(scores: np.ndarray, labels: np.ndarray, max_fpr: float) -> Statistic:
    """`partial_auc` as a function of weights; only rows above the lowest threshold of any draw are looked at."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    positive = labels[order]
    classes = np.stack([~labels, labels], axis=1).astype(float)
    needed = min(1.0, 1.2 * max_fpr + 64 / max(int((~labels).sum()), 1)) * (~labels).sum()
    reach = int(np.searchsorted(np.cumsum(~positive)[ends], needed)) + 1

    def rates(weights: np.ndarray, k: int) -> list[np.ndarray]:
        """False- and true-positive rate at the first k ends, from 0."""
        columns = order[: ends[k - 1] + 1]
        ordered, last = weights[:, columns], ends[:k]
        out = []
        for mask, total in zip((~positive[: len(columns)], positive[: len(columns)]), (weights @ classes).T):
            with np.errstate(invalid="ignore", divide="ignore"):
                curve = np.cumsum(ordered * mask, axis=1)[:, last] / total[:, None]
            out.append(np.hstack([np.zeros((len(curve), 1)), curve]))
        return out

    def statistic(weights: np.ndarray) -> np.ndarray:
        k = min(reach, len(ends))
        fpr, tpr = rates(weights, k)
        while k < len(ends) and (fpr[:, -1] < max_fpr).any():
            k = min(2 * k, len(ends))
            fpr, tpr = rates(weights, k)
        width, rise = np.diff(fpr, axis=1), np.diff(tpr, axis=1)
        inside = np.diff(np.minimum(fpr, max_fpr), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(width > 0, inside / width, 0.0)
        area = np.sum(inside * (tpr[:, :-1] + rise * share / 2), axis=1)
        least = max_fpr**2 / 2
        return (1 + (area - least) / (max_fpr - least)) / 2

    return statistic


def tpr_before(scores, labels, n_false: int, hosts=None, sources=None, **options) -> Metric:
    """Recall before the ``n_false``-th false positive: TPR0 for 1, TPR10 for 10.

    The figures of merit of the strong gravitational lens finding challenge (Metcalf et al. 2019, A&A 625, A119,
    section 4): the recall reached with no, and with fewer than ten, false positives. Both depend on how many
    negatives there are. TPR0 hangs on one extreme score, which a bootstrap describes badly: it is flagged
    ``extreme_score``.

    Returns
    -------
    Metric
        Flag ``too_few_negatives`` and no value where there are no more than ``n_false`` negatives.
    """
    scores, labels, single = _prepared(scores, labels)
    n_negative = int((~labels).sum())
    if single or n_negative <= n_false:
        return missing("one_class" if single else "too_few_negatives", len(labels))
    recall, _ = tpr_at_fpr(scores, labels, (n_false - 1) / n_negative, hosts, sources, **options)
    return extreme(recall) if n_false == 1 else recall


def extreme(metric: Metric) -> Metric:
    """The metric flagged ``extreme_score``: it hangs on one score."""
    return replace(metric, flags=(*metric.flags, "extreme_score"))


def tpr_before_statistic(scores: np.ndarray, labels: np.ndarray, n_false: int) -> Statistic:
    """`tpr_before` as a function of weights."""
    recall = recall_statistic(scores, labels, (n_false - 1) / int((~labels).sum()))
    return lambda weights: recall(weights)[0]


def f1(scores, labels, threshold: float, hosts=None, sources=None, *, prevalence: float | None = None, **options):
    """F1 of ``score > threshold``: the harmonic mean of recall and purity.

    Parameters
    ----------
    scores, labels, hosts, sources
        As in `dhs.stats.metrics.auroc`.
    threshold : float
    prevalence : float, optional
        Share of lenses for which purity is taken; that of the rows by default.

    Returns
    -------
    Metric
    """
    scores, labels, single = _prepared(scores, labels)
    if single:
        return missing("one_class", len(labels))
    clusters = _clusters(labels, hosts, sources, options)
    metric = together({"f1": f1_statistic(scores, labels, threshold, prevalence)}, clusters)["f1"]
    return none_found(metric, scores > threshold, labels, prevalence, hosts, sources)


def none_found(metric: Metric, above: np.ndarray, labels: np.ndarray, prevalence, hosts=None, sources=None) -> Metric:
    """An F1 of 0 with the upper bound that follows from that of the recall.

    Where nothing is found no draw differs, and `together` gives the bound of a share of all rows. At a small share of
    lenses that lies far above any F1 the false positives leave room for.
    """
    if metric.value != 0:
        return metric
    high = mean(above[labels], *(None if x is None else np.asarray(x)[labels] for x in (hosts, sources)), bounds=(0, 1))
    if high.ci_high is None:
        return replace(metric, ci_low=None, ci_high=None)
    share = labels.mean() if prevalence is None else prevalence
    found, false = share * high.ci_high, (1 - share) * above[~labels].mean()
    return replace(metric, ci_high=float(2 * found / (found + false + share)))


def f1_statistic(scores: np.ndarray, labels: np.ndarray, threshold: float, prevalence: float | None) -> Statistic:
    """`f1` as a function of weights."""
    above = scores > threshold
    members = np.stack([labels, ~labels, labels & above, ~labels & above], axis=1).astype(float)

    def statistic(weights: np.ndarray) -> np.ndarray:
        n_positive, n_negative, n_found, n_false = (weights @ members).T
        with np.errstate(invalid="ignore", divide="ignore"):
            share = n_positive / (n_positive + n_negative) if prevalence is None else prevalence
            found = share * n_found / n_positive
            false = (1 - share) * n_false / n_negative
            return 2 * found / (found + false + share)

    return statistic


def together(statistics: Mapping[str, Statistic], clusters: Clusters) -> dict[str, Metric]:
    """Several statistics between 0 and 1 from the same bootstrap draws.

    Parameters
    ----------
    statistics : mapping of str to callable
        Each maps weights (draws, n) to values (draws,).
    clusters : Clusters
    """

    def every(weights: np.ndarray) -> np.ndarray:
        return np.stack([statistic(weights) for statistic in statistics.values()])

    if not statistics:
        return {}
    bounds = [(0.0, 1.0)] * len(statistics)
    return dict(zip(statistics, clusters.metrics(every(clusters.unit)[:, 0], every, bounds)))
