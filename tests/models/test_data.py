import shutil

import numpy as np
import pytest
from conftest import write_synthetic_pairs

from dhs import storage
from dhs.datasets import reader
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.models import data
from dhs.models.data import Samples, read_part, refuse_candidates


def epoch_of(samples, number, batch_size=14):
    batches = list(samples.epoch(number, batch_size))
    columns = {
        name: np.concatenate([getattr(b, name) for b in batches]) for name in ("stamps", "labels", "pair_id", "hard")
    }
    order = np.lexsort((columns["labels"], columns["pair_id"]))
    return batches, {name: value[order] for name, value in columns.items()}


@pytest.mark.parametrize("options", [{}, {"memory_limit": 0, "window": 10}])
def test_every_pair_is_met_once_an_epoch_as_a_positive_and_a_negative(tiny, options):
    samples = Samples(tiny, "train", 0.3, seed=4, **options)
    batches, epoch = epoch_of(samples, 1)
    assert len(batches) == samples.steps(14) == 6
    assert max(len(b.labels) for b in batches) <= 14
    np.testing.assert_array_equal(epoch["pair_id"], np.repeat(np.arange(40), 2))
    np.testing.assert_array_equal(epoch["labels"], np.tile([0, 1], 40))
    for batch in batches:
        half = len(batch.labels) // 2
        np.testing.assert_array_equal(batch.pair_id[:half], batch.pair_id[half:])


def test_streaming_gives_the_same_samples_and_holds_none_of_them(tiny):
    held = Samples(tiny, "train", 0.4, seed=4)
    streamed = Samples(tiny, "train", 0.4, seed=4, memory_limit=0, window=10)
    for number in (1, 2):
        first, second = epoch_of(held, number)[1], epoch_of(streamed, number)[1]
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    assert held.in_memory and held._held
    assert not streamed.in_memory and not streamed._held


def test_order_and_negatives_change_with_epoch_and_seed_and_repeat_with_both(tiny):
    def signature(seed, number):
        return [(b.pair_id.tolist(), b.hard.tolist()) for b in Samples(tiny, "train", 0.3, seed).epoch(number, 14)]

    assert signature(1, 1) == signature(1, 1)
    assert signature(1, 1) != signature(1, 2)
    assert signature(1, 1) != signature(2, 1)


def test_samples_are_the_stamps_of_the_reader(tiny):
    _, epoch = epoch_of(Samples(tiny, "train", 1.0, seed=0), 1)
    negatives = {
        row["pair_id"]: row for row in reader.rows(tiny.table("train", ["pair_id", "light", "rng_key"], negatives=True))
    }
    for i in (0, 7, 39):
        row = tiny[i]
        positive, negative = epoch["stamps"][2 * i + 1], epoch["stamps"][2 * i]
        np.testing.assert_array_equal(positive, reader.stamp(row))
        if row["pair_id"] in negatives:
            joined = {k: v for k, v in row.items() if k != "arc"} | negatives[row["pair_id"]]
            np.testing.assert_array_equal(negative, reader.stamp(joined))
        else:
            np.testing.assert_array_equal(negative, row["control"])


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0.0), (0.3, 0.3), (1.0, 0.5)])
def test_ratio_is_the_fraction_of_all_negatives_as_far_as_there_are_hard_ones(tiny, ratio, expected):
    samples = Samples(tiny, "train", ratio, seed=0)
    share = np.mean([epoch_of(samples, number)[1]["hard"].sum() / 40 for number in range(30)])
    assert share == pytest.approx(expected, abs=0.04)


def test_hosts_that_are_candidates_are_refused(tmp_path):
    pairs = write_synthetic_pairs(tmp_path, {"train": 2, "val": 3, "test": 0}, flags=["mock", "host_is_candidate"])
    with pytest.raises(DhsError, match=r"3 pairs of split 'val' have a host that is a lens candidate.*allow-known"):
        refuse_candidates(pairs, ("val",))


def test_mock_hosts_are_fine(tiny):
    refuse_candidates(tiny, ("train", "val", "test"))


@pytest.fixture
def copy(tiny, tmp_path):
    return open_pairs(shutil.copytree(tiny.path, tmp_path / "copy"))


def test_a_repeated_shard_is_refused(copy):
    first, second = copy.files("train")[:2]
    shutil.copy(first, second)
    with pytest.raises(DhsError, match="pair 0 is in split 'train' twice"):
        Samples(copy, "train")


def test_a_part_that_changes_during_the_run_stops_the_epoch(copy):
    samples = Samples(copy, "train", memory_limit=0)
    second = copy.files("train")[1]
    storage.write_table(second, storage.read_table(second).slice(3))
    storage.write_table(
        second.replace("/split=", "/negatives/split="),
        storage.read_table(second.replace("/split=", "/negatives/split=")).slice(0, 0),
    )
    with pytest.raises(DhsError, match="3 of 40 pairs were not met exactly once"):
        list(samples.epoch(1, 14))


def test_an_empty_split_is_refused(tmp_path):
    pairs = write_synthetic_pairs(tmp_path, {"train": 4, "val": 0, "test": 0})
    with pytest.raises(DhsError, match="split 'val' has no pair"):
        Samples(pairs, "val")


def test_hard_negatives_without_their_pairs_are_refused(copy):
    file = copy.files("train", negatives=True)[0]
    shutil.copy(file, file.replace("part-00000", "part-00009"))
    with pytest.raises(DhsError, match=r"part-00009.parquet: no part of pairs of that name"):
        Samples(copy, "train")
    with pytest.raises(DhsError, match="hard negative of pair 0, which is not in"):
        read_part(copy.files("train")[1], file)


def test_memory_limit_counts_the_decoded_stamps(tiny):
    need = (2 * 40 + 20) * data.STAMP_BYTES
    assert Samples(tiny, "train", memory_limit=need).in_memory
    assert not Samples(tiny, "train", memory_limit=need - 1).in_memory
