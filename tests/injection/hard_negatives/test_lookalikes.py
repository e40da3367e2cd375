"""Companions, look-alikes and scrambled arcs: the arc's flux, another shape, the same for the same stream."""

from functools import partial

import numpy as np
import pytest

from dhs.config import SourcesConfig
from dhs.injection.hard_negatives import base, companions, lookalikes, scrambled_geometry
from dhs.injection.lens import Lens
from dhs.injection.render.reference import lensed_light
from dhs.injection.sources.open import open_sources
from dhs.survey.facts import PIXEL_SCALE

SS = 2
LENS = Lens(1.4, 0.8, 0.4, 0.01, -0.02, 0.1, -0.05)
RENDER = partial(lensed_light, supersampling=SS)
GRID = (128, PIXEL_SCALE / SS)


@pytest.fixture(scope="module")
def source():
    return open_sources(SourcesConfig(spec="mock"), 5).read(3)


@pytest.fixture(scope="module")
def arc(source):
    return RENDER(LENS, source, 0.4, 0.2, 0.0)


KINDS = ("companions", "ring", "spiral", "merger", "scrambled_geometry")


MAKERS = {
    "companions": companions.companions,
    "scrambled_geometry": scrambled_geometry.scrambled_geometry,
    **lookalikes.LOOKALIKES,
}


def scene(arc, source=None, lens=LENS):
    return base.ArcScene(arc, arc, lens, source, 0.0, PIXEL_SCALE / SS, 1.3, RENDER)


def make(kind, arc, source, seed, lens=LENS):
    return MAKERS[kind](scene(arc, source, lens), np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_same_flux_other_shape_same_stream(kind, arc, source):
    x, y = base.grid(*GRID[:1], LENS, GRID[1])
    radius = np.hypot(x, y)
    for seed in range(8):
        made = make(kind, arc, source, seed)
        assert made.shape == arc.shape and (made >= -1e-9).all()
        assert made.sum() == pytest.approx(arc.sum(), rel=1e-9)
        np.testing.assert_array_equal(made, make(kind, arc, source, seed))
        assert not np.array_equal(made, make(kind, arc, source, seed + 100))
        cosine = (made * arc).sum() / np.sqrt((made**2).sum() * (arc**2).sum())
        assert cosine < 0.9, "an unchanged arc would be a lens labelled 0"
        share = made[(radius > 0.4) & (radius < 7)].sum() / made.sum()
        assert share > 0.85, "the light lies where arcs lie, not in the core and not off the stamp"


def test_widest_lens_keeps_its_light_on_the_stamp(arc, source):
    wide = Lens(3.0, 0.8, 0.4)
    for kind in KINDS:
        assert make(kind, arc, source, 1, wide).sum() == pytest.approx(arc.sum(), rel=1e-9)


def test_scrambled_sources_have_no_image_on_the_other_side(arc, source):
    x, y = base.grid(*GRID[:1], LENS, GRID[1])
    answered = []
    for seed in range(12):
        made = make("scrambled_geometry", arc, source, seed)
        azimuth = np.arctan2(y, x).ravel()[made.argmax()]
        apart = np.abs((np.arctan2(y, x) - azimuth + np.pi) % (2 * np.pi) - np.pi)
        answered.append(made[apart > np.pi / 2].sum() / made.sum())
    assert np.median(answered) < 0.05


def test_lookalikes_say_their_kind_and_that_they_are_mock(arc):
    kinds = {lookalikes.lookalike(scene(arc), np.random.default_rng(s))[0] for s in range(20)}
    assert kinds == {"lookalike_ring_mock", "lookalike_spiral_mock", "lookalike_merger_mock"}
    empty = np.zeros_like(arc)
    assert not lookalikes.ring(scene(empty), np.random.default_rng(0)).any()
