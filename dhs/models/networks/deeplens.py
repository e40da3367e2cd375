"""CMU DeepLens, the residual network of Lanusse et al. (2018, MNRAS 473, 3895, section 3.2).

It was published in a framework that is no longer kept.
"""

from __future__ import annotations

import torch
from torch import nn

from dhs.models.networks.registry import Network, network

WIDTHS = (32, 64, 128, 256, 512)
BLOCKS = 3


class Bottleneck(nn.Module):
    """Pre-activated bottleneck: 1x1 to half the width, 3x3, 1x1 back, added to the input.

    Parameters
    ----------
    channels, width : int
        Channels in and out.
    stride : int
        2 halves the image, in the first 1x1 convolution and in the 1x1 shortcut.
    activated : bool
        The input has gone through normalisation and ELU already.
    """

    def __init__(self, channels: int, width: int, stride: int = 1, activated: bool = False):
        super().__init__()
        inner = width // 2
        self.before = nn.Identity() if activated else nn.Sequential(nn.BatchNorm2d(channels), nn.ELU())
        self.body = nn.Sequential(
            nn.Conv2d(channels, inner, 1, stride, bias=False),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, width, 1),
        )
        self.shortcut = nn.Conv2d(channels, width, 1, stride) if stride != 1 or channels != width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ready = self.before(x)
        return self.body(ready) + (x if self.shortcut is None else self.shortcut(ready))


@network("deeplens")
class DeepLens(Network):
    """CMU DeepLens: a 7x7 convolution to 32 channels, five stages of three bottlenecks (32 to 512 channels, each
    stage but the first halving the image), the mean over the image, one logit. 46 layers, ELU throughout.

    No pooling before the stages, unlike a ResNet: at 64 pixels the first stage sees every pixel.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        first = WIDTHS[0]
        self.conv1 = nn.Conv2d(channels, first, 7, padding=3, bias=False)
        self.start = nn.Sequential(nn.BatchNorm2d(first), nn.ELU())
        blocks, width = [], first
        for stage, out in enumerate(WIDTHS):
            for block in range(BLOCKS):
                blocks.append(Bottleneck(width, out, 2 if stage and not block else 1, activated=not (stage or block)))
                width = out
        self.stages = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(width, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def body(self) -> nn.Module:
        return nn.Sequential(self.conv1, self.start, self.stages, self.pool)

    @property
    def head(self) -> nn.Linear:
        return self.fc
