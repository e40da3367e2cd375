"""Interventions on tiny pairs: what changes, what does not, and what a scorer of known behaviour does about it."""

import numpy as np
import pytest
from planted_pairs import SIGMA, SS, sources, write

from dhs.datasets.reader import stamp
from dhs.datasets.rerender import SourceLookup
from dhs.stats.metrics import mean
from dhs.stats.pixels import radius_map
from dhs.validation.evaluation import counterfactuals, interventions
from dhs.validation.evaluation.counterfactuals import INTERVENTIONS, Injected
from dhs.validation.evaluation.interventions import section, share
from dhs.validation.preflight.gate import jsonable

RADIUS = radius_map()


@pytest.fixture(scope="module")
def item(base_rows):
    row = next(r for r in base_rows[0] if 1.0 < r["theta_e_arcsec"] < 1.3)
    row = row | {k: float(np.float32(row[k])) for k in ("theta_e_arcsec", "flux_scale")}
    return Injected.of(row, sources().read(sources().ids.index(row["source_id"])), SS, "lenstronomy")


def added(item, changed):
    return changed.stamp.astype(float) - item.row["control"]


def test_rendered_again_is_the_stored_arc_and_the_stored_stamp(item):
    np.testing.assert_allclose(item.arc(), item.row["arc"], atol=1e-4 * item.row["arc"].max())
    assert np.abs(item.whole.stamp - stamp(item.row)).max() < 0.02 * item.row["arc"].max()


def test_either_renderer_shows_the_same_arc(item):
    fast = Injected.of(item.row, item.source, SS)
    assert np.abs(fast.arc() - item.arc()).max() < 1e-3 * item.arc().max()
    cut, same = (counterfactuals.core_light_removed(i, 5.0) for i in (fast, item))
    assert np.abs(cut.stamp - same.stamp).max() < 0.02 * item.arc().max()


def test_seam_free_removal_takes_the_light_before_the_psf(item):
    arc, cut = item.arc(), added(item, counterfactuals.core_light_removed(item, 5.0))
    lost = 1 - cut[1].sum() / arc[1].sum()
    assert lost == pytest.approx(counterfactuals.light_within(item, 5.0), abs=0.02) and lost > 0.1
    core, edge = RADIUS < 3, np.abs(RADIUS - 5) < 1
    hard = added(item, counterfactuals.core_pixels_swapped(item, 5.0))
    assert (hard[1][core] == 0).all() and cut[1][core].mean() > 0, "the PSF brings light back into the core"
    jump = lambda image: np.abs(np.diff(image[1], axis=0))[edge[1:]].max()  # noqa: E731
    assert jump(cut) < jump(hard), "no seam"


def test_each_intervention_changes_what_it_says(item):
    arc, made = item.arc(), {n: added(item, f(item, 5.0)) for n, f in INTERVENTIONS.items()}
    total = arc.sum(axis=(1, 2))
    assert np.abs(made["arc_removed"]).max() == 0
    assert made["noise_redrawn"].sum() == pytest.approx(arc.sum(), rel=0.02)
    assert (made["outer_pixels_swapped"][:, RADIUS >= 5] == 0).all()
    np.testing.assert_array_equal(made["placebo_edge"][:, RADIUS >= 5], added(item, item.shown(arc))[:, RADIUS >= 5])
    assert 0.05 < made["source_occulted"][1].sum() / total[1] < 0.9
    peak = np.unravel_index(arc[1].argmax(), arc[1].shape)
    assert np.abs(made["source_occulted"][1][peak]) < 0.5 * arc[1][peak]
    turned = made["arc_rotated"][1]
    assert turned.sum() == pytest.approx(total[1], rel=0.05)
    assert np.corrcoef(np.rot90(arc[1], 1).ravel(), turned.ravel())[0, 1] > 0.99
    ring = made["ring_added"][1]
    at = np.abs(RADIUS * 0.262 - item.row["theta_e_arcsec"]) < 0.15
    assert ring[at].std() < 0.25 * ring[at].mean()


def magnitudes(light):
    return -2.5 * np.log10(light.sum(axis=(1, 2)))


def test_colours_change_as_said_and_nothing_else_does(item):
    own = magnitudes(item.arc())
    for name, step in (("colour_redder", 0.4), ("colour_bluer", -0.4)):
        light = INTERVENTIONS[name](item, 5.0).light
        np.testing.assert_allclose(-np.diff(magnitudes(light)) + np.diff(own), [step, step], atol=1e-6)
        np.testing.assert_allclose(light[1] / light[1].max(), item.arc()[1] / item.arc()[1].max(), atol=1e-9)
    host = np.array([10.0, 40.0, 76.0])
    np.testing.assert_allclose(item.host_flux() / host, item.host_flux()[1] / host[1], rtol=0.5)
    given = magnitudes(INTERVENTIONS["colour_of_host"](item, 5.0).light)
    np.testing.assert_allclose(np.diff(given), np.diff(-2.5 * np.log10(item.host_flux())), atol=1e-3)
    assert given[0] - given[1] > own[0] - own[1] + 0.2, "a host is redder than an arc, not bluer"


@pytest.mark.parametrize("name", ["colour_of_host", "colour_redder", "colour_bluer", "ring_added", "arc_rotated"])
def test_what_keeps_the_light_keeps_the_matched_snr(item, name):
    """Against a whitened sum written out here; the planted noise is white."""
    sigma, gain = (np.array([item.row[f"{n}_{b}"] for b in "grz"])[:, None, None] for n in ("sky_sigma", "gain"))
    variance = sigma**2 + np.clip(item.row["control"], 0, None) / gain
    found = [np.sqrt((a**2 / variance).sum()) for a in (item.arc(), INTERVENTIONS[name](item, 5.0).light)]
    assert found[1] == pytest.approx(found[0], rel=1e-3)


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


class Toy:
    """A network whose reliance is known: it adds up one thing about the light that was added to known controls."""

    def __init__(self, feature, controls):
        self.feature, self.controls = feature, controls

    def logits(self, stamps, core_mask_px=None):
        return np.array([self.feature(s.astype(float) - self._control(s)) for s in stamps], np.float32)

    def _control(self, stamp):
        edge = stamp[:, RADIUS > 30]
        return min(self.controls, key=lambda c: np.abs(c[:, RADIUS > 30] - edge).sum())


def blueness(light):
    """g over r, whatever the brightness."""
    g, r, _ = (light[b][light[1] > 3 * SIGMA[1]].sum() for b in range(3))
    return 3.0 * g / r if r > 0 else 0.0


def core_light(light):
    return light[1][RADIUS < 5].sum() / SIGMA[1] / 20


def flux(light):
    return light[1].sum() / SIGMA[1] / 200


def unevenness(light):
    """Azimuthal contrast about the centre, whatever the brightness and colour: arcs have it, rings have none."""
    y, x = np.mgrid[:64, :64] - 31.5
    lit = light[1] * (RADIUS < 16)
    sector = ((np.arctan2(y, x) / (2 * np.pi) % 1) * 12).astype(int)
    sums = np.bincount(sector.ravel(), lit.ravel(), 12)
    return 4.0 * sums.std() / sums.mean() if sums.mean() > 30 * SIGMA[1] else 0.0


# What each network must lose, as a share of what it loses without the arc: low and high bound.
KNOWN = {
    blueness: {"colour": (0.25, 1.2), "ring": (0.8, 1.2), "core": (-0.2, 0.25), "colour_redder": -1, "colour_bluer": 1},
    core_light: {"core": (0.4, 1.05), "outer": (-0.1, 0.1)},
    flux: {"outer": (0.1, 1.0), "core": (0.02, 0.7), "brightest_image": (0.2, 0.95), "colour": (-0.5, 0.3)},
    unevenness: {"ring": (-0.1, 0.45), "colour": (-0.2, 0.2), "colour_redder": 0, "colour_bluer": 0},
}


@pytest.mark.parametrize("feature", KNOWN, ids=lambda f: f.__name__)
def test_networks_of_known_reliance_are_read_with_sign_and_size(feature, clean, base_rows, profile):
    settings = profile.replace(evaluate__n_interventions=40, evaluate__n_bootstrap=60)
    toy = Toy(feature, [np.asarray(r["control"], float) for r in base_rows[0] if r["split"] == "test"])
    found = jsonable(section(intervene(toy, clean, settings), settings))
    table = {row["name"]: row for row in found["interventions"]}
    assert table["arc_removed"]["ci_high"] < 0, "every one of them sees the arc"
    for name, want in KNOWN[feature].items():
        if isinstance(want, int):
            change = table[name]
            signs = (change["ci_low"] > 0) - (change["ci_high"] < 0)
            assert signs == want or (want == 0 and abs(change["value"]) < 0.1 * abs(table["arc_removed"]["value"]))
        else:
            assert want[0] <= found["shares"][name]["value"] <= want[1], (name, found["shares"][name])
    kept = ("colour_of_host", "colour_redder", "colour_bluer", "ring_added", "arc_rotated", "noise_redrawn")
    assert all(table[n]["snr_ratio"]["median"] == pytest.approx(1, abs=1e-3) for n in kept)
    assert table["arc_removed"]["snr_ratio"]["high"] == 0 and table["source_occulted"]["snr_ratio"]["median"] < 1
    bins = found["shares"]["ring"]["by_theta_e"]
    assert [b["lo"] for b in bins] == [0.5, 1.0, 1.5, 2.0, 2.5] and sum(b["n"] for b in bins) == 40


def test_a_share_is_a_ratio_of_means_with_its_interval():
    """Against the bootstrap of the ratio, many hosts, no sources that recur."""
    rng = np.random.default_rng(4)
    n = 400
    effect = -2.0 + rng.normal(size=n)
    change = 0.4 * effect + 0.3 * rng.normal(size=n)
    ids = np.arange(n)
    got = share(change, effect, ids, ids)
    draws = [change[k].mean() / effect[k].mean() for k in rng.integers(0, n, (4000, n))]
    assert got.value == pytest.approx(change.mean() / effect.mean())
    assert (got.ci_low, got.ci_high) == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.01)
    for none in (rng.normal(size=n), np.zeros(n)):
        assert share(change, none, ids, ids).value is None, "no effect, no share of it"
    assert mean(change, ids).value == pytest.approx(got.value * effect.mean())


def test_rows_without_a_source_are_a_skip_with_the_reason(rows, profile, tmp_path):
    pairs = [{**r, "source_id": "elsewhere-1"} for r in rows[0][:60]]
    found = section(intervene(Inner(0, 4), write(tmp_path / "p", pairs, []), profile), profile)
    assert found["status"] == "skip" and "could not be opened" in found["reason"]
