"""A small residual network for 64-pixel stamps: every pixel is seen before the image is halved.

A ResNet's stem (7x7, stride 2, then pooling) leaves 16 x 16 of a 64-pixel stamp before its first block: an arc one
seeing wide is two samples wide there. Here a 5x5 convolution keeps all 64 x 64, each of three stages halves the
image, and both the mean over the image and its largest response decide: an arc fills few of the places that a mean
is taken over.
"""

from __future__ import annotations

import torch
from torch import nn

from dhs.models.networks.registry import Network, network

STEM = 16
STAGES = ((48, 1), (96, 1), (192, 2))
"""Channels and residual blocks of each stage: most parameters where a convolution is cheapest."""


def _conv(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(width)
    )


class Block(nn.Module):
    """Two 3x3 convolutions added to their input (He et al. 2016); the last one starts at zero, so the sum is a copy.

    Parameters
    ----------
    channels : int
        In and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, channels))
        self.relu = nn.ReLU()
        nn.init.zeros_(self.body[-1][1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(x + self.body(x))


class MeanMax(nn.Module):
    """(n, 2 channels): mean and maximum over the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)


@network("small")
class SmallResNet(Network):
    """5x5 stem of 16 channels at full resolution, three stages of a halving convolution and residual blocks (`STAGES`).

    1.8 million parameters. ``body`` gives (n, 384) features, ``fc`` the logit.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        layers, width = [_conv(channels, STEM, 5), nn.ReLU()], STEM
        for out, blocks in STAGES:
            layers += [_conv(width, out, stride=2), nn.ReLU(), *(Block(out) for _ in range(blocks))]
            width = out
        for module in nn.Sequential(*layers).modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.body = nn.Sequential(*layers, MeanMax())
        self.head = nn.Linear(2 * width, 1)
