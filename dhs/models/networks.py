"""The network: torchvision's ResNet-18 (He et al. 2016) with one logit."""

from __future__ import annotations

import hashlib
import io
import os

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from dhs import storage
from dhs.config import TrainConfig
from dhs.errors import DhsError


def build(channels: int = 3) -> nn.Module:
    """ResNet-18 with ``channels`` input channels and one logit, at torchvision's random initialisation.

    The first layer is torchvision's own for 3 channels; for 6 it is a new one of the same shape.
    """
    network = resnet18(weights=None, num_classes=1)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


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
        ``never``, or a ``.pth`` file with a ResNet-18 state dict.
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
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(channels)
    path = {"auto": cached_weights(), "never": None}.get(config.pretrained, config.pretrained)
    if path is None:
        return network, "random"
    data = storage.read_bytes(path)
    state = load_state(data, path)
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    if state["conv1.weight"].shape[1] == 3 and channels != 3:
        state["conv1.weight"] = widen(state["conv1.weight"], channels)
    own = network.state_dict()
    wrong = [k for k, v in own.items() if not k.startswith("fc.") and (k not in state or state[k].shape != v.shape)]
    if wrong:
        raise DhsError(
            f"{path}: not a ResNet-18 state dict ({len(wrong)} tensors missing or of another shape, first "
            f"{wrong[0]!r}). Give torchvision's resnet18 weights, or pretrained=never."
        )
    network.load_state_dict(own | {k: state[k] for k in own if k in state})
    return network, f"pretrained: {os.path.basename(path)}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


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
