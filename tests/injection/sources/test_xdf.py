"""The picture of the eXtreme Deep Field, and the mock sources."""

import time
from collections import Counter

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import data

from dhs.config import SourcesConfig
from dhs.injection.sources import xdf
from dhs.injection.sources.mock import mock_source
from dhs.survey.facts import mag_from_flux


@pytest.fixture(scope="module")
def loaded():
    return xdf.load(SourcesConfig(spec="xdf"))


def test_count_and_bookkeeping(loaded):
    assert 180 <= len(loaded.sources) <= 320
    fallen = {k: n for k, n in loaded.cuts.items() if k != "catalogue"}
    assert len(loaded.sources) + sum(fallen.values()) == loaded.cuts["catalogue"]
    named = Counter(r.code for r in loaded.refusals)
    assert named == {k: n for k, n in fallen.items() if k not in ("too_small", "min_snr")}
    assert {"blend", "saturated", "point_like", "cut_by_edge"} <= set(named)


def test_cutting_takes_seconds():
    """About 4 s on a busy machine; processor time, so that other work does not count."""
    xdf._detect.cache_clear()
    xdf.load.cache_clear()
    start = time.process_time()
    xdf.load(SourcesConfig(spec="xdf"))
    assert time.process_time() - start < 6.0


@pytest.mark.parametrize(("x", "y"), [(254, 166), (754, 577), (147, 217)])
def test_stars_with_diffraction_spikes_are_refused(loaded, x, y):
    """Positions of the picture's bright stars, read off by eye."""
    _, _, _, _, parents, _ = xdf._detect()
    near = parents[y - 3 : y + 4, x - 3 : x + 4]
    label = int(np.bincount(near[near > 0]).argmax())
    assert f"xdf-{label:04d}" not in {s.source_id for s in loaded.sources}
    assert f"xdf-{label:04d}" in {r.id for r in loaded.refusals}


def test_linearise_is_the_inverse_of_an_asinh_stretch():
    light = np.linspace(0.0, 3.0, 200)
    shown = np.arcsinh(xdf.SOFTENING * light) / xdf.SOFTENING
    picture = np.zeros((200, 3, 3))
    picture[:, 0] = np.clip(255 * shown, 0, 255)[:, None]
    np.testing.assert_allclose(xdf.linearise(picture)[:, 0][shown < 1], light[shown < 1], atol=1e-9)


def test_half_light_radius_of_a_gaussian():
    """Analytic: sigma sqrt(2 ln 2)."""
    y, x = np.indices((81, 81)) - 40.0
    image = np.exp(-0.5 * (x**2 + y**2) / 6.0**2)
    found = xdf.half_light_radius(image, np.ones(image.shape, bool))
    assert found == pytest.approx(6.0 * np.sqrt(2 * np.log(2)), rel=0.01)


def test_sources_look_like_their_place_in_the_picture(loaded):
    """Each source correlates with the raw (stretched) picture at its segment."""
    _, _, _, _, parents, _ = xdf._detect()
    grey = data.hubble_deep_field().astype(float).mean(axis=-1)
    boxes = ndimage.find_objects(parents)
    for source in loaded.sources[::10]:
        label = int(source.source_id.removeprefix("xdf-"))
        own = parents[boxes[label - 1]] == label
        size = own.sum()
        assert np.count_nonzero(source.image > 0.02 * source.image.max()) > 0.15 * size
        brightest = np.sort(grey[boxes[label - 1]][own])[::-1]
        ours = np.sort(source.image.ravel())[::-1][:size]
        assert stats.spearmanr(brightest[: len(ours)], ours).statistic > 0.9
        assert source.image.max() * size > 1.5  # light is concentrated: no flat patch of noise


def test_drawn_redshifts_and_magnitudes_follow_the_stated_distributions():
    """Kolmogorov-Smirnov against numerically integrated n(z) and number counts, over 3000 names."""
    draws = [xdf._draw(f"name-{i}", 0.6, 25.0) for i in range(3000)]
    z = np.array([d[0] for d in draws])
    r = mag_from_flux(np.array([d[1] for d in draws]))[:, 1]
    grid = np.linspace(0.6, 3.0, 4000)
    density = grid**2 * np.exp(-((grid / 0.71) ** 1.5))
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    assert stats.kstest(z, lambda v: np.interp(v, grid, cdf / cdf[-1])).pvalue > 0.001
    low, high = 10 ** (0.35 * 22.5), 10 ** (0.35 * 25.0)
    assert stats.kstest(r, lambda m: (10 ** (0.35 * m) - low) / (high - low)).pvalue > 0.001


def test_cuts_reach_the_drawn_distributions():
    found = xdf.load(SourcesConfig(spec="xdf", z_min=1.5, mag_max=23.5))
    assert min(s.z for s in found.sources) >= 1.5
    assert max(mag_from_flux(s.flux)[1] for s in found.sources) <= 23.5
    assert all(set(s.flags) == {"colours_drawn", "redshift_drawn"} for s in found.sources)


def test_mock_sources_depend_on_seed_and_index_alone():
    a, b, other = mock_source(3, 11), mock_source(3, 11), mock_source(3, 12)
    np.testing.assert_array_equal(a.image, b.image)
    assert a.z == b.z
    assert a.image.shape != other.image.shape or not np.allclose(a.image, other.image)
    assert "mock" in a.flags
