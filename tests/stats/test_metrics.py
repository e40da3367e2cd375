"""Metrics against scikit-learn, scipy, astropy and a published table."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from astropy.stats import binom_conf_interval
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from dhs.errors import DhsError
from dhs.stats import calibration, metrics, ranking

DATA = os.environ.get("DHS_DATA_DIR")


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    labels = rng.random(400) < 0.4
    return np.round(rng.normal(size=400) + labels, 1), labels, rng.integers(0, 3, 400).astype(float)


def test_weighted_auroc_is_scikit_learns_with_ties_and_zero_weights(scored):
    scores, labels, weights = scored
    got = metrics.auroc_statistic(scores, labels)(np.stack([weights, np.ones_like(weights)]))
    keep = weights > 0
    want = roc_auc_score(labels[keep], scores[keep], sample_weight=weights[keep])
    np.testing.assert_allclose(got, [want, roc_auc_score(labels, scores)], atol=1e-12)


@pytest.mark.parametrize("fpr", [0.3, 0.1, 0.03])
def test_tpr_at_fpr_is_the_best_point_of_scikit_learns_roc(scored, fpr):
    scores, labels, _ = scored
    fprs, tprs, _ = roc_curve(labels, scores, drop_intermediate=False)
    recall, threshold = metrics.tpr_at_fpr(scores, labels, fpr, n_bootstrap=50)
    assert recall.value == pytest.approx(tprs[fprs <= fpr + 1e-12].max())
    assert np.mean(scores[~labels] > threshold.value) <= fpr
    assert recall.ci_low < recall.value < recall.ci_high
    assert threshold.ci_low <= threshold.value <= threshold.ci_high


def test_interval_of_recall_is_wider_than_that_of_recall_at_a_known_threshold():
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(size=300), rng.normal(2, 1, 3000)]
    labels = np.r_[np.zeros(300, bool), np.ones(3000, bool)]
    recall, _ = metrics.tpr_at_fpr(scores, labels, 0.05, n_bootstrap=300)
    low, high = metrics.wilson(recall.value * 3000, 3000)
    assert recall.ci_high - recall.ci_low > 3 * (high - low)  # 15 false positives set the threshold


def test_grouped_interval_is_wider_than_an_ungrouped_one():
    rng = np.random.default_rng(1)
    hosts = np.repeat(np.arange(50), 20)
    labels = np.tile([True, False], 500)
    scores = rng.normal(size=1000) + labels * (1 + rng.normal(size=50)[hosts])
    grouped = metrics.auroc(scores, labels, hosts)
    loose = metrics.auroc(scores, labels)
    assert grouped.n_hosts == 50 and grouped.flags == ()
    assert grouped.ci_high - grouped.ci_low > 1.5 * (loose.ci_high - loose.ci_low)


def test_few_sources_widen_the_interval_and_rows_without_source_follow_their_host():
    rng = np.random.default_rng(2)
    n = 600
    source = rng.integers(0, 40, n)
    scores = np.r_[1 + rng.normal(size=40)[source] + rng.normal(size=n), rng.normal(size=n)]
    labels = np.r_[np.ones(n, bool), np.zeros(n, bool)]
    hosts = np.tile(np.arange(n), 2)
    sources = np.r_[source.astype(str), np.full(n, "")]
    two_way = metrics.auroc(scores, labels, hosts, sources)
    one_way = metrics.auroc(scores, labels, hosts)
    assert "two_way" in two_way.flags and two_way.n_sources == 40
    assert two_way.ci_high - two_way.ci_low > 1.5 * (one_way.ci_high - one_way.ci_low)


def test_two_way_variance_of_a_balanced_mean_is_the_textbook_one():
    """For additive host, source and row effects the variance is s_h^2/H + s_s^2/S + s_e^2/n, not more."""
    rng = np.random.default_rng(11)
    host, source = (a.ravel() for a in np.meshgrid(np.arange(60), np.arange(60)))
    widths = []
    for trial in range(8):
        values = 0.3 * rng.normal(size=60)[host] + 0.5 * rng.normal(size=60)[source] + rng.normal(size=3600)
        m = metrics.mean(values, host.astype(str), source.astype(str), n_bootstrap=300, seed=trial)
        widths.append(((m.ci_high - m.ci_low) / 2 / stats.t.ppf(0.975, 59)) ** 2)
    assert np.mean(widths) == pytest.approx((0.09 + 0.25) / 60 + 1 / 3600, rel=0.2)


def test_linearised_intervals_are_the_bootstraps():
    rng = np.random.default_rng(12)
    host, source = rng.integers(0, 80, 500), rng.integers(0, 50, 500)
    scores = np.r_[1.2 + 0.5 * rng.normal(size=50)[source] + rng.normal(size=500), rng.normal(size=500)]
    scores += 0.5 * rng.normal(size=80)[np.r_[host, host]]
    labels, weights = np.arange(1000) < 500, rng.uniform(0.5, 2, 1000)
    clusters = np.r_[host, host], np.r_[source.astype(str), np.full(500, "")]
    for function, first in ((metrics.auroc, (np.round(scores, 1), labels)), (metrics.mean, (scores,))):
        for options in ({}, {"row_weights": weights}):
            linear = function(*first, *clusters, **options)
            drawn = function(*first, *clusters, n_bootstrap=1500, **options)
            assert linear.value == drawn.value and linear.flags == drawn.flags == ("two_way",)
            assert linear.ci_high - linear.ci_low == pytest.approx(drawn.ci_high - drawn.ci_low, rel=0.08)


def test_row_weights_stand_for_repeated_rows(scored):
    scores, labels, weights = scored
    keep = weights > 0
    repeated = np.repeat(np.arange(400), weights.astype(int))
    one = metrics.auroc(scores, labels, n_bootstrap=20, row_weights=weights)
    two = metrics.auroc(scores[repeated], labels[repeated], n_bootstrap=20)
    assert one.value == pytest.approx(two.value) and keep.any()
    assert metrics.mean(scores, row_weights=weights, n_bootstrap=20).value == pytest.approx(scores[repeated].mean())


def test_scores_without_a_rank_are_refused(scored):
    scores, labels, _ = scored
    broken = np.where(np.arange(400) == 7, np.nan, scores)
    for call in (lambda: metrics.auroc(broken, labels), lambda: metrics.tpr_at_fpr(broken, labels, 0.1)):
        with pytest.raises(DhsError, match="1 of 400 scores are NaN or infinite .first: row 7."):
            call()


def test_equal_scores_are_chance(scored):
    _, labels, _ = scored
    same = metrics.auroc(np.zeros(400), labels)
    assert same.value == 0.5 and metrics.tpr_at_fpr(np.zeros(400), labels, 0.1)[0].value == 0


def test_clusters_decide_what_interval_there_is():
    rng = np.random.default_rng(4)
    values = rng.normal(size=280)
    assert metrics.mean(values, np.arange(280) % 7).ci_low is None
    few = metrics.mean(values, np.arange(280) % 14)
    assert "few_clusters" in few.flags and few.ci_low < few.value < few.ci_high
    assert metrics.mean(values, np.arange(280) % 70).flags == ()
    perfect = metrics.auroc(np.r_[np.ones(50), np.zeros(50)], np.r_[np.ones(50), np.zeros(50)], np.arange(100))
    assert perfect.value == 1 and 0.9 < perfect.ci_low < 1 and "degenerate" in perfect.flags
    assert metrics.auroc([1, 2, 3], [True] * 3).as_dict()["flags"] == ["one_class"]


def test_hosts_of_one_class_do_not_stand_for_those_of_the_other():
    """Five hosts of lenses give no interval, nine a flag and a t interval, however many non-lenses there are."""
    rng = np.random.default_rng(6)
    for n_hosts, flags in ((5, {"few_clusters", "no_interval"}), (9, {"few_clusters"}), (40, set())):
        hosts = np.r_[np.repeat(np.arange(n_hosts), 6), 1000 + np.arange(500)]
        labels = hosts < 1000
        scores = rng.normal(size=len(hosts)) + labels
        options = {"n_bootstrap": 40}
        found = [metrics.auroc(scores, labels, hosts), *metrics.tpr_at_fpr(scores, labels, 0.1, hosts, **options)]
        found += [ranking.partial_auc(scores, labels, 0.1, hosts, **options)]
        found += [calibration.purity_at(scores, labels, 1.0, 0.01, hosts)]
        found += [calibration.quality(1 / (1 + np.exp(-scores)), labels, hosts)["brier"]]
        for metric in found:
            assert set(metric.flags) == flags and (metric.ci_low is None) == (n_hosts == 5)
            assert metric.n_hosts == n_hosts + 500


def test_a_recall_of_nothing_is_bounded_by_zero_found_of_so_many():
    """A draw may lack the extreme negative, so the draws spread; they never say what 60 lenses unseen can hide."""
    scores = np.r_[np.full(60, 1.0), np.linspace(-3, 0.9, 399), 5.0]
    labels = np.arange(460) < 60
    recall = ranking.tpr_before(scores - np.r_[np.linspace(0, 4, 60), np.zeros(400)], labels, 1, n_bootstrap=200)
    assert recall.value == 0 and "degenerate" not in recall.flags
    assert recall.ci_high >= 1 - 0.025 ** (1 / 60)


@pytest.mark.parametrize("clusters", [10, 60])
def test_intervals_cover_what_they_claim(clusters):
    rng = np.random.default_rng(5)
    hosts = np.repeat(np.arange(clusters), 5)
    hits = 0
    for trial in range(200):
        values = rng.normal(size=clusters)[hosts] + rng.normal(size=5 * clusters)
        m = metrics.mean(values, hosts, n_bootstrap=200, seed=trial)
        hits += m.ci_low <= 0 <= m.ci_high
    assert stats.binomtest(hits, 200, 0.95).pvalue > 1e-3


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_binomial_intervals_are_astropys(level):
    k, n = np.array([1, 5, 50, 99]), np.array([100, 20, 100, 100])
    for ours, theirs in ((metrics.wilson, "wilson"), (metrics.jeffreys, "jeffreys")):
        want = binom_conf_interval(k, n, confidence_level=level, interval=theirs)
        np.testing.assert_allclose(ours(k, n, level), want, rtol=1e-9)
    want = stats.binomtest(5, 6).proportion_ci(level, "exact")
    np.testing.assert_allclose(metrics.clopper_pearson(5, 6, level), (want.low, want.high))
    assert metrics.clopper_pearson(0, 6)[0] == 0 and metrics.clopper_pearson(6, 6)[1] == 1
    assert np.isnan(metrics.wilson(0, 0)[0]) and np.isnan(metrics.jeffreys(0, 0)[1])
    assert metrics.jeffreys(0, 50)[0] > 0


@pytest.mark.parametrize("n, smallest", [(10_000, 1e-3), (300, 1 / 30), (9, None), (100_000, 1e-4)])
def test_smallest_fpr_has_ten_expected_false_positives(n, smallest):
    rates = metrics.supported_fprs(n)
    assert (rates[-1] == pytest.approx(smallest)) if smallest else rates == []
    assert rates == sorted(rates, reverse=True) and all(f * n >= 10 - 1e-6 for f in rates)


def test_concordance_sees_what_the_marginal_auroc_hides():
    rng = np.random.default_rng(6)
    control = rng.normal(size=500) * 10
    positive = control + 0.5
    both = metrics.auroc(np.r_[positive, control], np.r_[np.ones(500), np.zeros(500)])
    assert both.value < 0.55
    assert metrics.concordance(positive, control).value == 1
    assert metrics.concordance(control, control).value == 0.5


def test_five_hundred_bootstraps_of_ten_thousand_scores_take_seconds():
    rng = np.random.default_rng(8)
    labels = np.arange(10_000) < 500
    scores = rng.normal(size=10_000) + labels
    start = time.perf_counter()
    metrics.auroc(scores, labels, np.arange(10_000))
    metrics.tpr_at_fpr(scores, labels, 0.01, np.arange(10_000))
    assert time.perf_counter() - start < 6  # about 1 s on an idle machine


@pytest.mark.parametrize("n_sources", (40, 300, 2000))
def test_a_source_that_recurs_is_resampled_however_many_there_are(n_sources):
    """Additive effects: the variance of a mean is that of hosts, of sources by their share of rows, and of rows."""
    rng, n = np.random.default_rng(n_sources), 20_000
    source, host = rng.integers(0, n_sources, n), np.arange(n)
    values = 0.5 * rng.normal(size=n_sources)[source] + rng.normal(size=n)
    metric = metrics.mean(values, host, source)
    shares = np.bincount(source, minlength=n_sources) / n
    error = (metric.ci_high - metric.ci_low) / 2 / stats.t.ppf(0.975, n_sources - 1)
    assert metric.flags == ("two_way",)
    assert error**2 == pytest.approx(0.25 * (shares**2).sum() + 1 / n, rel=0.45 if n_sources == 40 else 0.2)


def test_sources_that_serve_one_row_each_are_left_to_their_hosts():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500)
    assert metrics.mean(values, np.arange(500) // 5, np.arange(500)) == replace(
        metrics.mean(values, np.arange(500) // 5), n_sources=500
    )


def test_draws_over_hosts_alone_are_refused_where_sources_recur():
    clusters = metrics.Clusters(np.arange(100), np.arange(100) % 20)
    with pytest.raises(ValueError, match="give all of them"):
        clusters.attach(0.5, np.linspace(0, 1, 50))


def test_a_control_with_its_pairs_source_cancels_what_the_pair_shares():
    """Hosts scatter by ten times the noise; positives and controls of a pair share that on every axis."""
    rng, n = np.random.default_rng(3), 2000
    host, source = rng.normal(size=n), rng.integers(0, 100, n)
    values = np.r_[host + 1 + 0.1 * rng.normal(size=n), -host - 0.1 * rng.normal(size=n)]
    metric = metrics.mean(values, np.tile(np.arange(n), 2), np.tile(source, 2))
    assert metric.ci_high - metric.ci_low < 0.01


def test_recall_knows_its_sources_as_the_bootstrap_over_them_does():
    rng, n = np.random.default_rng(4), 1500
    source = rng.integers(0, 60, n)
    scores = np.r_[rng.normal(size=60)[source] + rng.normal(size=n) + 1, rng.normal(size=4000)]
    labels, hosts = np.arange(n + 4000) < n, np.arange(n + 4000)
    sources = np.r_[source, np.full(4000, -1)]
    fast, _ = metrics.tpr_at_fpr(scores, labels, 0.05, hosts, sources, n_bootstrap=400)
    clusters = metrics.Clusters(hosts, sources, 400, 0, classes=labels)
    drawn = clusters.metric(fast.value, lambda w: metrics.recall_statistic(scores, labels, 0.05)(w)[0])
    alone, _ = metrics.tpr_at_fpr(scores, labels, 0.05, hosts, n_bootstrap=400)
    width, wanted, narrow = (m.ci_high - m.ci_low for m in (fast, drawn, alone))
    assert width == pytest.approx(wanted, rel=0.05) and width > 2 * narrow
