"""A run with everything on one device, in the time there is: the number of epochs that fits is chosen once it is known
what a step takes, and the schedule is made for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from dhs import storage
from dhs.config import EvaluateConfig, TrainConfig
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.models.networks import registry
from dhs.models.on_device.bank import Bank
from dhs.models.on_device.batches import MADE, Batches, generator
from dhs.models.on_device.steps import WAYS, State, Steps, fastest
from dhs.models.preprocess import Preprocess
from dhs.models.training.monitors import validation_monitors
from dhs.models.training.schedule import lr_factor
from dhs.models.training.validation import survey_monitors
from dhs.random import Stream, keyed

TIMED_STEPS = 200
SAVE_S = 45.0  # between two times that a run's state is written
VALIDATED = 4096  # pairs of the validation split scored after each epoch
VAL_EPOCH = 2**31  # stands for an epoch in the key of the validation split's shot noise
FORWARD = 4096


@dataclass(frozen=True)
class Recipe:
    """What is trained.

    Attributes
    ----------
    config : TrainConfig
        ``epochs`` is the most; ``precision`` ``float32`` or ``bfloat16``.
    seed : int
    teacher : str, optional
        Checkpoint whose probabilities are mixed into the labels.
    teacher_weight : float
    """

    config: TrainConfig
    seed: int
    teacher: str | None = None
    teacher_weight: float = 0.5


@dataclass
class Prepared:
    """A network ready for its first step: `prepare`. It serves one run after the other; each begins with ``first``."""

    state: State
    steps: Steps
    weights: str
    seconds_a_step: dict[str, float | str]
    first: dict[str, torch.Tensor]


def prepare(recipe: Recipe, device: torch.device, batch: int, ways: tuple[str, ...] = WAYS) -> Prepared:
    """Make the network, and find which of some ways takes its steps fastest; needs no data."""
    config = recipe.config
    torch.backends.cudnn.benchmark = True
    channels = Preprocess.from_config(config).n_channels
    network, weights = registry.make(config, channels, recipe.seed)
    network = network.to(device, memory_format=torch.channels_last).train()
    state = State.of(network, config.weight_decay, config.weight_average)
    dtype = torch.float32 if config.precision == "float32" else torch.bfloat16
    first = {k: v.clone() for k, v in state.tensors().items()}
    steps, times = fastest(state, (batch, channels, 64, 64), dtype, ways)
    return Prepared(state, steps, weights, times, first)


def forward(network: torch.nn.Module, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(n,) float32 logits of network input, in evaluation."""
    was = network.training
    network.eval()
    with torch.inference_mode(), torch.autocast(images.device.type, dtype=dtype, enabled=dtype != torch.float32):
        parts = images.split(FORWARD)
        out = torch.cat([network(p.contiguous(memory_format=torch.channels_last))[:, 0].float() for p in parts])
    network.train(was)
    return out


class Validation:
    """Some pairs of the validation split, their network input held ready; shot noise is drawn once.

    Parameters
    ----------
    bank : Bank
    config : TrainConfig
    seed : int
    dtype : torch.dtype
        Of the held input.
    """

    def __init__(self, bank: Bank, config: TrainConfig, seed: int, dtype: torch.dtype):
        self.dtype, device = dtype, bank.device
        order = keyed(seed, Stream.SAMPLE, VAL_EPOCH).permutation(len(bank))
        rows = torch.from_numpy(np.sort(order[:VALIDATED])).to(device)
        with_hard = rows[bank.hard_count[rows] > 0]
        hard = bank.hard_first[with_hard]
        none = torch.full_like(rows, -1)
        preprocess, random = Preprocess.from_config(config), generator(device, seed, VAL_EPOCH, 0, MADE)

        def held(base: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
            parts = [
                preprocess(bank.stamps(b, a, random), sky_sigma=bank.sky_sigma[b]).to(dtype)
                for b, a in zip(base.split(1024), light.split(1024))
            ]
            return torch.cat(parts) if parts else torch.empty((0, preprocess.n_channels, 64, 64), device=device)

        self.images = {"positive": held(rows, rows), "control": held(rows, none), "hard": held(with_hard, hard)}
        galaxies = torch.arange(len(bank), len(bank.base), device=device)
        self.images["survey"] = held(galaxies, torch.full_like(galaxies, -1))
        self.survey_kind = np.array(bank.survey_kinds, dtype=str)
        index, at = rows.cpu().numpy(), hard.cpu().numpy() - len(bank)
        self.host = np.array(bank.scalars["host_id"].to_pylist(), dtype=str)[index]
        self.theta_e = bank.scalars["theta_e_arcsec"].to_numpy()[index]
        self.kind = np.array(bank.hard_scalars["kind"].to_pylist(), dtype=str)[at]

    def monitors(self, network: torch.nn.Module) -> dict[str, float]:
        """One row of the history: `validation_monitors`, and where the positives' logits lie."""
        scores = {k: forward(network, v, self.dtype).cpu().numpy() for k, v in self.images.items() if len(v)}
        if not all(np.isfinite(v).all() for v in scores.values()):
            raise DhsError("the network gives NaN or infinity on the validation split. Lower the learning rate.")
        none = np.empty(0, np.float32)
        scores = {"hard": none, "positive_masked": none, "control_masked": none, "positive_swapped": none} | scores
        scores |= {"host": self.host, "theta_e": self.theta_e, "kind": self.kind}
        row = validation_monitors(scores, EvaluateConfig())
        if "survey" in scores:
            row |= survey_monitors(scores, scores | {"survey_kind": self.survey_kind}, EvaluateConfig())
        low, middle, high = np.quantile(scores["positive"], (0.1, 0.5, 0.9))
        return row | {"positive_logit_q10": low, "positive_logit_median": middle, "positive_logit_q90": high}


class Run:
    """One training.

    Parameters
    ----------
    recipe : Recipe
    train, val : Bank
    folder : str
        Of ``checkpoints/last.pt`` and ``best.pt``; a run that is there already is taken up.
    content_hash : str
        Of the data set.
    prepared : Prepared, optional

    Attributes
    ----------
    history : list of dict
        A row an epoch.
    epochs : int
        That fit; ``recipe.config.epochs`` until it is known.
    about : dict
        What was chosen and measured: for the results.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Bank,
        val: Bank,
        folder: str,
        content_hash: str,
        prepared: Prepared | None = None,
    ):
        self.recipe, self.config, self.folder, self.content_hash = recipe, recipe.config, folder, content_hash
        self.batches = Batches(train, self.config, recipe.seed)
        self.prepared = prepared or prepare(recipe, train.device, self.batches.batch)
        seeds = {b.survey_seed for b in (train, val) if b.survey_seed is not None}
        self.negatives = {"seeds": sorted(seeds), "pixels": [], "hosts": []}
        self.state, self.steps = self.prepared.state, self.prepared.steps
        self.validation = Validation(val, self.config, recipe.seed, self.steps.dtype)
        self.teacher = None
        if recipe.teacher:
            self.teacher = _network(recipe.teacher, train.device)
        self.history: list[dict] = []
        self.epochs = self.config.epochs
        self._table: torch.Tensor | None = None
        self.best: dict[str, torch.Tensor] | None = None
        self.best_epoch = 0
        self.about: dict = {
            "way": self.steps.way,
            "seconds_a_step_of_each_way": self.prepared.seconds_a_step,
            "batch": self.batches.batch,
            "steps_an_epoch": self.batches.n_steps,
            "hard_share": self.batches.hard_share,
            "survey_share": self.config.survey_negative_ratio,
            "teacher": recipe.teacher is not None,
            "parameters": sum(p.numel() for p in self.state.network.parameters()),
            "precision": str(self.steps.dtype).removeprefix("torch."),
            "resumed_at_epoch": 0,
            "stopped_early": False,
        }
        self._saved = time.monotonic()
        self._restore()

    def path(self, name: str) -> str:
        return storage.join(self.folder, "checkpoints", f"{name}.pt")

    def run(self, until: float = math.inf, saved: Callable[[Run], None] | None = None) -> None:
        """Train to the end of the schedule, or to the last epoch that ends before ``until`` (`time.monotonic`).

        Parameters
        ----------
        until : float
        saved : callable, optional
            Called each time the state was written.
        """
        spent = 0.0
        while len(self.history) < self.epochs:
            if spent and time.monotonic() + spent > until:
                self.about["stopped_early"] = True
                break
            start = time.monotonic()
            self._epoch(len(self.history) + 1, until)
            spent = time.monotonic() - start
            done = len(self.history) == self.epochs
            if done or time.monotonic() - self._saved > SAVE_S:
                self.save(saved)
        else:
            return
        self.save(saved)

    def _epoch(self, epoch: int, until: float) -> None:
        batches, state = self.batches, self.state
        first = self.about["resumed_at_epoch"] + 1 == epoch
        rates, at, start = self._rates(), (epoch - 1) * batches.n_steps, time.monotonic()
        state.totals.zero_()
        state.network.train()
        mark, measured = None, 0
        for images, label in batches.epoch(epoch):
            target = self._targets(images, label)
            for k in range(len(images)):
                self.steps.step(images[k], target[k], rates[at + k])
            at += len(images)
            if first and "seconds_a_step" not in self.about:
                # the first steps make caches: they are left out of the measurement
                if mark is None:
                    _wait(state.totals)
                    mark, measured = time.monotonic(), 0
                    continue
                measured += len(images)
                if measured >= TIMED_STEPS:
                    rates = self._fit((time.monotonic, mark, measured), until)
        loss, n, norm, most = state.totals.tolist()
        seconds = time.monotonic() - start
        if "seconds_a_step" not in self.about:
            self.about["seconds_a_step"] = seconds / n
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise DhsError(f"the training loss is not finite in epoch {epoch}. Lower the learning rate.")
        row = {
            "epoch": epoch,
            "loss_train": loss / n,
            "grad_norm": norm / n,
            "grad_norm_max": most,
            "lr": float(rates[at - 1]),
            "samples_per_s": n * batches.batch / seconds,
            "seconds": seconds,
        }
        row |= self.validation.monitors(state.judged)
        self.history.append({k: float(v) if isinstance(v, float | np.floating) else v for k, v in row.items()})
        self._keep_best()

    def _fit(self, timing: tuple, until: float) -> torch.Tensor:
        """Epochs that fit at the pace measured, and their schedule."""
        clock, mark, measured = timing
        _wait(self.state.totals)
        self.about["seconds_a_step"] = (clock() - mark) / measured
        begun = len(self.history)
        if math.isfinite(until) and not begun:
            self.validation.monitors(self.state.judged)  # the first one finds its kernels
            start = clock()
            self.validation.monitors(self.state.judged)
            judging = clock() - start
            an_epoch = 1.02 * (self.about["seconds_a_step"] * self.batches.n_steps + judging)
            self.epochs = max(1, min(self.config.epochs, int((until - mark) / an_epoch)))
        return self._rates()

    def _targets(self, images: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if self.teacher is None:
            return label
        said = torch.sigmoid(forward(self.teacher, images.flatten(0, 1), self.steps.dtype)).view_as(label)
        return torch.lerp(label, said, self.recipe.teacher_weight)

    def _rates(self) -> torch.Tensor:
        """(steps of all epochs,) learning rates."""
        total, warmup = self.epochs * self.batches.n_steps, self.config.warmup_epochs * self.batches.n_steps
        if self._table is None or len(self._table) != total:
            rates = [self.config.lr * lr_factor(step, total, warmup) for step in range(total)]
            self._table = torch.tensor(rates, device=self.state.totals.device)
        return self._table

    def _keep_best(self) -> None:
        column, sign = self.config.monitor, -1.0 if self.config.monitor == "loss_val" else 1.0
        values = [sign * row[column] for row in self.history]
        if values[-1] >= max(values):
            self.best = {k: v.clone() for k, v in self.state.judged.state_dict().items()}
            self.best_epoch = len(self.history)

    def checkpoint(self, model: dict[str, torch.Tensor], epoch: int) -> dict:
        """A checkpoint as ``dhs train`` writes it."""
        return {
            "train": self.config.model_dump(mode="json"),
            "seed": self.recipe.seed,
            "content_hash": self.content_hash,
            "weights": self.prepared.weights,
            "epoch": epoch,
            "history": self.history,
            "negatives": self.negatives,
            "model": {k: v.cpu().contiguous().clone() for k, v in model.items()},
        }

    def save(self, saved: Callable[[Run], None] | None = None) -> None:
        """Write the state and the best epoch."""
        state = self.checkpoint(self.state.network.state_dict(), len(self.history))
        state["on_device"] = {k: v.cpu() for k, v in self.state.tensors().items()}
        state["about"] = {"epochs": self.epochs, "best_epoch": self.best_epoch}
        checkpoints.save(self.path("best"), self.checkpoint(self.best, self.best_epoch))
        checkpoints.save(self.path("last"), state)
        self._saved = time.monotonic()
        if saved is not None:
            saved(self)

    def _restore(self) -> None:
        if not storage.exists(self.path("last")):
            self.state.load(self.prepared.first)
            return
        state = checkpoints.load(self.path("last"))
        mine = self.config.model_dump(mode="json")
        differ = sorted(k for k, v in mine.items() if state["train"].get(k) != v)
        differ += [k for k, v in (("seed", self.recipe.seed), ("content_hash", self.content_hash)) if state[k] != v]
        if differ:
            raise DhsError(
                f"{self.path('last')}: belongs to a run with other {', '.join(differ)}. Choose another folder."
            )
        if not self.state.optimizer.state:
            self._make_moments()
        self.state.load(state["on_device"])
        self.history, self.epochs = state["history"], state["about"]["epochs"]
        self.best_epoch = state["about"]["best_epoch"]
        self.best = {k: v.clone() for k, v in checkpoints.load(self.path("best"))["model"].items()}
        self.about["resumed_at_epoch"] = len(self.history)

    def _make_moments(self) -> None:
        """Let the optimiser make its state, by a step of rate 0 on gradients of 0."""
        self.state.rate.zero_()
        for p in self.state.network.parameters():
            p.grad = torch.zeros_like(p)
        self.state.optimizer.step()
        self.state.optimizer.zero_grad(set_to_none=True)


def _network(path: str, device: torch.device) -> torch.nn.Module:
    state = checkpoints.load(path)
    config = checkpoints.config_of(state, path)
    network = registry.build(Preprocess.from_config(config).n_channels, config.arch)
    network.load_state_dict(state["model"])
    return network.to(device, memory_format=torch.channels_last).eval()


def _wait(tensor: torch.Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()
