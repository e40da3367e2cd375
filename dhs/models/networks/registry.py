"""What a network is, and how one is built by name; one network a module of this folder."""

from __future__ import annotations

import torch
from torch import nn

from dhs.config import TrainConfig
from dhs.errors import UsageError
from dhs.registry import Registry


class Network(nn.Module):
    """A network with one logit: the contract, and what is true of most.

    Register a class with ``@network("name")`` in a module of `dhs.models.networks`, or in one that another package
    names under the entry-point group ``dhs.networks``; ``arch`` of the training configuration is then its name. Set
    ``self.body`` and ``self.head`` in ``__init__``, or give them as properties.

    Parameters
    ----------
    channels : int
        Of the input: 3, or 6 with residual images. Its weights are drawn from torch's generator, which is seeded.

    Attributes
    ----------
    body : torch.nn.Module
        (n, channels, 64, 64) to (n, k) features; shares its weights with the network.
    head : torch.nn.Linear
        (n, k) to (n, 1): the logit.
    fuses : bool
        ``body`` is made of convolutions, linear layers, ReLU, pooling and sums alone, so `dhs.models.cpu_inference`
        may fold it.
    """

    fuses: bool = False
    body: nn.Module
    head: nn.Linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))

    def blocks(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features at several depths, (n, channels) each, for the Fréchet distances; none by default."""
        return {}

    @classmethod
    def cached_weights(cls) -> str | None:
        """Path of pretrained weights that lie on this machine; nothing is fetched."""
        return None

    def take_pretrained(self, config: TrainConfig) -> str:
        """Replace random weights by pretrained ones as ``config.pretrained`` asks.

        Returns
        -------
        str
            ``random``, or ``pretrained: <file name>, sha256 <first 16 digits>``: written to the run's config.

        Raises
        ------
        UsageError
            Weights are asked for, and none fit.
        DhsError
            The weights file is missing, unreadable, or of another network.
        """
        if config.pretrained not in ("auto", "never"):
            raise UsageError(f"pretrained={config.pretrained!r}: no weights fit arch {config.arch}. Give never.")
        return "random"


network = Registry("network", "dhs.networks", "dhs.models.networks")
"""Register a `Network`."""


def build(channels: int = 3, arch: str = "resnet18") -> Network:
    """A network with ``channels`` input channels and one logit, at its random initialisation.

    Raises
    ------
    UsageError
        No network of that name.
    """
    return network[arch](channels)


def freeze_batchnorm(network: nn.Module) -> None:
    """Let every BatchNorm use its running statistics, and leave them, in training too."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def make(config: TrainConfig, channels: int, seed: int) -> tuple[Network, str]:
    """The network a run starts from, and a word on where its weights came from (`Network.take_pretrained`).

    Parameters
    ----------
    config : TrainConfig
    channels : int
        3 or 6.
    seed : int
        Of the random initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(channels, config.arch)
    return made, made.take_pretrained(config)
