import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from synthetic import write_synthetic_pairs

from dhs.config import TrainConfig
from dhs.datasets import reader
from dhs.errors import DhsError
from dhs.models.baselines import core_features, fit_baselines, radial_profile_features

CONFIG = TrainConfig()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_synthetic_pairs(tmp_path_factory.mktemp("b"), {"train": 120, "val": 0, "test": 60}, arc_sigmas=20)


@pytest.fixture(scope="module")
def stamps(pairs):
    rows = [pairs[i] for i in range(120, 180)]
    return np.stack([reader.stamp(row) for row in rows] + [row["control"] for row in rows])


def test_the_radial_profile_sees_added_light_and_the_core_does_not(pairs, stamps):
    fitted, labels = fit_baselines(pairs, CONFIG), np.repeat([1, 0], 60)
    assert set(fitted) == {"radial_profile", "core_only"}
    assert roc_auc_score(labels, fitted["radial_profile"].logits(stamps)) > 0.9
    # the synthetic arcs lie at 1.5 arcsec and beyond, 5.7 px, and leave almost nothing in the core
    assert 0.35 < roc_auc_score(labels, fitted["core_only"].logits(stamps)) < 0.75
    assert fitted["core_only"].logits(stamps[:0]).shape == (0,)


def test_radial_features_are_blind_to_angle_and_see_radius(stamps):
    features = radial_profile_features(stamps, CONFIG)
    assert features.shape == (120, 5 * 16) and np.isfinite(features).all()
    turned = radial_profile_features(np.rot90(stamps, 1, (-2, -1)), CONFIG)
    np.testing.assert_allclose(turned, features, atol=1e-3)
    y, x = np.mgrid[:64, :64] - 31.5
    brighter = stamps + 0.05 * ((np.hypot(x, y) >= 8) & (np.hypot(x, y) < 10)).astype(np.float32)
    change = radial_profile_features(brighter, CONFIG) - features
    touched = np.abs(change[:, :48]).max(0).reshape(3, 16) > 1e-3
    np.testing.assert_array_equal(touched, np.tile(np.arange(16) == 4, (3, 1)))


def test_radial_means_agree_with_numpy(stamps):
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(x, y)
    outer, inside = (radius >= 26) & (radius < 32), (radius >= 6) & (radius < 8)
    sky = stamps[5, 2][outer]
    sigma = 1.4826 * np.median(np.abs(sky - np.median(sky)))
    expected = (stamps[5, 2][inside].mean() - np.median(sky)) / sigma * np.sqrt(inside.sum())
    assert np.sinh(radial_profile_features(stamps, CONFIG)[5, 32 + 3]) == pytest.approx(expected, rel=1e-3)


def test_core_features_see_the_core_only(stamps):
    y, x = np.mgrid[:64, :64] - 31.5
    outside = ((np.hypot(x, y) >= 5) & (np.hypot(x, y) < 26)).astype(np.float32)
    features = core_features(stamps, CONFIG)
    assert features.shape == (120, 3 * 80)
    np.testing.assert_allclose(core_features(stamps + outside, CONFIG), features, atol=1e-4)


def test_a_band_without_scale_gives_zeros_and_no_nan(stamps):
    empty = stamps.copy()
    empty[:, 1] = 0
    for make in (radial_profile_features, core_features):
        assert np.isfinite(make(empty, CONFIG)).all()


def test_an_empty_training_split_is_refused(tmp_path):
    empty = write_synthetic_pairs(tmp_path, {"train": 0, "val": 2, "test": 0})
    with pytest.raises(DhsError, match="split 'train' has no pair"):
        fit_baselines(empty, CONFIG)
