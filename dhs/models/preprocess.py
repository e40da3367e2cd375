"""From nanomaggies to network input, the same way for positives, controls and real images.

Everything works on batches (n, bands, y, x) on any device and uses the stamp alone. The order is fixed: sky
statistics, normalisation, core mask, residual, stretch; so a masked core leaves nothing behind in any channel.
The centre of a stamp of side n lies at ((n - 1) / 2, (n - 1) / 2), the middle of the central four pixels of 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from dhs.config import TrainConfig
from dhs.errors import UsageError
from dhs.models.cpu_inference import asinh, median
from dhs.models.residuals import azimuthal_residual, elliptical_residual, radius_map
from dhs.stats.pixels import MAD_TO_SIGMA
from dhs.survey.facts import PIXEL_SCALE

CLIP_SIGMAS = (-10.0, 100.0)


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
    inside = _annulus(stamps.shape[-1], tuple(annulus_px), stamps.device)
    if len(inside) == 0:
        raise UsageError(
            f"annulus_px {tuple(annulus_px)} holds no pixel of a stamp {stamps.shape[-1]} pixels wide: "
            "give an inner radius below its half width"
        )
    sky = stamps.flatten(-2)[..., inside]
    level = median(sky)
    return level, MAD_TO_SIGMA * median((sky - level[..., None]).abs())


@lru_cache
@torch.inference_mode(False)
def _annulus(side: int, annulus_px: tuple[float, float], device: torch.device) -> torch.Tensor:
    """Pixels of an annulus; kept, since finding them makes a graphics processor wait."""
    radius = radius_map(side)
    return ((radius >= annulus_px[0]) & (radius < annulus_px[1])).flatten().nonzero()[:, 0].to(device)


def normalise(
    stamps: torch.Tensor,
    annulus_px: tuple[float, float],
    sky_sigma: torch.Tensor | None = None,
    floor: float = 0.0,
) -> torch.Tensor:
    """(stamp - sky level) / sky sigma, per sample and band.

    Parameters
    ----------
    stamps : Tensor, (n, bands, y, x)
        Nanomaggies.
    annulus_px : (float, float)
    sky_sigma : Tensor, (n, bands), optional
        Noise per sky pixel from the inverse variance, nanomaggies; NaN where there is none.
    floor : float
        The annulus's sigma is taken for no smaller than ``floor * sky_sigma``, so that an annulus that is mostly
        masked does not blow a stamp up.

    Returns
    -------
    Tensor, (n, bands, y, x)
        In sky sigmas. A band whose sigma is 0 all the same (an empty or constant band) carries no scale and
        becomes 0 throughout, so no NaN reaches the network; the preflight gate on normalisation counts such bands.
    """
    level, sigma = sky_statistics(stamps, annulus_px)
    if sky_sigma is not None and floor:
        sigma = torch.maximum(sigma, floor * sky_sigma.nan_to_num(0.0, 0.0, 0.0))
    scale = torch.where(sigma > 0, 1 / sigma.clamp_min(torch.finfo(stamps.dtype).tiny), 0.0)
    return (stamps - level[..., None, None]) * scale[..., None, None]


def core(side: int, radius_px: float | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """Pixels r < ``radius_px``: (side, side) bool, or (n, 1, side, side) for a tensor of n radii."""
    radius = radius_map(side, device)
    return radius < (radius_px[:, None, None, None] if isinstance(radius_px, torch.Tensor) else radius_px)


def core_mask(images: torch.Tensor, radius_px: float | torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Fill the central disc r < ``radius_px`` with the sky level, which is 0 in normalised units, or with sky noise.

    Parameters
    ----------
    images : Tensor, (n, bands, y, x)
        Normalised, in sky sigmas.
    radius_px : float or Tensor, (n,)
        0 leaves a sample as it is.
    noise : Tensor, (n, bands, y, x), optional
        Unit white noise to fill the disc with.
    """
    hidden = core(images.shape[-1], radius_px, images.device)
    return images.masked_fill(hidden, 0.0) if noise is None else torch.where(hidden, noise, images)


def core_swap(stamps: torch.Tensor, control: torch.Tensor, radius_px: float | torch.Tensor) -> torch.Tensor:
    """Take the central disc r < ``radius_px`` from the control: the arc's light is gone there, the noise stays."""
    return torch.where(core(stamps.shape[-1], radius_px, stamps.device), control, stamps)


def dropout_radius(theta_e: torch.Tensor, psf_fwhm: torch.Tensor, config: TrainConfig) -> torch.Tensor:
    """Radius of a dropped core, pixels.

    Parameters
    ----------
    theta_e, psf_fwhm : Tensor, (n,)
        Einstein radius and r-band FWHM, arcsec.
    config : TrainConfig
        ``core_dropout`` ``fixed``: ``core_dropout_radius_px`` for all. ``scaled``: theta_E less half a FWHM, so
        that the main image of an arc of this radius stays in sight, and no more than ``core_dropout_radius_px``.
        A pair with theta_E below half a FWHM keeps its core.

    Returns
    -------
    Tensor, (n,)
    """
    if config.core_dropout == "fixed":
        return torch.full_like(theta_e, config.core_dropout_radius_px)
    return ((theta_e - 0.5 * psf_fwhm) / PIXEL_SCALE).nan_to_num(0.0).clamp(0.0, config.core_dropout_radius_px)


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
    place = _turned(images.shape[-1], images.device)[turns.long() + 4 * flips.long()]
    flat = images.flatten(-2)
    return flat.gather(-1, place[:, None].expand(flat.shape)).view_as(images)


@lru_cache
@torch.inference_mode(False)
def _turned(side: int, device: torch.device) -> torch.Tensor:
    """(8, side * side) pixel that each pixel of a turned and mirrored image comes from."""
    pixels = torch.arange(side * side).view(side, side)
    turned = [torch.rot90(pixels, -turn, (-2, -1)) for turn in range(4)]
    return torch.stack([p.flatten() for p in (*turned, *(t.flip(-1) for t in turned))]).to(device)


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image by any angle, nearest neighbour, corners filled with 0.

    What torchvision's ``RandomRotation`` does to one image, for a batch: the seed's augmentation, kept for
    comparison with `dihedral`.

    Parameters
    ----------
    images : Tensor, (n, bands, side, side)
    degrees : Tensor, (n,)
        Counter-clockwise with row 0 on top, as in torchvision.
    """
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
    grid = torch.nn.functional.affine_grid(turn, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, mode="nearest", align_corners=False)


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
    residual : {"azimuthal", "elliptical"}
    sigma_floor : float
        As ``floor`` of `normalise`.
    """

    channels: str = "raw"
    annulus_px: tuple[float, float] = (26.0, 32.0)
    stretch: str = "asinh"
    asinh_softening: float = 3.0
    residual: str = "azimuthal"
    sigma_floor: float = 0.0

    @classmethod
    def from_config(cls, config: TrainConfig) -> Preprocess:
        return cls(
            config.channels,
            tuple(config.annulus_px),
            config.stretch,
            config.asinh_softening,
            config.residual,
            config.sigma_floor,
        )

    @property
    def n_channels(self) -> int:
        return 6 if self.channels == "raw+residual" else 3

    def __call__(
        self,
        stamps: torch.Tensor,
        core_mask_px: float | torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        sky_sigma: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Network input of a batch.

        Parameters
        ----------
        stamps : Tensor, (n, 3, 64, 64) float32
            Nanomaggies.
        core_mask_px : float or Tensor, (n,), optional
            Radius of the central disc to fill.
        noise : Tensor, (n, 3, 64, 64), optional
            Unit noise the disc is filled with; sky level without it.
        sky_sigma : Tensor, (n, 3), optional
            As in `normalise`; without it there is no floor.

        Returns
        -------
        Tensor, (n, 3 or 6, 64, 64) float32
            Raw channels g, r, z, then residual channels g, r, z.
        """
        images = normalise(stamps, self.annulus_px, sky_sigma, self.sigma_floor)
        if core_mask_px is not None:
            images = core_mask(images, core_mask_px, noise)
        if self.channels == "raw+residual":
            subtract = azimuthal_residual if self.residual == "azimuthal" else elliptical_residual
            images = torch.cat([images, subtract(images)], dim=1)
        if self.stretch == "clip":
            return images.clamp(*CLIP_SIGMAS) / self.asinh_softening
        return asinh(images / self.asinh_softening)
