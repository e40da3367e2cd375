"""From logits to probabilities, and to purity at the prevalence of the sky.

A network trained on as many lenses as non-lenses states probabilities for that balance. They are calibrated on the
validation split alone, then moved to the prevalence that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.stats.metrics import MIN_CLUSTERS, Clusters, Metric, finite, independent_rows, mean, missing, wilson

N_NULL = 2000  # draws of perfect probabilities
MIN_OF_CLASS = 5  # rows of a class below which nothing is fitted


class _Logit(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose one feature is its own decision value."""

    def __init__(self):
        self.classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        return np.asarray(X, dtype=float)[:, 0]

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)


@dataclass(frozen=True)
class Calibrator:
    """Logits to probabilities at the balance it was fitted at.

    Attributes
    ----------
    temperature : float
        Logits are divided by it (Guo et al. 2017, ICML, section 4.2).
    balance : float
        Share of positives among the rows it was fitted on.
    n : int
        Those rows.
    isotonic : tuple of ndarray
        Logits and probabilities at the knots of the isotonic fit (Zadrozny & Elkan 2002, KDD).
    sigmoid : tuple of float
        Slope and intercept of the log odds in the logit (Platt 1999): a temperature and an offset, for rows whose
        balance is not that of the training.
    """

    temperature: float
    balance: float
    n: int
    isotonic: tuple[np.ndarray, np.ndarray]
    sigmoid: tuple[float, float]

    def as_dict(self) -> dict:
        """What `from_dict` reads back; plain types."""
        knots = {"logit": self.isotonic[0].tolist(), "probability": self.isotonic[1].tolist()}
        plain = {"temperature": self.temperature, "balance": self.balance, "n": self.n}
        return plain | {"isotonic": knots, "sigmoid": list(self.sigmoid)}

    @classmethod
    def from_dict(cls, data: dict) -> Calibrator:
        knots = tuple(np.asarray(data["isotonic"][k], dtype=float) for k in ("logit", "probability"))
        return cls(data["temperature"], data["balance"], data["n"], knots, tuple(data["sigmoid"]))

    def probability(self, logits, method: str = "temperature", prevalence: float | None = None) -> np.ndarray:
        """Probabilities of logits.

        Parameters
        ----------
        logits : array_like, (n,)
        method : {"temperature", "isotonic", "sigmoid"}
            The isotonic fit states 0 and 1 beyond its data, which no prevalence moves: for rare lenses use another.
        prevalence : float, optional
            Moved there by `prior_shift`; left at ``balance`` by default.
        """
        logits = finite(logits)
        if method == "temperature":
            p = expit(logits / self.temperature)
        elif method == "sigmoid":
            p = expit(self.sigmoid[0] * logits + self.sigmoid[1])
        else:
            p = np.interp(logits, *self.isotonic)
        return p if prevalence is None else prior_shift(p, self.balance, prevalence)


def fit(logits, labels) -> Calibrator:
    """Fit temperature and isotonic calibration, on rows of the validation split.

    Parameters
    ----------
    logits : array_like, (n,)
    labels : array_like, (n,)
        Truthy for positives.

    Raises
    ------
    DhsError
        Fewer than `MIN_OF_CLASS` rows of a class, all logits equal, or a logit that is NaN or infinite.
    """
    logits, labels = finite(logits), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        raise DhsError(f"calibration needs both classes; all {len(labels)} rows are of one. Give a larger val split.")
    if min(counts := np.bincount(labels, minlength=2)) < MIN_OF_CLASS:
        raise DhsError(
            f"calibration needs {MIN_OF_CLASS} rows of each class, not {counts[1]} positives and {counts[0]} others. "
            "Give a larger val split."
        )
    if np.ptp(logits) == 0:
        raise DhsError(f"all {len(logits)} logits are {logits[0]:g}: nothing to calibrate. Train the network first.")
    (slope, _), sigmoid = (_line(logits, labels, method) for method in ("temperature", "sigmoid"))
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(logits, labels)
    knots = np.asarray(isotonic.X_thresholds_, dtype=float), np.asarray(isotonic.y_thresholds_, dtype=float)
    return Calibrator(1 / slope, float(labels.mean()), len(labels), knots, sigmoid)


def _line(logits: np.ndarray, labels: np.ndarray, method: str) -> tuple[float, float]:
    """Slope and intercept of the calibrated log odds, which are a straight line in the logit for both methods."""
    model = CalibratedClassifierCV(FrozenEstimator(_Logit()), method=method)
    model.fit(logits[:, None], labels.astype(int))
    step = 1e-3 * np.ptp(logits)  # small enough not to saturate
    low, high = logit(model.predict_proba(np.median(logits) + np.array([[-step], [step]]))[:, 1])
    slope = (high - low) / (2 * step)
    return float(slope), float((low + high) / 2 - slope * np.median(logits))


def prior_shift(probabilities, balance: float, prevalence: float) -> np.ndarray:
    """Probabilities at another prevalence: log odds plus logit(prevalence) - logit(balance).

    Right where lenses and non-lenses look as they did and only their shares change (Saerens et al. 2002, Neural
    Computation 14, 21, eq. 2.4). 0 and 1 stay what they are.
    """
    if not (0 < prevalence < 1 and 0 < balance < 1):
        raise DhsError(f"prevalence {prevalence} and balance {balance} must lie between 0 and 1.")
    p = np.asarray(probabilities, dtype=float)
    with np.errstate(divide="ignore"):
        return expit(logit(p) + logit(prevalence) - logit(balance))


def reliability(probabilities, labels, hosts=None, sources=None, *, n_bins: int = 10) -> dict:
    """Reliability diagram in equal-width bins and the expected calibration error.

    ECE = sum over bins of (n_bin / n) abs(observed fraction - mean probability) (Naeini et al. 2015, AAAI, eq. 3).

    Returns
    -------
    dict
        ``ece``, ``n`` and ``bins``: ``lo, hi, n, predicted, observed, ci_low, ci_high`` (Wilson, for the number of
        independent rows that would spread as these do, `dhs.stats.metrics.independent_rows`); empty
        bins are left out.
    """
    p, y = finite(probabilities), np.asarray(labels, dtype=float)
    edges, which = np.linspace(0, 1, n_bins + 1), _bin(p, n_bins)
    n, confidence, hits = (np.bincount(which, w, minlength=n_bins) for w in (None, p, y))
    rows = np.arange(len(p))
    hosts, sources = rows if hosts is None else np.asarray(hosts), None if sources is None else np.asarray(sources)
    alone = np.zeros(n_bins)
    for b in np.flatnonzero(n):
        inside = rows[which == b]
        alone[b] = independent_rows(y[inside], hosts[inside], None if sources is None else sources[inside])
    with np.errstate(invalid="ignore"):
        low, high = wilson(hits / n * alone, alone)
    bins = [
        {"lo": float(edges[b]), "hi": float(edges[b + 1]), "n": int(n[b]), "predicted": float(confidence[b] / n[b])}
        | {"observed": float(hits[b] / n[b]), "ci_low": float(low[b]), "ci_high": float(high[b])}
        for b in np.flatnonzero(n)
    ]
    ece = float(np.abs(hits - confidence).sum() / len(p)) if len(p) else None
    return {"ece": ece, "n": len(p), "bins": bins}


def _bin(p: np.ndarray, n_bins: int) -> np.ndarray:
    """Equal-width bin of each probability; an edge, to rounding, belongs to the bin above it."""
    return np.clip(np.floor(p * n_bins + 1e-9).astype(int), 0, n_bins - 1)


def quality(probabilities, labels, hosts=None, sources=None, *, n_bins: int = 10) -> dict[str, Metric]:
    """ECE, and the Brier score with its interval.

    The ECE has no interval: a sum of absolute values is biased upwards, that of perfect probabilities too, and an
    interval round it never holds 0. `against_perfect` says what perfect probabilities would have given.

    Parameters
    ----------
    probabilities : array_like, (n,)
        In [0, 1].
    labels, hosts, sources
        As in `dhs.stats.metrics.auroc`.
    n_bins : int

    Returns
    -------
    dict
        ``ece`` and ``brier`` (Brier 1950).
    """
    p, y = finite(probabilities), np.asarray(labels, dtype=float)
    clusters = Clusters(np.arange(len(p)) if hosts is None else hosts, sources, classes=y)
    square, value = (p - y) ** 2, float(brier_score_loss(y, p))
    ece = float(np.abs(np.bincount(_bin(p, n_bins), p - y)).sum() / len(p))
    flags = ("no_interval", "biased_upwards")
    return {
        "ece": Metric(ece, None, None, len(p), clusters.n_hosts, clusters.n_sources, flags),
        "brier": clusters.linear(value, (square - value) / len(p)),
    }


def against_perfect(probabilities, labels, hosts=None, sources=None, *, n_bins: int = 10, seed: int = 0) -> dict:
    """The expected calibration error beside that of perfect probabilities on the same stamps.

    Under perfect calibration the gap of each bin (observed less stated) scatters about 0. Its covariance over bins
    comes from hosts and sources (`dhs.stats.clusters.Clusters.covariance`), or, with fewer than `MIN_CLUSTERS` of
    either, from labels drawn from the stated probabilities; `N_NULL` draws of it give the ECE of perfect
    probabilities.

    Parameters
    ----------
    probabilities, labels, hosts, sources, n_bins
        As in `quality`.
    seed : int

    Returns
    -------
    dict
        ``ece``; ``null_mean`` and ``null_95``, mean and 95 % quantile under perfect calibration; ``excess``, ECE less
        the mean; ``p_value``; ``reliability``, the reliability term of the Brier score (Murphy 1973, J. Appl.
        Meteorol. 12, 595) less its expectation under perfect calibration, so that it scatters about 0 there.
    """
    p, y = finite(probabilities), np.asarray(labels, dtype=float)
    which, n = _bin(p, n_bins), len(p)
    held = np.bincount(which, minlength=n_bins)
    gap = np.bincount(which, y - p, minlength=n_bins)
    rng = keyed(seed, Stream.PERFECT)
    clusters = Clusters(np.arange(n) if hosts is None else hosts, sources, classes=y)
    if clusters.smallest < MIN_CLUSTERS:
        drawn = (rng.random((N_NULL, n)) < p) - p
        null = np.stack([drawn[:, which == b].sum(axis=1) for b in range(n_bins)], axis=1)
    else:
        rest = (y - p) - (gap / np.maximum(held, 1))[which]
        covariance = clusters.covariance(rest[:, None] * np.eye(n_bins)[which])
        values, vectors = np.linalg.eigh(covariance)
        null = rng.normal(size=(N_NULL, n_bins)) @ (vectors * np.sqrt(np.clip(values, 0, None))).T
    ece, of_null = float(np.abs(gap).sum() / n), np.abs(null).sum(axis=1) / n
    weights = 1 / (n * np.maximum(held, 1))
    return {
        "ece": ece,
        "null_mean": float(of_null.mean()),
        "null_95": float(np.quantile(of_null, 0.95)),
        "excess": ece - float(of_null.mean()),
        "p_value": float((1 + (of_null >= ece).sum()) / (1 + N_NULL)),
        "reliability": float(weights @ gap**2 - (null**2 @ weights).mean()),
    }


def purity(tpr, fpr, prevalence: float):
    """Fraction of true lenses among those found: TPR pi / (TPR pi + FPR (1 - pi)), for prevalence pi."""
    tpr, fpr = np.asarray(tpr, dtype=float), np.asarray(fpr, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tpr * prevalence / (tpr * prevalence + fpr * (1 - prevalence))


def purity_at(scores, labels, threshold: float, prevalence: float, hosts=None, sources=None) -> Metric:
    """Purity of ``score > threshold`` at a prevalence, at that threshold.

    The interval is on the logit scale, where d logit(purity) = dTPR / TPR - dFPR / FPR. Where no lens or no other
    stamp lies above the threshold, it is made of the bounds of both rates and flagged ``degenerate``.
    """
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        return missing("one_class", len(labels))
    above = scores > threshold
    rate = {c: above[labels == c].mean() for c in (True, False)}
    value = float(purity(rate[True], rate[False], prevalence))
    influence = np.zeros(len(labels))
    for c, sign in ((True, 1.0), (False, -1.0)):
        if rate[c] > 0:
            influence[labels == c] = sign * (above[labels == c] / rate[c] - 1) / (labels == c).sum()
    clusters = Clusters(np.arange(len(scores)) if hosts is None else hosts, sources, classes=labels)
    metric = clusters.linear(value, value * (1 - value) * influence)
    if (rate[True] > 0 and rate[False] > 0) or metric.value is None or metric.ci_low is None:
        return metric
    bounds = {}
    for c in (True, False):
        rest = [None if x is None else np.asarray(x)[labels == c] for x in (hosts, sources)]
        bounds[c] = mean(above[labels == c], *rest, bounds=(0.0, 1.0))
    if None in (bounds[True].ci_low, bounds[False].ci_low):
        return replace(metric, ci_low=None, ci_high=None)
    low, high = (
        np.nan_to_num(purity(a, b, prevalence))
        for a, b in ((bounds[True].ci_low, bounds[False].ci_high), (bounds[True].ci_high, bounds[False].ci_low))
    )
    return replace(metric, ci_low=float(low), ci_high=float(high))


def purity_curve(scores, labels, prevalence: float, min_expected_fp: int = 10, n_points: int = 40) -> list[dict]:
    """Purity and completeness at a prevalence, threshold by threshold.

    Parameters
    ----------
    scores, labels : array_like, (n,)
        Lenses, and survey negatives.
    prevalence : float
    min_expected_fp : int
        The curve ends where fewer negatives than this lie above the threshold; of equal scores all or none do.
    n_points : int

    Returns
    -------
    list of dict
        ``threshold, completeness, fpr, purity, ci_low, ci_high``; the interval propagates the Wilson bounds of both
        rates, and so holds for independent rows.
    """
    scores, labels = finite(scores), np.asarray(labels, dtype=bool)
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    if len(negative) <= min_expected_fp or not len(positive):
        return []
    k = np.unique(np.geomspace(min_expected_fp, len(negative) - 1, n_points).astype(int))
    thresholds = np.unique(negative[len(negative) - 1 - k])[::-1]
    false = len(negative) - np.searchsorted(negative, thresholds, "right")
    thresholds, false = thresholds[false >= min_expected_fp], false[false >= min_expected_fp]
    found = len(positive) - np.searchsorted(positive, thresholds, "right")
    (tpr_low, tpr_high), (fpr_low, fpr_high) = wilson(found, len(positive)), wilson(false, len(negative))
    tpr, fpr = found / len(positive), false / len(negative)
    return [
        {"threshold": t, "completeness": a, "fpr": b, "purity": p, "ci_low": low, "ci_high": high}
        for t, a, b, p, low, high in zip(
            thresholds.tolist(),
            tpr.tolist(),
            fpr.tolist(),
            purity(tpr, fpr, prevalence).tolist(),
            purity(tpr_low, fpr_high, prevalence).tolist(),
            purity(tpr_high, fpr_low, prevalence).tolist(),
        )
    ]
