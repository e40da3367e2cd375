"""Parts of a batch side by side give what the whole batch gives, whatever threads there are."""

import numpy as np
import pytest
import torch

from dhs.config import load_profile
from dhs.models.networks import registry
from dhs.models.training.trainer import Trainer

OPTIONS = {"precision": "float32", "batch_size": 20, "pretrained": "never"}


def stepped(tiny, folder, steps=3, **options):
    """A trainer after some steps, and what they left."""
    profile = load_profile("smoke", **{f"train__{k}": v for k, v in (OPTIONS | options).items()})
    trainer = Trainer(tiny, str(folder), profile)
    trainer.network.train()
    if trainer.config.freeze_batchnorm:
        registry.freeze_batchnorm(trainer.network)
    for batch, _ in zip(trainer.samples.epoch(1, 20), range(steps)):
        trainer.step(batch, 1)
    return trainer


@pytest.mark.parametrize("lanes", [2, 3])
def test_parts_are_the_batch_where_no_statistics_are_taken_over_it(tiny, tmp_path, lanes):
    # a small rate: Adam's first step is the sign of the gradient, whose rounding decides where it is nearly none
    whole = stepped(tiny, tmp_path, lanes=1, freeze_batchnorm=True, lr=1e-6)
    parts = stepped(tiny, tmp_path, lanes=lanes, freeze_batchnorm=True, lr=1e-6)
    for mine, theirs in zip(parts.network.parameters(), whole.network.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=2e-2, atol=2e-4)
        assert mine.grad.stride() == mine.stride(), "a fused optimiser reads both as they lie in memory"
    for mine, theirs in zip(parts.progress.logits, whole.progress.logits):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    assert parts.progress.loss == pytest.approx(whole.progress.loss, rel=1e-4)


def test_every_part_sees_the_weights_of_the_last_step(tiny, tmp_path):
    trainer = stepped(tiny, tmp_path, lanes=2)
    network, twin = trainer.lanes.networks
    assert network is trainer.network
    for mine, theirs in zip(twin.parameters(), network.parameters()):
        assert mine.data_ptr() == theirs.data_ptr()


def test_running_statistics_are_the_mean_over_the_parts(tiny, tmp_path):
    trainer = stepped(tiny, tmp_path, lanes=2, steps=1)
    profile = load_profile("smoke", **{f"train__{k}": v for k, v in OPTIONS.items()})
    alone = [Trainer(tiny, str(tmp_path), profile.replace(train__lanes=1)) for _ in range(2)]
    batch = next(iter(alone[0].samples.epoch(1, 20)))
    means = []
    for k, one in enumerate(alone):
        one.network.train()
        one.step(batch.take(np.flatnonzero(batch.slot % (batch.n_slots // 2) % 2 == k)), 1)
        means.append(one.network.bn1.running_mean)
    torch.testing.assert_close(trainer.network.bn1.running_mean, sum(means) / 2)
    assert not torch.allclose(*means)


def test_parts_give_the_same_bytes_with_any_number_of_threads(tiny, tmp_path):
    before = torch.get_num_threads()
    weights = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights.append(stepped(tiny, tmp_path, lanes=2).network.state_dict())
    finally:
        torch.set_num_threads(before)
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
