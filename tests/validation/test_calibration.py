"""Calibration against simulated truth and against scikit-learn."""

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from dhs.errors import DhsError
from dhs.validation import calibration


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


def test_ece_and_brier_have_intervals_and_agree_with_their_definitions():
    logits, labels = simulated(3000, scale=3.0)
    p = expit(logits)
    got = calibration.quality(p, labels, n_bootstrap=100)
    assert got["brier"].value == pytest.approx(brier_score_loss(labels, p))
    assert got["ece"].value == pytest.approx(calibration.reliability(p, labels)["ece"])
    for metric in got.values():
        assert metric.ci_low < metric.value < metric.ci_high


def test_reliability_of_a_calibrated_and_of_an_overconfident_score():
    rng = np.random.default_rng(7)
    p = rng.random(20_000)
    assert calibration.reliability(p, rng.random(20_000) < p)["ece"] < 0.02
    one = calibration.reliability(np.full(100, 0.9), np.r_[np.ones(50), np.zeros(50)])
    assert one["ece"] == pytest.approx(0.4) and len(one["bins"]) == 1
    assert calibration.reliability([], []) == {"ece": None, "n": 0, "bins": []}


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ([1, 2, 3], [1, 1, 1], "all 3 rows are of one"),
        ([2, 2, 2], [1, 0, 1], "all 3 logits are 2"),
        ([1, np.nan, 3], [1, 0, 1], "1 of 3 scores are NaN"),
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
