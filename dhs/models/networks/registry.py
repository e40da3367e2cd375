"""The networks, each with one logit: ResNet-18 and CMU DeepLens.

torchvision's ResNet-18 (He et al. 2016); the residual network of Lanusse et al. (2018, MNRAS 473, 3895, section 3.2),
which was published in a framework that is no longer kept.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from dhs import storage
from dhs.config import TrainConfig
from dhs.errors import DhsError, UsageError

log = logging.getLogger(__name__)

DEEPLENS_WIDTHS = (32, 64, 128, 256, 512)
DEEPLENS_BLOCKS = 3


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


class DeepLens(nn.Module):
    """CMU DeepLens: a 7x7 convolution to 32 channels, five stages of three bottlenecks (32 to 512 channels, each
    stage but the first halving the image), the mean over the image, one logit. 46 layers, ELU throughout.

    No pooling before the stages, unlike a ResNet: at 64 pixels the first stage sees every pixel.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        first = DEEPLENS_WIDTHS[0]
        self.conv1 = nn.Conv2d(channels, first, 7, padding=3, bias=False)
        self.start = nn.Sequential(nn.BatchNorm2d(first), nn.ELU())
        blocks, width = [], first
        for stage, out in enumerate(DEEPLENS_WIDTHS):
            for block in range(DEEPLENS_BLOCKS):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.stages(self.start(self.conv1(x)))))


def build(channels: int = 3, arch: str = "resnet18") -> nn.Module:
    """A network with ``channels`` input channels and one logit, at its random initialisation.

    ResNet-18's first layer is torchvision's own for 3 channels; for 6 it is a new one of the same shape.
    """
    if arch == "deeplens":
        return DeepLens(channels)
    network = resnet18(weights=None, num_classes=1)
    if channels != 3:
        replace_conv1(network, channels)
    return network


def replace_conv1(network: nn.Module, channels: int) -> None:
    """Give a ResNet a new first layer of the same shape, at random values."""
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")


def freeze_batchnorm(network: nn.Module) -> None:
    """Let every BatchNorm use its running statistics, and leave them, in training too."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def widen(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Tile a first layer's filters over more input channels and rescale them.

    Parameters
    ----------
    weight : Tensor, (filters, k, y, x)
    channels : int
        A multiple of k.

    Returns
    -------
    Tensor, (filters, channels, y, x)
        The layer's answer to an image repeated over the channels is what it was.
    """
    times = channels // weight.shape[1]
    return weight.repeat(1, times, 1, 1) / times


def cached_weights() -> str | None:
    """Path of torchvision's ImageNet weights where they already lie in the torch cache; nothing is fetched."""
    path = os.path.join(torch.hub.get_dir(), "checkpoints", ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1])
    return path if os.path.isfile(path) else None


def make(config: TrainConfig, channels: int, seed: int) -> tuple[nn.Module, str]:
    """The network a run starts from, and a word on where its weights came from.

    Parameters
    ----------
    config : TrainConfig
        ``pretrained`` is ``auto`` (torchvision's weights if they are in the torch cache, else random),
        ``never``, or a ``.pth`` file with a ResNet-18 state dict. ``conv1`` ``replace`` leaves the first layer at
        random all the same. No pretrained weights are known for ``deeplens``.
    channels : int
        3 or 6.
    seed : int
        Of the random initialisation.

    Returns
    -------
    network : torch.nn.Module
    weights : str
        ``random``, or ``pretrained: <file name>, sha256 <first 16 digits>``: written to the run's config.

    Raises
    ------
    DhsError
        The weights file is missing, unreadable, or not of a ResNet-18.
    UsageError
        A weights file for ``deeplens``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(channels, config.arch)
    if config.arch == "deeplens":
        if config.pretrained not in ("auto", "never"):
            raise UsageError(f"pretrained={config.pretrained!r}: no weights fit arch deeplens. Give never.")
        return network, "random"
    path = {"auto": cached_weights(), "never": None}.get(config.pretrained, config.pretrained)
    if path is None:
        if config.pretrained == "auto":
            log.warning(
                "no ResNet-18 weights in %s: training starts from random ones. Put %s there, give a .pth file as "
                "pretrained, or set pretrained=never.",
                os.path.join(torch.hub.get_dir(), "checkpoints"),
                ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1],
            )
        return network, "random"
    data = storage.read_bytes(path)
    state = load_state(data, path)
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    if state["conv1.weight"].shape[1] == 3 and channels != 3:
        state["conv1.weight"] = widen(state["conv1.weight"], channels)
    own = network.state_dict()
    if config.conv1 == "replace":
        state["conv1.weight"] = own["conv1.weight"]
    wrong = [k for k, v in own.items() if not k.startswith("fc.") and (k not in state or state[k].shape != v.shape)]
    if wrong:
        raise DhsError(
            f"{path}: not a ResNet-18 state dict ({len(wrong)} tensors missing or of another shape, first "
            f"{wrong[0]!r}). Give torchvision's resnet18 weights, or pretrained=never."
        )
    network.load_state_dict(own | {k: state[k] for k in own if k in state})
    word = f"pretrained: {os.path.basename(path)}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
    return network, word + (", conv1 random" if config.conv1 == "replace" else "")


def load_state(data: bytes, path: str) -> dict:
    """A state dict from a ``.pth`` file, or the ``model`` of a dhs checkpoint; no code in the file is run."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike for a bad file
        raise DhsError(f"{path}: not a readable weights file ({type(error).__name__}). Give another.") from None
    state = state.get("model", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or "conv1.weight" not in state:
        raise DhsError(f"{path}: holds no ResNet-18 state dict. Give torchvision's resnet18 weights.")
    return state
