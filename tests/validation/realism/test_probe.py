"""The probe on stamps whose difference is known, and the display path on a picture made by hand."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted_pairs import host_image
from scipy.stats import binom

from dhs import storage
from dhs.datasets.stamp_sets import StampSet, as_display, describe, of_folder, read_display
from dhs.errors import DhsError, InputRefused
from dhs.stats.pixels import radius_map
from dhs.stats.probe import excess
from dhs.survey.mock.hosts import write_mock_hosts
from dhs.validation.realism import probe
from dhs.validation.realism.frechet import frechet

DATA = os.environ.get("DHS_DATA_DIR")
RADIUS = radius_map()


def stamps(n, seed, change=lambda image, rng: image):
    rngs = [np.random.default_rng([seed, i]) for i in range(n)]
    images = np.stack([change(host_image(rng), rng) for rng in rngs]).astype(np.float32)
    return StampSet(f"set {seed}", images, np.array([f"{seed}-{i}" for i in range(n)]))


class Bins:
    """A stand-in for a network: mean light in 8 x 8 blocks of r."""

    def features(self, images):
        return images[:, 1].reshape(len(images), 8, 8, 8, 8).mean(axis=(2, 4)).reshape(len(images), 64)

    def blocks(self, images):
        x = self.features(images)
        return {"small": x[:, :4], "large": x}


def test_two_samples_of_one_kind_are_not_told_apart():
    got = probe.compare(stamps(60, 1), stamps(120, 2), Bins(), n_permutations=199)
    assert got["status"] == "probed" and got["auc"].ci_low < 0.5 and got["probe"]["p_value"] > 0.05
    assert got["matched"]["n"] <= 60 and got["left_after_matching"].value < 0.75
    assert got["frechet"]["large"]["value"] is None and "more than 64" in got["frechet"]["large"]["reason"]
    assert got["frechet"]["small"]["value"] < 10 * max(got["frechet_of_halves"]["small"]["value"], 1e-12)
    assert got["control"]["what"] == "two halves of set 1"


@pytest.mark.parametrize(
    "change, family",
    [
        (lambda im, rng: im * np.where((RADIUS > 6) & (RADIUS < 9), 1.6, 1), "radial profile"),
        (lambda im, rng: im * np.where((RADIUS > 4) & (RADIUS < 12), [[[1.5]], [[1]], [[1]]], 1), "colour"),
        (lambda im, rng: im + 0.004 * rng.normal(size=im.shape), "high-frequency power"),
    ],
)
def test_the_report_names_what_was_changed(change, family):
    got = probe.compare(stamps(60, 1), stamps(80, 2, change), None, n_permutations=199)
    first = got["families"][0]
    assert first["family"] == family and first["ci_low"] > 0.6 and family in got["names"]
    assert got["auc"].ci_low > 0.6 and got["probe"]["p_value"] < 0.05
    assert got["control"]["auc"].value < got["auc"].value


def test_the_excess_over_the_control_has_an_interval_and_families_are_adjusted():
    change = lambda im, rng: im * np.where((RADIUS > 6) & (RADIUS < 9), 1.6, 1)  # noqa: E731
    got = probe.compare(stamps(140, 1), stamps(200, 2, change), None)
    found = got["excess"]
    assert found.value == pytest.approx(got["auc"].value - got["control"]["auc"].value)
    assert 0 < found.ci_low < found.value < found.ci_high
    assert got["families"] and all(f["p_holm"] <= 1 for f in got["families"])
    assert got["names"] == [f["family"] for f in got["families"] if f["p_holm"] < 0.05] != []
    same = probe.compare(stamps(60, 1), stamps(80, 4), None)
    assert same["names"] == [] and same["excess"].ci_low < 0 and same["excess_p"] > 0.05 > got["excess_p"]


def test_p_values_are_uniform_where_nothing_differs():
    """Eighty samples of 512 features of no more than 84 stamps: held-out scores that share training rows scatter more
    than scores of their own would."""
    p, holds = [], 0
    for k in range(80):
        x = np.random.default_rng(k).normal(size=(84, 512))
        got = probe.probe(x[:28], x[28:], np.arange(28), 28 + np.arange(56), seed=k, n_permutations=99)
        p.append(got["p_value"])
        holds += got["auc"].ci_low <= 0.5 <= got["auc"].ci_high
    assert binom.sf(sum(v <= 0.05 for v in p) - 1, 80, 0.05) > 0.01 and 0.3 < np.mean(p) < 0.7
    assert binom.cdf(holds, 80, 0.95) > 0.01


def test_a_control_of_another_class_is_exchanged_with_the_injections():
    rng = np.random.default_rng(0)
    real, shared = rng.normal(size=(60, 6)), rng.normal(size=(120, 6)) + 0.8
    group, labels = np.arange(180).astype(str), np.repeat([1, 0, 2], 60)
    x = np.concatenate([real, shared])
    areas = [probe.probe(real, x[labels == k], group[:60], group[labels == k])["auc"].value for k in (0, 2)]
    metric, p = excess(areas[0] - areas[1], x, group, labels, seed=0, n_permutations=99)
    assert min(areas) > 0.7 and p > 0.05 and metric.ci_low < 0 < metric.ci_high, "both differ from the real ones alike"


def test_stamps_of_a_few_hosts_are_refused_in_words():
    x = np.random.default_rng(0).normal(size=(40, 5))
    with pytest.raises(DhsError, match="stamps of 1 hosts in a set: a probe needs 8"):
        probe.probe(x[:20], x[20:], ["a"] * 20, np.arange(20))


def test_matching_removes_a_difference_of_hosts():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(80, 3)), rng.normal([1.0, 0, 0], size=(800, 3))
    i, j = probe.match(first, second)
    assert len(i) > 60 and len(set(j)) == len(j)
    assert np.abs(first[i] - second[j]).max() <= first.std(axis=0).max()
    assert abs((first[i] - second[j]).mean()) < 0.15 < abs(first[:, 0].mean() - second[:, 0].mean())


def test_folds_keep_hosts_together():
    """Twenty copies of each host with a label of its own: only a leak across folds could tell the labels."""
    rng = np.random.default_rng(4)
    x, group = np.repeat(rng.normal(size=(40, 30)), 20, axis=0), np.repeat(np.arange(40), 20).astype(str)
    half = len(x) // 2
    got = probe.probe(x[:half], x[half:], group[:half], group[half:], n_permutations=99)
    assert got["p_value"] > 0.05 and got["auc"].ci_low < 0.5 and got["auc"].n_hosts == 40


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(40_000, 2)), rng.normal(size=(40_000, 2)) * [1, 3] + [2, 0]
    assert frechet(a, b) == pytest.approx(4 + (1 - 3) ** 2, rel=0.03)
    assert frechet(a[:2], b) is None


def test_too_few_stamps_are_a_skip_with_the_number():
    got = probe.compare(stamps(6, 1), stamps(40, 2))
    assert got["status"] == "skip" and "fewer than 16" in got["reason"]
    with pytest.raises(DhsError, match="6 and 40 stamps"):
        probe.probe(np.zeros((6, 2)), np.zeros((40, 2)), np.arange(6), np.arange(40))


def test_any_two_folders_are_compared_and_what_could_not_be_read_is_listed(tmp_path):
    for name, seed in (("first", 1), ("second", 2), ("other", 3)):
        write_mock_hosts(tmp_path / name, 40, seed)
    (tmp_path / "first" / "broken.npz").write_bytes(b"not an npz")
    folders = [str(tmp_path / name) for name in ("first", "second")]
    options = {"control": str(tmp_path / "other"), "n_permutations": 9}
    got = probe.realism(*folders, tmp_path / "out", scorer=Bins(), **options)
    assert got["status"] == "probed" and got["features"] == "penultimate" and got["mode"] == "flux"
    assert got["auc"]["ci_low"] < 0.6 and got["control"]["what"] == "first against other"
    assert [r["file"] for r in got["refused"]] == ["broken.npz"] and "neither FITS nor npz inside" in str(got)
    assert storage.read_json(tmp_path / "out" / "realism.json") == got.data
    with pytest.raises(DhsError, match="nowhere"):
        probe.realism(str(tmp_path / "nowhere"), folders[1], tmp_path / "out")


@pytest.mark.skipif(not DATA, reason="the display pictures need DHS_DATA_DIR")
def test_pictures_are_compared_with_pictures_and_with_cutouts_through_their_stretch(tmp_path):
    write_mock_hosts(tmp_path / "mock", 60, 1)
    pictures = str(Path(DATA) / "lenses" / "ls_dr10_png56")
    same = probe.realism(pictures, pictures, tmp_path / "a", n_permutations=9)
    assert same["mode"] == "display pictures" and same["matched"]["n"] == 56
    assert same["auc"]["value"] < 0.6, "a picture and its copy share a host, so never a fold"
    mixed = probe.realism(pictures, str(tmp_path / "mock"), tmp_path / "b", n_permutations=9)
    assert mixed["mode"] == "display pictures" and mixed["features"] == "measured"


def picture(levels: np.ndarray) -> bytes:
    """A (101, 101, 3) picture drawn on 154 pixels in a white border, as the display set is."""
    drawn = np.asarray(Image.fromarray(levels).resize((154, 154), Image.Resampling.HAMMING))
    canvas = np.full((158, 157, 3), 255, np.uint8)
    canvas[2:156, 2:156] = drawn
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_flux_stamp_and_its_picture_give_the_same_display_levels():
    """One cutout of 101 pixels, drawn as a picture and as the central stamp through `as_display`."""
    rng = np.random.default_rng(6)
    axis = np.arange(101) - 50.0
    light = np.exp(-np.hypot(axis[:, None], axis[None, :]) / 4)
    image = light * np.array([0.05, 0.2, 0.4])[:, None, None] + 0.003 * rng.normal(size=(3, 101, 101))
    levels = np.clip(image / np.percentile(image, 99.5), 0, 1)
    rgb = np.round(255 * levels[[2, 1, 0]]).astype(np.uint8).transpose(1, 2, 0)[::-1]
    from_picture = read_display(picture(np.ascontiguousarray(rgb)), "one.png")
    crop = image[None, :, 19:83, 19:83].astype(np.float32)
    from_flux = as_display(StampSet("one", crop, np.array(["0"]))).images[0]
    # The picture's crop starts 18 rows from the top, so 19 from the bottom; and 18 columns from the left.
    inner = from_picture[:, 8:56, 8:56] - np.roll(from_flux, 1, axis=2)[:, 8:56, 8:56]
    assert np.abs(inner).mean() < 0.02 and np.abs(inner).max() < 0.15
    mine, theirs = (describe(x[None])["high-frequency power"] for x in (from_flux, from_picture))
    np.testing.assert_allclose(mine, theirs, atol=0.5)


def test_pictures_of_another_layout_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(buffer, "PNG")
    with pytest.raises(InputRefused, match="154 are expected"):
        read_display(buffer.getvalue(), "small.png")
    with pytest.raises(InputRefused, match="not a readable picture"):
        read_display(b"nothing", "broken.png")


@pytest.mark.skipif(not DATA, reason="the display pictures need DHS_DATA_DIR")
def test_the_display_set_is_read_and_differs_little_from_itself():
    pictures = of_folder(str(Path(DATA) / "lenses" / "ls_dr10_png56"))
    assert len(pictures) == 56 and pictures.display and not pictures.refusals
    assert pictures.images.min() >= 0 and pictures.images.max() <= 1
    centre = pictures.images[:, 1][:, RADIUS < 4].mean(axis=1)
    assert (centre > 2 * pictures.images[:, 1][:, RADIUS > 20].mean(axis=1)).mean() > 0.9
    even = np.arange(56) % 2 == 0
    got = probe.compare(pictures.where(even), pictures.where(~even), n_permutations=99)
    assert got["mode"] == "display pictures" and got["auc"].ci_low < 0.6
