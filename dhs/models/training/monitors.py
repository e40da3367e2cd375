"""What is watched while a network trains: AUROC with a host-clustered interval, recall, accuracy by kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from dhs.config import EvaluateConfig
from dhs.models.training.distributed import Group
from dhs.stats import bins
from dhs.stats.clusters import Metric
from dhs.stats.metrics import auroc
from dhs.stats.proportions import supported_fprs


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


def two_sets(positive: np.ndarray, negative: np.ndarray, positive_host, negative_host) -> Metric:
    """`dhs.stats.metrics.auroc` of two sets of scores, (n,) and (m,), each score with its host."""
    labels = np.repeat([True, False], [len(positive), len(negative)])
    return auroc(np.concatenate([positive, negative]), labels, np.concatenate([positive_host, negative_host]))


def number(value: float | None) -> float:
    """A value for a row of the history: NaN where there is none."""
    return float("nan") if value is None else value


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
        ``loss_val``, alone where it is not finite; ``auroc_val`` with its interval; ``auroc_theta_e_*``;
        ``tpr_fpr_*`` at the false-positive rates
        the controls support; ``hard_negative_accuracy`` over all and by kind, at logit 0; ``auroc_core_masked``,
        ``auroc_core_swap``, NaN in epochs without them.
    """
    positive, control, host = scores["positive"], scores["control"], scores["host"]
    # softplus(-x) and softplus(x) are the cross-entropies of a positive and of a negative
    loss = float(0.5 * (np.logaddexp(0, -positive).mean() + np.logaddexp(0, control).mean()))
    if not np.isfinite(loss):  # nothing can be ranked; the trainer stops at it
        return {"loss_val": loss}
    overall = two_sets(positive, control, host, host)
    row = {
        "loss_val": loss,
        "auroc_val": number(overall.value),
        "auroc_val_low": number(overall.ci_low),
        "auroc_val_high": number(overall.ci_high),
    }
    for low, high, chosen in bins.members(scores["theta_e"], config.theta_e_edges):
        found = two_sets(positive[chosen], control[chosen], host[chosen], host[chosen])
        row[f"auroc_theta_e_{low:g}_{high:g}"] = number(found.value)
    for fpr in supported_fprs(len(control), config.min_expected_fp):
        row[f"tpr_fpr_{fpr:.3g}"] = recall_at(positive, control, fpr)
    hard, kinds = scores["hard"], scores["kind"]
    row["hard_negative_accuracy"] = float((hard < 0).mean()) if len(hard) else float("nan")
    for kind in np.unique(kinds):
        row[f"hard_negative_accuracy_{kind}"] = float((hard[kinds == kind] < 0).mean())
    masked, swapped = scores["positive_masked"], scores["positive_swapped"]
    own = host[: len(masked)], host[: len(swapped)]
    row["auroc_core_masked"] = number(two_sets(masked, scores["control_masked"], own[0], own[0]).value)
    row["auroc_core_swap"] = number(two_sets(swapped, control[: len(swapped)], own[1], own[1]).value)
    return row
