"""Stored stamps are served off the lattice of their steps, positives and negatives alike."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

import dhs
from dhs.config import load_profile
from dhs.datasets import survey_negatives
from dhs.datasets.reader import images, rows
from dhs.encoding import SKY_LEVELS, decode, encode, served
from dhs.models.decode import read_parts

STEP = np.array([0.001, 0.002, 0.003])


def fingerprint(image, arc, sigma):
    """39 numbers that know of rounding and of nothing else, from the pixels that the arc does not reach."""
    out = []
    for band, light, s in zip(image, arc, sigma):
        values = band[light <= np.quantile(light, 0.1)].astype(np.float32)
        steps = values.astype(float) / s * SKY_LEVELS
        bits, decimals = values.view(np.uint32), np.abs(steps - np.rint(steps))
        low = (bits & 255).astype(float)
        out += [np.mean(np.abs(steps * k - np.rint(steps * k)) < 1e-3) for k in (0.5, 1, 2, 64)]
        out += [decimals.mean(), decimals.std(), len(np.unique(values)) / len(values), (np.diff(values) == 0).mean()]
        out += [low.mean(), low.std(), *((bits & (1 << k)).astype(bool).mean() for k in (0, 4, 8))]
    return out


def told_apart(features, labels):
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    return roc_auc_score(labels, cross_val_predict(model, features, labels, cv=5, method="predict_proba")[:, 1])


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Served stamps of half the pairs' positives and the other half's controls, raw ones, arcs, sky noise."""
    options = {"hosts__n_mock": 160, "sources__spec": "mock", "injection__supersampling": 2}
    profile = load_profile("smoke", injection__n_pairs=160, injection__hard_negative_fraction=0.0, **options)
    pairs = dhs.inject(tmp_path_factory.mktemp("lattice") / "a", profile=profile, engine="serial")
    raw = decode(pairs.dataset().to_table(columns=["control"])["control"].combine_chunks())
    table = pairs.table(
        columns=["pair_id", "control", "arc", "rng_key", *(f"{k}_{b}" for k in ("gain", "sky_sigma") for b in "grz")]
    )
    return pairs, rows(table), raw


def test_gradient_boosting_tells_a_positive_from_a_control_by_no_fingerprint(members):
    _, found, raw = members
    sigma = [[r[f"sky_sigma_{b}"] for b in "grz"] for r in found]
    labels = np.arange(len(found)) % 2
    there = [dhs.stamp(r) if y else r["control"] for r, y in zip(found, labels)]
    was = [x + r["arc"] + (dhs.stamp(r) - r["control"] - r["arc"]) if y else x for x, r, y in zip(raw, found, labels)]
    arcs = [r["arc"] for r in found]
    outside = np.array([fingerprint(*v) for v in zip(there, arcs, sigma)])
    everywhere = np.array([fingerprint(x, np.zeros_like(a), s) for x, a, s in zip(there, arcs, sigma)])
    before = np.array([fingerprint(x, np.zeros_like(a), s) for x, a, s in zip(was, arcs, sigma)])
    assert told_apart(before, labels) > 0.98
    assert abs(told_apart(outside, labels) - 0.5) < 0.13  # 80 against 80: two standard errors
    assert everywhere[:, 1].max() < 0.02  # share of pixels on the lattice, g: arc or no arc


def test_every_reader_serves_the_same_control_and_the_pair_shares_it(members):
    pairs, found, _ = members
    by_id = {r["pair_id"]: r for r in found}
    for part in read_parts(pairs, "test"):
        for i, pair_id in enumerate(part.pair_id):
            assert np.array_equal(part.control[i], by_id[pair_id]["control"])
            difference = part.positive[i] - part.control[i] - part.arc[i]
            assert np.abs(difference[part.arc[i] == 0]).max(initial=0) == 0
            assert np.array_equal(dhs.stamp(by_id[pair_id]), part.positive[i])


def test_survey_negatives_are_served_like_controls(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "PART", 20)
    sky = survey_negatives.read(str(tmp_path), 3, (0, 20))
    features = np.array([fingerprint(x, np.zeros_like(x), s) for x, s in zip(sky["images"], sky["sky_sigma"])])
    assert features[:, 1].max() < 0.02
    assert np.array_equal(sky["images"][7], survey_negatives.SurveyNegatives(20, 3).read(7).image)


def test_a_dithered_stamp_encodes_to_the_same_blob_and_dead_patches_stay_dead():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 64, 64)) * 32 * STEP[:, None, None]
    image[:, 10:20, 30:50] = 0
    image[2] = 0.5
    blob = encode(image, STEP)
    back, plain = (decode(pa.array([blob, blob]), dither=d) for d in (True, False))
    assert (
        encode(back[0], STEP) == blob
        and np.array_equal(back[0], back[1])
        and np.array_equal(back[0], served(image, STEP))
    )
    moved = (back - plain)[0, :2, :10] / STEP[:2, None, None]
    assert np.abs(moved).max() < 0.5 and abs(moved.var() - 1 / 12) < 0.01 and abs(moved.mean()) < 0.05
    assert (back[0, :2, 11:19, 31:49] == 0).all() and len(np.unique(back[0, 2])) == 1
    other = decode(pa.array([encode(image + STEP[:, None, None] * (image != 0), STEP)]), dither=True)[0] - plain[0]
    assert abs(np.corrcoef((back - plain)[0, 0].ravel(), other[0].ravel())[0, 1]) < 0.1


def test_images_of_a_column_are_dithered_only_where_asked(members):
    pairs, found, raw = members
    stored = pairs.dataset().head(3, columns=["control", "arc"])
    assert np.array_equal(images(stored["control"]), raw[:3])
    assert np.array_equal(images(stored["control"], noisy=True)[1], found[1]["control"])
    assert np.array_equal(images(stored["arc"])[2], found[2]["arc"])
