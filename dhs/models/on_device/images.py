"""Encoded images on a device, decoded there to the bit, their dither too."""

from __future__ import annotations

import numpy as np
import torch

from dhs.datasets.schema import STAMP_SHAPE
from dhs.encoding import GOLDEN, M1, M2, ROOM, Integers

PIXELS = int(np.prod(STAMP_SHAPE))


class Images:
    """Encoded images on a device: value = (low + 65536 high + zero) * step.

    Parameters
    ----------
    n : int
    device : torch.device
    """

    def __init__(self, n: int, device: torch.device):
        self.low = torch.empty((n, PIXELS), dtype=torch.int16, device=device)  # the bits of unsigned ones
        self.high = torch.empty((n, PIXELS), dtype=torch.uint8, device=device)
        self.zero = torch.empty((n, 3), dtype=torch.int32, device=device)
        self.step = torch.empty((n, 3), dtype=torch.float32, device=device)
        self.key = torch.empty(n, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self.low)

    def put(self, start: int, images: Integers) -> None:
        """Store images from row ``start`` on."""
        rows = slice(start, start + len(images.low))
        self.low[rows].copy_(torch.from_numpy(images.low.view(np.int16).reshape(-1, PIXELS)))
        self.high[rows].copy_(torch.from_numpy(images.high.reshape(-1, PIXELS)))
        self.zero[rows].copy_(torch.from_numpy(images.zero))
        self.step[rows].copy_(torch.from_numpy(images.step))
        self.key[rows].copy_(torch.from_numpy(images.key.view(np.int64)))

    def followed_by(self, more: Images) -> Images:
        """These images and then others."""
        out = Images(0, self.low.device)
        for name in ("low", "high", "zero", "step", "key"):
            setattr(out, name, torch.cat([getattr(self, name), getattr(more, name)]))
        return out

    def take(self, rows: torch.Tensor, noisy: bool = False) -> torch.Tensor:
        """Decoded images of some rows: what `dhs.encoding.decode` gives, to the bit.

        Parameters
        ----------
        rows : Tensor of int64, (n,)
        noisy : bool
            With the dither of images with noise.

        Returns
        -------
        Tensor, (n, 3, 64, 64) float32
        """
        whole = self.low.index_select(0, rows).to(torch.int32) & 0xFFFF
        whole += self.high.index_select(0, rows).to(torch.int32) << 16
        whole = whole.view(-1, STAMP_SHAPE[0], PIXELS // STAMP_SHAPE[0])
        whole += self.zero.index_select(0, rows)[..., None]
        step = self.step.index_select(0, rows).double()[..., None]
        values = (whole.double() * step).float().view(-1, *STAMP_SHAPE)
        return dithered(values, step[..., None], self.key.index_select(0, rows)) if noisy else values


def _signed(value) -> int:
    """64 bits as torch's integers have them."""
    value = int(value)
    return value - 2**64 if value >= 2**63 else value


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64, as in `dhs.encoding`; a shift of torch's keeps the sign, which is masked off."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _signed(M1)
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _signed(M2)
    return x ^ ((x >> 31) & (2**33 - 1))


def dithered(values: torch.Tensor, step: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Values off the lattice of their steps: the dither of `dhs.encoding.decode`.

    Parameters
    ----------
    values : Tensor, (n, 3, side, side) float32
        ``side`` even.
    step : Tensor, (n, 3, 1, 1) float64
    key : Tensor, (n,) int64
    """
    _, bands, side, _ = values.shape
    count = torch.arange(1, bands * side * side // 2 + 1, device=values.device)
    bits = _mixed(key[:, None] + count * _signed(GOLDEN))
    halves = torch.stack([(bits >> 32) & 0xFFFFFFFF, bits & 0xFFFFFFFF], dim=-1).view(values.shape)
    moved = (values.double() + (halves.double() - 2147483647.5) * (step * ROOM / 4294967296.0)).float()
    return torch.where(_flat(values), values, moved)


def _flat(values: torch.Tensor) -> torch.Tensor:
    """Pixels whose neighbours all hold their own value."""
    same = torch.ones_like(values, dtype=torch.bool)
    for axis in (-1, -2):
        side = values.shape[axis]
        equal = values.narrow(axis, 0, side - 1) == values.narrow(axis, 1, side - 1)
        same.narrow(axis, 0, side - 1).logical_and_(equal)
        same.narrow(axis, 1, side - 1).logical_and_(equal)
    return same
