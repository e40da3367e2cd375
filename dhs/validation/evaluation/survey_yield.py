"""What the scores are worth to a survey: calibration, the top of the ranking, purity, completeness, the population.

Sections of ``evaluation.json``, as those of `dhs.validation.evaluation.discrimination`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from dhs.errors import DhsError
from dhs.injection.priors import MAG_LIMIT
from dhs.stats import calibration as cal
from dhs.stats import metrics, ranking
from dhs.validation.evaluation import completeness as comp
from dhs.validation.evaluation.discrimination import MIN_STRATUM, Scores, quantile_edges
from dhs.validation.evaluation.population_weights import POPULATION, PopulationWeights, population_weights

PARTIAL_FPR = (0.1, 0.01)
NO_RATE = "the survey negatives support no false-positive rate"


def calibration(test: Scores, val: Scores, val_survey: Scores | None = None) -> dict:
    """Reliability of positives against controls, before and after calibration on the validation split.

    Parameters
    ----------
    test, val : Scores
    val_survey : Scores, optional
        Survey negatives set apart for calibration: with the positives of ``val`` they fit the probabilities that
        `dhs.validation.candidates.candidates` states, which ``survey`` checks on the test split at the configured
        prevalence.
    """
    fit, use = (s.where(s.kind("positive", "control")) for s in (val, test))
    labels = use.kind("positive")
    if min(*_both(fit.kind("positive")), *_both(labels)) < MIN_STRATUM:
        return {"status": "skip", "reason": f"fewer than {MIN_STRATUM} stamps of a class in val or test"}
    try:
        fitted = cal.fit(fit["logit"], fit.kind("positive"))
    except DhsError as error:
        return {"status": "skip", "reason": str(error)}
    logits = use["logit"].astype(float)
    stated = {"before": expit(logits)} | {m: fitted.probability(logits, m) for m in ("temperature", "isotonic")}
    diagrams = {name: cal.reliability(p, labels, *use.clusters) for name, p in stated.items()}
    tested = {name: cal.against_perfect(p, labels, *use.clusters, seed=test.seed) for name, p in stated.items()}
    return {
        "temperature": fitted.temperature,
        "fitted_on": {"split": "val", "n": fitted.n},
        "n": len(labels),
        "ece_before": diagrams["before"]["ece"],
        "ece_after": diagrams["temperature"]["ece"],
        "ece_isotonic": diagrams["isotonic"]["ece"],
        "bins": diagrams["before"]["bins"],
        "bins_calibrated": diagrams["temperature"]["bins"],
        "bins_isotonic": diagrams["isotonic"]["bins"],
        "quality": {name: cal.quality(p, labels, *use.clusters) for name, p in stated.items()},
        "against_perfect": tested,
        "balance": float(labels.mean()),
        "survey": _survey_calibration(test, val, val_survey),
    }


def _both(labels: np.ndarray) -> tuple[int, int]:
    return int(labels.sum()), int((~labels).sum())


def _survey_calibration(test: Scores, val: Scores, val_survey: Scores | None) -> dict:
    """Probabilities against survey negatives: fitted on val positives and negatives of their own, checked on test."""
    positive = val.where(val.kind("positive"))
    if val_survey is None or min(len(val_survey), len(positive)) < MIN_STRATUM:
        return {"status": "skip", "reason": "no survey negatives were set apart for calibration"}
    logits = np.concatenate([positive["logit"], val_survey["logit"]])
    try:
        fitted = cal.fit(logits, np.repeat([True, False], [len(positive), len(val_survey)]))
    except DhsError as error:
        return {"status": "skip", "reason": str(error)}
    part = test.where(test.kind("positive", "survey_negative"))
    labels = part.kind("positive")
    out = {"calibrator": fitted.as_dict(), "method": "sigmoid", "prevalence": test.config.prevalence}
    if min(_both(labels)) < MIN_STRATUM:
        return out | {
            "checked": {"status": "skip", "reason": "fewer survey negatives or positives than needed in test"}
        }
    p = fitted.probability(part["logit"], "sigmoid", prevalence=float(labels.mean()))
    shifted = fitted.probability(part["logit"], "sigmoid", prevalence=test.config.prevalence)
    share = np.where(labels, test.config.prevalence / labels.sum(), (1 - test.config.prevalence) / (~labels).sum())
    checked = cal.reliability(p, labels, *part.clusters) | cal.quality(p, labels, *part.clusters)
    checked["against_perfect"] = cal.against_perfect(p, labels, *part.clusters, seed=test.seed)
    # At the prevalence, the lenses that the probabilities promise above 1/2, and those that are there.
    above = shifted > 0.5
    return out | {
        "checked": checked | {"balance": float(labels.mean())},
        "promised_lenses": float((share * shifted).sum() / test.config.prevalence),
        "likelier_than_not": {"completeness": float(above[labels].mean()), "fpr": float(above[~labels].mean())},
    }


def top(scores: Scores, operating: dict | None) -> dict:
    """The top of the ranking against survey negatives: partial AUC, TPR0, TPR10, F1."""
    part = scores.where(scores.kind("positive", "survey_negative"))
    labels, logit = part.kind("positive"), metrics.finite(part["logit"])
    n_negative = int((~labels).sum())
    if min(_both(labels)) < MIN_STRATUM:
        return {"status": "skip", "reason": f"fewer than {MIN_STRATUM} positives or survey negatives"}
    rates = [f for f in PARTIAL_FPR if f * n_negative >= scores.config.min_expected_fp]
    before = {name: n for name, n in (("tpr0", 1), ("tpr10", 10)) if n < n_negative}
    measured = {f: ranking.partial_auc_statistic(logit, labels, f) for f in rates}
    measured |= {name: ranking.tpr_before_statistic(logit, labels, n) for name, n in before.items()}
    threshold = operating["threshold"].value if operating else None
    if threshold is not None:
        measured["f1"] = ranking.f1_statistic(logit, labels, threshold, None)
        measured["f1_at_prevalence"] = ranking.f1_statistic(logit, labels, threshold, scores.config.prevalence)
    found = ranking.together(measured, metrics.Clusters(*part.clusters, classes=labels, **scores.options))
    out = {"n_negatives": n_negative}
    out["partial_auc"] = [{"max_fpr": f, **found.pop(f).as_dict()} for f in rates]
    for name, share in (("f1", None), ("f1_at_prevalence", scores.config.prevalence)):
        if name in found:
            found[name] = ranking.none_found(found[name], logit > threshold, labels, share, *part.clusters)
    out |= {name: metrics.missing("too_few_negatives", len(labels)) for name in ("tpr0", "tpr10")} | found
    return out | ({"tpr0": ranking.extreme(found["tpr0"])} if "tpr0" in found else {})


def purity(scores: Scores, entries: list[dict]) -> dict:
    """Purity at the configured prevalence, at each supported false-positive rate and along the whole curve."""
    if not entries:
        return {"status": "skip", "reason": NO_RATE}
    part, prevalence = scores.where(scores.kind("positive", "survey_negative")), scores.config.prevalence
    labels, table = part.kind("positive"), []
    for entry in entries:
        if entry["threshold"].value is None:
            continue
        metric = cal.purity_at(part["logit"], labels, entry["threshold"].value, prevalence, *part.clusters)
        table.append({"fpr": entry["fpr"], "tpr": entry["tpr"].value, "purity": metric})
    return {
        "prevalence": prevalence,
        "purity": table[-1]["purity"] if table else metrics.missing("no threshold"),
        "fpr": table[-1]["fpr"] if table else None,
        "at_fpr": table,
        "curve": cal.purity_curve(part["logit"], labels, prevalence, scores.config.min_expected_fp),
        "note": "lenses with the injected distribution of theta_E and SNR, negatives with the mock proportions",
    }


def weights_of(drawn: np.ndarray) -> PopulationWeights | str:
    """Population weights of pairs, or why there are none."""
    if not len(drawn):
        return "no pair"
    try:
        return population_weights(drawn)
    except DhsError as error:
        return str(error)


def population(scores: Scores, weights: np.ndarray | str, entries: list[dict]) -> dict:
    """The test split as a sample of the lens population, by weights of its positives.

    Parameters
    ----------
    scores : Scores
    weights : ndarray (positives,) or str
        Of the positives in their order; or why there are none.
    entries : list of dict
        ``tpr_at_fpr``: the thresholds stay those of the negatives, which carry no weight.
    """
    if isinstance(weights, str):
        return {"status": "skip", "reason": weights}
    positive = scores.where(scores.kind("positive"))
    rest = positive.clusters
    effective = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
    if effective < MIN_STRATUM:
        return {"status": "skip", "reason": f"the weights leave {effective:.1f} effective positives of {len(weights)}"}
    recall = []
    for entry in entries:
        if entry["threshold"].value is not None:
            found = positive["logit"] > entry["threshold"].value
            metric = metrics.mean(found, *rest, bounds=(0.0, 1.0), row_weights=weights)
            recall.append({"fpr": entry["fpr"], "threshold": entry["threshold"].value, "tpr": metric})
    out = {
        "n_effective": effective,
        "n": len(weights),
        "recall_at_threshold": recall,
        "of": POPULATION,
        "mag_limit_r": MAG_LIMIT,
    }
    for kind in ("control", "survey_negative"):
        part = scores.where(scores.kind("positive", kind))
        labels, w = part.kind("positive"), np.ones(len(part))
        w[labels] = weights
        if (~labels).sum() >= MIN_STRATUM:
            metric = metrics.auroc(part["logit"], labels, *part.clusters, row_weights=w)
            out["auroc" if kind == "control" else "auroc_survey"] = metric
    return out


def mapped_at(scores: Scores, entries: list[dict]) -> dict | None:
    """The entry of ``tpr_at_fpr`` to map completeness at: the smallest rate that leaves enough arcs found to map."""
    known = [e for e in entries if e["threshold"].value is not None]
    logits = scores["logit"][scores.kind("positive")]
    enough = [e for e in known if (logits > e["threshold"].value).sum() >= comp.MIN_OF_EACH]
    return enough[-1] if enough else known[-1] if known else None


def completeness(
    scores: Scores, operating: dict | None, weights: np.ndarray | str, prior: str = "joint"
) -> tuple[dict, list, object]:
    """Fraction of injected arcs found at one threshold: the section, the cells of the full grid, the smooth map.

    Parameters
    ----------
    scores : Scores
    operating : dict or None
        The entry of ``tpr_at_fpr`` whose threshold is used, of `mapped_at`.
    weights : ndarray (positives,) or str
        Population weights, or why there are none.
    prior : str
        That the pairs were drawn under.

    Returns
    -------
    section : dict
        ``host_cells``: over theta_E and host magnitude, along which recall varies most at given theta_E.
    cells : list of dict
        Over theta_E, matched SNR, PSF, depth and host magnitude, as drawn and weighted to the population; empty where
        there is no threshold.
    model : CompletenessMap or None
    """
    if operating is None or operating["threshold"].value is None:
        return {"status": "skip", "reason": f"{NO_RATE}, so no threshold"}, [], None
    part, config = scores.where(scores.kind("positive")), scores.config
    found = part["logit"] > operating["threshold"].value
    edges = {"theta_e_arcsec": config.theta_e_edges, "arc_snr_matched": config.snr_edges}
    plane = [_short(c) for c in comp.cells(part, found, edges, clusters=part.clusters)]
    for name in ("psf_fwhm_r_arcsec", "depth_r_mag", "host_mag_r"):
        quantiles = quantile_edges(part, name, config.n_psf_bins)
        if len(quantiles) > 1:
            edges[name] = quantiles
    grid = [c | {"prior": prior} for c in comp.cells(part, found, edges, clusters=part.clusters)]
    weighted = isinstance(weights, np.ndarray) and weights.any()
    if weighted:
        grid += [c | {"prior": "population"} for c in comp.cells(part, found, edges, weights, part.clusters)]
    rest = part.clusters
    about = {"prior": prior, "fpr": operating["fpr"], "threshold": operating["threshold"].value}
    try:
        columns = {a: part[a] for a in comp.AXES if a != "host_mag_r" or np.isfinite(part[a]).all()}
        model = comp.fit(columns, found, metrics.Clusters(*rest, **(scores.options | {"n_bootstrap": 100})), about)
        smooth = {"axes": list(model.axes), "ranges": [list(r) for r in model.ranges]} | model.about
    except DhsError as error:
        model, smooth = None, {"status": "skip", "reason": str(error)}
    section = about | {
        "overall": metrics.mean(found, *rest, bounds=(0.0, 1.0)),
        "overall_population": (
            metrics.mean(found, *rest, bounds=(0.0, 1.0), row_weights=weights)
            if weighted
            else metrics.missing(weights if isinstance(weights, str) else "no weights")
        ),
        "cells": plane,
        "host_cells": _host_cells(part, found, edges),
        "marginals": {n: comp.cells(part, found, {n: e}, clusters=part.clusters) for n, e in edges.items()},
        "marginals_population": (
            {n: comp.cells(part, found, {n: e}, weights, part.clusters) for n, e in edges.items()} if weighted else {}
        ),
        "smooth": smooth,
        "file": "completeness.parquet",
        "interval": "Jeffreys, 95 %, for as many independent arcs as know the share as well",
    }
    return section, grid, model


def _host_cells(part: Scores, found: np.ndarray, edges: dict) -> list[dict]:
    """Cells over theta_E and host magnitude; none where the magnitudes do not vary."""
    if "host_mag_r" not in edges:
        return []
    chosen = {n: edges[n] for n in ("theta_e_arcsec", "host_mag_r")}
    return comp.cells(part, found, chosen, clusters=part.clusters)


def _short(cell: dict) -> dict:
    names = {"theta_e_arcsec": "theta_e", "arc_snr_matched": "snr"}
    for name, short in names.items():
        for end in ("lo", "hi"):
            cell[f"{short}_{end}"] = cell.pop(f"{name}_{end}")
    return cell
