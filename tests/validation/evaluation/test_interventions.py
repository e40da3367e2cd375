"""Interventions on tiny pairs: what changes, what does not, and what a scorer of known behaviour does about it."""

import numpy as np
import pytest
from planted_pairs import SIGMA, SS, sources, write

from dhs.datasets.reader import stamp
from dhs.datasets.rerender import SourceLookup
from dhs.injection.expected_arc import radius_map
from dhs.validation.evaluation import interventions
from dhs.validation.evaluation.interventions import INTERVENTIONS, Injected, section
from dhs.validation.preflight.gate import jsonable

RADIUS = radius_map()


@pytest.fixture(scope="module")
def item(base_rows):
    row = next(r for r in base_rows[0] if 1.0 < r["theta_e_arcsec"] < 1.3)
    row = row | {k: float(np.float32(row[k])) for k in ("theta_e_arcsec", "flux_scale")}
    return Injected.of(row, sources().read(sources().ids.index(row["source_id"])), SS, "lenstronomy")


def added(item, image):
    return image.astype(float) - item.row["control"]


def test_rendered_again_is_the_stored_arc_and_the_stored_stamp(item):
    np.testing.assert_allclose(item.arc(), item.row["arc"], atol=1e-4 * item.row["arc"].max())
    assert np.abs(item.whole - stamp(item.row)).max() < 0.02 * item.row["arc"].max()


def test_either_renderer_shows_the_same_arc(item):
    fast = Injected.of(item.row, item.source, SS)
    assert np.abs(fast.arc() - item.arc()).max() < 1e-3 * item.arc().max()
    cut, same = (interventions.core_light_removed(i, 5.0) for i in (fast, item))
    assert np.abs(cut - same).max() < 0.02 * item.arc().max()


def test_seam_free_removal_takes_the_light_before_the_psf(item):
    arc, cut = item.arc(), added(item, interventions.core_light_removed(item, 5.0))
    lost = 1 - cut[1].sum() / arc[1].sum()
    assert lost == pytest.approx(interventions.light_within(item, 5.0), abs=0.02) and lost > 0.2
    core, edge = RADIUS < 3, np.abs(RADIUS - 5) < 1
    hard = added(item, interventions.core_pixels_swapped(item, 5.0))
    assert (hard[1][core] == 0).all() and cut[1][core].mean() > 0, "the PSF brings light back into the core"
    jump = lambda image: np.abs(np.diff(image[1], axis=0))[edge[1:]].max()  # noqa: E731
    assert jump(cut) < jump(hard), "no seam"


def test_each_intervention_changes_what_it_says(item):
    arc, made = item.arc(), {n: added(item, f(item, 5.0)) for n, f in INTERVENTIONS.items()}
    total = arc.sum(axis=(1, 2))
    assert np.abs(made["arc_removed"]).max() == 0
    assert made["noise_redrawn"].sum() == pytest.approx(arc.sum(), rel=0.02)
    assert (made["outer_pixels_swapped"][:, RADIUS >= 5] == 0).all()
    np.testing.assert_array_equal(made["placebo_edge"][:, RADIUS >= 5], added(item, item.stamp(arc))[:, RADIUS >= 5])
    colour = made["colour_swapped"].sum(axis=(1, 2))
    np.testing.assert_allclose(colour, total[[2, 1, 0]], rtol=0.02)
    assert 0.05 < made["source_occulted"][1].sum() / total[1] < 0.9
    peak = np.unravel_index(arc[1].argmax(), arc[1].shape)
    assert np.abs(made["source_occulted"][1][peak]) < 0.5 * arc[1][peak]
    turned = made["arc_rotated"][1]
    assert turned.sum() == pytest.approx(total[1], rel=0.02)
    assert np.corrcoef(np.rot90(arc[1], 1).ravel(), turned.ravel())[0, 1] > 0.99
    ring = made["ring_added"][1]
    at = np.abs(RADIUS * 0.262 - item.row["theta_e_arcsec"]) < 0.15
    assert ring.sum() == pytest.approx(total[1], rel=0.03) and ring[at].std() < 0.25 * ring[at].mean()


class Inner:
    """Score: light in sky sigmas inside a zone; a core mask hides r < R."""

    def __init__(self, low, high):
        self.zone = (RADIUS >= low) & (RADIUS < high)

    def logits(self, stamps, core_mask_px=None):
        zone = self.zone & (RADIUS >= (core_mask_px or 0))
        return (stamps[:, 1][:, zone].sum(axis=1) / SIGMA[1] / 30).astype(np.float32)


def intervene(scorer, pairs, profile):
    lookup, config = SourceLookup(pairs.manifest), profile.evaluate
    todo, reason = interventions.jobs(pairs, config, lookup)
    done = (interventions.do(job, scorer, pairs, config, lookup) for job in todo)
    return interventions.gather(done, reason)


@pytest.mark.parametrize("low, high, reads_core", [(0, 4, True), (9, 25, False)])
def test_a_core_reader_and_an_arc_reader_are_told_apart(low, high, reads_core, clean, profile):
    settings = profile.replace(evaluate__n_interventions=40, evaluate__n_bootstrap=60)
    found = jsonable(section(intervene(Inner(low, high), clean, settings), settings))
    table = {row["name"]: row for row in found["interventions"]}
    assert found["n"] == 40 and found["unit"] == "logit" and set(INTERVENTIONS) < set(table)
    assert table["arc_removed"]["ci_high"] < 0 and abs(table["noise_redrawn"]["value"]) < 0.05
    core, outer = table["core_pixels_net_of_edge"], table["outer_pixels_swapped"]
    assert (core["ci_high"] < 0) == reads_core and (outer["ci_high"] < 0) == (not reads_core)
    assert table["core_light_removed"]["fell"]["value"] > (0.5 if reads_core else 0)
    first, *_, last = table["core_light_removed"]["by_theta_e"]
    light = [b["value"] for b in found["core_light"]["by_theta_e"]]
    assert light[0] > light[-1] and {"lo", "hi", "value", "ci_low", "n"} <= set(first) == set(last)
    values = [s["value"] for s in found["sweep"]]
    assert [s["radius_px"] for s in found["sweep"]] == [2, 3.5, 5, 7, 9]
    assert (np.diff(values) <= 1e-3).all(), "more light removed, lower score"


def test_rows_without_a_source_are_a_skip_with_the_reason(rows, profile, tmp_path):
    pairs = [{**r, "source_id": "elsewhere-1"} for r in rows[0][:60]]
    found = section(intervene(Inner(0, 4), write(tmp_path / "p", pairs, []), profile), profile)
    assert found["status"] == "skip" and "could not be opened" in found["reason"]
