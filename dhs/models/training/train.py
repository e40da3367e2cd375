"""``dhs train``: a network trained on pairs, watched, and taken up again where it stopped."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dhs import storage
from dhs.artefacts.training import HISTORY, SETTINGS, read_history, read_settings, write_settings
from dhs.config import Profile, load_profile
from dhs.datasets.fresh import FreshPairs
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.models.decode import PairSource, refuse_candidates
from dhs.models.training.distributed import group_of_environment
from dhs.models.training.negatives import refuse_hosts
from dhs.models.training.trackers import CsvTracker, Tracker, WandbTracker
from dhs.models.training.trainer import Trainer, deterministic
from dhs.owner import alone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a training run left behind.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per epoch.
    best, last : str
        Checkpoints: of the epoch with the best monitor, and of the last epoch.
    output_dir : str
    monitor : str
        Column of ``history`` that chose the best epoch: ``auroc_val`` (highest) or ``loss_val`` (lowest).
    """

    history: pd.DataFrame
    best: str
    last: str
    output_dir: str
    monitor: str = "auroc_val"

    @classmethod
    def read(cls, output_dir: str | Path) -> TrainResult:
        """What a finished run left in its folder."""
        folder = str(output_dir).rstrip("/")
        best, last = (storage.join(folder, "checkpoints", f"{name}.pt") for name in ("best", "last"))
        monitor = read_settings(folder).profile["train"]["monitor"]
        return cls(read_history(folder), best, last, folder, monitor)

    @property
    def best_row(self) -> pd.Series:
        """The epoch the best checkpoint is from."""
        column = self.history[self.monitor]
        return self.history.loc[column.idxmin() if self.monitor == "loss_val" else column.idxmax()]

    def __repr__(self) -> str:
        row = self.best_row
        low, high = row["auroc_val_low"], row["auroc_val_high"]
        interval = f"{low:.3f}-{high:.3f}" if np.isfinite([low, high]).all() else "no interval: too few hosts"
        return (
            f"TrainResult({len(self.history)} epochs; best: epoch {row['epoch']:.0f}, val AUROC {row['auroc_val']:.3f} "
            f"({interval}); {self.output_dir!r})"
        )

    def _repr_html_(self) -> str:
        shown = ["epoch", "loss_train", "loss_val", "auroc_val", "auroc_val_low", "auroc_val_high"]
        shown += ["hard_negative_accuracy", "grad_norm", "lr", "seconds"]
        rows = self.history.loc[sorted({*self.history.index[-4:], self.best_row.name}), shown]
        table = rows.to_html(index=False, float_format=lambda x: f"{x:.4g}", border=0)
        return f"<p>Best epoch and the last four of {len(self.history)}:</p>{table}"


@alone("train", "output_dir")
def train(
    data_path: str | Path | PairSource,
    output_dir: str | Path,
    *,
    profile: str | Path | Profile = "demo",
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **overrides,
) -> TrainResult:
    """Train a network on a pairs data set.

    Writes ``history.csv``, ``config.yaml`` and ``checkpoints/{last,best}.pt`` under ``output_dir``; ``best`` is
    the epoch with the best ``monitor``, by default the highest validation AUROC. The test split is not read. Under
    torchrun every process calls this with the same arguments, and the batch is shared out among them.

    Parameters
    ----------
    data_path : str, Path or PairSource
        A finished pairs data set, or an object with the interface of `dhs.datasets.reader.Pairs`.
    output_dir : str or Path
    profile : str, Path or Profile
    seed : int, optional
        Of the run: first weights, order, augmentation; the profile's by default.
    resume : bool
        Go on where a run with the same settings and data stopped; start where there is none.
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
        a loss that is not finite, a gradient beyond its limit, a loader that fell silent.
    UsageError
        An unknown option or a value out of range; W&B asked for but not installed.
    """
    profile = load_profile(profile, seed=seed, **{f"train__{name}": value for name, value in overrides.items()})
    config, folder = profile.train, str(output_dir).rstrip("/")
    last = storage.join(folder, "checkpoints", "last.pt")
    earlier = storage.exists(last)
    refuse_earlier(folder, profile, resume, overwrite)
    pairs = open_pairs(data_path) if isinstance(data_path, str | Path) else data_path
    refuse_candidates(pairs, ("train", "val"))
    with group_of_environment() as group, deterministic(config.deterministic):
        fresh = FreshPairs.like(pairs) if config.fresh_arcs else None
        trainer = Trainer(pairs, folder, profile, group, fresh)
        refuse_hosts(trainer.negatives, pairs)
        if earlier and resume:
            trainer.restore(last)
        trackers: list[Tracker] = []
        asked, share = config.hard_negative_ratio, trainer.samples.hard_share
        if group.main and share < 0.99 * asked:
            log.warning(
                "%s: hard_negative_ratio %g was asked for, %.2g of the negatives will be hard: %d of %d training pairs "
                "have a hard negative (sets in the earlier format have none).",
                *(pairs.path, asked, share, trainer.samples.n_hard, len(trainer.samples.pair_id)),
            )
        if group.main:
            trackers.append(CsvTracker(storage.join(folder, HISTORY), trainer.history))
            if config.wandb_project:
                about = trainer.resolved()
                trackers.append(WandbTracker(config.wandb_project, config.wandb_run, about, folder, config.wandb_mode))
            write_settings(folder, trainer.resolved())
        try:
            trainer.run(trackers)
        finally:
            for tracker in trackers:
                tracker.finish()
    history = pd.DataFrame(trainer.history)
    return TrainResult(history, trainer.checkpoint_path("best"), last, folder, config.monitor)


def refuse_earlier(folder: str, profile: Profile, resume: bool, overwrite: bool) -> None:
    """Refuse to write over what another run left, whole or in part."""
    names = ("checkpoints/last.pt", "checkpoints/best.pt", HISTORY, SETTINGS)
    there = [name for name in names if storage.exists(storage.join(folder, name))]
    if not there or overwrite or (resume and (names[0] in there or _begun_by(folder, profile))):
        return
    holds = f"{folder}: holds {', '.join(there)} of an earlier run"
    if resume:
        raise DhsError(
            f"{holds} but no {names[0]}, so it can't be taken up. Put that back, or choose another --output-dir."
        )
    raise DhsError(
        f"{holds}. Take it up with --resume (resume=True), or choose another --output-dir; from Python, "
        "overwrite=True replaces it."
    )


def _begun_by(folder: str, profile: Profile) -> bool:
    """Whether a run of this very profile was begun in a folder: ``config.yaml`` is written before the first step."""
    if not storage.exists(storage.join(folder, SETTINGS)):
        return False
    try:
        return read_settings(folder).profile == profile.model_dump(mode="json")
    except DhsError:  # of another version, or none of ours
        return False
