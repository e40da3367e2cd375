"""What is done another way on a processor: sorting and transcendental functions by numpy, a fused network."""

from __future__ import annotations

import ctypes
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch

STAMPS_KEPT = 500  # scored between two times that memory is given back


def plain(values: torch.Tensor) -> bool:
    """Whether numpy may take over: on the CPU, and no gradient is asked for."""
    return values.device.type == "cpu" and not (torch.is_grad_enabled() and values.requires_grad)


def by_rows(function: Callable[[np.ndarray], np.ndarray], values: torch.Tensor) -> torch.Tensor:
    """A numpy function of the last axis, in this thread: others would wait for torch's, which spin between its calls.

    Parameters
    ----------
    function : callable
        (rows, n) to (rows, m).
    values : Tensor, (..., n)
        See `plain`.

    Returns
    -------
    Tensor, (..., m)
    """
    out = function(values.detach().numpy().reshape(-1, values.shape[-1]))
    return torch.from_numpy(out).view(*values.shape[:-1], out.shape[-1])


def median(values: torch.Tensor) -> torch.Tensor:
    """Median over the last axis, the mean of the middle two where their number is even.

    numpy sorts whole rows with vector instructions in less time than torch takes to select from them.
    """
    n = values.shape[-1]
    middle = ((n - 1) // 2, n // 2)
    if plain(values):
        low, high = by_rows(lambda rows: np.sort(rows, axis=-1)[:, middle], values).unbind(-1)
    else:
        found = {k: values.kthvalue(k + 1, dim=-1).values for k in {*middle}}
        low, high = (found[k] for k in middle)
    return low if n % 2 else 0.5 * (low + high)


def sorted_in_groups(values: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Values of the last axis in the order of their group, and by value within it.

    Parameters
    ----------
    values : Tensor, (..., n) float
    group : Tensor, (..., n) int64
        0 or more.
    """
    if plain(values) and values.dtype == torch.float32:
        # float32 bits, made to sort as integers do: all flipped where negative, the sign's alone elsewhere
        bits = (values.contiguous() + 0.0).view(torch.int32).to(torch.int64) & 0xFFFFFFFF
        bits = torch.where(bits >= 2**31, bits ^ 0xFFFFFFFF, bits | 2**31)
        bits = by_rows(lambda rows: np.sort(rows, axis=-1), (group << 32) | bits) & 0xFFFFFFFF
        bits = torch.where(bits >= 2**31, bits & 0x7FFFFFFF, bits ^ 0xFFFFFFFF)
        return bits.to(torch.uint32).view(torch.float32)
    by_value = values.argsort(dim=-1)
    by_group = group.gather(-1, by_value).argsort(dim=-1, stable=True)
    return values.gather(-1, by_value.gather(-1, by_group))


def asinh(values: torch.Tensor) -> torch.Tensor:
    """Inverse hyperbolic sine; numpy's and torch's differ in the last bit or two."""
    return by_rows(np.arcsinh, values) if plain(values) else torch.asinh(values)


_kept = Counter()


def give_back(stamps: int) -> None:
    """Hand freed memory back to the system now and then, where the C library is glibc.

    It keeps what lies between small arrays that live on, and a process that scores for long grows by some kilobytes a
    stamp.

    Parameters
    ----------
    stamps : int
        Scored since the last call.
    """
    _kept["stamps"] += stamps
    if _kept["stamps"] >= STAMPS_KEPT:
        _kept["stamps"] = 0
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


class Fused(torch.nn.Module):
    """A trained network for inference: BatchNorm folded into the convolutions, layers in oneDNN's own layout.

    What it gives is the network's to rounding, in four fifths of the time.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, float32; left as it is. Of convolutions, linear layers, ReLU, pooling and sums alone.
    """

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        with warnings.catch_warnings():
            # torch's own use of torch.jit, which it has deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            from torch.fx.experimental.optimization import fuse
            from torch.utils.mkldnn import to_mkldnn

            self.body = to_mkldnn(fuse(network))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images.to_mkldnn()).to_dense()
