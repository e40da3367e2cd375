"""Where the monitors of an epoch go: a CSV file always, Weights & Biases on request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from pyarrow.fs import LocalFileSystem

from dhs import storage
from dhs.artefacts.training import write_history
from dhs.errors import DhsError, UsageError


class Tracker(Protocol):
    """Where the monitors of an epoch go."""

    def log(self, row: dict) -> None: ...

    def finish(self) -> None: ...


class CsvTracker:
    """Always there: one row per epoch, the file replaced atomically.

    Parameters
    ----------
    path : str
    rows : sequence of dict
        Of the epochs a resumed run has behind it; written at once, since it may have been killed before that.
    """

    def __init__(self, path: str, rows: Sequence[dict] = ()):
        self.path, self.rows = path, list(rows)
        if self.rows:
            self._write()

    def log(self, row: dict) -> None:
        self.rows.append(row)
        self._write()

    def _write(self) -> None:
        write_history(self.path, self.rows)

    def finish(self) -> None:
        """Nothing is left open between epochs."""


class WandbTracker:
    """Weights & Biases, where a project was named and the package is installed.

    Parameters
    ----------
    project : str
    name : str or None
    config : dict
    folder : str
        Where an offline run is kept, in ``wandb/`` below it; of a run whose output goes to an object store, below the
        working directory.
    mode : {"online", "offline", "disabled"}, optional
        ``WANDB_MODE`` decides without it.

    Raises
    ------
    UsageError
        The package is not installed.
    DhsError
        W&B would not start.
    """

    def __init__(self, project: str, name: str | None, config: dict, folder: str, mode: str | None = None):
        try:
            import wandb
        except ImportError:
            raise UsageError(
                "wandb_project is set but the package wandb is not installed. Install it with "
                "pip install 'dark-halo-scope[wandb]', or leave wandb_project out: history.csv is always written."
            ) from None
        fs, inner = storage.resolve(folder)
        local = inner if isinstance(fs, LocalFileSystem) else None
        if local:
            os.makedirs(local, exist_ok=True)
        try:
            self._run = wandb.init(project=project, name=name, config=config, dir=local, mode=mode)
        except Exception as error:  # login, network and settings fail with exceptions of several packages
            raise DhsError(
                f"W&B would not start ({error}). Log in with `wandb login`, set wandb_mode=offline "
                "(--set wandb_mode=offline, or the variable WANDB_MODE), or leave wandb_project out."
            ) from None

    def log(self, row: dict) -> None:
        self._run.log(row)

    def finish(self) -> None:
        self._run.finish()
