"""The sections of ``evaluation.json``, each a function of scores alone.

``Scores`` are the columns of ``scores.parquet``. A control carries no source light, so only positives and hard
negatives are clustered by source; survey negatives are each their own host.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from scipy import stats

from dhs.config import EvaluateConfig
from dhs.injection.hard_negatives.base import label_of
from dhs.stats import bins, metrics
from dhs.stats.metrics import Clusters, Metric
from dhs.survey.facts import psf_depth
from dhs.validation.preflight.gate import holm

BRIGHT_SNR, WIDE_ARCSEC = 60.0, 1.2
MIN_STRATUM = 10
GALLERY = 24
MASKED_AND_WHOLE = ("logit_core_masked", "logit")
TEXT = ("host_id", "source_id", "kind", "subkind", "split")


def _text(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A column of text as places in its sorted values, of which the first is the empty one; null is empty."""
    held = pa.chunked_array([*column.fill_null("").chunks, pa.array([""], column.type)]).combine_chunks()
    found = held.dictionary_encode()
    names, place = np.unique(np.array(found.dictionary.to_pylist(), dtype=str), return_inverse=True)
    return place.astype(np.int32)[found.indices.to_numpy()[:-1]], names


@dataclass(frozen=True)
class Scores:
    """Columns of scored stamps as arrays, and the configuration that every section shares.

    ``scores["logit"]`` is a column; columns of text are held as numbers, and a part (`where`) as the rows it is made
    of, so that many parts of a large table cost little.

    Attributes
    ----------
    columns : dict of str to ndarray, (n,)
        Of ``scores.parquet``, and ``depth_r_mag``, the 5-sigma depth for point sources in r; of text, the place in
        ``names``.
    names : dict of str to ndarray
        What each column of text may hold, sorted.
    config : EvaluateConfig
    seed : int
    rows : ndarray of int, optional
        Those that are meant; all by default.
    """

    columns: dict[str, np.ndarray]
    names: dict[str, np.ndarray]
    config: EvaluateConfig
    seed: int
    rows: np.ndarray | None = None

    @classmethod
    def of(cls, table: pa.Table, config: EvaluateConfig, seed: int) -> Scores:
        columns, names = {}, {}
        for name in table.column_names:
            if name in TEXT:
                columns[name], names[name] = _text(table[name])
            else:
                columns[name] = table[name].to_numpy(zero_copy_only=False)
        unlensed = np.isin(names["kind"], ("control", "survey_negative"))
        columns["source_id"][unlensed[columns["kind"]]] = 0
        columns["depth_r_mag"] = psf_depth(columns["sky_sigma_r"], columns["psf_fwhm_r_arcsec"])
        return cls(columns, names, config, seed)

    def __len__(self) -> int:
        return len(self.columns["logit"]) if self.rows is None else len(self.rows)

    def _held(self, name: str) -> np.ndarray:
        values = self.columns[name]
        return values if self.rows is None else values[self.rows]

    def __getitem__(self, name: str) -> np.ndarray:
        held = self._held(name)
        return self.names[name][held] if name in self.names else held

    @property
    def clusters(self) -> tuple[np.ndarray, np.ndarray]:
        """Host and source of each row as numbers, -1 for no source: what `dhs.stats.clusters.Clusters` takes."""
        return self._held("host_id"), self._held("source_id") - 1

    def where(self, mask: np.ndarray) -> Scores:
        """The rows of a mask."""
        rows = np.flatnonzero(mask)
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def kind(self, *prefixes: str) -> np.ndarray:
        """Mask of rows whose kind begins with one of the prefixes."""
        begins = np.char.startswith(self.names["kind"][:, None], np.array(prefixes)).any(axis=1)
        return begins[self._held("kind")]

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
        chosen = np.ones(len(self), bool) if chosen is None else chosen
        of_negatives = self.kind(negatives) & (chosen | (negatives == "survey_negative"))
        use = ((self.kind("positive") & chosen) | of_negatives) & np.isfinite(self[column])
        part = self.where(use)
        labels = part.kind("positive")
        if min(labels.sum(), (~labels).sum()) < MIN_STRATUM:
            return metrics.missing(f"fewer than {MIN_STRATUM} of a class", int(labels.sum()))
        return metrics.auroc(part[column], labels, *part.clusters)

    @property
    def options(self) -> dict:
        return {"n_bootstrap": self.config.n_bootstrap, "seed": self.seed}


def quantile_edges(scores: Scores, name: str, n_bins: int) -> list[float]:
    """Edges of bins that hold about as many positives each; none where the column is unknown or does not vary."""
    values = scores[name][scores.kind("positive")].astype(float)
    values = values[np.isfinite(values)]
    return np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1))).tolist() if len(values) else []


def discrimination(scores: Scores) -> dict:
    """AUROC overall, against each kind of negative, by stratum, and for bright, wide arcs."""
    positive = scores.kind("positive")
    config = scores.config
    edges = {"theta_e_arcsec": config.theta_e_edges, "arc_snr_matched": config.snr_edges}
    edges["arc_snr_maxpix"] = config.snr_maxpix_edges
    if positive.any():
        for name in ("psf_fwhm_r_arcsec", "depth_r_mag", "host_mag_r"):
            edges[name] = quantile_edges(scores, name, config.n_psf_bins)
    strata = {}
    for name, bounds in edges.items():
        strata[name] = []
        for low, high, chosen in bins.members(scores[name], bounds):
            entry = {"lo": low, "hi": high, **scores.auroc("control", chosen=chosen).as_dict()}
            entry["survey"] = scores.auroc("survey_negative", chosen=chosen).as_dict()
            strata[name].append(entry | {"p_differs": p_differs(scores, chosen)})
    tested = [e for entries in strata.values() for e in entries if e["p_differs"] is not None]
    for entry, p in zip(tested, holm([e["p_differs"] for e in tested]) if tested else []):
        entry["p_holm"] = float(p)
    bright = (scores["arc_snr_matched"] > BRIGHT_SNR) & (scores["theta_e_arcsec"] > WIDE_ARCSEC)
    pair = _by_pair(scores, "logit")
    return {
        "auroc": scores.auroc("control"),
        "auroc_survey": scores.auroc("survey_negative"),
        "concordance": metrics.concordance(pair["positive"], pair["control"], pair["host"], pair["source"]),
        "bright_wide": {
            "auroc": scores.auroc("control", chosen=bright),
            "survey": scores.auroc("survey_negative", chosen=bright),
            "arc_snr_matched_above": BRIGHT_SNR,
            "theta_e_arcsec_above": WIDE_ARCSEC,
        },
        "strata": strata,
    }


def recall_by_stratum(scores: Scores, strata: dict, operating: dict | None) -> None:
    """Put ``recall`` into every stratum: the share of its positives above the common threshold, held fixed."""
    threshold = operating["threshold"].value if operating else None
    part = scores.where(scores.kind("positive"))
    for name, entries in strata.items():
        edges = [e["lo"] for e in entries] + [e["hi"] for e in entries[-1:]]
        which = bins.index(part[name], edges) if entries else []
        for i, entry in enumerate(entries):
            here = part.where(which == i)
            if threshold is None or len(here) < MIN_STRATUM:
                reason = "no threshold" if threshold is None else f"fewer than {MIN_STRATUM} positives"
                entry["recall"] = metrics.missing(reason, len(here)).as_dict()
                continue
            found = metrics.mean(here["logit"] > threshold, *here.clusters, bounds=(0.0, 1.0))
            entry["recall"] = found.as_dict() | {"fpr": operating["fpr"]}


def p_differs(scores: Scores, chosen: np.ndarray) -> float | None:
    """Two-sided p-value that the AUROC of a stratum against paired controls is that of all other pairs.

    A t test on the difference, its spread clustered as everywhere, with the degrees of freedom of the side that has
    fewest clusters; None where a side is too small or has too few clusters for an interval. `discrimination` adjusts
    it over all strata of all axes (Holm 1979).
    """
    part = scores.where(scores.kind("positive", "control"))
    inside = chosen[scores.kind("positive", "control")]
    labels, influence, values = part.kind("positive"), np.zeros(len(inside)), []
    for mask, sign in ((inside, 1.0), (~inside, -1.0)):
        if min(labels[mask].sum(), (~labels[mask]).sum()) < MIN_STRATUM:
            return None
        values.append(metrics.auroc_statistic(part["logit"][mask], labels[mask])(np.ones((1, mask.sum())))[0])
        ones = np.ones(mask.sum())
        influence[mask] = sign * metrics.auroc_influence(part["logit"][mask], labels[mask], ones, values[-1])
    found = Clusters(*part.clusters).error(influence)
    fewest = min(Clusters(*part.where(mask).clusters).smallest for mask in (inside, ~inside))
    if fewest < metrics.MIN_CLUSTERS or not found or not found[0]:
        return None
    return float(2 * stats.t.sf(abs(values[0] - values[1]) / found[0], min(found[1], fewest - 1)))


def _by_pair(scores: Scores, column: str) -> dict:
    """A score of positive and control side by side, pairs that have both."""
    positive, control = (np.flatnonzero(scores.kind(k)) for k in ("positive", "control"))
    _, a, b = np.intersect1d(scores["pair_id"][positive], scores["pair_id"][control], return_indices=True)
    rows = positive[a]
    hosts, sources = scores.clusters
    return {
        "positive": scores[column][rows],
        "control": scores[column][control[b]],
        "host": hosts[rows],
        "source": sources[rows],
    }


def rates(scores: Scores) -> dict:
    """Recall at the false-positive rates that the survey negatives support: over all kinds, and by kind."""
    chosen = {"all": scores.kind("survey_negative")}
    kinds = np.unique(scores["subkind"][chosen["all"]]).tolist()
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
    fprs = metrics.supported_fprs(n, scores.config.min_expected_fp) if labels.any() else []
    if not fprs:
        return []
    curve = metrics.recall_curve(part["logit"], labels, fprs, *part.clusters, **scores.options)
    return [
        {"fpr": fpr, "tpr": recall, "threshold": threshold, "n_negatives": n}
        for fpr, (recall, threshold) in zip(fprs, curve)
    ]


def core_masked(scores: Scores) -> dict:
    """AUROC with the core hidden from the network, and the paired change against the whole stamp."""
    known = np.isfinite(scores["logit_core_masked"]) & scores.kind("positive", "control")
    part = scores.where(known)
    labels = part.kind("positive")
    if labels.sum() < MIN_STRATUM or (~labels).sum() < MIN_STRATUM:
        return {"status": "skip", "reason": f"fewer than {MIN_STRATUM} stamps have a core-masked score"}
    aurocs = [part.auroc("control", c) for c in MASKED_AND_WHOLE]
    one = np.ones(len(labels))
    influence = [metrics.auroc_influence(part[c], labels, one, m.value) for c, m in zip(MASKED_AND_WHOLE, aurocs)]
    clusters = Clusters(*part.clusters)
    by_theta = []
    for low, high, chosen in bins.members(part["theta_e_arcsec"], scores.config.theta_e_edges):
        metric = part.auroc("control", "logit_core_masked", chosen)
        by_theta.append({"lo": low, "hi": high, **metric.as_dict()})
    return {
        "radius_px": scores.config.core_radius_px,
        "auroc": aurocs[0],
        "delta": clusters.linear(aurocs[0].value - aurocs[1].value, influence[0] - influence[1], (-1.0, 1.0)),
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
    logit, hosts, sources = (values[rows] for values in (scores["logit"], *scores.clusters))
    change = {name: swapped[name][b] - logit for name in ("core", "placebo", "outer")}

    def average(values, mask=slice(None)):
        return metrics.mean(values[mask], hosts[mask], sources[mask])

    net = change["core"] - change["placebo"]
    by_theta = []
    for low, high, chosen in bins.members(scores["theta_e_arcsec"][rows], scores.config.theta_e_edges):
        by_theta.append({"lo": low, "hi": high, **average(net, chosen).as_dict()})
    out = {"radius_px": scores.config.core_radius_px, "unit": "logit"}
    controls = scores.where(scores.kind("control"))
    labels = np.repeat([True, False], [len(b), len(controls)])
    both = [np.concatenate(pair) for pair in zip((hosts, sources), controls.clusters)]
    for name, suffix in (("core", ""), ("placebo", "_placebo"), ("outer", "_outer")):
        found = metrics.auroc(np.concatenate([swapped[name][b], controls["logit"]]), labels, *both)
        out[f"auroc{suffix}"] = found if (~labels).sum() >= MIN_STRATUM else metrics.missing("too few controls")
    return out | {
        "delta": average(net),
        "core": average(change["core"]),
        "placebo": average(change["placebo"]),
        "outer": average(change["outer"]),
        "by_theta_e": by_theta,
    }


def hard_negatives(scores: Scores, operating: dict | None) -> dict:
    """AUROC of positives against hard negatives, and how many of those pass for lenses."""
    kinds = np.unique(scores["kind"][scores.kind("hard_negative")]).tolist()
    if not kinds:
        return {"status": "skip", "reason": "the test split has no hard negative"}
    by_kind = {}
    for kind in kinds:
        part = scores.where(scores["kind"] == kind)
        options = {"bounds": (0.0, 1.0)}
        entry = {"label": label_of(kind.partition(":")[2]), "auroc": scores.auroc(kind)}
        entry["accuracy"] = metrics.mean(part["logit"] < 0, *part.clusters, **options)
        if operating is not None and operating["threshold"].value is not None:
            above = part["logit"] > operating["threshold"].value
            entry["fraction_above_threshold"] = metrics.mean(above, *part.clusters, **options)
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
        shown = replace(scores, rows=rows if scores.rows is None else scores.rows[rows])
        out[name] = [dict(zip(columns, row)) for row in zip(*(shown[c] for c in columns))]
    return out
