"""Influence of rows on out-of-fold scores, against refits of the classifier."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dhs.stats import crossfit
from dhs.stats.metrics import Clusters, auroc_statistic
from dhs.validation.preflight.gates.leakage import Comparison

CONFIG = SimpleNamespace(n_folds=5, equivalence_margin=0.05)


def pairs(seed=0, n=250, p=5, shift=0.7):
    rng = np.random.default_rng(seed)
    control = rng.normal(size=(n, p))
    positive = control + 0.5 * rng.normal(size=(n, p)) + shift * np.eye(p)[0]
    return positive, control, np.arange(n)


def test_the_spread_is_that_of_refits_to_resampled_hosts():
    positive, control, host = pairs()
    n = len(host)
    x, y, hosts = np.concatenate([positive, control]), np.arange(2 * n) < n, np.tile(host, 2)
    fitted = crossfit.cross_fit(x, y, hosts, 5)
    value, influence = crossfit.auc_and_influence(fitted, y, np.ones(2 * n, bool))
    rng, draws = np.random.default_rng(1), []
    for _ in range(150):
        w = np.tile(np.bincount(rng.integers(0, n, n), minlength=n), 2).astype(float)
        scores = np.empty(2 * n)
        for train, test in crossfit.folds_of(hosts, 5):
            scale = StandardScaler().fit(x[train])
            model = LogisticRegression(C=1 / crossfit.PENALTY, class_weight="balanced")
            model.fit(scale.transform(x[train]), y[train], sample_weight=w[train])
            scores[test] = model.decision_function(scale.transform(x[test]))
        draws.append(auroc_statistic(scores, y)(w[None])[0])
    error, degrees = Clusters(hosts, None, classes=y).error(influence)
    assert error == pytest.approx(np.std(draws), rel=0.2) and degrees == n - 1
    assert value == pytest.approx(crossfit.auc(fitted.scores, y))


def test_a_row_that_trains_moves_the_scores_of_the_other_folds():
    positive, control, host = pairs(n=120)
    x, y, hosts = np.concatenate([positive, control]), np.arange(240) < 120, np.tile(host, 2)
    fitted = crossfit.cross_fit(x, y, hosts, 4)
    fold, row = fitted.folds[0], 7
    gradient = np.zeros(240)
    gradient[fold.test[3]] = 1.0
    got = fitted.through_training(gradient)
    assert got[fold.test].any() == 0 and got[fold.train].any()
    scale = StandardScaler().fit(x[fold.train])
    share, moved = y[fold.train].mean(), []
    balance = {True: 0.5 / share, False: 0.5 / (1 - share)}  # "balanced" would follow the row's own weight
    for extra in (-0.2, 0.2):
        w = np.ones(len(fold.train))
        w[row] += extra
        model = LogisticRegression(C=1 / crossfit.PENALTY, class_weight=balance, tol=1e-9, max_iter=2000)
        model.fit(scale.transform(x[fold.train]), y[fold.train], sample_weight=w)
        moved.append(model.decision_function(scale.transform(x[fold.test[3:4]]))[0])
    raw = fold.moves[row] @ fold.held[3]
    assert raw == pytest.approx((moved[1] - moved[0]) / 0.4, rel=0.05)


def test_a_leak_that_hosts_hide_shows_within_pairs():
    """Controls differ by far more than the leak adds: the AUC stays, every pair tells."""
    rng, n = np.random.default_rng(2), 400
    host = 3 * rng.normal(size=(n, 1))
    arc = 0.02 + 0.02 * rng.normal(size=(n, 1))
    found = Comparison(host + arc + 0.1, host + arc, host, (np.arange(n),) * 2, (np.arange(n) % 50,) * 2, CONFIG)
    marginal, paired = found.over(), found.within_pairs()
    assert marginal["status"] == "pass" and abs(marginal["delta"].value) < 0.02
    assert paired["delta"].ci_low > 0.08 and paired["p"] < 1e-3 and paired["status"] == "warn"
    assert paired["metric"].n_sources == 50 and "two_way" in paired["metric"].flags


def test_a_leak_that_varies_by_source_has_the_uncertainty_of_its_sources():
    rng, n = np.random.default_rng(3), 1000
    control = rng.normal(size=(n, 3))
    source = rng.integers(0, 25, n)
    leak = (0.5 + 0.5 * rng.normal(size=25)[source])[:, None] * np.eye(3)[0]
    widths = []
    for of in (source, np.arange(n)):
        found = Comparison(control + leak, control + 0.0, control, (np.arange(n),) * 2, (of, of), CONFIG).over()
        widths.append(found["delta"].ci_high - found["delta"].ci_low)
    assert widths[0] > 2 * widths[1]


def test_nothing_to_tell_apart_is_one_half_and_says_so():
    rng, n = np.random.default_rng(4), 300
    config = SimpleNamespace(n_folds=5)
    x, y = rng.normal(size=(2 * n, 4)), np.arange(2 * n) < n
    found = crossfit.against_chance(x, y, np.arange(2 * n), margin=0.1, config=config)
    assert found["status"] == "pass" and found["metric"].ci_low < 0.5 < found["metric"].ci_high
    assert found["p"] > 0.5
