"""What the processor does another way gives what torch gives."""

import numpy as np
import pytest
import torch

from dhs.models import cpu_inference
from dhs.models.preprocess import Preprocess


@pytest.fixture
def stamps():
    return torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n", [1, 2, 9, 1100])
def test_median_is_numpy_s_and_kthvalue_s_to_the_bit(n):
    values = torch.randn(40, 3, n, generator=torch.Generator().manual_seed(n))
    values[3, 1, : n // 2] = values[3, 1, 0]  # ties
    ours, with_gradient = cpu_inference.median(values), cpu_inference.median(values.clone().requires_grad_())
    assert with_gradient.requires_grad and torch.equal(ours, with_gradient)
    np.testing.assert_array_equal(ours, np.median(values, axis=-1))


def test_asinh_is_torch_s_but_for_the_last_bits():
    values = torch.cat([torch.linspace(-300, 300, 200_001), torch.logspace(-30, 6, 999), torch.zeros(3)]).view(3, -1)
    torch.testing.assert_close(cpu_inference.asinh(values), torch.asinh(values), rtol=5e-7, atol=0)
    assert cpu_inference.asinh(values.clone().requires_grad_()).requires_grad


def test_sorting_in_groups_is_a_lexsort():
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(6, 3, 9000, generator=generator)
    values[0, 0, :7] = torch.tensor([0.0, -0.0, 1e-42, -1e-42, 3e38, -3e38, 1.0])
    group = torch.randint(0, 50, values.shape, generator=generator)
    ours = cpu_inference.sorted_in_groups(values, group)
    for i in range(6):
        for band in range(3):
            order = np.lexsort((values[i, band], group[i, band]))
            np.testing.assert_array_equal(ours[i, band], values[i, band].numpy()[order])
    torch.testing.assert_close(cpu_inference.sorted_in_groups(values.requires_grad_(), group), ours, rtol=0, atol=0)
    wide = values.detach().double()
    torch.testing.assert_close(cpu_inference.sorted_in_groups(wide, group).float(), ours, rtol=0, atol=0)


@pytest.mark.parametrize("channels", ["raw", "raw+residual"])
@pytest.mark.parametrize("residual", ["azimuthal", "elliptical"])
def test_network_input_is_the_same_either_way(stamps, channels, residual):
    preprocess = Preprocess(channels, residual=residual, sigma_floor=0.5)
    sigma = torch.full((16, 3), 1.5)
    other = preprocess(stamps.clone().requires_grad_(), 4.0, None, sigma)
    torch.testing.assert_close(preprocess(stamps, 4.0, None, sigma), other.detach(), rtol=1e-6, atol=1e-6)
