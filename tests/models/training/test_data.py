import shutil
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest
from synthetic import write_synthetic_pairs

from dhs import storage
from dhs.datasets import reader
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.models.decode import part_files, read_files, read_parts, refuse_candidates
from dhs.models.training import data
from dhs.models.training.data import Samples


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


@pytest.mark.parametrize(("flag", "refused"), [("mock", False), ("psf_assumed", False), ("host_is_candidate", True)])
def test_only_candidates_are_refused(tmp_path, flag, refused):
    pairs = write_synthetic_pairs(tmp_path, {"train": 2, "val": 1, "test": 1}, flags=["gain_assumed", flag])
    with pytest.raises(DhsError, match="1 pairs of split 'test'") if refused else nullcontext():
        refuse_candidates(pairs, ("test",))


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
    with pytest.raises(DhsError, match="split 'train': hard negative of pair 0, which is not where it should be"):
        list(read_parts(copy, "train"))
    with pytest.raises(DhsError, match=r"part-00009.parquet: no part of pairs of that name"):
        part_files(copy, "train")
    with pytest.raises(DhsError, match="hard negative of pair 0, which is not where"):
        list(read_files(copy.files("train")[1], file))


def test_a_part_read_from_its_files_is_that_of_the_split(tiny):
    ours = [part for files in part_files(tiny, "train") for part in read_files(*files)]
    for first, second in zip(ours, read_parts(tiny, "train"), strict=True):
        assert first.scalars.equals(second.scalars) and first.hard_scalars.equals(second.hard_scalars)
        for name in ("control", "positive", "hard", "hard_row"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_memory_limit_counts_the_decoded_stamps(tiny):
    need = (2 * 40 + 20) * data.STAMP_BYTES
    assert Samples(tiny, "train", memory_limit=need).in_memory
    assert not Samples(tiny, "train", memory_limit=need - 1).in_memory


class Doubled:
    """A data set with two hard negatives of two kinds a pair, and the interface of `Pairs` alone."""

    def __init__(self, pairs):
        self.path, self.pairs = pairs.path, pairs

    def table(self, split, columns, *, negatives=False):
        return self.pairs.table(split, columns, negatives=negatives)

    def batches(self, split, columns, batch_size, negatives=False):
        for batch in self.pairs.batches(split, columns, batch_size, negatives):
            if not negatives:
                yield batch
                continue
            for row in range(batch.num_rows):
                one = batch.slice(row, 1)
                yield one
                yield one.set_column(one.schema.get_field_index("kind"), "kind", pa.array(["other"]))


def test_any_source_of_pairs_will_do_and_every_kind_of_hard_negative_is_met(tiny):
    source = Doubled(tiny)
    parts = list(read_parts(source, "train"))
    kinds = [kind for part in parts for kind in part.hard_scalars["kind"].to_pylist()]
    assert kinds == ["azimuthal_shuffle", "other"] * 20
    assert [len(found) for part in parts for found in part.hard_of] == [2, 0] * 20
    samples = Samples(source, "train", 1.0)
    assert samples.n_hard == 20
    hard = [b.hard.sum() for b in samples.epoch(1, 80)]
    assert sum(hard) == 20
    everything = np.concatenate([part.hard for part in parts])
    for batch in samples.epoch(3, 80):
        for stamp in batch.stamps[batch.hard]:
            assert any(np.array_equal(stamp, hard) for hard in everything)


class Fresh:
    """Pairs whose arcs are brighter every epoch."""

    def __init__(self, pairs, epoch=0):
        self.path, self.pairs, self.number = pairs.path, pairs, epoch

    def for_epoch(self, epoch):
        return Fresh(self.pairs, epoch)

    def batches(self, split, columns, batch_size, negatives=False):
        for batch in self.pairs.batches(split, columns, batch_size, negatives):
            if not negatives:
                gains = pa.array(np.full(batch.num_rows, 1e4 * 10**self.number, np.float32))
                batch = batch.set_column(batch.schema.get_field_index("gain_r"), "gain_r", gains)
            yield batch


def test_pairs_that_are_new_every_epoch_are_read_anew(tiny):
    samples = Samples(tiny, "train", seed=3, fresh=Fresh(tiny))
    assert not samples.in_memory
    first, second = epoch_of(samples, 1)[1], epoch_of(samples, 2)[1]
    np.testing.assert_array_equal(first["pair_id"], second["pair_id"])
    assert not np.array_equal(first["stamps"][1, 1], second["stamps"][1, 1]), "another gain, another shot noise"
    np.testing.assert_array_equal(first["stamps"][1, 0], second["stamps"][1, 0])
    assert not samples._held
    samples.check(np.ones(40, np.int64), 1)
    for seen in (np.r_[2, np.ones(39, np.int64)], np.r_[0, np.ones(39, np.int64)]):
        with pytest.raises(DhsError, match="1 of 40 pairs were not met exactly once"):
            samples.check(seen, 1)
    many = Samples(tiny, "train", seed=3, fresh=Fresh(tiny))
    many.check(np.r_[0, np.ones(199, np.int64)], 1)


@pytest.mark.parametrize("options", [{}, {"memory_limit": 0, "window": 10}])
def test_processes_share_the_batch_of_one(tiny, options):
    samples = Samples(tiny, "train", 0.4, seed=4, **options)
    for whole, *shares in zip(
        samples.epoch(1, 14),
        *(samples.epoch(1, 14, rank=r, world=3, seen=np.zeros(40, np.int64)) for r in range(3)),
        strict=True,
    ):
        assert {s.n_slots for s in shares} == {whole.n_slots} and {s.n_stamps for s in shares} == {len(whole.labels)}
        slots = np.concatenate([s.slot for s in shares])
        order, own = np.argsort(slots), np.argsort(whole.slot)
        np.testing.assert_array_equal(slots[order], whole.slot[own])
        for name in ("stamps", "control", "labels", "pair_id", "hard", "theta_e", "psf_fwhm", "sky_sigma"):
            joined = np.concatenate([getattr(s, name) for s in shares])
            np.testing.assert_array_equal(joined[order], getattr(whole, name)[own])


def test_an_epoch_taken_up_goes_on_where_it_was_left(tiny):
    samples = Samples(tiny, "train", 0.4, seed=4)
    whole = list(samples.epoch(2, 14))
    rest = list(samples.epoch(2, 14, skip=4))
    assert len(rest) == len(whole) - 4
    np.testing.assert_array_equal(rest[0].stamps, whole[4].stamps)


def test_unpaired_hosts_give_one_class_only_and_all_hosts_are_used(tiny):
    samples = Samples(tiny, "train", 0.3, seed=4, unpaired=True)
    _, epoch = epoch_of(samples, 1)
    np.testing.assert_array_equal(epoch["pair_id"], np.arange(40))
    assert epoch["labels"].sum() == 20 and len(samples) == 40
    np.testing.assert_array_equal(epoch["labels"], epoch_of(samples, 2)[1]["labels"])
    assert samples.steps(14) == len(list(samples.epoch(1, 14))) == 3


def test_a_fraction_is_of_the_hosts_and_stays_the_same(tmp_path):
    pairs = write_synthetic_pairs(tmp_path, {"train": 40, "val": 0, "test": 0}, pairs_per_host=4)
    samples = Samples(pairs, "train", seed=1, fraction=0.5)
    used = samples.pair_id
    assert len(used) == 20 and len(np.unique(used // 4)) == 5
    np.testing.assert_array_equal(np.unique(epoch_of(samples, 1)[1]["pair_id"]), used)
    smaller = Samples(pairs, "train", seed=1, fraction=0.2).pair_id
    assert set(smaller) < set(used) and set(used) != set(Samples(pairs, "train", seed=2, fraction=0.5).pair_id)


def test_class_ratio_leaves_positives_out_in_turn(tiny):
    samples = Samples(tiny, "train", seed=4, negatives_per_positive=4.0)
    met = []
    for number in range(12):
        _, epoch = epoch_of(samples, number)
        assert epoch["labels"].sum() == 10 and (epoch["labels"] == 0).sum() == 40
        met.append(set(epoch["pair_id"][epoch["labels"] == 1]))
    assert len(samples) == 50 and len(set.union(*met)) > 30


def test_control_of_every_sample_is_its_own(tiny):
    (batch,) = Samples(tiny, "train", 1.0).epoch(1, 80)
    for i in (0, 5, 41, 70):
        np.testing.assert_array_equal(batch.control[i], tiny[int(batch.pair_id[i])]["control"])
        assert batch.theta_e[i] == np.float32(tiny[int(batch.pair_id[i])]["theta_e_arcsec"])
