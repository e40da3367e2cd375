"""What chance does to a training sample: quarter turns and flips, any rotation, core dropout.

All draws of a step are made at once for its global batch, keyed by (seed, epoch, step), and each process takes those
of its own samples: how many processes share a batch, and whether the run was interrupted, changes no sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dhs.config import TrainConfig
from dhs.models.preprocess import Preprocess, core_swap, dihedral, dropout_radius, rotate
from dhs.models.residuals import radius_map
from dhs.models.training.data import Batch
from dhs.random import Stream, keyed

MAX_ROTATION_DEG = 90.0


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step, one for each sample of the global batch.

    Attributes
    ----------
    turns : ndarray of int64, (n,)
        Quarter turns.
    flip_x, flip_y, dropped : ndarray of bool, (n,)
    degrees : ndarray, (n,)
        In +-90.
    noise : ndarray, (n, 3, pixels of the core) float32
        Standard normal; no pixel unless the core is filled with noise.
    """

    turns: np.ndarray
    flip_x: np.ndarray
    flip_y: np.ndarray
    dropped: np.ndarray
    degrees: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, config: TrainConfig, seed: int, epoch: int, step: int, n: int, side: int = 64) -> Draws:
        """The draws of one step."""
        rng = keyed(seed, Stream.AUGMENT, epoch, attempt=step)
        dropped = rng.random(n) < config.core_dropout_prob
        turns, flips = rng.integers(0, 4, n), rng.integers(0, 2, (2, n)).astype(bool)
        degrees = rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG, n).astype(np.float32)
        inside = int((radius_map(side) < config.core_dropout_radius_px).sum()) if config.core_fill == "noise" else 0
        return cls(turns, *flips, dropped, degrees, rng.standard_normal((n, 3, inside), np.float32))

    def take(self, slots: np.ndarray) -> Draws:
        """Those of some samples."""
        return Draws(*(getattr(self, name)[slots] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Stamps:
    """Stamps on the device that computes, and what their core dropout needs.

    Attributes
    ----------
    stamps : Tensor, (n, 3, 64, 64)
        Nanomaggies.
    control : Tensor, (n, 3, 64, 64), or None
        Each stamp's own control; needed where ``core_fill`` is ``control``.
    theta_e, psf_fwhm : Tensor, (n,)
        Arcsec.
    sky_sigma : Tensor, (n, 3)
        Nanomaggies.
    """

    stamps: torch.Tensor
    control: torch.Tensor | None
    theta_e: torch.Tensor
    psf_fwhm: torch.Tensor
    sky_sigma: torch.Tensor


def network_input(
    batch: Batch, draws: Draws, config: TrainConfig, preprocess: Preprocess, device: torch.device
) -> torch.Tensor:
    """Training input of a batch: core dropout, preprocessing, augmentation.

    Parameters
    ----------
    batch : Batch
    draws : Draws
        Of these samples.
    config : TrainConfig
    preprocess : Preprocess
    device : torch.device

    Returns
    -------
    Tensor, (n, 3 or 6, 64, 64) float32
    """

    def on(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    control = on(batch.control) if config.core_fill == "control" else None
    stamps = Stamps(on(batch.stamps), control, *map(on, (batch.theta_e, batch.psf_fwhm, batch.sky_sigma)))
    drawn = Draws(*(on(getattr(draws, name)) for name in Draws.__dataclass_fields__))
    return augmented(stamps, drawn, config, preprocess)


def augmented(given: Stamps, draws: Draws, config: TrainConfig, preprocess: Preprocess) -> torch.Tensor:
    """`network_input` of stamps and draws that are tensors of one device already; it waits for nothing there.

    (Filling cores with noise does: it looks for their pixels.)
    """
    stamps, noise, radius = given.stamps, None, None
    if config.core_dropout_prob:
        radius = dropout_radius(given.theta_e, given.psf_fwhm, config) * draws.dropped
        if config.core_fill == "control":
            stamps, radius = core_swap(stamps, given.control, radius), None
        elif config.core_fill == "noise":
            noise = torch.zeros_like(stamps)
            noise[..., radius_map(stamps.shape[-1], stamps.device) < config.core_dropout_radius_px] = draws.noise
    images = preprocess(stamps, radius, noise, given.sky_sigma)
    if not config.augment:
        return images
    if config.rotation == "quarter":
        return dihedral(images, draws.turns, draws.flip_x)
    flipped = torch.where(draws.flip_x[:, None, None, None], images.flip(-1), images)
    flipped = torch.where(draws.flip_y[:, None, None, None], flipped.flip(-2), flipped)
    return rotate(flipped, draws.degrees)
