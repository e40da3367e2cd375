"""Two networks on the same stamps: the scores, the metrics, and their paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from dhs.config import EvaluateConfig
from dhs.datasets.reader import Pairs
from dhs.errors import DhsError
from dhs.models.decode import SCALARS, read_parts
from dhs.models.preprocess import core_swap
from dhs.stats import bins, metrics
from dhs.stats.proportions import supported_fprs

SCORES = pa.schema(
    [
        ("kind", pa.string()),
        ("pair_id", pa.int64()),
        ("host_id", pa.string()),
        ("source_id", pa.string()),
        ("theta_e_arcsec", pa.float32()),
        ("logit", pa.float32()),
    ]
)


def scores_of(model, pairs: Pairs, negatives: dict | None, core_px: float) -> pa.Table:
    """Logits of the test split: positives, their core-swapped selves, controls, hard and survey negatives.

    Parameters
    ----------
    model : object with ``logits(stamps)``
    pairs : Pairs
    negatives : dict, optional
        ``images`` and ``host_id`` of survey negatives.
    core_px : float
        Radius of the core that is taken from the control, pixels.
    """
    tables = [SCORES.empty_table()]
    for part in read_parts(pairs, "test", (*SCALARS, "source_id")):
        swapped = core_swap(torch.from_numpy(part.positive), torch.from_numpy(part.control), core_px).numpy()
        for kind, stamps in (
            ("positive", part.positive),
            ("core_swapped", swapped),
            ("control", part.control),
            ("hard_negative", part.hard),
        ):
            rows = part.scalars.take(pa.array(part.hard_row)) if kind == "hard_negative" else part.scalars
            source = rows["source_id"] if kind in ("positive", "core_swapped") else pa.array([""] * len(stamps))
            columns = [rows[name] for name in ("pair_id", "host_id")]
            columns = [pa.array([kind] * len(stamps)), *columns, source, rows["theta_e_arcsec"]]
            tables.append(pa.table([*columns, pa.array(model.logits(stamps), pa.float32())], schema=SCORES))
    if negatives:
        n = len(negatives["host_id"])
        columns = [["survey_negative"] * n, [-1] * n, negatives["host_id"], [""] * n, [np.nan] * n]
        logits = pa.array(model.logits(negatives["images"]), pa.float32())
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCORES)]
        tables.append(pa.table([*arrays, logits], schema=SCORES))
    return pa.concat_tables(tables)


@dataclass(frozen=True)
class Measure:
    """A metric of one run as a function of bootstrap weights over the rows of its score table."""

    name: str
    rows: np.ndarray
    statistic: object

    def of(self, weights: np.ndarray) -> np.ndarray:
        """(draws,) values."""
        return self.statistic(weights[:, self.rows])


def measures(frame: pd.DataFrame, config: EvaluateConfig) -> list[Measure]:
    """The metrics of one run's scores.

    ``auroc`` of positives against controls; ``core_swap_effect``, what it loses when the positives' cores are taken
    from their controls; ``auroc_hard`` against hard negatives; ``tpr_fpr_*`` at the false-positive rates the survey
    negatives support; ``auroc_theta_e_*``.
    """
    logit, kind = frame["logit"].to_numpy(float), frame["kind"].to_numpy()
    at = {name: np.flatnonzero(kind == name) for name in np.unique(kind)}

    def auroc(positives: np.ndarray, negatives: np.ndarray):
        rows = np.concatenate([positives, negatives])
        return rows, metrics.auroc_statistic(logit[rows], np.arange(len(rows)) < len(positives))

    whole, swapped = auroc(at["positive"], at["control"]), auroc(at["core_swapped"], at["control"])
    both, n = np.concatenate([whole[0], swapped[0]]), len(whole[0])
    found = [
        Measure("auroc", *whole),
        Measure("core_swap_effect", both, lambda w: whole[1](w[:, :n]) - swapped[1](w[:, n:])),
    ]
    if len(at.get("hard_negative", ())):
        found.append(Measure("auroc_hard", *auroc(at["positive"], at["hard_negative"])))
    survey = at.get("survey_negative", np.empty(0, int))
    for fpr in supported_fprs(len(survey), config.min_expected_fp):
        rows = np.concatenate([at["positive"], survey])
        recall = metrics.recall_statistic(logit[rows], np.arange(len(rows)) < len(at["positive"]), fpr)
        found.append(Measure(f"tpr_fpr_{fpr:.3g}", rows, lambda w, recall=recall: recall(w)[0]))
    theta_e = frame["theta_e_arcsec"].to_numpy()
    for low, high, inside in bins.members(theta_e, config.theta_e_edges):
        positives, negatives = (rows[inside[rows]] for rows in (at["positive"], at["control"]))
        if len(positives):
            found.append(Measure(f"auroc_theta_e_{low:g}_{high:g}", *auroc(positives, negatives)))
    return found


def compare(
    runs: list[pd.DataFrame], reference: list[pd.DataFrame] | None, config: EvaluateConfig, seed: int
) -> list[dict]:
    """Metrics of a variant's runs, and their differences to those of another variant with the same seeds.

    Parameters
    ----------
    runs, reference : list of DataFrame
        Scores of each seed; rows in the same order everywhere. One run without a seed of its own, as a baseline's,
        is paired with every run of the reference.
    config : EvaluateConfig
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of dict
        Keys of `dhs.validation.ablation.ablate.Ablation.table` from ``metric`` to ``flags``.
    """
    first = runs[0]
    for other in (*runs, *(reference or [])):
        if not (other[["kind", "pair_id", "host_id"]].equals(first[["kind", "pair_id", "host_id"]])):
            raise DhsError("scores of different test sets can't be compared. Choose another --out.")
    lensed = first["kind"] == "positive"
    clusters = metrics.Clusters(first["host_id"], first["source_id"], config.n_bootstrap, seed, classes=lensed)
    ours = [measures(run, config) for run in runs]
    theirs = [measures(run, config) for run in reference or []]
    pairs = list(zip(ours * len(theirs) if len(ours) == 1 else ours, theirs, strict=bool(theirs)))
    one = np.ones((1, len(first)))
    out = []
    for i, measure in enumerate(ours[0]):
        by_seed = np.array([run[i].of(one)[0] for run in ours])
        row = {"metric": measure.name, "value": by_seed.mean(), "value_by_seed": by_seed.tolist()}
        sub = first.iloc[measure.rows]
        row |= {
            "n": len(sub),
            "n_hosts": sub["host_id"].nunique(),
            "n_sources": sub["source_id"].replace("", None).nunique(),
        }
        row |= {"difference": np.nan, "ci_low": np.nan, "ci_high": np.nan, "difference_by_seed": [], "flags": []}
        if theirs:
            apart = np.array([a[i].of(one)[0] - b[i].of(one)[0] for a, b in pairs])

            def difference(w, i=i):
                return np.mean([a[i].of(w) - b[i].of(w) for a, b in pairs], axis=0)

            metric = clusters.metric(float(apart.mean()), difference, (-1.0, 1.0))
            row |= {"difference": apart.mean(), "difference_by_seed": apart.tolist(), "flags": list(metric.flags)}
            if metric.ci_low is not None:
                row |= {"ci_low": metric.ci_low, "ci_high": metric.ci_high}
        out.append(row)
    return out
