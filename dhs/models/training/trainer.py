"""The training loop, and its state: one epoch after the other, stopped and taken up again at any step.

Every random stream of a run is keyed by (seed, epoch, step), so a run that was stopped and resumed is the run that
was not; on a CPU in float32 and with one number of threads, to the bit.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from dhs import storage
from dhs.config import Profile
from dhs.datasets.reader import Pairs
from dhs.errors import DhsError
from dhs.models import checkpoints
from dhs.models.decode import PairSource
from dhs.models.networks import registry
from dhs.models.preprocess import Preprocess
from dhs.models.training.augment import Draws, network_input
from dhs.models.training.data import ORDER, Batch, Samples
from dhs.models.training.distributed import Group
from dhs.models.training.lanes import Lanes, one_thread_each
from dhs.models.training.loader import Stalled, prefetch
from dhs.models.training.monitors import Progress, number, two_sets
from dhs.models.training.negatives import Pool, merged
from dhs.models.training.schedule import averaged, lr_factor
from dhs.models.training.trackers import Tracker
from dhs.models.training.validation import validate

PACKAGES = ("torch", "torchvision", "numpy", "pyarrow")
FREE = ("wandb_project", "wandb_run", "wandb_mode", "grad_norm_limit", "stall_seconds", "checkpoint_steps")
"""Settings that may differ between a run and its resumption."""
SCORED = 128  # stamps at a time


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Refuse operations that do not repeat to the bit, inside."""
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark


def device_and_precision(precision: str, local_rank: int = 0) -> tuple[torch.device, torch.dtype]:
    """The device to train on and the type of its matrix products.

    ``auto`` takes bfloat16 where the hardware multiplies it natively: CUDA devices of compute capability 8 or more,
    and CPUs with avx512_bf16 or amx_bf16; float32 elsewhere.
    """
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if precision != "auto":
        return device, getattr(torch, precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        native = cpuinfo.is_file() and any(f in cpuinfo.read_text() for f in ("avx512_bf16", "amx_bf16"))
    return device, torch.bfloat16 if native else torch.float32


class Trainer:
    """State of one run; `dhs.models.training.train.train` is its public face.

    Parameters
    ----------
    pairs : PairSource
    output_dir : str
    profile : Profile
    group : Group
    fresh : object, optional
        Arcs of every epoch, as `Samples` takes them.
    """

    def __init__(self, pairs: PairSource, output_dir: str, profile: Profile, group: Group | None = None, fresh=None):
        self.pairs, self.output_dir, self.profile, self.config = pairs, output_dir, profile, profile.train
        self.group = group or Group()
        config, seed, limit = self.config, profile.seed, profile.train.memory_gb * 1e9
        self.val = Samples(pairs, "val", memory_limit=limit / 4)
        self.pool, self.val_pool = self._pools()
        self.samples = Samples(
            pairs,
            "train",
            config.hard_negative_ratio,
            seed,
            negatives_per_positive=config.negatives_per_positive,
            unpaired=config.controls == "unpaired",
            fraction=config.train_fraction,
            memory_limit=limit * 3 / 4,
            fresh=fresh,
            pool=self.pool,
            survey_ratio=config.survey_negative_ratio,
        )
        self.preprocess = Preprocess.from_config(config)
        self.device, self.dtype = device_and_precision(config.precision, self.group.local_rank)
        network, self.weights = registry.make(config, self.preprocess.n_channels, seed)
        if self.group.world > 1 and self.device.type == "cuda" and not config.freeze_batchnorm:
            network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.average = averaged(self.network, config.weight_average)
        self.model = torch.compile(self.network) if config.compile else self.network
        alone = self.group.world == 1 and self.device.type == "cpu" and not config.compile
        self.lanes = Lanes(self.network, config.lanes) if alone and config.lanes > 1 else None
        if self.group.world > 1:
            self.model = DistributedDataParallel(self.model, forward_sync_buffers=not config.freeze_batchnorm)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.steps = self.samples.steps(config.batch_size)
        total, warmup = self.steps * config.epochs, self.steps * config.warmup_epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda s: lr_factor(s, total, warmup))
        self.negatives = merged([pool.seen() for pool in (self.pool, self.val_pool) if pool is not None])
        self.history: list[dict] = []
        self.progress = Progress()

    def _pools(self) -> tuple[Pool | None, Pool | None]:
        """Survey-like negatives of the training, and of its validation."""
        config, where = self.config, self.pairs.path if isinstance(self.pairs, Pairs) else self.output_dir
        seed = getattr(self.pairs, "manifest", {}).get("seed")
        makes = (config.survey_negative_ratio > 0, config.survey_negative_ratio > 0 or config.monitor == "auroc_finder")
        seed = self.profile.seed if seed is None else seed
        make = partial(Pool, config, where, seed, run_seed=self.profile.seed)
        return tuple(make(split=split) if made else None for split, made in zip(("train", "val"), makes))

    @property
    def scored(self) -> torch.nn.Module:
        """The network that is validated and kept: the averaged one where there is one."""
        return self.network if self.average is None else self.average.module

    def checkpoint_path(self, name: str) -> str:
        return storage.join(self.output_dir, "checkpoints", f"{name}.pt")

    def identity(self) -> dict:
        """What a checkpoint says of the run it belongs to."""
        return {
            "train": self.config.model_dump(mode="json"),
            "seed": self.profile.seed,
            "content_hash": self.pairs.manifest["content_hash"],
        }

    def resolved(self) -> dict:
        """The exact configuration of the run: ``config.yaml``."""
        return {
            "profile": self.profile.model_dump(mode="json"),
            "resolved": {
                "weights": self.weights,
                "precision": str(self.dtype).removeprefix("torch."),
                "device": self.device.type,
                "processes": self.group.world,
                "threads": torch.get_num_threads(),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "samples_in_memory": self.samples.in_memory,
                "pairs": {"train": len(self.samples.pair_id), "val": len(self.val.pair_id)},
                "hard_negatives": {"train": self.samples.n_hard, "val": self.val.n_hard},
                "hard_negative_share": self.samples.hard_share,
                "survey_negatives": {"an_epoch": self.samples.n_survey, "seeds": self.negatives["seeds"]}
                | {split: p.counts() for split, p in (("train", self.pool), ("val", self.val_pool)) if p},
                "content_hash": self.pairs.manifest["content_hash"],
                "mock": {name: self.pairs.manifest[name]["mock"] for name in ("hosts", "sources")},
                "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            },
        }

    def restore(self, path: str) -> None:
        """Take up a run where its last checkpoint left it, within an epoch or at its end.

        Raises
        ------
        DhsError
            The checkpoint is of another configuration, seed or data set.
        """
        state, mine = checkpoints.load(path), self.identity()
        theirs = state.get("train", {})
        differ = [k for k, v in mine["train"].items() if k not in FREE and theirs.get(k) != v]
        differ += [k for k in ("seed", "content_hash") if state.get(k) != mine[k]]
        differ += ["negatives"] if state.get("negatives", self.negatives) != self.negatives else []
        differ += ["order of training (an earlier dhs)"] if state.get("order") != ORDER else []
        if differ:
            raise DhsError(
                f"{path}: belongs to a run with other {', '.join(differ)}, so it can't be resumed with these. "
                "Resume with the settings in its config.yaml, or choose another --output-dir."
            )
        self.network.load_state_dict(state.get("trained", state["model"]))
        if self.average is not None:
            self.average.module.load_state_dict(state["model"])
            self.average.n_averaged.copy_(state["n_averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]
        if state["progress"]:
            self.progress = Progress(**state["progress"])
            if not self.group.main:  # the others' shares are in the main process's sums already
                p = self.progress
                self.progress = Progress(p.step, norms=p.norms, logits=[p.logits[0][:0]], labels=[p.labels[0][:0]])

    def save(self, name: str, progress: dict | None = None, resumable: bool = True) -> None:
        """Write a checkpoint; ``progress`` where it stands within an epoch."""
        if not self.group.main:
            return
        state = {
            **self.identity(),
            "weights": self.weights,
            "epoch": len(self.history),
            "history": self.history,
            "model": self.scored.state_dict(),
            "negatives": self.negatives,
        }
        if resumable:
            state |= {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
            if self.average is not None:
                state |= {"trained": self.network.state_dict(), "n_averaged": self.average.n_averaged}
            state |= {"progress": progress, "order": ORDER}
        checkpoints.save(self.checkpoint_path(name), state)

    def forward(self, images: torch.Tensor, model: torch.nn.Module | None = None) -> torch.Tensor:
        """(n,) float32 logits of network input."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return (self.scored if model is None else model)(images)[:, 0].float()

    def passes(self, batch: Batch, draws: Draws, model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward and backward of some stamps of a step: the sum of their losses, and their logits."""
        config = self.config
        if len(batch.labels):
            images = network_input(batch, draws.take(batch.slot), config, self.preprocess, self.device)
            target = torch.from_numpy(batch.labels).to(self.device)
            target = target.lerp(torch.full_like(target, 0.5), config.label_smoothing)
            logit = self.forward(images, model)
            loss = binary_cross_entropy_with_logits(logit, target, reduction="sum")
        else:  # a process without a stamp in this step still has to meet the others
            shape = (1, self.preprocess.n_channels, *batch.stamps.shape[-2:])
            logit = self.forward(torch.zeros(shape, device=self.device), model)[:0]
            loss = logit.sum()
        (loss * (self.group.world / batch.n_stamps)).backward()  # processes' gradients are averaged
        return loss.detach(), logit.detach()

    def step(self, batch: Batch, epoch: int) -> None:
        """One step of the optimiser."""
        config, progress = self.config, self.progress
        draws = Draws.of(config, self.profile.seed, epoch, progress.step, batch.n_slots)
        self.optimizer.zero_grad()
        if self.lanes is None:
            loss, logit = self.passes(batch, draws, self.model)
        else:
            loss, logit = self.lanes.step(batch, draws, self.passes)
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.network.parameters()]))
        value = loss.item()
        if not math.isfinite(value):
            self.diverged(epoch, "the training loss is not finite")
        if not norm <= config.grad_norm_limit:
            self.diverged(epoch, f"the gradient norm {norm:.3g} is beyond grad_norm_limit {config.grad_norm_limit:g}")
        progress.norms.append(norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        progress.loss += value
        progress.n += len(batch.labels)
        progress.survey += int(batch.survey.sum())
        progress.logits.append(logit.cpu())
        progress.labels.append(torch.from_numpy(batch.labels))
        progress.step += 1

    def run_epoch(self, epoch: int, bar: tqdm) -> dict:
        """One pass over the training split, or what is left of it; returns its monitors."""
        config, group, progress = self.config, self.group, self.progress
        self.network.train()
        if config.freeze_batchnorm:
            registry.freeze_batchnorm(self.network)
        seen = np.zeros(len(self.samples.pair_id), np.int64)
        batches = prefetch(
            self.samples.epoch(
                epoch, config.batch_size, rank=group.rank, world=group.world, skip=progress.step, seen=seen
            ),
            config.stall_seconds,
        )
        mark = time.perf_counter()
        for batch in batches:
            progress.waited += time.perf_counter() - mark
            self.step(batch, epoch)
            progress.seconds += time.perf_counter() - mark
            if progress.step % config.checkpoint_steps == 0 and progress.step < self.steps:
                self.save("last", progress.gathered(group))
            mark = time.perf_counter()
            bar.update()
        seen = group.total(seen)
        self.samples.check(seen, epoch)
        whole = progress.gathered(group)
        logits, labels = whole["logits"][0].numpy(), whole["labels"][0].numpy()
        ones, zeros = logits[labels == 1], logits[labels == 0]
        return {
            "epoch": epoch,
            "loss_train": whole["loss"] / whole["n"],
            "auroc_train": number(two_sets(ones, zeros, np.arange(len(ones)), np.arange(len(zeros))).value),
            "grad_norm": float(np.mean(progress.norms)),
            "grad_norm_max": float(np.max(progress.norms)),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "samples_per_s": whole["n"] / progress.seconds,
            "seconds": progress.seconds,
            "loader_wait_s": progress.waited,
            "seen_ids": int((seen > 0).sum()),
            "survey_negatives": whole["survey"],
        }

    def diverged(self, epoch: int, what: str) -> None:
        """Stop a run whose loss or gradient has left all bounds."""
        self.save("diverged")
        last = "last.pt holds the last finite epoch" if self.history else "no epoch was finished"
        raise DhsError(
            f"{what} in epoch {epoch}, step {self.progress.step} (lr {self.schedule.get_last_lr()[0]:.3g}). "
            f"The state is in {self.checkpoint_path('diverged')}; {last}. Look at grad_norm in history.csv and at the "
            "preflight gate on normalisation, then lower --lr, add warmup_epochs, or set precision=float32."
        )

    def stalled(self, epoch: int) -> None:
        """Stop a run whose loader has fallen silent."""
        progress = self.progress
        kept = "no step was taken"
        if self.group.world == 1 and progress.step:
            self.save("last", progress.gathered(self.group))
            kept = f"the state up to there is in {self.checkpoint_path('last')}"
        raise DhsError(
            f"the loader gave nothing for {self.config.stall_seconds:g} s in epoch {epoch}, step {progress.step}; "
            f"{kept}. Is the disk or the object store reachable? Go on with --resume, or raise stall_seconds."
        )

    def logits(
        self, stamps: np.ndarray, sky_sigma: np.ndarray | None = None, core_mask_px: float | None = None
    ) -> np.ndarray:
        """(n,) logits in evaluation mode."""

        @torch.no_grad()
        def score(start: int) -> np.ndarray:
            part = slice(start, start + SCORED)
            stamp = torch.tensor(stamps[part], device=self.device)
            sigma = None if sky_sigma is None else torch.tensor(sky_sigma[part], device=self.device)
            return self.forward(self.preprocess(stamp, core_mask_px, sky_sigma=sigma)).cpu().numpy()

        starts = range(0, len(stamps), SCORED)
        out = list(map(score, starts)) if self.lanes is None else self.lanes.map(score, starts)
        return np.concatenate(out) if out else np.empty(0, np.float32)

    def best_epoch(self) -> int:
        """The epoch with the best monitor so far, from 1."""
        sign = -1 if self.config.monitor == "loss_val" else 1
        return 1 + int(np.nanargmax([sign * row[self.config.monitor] for row in self.history]))

    def finished(self) -> bool:
        """Whether all epochs are done, or too many went by without a better monitor."""
        done, patience = len(self.history), self.config.patience
        return done >= self.config.epochs or bool(done and patience and done - self.best_epoch() >= patience)

    def run(self, trackers: list[Tracker]) -> None:
        """All epochs that are still to come."""
        done = len(self.history) * self.steps + self.progress.step
        quiet = None if self.group.main else True
        with (
            one_thread_each(self.lanes),
            tqdm(total=self.config.epochs * self.steps, initial=done, desc="train", unit="step", disable=quiet) as bar,
        ):
            while not self.finished():
                epoch = len(self.history) + 1
                try:
                    row = self.run_epoch(epoch, bar) | validate(self, epoch)
                except Stalled:
                    self.stalled(epoch)
                if not math.isfinite(row["loss_val"]):
                    self.diverged(epoch, "the validation loss is not finite")
                self.history.append(row)
                self.progress = Progress()
                bar.set_postfix(loss=f"{row['loss_train']:.3f}", val_auroc=f"{row['auroc_val']:.3f}")
                if self.best_epoch() == epoch:
                    self.save("best", resumable=False)
                self.save("last")
                if self.group.main:
                    for tracker in trackers:
                        tracker.log(row)
