"""Stamps that the book shows are those of the reader and of the stored survey negatives."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from drawn_pairs import write_pairs

import dhs.figures as figures
from dhs.book import stamps
from dhs.datasets import survey_negatives
from dhs.datasets.reader import stamp
from dhs.survey.mock.negatives import SurveyNegatives


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("run") / "pairs")


def test_stamps_by_pair_are_those_of_the_reader(pairs):
    images, rows = stamps.by_pair(pairs, [7, 3, 9999])
    assert [r["pair_id"] for r in rows] == [7, 3]
    np.testing.assert_array_equal(images[0], stamp(pairs[7]))
    np.testing.assert_array_equal(stamps.by_pair(pairs, [7], "control")[0][0], pairs[7]["control"])
    hard, rows = stamps.by_pair(pairs, [0, 13], "hard_negative:azimuthal_shuffle")
    assert [r["pair_id"] for r in rows] == [0]
    np.testing.assert_allclose(hard[0] - pairs[0]["control"], rows[0]["light"], atol=0.02)


def test_worst_takes_the_right_end():
    kinds = np.repeat(["positive", "survey_negative", "control"], 9)
    frame = pd.DataFrame({"kind": kinds, "split": "test", "logit": np.random.default_rng(1).normal(size=27)})
    scores = pa.Table.from_pandas(frame, preserve_index=False)
    positive = frame[frame["kind"] == "positive"]["logit"]
    assert list(stamps.worst(scores, "positive", 3)["logit"]) == sorted(positive)[:3]
    assert (
        stamps.worst(scores, "survey_negative", 1)["logit"].item()
        == frame[frame["kind"] == "survey_negative"]["logit"].max()
    )


def test_radial_profiles_see_the_arc_and_the_noise(pairs):
    positives, _ = stamps.by_pair(pairs, range(12))
    controls, _ = stamps.by_pair(pairs, range(12), "control")
    sigma = np.tile([0.002, 0.003, 0.006], (12, 1))
    left, right = figures.radial_profiles(stamps.radial_profiles(positives, controls, sigma, (26, 32))).axes
    with_arc, without = (line.get_ydata() for line in left.lines[:2])
    ring = slice(2, 9)
    assert (with_arc[ring] > without[ring] + 1).all()
    edges = np.concatenate([patch.get_xy()[:, 0] for patch in right.patches])
    assert 0.85 < edges.min() and edges.max() < 1.15


def test_every_cause_and_group_has_its_gallery(pairs, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 3)
    survey_negatives.ensure(pairs.path, 2, 3)
    miss = {"cause": "faint arc", "n": 2, "examples": [31, 33]}
    group = {"n": 5, "medians": {"theta_e_arcsec": 0.7}, "examples": [32]}
    ring = {"cause": "survey: ring", "n": 1, "of": 9}
    ring["examples"] = [{"pair_id": -1, "host_id": SurveyNegatives(3, 2).read(1).host_id}]
    control = {"cause": "control", "n": 1, "of": 12, "examples": [{"pair_id": 30, "host_id": "<b>"}]}
    none = {"cause": "survey: lrg", "n": 0, "of": 4, "examples": []}
    failures = {"misses": {"causes": [miss], "unexplained_examples": []}, "embedding": {"groups": [group]}}
    made = stamps.cause_galleries(failures | {"alarms": {"causes": [ring, control, none]}}, pairs, 2)
    assert [g.label.split(";")[0] for g in made.galleries] == [
        "missed: faint arc (2)",
        "missed, group 1 by the network's features (5)",
        "passed: survey: ring (1 of 9)",
        "passed: control (1 of 12)",
    ]
    np.testing.assert_array_equal(made.galleries[2].stamps[0], SurveyNegatives(3, 2).read(1).image)
    np.testing.assert_array_equal(made.galleries[3].stamps[0], pairs[30]["control"])
    page = made._repr_html_()
    assert page.count('role="img"') == 5 and "θ_E [arcsec] 0.7" in page and "&lt;b&gt;" in page
    assert (
        "no threshold" in stamps.cause_galleries({"status": "skip", "reason": "no threshold"}, pairs, 2)._repr_html_()
    )


def test_survey_negatives_are_read_as_they_were_scored(pairs, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 3)
    survey_negatives.ensure(pairs.path, 3, 6)
    negatives = SurveyNegatives(6, 3)
    ids = [negatives.refs[i].host_id for i in (4, 1)]
    shown = stamps.of_survey_negatives(pairs, 3, [*ids, "unknown"])
    assert np.array_equal(shown, [negatives.read(4).image, negatives.read(1).image])
    assert stamps.of_survey_negatives(pairs, 3, []).shape == (0, 3, 64, 64)


def test_pairs_are_spread_over_the_set_with_their_stamps(pairs):
    rows = stamps.spread(pairs, 3)
    assert [r["pair_id"] for r in rows] == [0, 20, 41]
    np.testing.assert_array_equal(rows[1]["stamp"], stamp(pairs[20]))
