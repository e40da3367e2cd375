"""Fresh pairs against the stored set, and streaming in shards."""

import numpy as np
import pyarrow.dataset as pads
import pytest

from dhs.datasets.fresh import FreshPairs
from dhs.datasets.reader import images
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SPLITS
from dhs.errors import UsageError


def test_epoch_0_is_the_stored_set_to_the_bit(pairs):
    fresh = FreshPairs.like(pairs)
    for split in SPLITS:
        for negatives, schema in ((False, PAIR_SCHEMA), (True, NEGATIVE_SCHEMA)):
            ours, theirs = (p.table(split, schema.names, negatives=negatives) for p in (fresh, pairs))
            assert ours.equals(theirs)
            name = "light" if negatives else "arc"
            assert np.array_equal(images(ours[name]), images(theirs[name]))
            batches = list(fresh.batches(split, ["pair_id"], 7, negatives))
            assert [i for b in batches for i in b["pair_id"].to_pylist()] == theirs["pair_id"].to_pylist()
            assert all(b.num_rows <= 7 for b in batches)


def test_another_epoch_puts_other_arcs_into_the_same_hosts(pairs):
    stored = pairs.table("train", ["pair_id", "host_id", "arc", "control", "rng_key"])
    first, again = (FreshPairs.like(pairs).for_epoch(3).table("train", stored.column_names) for _ in range(2))
    assert first.equals(again)
    assert first["host_id"].to_pylist() == stored["host_id"].to_pylist()
    assert np.array_equal(images(first["control"]), images(stored["control"]))
    assert all(k.endswith(":3") for k in first["rng_key"].to_pylist())
    assert (np.abs(images(first["arc"]) - images(stored["arc"])).max(axis=(1, 2, 3)) > 0).all()


def test_unknown_split_is_refused(pairs):
    with pytest.raises(UsageError, match="no split 'valid'"):
        FreshPairs.like(pairs).table("valid")


@pytest.mark.parametrize("n_shards", [1, 2, 5])
@pytest.mark.parametrize("seed", [None, 7])
def test_every_id_is_in_one_shard(pairs, n_shards, seed):
    seen = []
    for shard in range(n_shards):
        for table in pairs.stream("train", ["pair_id", "arc"], 4, shard=shard, n_shards=n_shards, seed=seed, epoch=1):
            assert table.num_rows <= 4 and images(table["arc"]).shape[1:] == (3, 64, 64)
            seen += table["pair_id"].to_pylist()
    stored = pairs.table("train", ["pair_id"])["pair_id"].to_pylist()
    assert sorted(seen) == sorted(stored) and len(stored) == len(set(stored))
    if seed is None and n_shards == 1:
        assert seen == stored


def test_order_depends_on_the_epoch(pairs):
    def order(epoch):
        return [i for t in pairs.stream("train", ["pair_id"], seed=1, epoch=epoch) for i in t["pair_id"].to_pylist()]

    assert order(1) == order(1)
    assert len({tuple(order(e)) for e in range(6)}) > 1


def test_a_shard_out_of_range_is_refused(pairs):
    with pytest.raises(UsageError, match="shard 2 of 2: it must be 0 to 1"):
        next(pairs.stream("train", shard=2, n_shards=2))


def test_rows_are_pruned_by_row_group_statistics(pairs):
    where = pads.field("theta_e_arcsec") > 1.5
    kept = pairs.table(columns=["pair_id", "theta_e_arcsec"], where=where)
    everything = pairs.table(columns=["pair_id", "theta_e_arcsec"]).to_pydict()
    assert kept["pair_id"].to_pylist() == [
        i for i, t in zip(everything["pair_id"], everything["theta_e_arcsec"]) if t > 1.5
    ]
    metadata = next(iter(pairs.dataset("train").get_fragments())).metadata.row_group(0)
    statistics = {metadata.column(k).path_in_schema: metadata.column(k).statistics for k in range(metadata.num_columns)}
    for name in ("theta_e_arcsec", "arc_snr_matched", "arc_snr_maxpix", "split"):
        assert statistics[name].has_min_max
    assert statistics["control"] is None
