"""torchvision's ResNet-18 (He et al. 2016), from random values or from ImageNet's where its weights are at hand."""

from __future__ import annotations

import hashlib
import io
import logging
import os

import torch
from torch import nn
from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock, ResNet

from dhs import storage
from dhs.config import TrainConfig
from dhs.errors import DhsError
from dhs.models.networks.registry import Network, network

log = logging.getLogger(__name__)

BLOCKS = ("layer1", "layer2", "layer3", "layer4")


@network("resnet18")
class ResNet18(Network, ResNet):
    """ResNet-18 with one logit; its first layer is torchvision's own for 3 channels, for 6 a new one of the same shape.

    Its features are the 512 means over the image.
    """

    fuses = True

    def __init__(self, channels: int = 3):
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=1)
        if channels != 3:
            replace_conv1(self, channels)

    forward = ResNet.forward

    @property
    def body(self) -> nn.Module:
        return nn.Sequential(*list(self.children())[:-1], nn.Flatten())

    @property
    def head(self) -> nn.Linear:
        return self.fc

    def blocks(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean over the image of each of the four stages: 64, 128, 256 and 512 numbers."""
        x, out = self.maxpool(self.relu(self.bn1(self.conv1(x)))), {}
        for name in BLOCKS:
            x = getattr(self, name)(x)
            out[name] = x.mean(dim=(2, 3))
        return out

    @classmethod
    def cached_weights(cls) -> str | None:
        """Path of torchvision's ImageNet weights where they already lie in the torch cache; nothing is fetched."""
        path = os.path.join(torch.hub.get_dir(), "checkpoints", ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1])
        return path if os.path.isfile(path) else None

    def take_pretrained(self, config: TrainConfig) -> str:
        """Take ImageNet's weights, or those of a ``.pth`` file with a ResNet-18 state dict.

        ``auto`` takes torchvision's if they are in the torch cache; six channels take the first layer of three tiled
        and rescaled; ``conv1`` ``replace`` leaves the first layer at random all the same.
        """
        path = {"auto": self.cached_weights(), "never": None}.get(config.pretrained, config.pretrained)
        if path is None:
            if config.pretrained == "auto":
                log.warning(
                    "no ResNet-18 weights in %s: training starts from random ones. Put %s there, give a .pth file as "
                    "pretrained, or set pretrained=never.",
                    os.path.join(torch.hub.get_dir(), "checkpoints"),
                    ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1],
                )
            return "random"
        data, channels = storage.read_bytes(path), self.conv1.in_channels
        state = {k: v for k, v in load_state(data, path).items() if not k.startswith("fc.")}
        if state["conv1.weight"].shape[1] == 3 and channels != 3:
            state["conv1.weight"] = widen(state["conv1.weight"], channels)
        own = self.state_dict()
        if config.conv1 == "replace":
            state["conv1.weight"] = own["conv1.weight"]
        wrong = [k for k, v in own.items() if not k.startswith("fc.") and (k not in state or state[k].shape != v.shape)]
        if wrong:
            raise DhsError(
                f"{path}: not a ResNet-18 state dict ({len(wrong)} tensors missing or of another shape, first "
                f"{wrong[0]!r}). Give torchvision's resnet18 weights, or pretrained=never."
            )
        self.load_state_dict(own | {k: state[k] for k in own if k in state})
        word = f"pretrained: {os.path.basename(path)}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
        return word + (", conv1 random" if config.conv1 == "replace" else "")


def replace_conv1(network: nn.Module, channels: int) -> None:
    """Give a ResNet a new first layer of the same shape, at random values."""
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")


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
