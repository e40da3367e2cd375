"""Causes planted in simulated scores come out, and features with two groups give two groups."""

import numpy as np
import pytest

from dhs.config import EvaluateConfig
from dhs.models.score import score_table
from dhs.stats.metrics import Metric
from dhs.validation.evaluation import failures
from dhs.validation.evaluation.discrimination import Scores


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    n, m = 600, 2000
    theta, snr = rng.uniform(0.5, 3, n), np.exp(rng.uniform(np.log(5), np.log(300), n))
    logit = np.where(theta < 1.2, -3.0, 2.0) + rng.normal(size=n)  # what is unresolved is missed; SNR plays no part
    kind = np.where(rng.random(m) < 0.05, "ring", "lrg")
    negative = np.where(kind == "ring", 1.0, -4.0) + rng.normal(size=m)
    columns = {
        "kind": ["positive"] * n + ["survey_negative"] * m,
        "subkind": [""] * n + kind.tolist(),
        "pair_id": np.r_[np.arange(n), np.full(m, -1)],
        "host_id": [f"h{i}" for i in range(n)] + [f"s{i}" for i in range(m)],
        "source_id": [f"g{i % 350}" for i in range(n)] + [""] * m,
        "logit": np.r_[logit, negative],
    }
    for name, values in (("theta_e_arcsec", theta), ("arc_snr_matched", snr), ("magnification", rng.uniform(2, 9, n))):
        columns[name] = np.r_[values, np.full(m, np.nan)]
    columns["psf_fwhm_r_arcsec"], columns["sky_sigma_r"] = np.full(n + m, 1.2), np.full(n + m, 0.003)
    columns["host_mag_r"] = rng.uniform(17, 21, n + m)
    return Scores.of(score_table(columns, n + m), EvaluateConfig(), 0)


def test_the_cause_that_was_planted_comes_first_with_its_rates(scores):
    got = failures.misses(scores, 0.0)
    first = got["causes"][0]
    assert first["cause"] == "unresolved" and first["missed_with"].ci_low > first["missed_without"].ci_high
    assert first["share_of_missed"] > 0.8 > 0.2 > first["share_of_found"]
    faint = next(c for c in got["causes"] if c["cause"] == "faint arc")
    assert faint["missed_with"].ci_low < got["n_missed"] / got["n"] < faint["missed_with"].ci_high
    logits = dict(zip(scores["pair_id"], scores["logit"]))
    examples = [logits[i] for i in first["examples"]]
    assert examples == sorted(examples) and len(examples) == 8


def test_alarms_are_sorted_by_how_often_the_kind_passes(scores):
    got = failures.alarms(scores, 0.0)
    assert [k["cause"] for k in got["causes"]] == ["survey: ring", "survey: lrg"]
    ring = got["causes"][0]
    assert ring["rate"].value == pytest.approx(0.84, abs=0.08) and "Ring galaxies" in ring["fix"]
    assert ring["n"] <= ring["of"] and ring["examples"][0]["host_id"].startswith("s")


def test_features_with_two_groups_give_two_groups():
    rng = np.random.default_rng(1)
    member = np.arange(60) % 3 == 0
    features = rng.normal(size=(60, 40)) + 4 * member[:, None]
    rows = [{"id": i, "theta_e_arcsec": 0.6 if m else 2.0} for i, m in enumerate(member)]
    got = failures.groups(features, rows)
    assert [g["n"] for g in got["groups"]] == [40, 20] and got["silhouette"] > 0.3
    assert [g["medians"]["theta_e_arcsec"] for g in got["groups"]] == [2.0, 0.6]
    assert all(member[i] for i in got["groups"][1]["examples"])
    assert failures.groups(features[:5], rows[:5])["status"] == "skip"
    dead = failures.groups(np.ones((60, 40)), rows)
    assert dead["status"] == "skip" and "60 failures share 1 sets of features" in dead["reason"]


def test_false_alarms_are_grouped_by_features_and_say_what_they_are(monkeypatch):
    """Spirals and blends among the survey negatives, told apart by a network whose features know which is which."""
    from dhs.survey.mock.negatives import SurveyNegatives

    config, n = EvaluateConfig(n_survey_negatives=80), 80
    hosts = [ref.host_id for ref in SurveyNegatives(n, 3).refs]
    columns = {"kind": "survey_negative", "host_id": [*hosts[:-1], "of another set"], "logit": np.linspace(1, 2, n)}
    columns["subkind"] = ["spiral" if i % 4 == 0 else "blend" for i in range(n)]
    scores = Scores.of(score_table(columns, n), config, 3)
    read = SurveyNegatives.read
    monkeypatch.setattr(SurveyNegatives, "read", lambda self, i: (seen.append(i), read(self, i))[1])
    seen: list[int] = []

    class Network:
        def features(self, stamps):
            assert len(stamps) == len(seen) == n - 1
            spiral = np.array([i % 4 == 0 for i in seen])
            return np.random.default_rng(0).normal(size=(len(seen), 20)) + 6 * spiral[:, None]

    got = failures.section(
        scores, {"fpr": 0.1, "threshold": Metric(0.0, None, None, 1)}, object(), Network(), SurveyNegatives
    )
    got = got["alarm_embedding"]
    assert [g["kinds"] for g in got["groups"]] == [{"survey: blend": 59}, {"survey: spiral": 20}]
    assert got["groups"][1]["examples"][0]["host_id"] in hosts[::4] and "host_mag_r" not in got["groups"][0]["medians"]


def test_without_a_threshold_or_a_miss_it_says_so(scores):
    assert failures.section(scores, None)["status"] == "skip"
    operating = {"fpr": 0.1, "threshold": Metric(-99.0, None, None, 1)}
    got = failures.section(scores, operating)
    assert got["misses"]["n_missed"] == 0 and got["embedding"]["status"] == "skip"
