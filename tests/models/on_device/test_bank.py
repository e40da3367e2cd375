"""What lies on the device is what is stored, to the bit; its shot noise is Poisson's."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from synthetic import write_synthetic_pairs

from dhs.datasets import survey_negatives
from dhs.encoding import decode, encode, integers
from dhs.errors import DhsError
from dhs.injection.noise import INFINITE_GAIN
from dhs.models.decode import read_parts
from dhs.models.on_device.bank import load, shot_noise
from dhs.models.on_device.images import Images

CPU = torch.device("cpu")


def test_images_are_those_of_the_reader_to_the_bit(small, bank):
    parts = list(read_parts(small, "train"))
    control, arc = (np.concatenate([getattr(p, name) for p in parts]) for name in ("control", "arc"))
    n = len(bank)
    assert n == len(control) and np.array_equal(bank.base.take(torch.arange(n), noisy=True).numpy(), control)
    assert np.array_equal(bank.light.take(torch.arange(n)).numpy(), arc)
    off = bank.base.take(torch.arange(n)) - torch.from_numpy(control)
    reach = 0.5 * bank.base.step[:n, :, None, None] + 1e-6 * torch.from_numpy(control).abs()
    assert 0.9 < (off != 0).float().mean() and (off.abs() <= reach).all()
    np.testing.assert_array_equal(bank.sky_sigma[:n].numpy(), np.concatenate([p.sky_sigma for p in parts]))


def test_hard_negatives_belong_to_their_pairs(small, bank):
    row = 0
    for part in read_parts(small, "train"):
        for of in part.hard_of:
            first, count = int(bank.hard_first[row]), int(bank.hard_count[row])
            assert count == len(of)
            got = bank.light.take(torch.arange(first, first + count)).numpy()
            assert np.array_equal(got, part.hard_light[of])
            row += 1
    assert row == len(bank) and int(bank.hard_count.sum()) == len(bank.light) - len(bank) > 0


def test_survey_negatives_follow_the_controls(small, plain_bank, bank):
    stored = survey_negatives.read(small.path, 77, (0, 12))
    n = len(plain_bank)
    assert bank.n_survey == 12 and plain_bank.n_survey == 0
    assert np.array_equal(bank.base.take(torch.arange(n, n + 12), noisy=True).numpy(), stored["images"])
    assert np.array_equal(bank.sky_sigma[n:].numpy(), stored["sky_sigma"])
    assert torch.equal(bank.base.take(torch.arange(n)), plain_bank.base.take(torch.arange(n)))


def test_a_stamp_is_base_and_light_and_their_noise(bank):
    rows, light = torch.tensor([3, 3, 5, len(bank) + 1]), torch.tensor([3, -1, int(bank.hard_first[5]), -1])
    plain = bank.stamps(rows, light)
    expected = (
        bank.base.take(rows, noisy=True) + bank.light.take(light.clamp_min(0)) * (light >= 0)[:, None, None, None]
    )
    assert torch.equal(plain, expected) and torch.equal(plain[1], bank.base.take(rows, noisy=True)[1])
    noisy = bank.stamps(rows, light, torch.Generator().manual_seed(1))
    assert torch.equal(noisy[[1, 3]], plain[[1, 3]])  # nothing was added, so nothing is noisy
    lit = bank.light.take(torch.tensor([3]))[0] > 0
    assert (noisy[0] != plain[0])[lit].any() and torch.equal(noisy[0][~lit], plain[0][~lit])


@pytest.mark.parametrize("electrons", [0.3, 4.0, 900.0])
def test_shot_noise_has_the_moments_of_photons(electrons):
    gain = torch.tensor([[200.0, 50.0, INFINITE_GAIN]])
    light = torch.tensor([electrons / 200, electrons / 50, 1.0])[None, :, None, None].expand(1, 3, 300, 300).clone()
    light[..., 0] = -0.01
    noise = shot_noise(light, gain, torch.Generator().manual_seed(3))
    assert (noise[..., 0] == 0).all() and (noise[:, 2] == 0).all()
    for band, per_nmgy in ((0, 200.0), (1, 50.0)):
        counted = noise[0, band, :, 1:].double().numpy().ravel() * per_nmgy + electrons
        n = counted.size
        assert abs(counted.mean() - electrons) < 5 * np.sqrt(electrons / n)
        assert abs(counted.var() / electrons - 1) < 5 * np.sqrt((2 + 1 / electrons) / n)
        assert abs(stats.skew(counted) - electrons**-0.5) < 5 * np.sqrt(6 / n) * (1 + 3 * electrons**-0.5)


def test_a_patch_without_noise_stays_as_it_is():
    image = np.random.default_rng(3).normal(0, 0.01, (3, 64, 64)).astype(np.float32)
    image[:, 10:20, 5:9] = 0.25
    image[1, :, 63] = 0.5
    blobs = pa.array([encode(image, [0.001] * 3)])
    held = Images(1, CPU)
    held.put(0, integers(blobs))
    got = held.take(torch.tensor([0]), noisy=True).numpy()
    assert np.array_equal(got, decode(blobs, dither=True))
    assert (got[0, 0, 11:19, 6:8] == got[0, 0, 12, 6]).all() and len(np.unique(got[0, 0, 10:20, 5])) > 1


def test_what_can_not_be_held_is_refused(tmp_path):
    tensors = write_synthetic_pairs(tmp_path / "tensors", {"train": 4})
    with pytest.raises(DhsError, match="not stored encoded"):
        load(tensors, "train", CPU)
    with pytest.raises(DhsError, match="split 'val' has no pair"):
        load(tensors, "val", CPU)
