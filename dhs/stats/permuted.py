"""Many tests of one question against one null: labels exchanged once, by group, and used by every test.

Two tests of a table of features. `Null.probe`: can a linear classifier, scored out of grouped folds, tell two classes
apart? `Null.single`: is any one feature distributed differently? The second sees a mark on a few rows that the first
averages away, the first a pattern that no feature shows alone. Both hold a margin: an AUC within it of one half passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, t
from sklearn.model_selection import StratifiedKFold

from dhs.random import Stream, keyed
from dhs.stats import metrics, probe
from dhs.stats.clusters import Clusters, Metric

N_SINGLE = 1999  # permutations of single features: p-values down to 1/2000 need no assumption
N_PROBE = (199, 799)  # of whole cross-validations, at least and at most
WORK = 4e6  # rows times permutations of a probe
MIN_REACHED = 10  # permutations that reach a value; below, the tail of a t is taken
CHUNK = 200


@dataclass(frozen=True)
class Found:
    """One test.

    Attributes
    ----------
    metric : Metric
        AUC, at least 0.5 for a single feature.
    p : float
        One-sided, of an AUC within the margin of one half.
    null_sd : float
        Scatter of the AUC where labels mean nothing.
    feature : int or None
        Place of the single feature.
    """

    metric: Metric
    p: float
    null_sd: float
    feature: int | None = None


class Null:
    """Labels, and what chance makes of them.

    Parameters
    ----------
    labels : array_like of bool, (n,)
    groups : array_like, (n,)
        Rows of one group are in one fold, and exchange their labels together; in a group of both labels among
        themselves.
    seed : int
    n_single : int
        Permutations of single features.
    """

    def __init__(self, labels, groups, seed: int = 0, n_single: int = N_SINGLE):
        self.labels = np.asarray(labels, bool)
        self.groups = np.unique(np.asarray(groups), return_inverse=True)[1]
        n = len(self.labels)
        self.folds = self._folds(seed)
        rng = keyed(seed, Stream.PERMUTATION)
        order = self.labels.astype(int)
        self.permuted = probe.exchanged(order, self.folds, self.groups, rng, n_single)
        self.n_probe = int(np.clip(WORK // n, *N_PROBE)) if n_single >= N_PROBE[1] else n_single
        self.clusters = Clusters(self.groups, classes=self.labels)

    def _folds(self, seed: int) -> np.ndarray:
        if len(np.unique(self.groups)) < len(self.groups):
            return probe.folds_of(self.labels.astype(int), self.groups, seed)
        out = np.empty(len(self.labels), int)
        split = StratifiedKFold(probe.N_FOLDS, shuffle=True, random_state=seed)
        for k, (_, test) in enumerate(split.split(self.labels, self.labels)):
            out[test] = k
        return out

    def probe(self, x: np.ndarray, margin: float = 0.0) -> Found:
        """A linear classifier out of grouped folds; features (n, d) are ranked to normal deviates, and their distance
        from the middle is a feature too, so that a difference of spread counts."""
        x = spread(x)
        y = self.labels.astype(np.uint8)
        rotated = probe.rotated(x)
        scores = probe.held_out(rotated, y[:, None], self.folds)[:, 0]
        value = float(probe.areas(scores[:, None], y[:, None])[0])
        null = []
        for start in range(0, self.n_probe, CHUNK):
            some = self.permuted[:, start : min(start + CHUNK, self.n_probe)]
            null.append(probe.areas(probe.held_out(rotated, some, self.folds), some))
        null = np.concatenate(null)
        metric = self._metric(scores, value, float(null.std()))
        return Found(metric, tail(value - margin, null), float(null.std()))

    def single(self, x: np.ndarray, margin: float = 0.0) -> Found | None:
        """The feature that differs most, corrected for having looked at all of them; None where none varies."""
        ranks = rankdata(x, axis=0).astype(np.float32)
        varies = np.flatnonzero(np.ptp(x, axis=0) > 0)
        if not len(varies):
            return None
        ranks -= np.float32((len(x) + 1) / 2)
        own = self._deviation(ranks[:, varies], self.labels[:, None])[:, 0]
        null = np.concatenate(
            [
                self._deviation(ranks[:, varies], self.permuted[:, i : i + CHUNK])
                for i in range(0, self.permuted.shape[1], CHUNK)
            ],
            axis=1,
        )
        sd = np.maximum(null.std(axis=1), 1e-9)
        reached = (np.abs(null) / sd[:, None]).max(axis=0)
        standing = (np.abs(own) - margin) / sd
        best = int(standing.argmax())
        p = (1 + int((reached >= standing[best] - 1e-3).sum())) / (1 + len(reached))
        scores = x[:, varies[best]] * (1 if own[best] >= 0 else -1)
        metric = self._metric(scores, 0.5 + abs(float(own[best])), float(sd[best]))
        return Found(metric, p, float(sd[best]), int(varies[best]))

    def each(self, x: np.ndarray) -> np.ndarray:
        """(d,) AUC of every feature alone, less one half."""
        ranks = rankdata(x, axis=0) - (len(x) + 1) / 2
        return self._deviation(ranks, self.labels[:, None])[:, 0]

    @staticmethod
    def _deviation(centred_ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(features, labellings) AUC less one half."""
        n1 = labels.sum(axis=0).astype(float)
        sums = centred_ranks.T @ labels.astype(centred_ranks.dtype)
        return sums / np.maximum(n1 * (len(labels) - n1), 1)

    def _metric(self, scores: np.ndarray, value: float, null_sd: float) -> Metric:
        influence = metrics.auroc_influence(scores, self.labels, np.ones(len(scores)), value)
        about = {"n": len(scores), "n_hosts": self.clusters.n_hosts}
        error = self.clusters.error(influence)
        if error is None:
            return Metric(value, None, None, **about, flags=("few_clusters", "no_interval"))
        low, high = probe.interval(value, null_sd, error[0], 0.5 / max(int(min(self._sizes())), 1))
        return Metric(value, low, high, **about)

    def _sizes(self) -> tuple[int, int]:
        return int(self.labels.sum()), int((~self.labels).sum())


def tail(value: float, null: np.ndarray) -> float:
    """One-sided p-value: counted, and where fewer than `MIN_REACHED` reach the value the lesser of that and a t's."""
    reached = int((null >= value - 1e-12).sum())
    counted = (1 + reached) / (1 + len(null))
    if reached >= MIN_REACHED or null.std() == 0:
        return float(counted)
    z = (value - null.mean()) / (null.std(ddof=1) * np.sqrt(1 + 1 / len(null)))
    return float(min(counted, t.sf(z, len(null) - 1)))


def spread(x: np.ndarray) -> np.ndarray:
    """Features as normal deviates of their ranks, and the distance of those from the middle, (n, 2 d)."""
    from scipy.special import ndtri

    varies = np.ptp(x, axis=0) > 0
    z = ndtri((rankdata(x[:, varies], axis=0) - 0.5) / len(x))
    return np.column_stack([z, np.abs(z)])
