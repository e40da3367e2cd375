"""The sections of ``evaluation.json``, each a function of scores alone.

``Scores`` are the columns of ``scores.parquet``. A control carries no source light, so only positives and hard
negatives are clustered by source; survey negatives are each their own host.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize_scalar
from scipy.special import expit

from dhs.config import EvaluateConfig
from dhs.validation import metrics
from dhs.validation.metrics import Clusters, Metric

BRIGHT_SNR, WIDE_ARCSEC = 60.0, 1.2
MIN_STRATUM = 10
GALLERY = 24


@dataclass(frozen=True)
class Scores:
    """Columns of scored stamps as arrays, and the configuration that every section shares.

    Attributes
    ----------
    columns : dict of str to ndarray, (n,)
        Of ``scores.parquet``.
    config : EvaluateConfig
    seed : int
    """

    columns: dict[str, np.ndarray]
    config: EvaluateConfig
    seed: int

    @classmethod
    def of(cls, table: pa.Table, config: EvaluateConfig, seed: int) -> Scores:
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        for name in ("host_id", "source_id", "kind", "subkind", "split"):
            columns[name] = np.array([v or "" for v in columns[name]], dtype=str)
        columns["source_id"][np.isin(columns["kind"], ("control", "survey_negative"))] = ""
        return cls(columns, config, seed)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def where(self, mask: np.ndarray) -> Scores:
        """The rows of a mask."""
        return Scores({k: v[mask] for k, v in self.columns.items()}, self.config, self.seed)

    def kind(self, *prefixes: str) -> np.ndarray:
        """Mask of rows whose kind begins with one of the prefixes."""
        return np.char.startswith(self["kind"][:, None], np.array(prefixes)).any(axis=1)

    def auroc(self, negatives: str, column: str = "logit", chosen: np.ndarray | None = None) -> Metric:
        """AUROC of positives against one kind of negative.

        Parameters
        ----------
        negatives : str
            Prefix of the kind.
        column : str
            Score to use; rows where it is NaN are left out.
        chosen : ndarray of bool, optional
            Further cut on positives, and on controls and hard negatives, which carry their pair's values.
        """
        chosen = np.ones(len(self["kind"]), bool) if chosen is None else chosen
        of_negatives = self.kind(negatives) & (chosen | (negatives == "survey_negative"))
        use = ((self.kind("positive") & chosen) | of_negatives) & np.isfinite(self[column])
        part = self.where(use)
        n_positive = int(part.kind("positive").sum())
        if min(n_positive, len(part["kind"]) - n_positive) < MIN_STRATUM:
            return metrics.missing(f"fewer than {MIN_STRATUM} of a class", n_positive)
        labels = part.kind("positive")
        return metrics.auroc(part[column], labels, part["host_id"], part["source_id"], **self.options)

    @property
    def options(self) -> dict:
        return {"n_bootstrap": self.config.n_bootstrap, "seed": self.seed}


def in_bin(values: np.ndarray, low: float, high: float, last: bool) -> np.ndarray:
    """Mask of a bin; the last one holds its upper edge."""
    values = values.astype(float)
    return (values >= low - 1e-6) & ((values <= high + 1e-6) if last else (values < high - 1e-6))


def bins(edges) -> list[tuple[float, float, bool]]:
    """(low, high, is the last) of consecutive edges."""
    return [(float(a), float(b), i == len(edges) - 2) for i, (a, b) in enumerate(pairwise(edges))]


def psf_edges(scores: Scores) -> list[float]:
    """Quantiles of the positives' r-band PSF width."""
    values = scores["psf_fwhm_r_arcsec"][scores.kind("positive")]
    edges = np.quantile(values[np.isfinite(values)], np.linspace(0, 1, scores.config.n_psf_bins + 1))
    return np.unique(edges).tolist()


def discrimination(scores: Scores) -> dict:
    """AUROC overall, against each kind of negative, by stratum, and for bright, wide arcs."""
    positive = scores.kind("positive")
    edges = {"theta_e_arcsec": scores.config.theta_e_edges, "arc_snr_matched": scores.config.snr_edges}
    if positive.any():
        edges["psf_fwhm_r_arcsec"] = psf_edges(scores)
    strata = {}
    for name, bounds in edges.items():
        strata[name] = []
        for low, high, last in bins(bounds):
            chosen = in_bin(scores[name], low, high, last)
            entry = {"lo": low, "hi": high, **scores.auroc("control", chosen=chosen).as_dict()}
            strata[name].append(entry | {"survey": scores.auroc("survey_negative", chosen=chosen).as_dict()})
    bright = (scores["arc_snr_matched"] > BRIGHT_SNR) & (scores["theta_e_arcsec"] > WIDE_ARCSEC)
    pair = _by_pair(scores, "logit")
    return {
        "auroc": scores.auroc("control"),
        "auroc_survey": scores.auroc("survey_negative"),
        "concordance": metrics.concordance(
            pair["positive"], pair["control"], pair["host"], pair["source"], **scores.options
        ),
        "bright_wide": {
            "auroc": scores.auroc("control", chosen=bright),
            "survey": scores.auroc("survey_negative", chosen=bright),
            "arc_snr_matched_above": BRIGHT_SNR,
            "theta_e_arcsec_above": WIDE_ARCSEC,
        },
        "strata": strata,
    }


def _by_pair(scores: Scores, column: str) -> dict:
    """A score of positive and control side by side, pairs that have both."""
    positive, control = (np.flatnonzero(scores.kind(k)) for k in ("positive", "control"))
    _, a, b = np.intersect1d(scores["pair_id"][positive], scores["pair_id"][control], return_indices=True)
    rows = positive[a]
    return {
        "positive": scores[column][rows],
        "control": scores[column][control[b]],
        "host": scores["host_id"][rows],
        "source": scores["source_id"][rows],
    }


def rates(scores: Scores) -> dict:
    """Recall at the false-positive rates that the survey negatives support: over all kinds, and by kind."""
    kinds = sorted(set(scores["subkind"][scores.kind("survey_negative")]))
    chosen = {"all": scores.kind("survey_negative")}
    chosen |= {kind: chosen["all"] & (scores["subkind"] == kind) for kind in kinds}
    out = {name: _rates(scores, mask) for name, mask in chosen.items()}
    for entry in out["all"]:
        entry["fpr_by_kind"] = {
            kind: metrics.proportion(
                int((scores["logit"][chosen[kind]] > entry["threshold"].value).sum()), int(chosen[kind].sum())
            )
            for kind in kinds
            if entry["threshold"].value is not None
        }
    return {"tpr_at_fpr": out.pop("all"), "tpr_at_fpr_by_kind": out}


def _rates(scores: Scores, negatives: np.ndarray) -> list[dict]:
    part = scores.where(scores.kind("positive") | negatives)
    labels, n = part.kind("positive"), int(negatives.sum())
    entries = []
    for fpr in metrics.supported_fprs(n, scores.config.min_expected_fp) if labels.any() else []:
        recall, threshold = metrics.tpr_at_fpr(
            part["logit"], labels, fpr, part["host_id"], part["source_id"], **scores.options
        )
        entries.append({"fpr": fpr, "tpr": recall, "threshold": threshold, "n_negatives": n})
    return entries


def core_masked(scores: Scores) -> dict:
    """AUROC with the core hidden from the network, and the paired change against the whole stamp."""
    known = np.isfinite(scores["logit_core_masked"]) & scores.kind("positive", "control")
    part = scores.where(known)
    labels = part.kind("positive")
    if labels.sum() < MIN_STRATUM or (~labels).sum() < MIN_STRATUM:
        return {"status": "skip", "reason": f"fewer than {MIN_STRATUM} stamps have a core-masked score"}
    masked, whole = (metrics.auroc_statistic(part[c], labels) for c in ("logit_core_masked", "logit"))
    clusters = Clusters(part["host_id"], part["source_id"], scores.config.n_bootstrap, scores.seed)
    one = np.ones((1, len(labels)))
    value = float(masked(one)[0] - whole(one)[0])
    by_theta = []
    for low, high, last in bins(scores.config.theta_e_edges):
        chosen = in_bin(part["theta_e_arcsec"], low, high, last)
        metric = part.auroc("control", "logit_core_masked", chosen)
        by_theta.append({"lo": low, "hi": high, **metric.as_dict()})
    return {
        "radius_px": scores.config.core_radius_px,
        "auroc": part.auroc("control", "logit_core_masked"),
        "delta": clusters.metric(value, lambda w: masked(w) - whole(w), (-1.0, 1.0)),
        "by_theta_e": by_theta,
    }


def core_swap(scores: Scores, swapped: dict[str, np.ndarray]) -> dict:
    """What the score of a positive does when its arc light at r < R is replaced by the control's pixels.

    Parameters
    ----------
    scores : Scores
    swapped : dict of ndarray, (n,)
        ``pair_id`` and the logits ``core`` (core pixels from the control), ``placebo`` (core pixels from the same
        arc with another draw of its shot noise: the same edge, no light removed) and ``outer`` (all other pixels
        from the control).
    """
    positive = np.flatnonzero(scores.kind("positive"))
    _, a, b = np.intersect1d(scores["pair_id"][positive], swapped["pair_id"], return_indices=True)
    if len(a) < MIN_STRATUM:
        return {"status": "skip", "reason": f"{len(a)} positives, {MIN_STRATUM} are needed"}
    rows = positive[a]
    logit, hosts, sources = (scores[c][rows] for c in ("logit", "host_id", "source_id"))
    change = {name: swapped[name][b] - logit for name in ("core", "placebo", "outer")}

    def average(values, mask=slice(None)):
        return metrics.mean(values[mask], hosts[mask], sources[mask], **scores.options)

    net = change["core"] - change["placebo"]
    by_theta = []
    for low, high, last in bins(scores.config.theta_e_edges):
        chosen = in_bin(scores["theta_e_arcsec"][rows], low, high, last)
        by_theta.append({"lo": low, "hi": high, **average(net, chosen).as_dict()})
    out = {"radius_px": scores.config.core_radius_px, "unit": "logit"}
    for name, suffix in (("core", ""), ("placebo", "_placebo"), ("outer", "_outer")):
        controls = scores.where(scores.kind("control"))
        values = np.concatenate([swapped[name][b], controls["logit"]])
        labels = np.repeat([True, False], [len(b), len(controls["logit"])])
        both_hosts = np.concatenate([hosts, controls["host_id"]])
        both_sources = np.concatenate([sources, controls["source_id"]])
        found = metrics.auroc(values, labels, both_hosts, both_sources, **scores.options)
        out[f"auroc{suffix}"] = found if (~labels).sum() >= MIN_STRATUM else metrics.missing("too few controls")
    return out | {
        "delta": average(net),
        "core": average(change["core"]),
        "placebo": average(change["placebo"]),
        "outer": average(change["outer"]),
        "by_theta_e": by_theta,
    }


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature that minimises the cross-entropy of ``logits / T`` (Guo et al. 2017, ICML, section 4.2)."""
    sign = np.where(labels, -1.0, 1.0)
    found = minimize_scalar(
        lambda t: np.logaddexp(0, sign * logits / np.exp(t)).mean(), bounds=(-6, 6), method="bounded"
    )
    return float(np.exp(found.x))


def calibration(test: Scores, val: Scores) -> dict:
    """Reliability of positives against controls, before and after a temperature fitted on the validation split."""
    fit, use = (s.where(s.kind("positive", "control")) for s in (val, test))
    fit_labels, labels = fit.kind("positive"), use.kind("positive")
    if min(fit_labels.sum(), (~fit_labels).sum(), labels.sum(), (~labels).sum()) < MIN_STRATUM:
        return {"status": "skip", "reason": f"fewer than {MIN_STRATUM} stamps of a class in val or test"}
    temperature = fit_temperature(fit["logit"].astype(float), fit_labels)
    before = metrics.reliability(expit(use["logit"]), labels)
    after = metrics.reliability(expit(use["logit"] / temperature), labels)
    return {
        "temperature": temperature,
        "fitted_on": {"split": "val", "n": len(fit_labels)},
        "n": before["n"],
        "ece_before": before["ece"],
        "ece_after": after["ece"],
        "bins": before["bins"],
        "bins_calibrated": after["bins"],
        "balance": float(labels.mean()),
    }


def completeness(scores: Scores, operating: dict | None) -> dict:
    """Fraction of injected arcs found, over theta_E x matched SNR, at one threshold.

    Parameters
    ----------
    scores : Scores
    operating : dict or None
        The entry of ``tpr_at_fpr`` whose threshold is used.
    """
    if operating is None or operating["threshold"].value is None:
        return {
            "status": "skip",
            "reason": "the survey negatives support no false-positive rate, so no threshold",
        }
    part = scores.where(scores.kind("positive"))
    found = part["logit"] > operating["threshold"].value
    cells = []
    for theta in bins(scores.config.theta_e_edges):
        for snr in bins(scores.config.snr_edges):
            inside = in_bin(part["theta_e_arcsec"], *theta) & in_bin(part["arc_snr_matched"], *snr)
            n, k = int(inside.sum()), int(found[inside].sum())
            edges = {"theta_e_lo": theta[0], "theta_e_hi": theta[1], "snr_lo": snr[0], "snr_hi": snr[1]}
            cells.append(edges | metrics.proportion(k, n).as_dict() | {"k": k})
    overall = metrics.mean(found, part["host_id"], part["source_id"], bounds=(0.0, 1.0), **scores.options)
    return {
        "prior": "response grid",
        "fpr": operating["fpr"],
        "threshold": operating["threshold"].value,
        "overall": overall,
        "cells": cells,
        "interval": "Wilson, 95 %, within the cell",
    }


def purity(scores: Scores, entries: list[dict]) -> dict:
    """Purity at the configured prevalence, at each supported false-positive rate."""
    if not entries:
        return {"status": "skip", "reason": "the survey negatives support no false-positive rate"}
    part = scores.where(scores.kind("positive", "survey_negative"))
    labels, table = part.kind("positive"), []
    for entry in entries:
        if entry["threshold"].value is None:
            continue
        metric = metrics.purity_at(
            part["logit"], labels, entry["threshold"].value, scores.config.prevalence, part["host_id"],
            part["source_id"], **scores.options,
        )  # fmt: skip
        table.append({"fpr": entry["fpr"], "tpr": entry["tpr"].value, "purity": metric})
    return {
        "prevalence": scores.config.prevalence,
        "purity": table[-1]["purity"] if table else metrics.missing("no threshold"),
        "fpr": table[-1]["fpr"] if table else None,
        "at_fpr": table,
        "note": "lenses with the injected distribution of theta_E and SNR, negatives with the mock proportions",
    }


def hard_negatives(scores: Scores, operating: dict | None) -> dict:
    """AUROC of positives against hard negatives, and how many of those pass for lenses."""
    kinds = sorted(set(scores["kind"][scores.kind("hard_negative")]))
    if not kinds:
        return {"status": "skip", "reason": "the test split has no hard negative"}
    by_kind = {}
    for kind in kinds:
        part = scores.where(scores["kind"] == kind)
        options = {**scores.options, "bounds": (0.0, 1.0)}
        entry = {"auroc": scores.auroc(kind)}
        entry["accuracy"] = metrics.mean(part["logit"] < 0, part["host_id"], part["source_id"], **options)
        if operating is not None and operating["threshold"].value is not None:
            above = part["logit"] > operating["threshold"].value
            entry["fraction_above_threshold"] = metrics.mean(above, part["host_id"], part["source_id"], **options)
            entry["survey_fpr"] = operating["fpr"]
        by_kind[kind] = entry
    return {"auroc": scores.auroc("hard_negative"), "by_kind": by_kind}


def galleries(scores: Scores) -> dict:
    """The positives scored lowest and the negatives of each kind scored highest, by id."""
    out = {}
    for name, kind, sign in (
        ("false_negatives", "positive", 1),
        ("false_positives_control", "control", -1),
        ("false_positives_hard", "hard_negative", -1),
        ("false_positives_survey", "survey_negative", -1),
    ):
        rows = np.flatnonzero(scores.kind(kind))
        rows = rows[np.argsort(sign * scores["logit"][rows], kind="stable")][:GALLERY]
        columns = ("pair_id", "host_id", "kind", "subkind", "logit", "theta_e_arcsec", "arc_snr_matched")
        out[name] = [{c: scores[c][i] for c in columns} for i in rows]
    return out
