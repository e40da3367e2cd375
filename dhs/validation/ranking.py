"""Metrics of a ranking that look at its top: partial AUC, TPR0 and TPR10, F1."""

from __future__ import annotations

import numpy as np

from dhs.validation.metrics import Clusters, Metric, finite, missing, tpr_at_fpr


def _prepared(scores, labels) -> tuple[np.ndarray, np.ndarray, bool]:
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    return scores, labels, bool(labels.all() or not labels.any())


def _clusters(scores, hosts, sources, options) -> Clusters:
    return Clusters(np.arange(len(scores)) if hosts is None else hosts, sources, **options)


def partial_auc(scores, labels, max_fpr: float, hosts=None, sources=None, **options) -> Metric:
    """Area under the ROC curve left of a false-positive rate, standardised so that chance is 1/2.

    With A the area up to ``max_fpr`` = f: (1 + (A - f^2/2) / (f - f^2/2)) / 2 (McClish 1989, Medical Decision Making
    9, 190), as in ``sklearn.metrics.roc_auc_score(max_fpr=...)``.

    Parameters
    ----------
    scores, labels, hosts, sources
        As in `dhs.validation.metrics.auroc`.
    max_fpr : float
        In (0, 1].
    **options
        ``n_bootstrap``, ``seed``, ``row_weights`` of `dhs.validation.intervals.Clusters`.

    Raises
    ------
    DhsError
        A score is NaN or infinite.
    """
    scores, labels, single = _prepared(scores, labels)
    if single:
        return missing("one_class", len(labels))
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    positive = labels[order]

    def statistic(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        rates = []
        for mask in (~positive, positive):
            total = np.cumsum(ordered * mask, axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                curve = total[:, ends] / total[:, -1:]
            rates.append(np.hstack([np.zeros((len(curve), 1)), curve]))
        fpr, tpr = rates
        width, rise = np.diff(fpr, axis=1), np.diff(tpr, axis=1)
        inside = np.diff(np.minimum(fpr, max_fpr), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(width > 0, inside / width, 0.0)
        area = np.sum(inside * (tpr[:, :-1] + rise * share / 2), axis=1)
        least = max_fpr**2 / 2
        return (1 + (area - least) / (max_fpr - least)) / 2

    clusters = _clusters(scores, hosts, sources, options)
    return clusters.metric(float(statistic(clusters.unit)[0]), statistic)


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
    flags = (*recall.flags, "extreme_score") if n_false == 1 else recall.flags
    return Metric(recall.value, recall.ci_low, recall.ci_high, recall.n, recall.n_hosts, recall.n_sources, flags)


def f1(scores, labels, threshold: float, hosts=None, sources=None, *, prevalence: float | None = None, **options):
    """F1 of ``score > threshold``: the harmonic mean of recall and purity.

    Parameters
    ----------
    scores, labels, hosts, sources
        As in `dhs.validation.metrics.auroc`.
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
    above = scores > threshold

    def statistic(weights: np.ndarray) -> np.ndarray:
        n_positive, n_negative = weights[:, labels].sum(axis=1), weights[:, ~labels].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = n_positive / (n_positive + n_negative) if prevalence is None else prevalence
            found = share * weights[:, labels & above].sum(axis=1) / n_positive
            false = (1 - share) * weights[:, ~labels & above].sum(axis=1) / n_negative
            return 2 * found / (found + false + share)

    clusters = _clusters(scores, hosts, sources, options)
    return clusters.metric(float(statistic(clusters.unit)[0]), statistic)
