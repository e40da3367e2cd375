"""A network of two layers."""

from torch import nn

from dhs.models.networks.registry import Network, network


@network("tiny")
class Tiny(Network):
    """Eight features of one 7x7 convolution, averaged over the image."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 1)
