"""Partial AUC against scikit-learn, TPR0, TPR10 and F1 against counting."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from dhs.stats import ranking


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    labels = rng.random(500) < 0.4
    return np.round(rng.normal(size=500) + 1.5 * labels, 1), labels, rng.integers(0, 3, 500).astype(float)


@pytest.mark.parametrize("max_fpr", [0.01, 0.07, 0.3, 1.0])
def test_partial_auc_is_scikit_learns_with_ties_and_weights(scored, max_fpr):
    scores, labels, weights = scored
    got = ranking.partial_auc(scores, labels, max_fpr, n_bootstrap=30)
    assert got.value == pytest.approx(roc_auc_score(labels, scores, max_fpr=max_fpr))
    assert got.ci_low < got.value < got.ci_high
    want = roc_auc_score(labels, scores, max_fpr=max_fpr, sample_weight=weights)
    assert ranking.partial_auc(scores, labels, max_fpr, n_bootstrap=30, row_weights=weights).value == pytest.approx(
        want
    )


def test_tpr0_and_tpr10_count_what_the_challenge_counts():
    rng = np.random.default_rng(4)
    scores, labels = rng.normal(size=400), np.arange(400) < 200
    scores[labels] += 2
    negative = np.sort(scores[~labels])[::-1]
    zero, ten = (ranking.tpr_before(scores, labels, n, n_bootstrap=40) for n in (1, 10))
    assert zero.value == np.mean(scores[labels] > negative[0]) and "extreme_score" in zero.flags
    assert ten.value == np.mean(scores[labels] > negative[9]) and ten.value > zero.value
    assert "extreme_score" not in ten.flags
    assert ranking.tpr_before(scores[:205], labels[:205], 10).flags == ("too_few_negatives",)


def test_f1_is_scikit_learns_and_follows_the_prevalence(scored):
    scores, labels, _ = scored
    got = ranking.f1(scores, labels, 1.0, n_bootstrap=30)
    assert got.value == pytest.approx(f1_score(labels, scores > 1.0))
    tpr, fpr = np.mean(scores[labels] > 1), np.mean(scores[~labels] > 1)
    purity = tpr * 1e-3 / (tpr * 1e-3 + fpr * (1 - 1e-3))
    rare = ranking.f1(scores, labels, 1.0, n_bootstrap=30, prevalence=1e-3)
    assert rare.value == pytest.approx(2 * tpr * purity / (tpr + purity))


def test_f1_of_nothing_found_is_bounded_by_the_recall_and_the_false_alarms():
    labels = np.arange(313) < 13
    scores = np.where((np.arange(313) >= 13) & (np.arange(313) < 23), 1.0, 0.0)
    got = ranking.f1(scores, labels, 0.5, n_bootstrap=30, prevalence=1e-4)
    high = 1 - 0.025 ** (1 / 13)
    found = 1e-4 * high
    assert got.value == 0 and got.ci_high == pytest.approx(2 * found / (found + (1 - 1e-4) / 30 + 1e-4))


def test_one_class_gives_no_number():
    for call in (
        lambda: ranking.partial_auc([1, 2], [1, 1], 0.1),
        lambda: ranking.tpr_before([1, 2], [1, 1], 1),
        lambda: ranking.f1([1, 2], [0, 0], 0.5),
    ):
        assert call().flags == ("one_class",) and call().value is None
