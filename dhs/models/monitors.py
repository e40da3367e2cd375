"""What is watched while a network trains: AUROC with a host-clustered interval, and where the numbers go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

from dhs import storage
from dhs.errors import DhsError, UsageError

MIN_CLUSTERS = 8


@dataclass(frozen=True)
class Auroc:
    """An AUROC with its 95 % interval; NaN where it can't be given."""

    value: float
    ci_low: float
    ci_high: float


def clustered_auroc(positive: np.ndarray, negative: np.ndarray, positive_host, negative_host) -> Auroc:
    """AUROC and its interval where stamps come in clusters that share a host.

    The value is the Mann-Whitney statistic, ties counted half. The variance is Obuchowski's (1997, Biometrics 53,
    567, eq. 3-6), which sums the structural components of DeLong et al. (1988) over each cluster, so a pair's
    positive and control, and several pairs on one host, are not taken for independent. The interval is symmetric
    on the logit scale with Student quantiles for (clusters - 1) degrees of freedom.

    Parameters
    ----------
    positive, negative : ndarray, (n,) and (m,)
        Scores.
    positive_host, negative_host : array_like, (n,) and (m,)
        Host of each score.

    Returns
    -------
    Auroc
        Value NaN for an empty class; interval NaN below 8 hosts, or where every score separates (variance 0).
    """
    n, m = len(positive), len(negative)
    if n == 0 or m == 0:
        return Auroc(np.nan, np.nan, np.nan)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    v10 = (ranks[:n] - stats.rankdata(positive)) / m
    v01 = 1 - (ranks[n:] - stats.rankdata(negative)) / n
    value = float(v10.mean())
    _, host = np.unique(np.concatenate([positive_host, negative_host]).astype(str), return_inverse=True)
    clusters = int(host.max()) + 1
    if clusters < MIN_CLUSTERS or value in (0.0, 1.0):
        return Auroc(value, np.nan, np.nan)
    sum10 = np.bincount(host[:n], v10 - value, clusters)
    sum01 = np.bincount(host[n:], v01 - value, clusters)
    n10, n01 = len(np.unique(host[:n])), len(np.unique(host[n:]))
    variance = (
        n10 / max(n10 - 1, 1) * (sum10**2).sum() / n**2
        + n01 / max(n01 - 1, 1) * (sum01**2).sum() / m**2
        + 2 * clusters / (clusters - 1) * (sum10 * sum01).sum() / (n * m)
    )
    width = stats.t.ppf(0.975, clusters - 1) * np.sqrt(max(variance, 0.0)) / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-(np.log(value / (1 - value)) + np.array([-width, width]))))
    return Auroc(value, float(low), float(high))


class Tracker(Protocol):
    """Where the monitors of an epoch go."""

    def log(self, row: dict) -> None: ...

    def finish(self) -> None: ...


class CsvTracker:
    """Always there: one row per epoch, the file replaced atomically."""

    def __init__(self, path: str, rows: Sequence[dict] = ()):
        self.path, self.rows = path, list(rows)

    def log(self, row: dict) -> None:
        self.rows.append(row)
        storage.write_bytes(self.path, pd.DataFrame(self.rows).to_csv(index=False).encode())

    def finish(self) -> None:
        """Nothing is left open between epochs."""


class WandbTracker:
    """Weights & Biases, where a project was named and the package is installed."""

    def __init__(self, project: str, name: str | None, config: dict, folder: str):
        try:
            import wandb
        except ImportError:
            raise UsageError(
                "wandb_project is set but the package wandb is not installed. Install it with "
                "pip install 'dark-halo-scope[wandb]', or leave wandb_project out: history.csv is always written."
            ) from None
        os.makedirs(folder, exist_ok=True)
        try:
            self._run = wandb.init(project=project, name=name, config=config, dir=folder)
        except Exception as error:  # login, network and settings fail with exceptions of several packages
            raise DhsError(
                f"W&B would not start ({error}). Log in with `wandb login`, set WANDB_MODE=offline, "
                "or leave wandb_project out."
            ) from None

    def log(self, row: dict) -> None:
        self._run.log(row)

    def finish(self) -> None:
        self._run.finish()
