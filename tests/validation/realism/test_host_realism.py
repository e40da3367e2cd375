import json
from pathlib import Path

import galsim
import numpy as np
import pytest

from dhs.errors import DhsError, UsageError
from dhs.validation.realism import hosts as realism
from dhs.validation.realism.hosts import NOISE, SEEING, compare_hosts, degrade, matched, named_features


def galaxy(fwhm, sigma, seed, g_r=0.0, q=1.0, neighbours=(), size=0.9):
    """galsim's galaxy of three bands, with ``neighbours`` at (x, y) arcsec, and white noise."""
    rng = np.random.default_rng(seed)
    image = np.empty((3, 64, 64))
    for b, flux in enumerate((6.0, 25.0, 60.0)):
        profile = galsim.Sersic(3.5, half_light_radius=size * (1.0 + g_r * (b == 0)), trunc=12.0).shear(
            q=q, beta=30 * galsim.degrees
        )
        profile = flux * profile
        for x, y in neighbours:
            profile += 0.12 * flux * galsim.Gaussian(sigma=0.3).shift(x, y)
        psf = galsim.Moffat(beta=3.5, fwhm=fwhm[b])
        drawn = galsim.Convolve(profile, psf).drawImage(nx=64, ny=64, scale=0.262, offset=(0.3, 0.2)).array
        image[b] = drawn + rng.normal(0, sigma[b], drawn.shape)
    return image


def test_two_surveys_are_brought_to_one_seeing_and_noise():
    sharp, poor = np.array([0.9, 0.8, 0.7]), np.array([1.3, 1.2, 1.1])
    low, high = NOISE / 4, NOISE / 2
    a = degrade(galaxy(sharp, low, 1), sharp, low, np.random.default_rng(1))
    b = degrade(galaxy(poor, high, 2), poor, high, np.random.default_rng(2))
    far = np.hypot(*(np.indices((64, 64)) - 32)) > 26
    for image in (a, b):
        assert image[:, far].std(axis=1) == pytest.approx(NOISE, rel=0.1)
    # What is left of the difference in seeing is below the noise.
    assert np.abs(a - b)[:, 20:44, 20:44].mean(axis=(1, 2)) == pytest.approx(NOISE * 2 / np.sqrt(np.pi), rel=0.25)
    assert (SEEING > poor).all()


@pytest.mark.parametrize(
    ("change", "family", "rises"),
    [
        ({"g_r": 0.4}, "colour gradient", None),
        ({"q": 0.5}, "shape", 5),
        ({"neighbours": [(2.0, 1.0), (-3.0, 2.0), (0.0, 6.0)]}, "companions", 0),
        ({"size": 1.3}, "size", 0),
    ],
)
def test_a_planted_difference_is_seen_by_the_family_that_names_it(change, family, rises):
    fwhm = np.array([1.3, 1.2, 1.1])
    plain = [named_features(galaxy(fwhm, NOISE, seed)) for seed in range(6)]
    changed = [named_features(galaxy(fwhm, NOISE, seed + 50, **change)) for seed in range(6)]

    def apart(name):
        x, y = (np.array([f[name] for f in side]) for side in (plain, changed))
        return (y.mean(axis=0) - x.mean(axis=0)) / (x.std(axis=0) + 0.02)

    assert np.abs(apart(family)).max() > 2
    if rises is not None:
        assert apart(family)[rises] > 1.5
    if family == "companions":
        assert np.abs(apart("colour gradient")).max() < 4


def test_matching_takes_the_nearest_and_none_twice():
    real = np.array([[20.0, 1.8, 1.1], [19.0, 1.5, 0.9]])
    mock = np.array([[20.02, 1.8, 1.1], [19.0, 1.52, 0.9], [20.1, 1.8, 1.1], [17.0, 1.0, 0.5], [19.1, 1.5, 0.95]])
    assert matched(real, mock, 2).tolist() == [0, 1, 2, 4]


def test_mocks_as_real_hosts_are_not_told_from_mocks_and_squashed_ones_are(tmp_path, monkeypatch):
    from dhs.survey.mock import hosts as mock

    mock.write_mock_hosts(tmp_path, 36, 77)
    monkeypatch.setattr(realism, "SEEING", np.array([2.2, 2.0, 1.9]))
    same = compare_hosts(str(tmp_path), seed=1, pool=12)
    assert same["n_real"] == 36 and same["n_mock"] == 4 * 36
    assert same["probe"]["value"] < 0.68 and same["control"]["ci_low"] < same["control"]["value"] < 0.68
    assert same["matched"]["real"][0] == pytest.approx(same["matched"]["mock"][0], abs=0.15)
    monkeypatch.setattr(mock, "MIN_RE", 2.5)  # all mocks large
    apart = compare_hosts(str(tmp_path), seed=1, pool=12)
    assert apart["families"]["size"]["value"] > 0.8 and apart["probe"]["value"] > same["probe"]["value"] + 0.1


def test_too_few_and_mock_against_mock_are_refused(tmp_path):
    from dhs.survey.mock.hosts import write_mock_hosts

    with pytest.raises(UsageError, match="say nothing"):
        compare_hosts("mock")
    write_mock_hosts(tmp_path, 5, 1)
    with pytest.raises(DhsError, match="5 galaxies"):
        compare_hosts(str(tmp_path))


def test_the_stored_result_says_what_it_is():
    stored = json.loads((Path(__file__).parents[3] / "benchmarks/results/host_realism.json").read_text())
    assert stored["n_real"] == 46 and "DES" in stored["hosts"]["acknowledgement"]
    assert stored["probe"]["ci_low"] <= stored["probe"]["value"] <= stored["probe"]["ci_high"]
    assert len(stored["seeds"]) >= 3 and set(stored["families"]) == set(stored["differences"])
