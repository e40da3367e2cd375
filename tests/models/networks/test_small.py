import torch

from dhs.config import TrainConfig
from dhs.models.networks import registry
from dhs.models.networks.small import MeanMax, SmallResNet


def test_it_is_small_and_sees_every_pixel_before_it_halves_the_image():
    network = registry.build(3, "small")
    assert isinstance(network, SmallResNet) and 1e6 < sum(p.numel() for p in network.parameters()) < 2e6
    assert network.body[0][0].stride == (1, 1)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
    assert registry.make(TrainConfig(arch="small"), 6, seed=0)[0](torch.zeros(2, 6, 64, 64)).shape == (2, 1)


def test_one_bright_place_reaches_the_features_as_a_maximum():
    image = torch.zeros(1, 2, 8, 8)
    image[0, 1, 3, 5] = 64.0
    torch.testing.assert_close(MeanMax()(image), torch.tensor([[0.0, 1.0, 0.0, 64.0]]))


def test_blocks_start_as_copies():
    """A residual block whose last normalisation is zero passes on what it gets (Goyal et al. 2017)."""
    network = registry.build(3, "small").eval()
    x = torch.rand(1, 48, 8, 8)
    torch.testing.assert_close(network.body[4](x), x)
