"""``history.csv`` and ``config.yaml``: what a training did epoch by epoch, and with which settings."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import Field

from dhs import storage
from dhs.artefacts.parts import Part
from dhs.artefacts.report import VERSION, checked, refuse_other_version
from dhs.errors import DhsError

HISTORY, SETTINGS = "history.csv", "config.yaml"


class Epoch(Part):
    """One row of ``history.csv``; every other monitor is a column of its own.

    Attributes
    ----------
    epoch : int
        From 1.
    loss_train, loss_val : float
        Cross-entropy; that of training is of harder stamps.
    auroc_val, auroc_val_low, auroc_val_high : float
        Validation AUROC and its 95 % interval, NaN where there is none.
    seconds : float
        Of the epoch's steps.
    seen_ids : float
        Distinct pairs met.
    """

    epoch: int
    loss_train: float
    loss_val: float
    auroc_val: float
    auroc_val_low: float = math.nan
    auroc_val_high: float = math.nan
    seconds: float = math.nan
    seen_ids: float = math.nan


class Settings(Part):
    """What ``config.yaml`` holds: the whole ``profile``, and what was ``resolved`` from it when the training began."""

    profile: dict
    resolved: dict = Field(default_factory=dict)


def write_history(path: str | Path, rows: Sequence[Mapping]) -> None:
    """``history.csv`` of the epochs so far, whole or not at all."""
    import pandas as pd

    checked(Epoch, rows[-1], str(path))
    storage.write_bytes(path, pd.DataFrame(rows).to_csv(index=False).encode())


def read_history(folder: str | Path):
    """The epochs of a training, one a row.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DhsError
        No ``history.csv``, or one that another version wrote.
    """
    import pandas as pd

    path = storage.join(folder, HISTORY)
    try:
        history = pd.read_csv(io.BytesIO(storage.read_bytes(path)))
    except ValueError as error:  # pandas' own errors of empty and ragged files are of this type
        raise DhsError(f"{path}: not a table of epochs ({error}). Train again, or choose another folder.") from None
    for row in history.to_dict("records")[-1:]:
        checked(Epoch, row, path)
    return history


def write_settings(folder: str | Path, settings: Mapping) -> None:
    data = {VERSION: 1} | dict(settings)
    checked(Settings, data, SETTINGS)
    storage.write_bytes(storage.join(folder, SETTINGS), yaml.safe_dump(data, sort_keys=False).encode())


def read_settings(folder: str | Path) -> Settings:
    """The settings of a training.

    Raises
    ------
    DhsError
        No ``config.yaml``, no YAML mapping, or one that another version wrote.
    """
    path = storage.join(folder, SETTINGS)
    try:
        data = yaml.safe_load(storage.read_bytes(path))
    except yaml.YAMLError as error:
        raise DhsError(f"{path}: not valid YAML ({error}). Train again, or choose another folder.") from None
    data = data if isinstance(data, dict) else {}
    refuse_other_version(data, 1, path)
    return checked(Settings, data, path)
