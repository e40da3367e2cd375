"""A linear classifier scored out of fold, with intervals that also hold the fitting of the classifier.

A bootstrap that resamples scores alone holds the classifier fixed and is too narrow. Refitting a logistic
regression for each of hundreds of draws is slow and unneeded: to first order in the weights the coefficients move by
the infinitesimal jackknife (Giordano et al. 2019, AISTATS, eq. 4), one matrix product for all draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from dhs.stats import metrics
from dhs.stats.metrics import Clusters, Metric

PENALTY = 10.0  # ridge on standardised features, as for the baselines of `dhs.models.baselines`


@dataclass(frozen=True)
class Fitted:
    """Out-of-fold scores and what they would have been under each bootstrap draw.

    Attributes
    ----------
    scores : ndarray, (n,)
        Decision values of models that never saw the row's host.
    draws : ndarray, (draws, n) float32
        The same, models refitted (to first order) to the draw's weights.
    """

    scores: np.ndarray
    draws: np.ndarray


def folds_of(groups: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and test rows of grouped folds; no group is in both."""
    return list(GroupKFold(n_folds).split(groups, groups=groups))


def cross_fit(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int, weights: np.ndarray | None = None
) -> Fitted:
    """Logistic regression out of grouped folds, standardised inside the fold, classes balanced.

    Parameters
    ----------
    features : ndarray, (n, p)
    labels : ndarray of bool, (n,)
    groups : ndarray, (n,)
        Host of each row.
    n_folds : int
    weights : ndarray, (draws, n), optional
        Bootstrap weights of the rows; none by default.

    Notes
    -----
    With loss gradients psi_i at the optimum and Hessian H, the coefficients under weights w are
    theta + H^-1 sum_i (w_i - 1) psi_i + O(|w - 1|^2).
    """
    n = len(labels)
    weights = np.empty((0, n)) if weights is None else weights
    scores, draws = np.empty(n), np.empty((len(weights), n), np.float32)
    for train, test in folds_of(groups, n_folds):
        scale = StandardScaler().fit(features[train])
        x, y = scale.transform(features[train]), labels[train]
        model = LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=300, tol=1e-3).fit(x, y)
        one, held = (np.c_[z, np.ones(len(z))] for z in (x, scale.transform(features[test])))
        theta = np.r_[model.coef_[0], model.intercept_]
        scores[test] = held @ theta
        if len(weights):
            balance = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
            p = expit(one @ theta)
            hessian = (one * (balance * p * (1 - p))[:, None]).T @ one
            hessian += np.diag(np.r_[np.full(x.shape[1], PENALTY), 1e-9])  # none on the intercept
            drawn = weights[:, train] / np.maximum(weights[:, train].mean(axis=1, keepdims=True), 1e-12)
            step = (drawn - 1) @ (one * (balance * (y - p))[:, None])
            draws[:, test] = (theta + np.linalg.solve(hessian, step.T).T) @ held.T
    return Fitted(scores, draws)


def auc_draws(fitted: Fitted, labels: np.ndarray, weights: np.ndarray, members: np.ndarray | None = None) -> np.ndarray:
    """AUROC of each draw's own scores under its own weights, over the member rows; NaN where a class is missing."""
    members = slice(None) if members is None else members
    chosen, drawn, w = labels[members], fitted.draws[:, members], weights[:, members]
    return np.array([metrics.auroc_statistic(s, chosen)(v[None])[0] for s, v in zip(drawn, w)])


def centred(draws: np.ndarray, value: float) -> np.ndarray:
    """Draws about the value itself: a model refitted to resampled rows is worse on average, which is no error of it."""
    return draws - np.nanmean(draws) + value


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUROC, ties counted half."""
    return float(metrics.auroc_statistic(scores, labels)(np.ones((1, len(labels))))[0])


def equivalence(delta: Metric, draws: np.ndarray, clusters: int, margin: float, n: int) -> dict:
    """Is a difference within +-margin?

    Returns
    -------
    dict
        ``status`` (``pass``: the whole 95 % interval lies within the margin, else ``warn``), ``p``, the one-sided
        p-value of |delta| <= margin, to be corrected for the whole family, and ``n_needed``: an interval that
        shrinks as 1/sqrt(n) from today's n pairs would decide at so many.
    """
    if delta.value is None or delta.ci_low is None:
        return {"status": "warn", "p": 1.0, "n_needed": None}
    inside = -margin <= delta.ci_low and delta.ci_high <= margin
    error = max(float(np.nanstd(draws)), 1e-12)
    p = float(t.sf((abs(delta.value) - margin) / error, max(clusters - 1, 1)))
    half = (delta.ci_high - delta.ci_low) / 2
    room = abs(margin - abs(delta.value))
    needed = None if inside or room < 1e-3 else int(np.ceil(n * (half / room) ** 2))
    return {"status": "pass" if inside else "warn", "p": p, "n_needed": needed}


def against_chance(
    features: np.ndarray, labels: np.ndarray, hosts: np.ndarray, *, margin: float, config, seed: int
) -> dict:
    """Can a classifier tell two classes apart that should be alike? AUC against 0.5 +- margin, grouped by host.

    Returns
    -------
    dict
        ``metric`` (AUC with its interval) and the fields of `equivalence`.
    """
    clusters = Clusters(hosts, None, min(config.n_bootstrap, 200), seed)
    weights = np.concatenate(list(clusters.weights()))
    fitted = cross_fit(features, labels, hosts, min(config.n_folds, len(set(hosts))), weights)
    value, draws = auc(fitted.scores, labels), auc_draws(fitted, labels, weights)
    draws = centred(draws, value)
    delta = clusters.attach(value - 0.5, draws - 0.5, (-0.5, 0.5))
    test = equivalence(delta, draws, clusters.smallest, margin, int(labels.sum()))
    if value < 0.5 - margin:  # below one half out of fold is the noise of fitting, never a way to tell them apart
        test |= {"status": "warn", "p": 1.0}
    return {"metric": clusters.attach(value, draws), **test}
