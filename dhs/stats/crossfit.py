"""A linear classifier scored out of fold, with intervals that also hold the fitting of the classifier.

An interval that resamples scores alone holds the classifier fixed and is too narrow; refitting it for hundreds of
draws over hosts, over sources and over their cells is slow and unneeded. To first order a row moves a statistic of the
scores in two ways: directly, and as a training row through the coefficients, which it moves by the infinitesimal
jackknife (Giordano et al. 2019, AISTATS, eq. 4). Both are influence values of the row, and their sums over hosts and
sources give the variance (`dhs.stats.clusters.Clusters.linear`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit
from scipy.stats import norm, t

from dhs.stats import metrics
from dhs.stats.metrics import Clusters

PENALTY = 10.0  # ridge on standardised features, as for the baselines of `dhs.models.baselines`
GRID = 512  # points of the density estimates


@dataclass(frozen=True)
class Fold:
    """One fold's model to first order: what its training rows do to the scores of its test rows."""

    train: np.ndarray
    test: np.ndarray
    moves: np.ndarray  # (train rows, p + 1): change of the coefficients for a unit of a row's weight
    held: np.ndarray  # (test rows, p + 1): change of a score for a unit of each coefficient


@dataclass(frozen=True)
class Fitted:
    """Out-of-fold scores, and how they hang on the training rows.

    Attributes
    ----------
    scores : ndarray, (n,)
        Decision values of models that never saw the row's host.
    folds : tuple of Fold
    """

    scores: np.ndarray
    folds: tuple[Fold, ...] = ()

    def through_training(self, gradient: np.ndarray) -> np.ndarray:
        """Influence of each row, as a training row, on a statistic with this gradient in the scores, (n,)."""
        out = np.zeros(len(self.scores))
        for fold in self.folds:
            moved = fold.moves @ (fold.held.T @ gradient[fold.test])
            out[fold.train] += moved - moved.mean()
        return out


def folds_of(groups: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and test rows of grouped folds; no group is in both."""
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(n_folds).split(groups, groups=groups))


def cross_fit(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int) -> Fitted:
    """Logistic regression out of grouped folds, standardised inside the fold, classes balanced.

    Parameters
    ----------
    features : ndarray, (n, p)
    labels : ndarray of bool, (n,)
    groups : ndarray, (n,)
        Host of each row.
    n_folds : int

    Notes
    -----
    With loss gradients psi_i at the optimum and Hessian H, the coefficients under weights w are
    theta + H^-1 sum_i (w_i - 1) psi_i + O(|w - 1|^2).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scores, folds = np.empty(len(labels)), []
    for train, test in folds_of(groups, n_folds):
        scale = StandardScaler().fit(features[train])
        x, y = scale.transform(features[train]), labels[train]
        model = LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=300, tol=1e-3).fit(x, y)
        one, held = (np.c_[z, np.ones(len(z))] for z in (x, scale.transform(features[test])))
        theta = np.r_[model.coef_[0], model.intercept_]
        scores[test] = held @ theta
        balance = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
        p = expit(one @ theta)
        hessian = (one * (balance * p * (1 - p))[:, None]).T @ one
        hessian += np.diag(np.r_[np.full(x.shape[1], PENALTY), 1e-9])  # none on the intercept
        moves = np.linalg.solve(hessian, (one * (balance * (y - p))[:, None]).T).T
        folds.append(Fold(train, test, moves.astype(np.float32), held.astype(np.float32)))
    return Fitted(scores, tuple(folds))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUROC, ties counted half."""
    return float(metrics.auroc_statistic(scores, labels)(np.ones((1, len(labels))))[0])


def auc_and_influence(fitted: Fitted, labels: np.ndarray, members: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC over the member rows, and the influence of every row on it, training included.

    The gradient of the AUROC in the score of a positive is the density of the negatives there over the number of
    positives, and likewise for negatives; densities are Gaussian kernel estimates (Silverman's width).
    """
    scores, chosen = fitted.scores[members], labels[members]
    value = auc(scores, chosen)
    influence, gradient = np.zeros(len(labels)), np.zeros(len(labels))
    influence[members] = metrics.auroc_influence(scores, chosen, np.ones(len(scores)), value)
    slope = np.empty(len(scores))
    for mine, sign in ((chosen, 1.0), (~chosen, -1.0)):
        slope[mine] = sign * _density(scores[~mine], scores[mine]) / mine.sum()
    gradient[members] = slope
    return value, influence + fitted.through_training(gradient)


def concordance_and_influence(fitted: Fitted, pairs: np.ndarray) -> tuple[float, np.ndarray]:
    """Share of pairs whose positive outscores its control, and the influence of every row on it.

    Parameters
    ----------
    fitted : Fitted
    pairs : ndarray of int, (pairs, 2)
        Rows of positive and control.
    """
    apart = fitted.scores[pairs[:, 0]] - fitted.scores[pairs[:, 1]]
    wins = (np.sign(apart) + 1) / 2
    value, n = float(wins.mean()), len(wins)
    influence, gradient = np.zeros(len(fitted.scores)), np.zeros(len(fitted.scores))
    np.add.at(influence, pairs[:, 0], (wins - value) / n)
    width = max(1.06 * apart.std() * n**-0.2, 1e-12)
    slope = norm.pdf(apart / width) / (width * n)
    np.add.at(gradient, pairs[:, 0], slope)
    np.add.at(gradient, pairs[:, 1], -slope)
    return value, influence + fitted.through_training(gradient)


def _density(sample: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel density of a sample, binned, at some places; 0 where all are the same."""
    width = 1.06 * sample.std() * len(sample) ** -0.2
    if not width:
        return np.zeros(len(at))
    low, high = sample.min() - 4 * width, sample.max() + 4 * width
    counts, edges = np.histogram(sample, GRID, (low, high))
    step = edges[1] - edges[0]
    smooth = gaussian_filter1d(counts / (len(sample) * step), width / step, mode="constant")
    return np.interp(at, (edges[1:] + edges[:-1]) / 2, smooth, left=0.0, right=0.0)


def equivalence(
    value: float, influence: np.ndarray, clusters: Clusters, margin: float, *, over: Clusters | None = None, bounds
) -> dict:
    """Is a difference within +-margin?

    Parameters
    ----------
    value : float
        The difference.
    influence : ndarray, (n,)
        Of each row on it.
    clusters : Clusters
        Of those rows.
    margin : float
    over : Clusters, optional
        Of the rows that the difference is taken over, where others have influence too, by training.
    bounds : pair of float
        Range of the difference.

    Returns
    -------
    dict
        ``delta``, the metric; ``status`` (``pass``: the whole 95 % interval lies within the margin, else ``warn``);
        ``p``, the one-sided p-value of |difference| <= margin, to be corrected for the whole family; ``n_needed``:
        an interval that shrinks as 1/sqrt(n) from today's n rows would decide at so many.
    """
    delta = clusters.linear(value, influence, bounds, over)
    if delta.value is None or delta.ci_low is None:
        return {"delta": delta, "status": "warn", "p": 1.0, "n_needed": None}
    error, degrees = clusters.error(influence, over)
    inside = -margin <= delta.ci_low and delta.ci_high <= margin
    p = float(t.sf((abs(value) - margin) / max(error, 1e-12), degrees))
    half = (delta.ci_high - delta.ci_low) / 2
    room = abs(margin - abs(value))
    needed = None if inside or room < 1e-3 else int(np.ceil(delta.n * (half / room) ** 2))
    return {"delta": delta, "status": "pass" if inside else "warn", "p": p, "n_needed": needed}


def against_chance(features, labels, hosts, *, margin: float, config, seed: int = 0, sources=None) -> dict:
    """Can a classifier tell two classes apart that should be alike? AUC against 0.5 +- margin, grouped by host.

    Parameters
    ----------
    features : ndarray, (n, p)
    labels : ndarray of bool, (n,)
    hosts, sources : ndarray, (n,)
        As in `dhs.stats.clusters.Clusters`; sources are optional.
    margin : float
    config : PreflightConfig
    seed : int
        Not used: nothing is drawn.

    Returns
    -------
    dict
        ``metric`` (AUC with its interval) and the fields of `equivalence`.
    """
    clusters = Clusters(hosts, sources, classes=labels)
    fitted = cross_fit(features, labels, hosts, min(config.n_folds, len(set(hosts))))
    value, influence = auc_and_influence(fitted, labels, np.ones(len(labels), bool))
    test = equivalence(value - 0.5, influence, clusters, margin, bounds=(-0.5, 0.5))
    if value < 0.5 - margin:  # below one half out of fold is the noise of fitting, never a way to tell them apart
        test |= {"status": "warn", "p": 1.0}
    return {"metric": clusters.linear(value, influence), **test}
