"""Training samples drawn and made on the device: which stamps, their noise, core dropout, normalisation, turns.

An epoch is as `dhs.models.training.data.Samples` means it: each pair once as a positive and once with a negative, both
in the same step. What differs: shot noise is new at every meeting; the pairs that are left over when an epoch is
cut into steps of one size wait for the next; some of the negatives may be survey negatives. All draws are keyed by
(seed, epoch, chunk), some steps made together, so a run that was stopped and resumed is the run that was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dhs.config import TrainConfig
from dhs.models.on_device.bank import Bank
from dhs.models.preprocess import Preprocess
from dhs.models.residuals import radius_map
from dhs.models.training.augment import MAX_ROTATION_DEG, Draws, Stamps, augmented
from dhs.models.training.data import used_hosts
from dhs.random import stable_key

ORDER, MADE = 0, 1  # what a stream is for


def generator(device: torch.device, seed: int, epoch: int, chunk: int = 0, stream: int = ORDER) -> torch.Generator:
    """The generator of one chunk of steps."""
    return torch.Generator(device).manual_seed(stable_key(f"device:{seed}:{epoch}:{chunk}:{stream}") >> 1)


@dataclass(frozen=True)
class Chosen:
    """Stamps of some steps, each step's positives first.

    Attributes
    ----------
    base, light : Tensor of int64, (steps, batch)
        Rows of the bank; ``light`` -1 for none.
    label : Tensor, (steps, batch) float32
    """

    base: torch.Tensor
    light: torch.Tensor
    label: torch.Tensor


class Batches:
    """Steps of an epoch.

    Parameters
    ----------
    bank : Bank
    config : TrainConfig
        ``batch_size``, ``hard_negative_ratio``, ``survey_negative_ratio``, ``label_smoothing``, ``train_fraction``, and
        what augmentation and preprocessing take.
    seed : int
    stamps_together : int
        Made in one go, in whole steps.

    Attributes
    ----------
    n_steps : int
        Of an epoch.
    hard_share : float
        Expected fraction of the negatives that are hard: ``hard_negative_ratio`` where there are enough.
    """

    def __init__(self, bank: Bank, config: TrainConfig, seed: int, stamps_together: int = 4096):
        self.bank, self.config, self.seed = bank, config, seed
        self.preprocess = Preprocess.from_config(config)
        hosts = np.array(bank.scalars["host_id"].to_pylist(), dtype=str)
        used = np.flatnonzero(used_hosts(hosts, seed, config.train_fraction)[0])
        self.rows = torch.from_numpy(used).to(bank.device)
        self.pairs_a_step = min(config.batch_size // 2, len(used))
        self.n_steps = len(used) // self.pairs_a_step
        self.together = max(1, stamps_together // self.batch)
        with_hard = float((bank.hard_count[self.rows] > 0).float().mean())
        self._p_hard = min(1.0, config.hard_negative_ratio / with_hard) if with_hard else 0.0
        self.hard_share = self._p_hard * with_hard
        if config.survey_negative_ratio and not bank.n_survey:
            raise ValueError("a share of survey negatives, and none in the bank")
        self._p_survey = min(1.0, config.survey_negative_ratio / max(1e-9, 1 - self.hard_share))
        inside = radius_map(64) < config.core_dropout_radius_px
        self._core = int(inside.sum()) if config.core_fill == "noise" else 0

    @property
    def batch(self) -> int:
        """Stamps a step."""
        return 2 * self.pairs_a_step

    def epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Network input and labels, some steps at a time: (steps, batch, 3 or 6, 64, 64) float32, (steps, batch).

        Labels are smoothed.
        """
        random = generator(self.bank.device, self.seed, epoch)
        order = self.rows[torch.randperm(len(self.rows), generator=random, device=self.bank.device)]
        order = order[: self.n_steps * self.pairs_a_step].view(self.n_steps, self.pairs_a_step)
        for chunk, start in enumerate(range(0, self.n_steps, self.together)):
            random = generator(self.bank.device, self.seed, epoch, chunk, MADE)
            chosen = self.choose(order[start : start + self.together], random)
            images = self.images(chosen, random)
            label = chosen.label.lerp(torch.full_like(chosen.label, 0.5), self.config.label_smoothing)
            yield images.view(*label.shape, *images.shape[1:]), label

    def choose(self, pairs: torch.Tensor, random: torch.Generator) -> Chosen:
        """Positives of some pairs, and a negative of each: hard, of the survey, or the control.

        Parameters
        ----------
        pairs : Tensor of int64, (steps, pairs)
        random : torch.Generator
        """
        bank, device = self.bank, pairs.device
        hard, which, survey, galaxy = torch.rand((4, *pairs.shape), generator=random, device=device)
        count = bank.hard_count[pairs]
        is_hard = (count > 0) & (hard < self._p_hard)
        light = torch.where(is_hard, bank.hard_first[pairs] + (which * count).long().clamp(max=count - 1), -1)
        is_survey = ~is_hard & (survey < self._p_survey)
        other = len(bank) + (galaxy * bank.n_survey).long().clamp(max=max(bank.n_survey - 1, 0))
        base = torch.cat([pairs, torch.where(is_survey, other, pairs)], dim=1)
        label = torch.cat([torch.ones_like(hard), torch.zeros_like(hard)], dim=1)
        return Chosen(base, torch.cat([pairs, light], dim=1), label)

    def images(self, chosen: Chosen, random: torch.Generator) -> torch.Tensor:
        """(n, 3 or 6, 64, 64) float32 network input of all chosen stamps, in one row."""
        bank, base = self.bank, chosen.base.flatten()
        stamps = bank.stamps(base, chosen.light.flatten(), random)
        control = bank.base.take(base, noisy=True) if self.config.core_fill == "control" else None
        given = Stamps(stamps, control, bank.theta_e[base], bank.psf_fwhm[base], bank.sky_sigma[base])
        return augmented(given, self.draws(len(base), random), self.config, self.preprocess)

    def draws(self, n: int, random: torch.Generator) -> Draws:
        """As `Draws.of`, of the device's own generator."""
        device = random.device
        dropped, angle = torch.rand((2, n), generator=random, device=device)
        turns = torch.randint(0, 4, (n,), generator=random, device=device)
        flips = torch.randint(0, 2, (2, n), generator=random, device=device).bool()
        noise = torch.randn((n, 3, self._core), generator=random, device=device)
        degrees = (2 * angle - 1) * MAX_ROTATION_DEG
        return Draws(turns, *flips, dropped < self.config.core_dropout_prob, degrees, noise)
