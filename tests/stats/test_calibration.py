"""Calibration against simulated truth and against scikit-learn."""

import json

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from dhs.errors import DhsError
from dhs.stats import calibration
from dhs.stats.metrics import wilson


def simulated(n=20_000, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = 2 * rng.normal(size=n)
    return scale * truth, rng.random(n) < expit(truth)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_temperature_recovers_the_scale_of_the_logits(scale):
    assert calibration.fit(*simulated(scale=scale)).temperature == pytest.approx(scale, rel=0.05)


def test_isotonic_mends_what_no_temperature_can():
    logits, labels = simulated()
    bent = np.sign(logits) * logits**2 + 1
    fitted = calibration.fit(bent, labels)
    again, truth = simulated(seed=1)
    bent = np.sign(again) * again**2 + 1
    ece = {m: calibration.reliability(fitted.probability(bent, m), truth)["ece"] for m in ("temperature", "isotonic")}
    assert ece["isotonic"] < 0.015 < 2 * ece["isotonic"] < ece["temperature"]
    p = fitted.probability(np.linspace(-100, 100, 50), "isotonic")
    assert (np.diff(p) >= 0).all() and p[0] >= 0 and p[-1] <= 1


def test_sigmoid_is_the_logistic_regression_and_survives_a_round_trip():
    logits, labels = simulated()
    fitted = calibration.fit(2 * logits + 3, labels)
    line = LogisticRegression(C=1e9).fit((2 * logits + 3)[:, None], labels)
    assert fitted.sigmoid == pytest.approx((line.coef_[0, 0], line.intercept_[0]), rel=0.02)
    again = calibration.Calibrator.from_dict(json.loads(json.dumps(fitted.as_dict())))
    x = np.linspace(-5, 8, 9)
    for method in ("temperature", "isotonic", "sigmoid"):
        np.testing.assert_allclose(again.probability(x, method), fitted.probability(x, method))
    assert fitted.probability([50.0], "sigmoid", prevalence=1e-4)[0] < 1


def test_prior_shift_restores_calibration_at_another_prevalence():
    """A balanced sample calibrated, then thinned to one positive in twenty: shifted probabilities match the counts."""
    rng = np.random.default_rng(2)
    labels = rng.random(200_000) < 0.5
    logits = 2 * rng.normal(size=200_000) + 2 * labels
    fitted = calibration.fit(logits[:50_000], labels[:50_000])
    keep = np.r_[np.zeros(50_000, bool), ~labels[50_000:] | (rng.random(150_000) < 1 / 19)]
    share = labels[keep].mean()
    p = fitted.probability(logits[keep], "isotonic", prevalence=share)
    assert p.mean() == pytest.approx(share, rel=0.05)
    assert calibration.reliability(p, labels[keep])["ece"] < 0.01
    assert calibration.reliability(fitted.probability(logits[keep], "isotonic"), labels[keep])["ece"] > 0.1
    np.testing.assert_array_equal(calibration.prior_shift([0.0, 1.0], 0.5, 1e-4), [0.0, 1.0])
    with pytest.raises(DhsError, match="between 0 and 1"):
        calibration.prior_shift([0.5], 0.5, 0.0)


def test_ece_and_brier_agree_with_their_definitions_and_only_brier_has_an_interval():
    logits, labels = simulated(3000, scale=3.0)
    p = expit(logits)
    got = calibration.quality(p, labels)
    assert got["brier"].value == pytest.approx(brier_score_loss(labels, p))
    assert got["brier"].ci_low < got["brier"].value < got["brier"].ci_high
    assert got["ece"].value == pytest.approx(calibration.reliability(p, labels)["ece"])
    assert got["ece"].ci_low is None and "biased_upwards" in got["ece"].flags


def test_perfect_probabilities_are_refused_as_often_as_the_test_says():
    """Pairs on 38 sources with effects of host and source; stated is the posterior, so the ECE is chance alone."""
    p_values, excesses, reliabilities = [], [], []
    for k in range(120):
        rng = np.random.default_rng(k)
        source, host = rng.integers(0, 38, 300), 0.5 * rng.normal(size=300)
        positive = 1.5 + host + 0.5 * rng.normal(size=38)[source] + 0.8 * rng.normal(size=300)
        scores, labels = np.r_[positive, host + 0.8 * rng.normal(size=300)], np.arange(600) < 300
        wide, narrow = np.sqrt(0.25 + 0.25 + 0.64), np.sqrt(0.25 + 0.64)
        p = norm.pdf(scores, 1.5, wide)
        p /= p + norm.pdf(scores, 0, narrow)
        sources = np.r_[source, np.full(300, -1)]
        got = calibration.against_perfect(p, labels, np.tile(np.arange(300), 2), sources)
        assert got["ece"] == pytest.approx(calibration.reliability(p, labels)["ece"])
        p_values.append(got["p_value"])
        excesses.append(got["excess"])
        reliabilities.append(got["reliability"])
    assert binom.sf(sum(v < 0.05 for v in p_values) - 1, 120, 0.05) > 0.01
    assert abs(np.mean(excesses)) < 0.006 and max(excesses) < 0.05
    assert abs(np.mean(reliabilities)) < 0.0006, "a third of what it is uncorrected"


def test_bad_probabilities_exceed_what_perfect_ones_give():
    logits, labels = simulated(800, scale=3.0)
    got = calibration.against_perfect(expit(logits), labels)
    assert got["p_value"] < 0.01 and got["excess"] > 0.05 and got["reliability"] > 0.005
    few = calibration.against_perfect(expit(logits[:60]), labels[:60], np.arange(60) % 5)
    assert few["null_mean"] > 0 and 0 < few["p_value"] <= 1, "too few hosts: labels are drawn instead"


def test_reliability_of_a_calibrated_and_of_an_overconfident_score():
    rng = np.random.default_rng(7)
    p = rng.random(20_000)
    assert calibration.reliability(p, rng.random(20_000) < p)["ece"] < 0.02
    one = calibration.reliability(np.full(100, 0.9), np.r_[np.ones(50), np.zeros(50)])
    assert one["ece"] == pytest.approx(0.4) and len(one["bins"]) == 1
    assert calibration.reliability([], []) == {"ece": None, "n": 0, "bins": []}
    with pytest.raises(DhsError, match="1 of 2 scores are NaN"):
        calibration.reliability([0.5, np.nan], [1, 0])


def test_intervals_of_the_diagram_know_that_stamps_share_hosts():
    rng = np.random.default_rng(8)
    host = np.repeat(np.arange(300), 6)
    p, labels = np.repeat(rng.random(300), 6), np.repeat(rng.random(300), 6)
    labels = labels < p  # the stamps of a host are alike: six of them tell no more than one
    loose, grouped = calibration.reliability(p, labels)["bins"], calibration.reliability(p, labels, host)["bins"]
    single = calibration.reliability(p[::6], labels[::6])["bins"]
    for a, b, c in zip(loose, grouped, single):
        width = {k: v["ci_high"] - v["ci_low"] for k, v in (("loose", a), ("grouped", b), ("single", c))}
        assert width["grouped"] == pytest.approx(width["single"], rel=0.1) and width["loose"] < 0.6 * width["single"]
    pairs = calibration.reliability([0.45] * 40, [1, 0] * 20, np.arange(40) // 2)["bins"][0]
    assert pairs["ci_low"] == pytest.approx(wilson(20, 40)[0])  # a positive and its control never tell more than two


def test_the_diagram_and_its_interval_put_probabilities_at_an_edge_into_the_same_bin():
    """0.3 and 0.6 lie below their edges as numpy's linspace writes those, yet on them when multiplied by ten."""
    p, labels = np.repeat([0.25, 0.3, 0.55, 0.6], 50), np.arange(200) % 50 < np.repeat([10, 40, 20, 10], 50)
    diagram = calibration.reliability(p, labels)
    assert [round(b["lo"], 6) for b in diagram["bins"]] == [0.2, 0.3, 0.5, 0.6]
    assert calibration.quality(p, labels)["ece"].value == pytest.approx(diagram["ece"])


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ([1, 2, 3], [1, 1, 1], "all 3 rows are of one"),
        ([2] * 12, [1, 0] * 6, "all 12 logits are 2"),
        ([1, np.nan, 3], [1, 0, 1], "1 of 3 scores are NaN"),
        ([1, 2, 3, 4, 5, 6], [1, 0, 1, 0, 1, 0], "5 rows of each class, not 3 positives and 3 others"),
    ],
)
def test_logits_that_cannot_be_calibrated_are_refused(logits, labels, message):
    with pytest.raises(DhsError, match=message):
        calibration.fit(logits, labels)


def test_purity_at_prevalence():
    assert calibration.purity(0.5, 1e-3, 1e-3) == pytest.approx(0.5 * 1e-3 / (0.5e-3 + 1e-3 * 0.999))
    scores = np.r_[np.ones(50), np.zeros(50), np.ones(50), np.zeros(950)]
    labels = np.r_[np.ones(100), np.zeros(1000)]
    got = calibration.purity_at(scores, labels, 0.5, 0.1)
    assert got.value == pytest.approx(0.5 * 0.1 / (0.5 * 0.1 + 0.05 * 0.9))
    assert got.ci_low < got.value < got.ci_high


def test_purity_of_nothing_found_or_nothing_wrong_is_bounded_by_both_rates():
    """At a prevalence of 1e-4: no false alarm among 300 shows no purity near 1, nor no lens among 13 one of 0.2."""
    labels = np.r_[np.ones(13), np.zeros(300)]
    none = calibration.purity_at(np.r_[np.zeros(13), np.ones(10), np.zeros(290)], labels, 0.5, 1e-4)
    least, most = calibration.purity(0.25, 10 / 300, 1e-4), calibration.purity(0.25, 5 / 300, 1e-4)
    assert (none.value, none.ci_low) == (0, 0) and least < none.ci_high < most and "degenerate" in none.flags
    clean = calibration.purity_at(np.r_[np.ones(10), np.zeros(303)], labels, 0.5, 1e-4)
    assert (clean.value, clean.ci_high) == (1, 1) and clean.ci_low < calibration.purity(1, 0.01, 1e-4)


def test_purity_curve_falls_as_more_is_let_in_and_stops_where_negatives_run_out():
    rng = np.random.default_rng(3)
    labels = np.arange(6000) < 1000
    scores = rng.normal(size=6000) + 2.5 * labels
    curve = calibration.purity_curve(scores, labels, 1e-3)
    completeness, purity = (np.array([p[k] for p in curve]) for k in ("completeness", "purity"))
    assert (np.diff(completeness) >= 0).all() and purity[0] > purity[-1]
    assert purity[-1] < 0.002 and min(p["fpr"] for p in curve) == pytest.approx(10 / 5000)
    for point in curve:
        assert point["ci_low"] <= point["purity"] <= point["ci_high"]
        assert point["completeness"] == np.mean(scores[labels] > point["threshold"])
    assert calibration.purity_curve(scores[:1005], labels[:1005], 1e-3) == []


def test_purity_without_a_false_positive_is_bounded_by_what_the_negatives_can_show():
    """No false positive among 500 negatives: at one lens in ten thousand that shows very little."""
    labels, prevalence = np.arange(1000) < 500, 1e-4
    scores = np.where(labels, np.arange(1000) % 2, -1.0)
    got = calibration.purity_at(scores, labels, 0.5, prevalence)
    half, none = wilson(250, 500), wilson(0, 500)
    assert got.value == got.ci_high == 1
    assert got.ci_low == pytest.approx(calibration.purity(half[0], none[1], prevalence), rel=0.1) and got.ci_low < 0.01
    nothing = calibration.purity_at(-scores, labels, 0.5, prevalence)
    assert nothing.value == 0 and nothing.ci_high == pytest.approx(prevalence * none[1], rel=0.1)
    assert calibration.purity_at(scores, labels, 5.0, prevalence).value is None
    grouped = calibration.purity_at(scores, labels, 0.5, prevalence, np.arange(1000) // 25)
    assert grouped.ci_low == pytest.approx(
        calibration.purity(wilson(250, 500)[0], wilson(0, 20)[1], prevalence), rel=0.1
    )


def test_purity_curve_counts_equal_scores_together():
    labels = np.arange(600) < 100
    scores = np.r_[np.linspace(0, 4, 100), np.full(30, 3.0), np.full(470, 1.0)]
    curve = calibration.purity_curve(scores, labels, 1e-3)
    assert [(p["threshold"], p["fpr"]) for p in curve] == [(1.0, 30 / 500)]
    assert calibration.purity_curve(np.zeros(600), labels, 1e-3) == []
