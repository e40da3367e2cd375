"""The validation split through the network under training, and what its epoch is chosen by."""

from __future__ import annotations

import numpy as np
import torch

from dhs.models.preprocess import core_swap
from dhs.models.training.loader import prefetch
from dhs.models.training.monitors import number, recall_at, two_sets, validation_monitors
from dhs.stats.proportions import supported_fprs

COLUMNS = ("positive", "control", "hard", "kind", "host", "theta_e")
MASKED = ("positive_masked", "control_masked", "positive_swapped")


def validate(trainer, epoch: int) -> dict:
    """Monitors of one epoch.

    Parameters
    ----------
    trainer : dhs.models.training.trainer.Trainer
    epoch : int

    Returns
    -------
    dict
        `validation_monitors`; where the run has survey-like negatives, `survey_monitors` too.
    """
    config = trainer.profile.evaluate
    scores = _scores(trainer, epoch)
    row = validation_monitors(scores, config)
    if trainer.val_pool is None or not np.isfinite(row["loss_val"]):
        return row
    group = trainer.group
    mine = slice(group.rank, None, group.world)
    logits, kinds = [], []
    for negatives in trainer.val_pool.sets:
        part = negatives.take(range(len(negatives))[mine])
        logits.append(part.scores(trainer.logits))
        kinds.append(np.array(part.kinds, dtype=object))
    found = group.concatenate({"survey": np.concatenate(logits), "survey_kind": np.concatenate(kinds)})
    return row | survey_monitors(scores, found, config)


def survey_monitors(scores: dict, found: dict, config) -> dict[str, float]:
    """Positives against galaxies that are no pair's, and against look-alikes.

    Parameters
    ----------
    scores, found : dict
        As `validation_monitors` takes them; ``survey`` (m,) logits and ``survey_kind`` (m,).
    config : EvaluateConfig

    Returns
    -------
    dict
        ``auroc_survey``, ``auroc_lookalikes``; their mean ``auroc_finder`` (the one there is where there is but one);
        ``tpr_survey_*`` at the rates the galaxies support; ``survey_accuracy`` at logit 0, over all and by kind.
    """
    positive, host, survey, hard = scores["positive"], scores["host"], found["survey"], scores["hard"]
    galaxy = np.char.add("survey-", np.arange(len(survey)).astype(str))
    row = {
        "auroc_survey": number(two_sets(positive, survey, host, galaxy).value),
        "auroc_lookalikes": number(two_sets(positive, hard, host, np.arange(len(hard))).value),
    }
    values = [v for v in row.values() if np.isfinite(v)]
    row["auroc_finder"] = float(np.mean(values)) if values else float("nan")
    for fpr in supported_fprs(len(survey), config.min_expected_fp):
        row[f"tpr_survey_{fpr:.3g}"] = recall_at(positive, survey, fpr)
    row["survey_accuracy"] = float((survey < 0).mean()) if len(survey) else float("nan")
    for kind in np.unique(found["survey_kind"].astype(str)):
        row[f"survey_accuracy_{kind}"] = float((survey[found["survey_kind"] == kind] < 0).mean())
    return row


def _scores(trainer, epoch: int) -> dict[str, np.ndarray]:
    """Logits of positives, controls and hard negatives, of all processes together."""
    trainer.network.eval()
    every, radius = trainer.config.core_masked_every, trainer.profile.evaluate.core_radius_px
    core = bool(every) and (epoch % every == 0 or epoch == trainer.config.epochs)
    columns: dict[str, list] = {name: [] for name in (*COLUMNS, *MASKED)}
    for part in prefetch(trainer.val.parts(), trainer.config.stall_seconds, depth=1):
        mine = slice(trainer.group.rank, None, trainer.group.world)
        positive, control, sigma = part.positive[mine], part.control[mine], part.sky_sigma[mine]
        columns["positive"].append(trainer.logits(positive, sigma))
        columns["control"].append(trainer.logits(control, sigma))
        columns["hard"].append(trainer.logits(part.hard[mine], part.sky_sigma[part.hard_row][mine]))
        columns["kind"].append(np.array(part.hard_scalars["kind"].to_pylist(), dtype=object)[mine])
        columns["host"].append(part.column("host_id")[mine])
        columns["theta_e"].append(part.theta_e[mine])
        if core:
            columns["positive_masked"].append(trainer.logits(positive, sigma, radius))
            columns["control_masked"].append(trainer.logits(control, sigma, radius))
            swapped = core_swap(torch.from_numpy(positive), torch.from_numpy(control), radius).numpy()
            columns["positive_swapped"].append(trainer.logits(swapped, sigma))
    return trainer.group.concatenate({k: np.concatenate(x) if x else np.empty(0) for k, x in columns.items()})
