"""Negatives that no pair has: how many, which, and that none of them serves a rate."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from cutout_samples import channel_first, npz

from dhs.config import HostsConfig, TrainConfig
from dhs.datasets import survey_negatives
from dhs.errors import DhsError, UsageError
from dhs.models import checkpoints
from dhs.models.training import trackers
from dhs.models.training.data import Samples
from dhs.models.training.negatives import SEEDS, Pool, refuse_hosts, refuse_trained_on, survey_seed
from dhs.models.training.train import train
from dhs.survey.hosts.open import open_hosts

N = 16
OPTIONS = {"profile": "smoke", "batch_size": 20, "precision": "float32", "arch": "small", "lr": 1e-3}
OPTIONS |= {"survey_negative_ratio": 0.5, "n_survey_negatives": N, "n_survey_validation": 12, "core_masked_every": 0}


@pytest.fixture(autouse=True, scope="module")
def few_a_part():
    """Parts of survey negatives that are made in a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey_negatives, "PART", 8)
        yield


@pytest.fixture(scope="module")
def nonlenses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nonlenses")
    for i in range(12):
        content = channel_first(seed=i, ra=150.0 + 0.1 * i, host_id=f"galaxy-{i}")
        (folder / f"galaxy-{i}.npz").write_bytes(npz(**content))
    return str(folder)


def pool(folder, split="train", run_seed=3, **options):
    config = TrainConfig(survey_negative_ratio=0.5, n_survey_negatives=N, n_survey_validation=12, **options)
    return Pool(config, str(folder), 7, split, run_seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    return folder, pool(folder)


def test_training_meets_no_galaxy_of_a_seed_that_a_rate_may_have(made):
    folder, train_pool = made
    val_pool = pool(folder, "val")
    seeds = [p.sets[0].seed for p in (train_pool, val_pool)]
    assert seeds == [SEEDS + 14, SEEDS + 15] and len({survey_seed(s, "train") for s in range(99)} | set(seeds)) == 100
    for seed in (-1, SEEDS, SEEDS + 14):
        with pytest.raises(UsageError, match="kept for negatives of trainings"):
            survey_seed(seed, "train")
    test = survey_negatives.read(str(folder), 7, (0, 8))
    ours = train_pool.sets[0].images(range(N))
    assert not (set(test["host_id"]) & set(train_pool.sets[0].host_ids))
    assert not (test["images"][:, None] == ours[None]).all(axis=(2, 3, 4)).any()
    stored = survey_negatives.read(str(folder), SEEDS + 14, (0, N))
    np.testing.assert_array_equal(ours, stored["images"])


def test_a_share_of_the_negatives_is_the_pools_and_each_galaxy_is_met_before_one_is_met_again(tiny, made):
    samples = Samples(tiny, "train", 0.3, seed=4, pool=made[1], survey_ratio=0.3)
    galaxies = made[1].sets[0].images(range(N))
    assert samples.n_survey == 12 and samples.hard_share == pytest.approx(0.3)
    met, hard = [], []
    for number in range(1, 5):
        batches = list(samples.epoch(number, 14))
        assert sum(b.survey.sum() for b in batches) == 12
        for batch in batches:
            assert not (batch.survey & (batch.hard | (batch.labels == 1))).any()
            stamps = batch.stamps[batch.survey]
            np.testing.assert_array_equal(batch.control[batch.survey], stamps)
            met += [int(np.flatnonzero((galaxies == stamp).all(axis=(1, 2, 3)))[0]) for stamp in stamps]
            sigma = made[1].sets[0].sky_sigma[met[len(met) - len(stamps) :]]
            np.testing.assert_array_equal(batch.sky_sigma[batch.survey], sigma)
            hard.append(batch.hard.sum())
    assert sorted(np.bincount(met, minlength=N)) == [3] * N, "4 epochs of 12 are 3 times 16"
    assert 20 < sum(hard) < 76, "of 160 negatives 48 are hard"


def test_which_pairs_and_galaxies_follows_seed_and_epoch_and_not_memory(tiny, made):
    def signature(number, **options):
        samples = Samples(tiny, "train", 0.3, seed=4, pool=made[1], survey_ratio=0.5, **options)
        rows = [(p, s.tobytes()) for b in samples.epoch(number, 14) for p, s in zip(b.pair_id, b.stamps)]
        return sorted(rows)

    assert signature(1) == signature(1, memory_limit=0, window=10)
    assert signature(1) != signature(2)


def test_without_a_pool_nothing_changes(tiny, made):
    plain = list(Samples(tiny, "train", 0.3, seed=4).epoch(2, 14))
    beside = list(Samples(tiny, "train", 0.3, seed=4, pool=made[1], survey_ratio=0.0).epoch(2, 14))
    for a, b in zip(plain, beside, strict=True):
        np.testing.assert_array_equal(a.stamps, b.stamps)
        assert not b.survey.any()


def test_a_folder_gives_half_and_keeps_one_in_five_for_validation(made, nonlenses):
    train_pool, val_pool = (pool(made[0], split, nonlenses=nonlenses) for split in ("train", "val"))
    real, held = train_pool.sets[1], val_pool.sets[1]
    assert sorted(real.host_ids + held.host_ids) == sorted(f"galaxy-{i}" for i in range(12)) and len(held) >= 1
    drawn = train_pool.drawn(1, 11)
    assert sum(negatives is real for negatives, _ in drawn) == 5
    seen = train_pool.seen()
    assert (
        seen["seeds"] == [SEEDS + 14] and len(seen["pixels"]) == len(real) and train_pool.counts()["real"] == len(real)
    )


def test_a_rate_on_what_was_trained_on_is_refused(made, nonlenses, tmp_path, monkeypatch):
    monkeypatch.setattr(survey_negatives, "MIN_GALAXIES", 3)
    state = {"negatives": pool(made[0], nonlenses=nonlenses).seen()}
    refuse_trained_on(state, seed=7)
    refuse_trained_on({}, seed=SEEDS + 14)
    with pytest.raises(DhsError, match="were trained on"):
        refuse_trained_on(state, seed=SEEDS + 14)
    for i in range(3):  # other names, other folder, the same pixels
        (tmp_path / f"other-{i}.npz").write_bytes(
            npz(**channel_first(seed=[50, 0, 51][i], ra=10.0 + i, host_id=f"o{i}"))
        )
    hosts = open_hosts(HostsConfig(spec=str(tmp_path)), 0)
    trained = any(h == "galaxy-0" for h in state["negatives"]["hosts"])
    assert trained, "galaxy-0 is not kept for validation"
    with pytest.raises(DhsError, match=r"1 of 3 galaxies \(first: o1\) were trained on"):
        refuse_trained_on(state, hosts=hosts)
    served = survey_negatives.FolderNegatives(str(tmp_path), 3, seed=5)  # as an evaluation reads them
    with pytest.raises(DhsError, match=r"1 of 3 galaxies \(first: o1\) were trained on"):
        refuse_trained_on(state, hosts=served)
    (tmp_path / "other-1.npz").unlink()
    refuse_trained_on(state, hosts=open_hosts(HostsConfig(spec=str(tmp_path)), 0))


def test_a_nonlens_that_is_a_test_host_is_refused(tiny):
    hosts = tiny.table("test", columns=["host_id"])["host_id"].to_pylist()
    refuse_hosts({"hosts": ["elsewhere"]}, tiny)
    with pytest.raises(DhsError, match="1 galaxies of nonlenses are hosts"):
        refuse_hosts({"hosts": ["elsewhere", hosts[3]]}, tiny)


def test_mining_keeps_what_is_taken_most_for_lenses_and_some_of_the_rest(made):
    negatives = made[1].sets[0]
    brightness = lambda stamps, _: stamps[:, 1].sum(axis=(1, 2))  # noqa: E731
    scores = brightness(negatives.images(range(N)), None)
    mined = negatives.mined(brightness, 8, seed=1)
    hardest = {negatives.host_ids[i] for i in np.argsort(-scores)[:4]}
    assert len(set(mined.host_ids)) == 8 and hardest < set(mined.host_ids)
    assert (
        mined.host_ids == negatives.mined(brightness, 8, seed=1).host_ids != negatives.mined(brightness, 8, 2).host_ids
    )


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    options = OPTIONS | {"weight_average": 0.9, "label_smoothing": 0.1, "monitor": "auroc_finder"}
    return options, train(tiny.path, tmp_path_factory.mktemp("finder"), epochs=2, **options)


def test_a_run_counts_them_and_chooses_its_epoch_on_its_own(tiny, run):
    history = run[1].history
    assert history["survey_negatives"].tolist() == [20, 20]
    np.testing.assert_allclose(history["auroc_finder"], history[["auroc_survey", "auroc_lookalikes"]].mean(axis=1))
    best = checkpoints.load(run[1].best)
    assert best["epoch"] == history.loc[history["auroc_finder"].idxmax(), "epoch"] == run[1].best_row["epoch"]
    assert best["negatives"]["seeds"] == [survey_seed(20260, s) for s in ("train", "val")]
    config = yaml.safe_load(open(f"{run[1].output_dir}/config.yaml"))["resolved"]["survey_negatives"]
    assert config["an_epoch"] == 20 and sum(config["train"].values()) == N


def test_it_resumes_to_the_bit_with_averaged_weights(tiny, run, tmp_path, monkeypatch):
    options, whole = run
    log = trackers.CsvTracker.log

    def stop(self, row):
        log(self, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trackers.CsvTracker, "log", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tiny.path, tmp_path, epochs=2, **options)
    resumed = train(tiny.path, tmp_path, epochs=2, resume=True, **options)
    same = [c for c in whole.history if not c.endswith(("_s", "seconds"))]
    pd.testing.assert_frame_equal(whole.history[same], resumed.history[same])
    first, second = (checkpoints.load(r.last) for r in (whole, resumed))
    for name in ("model", "trained"):
        for key, value in first[name].items():
            assert torch.equal(value, second[name][key]), (name, key)
    assert any(not torch.equal(v, first["trained"][k]) for k, v in first["model"].items() if "weight" in k)


def test_mined_from_a_checkpoint(tiny, run, tmp_path):
    result = train(tiny.path, tmp_path, epochs=1, mine=run[1].best, mine_factor=2, **OPTIONS)
    assert result.history["survey_negatives"].tolist() == [20]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"survey_negative_ratio": 0.8, "hard_negative_ratio": 0.3}, "must not exceed 1"),
        ({"survey_negative_ratio": 0.5, "n_survey_negatives": 0}, "give n_survey_negatives or nonlenses"),
        ({"nonlenses": "folder"}, "survey_negative_ratio, which is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        train(tiny.path, tmp_path, profile="smoke", **options)
