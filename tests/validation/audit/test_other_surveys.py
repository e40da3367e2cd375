"""Stamps of other bands, sides and kinds, and our own pairs."""

import numpy as np
import pytest
from foreign_sets import stamps

import dhs
from dhs.survey.imaging import imaging
from dhs.validation.audit.audit import Wanted, judge, measure
from dhs.validation.audit.readers.base import Layout


@pytest.mark.parametrize(
    ("survey", "shape"),
    [("hsc", (5, 101, 101)), ("euclid-vis", (1, 41, 41)), ("lsst", (6, 48, 48)), ("des", (3, 33, 50))],
)
def test_any_bands_and_side(survey, shape):
    rng = np.random.default_rng(4)
    images = rng.normal(size=(60, *shape)).astype(np.float32)
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape[1:])
    images += 40 * np.exp(-0.5 * (np.hypot(y[:, None], x[None]) / 4) ** 2) * rng.uniform(0.5, 2, (60, 1, 1, 1))
    images = images.astype(np.float32)
    labels = np.arange(60) % 2
    images[labels == 1, -1, :2] += 4.0
    data = measure(Wanted(images if shape[0] > 1 else images[:, 0], labels, None, imaging(survey), Layout(), 0), 1)
    assert data.stamps.bands == imaging(survey).bands and data.stamps.shape == shape[1:]
    failed = {
        g.name for g in judge(data, ("border", "outskirts", "core", "centring", "fixed_pattern")) if g.status == "fail"
    }
    assert "border" in failed and not {"core", "centring"} & failed


def test_our_pairs_are_read_as_positives_and_controls(clean):
    pairs = clean
    data = measure(Wanted(clean.path, None, None, imaging("legacy"), Layout(), 0), 1)
    assert data.n == 2 * sum(pairs.manifest["counts"].values()) and data.labels.mean() == 0.5
    row = pairs[0]
    assert np.array_equal(data.pixels(0), dhs.stamp(row)) and np.array_equal(data.pixels(1), row["control"])
    got = {g.name: g for g in judge(data)}
    assert got["contradicting_labels"].status == "pass"
    assert not {n for n, g in got.items() if g.status == "fail" and g.blocking}, got


def test_a_mark_on_positives_of_pairs_is_found_within_pairs():
    hosts = stamps(60, seed=8)
    images, groups = np.repeat(hosts, 2, axis=0), np.repeat(np.arange(60), 2)
    labels = np.tile([1, 0], 60)
    images[labels == 1, :, 30:34, 20:44] += 0.02  # light, so that no two are copies
    images[labels == 1, 1, 5, 5] += 0.002  # two thirds of the noise
    found = measure(Wanted(images, labels, None, imaging("legacy"), Layout(), 0), 1)
    alone = {g.name: g for g in judge(found)}
    assert (
        "kept together" in alone["contradicting_labels"].explanation and alone["contradicting_labels"].status == "pass"
    )
    assert len(set(found.groups)) == 60 and len(groups) == found.n
