"""A linear probe on held-out hosts, and what chance makes of it: permutations of hosts between the two sets.

Held-out scores of folds that share training rows are not independent, so a p-value or an interval made as if they were
says too often that two sets differ. Both come from permutations instead: the same cross-validation with the labels of
hosts exchanged, within each fold. The probe is a ridge regression on the labels, one solve a fold for all of them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.stats.metrics import MIN_CLUSTERS, Clusters, Metric

MIN_STAMPS = 16  # of each set, after matching
RIDGE = 400.0  # penalty on standardised features: they outnumber stamps
N_FOLDS = 5
N_EXCESS = 200  # permutations of the difference to the control, at most


def rotated(x: np.ndarray) -> np.ndarray:
    """Standardised features in as many dimensions as there are rows: a ridge penalty does not notice the rotation."""
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u * s


def folds_of(labels: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each row; no host is in two, and each holds about as many of either label."""
    from sklearn.model_selection import StratifiedGroupKFold

    out, split = np.empty(len(labels), int), StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    for k, (_, test) in enumerate(split.split(labels, labels, group)):
        out[test] = k
    return out


def held_out(x: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Scores of stamps whose host the probe has not seen, each fold's on the scale of its training rows.

    Parameters
    ----------
    x : ndarray, (n, d)
    labels : ndarray of 0 and 1, (n, k)
        A probe for each column.
    folds : ndarray of int, (n,)

    Returns
    -------
    ndarray, (n, k)
    """
    out = np.empty(labels.shape)
    for k in np.unique(folds):
        test = folds == k
        middle, y = x[~test].mean(axis=0), labels[~test].astype(float)
        train = x[~test] - middle
        if train.shape[1] < len(train):  # the same solution, with the smaller matrix
            slope = np.linalg.solve(train.T @ train + RIDGE * np.eye(train.shape[1]), train.T @ (y - y.mean(axis=0)))
            out[test] = (x[test] - middle) @ slope / np.maximum((train @ slope).std(axis=0), 1e-12)
            continue
        kernel = train @ train.T
        weights = np.linalg.solve(kernel + RIDGE * np.eye(len(kernel)), y - y.mean(axis=0))
        spread = np.maximum((kernel @ weights).std(axis=0), 1e-12)
        out[test] = (x[test] - middle) @ train.T @ weights / spread
    return out


def areas(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUROC of every column."""
    n1 = labels.sum(axis=0)
    ranks = (rankdata(scores, axis=0) * labels).sum(axis=0)
    return (ranks - n1 * (n1 + 1) / 2) / (n1 * (len(labels) - n1))


def exchanged(labels: np.ndarray, blocks: np.ndarray, group: np.ndarray, rng: np.random.Generator, n: int):
    """Labels exchanged among the hosts of each block, (rows, n); in a host of both sets, among its stamps."""
    _, first, codes = np.unique(group, return_index=True, return_inverse=True)
    share = np.bincount(codes, labels) / np.bincount(codes)
    pure, of_group = (share == 0) | (share == 1), np.repeat((share > 0.5)[:, None], n, axis=1)
    for block in np.unique(blocks):
        here = np.flatnonzero(pure & (blocks[first] == block))
        of_group[here] = rng.permuted(of_group[here], axis=0)
    out = of_group[codes]
    for c in np.flatnonzero(~pure):
        rows = np.flatnonzero(codes == c)
        out[rows] = rng.permuted(np.repeat(labels[rows, None] == 1, n, axis=1), axis=0)
    return out


def probe(x_first, x_second, group_first, group_second, *, seed: int = 0, n_permutations: int = 0) -> dict:
    """Area under the ROC curve of a linear probe on held-out hosts.

    Parameters
    ----------
    x_first, x_second : ndarray, (n, d), (m, d)
    group_first, group_second : ndarray of str
        Hosts; none is in two folds.
    seed : int
    n_permutations : int
        Whole cross-validations with labels exchanged among hosts; 0 for none, and then there is no interval either.

    Returns
    -------
    dict
        ``auc`` (a metric; its interval on the logit scale, as wide as the permuted AUCs scatter), ``n_first,
        n_second``, and with permutations ``p_value`` (one-sided) and ``null_95``, the 95 % quantile of the
        permuted AUCs.

    Raises
    ------
    DhsError
        Fewer than `MIN_STAMPS` of either, or from fewer than `MIN_CLUSTERS` hosts.
    """
    if min(len(x_first), len(x_second)) < MIN_STAMPS:
        raise DhsError(f"{len(x_first)} and {len(x_second)} stamps: a probe needs {MIN_STAMPS} of each. Give more.")
    if (hosts := min(len(set(np.asarray(g, str).tolist())) for g in (group_first, group_second))) < MIN_CLUSTERS:
        raise DhsError(f"stamps of {hosts} hosts in a set: a probe needs {MIN_CLUSTERS}. Give more galaxies.")
    x = rotated(np.concatenate([x_first, x_second]).astype(float))
    labels = np.repeat([1, 0], [len(x_first), len(x_second)])
    group = np.concatenate([np.asarray(group_first, dtype=str), np.asarray(group_second, dtype=str)])
    folds = folds_of(labels, group, seed)
    scores = held_out(x, labels[:, None], folds)[:, 0]
    value = float(areas(scores[:, None], labels[:, None])[0])
    out = {"n_first": len(x_first), "n_second": len(x_second)}
    about = {"n": len(x), "n_hosts": len(set(group.tolist()))}
    if not n_permutations:
        return out | {"auc": Metric(value, None, None, **about, flags=("no_permutation",))}
    permuted = exchanged(labels, folds, group, keyed(seed, Stream.PERMUTATION), n_permutations)
    null = areas(held_out(x, permuted, folds), permuted)
    out["p_value"] = float((1 + (null >= value - 1e-12).sum()) / (1 + n_permutations))
    out |= {"null_95": float(np.quantile(null, 0.95)), "n_permutations": n_permutations}
    clusters = Clusters(group, classes=labels)
    influence = metrics.auroc_influence(scores, labels == 1, np.ones(len(labels)), value)
    bounds = interval(value, null.std(), clusters.error(influence)[0], 0.5 / min(len(x_first), len(x_second)))
    return out | {"auc": Metric(value, *bounds, **about)}


def interval(value: float, of_null: float, of_scores: float, end: float) -> tuple[float, float]:
    """From the wider of two: the scatter of permuted AUCs, falling as sqrt(AUC (1 - AUC)), and that of the scores.

    Values closer to 0 or 1 than ``end`` are taken for that far from it: half a stamp of the smaller set.
    """
    inside = min(max(value, end), 1 - end)
    error = max(of_null * np.sqrt(4 * inside * (1 - inside)), of_scores)
    reach = norm.ppf(0.975) * error / (inside * (1 - inside))
    return float(expit(logit(inside) - reach)), float(expit(logit(inside) + reach)) if value < 1 else 1.0


def halves(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of one half of the hosts' stamps."""
    names, codes = np.unique(group, return_inverse=True)
    return (rng.permutation(len(names)) < len(names) // 2)[codes]


def excess(
    value: float, x, group, labels: np.ndarray, *, seed: int, n_permutations: int
) -> tuple[Metric, float | None]:
    """AUC of the probe less that of its control, with the scatter that chance gives it.

    Parameters
    ----------
    value : float
        The difference that was measured.
    x : ndarray, (n, d)
        Features of all stamps.
    group : ndarray of str, (n,)
    labels : ndarray of int, (n,)
        1 the real stamps; 0 the injections; 2 real stamps of another class, where the control is made with those.
        Without any, the control is two halves of the real stamps, the very ones that the probe sees.
    seed, n_permutations : int

    Returns
    -------
    metric : Metric
        Its interval is as wide as the permuted differences scatter.
    p : float or None
        One-sided: the share of permutations that differ by as much. They exchange injections and the other class, or
        injections and real stamps, which are then halved again.
    """
    n = min(n_permutations, N_EXCESS)
    about = {"n": len(labels), "n_hosts": len(set(group.tolist()))}
    if not n:
        return Metric(value, None, None, **about, flags=("no_permutation",)), None
    rng = keyed(seed, Stream.PERMUTATION, attempt=1)
    other = (labels == 2).any()
    free = np.flatnonzero(labels != 1) if other else np.arange(len(labels))
    wanted = (labels[free] == 0).astype(int)
    permuted = exchanged(wanted, np.zeros(len(free), int), group[free], rng, n)
    null = []
    for k in range(n):
        now = labels.copy()
        now[free] = np.where(permuted[:, k], 0, 2 if other else 1)
        real = now == 1
        half = real & False
        if not other:
            half[real] = halves(group[real], rng)
        against = (now == 2) if other else half
        null.append(_area(x, group, real, now == 0, seed) - _area(x, group, real & ~half, against, seed))
    null = np.array([v for v in null if np.isfinite(v)])
    if len(null) < 20:
        return Metric(value, None, None, **about, flags=("no_interval",)), None
    reach = norm.ppf(0.975) * null.std(ddof=1)
    return Metric(value, value - reach, value + reach, **about), float((1 + (null >= value).sum()) / (1 + len(null)))


def _area(x, group, first: np.ndarray, second: np.ndarray, seed: int) -> float:
    """AUC of the probe alone; NaN where a fold cannot be made."""
    rows = np.concatenate([np.flatnonzero(first), np.flatnonzero(second)])
    labels = np.repeat([1, 0], [first.sum(), second.sum()])
    if min(first.sum(), second.sum()) < N_FOLDS:
        return np.nan
    scores = held_out(rotated(x[rows].astype(float)), labels[:, None], folds_of(labels, group[rows], seed))
    return float(areas(scores, labels[:, None])[0])
