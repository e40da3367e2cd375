"""The texture gate fails what gives itself away and passes every kind of honest hard negative."""

from functools import partial

import numpy as np
import pytest
from planted_pairs import KERNELS, SIGMA, SS, sources, write

from dhs.datasets.rerender import lens_of, light_of
from dhs.injection.hard_negatives.azimuthal import MIN_CONTRAST, azimuthal_blocks, contrast
from dhs.injection.hard_negatives.base import ArcScene
from dhs.injection.hard_negatives.companions import companions
from dhs.injection.hard_negatives.lookalikes import LOOKALIKES
from dhs.injection.hard_negatives.scrambled_geometry import scrambled_geometry
from dhs.injection.render.reference import convolve_and_bin, lensed_light
from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE
from dhs.validation.preflight.gate import run_gates
from dhs.validation.preflight.gates.hard_negatives import NAMES, overlap_coefficient, texture_features
from dhs.validation.preflight.preflight import collect

RADIUS = radius_map()
SCALE = PIXEL_SCALE / SS


def lights(row, source, rng):
    """Every kind of hard negative of one pair, on the sub-pixel grid."""
    lens, light = lens_of(row), light_of(row, source, SS).frame(SS)
    render = partial(lensed_light, supersampling=SS)
    yield "azimuthal_shuffle", azimuthal_blocks(light, lens.x, lens.y, 1.35, SCALE, rng)
    scene = ArcScene(light, light, lens, source, 0.0, SCALE, 1.35, render)
    yield "companions", companions(scene, rng)
    for name in sorted(LOOKALIKES):
        yield f"lookalike_{name}_mock", LOOKALIKES[name](scene, rng)
    yield "scrambled_geometry", scrambled_geometry(scene, rng)


def negative(row, kind, image):
    snr = np.sqrt((image**2 / SIGMA[:, None, None] ** 2).sum())
    keys = ("pair_id", "host_id", "source_id", "split", "arc_snr_matched", "rng_key")
    light = (image * row["arc_snr_matched"] / snr).astype(np.float32)
    return {**{k: row[k] for k in keys}, "kind": kind, "light": light, "contrast": 1.0}


@pytest.fixture(scope="module")
def pairs(base_rows):
    return base_rows[0][:150]


@pytest.fixture(scope="module")
def all_kinds(pairs):
    found = []
    for row in pairs:
        source = sources().read(sources().ids.index(row["source_id"]))
        for kind, light in lights(row, source, np.random.default_rng([8, row["pair_id"]])):
            image = convolve_and_bin(light, KERNELS, SS) * source.flux[:, None, None]
            ring = kind in ("azimuthal_shuffle", "scrambled_geometry") and contrast(image[1], 0.0, 0.0) < MIN_CONTRAST
            if not ring:
                found.append(negative(row, kind, image))
    return found


def run(tmp_path, profile, pairs, negatives):
    data = collect(write(tmp_path / "pairs", pairs, negatives), profile, engine="serial")
    return run_gates(data, ["hard_negative_texture"])[0]


def test_every_honest_kind_passes(tmp_path, profile, pairs, all_kinds):
    got = run(tmp_path, profile.replace(preflight__texture_margin=0.15), pairs, all_kinds)
    assert got.status == "pass", got.explanation
    kinds = {e["kind"]: e for e in got.details["kinds"]}
    assert len(kinds) == 6 and len(got.details["tests"]) == 6
    for entry in kinds.values():
        assert abs(entry["texture"].value - 0.5) < 0.15 and entry["snr_ratio_median"] == pytest.approx(1, abs=1e-3)
        assert 0 < entry["flux_overlap"] <= 1


def shuffled_pixels(row, rng):
    """The arc's pixels permuted along each ring of the finished image."""
    out, rings = row["arc"].copy(), RADIUS.astype(int)
    for r in range(3, 20):
        y, x = np.nonzero(rings == r)
        order = rng.permutation(len(y))
        out[:, y, x] = out[:, y[order], x[order]]
    return out


def smeared_ring(row, rng):
    """Pixels permuted before the PSF: the arc's light all round, an Einstein ring with label 0."""
    source = sources().read(sources().ids.index(row["source_id"]))
    light = light_of(row, source, SS).frame(SS)
    smooth = azimuthal_blocks(light, 0.0, 0.0, SCALE, SCALE, rng)
    return convolve_and_bin(smooth, KERNELS, SS) * source.flux[:, None, None]


@pytest.mark.parametrize("make, words", [(shuffled_pixels, "texture of"), (smeared_ring, "are rings")])
def test_pixel_shuffle_and_smeared_ring_fail(make, words, tmp_path, profile, pairs):
    bad = [negative(r, "azimuthal_shuffle", make(r, np.random.default_rng([9, r["pair_id"]]))) for r in pairs[:80]]
    got = run(tmp_path, profile, pairs[:80], bad)
    assert got.status == "fail" and words in got.explanation


def test_features_see_noise_and_not_light(base_rows):
    row, name = base_rows[0][0], dict(zip(NAMES, range(len(NAMES))))
    control, arc = row["control"].astype(float), row["arc"]
    plain, with_arc = texture_features(control, SIGMA), texture_features(control + 3 * arc, SIGMA)
    assert len(plain) == len(NAMES)
    assert abs(with_arc[name["rms_r"]] - plain[name["rms_r"]]) < 0.05
    loud = texture_features(control + np.random.default_rng(0).normal(size=(3, 64, 64)) * SIGMA[1], SIGMA)
    assert loud[name["rms_r"]] > plain[name["rms_r"]] + 0.25
    smooth = np.random.default_rng(1).normal(size=(3, 66, 66))
    smooth = (smooth[:, 1:-1, 1:-1] + 0.5 * smooth[:, 1:-1, :-2] + 0.5 * smooth[:, 1:-1, 2:]) * SIGMA[1]
    assert texture_features(smooth, SIGMA)[name["power_ratio_high_r"]] < plain[name["power_ratio_high_r"]] - 0.2
    a = np.arange(1000.0)
    assert overlap_coefficient(a, a) == pytest.approx(1) and overlap_coefficient(a, a + 5000) == 0
