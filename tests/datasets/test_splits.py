"""Splits are disjoint, stable and of the configured size."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

import dhs.datasets.inject as verb
from dhs.config import SplitsConfig, load_profile
from dhs.datasets import splits
from dhs.errors import DhsError
from dhs.stats.clusters import MIN_CLUSTERS
from dhs.survey.hosts.record import HostRef

CONFIG = SplitsConfig()


def test_cells_are_nested_healpix():
    """Nested children share their parent: cell(2 nside) // 4 = cell(nside) (Gorski et al. 2005)."""
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    assert np.array_equal(splits.cells(ra, dec, 64) // 4, splits.cells(ra, dec, 32))
    assert splits.cells([0.0], [90.0], 1)[0] in range(4)


def test_fractions_over_many_cells():
    names = [splits.split_of_cell(c, 1, CONFIG) for c in range(12288)]
    for name in ("train", "val", "test"):
        expected = getattr(CONFIG, name)
        assert names.count(name) / 12288 == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 12288))
    assert names != [splits.split_of_cell(c, 2, CONFIG) for c in range(12288)]


def test_sources_are_in_exactly_one_split_in_any_order():
    ids = [f"s{i}" for i in range(41)]
    parts = splits.split_sources(ids, 3, CONFIG)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(41))
    assert [len(parts[n]) for n in ("train", "val", "test")] == [25, 8, 8]
    shuffled = ids[::-1]
    again = splits.split_sources(shuffled, 3, CONFIG)
    assert {ids[i] for i in parts["test"]} == {shuffled[i] for i in again["test"]}


@pytest.mark.parametrize(
    "n, want", [(250, (174, 38, 38)), (38, (22, 8, 8)), (32, (16, 8, 8)), (31, (21, 5, 5)), (3, (1, 1, 1))]
)
def test_few_sources_still_give_an_interval(n, want):
    """Eight held out each, where that leaves half for training."""
    parts = splits.split_sources([f"s{i}" for i in range(n)], 3, CONFIG)
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == want
    assert splits.HELD_OUT == MIN_CLUSTERS


def test_two_sources_cannot_fill_three_splits():
    with pytest.raises(DhsError, match="relax the cuts"):
        splits.split_sources(["a", "b"], 0, CONFIG)


def test_of_two_hosts_on_either_side_of_a_splits_edge_the_later_is_left_out():
    """Distances by astropy; a chain leaves out no more than it must, and hosts of one split may touch."""
    at = [(150.0, 2.0), (150.0, 2.0 + 23 / 3600), (150.0, 2.0 + 25 / 3600), (150.0, 2.0 + 46 / 3600), (np.nan, np.nan)]
    refs = [
        HostRef(host_id=f"h{i}", brickname="b", ra=ra, dec=dec, brick_ra=ra, brick_dec=dec, file="f", row=i)
        for i, (ra, dec) in enumerate(at)
    ]
    sky = SkyCoord(*np.array(at[:4]).T, unit="deg")
    assert (sky[0].separation(sky[1]).arcsec < splits.GUARD_ARCSEC) and sky[0].separation(sky[2]).arcsec > 24.0
    found = splits.near_other_splits(refs, ["train", "test", "test", "train", "val"])
    assert set(found) == {1, 3} and found[1].code == "near_other_split" and "h0" in found[1].message
    assert splits.near_other_splits(refs, ["train"] * 5) == {}


def test_a_set_has_no_host_beside_one_of_another_split(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "GUARD_ARCSEC", 3600.0 * 2)  # two degrees: so that some of a few mock hosts are near
    profile = load_profile("smoke", hosts__n_mock=300, injection__n_pairs=40)
    context = verb.open_context(profile.model_dump(mode="json"), str(tmp_path))
    refs, used = context.hosts.refs, {}
    near = splits.near_other_splits(refs, splits.split_hosts(refs, profile.seed, profile.splits))
    for part in verb.plan(context):
        used |= {host: part.split for _, host in part.slots}
    assert near and not set(near) & set(used)
