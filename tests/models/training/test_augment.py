import numpy as np
import pytest
import torch

from dhs.config import TrainConfig
from dhs.models.preprocess import Preprocess, normalise
from dhs.models.residuals import radius_map
from dhs.models.training.augment import Draws, network_input
from dhs.models.training.data import Samples

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def batch(tiny):
    (batch,) = Samples(tiny, "train", 1.0).epoch(1, 80)
    return batch


def made(batch, seed=1, step=0, **options):
    config = TrainConfig(**options)
    draws = Draws.of(config, seed, 1, step, batch.n_slots).take(batch.slot)
    return network_input(batch, draws, config, Preprocess.from_config(config), CPU), draws


def test_draws_are_keyed_by_seed_epoch_and_step():
    def signature(*key):
        return Draws.of(TrainConfig(), *key, 50).turns.tolist()

    assert signature(1, 2, 3) == signature(1, 2, 3)
    assert len({tuple(signature(*key)) for key in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4))}) == 4


def test_augmentation_meets_all_eight_and_moves_no_value(batch):
    plain, _ = made(batch, augment=False, core_dropout_prob=0.0)
    seen = set()
    for step in range(12):
        turned, draws = made(batch, step=step, core_dropout_prob=0.0)
        seen |= set(zip(draws.turns.tolist(), draws.flip_x.tolist()))
        for values in (turned, plain):
            assert values.shape == (80, 3, 64, 64)
        torch.testing.assert_close(turned.flatten(1).sort().values, plain.flatten(1).sort().values, rtol=0, atol=0)
    assert len(seen) == 8


def test_any_rotation_empties_corners_and_quarter_turns_do_not(batch):
    turned, draws = made(batch, rotation="any", core_dropout_prob=0.0)
    askew = torch.from_numpy(np.abs(np.abs(draws.degrees) % 90 - 45) < 20)
    assert (turned[askew][..., 0, 0] == 0).all()
    assert (made(batch, core_dropout_prob=0.0)[0][..., 0, 0] != 0).all()


def test_dropout_has_its_rate_and_its_fill(batch):
    core = radius_map(64) < 5
    options = {"augment": False, "core_dropout_prob": 0.5, "sigma_floor": 0.0}
    plain, _ = made(batch, augment=False, core_dropout_prob=0.0, sigma_floor=0.0)
    sky, draws = made(batch, **options)
    dropped = torch.from_numpy(draws.dropped)
    assert 0.3 < dropped.float().mean() < 0.7
    assert (sky[dropped][..., core] == 0).all() and torch.equal(sky[~dropped], plain[~dropped])

    noise, _ = made(batch, core_fill="noise", stretch="clip", asinh_softening=1.0, **options)
    filled = noise[dropped][..., core]
    assert abs(float(filled.std()) - 1) < 0.02 and abs(float(filled.mean())) < 0.02
    torch.testing.assert_close(
        noise[..., ~core], made(batch, stretch="clip", asinh_softening=1.0, **options)[0][..., ~core]
    )

    control, _ = made(batch, core_fill="control", stretch="clip", asinh_softening=1.0, **options)
    is_control = torch.from_numpy((batch.labels == 0) & ~batch.hard)
    whole, _ = made(batch, augment=False, core_dropout_prob=0.0, sigma_floor=0.0, stretch="clip", asinh_softening=1.0)
    assert torch.equal(control[is_control], whole[is_control]), "a control's core is its own"
    lens = torch.from_numpy(batch.labels == 1) & dropped
    stamps, own = torch.from_numpy(batch.stamps)[lens], torch.from_numpy(batch.control)[lens]
    expected = normalise(torch.where(core, own, stamps), (26.0, 32.0)).clamp(-10, 100)
    torch.testing.assert_close(control[lens], expected)


def test_scaled_dropout_has_a_radius_of_its_own_for_each_pair(batch):
    images, draws = made(
        batch, core_dropout="scaled", core_dropout_prob=0.999, augment=False, core_dropout_radius_px=20
    )
    for i in np.flatnonzero(draws.dropped)[:10]:
        radius = (batch.theta_e[i] - 0.6) / 0.262
        hidden = (images[i, 1] == 0).numpy()
        np.testing.assert_array_equal(hidden, radius_map(64).numpy() < radius)
