"""Training: a plain loop, one epoch after the other, that can be stopped and taken up again.

Every random stream is keyed by (seed, epoch), so a run that was stopped and resumed at an epoch's end is the run
that was not; on a CPU in float32 and with one number of threads, to the bit.
"""

from __future__ import annotations

import io
import math
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm.auto import tqdm

from dhs import storage
from dhs.config import Profile, load_profile
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.models import checkpoints, networks
from dhs.models.data import MEMORY_LIMIT_BYTES, Samples, refuse_candidates
from dhs.models.monitors import CsvTracker, Tracker, WandbTracker, clustered_auroc
from dhs.models.preprocess import Preprocess, augment

PACKAGES = ("torch", "torchvision", "numpy", "pyarrow")


@dataclass(frozen=True)
class TrainResult:
    """What a training run left behind.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per epoch.
    best, last : str
        Checkpoints: of the epoch with the highest validation AUROC, and of the last epoch.
    output_dir : str
    """

    history: pd.DataFrame
    best: str
    last: str
    output_dir: str

    @classmethod
    def read(cls, output_dir: str | Path) -> TrainResult:
        """What a finished run left in its folder."""
        folder = str(output_dir).rstrip("/")
        history = pd.read_csv(io.BytesIO(storage.read_bytes(storage.join(folder, "history.csv"))))
        best, last = (storage.join(folder, "checkpoints", f"{name}.pt") for name in ("best", "last"))
        return cls(history, best, last, folder)

    @property
    def best_row(self) -> pd.Series:
        """The epoch the best checkpoint is from."""
        return self.history.loc[self.history["auroc_val"].idxmax()]

    def __repr__(self) -> str:
        row = self.best_row
        return (
            f"TrainResult({len(self.history)} epochs; best: epoch {row['epoch']:.0f}, val AUROC {row['auroc_val']:.3f} "
            f"({row['auroc_val_low']:.3f}-{row['auroc_val_high']:.3f}); {self.output_dir!r})"
        )

    def _repr_html_(self) -> str:
        shown = ["epoch", "loss_train", "loss_val", "auroc_val", "auroc_val_low", "auroc_val_high"]
        shown += ["hard_negative_accuracy", "grad_norm", "lr", "seconds"]
        rows = self.history.loc[sorted({*self.history.index[-4:], self.history["auroc_val"].idxmax()}), shown]
        table = rows.to_html(index=False, float_format=lambda x: f"{x:.4g}", border=0)
        return f"<p>Best epoch and the last four of {len(self.history)}:</p>{table}"


def device_and_precision(precision: str) -> tuple[torch.device, torch.dtype]:
    """The device to train on and the type of its matrix products.

    ``auto`` takes bfloat16 where the hardware multiplies it natively: CUDA devices that support it, and CPUs with
    avx512_bf16 or amx_bf16; float32 elsewhere.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision != "auto":
        return device, getattr(torch, precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        cpuinfo = Path("/proc/cpuinfo")
        native = cpuinfo.is_file() and any(f in cpuinfo.read_text() for f in ("avx512_bf16", "amx_bf16"))
    return device, torch.bfloat16 if native else torch.float32


def lr_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine down to 0 at ``steps``."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


class Trainer:
    """State of one run; `train` is its public face."""

    def __init__(self, data_path: str | Path, output_dir: str | Path, profile: Profile):
        self.profile, self.config = profile, profile.train
        self.output_dir = str(output_dir).rstrip("/")
        self.pairs = open_pairs(data_path)
        refuse_candidates(self.pairs, ("train", "val"))
        ratio, seed = self.config.hard_negative_ratio, profile.seed
        self.val = Samples(self.pairs, "val", memory_limit=MEMORY_LIMIT_BYTES // 4)
        self.samples = Samples(self.pairs, "train", ratio, seed, memory_limit=MEMORY_LIMIT_BYTES * 3 // 4)
        self.preprocess = Preprocess.from_config(self.config)
        self.device, self.dtype = device_and_precision(self.config.precision)
        network, self.weights = networks.make(self.config, self.preprocess.n_channels, seed)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        steps = self.samples.steps(self.config.batch_size)
        total, warmup = steps * self.config.epochs, steps * self.config.warmup_epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda s: lr_factor(s, total, warmup))
        self.history: list[dict] = []

    def checkpoint_path(self, name: str) -> str:
        return storage.join(self.output_dir, "checkpoints", f"{name}.pt")

    def identity(self) -> dict:
        """What must agree for a checkpoint to belong to this run."""
        settings = self.config.model_dump(mode="json", exclude={"wandb_project", "wandb_run"})
        return {
            "train": settings,
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
                "threads": torch.get_num_threads(),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "samples_in_memory": self.samples.in_memory,
                "pairs": {"train": len(self.samples.pair_id), "val": len(self.val.pair_id)},
                "hard_negatives": {"train": self.samples.n_hard, "val": self.val.n_hard},
                "content_hash": self.pairs.manifest["content_hash"],
                "mock": {name: self.pairs.manifest[name]["mock"] for name in ("hosts", "sources")},
                "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            },
        }

    def restore(self, path: str) -> None:
        """Take up a run at the end of its last finished epoch.

        Raises
        ------
        DhsError
            The checkpoint is of another configuration, seed or data set.
        """
        state, mine = checkpoints.load(path), self.identity()
        differ = [k for k, v in mine["train"].items() if state.get("train", {}).get(k) != v]
        differ += [k for k in ("seed", "content_hash") if state.get(k) != mine[k]]
        if differ:
            raise DhsError(
                f"{path}: belongs to a run with other {', '.join(differ)}, so it can't be resumed with these. "
                "Resume with the settings in its config.yaml, or choose another --output-dir."
            )
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]

    def save(self, name: str, resumable: bool) -> None:
        state = {
            **self.identity(),
            "weights": self.weights,
            "epoch": len(self.history),
            "history": self.history,
            "model": self.network.state_dict(),
        }
        if resumable:
            state |= {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        checkpoints.save(self.checkpoint_path(name), state)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        """(n,) float32 logits of network input."""
        stamps = stamps.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.network(stamps)[:, 0].float()

    def run_epoch(self, epoch: int, bar: tqdm) -> dict:
        """One pass over the training split; returns its monitors."""
        config, started = self.config, time.perf_counter()
        rng = np.random.Generator(np.random.Philox(key=[self.profile.seed, epoch], counter=[0, 0, 1, 0]))
        self.network.train()
        losses, norms, logits, labels, seen = [], [], [], [], set()
        for batch in self.samples.epoch(epoch, config.batch_size):
            stamps = torch.from_numpy(batch.stamps).to(self.device)
            target = torch.from_numpy(batch.labels).to(self.device)
            dropped = torch.from_numpy(rng.random(len(target)) < config.core_dropout_prob).to(self.device)
            images = self.preprocess(stamps, config.core_dropout_radius_px, dropped)
            if config.augment:
                images = augment(images, rng)
            logit = self.forward(images)
            loss = binary_cross_entropy_with_logits(logit, target)
            if not torch.isfinite(loss):
                self.diverged(epoch, len(losses))
            self.optimizer.zero_grad()
            loss.backward()
            norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in self.network.parameters()])))
            lr = self.schedule.get_last_lr()[0]
            self.optimizer.step()
            self.schedule.step()
            losses.append((loss.item(), len(target)))
            logits.append(logit.detach().cpu().numpy())
            labels.append(batch.labels)
            seen.update(batch.pair_id.tolist())
            bar.update()
        seconds = time.perf_counter() - started
        logits, labels = np.concatenate(logits), np.concatenate(labels)
        ones, zeros = logits[labels == 1], logits[labels == 0]
        return {
            "epoch": epoch,
            "loss_train": float(np.average([x for x, _ in losses], weights=[n for _, n in losses])),
            "auroc_train": clustered_auroc(ones, zeros, np.arange(len(ones)), np.arange(len(zeros))).value,
            "grad_norm": float(np.mean(norms)),
            "lr": float(lr),
            "samples_per_s": len(labels) / seconds,
            "seconds": seconds,
            "seen_ids": len(seen),
        }

    def diverged(self, epoch: int, step: int) -> None:
        self.save("diverged", resumable=True)
        last = "last.pt holds the last finite epoch" if self.history else "no epoch was finished"
        raise DhsError(
            f"the training loss is not finite in epoch {epoch}, step {step} (lr {self.schedule.get_last_lr()[0]:.3g}). "
            f"The state is in {self.checkpoint_path('diverged')}; {last}. Look at grad_norm in history.csv and at the "
            "preflight gate on normalisation, then lower --lr, add warmup_epochs, or set precision=float32."
        )

    @torch.no_grad()
    def logits(self, stamps: np.ndarray, core_mask_px: float | None = None) -> np.ndarray:
        """(n,) logits in evaluation mode."""
        out = [
            self.forward(self.preprocess(torch.tensor(part, device=self.device), core_mask_px)).cpu().numpy()
            for part in np.split(stamps, range(256, len(stamps), 256))
            if len(part)
        ]
        return np.concatenate(out) if out else np.empty(0, np.float32)

    def validate(self, epoch: int) -> dict:
        """Monitors on the validation split: positives against their controls, and the hard negatives apart."""
        self.network.eval()
        masked = self.config.core_masked_every and (
            epoch % self.config.core_masked_every == 0 or epoch == self.config.epochs
        )
        columns: dict[str, list] = {k: [] for k in ("positive", "control", "hard", "host", "theta", "p_core", "c_core")}
        radius = self.profile.evaluate.core_radius_px
        for part in self.val.parts():
            columns["positive"].append(self.logits(part.positive))
            columns["control"].append(self.logits(part.control))
            columns["hard"].append(self.logits(part.hard))
            columns["host"].append(part.host_id)
            columns["theta"].append(part.theta_e)
            if masked:
                columns["p_core"].append(self.logits(part.positive, radius))
                columns["c_core"].append(self.logits(part.control, radius))
        v = {k: np.concatenate(x) if x else np.empty(0) for k, x in columns.items()}
        overall = clustered_auroc(v["positive"], v["control"], v["host"], v["host"])
        row = {
            # softplus(-x) and softplus(x) are the cross-entropies of a positive and of a negative
            "loss_val": float(0.5 * (np.logaddexp(0, -v["positive"]).mean() + np.logaddexp(0, v["control"]).mean())),
            "auroc_val": overall.value,
            "auroc_val_low": overall.ci_low,
            "auroc_val_high": overall.ci_high,
        }
        edges = self.profile.evaluate.theta_e_edges
        for low, high in pairwise(edges):
            chosen = (v["theta"] >= low) & (v["theta"] < high)
            host = v["host"][chosen]
            row[f"auroc_theta_e_{low:g}_{high:g}"] = clustered_auroc(
                v["positive"][chosen], v["control"][chosen], host, host
            ).value
        row["hard_negative_accuracy"] = float((v["hard"] < 0).mean()) if len(v["hard"]) else float("nan")
        core = clustered_auroc(v["p_core"], v["c_core"], v["host"], v["host"]) if masked else None
        return row | {"auroc_core_masked": core.value if core else float("nan")}

    def run(self, trackers: list[Tracker]) -> None:
        """All epochs that are still to come."""
        steps = self.samples.steps(self.config.batch_size)
        done = len(self.history)
        with tqdm(
            total=self.config.epochs * steps, initial=done * steps, desc="train", unit="step", disable=None
        ) as bar:
            for epoch in range(done + 1, self.config.epochs + 1):
                row = self.run_epoch(epoch, bar) | self.validate(epoch)
                best = max((r["auroc_val"] for r in self.history), default=-1.0)
                self.history.append(row)
                bar.set_postfix(loss=f"{row['loss_train']:.3f}", val_auroc=f"{row['auroc_val']:.3f}")
                if row["auroc_val"] > best:
                    self.save("best", resumable=False)
                self.save("last", resumable=True)
                for tracker in trackers:
                    tracker.log(row)


def train(
    data_path: str | Path,
    output_dir: str | Path,
    *,
    profile: str | Path | Profile = "demo",
    resume: bool = False,
    overwrite: bool = False,
    **overrides,
) -> TrainResult:
    """Train a network on a pairs data set.

    Writes ``history.csv``, ``config.yaml`` and ``checkpoints/{last,best}.pt`` under ``output_dir``; ``best`` is
    the epoch with the highest validation AUROC. The test split is not read.

    Parameters
    ----------
    data_path : str or Path
        A finished pairs data set.
    output_dir : str or Path
    profile : str, Path or Profile
    resume : bool
        Go on after the last finished epoch of a run with the same settings and data; start where there is none.
    overwrite : bool
        Replace an earlier run in ``output_dir``.
    **overrides
        Fields of `dhs.config.TrainConfig`, e.g. ``epochs=5``; None is ignored.

    Returns
    -------
    TrainResult

    Raises
    ------
    DhsError
        No finished data set; an empty split; hosts that are lens candidates; an earlier run in ``output_dir``;
        a loss that is not finite.
    UsageError
        An unknown option or a value out of range; W&B asked for but not installed.
    """
    profile = load_profile(profile, **{f"train__{name}": value for name, value in overrides.items()})
    folder = str(output_dir).rstrip("/")
    last = storage.join(folder, "checkpoints", "last.pt")
    earlier = storage.exists(last)
    if earlier and not (resume or overwrite):
        raise DhsError(
            f"{folder}: holds the checkpoints of an earlier run. Take it up with --resume (resume=True), "
            "replace it with overwrite=True, or choose another --output-dir."
        )
    trainer = Trainer(data_path, folder, profile)
    if earlier and resume:
        trainer.restore(last)
    trackers: list[Tracker] = [CsvTracker(storage.join(folder, "history.csv"), trainer.history)]
    if profile.train.wandb_project:
        trackers.append(WandbTracker(profile.train.wandb_project, profile.train.wandb_run, trainer.resolved(), folder))
    storage.write_bytes(
        storage.join(folder, "config.yaml"), yaml.safe_dump(trainer.resolved(), sort_keys=False).encode()
    )
    try:
        trainer.run(trackers)
    finally:
        for tracker in trackers:
            tracker.finish()
    return TrainResult(pd.DataFrame(trainer.history), trainer.checkpoint_path("best"), last, folder)
