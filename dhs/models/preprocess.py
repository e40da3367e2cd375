"""From nanomaggies to network input, the same way for positives, controls and real images.

Everything works on batches (n, bands, y, x) on any device and uses the stamp alone. The order is fixed: sky
statistics, normalisation, core mask, residual, stretch; so a masked core leaves nothing behind in any channel.
The centre of a stamp of side n lies at ((n - 1) / 2, (n - 1) / 2), the middle of the central four pixels of 64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dhs.config import TrainConfig
from dhs.errors import UsageError

MAD_TO_SIGMA = 1.4826
CLIP_SIGMAS = (-10.0, 100.0)


def radius_map(side: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(side, side) distance of every pixel from the stamp's centre, pixels."""
    offset = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
    return torch.hypot(offset[:, None], offset[None, :])


def _median(values: torch.Tensor) -> torch.Tensor:
    """Median over the last axis, the mean of the middle two where their number is even."""
    ordered = values.sort(dim=-1).values
    n = values.shape[-1]
    return 0.5 * (ordered[..., (n - 1) // 2] + ordered[..., n // 2])


def sky_statistics(stamps: torch.Tensor, annulus_px: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sky level and noise of every stamp and band from an outer annulus.

    Parameters
    ----------
    stamps : Tensor, (n, bands, y, x)
        Nanomaggies.
    annulus_px : (float, float)
        Inner (included) and outer (excluded) radius, pixels.

    Returns
    -------
    level, sigma : Tensor, (n, bands)
        Median and 1.4826 MAD, nanomaggies; sigma is 0 where more than half of the annulus holds one value.

    Raises
    ------
    UsageError
        The annulus has no pixel on a stamp of this size.
    """
    radius = radius_map(stamps.shape[-1], stamps.device)
    inside = ((radius >= annulus_px[0]) & (radius < annulus_px[1])).flatten().nonzero()[:, 0]
    if len(inside) == 0:
        raise UsageError(
            f"annulus_px {tuple(annulus_px)} holds no pixel of a stamp {stamps.shape[-1]} pixels wide: "
            "give an inner radius below its half width"
        )
    sky = stamps.flatten(-2)[..., inside]
    level = _median(sky)
    return level, MAD_TO_SIGMA * _median((sky - level[..., None]).abs())


def normalise(stamps: torch.Tensor, annulus_px: tuple[float, float]) -> torch.Tensor:
    """(stamp - sky level) / sky sigma, per sample and band.

    A band whose sky sigma is 0 (an empty or constant band) carries no scale and becomes 0 throughout, so no
    NaN reaches the network; the preflight gate on normalisation counts such bands.
    """
    level, sigma = sky_statistics(stamps, annulus_px)
    scale = torch.where(sigma > 0, 1 / sigma.clamp_min(torch.finfo(stamps.dtype).tiny), 0.0)
    return (stamps - level[..., None, None]) * scale[..., None, None]


def core_mask(images: torch.Tensor, radius_px: float, which: torch.Tensor | None = None) -> torch.Tensor:
    """Fill the central disc r < ``radius_px`` with the sky level, which is 0 in normalised units.

    Parameters
    ----------
    images : Tensor, (n, bands, y, x)
        Normalised, in sky sigmas.
    radius_px : float
    which : Tensor of bool, (n,), optional
        Samples to mask; all by default.
    """
    hidden = radius_map(images.shape[-1], images.device) < radius_px
    if which is not None:
        hidden = hidden & which[:, None, None, None]
    return images.masked_fill(hidden, 0.0)


def residual(images: torch.Tensor) -> torch.Tensor:
    """Images minus the azimuthal median of each ring one pixel wide, per sample and band.

    Same shape and units as ``images``. What a host's round light puts in every ring is gone; an arc, which
    fills a part of its rings, stays. A ring an arc fills by more than half is lost with it.
    """
    ring = radius_map(images.shape[-1], images.device).long().flatten()
    flat = images.flatten(-2)
    out = torch.empty_like(flat)
    for index in range(int(ring.max()) + 1):
        pixels = (ring == index).nonzero()[:, 0]
        values = flat[..., pixels]
        out[..., pixels] = values - _median(values)[..., None]
    return out.view_as(images)


def dihedral(images: torch.Tensor, turns: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Turn each image by quarter turns and mirror it: no pixel is interpolated, no corner filled.

    Parameters
    ----------
    images : Tensor, (n, bands, side, side)
    turns : Tensor of int, (n,)
        Quarter turns, 0 to 3, counter-clockwise on the array drawn with y upwards.
    flips : Tensor of bool, (n,)
        Mirror x after the turn.
    """
    out = torch.empty_like(images)
    for turn in range(4):
        for flip in (False, True):
            chosen = (turns == turn) & (flips == flip)
            part = torch.rot90(images[chosen], -turn, (-2, -1))
            out[chosen] = part.flip(-1) if flip else part
    return out


@dataclass(frozen=True)
class Preprocess:
    """What stands between a stamp and a network; built from a `TrainConfig` and stored with its checkpoint.

    Attributes
    ----------
    channels : {"raw", "raw+residual"}
    annulus_px : (float, float)
    stretch : {"asinh", "clip"}
        ``asinh(x / softening)``, or a hard clip to -10 .. 100 sky sigmas divided by the softening.
    asinh_softening : float
        Sky sigmas.
    """

    channels: str = "raw"
    annulus_px: tuple[float, float] = (26.0, 32.0)
    stretch: str = "asinh"
    asinh_softening: float = 3.0

    @classmethod
    def from_config(cls, config: TrainConfig) -> Preprocess:
        return cls(config.channels, tuple(config.annulus_px), config.stretch, config.asinh_softening)

    @property
    def n_channels(self) -> int:
        return 6 if self.channels == "raw+residual" else 3

    def __call__(
        self, stamps: torch.Tensor, core_mask_px: float | None = None, which: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Network input of a batch.

        Parameters
        ----------
        stamps : Tensor, (n, 3, 64, 64) float32
            Nanomaggies.
        core_mask_px : float, optional
            Radius of the central disc to fill with sky.
        which : Tensor of bool, (n,), optional
            Samples the mask applies to; all by default.

        Returns
        -------
        Tensor, (n, 3 or 6, 64, 64) float32
            Raw channels g, r, z, then residual channels g, r, z.
        """
        images = normalise(stamps, self.annulus_px)
        if core_mask_px:
            images = core_mask(images, core_mask_px, which)
        if self.channels == "raw+residual":
            images = torch.cat([images, residual(images)], dim=1)
        if self.stretch == "clip":
            return images.clamp(*CLIP_SIGMAS) / self.asinh_softening
        return torch.asinh(images / self.asinh_softening)


def augment(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random quarter turns and flips, one of the eight per sample."""
    turns = torch.from_numpy(rng.integers(0, 4, len(images))).to(images.device)
    flips = torch.from_numpy(rng.integers(0, 2, len(images)).astype(bool)).to(images.device)
    return dihedral(images, turns, flips)
