"""What is watched while a network trains: AUROC with a host-clustered interval, recall, accuracy by kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from scipy import stats

from dhs.config import EvaluateConfig
from dhs.models.training.distributed import Group
from dhs.stats import bins
from dhs.stats.proportions import supported_fprs

MIN_CLUSTERS = 8


@dataclass
class Progress:
    """What the steps of an unfinished epoch left: sums, norms, and the logits of the stamps met."""

    step: int = 0
    loss: float = 0.0
    n: int = 0
    norms: list[float] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)
    labels: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0
    survey: int = 0

    def gathered(self, group: Group) -> dict:
        """Of all processes together, in plain values."""
        parts = group.gather((self.loss, self.n, self.survey, torch.cat(self.logits), torch.cat(self.labels)))
        losses, ns, survey, logits, labels = zip(*parts)
        whole = {"loss": math.fsum(losses), "n": sum(ns), "survey": sum(survey)}
        return asdict(self) | whole | {"logits": [torch.cat(logits)], "labels": [torch.cat(labels)]}


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


def recall_at(positive: np.ndarray, negative: np.ndarray, fpr: float) -> float:
    """Fraction of positives above the score of the first negative that the rate can no longer afford."""
    ordered = np.sort(negative)[::-1]
    first = min(int(np.floor(fpr * len(ordered) * (1 + 1e-9))), len(ordered) - 1)
    return float((positive > ordered[first]).mean())


def validation_monitors(scores: Mapping[str, np.ndarray], config: EvaluateConfig) -> dict[str, float]:
    """One epoch's monitors of the validation split.

    Parameters
    ----------
    scores : mapping
        ``positive, control`` (n,) logits of pairs, ``host`` and ``theta_e`` (n,) of each pair; ``hard`` (m,) logits of
        hard negatives and ``kind`` (m,). Where they were measured, ``positive_masked, control_masked`` with the core
        filled with sky and ``positive_swapped`` with the core taken from the control; else empty.
    config : EvaluateConfig
        Bins of theta_E and the false positives a rate needs.

    Returns
    -------
    dict
        ``loss_val``; ``auroc_val`` with its interval; ``auroc_theta_e_*``; ``tpr_fpr_*`` at the false-positive rates
        the controls support; ``hard_negative_accuracy`` over all and by kind, at logit 0; ``auroc_core_masked``,
        ``auroc_core_swap``, NaN in epochs without them.
    """
    positive, control, host = scores["positive"], scores["control"], scores["host"]
    overall = clustered_auroc(positive, control, host, host)
    row = {
        # softplus(-x) and softplus(x) are the cross-entropies of a positive and of a negative
        "loss_val": float(0.5 * (np.logaddexp(0, -positive).mean() + np.logaddexp(0, control).mean())),
        "auroc_val": overall.value,
        "auroc_val_low": overall.ci_low,
        "auroc_val_high": overall.ci_high,
    }
    for low, high, chosen in bins.members(scores["theta_e"], config.theta_e_edges):
        found = clustered_auroc(positive[chosen], control[chosen], host[chosen], host[chosen])
        row[f"auroc_theta_e_{low:g}_{high:g}"] = found.value
    for fpr in supported_fprs(len(control), config.min_expected_fp):
        row[f"tpr_fpr_{fpr:.3g}"] = recall_at(positive, control, fpr)
    hard, kinds = scores["hard"], scores["kind"]
    row["hard_negative_accuracy"] = float((hard < 0).mean()) if len(hard) else float("nan")
    for kind in np.unique(kinds):
        row[f"hard_negative_accuracy_{kind}"] = float((hard[kinds == kind] < 0).mean())
    masked = clustered_auroc(scores["positive_masked"], scores["control_masked"], host, host)
    swapped = scores["positive_swapped"]
    row["auroc_core_masked"] = masked.value
    row["auroc_core_swap"] = clustered_auroc(swapped, control[: len(swapped)], host, host).value
    return row
