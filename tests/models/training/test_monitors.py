import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dhs.config import EvaluateConfig
from dhs.models.training.monitors import recall_at, two_sets, validation_monitors
from dhs.stats import metrics


@pytest.mark.parametrize("decimals", [6, 0])
def test_value_agrees_with_scikit_learn_ties_included(decimals):
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(0.7, 1, 83).round(decimals), rng.normal(0, 1, 131).round(decimals)
    labels = np.repeat([1, 0], [83, 131])
    ours = two_sets(positive, negative, np.arange(83), np.arange(83, 214))
    assert ours.value == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])), abs=1e-12)
    assert ours.ci_low < ours.value < ours.ci_high


@pytest.mark.parametrize(("per_host", "paired"), [(1, True), (5, True), (5, False)])
def test_interval_has_the_width_of_a_host_bootstrap(per_host, paired):
    rng = np.random.default_rng(1)
    n_hosts = 60
    host = np.repeat(np.arange(n_hosts), per_host)
    effect = rng.normal(0, 1.5, n_hosts)
    positive = effect[host] + rng.normal(0.8, 1, len(host))
    other = effect if paired else rng.normal(0, 1.5, n_hosts)
    negative = other[host] + rng.normal(0, 1, len(host))
    negative_host = host if paired else host + n_hosts
    ours = two_sets(positive, negative, host, negative_host)
    rows = np.arange(len(host)).reshape(n_hosts, per_host)
    labels = np.repeat([1, 0], len(host))
    draws = []
    for _ in range(600):
        first = rows[rng.integers(0, n_hosts, n_hosts)].ravel()
        second = first if paired else rows[rng.integers(0, n_hosts, n_hosts)].ravel()
        draws.append(roc_auc_score(labels, np.concatenate([positive[first], negative[second]])))
    low, high = np.percentile(draws, [2.5, 97.5])
    assert ours.ci_high - ours.ci_low == pytest.approx(high - low, rel=0.15)


def test_no_interval_below_eight_hosts_and_a_one_sided_one_without_spread():
    few = two_sets(np.arange(7.0), np.arange(7.0) - 0.5, np.arange(7), np.arange(7))
    assert few.value > 0.5 and few.ci_low is None and few.ci_high is None
    perfect = two_sets(np.arange(10.0) + 20, np.arange(10.0), np.arange(10), np.arange(10))
    assert perfect.value == perfect.ci_high == 1.0 and 0.6 < perfect.ci_low < 0.8  # 0.025 ** (1 / 10)
    assert two_sets(np.empty(0), np.ones(3), np.empty(0), np.arange(3)).value is None


def test_recall_is_that_of_the_evaluation():
    rng = np.random.default_rng(5)
    positive, negative = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 400).round(1)
    scores, labels = np.concatenate([positive, negative]), np.repeat([True, False], [300, 400])
    for fpr in metrics.supported_fprs(400):
        expected = metrics.tpr_at_fpr(scores, labels, fpr, n_bootstrap=20)[0].value
        assert recall_at(positive, negative, fpr) == pytest.approx(expected)


def test_monitors_of_a_validation_split_against_scikit_learn_and_torch():
    rng = np.random.default_rng(6)
    n = 120
    scores = {
        "positive": rng.normal(1, 1, n),
        "control": rng.normal(0, 1, n),
        "host": np.arange(n),
        "theta_e": rng.uniform(0.5, 3.0, n),
        "hard": np.array([-1.0, -2.0, 3.0, -1.0]),
        "kind": np.array(["ring", "ring", "ring", "companion"], dtype=object),
        "positive_masked": rng.normal(0.5, 1, n),
        "control_masked": rng.normal(0, 1, n),
        "positive_swapped": rng.normal(0.8, 1, n),
    }
    row = validation_monitors(scores, EvaluateConfig())
    labels, both = np.repeat([1, 0], n), np.concatenate([scores["positive"], scores["control"]])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(both), torch.tensor(labels).double())
    assert row["loss_val"] == pytest.approx(float(loss))
    assert row["auroc_val"] == pytest.approx(roc_auc_score(labels, both))
    swapped = np.concatenate([scores["positive_swapped"], scores["control"]])
    assert row["auroc_core_swap"] == pytest.approx(roc_auc_score(labels, swapped))
    wide = scores["theta_e"] >= 2.5
    both = np.concatenate([scores["positive"][wide], scores["control"][wide]])
    assert row["auroc_theta_e_2.5_3"] == pytest.approx(roc_auc_score(np.repeat([1, 0], wide.sum()), both))
    assert row["hard_negative_accuracy"] == 0.75
    assert row["hard_negative_accuracy_ring"] == pytest.approx(2 / 3) and row["hard_negative_accuracy_companion"] == 1
    assert [k for k in row if k.startswith("tpr_fpr_")] == ["tpr_fpr_0.1", "tpr_fpr_0.0833"]
    without = {"positive_masked": np.empty(0), "control_masked": np.empty(0), "positive_swapped": np.empty(0)}
    row = validation_monitors(scores | without, EvaluateConfig())
    assert np.isnan(row["auroc_core_masked"]) and np.isnan(row["auroc_core_swap"])
