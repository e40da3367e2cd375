"""How a run steps and what it keeps: the learning rate of a step, and the weights averaged over steps."""

from __future__ import annotations

import math

import torch
from torch.optim.swa_utils import AveragedModel


def lr_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine down to 0 at ``steps``."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


def averaged(network: torch.nn.Module, decay: float) -> AveragedModel | None:
    """Exponential moving average of a network's weights and running statistics; None for decay 0.

    The first steps count for more, so that the random weights a run starts from are soon forgotten.
    """

    def lerp(mean: torch.Tensor, value: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return (
            torch.lerp(mean, value, 1 - min(decay, (1 + int(n)) / (10 + int(n)))) if mean.is_floating_point() else value
        )

    return AveragedModel(network, avg_fn=lerp, use_buffers=True).eval() if decay else None
