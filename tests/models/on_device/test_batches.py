"""Samples made on the device mean what those of `dhs train` mean."""

import dataclasses

import numpy as np
import pytest
import torch

from dhs.config import TrainConfig
from dhs.injection.noise import INFINITE_GAIN
from dhs.models.on_device.batches import Batches, generator
from dhs.models.preprocess import Preprocess
from dhs.models.training.augment import Draws, network_input
from dhs.models.training.data import Batch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def noiseless(bank):
    return dataclasses.replace(bank, gain=torch.full_like(bank.gain, INFINITE_GAIN))


def batch_of(bank, chosen):
    """The stamps of some choices as the training loop on a processor gets them."""
    base, light = chosen.base.flatten(), chosen.light.flatten()
    stamps, control = bank.stamps(base, light).numpy(), bank.base.take(base, noisy=True).numpy()
    columns = [bank.theta_e[base].numpy(), bank.psf_fwhm[base].numpy(), bank.sky_sigma[base].numpy()]
    n = len(base)
    label = chosen.label.flatten().numpy()
    return Batch(
        stamps,
        control,
        label,
        base.numpy(),
        light.numpy() >= 0,
        *columns,
        np.arange(n),
        n,
        n,
        base.numpy() >= len(bank),
    )


@pytest.mark.parametrize("options", [{}, {"core_fill": "control"}, {"rotation": "any", "stretch": "clip"}])
def test_input_is_that_of_the_training_loop(noiseless, options):
    config = TrainConfig(batch_size=24, survey_negative_ratio=0.2, **options)
    batches = Batches(noiseless, config, 1)
    chosen = batches.choose(torch.arange(24).view(2, 12), generator(CPU, 1, 1))
    ours = batches.images(chosen, generator(CPU, 1, 2))
    # the shot noise of light with infinite gain takes draws all the same, so the generator stands elsewhere
    after = generator(CPU, 1, 2)
    noiseless.stamps(chosen.base.flatten(), chosen.light.flatten(), after)
    drawn = batches.draws(48, after)
    draws = Draws(*(getattr(drawn, name).numpy() for name in Draws.__dataclass_fields__))
    theirs = network_input(batch_of(noiseless, chosen), draws, config, Preprocess.from_config(config), CPU)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert 0 < draws.dropped.sum() < 48


def test_turns_move_pixels_and_change_none(noiseless):
    options = {"batch_size": 24, "core_dropout_prob": 0.0}
    turned, still = (Batches(noiseless, TrainConfig(**options, augment=a), 1) for a in (True, False))
    chosen = turned.choose(torch.arange(12).view(1, 12), generator(CPU, 1, 1))
    a, b = (x.images(chosen, generator(CPU, 1, 2)) for x in (turned, still))
    assert not torch.equal(a, b)
    torch.testing.assert_close(a.flatten(2).sort().values, b.flatten(2).sort().values, rtol=0, atol=0)


def test_a_dropped_core_is_sky(noiseless):
    config = TrainConfig(batch_size=24, core_dropout_prob=1.0)
    batches = Batches(noiseless, config, 1)
    chosen = batches.choose(torch.arange(12).view(1, 12), generator(CPU, 1, 1))
    images = batches.images(chosen, generator(CPU, 1, 2))
    assert (images[:, :, 29:35, 29:35] == 0).all() and (images[:, :, 0, 0] != 0).all()


def test_an_epoch_meets_each_pair_once_with_a_negative_of_its_own(bank):
    config = TrainConfig(batch_size=8, hard_negative_ratio=0.3, survey_negative_ratio=0.25)
    batches = Batches(bank, config, 5)
    n = batches.n_steps * batches.pairs_a_step
    assert n == len(bank) // 4 * 4
    pairs = torch.arange(n).view(batches.n_steps, 4)
    kinds = []
    for trial in range(60):
        chosen = batches.choose(pairs, generator(CPU, 5, trial))
        positive, negative = chosen.base[:, :4], chosen.base[:, 4:]
        light = chosen.light[:, 4:]
        assert torch.equal(positive, pairs) and torch.equal(chosen.light[:, :4], pairs)
        assert torch.equal(chosen.label[:, :4] == 1, chosen.label[:, 4:] == 0)
        hard, survey = light >= 0, negative >= len(bank)
        assert not (hard & survey).any() and torch.equal(negative[~survey], pairs[~survey])
        own = (light >= bank.hard_first[pairs]) & (light < bank.hard_first[pairs] + bank.hard_count[pairs])
        assert own[hard].all()
        kinds.append((hard.float().mean(), survey.float().mean()))
    hard, survey = np.mean(kinds, axis=0)
    error = 4 * np.sqrt(0.25 / (60 * n))
    assert abs(hard - 0.3) < error + 0.02 and abs(survey - 0.25) < error + 0.02  # the pairs left over have hard ones
    assert batches.hard_share == pytest.approx(0.3)


def test_an_epoch_is_keyed_by_seed_and_epoch(bank):
    batches = Batches(bank, TrainConfig(batch_size=8), 5, stamps_together=24)

    def epoch(number, seed=5):
        made = Batches(bank, TrainConfig(batch_size=8), seed, stamps_together=24)
        images, labels = zip(*made.epoch(number))
        return torch.cat(images), torch.cat(labels)

    first, again = epoch(1), epoch(1)
    assert torch.equal(first[0], again[0]) and first[0].shape == (batches.n_steps, 8, 3, 64, 64)
    for other in (epoch(2), epoch(1, seed=6)):
        assert not torch.equal(first[0], other[0]) and torch.equal(first[1], other[1])


def test_survey_negatives_that_are_not_there_are_missed(plain_bank):
    with pytest.raises(ValueError, match="none in the bank"):
        Batches(plain_bank, TrainConfig(batch_size=8, survey_negative_ratio=0.2), 1)


def test_a_fraction_of_the_hosts_is_that_of_the_training_loop(bank):
    hosts = np.array(bank.scalars["host_id"].to_pylist(), dtype=str)
    batches = Batches(bank, TrainConfig(batch_size=4, train_fraction=0.5), 5)
    rows = batches.rows.numpy()
    assert 0 < len(rows) < len(bank) and not set(hosts[rows]) & set(np.delete(hosts, rows))
    assert len(set(hosts[rows])) == round(0.5 * len(set(hosts)))
    assert batches.n_steps == len(rows) // 2
    _, label = next(batches.epoch(1))
    assert label.numel() <= 4 * batches.n_steps
