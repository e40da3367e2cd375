"""Recall apart for lenses found in images and by their spectra, and what passes of candidates shown to be no lens."""

from __future__ import annotations

import math

import numpy as np

from dhs.stats.clusters import Metric, missing
from dhs.stats.metrics import clopper_pearson, wilson

WAYS = ("imaging", "spectroscopy")


def is_lens(stamp: dict) -> bool:
    return stamp.get("is_lens", True) is not False


def weighted_recall(found: np.ndarray, probability: np.ndarray) -> Metric:
    """Share found of candidates, each weighted by the probability that it is a lens.

    The interval is exact where all are certain; else Wilson's at Kish's effective number, (sum p)^2 / sum p^2.
    """
    total = float(probability.sum())
    if total <= 0:
        return missing("empty")
    value, n = float((found * probability).sum() / total), len(found)
    if (probability == 1).all():
        return Metric(value, *clopper_pearson(int(found.sum()), n), n, n, None, ("exact",))
    effective = total**2 / float((probability**2).sum())
    low, high = wilson(value * effective, effective)
    return Metric(value, float(low), float(high), n, n, None, ("weighted", f"effective n {effective:.1f}"))


def by_selection(stamps: list[dict], thresholds: list[tuple[float, float]]) -> dict:
    """Recall by how lenses were found.

    Parameters
    ----------
    stamps : list of dict
        ``logit``, ``found_by`` and ``probability`` as the catalogue gives them.
    thresholds : list of (fpr, threshold)

    Returns
    -------
    dict
        ``imaging`` and ``spectroscopy``: ``n`` and ``recall_at_fpr``; a skip where the catalogue does not say.
    """
    told = [s for s in stamps if is_lens(s) and s.get("found_by") in WAYS]
    if not told:
        return {"status": "skip", "reason": "the catalogue has no column found_by: make one with `dhs lenses`"}
    parts: dict = {"status": "scored"}
    for way in WAYS:
        chosen = [s for s in told if s["found_by"] == way]
        logits = np.array([s["logit"] for s in chosen], dtype=float)
        weight = np.array([_probability(s) for s in chosen], dtype=float)
        recall = [{"fpr": fpr, "threshold": t, "recall": weighted_recall(logits > t, weight)} for fpr, t in thresholds]
        parts[way] = {"n": len(chosen), "n_expected": float(weight.sum()), "recall_at_fpr": recall}
    return parts


def _probability(stamp: dict) -> float:
    value = stamp.get("probability")
    return 1.0 if value is None or not math.isfinite(value) else float(value)


def non_lenses(stamps: list[dict], thresholds: list[tuple[float, float]]) -> dict:
    """How many candidates that were shown to be no lens pass: those that looked most like one, a hard case."""
    logits = np.array([s["logit"] for s in stamps if not is_lens(s)], dtype=float)
    if not len(logits):
        return {"status": "skip", "reason": "the catalogue names no candidate that was shown to be no lens"}
    n, rates = len(logits), []
    for fpr, threshold in thresholds:
        k = int((logits > threshold).sum())
        passed = Metric(k / n, *clopper_pearson(k, n), n, n, None, ("exact",))
        rates.append({"survey_fpr": fpr, "threshold": threshold, "k": k, "fpr": passed})
    return {"status": "scored", "n": n, "fpr_at": rates}
