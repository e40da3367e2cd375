"""Why the network fails: misses and false alarms by cause, and how its own features group them.

A cause is a property of the stamp that is known without the network. It explains failures only as far as it is more
frequent among them than among successes of the same kind, so that ratio stands beside every count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from dhs.datasets import survey_negatives
from dhs.datasets.stamp_sets import by_pair
from dhs.stats import metrics
from dhs.validation.evaluation.discrimination import MIN_STRATUM, Scores

FAINT_SNR, LOW_MAGNIFICATION = 15.0, 3.0
EXAMPLES, MAX_EMBEDDED, MAX_GROUPS = 8, 200, 5
MIN_EMBEDDED = 24

MISS_CAUSES: dict[str, tuple[Callable[[Scores], np.ndarray], str]] = {
    "faint arc": (
        lambda s: s["arc_snr_matched"] < FAINT_SNR,
        "Deeper imaging. Quote completeness with SNR as an axis, so that it is known what was within reach.",
    ),
    "unresolved": (
        lambda s: s["theta_e_arcsec"] < s["psf_fwhm_r_arcsec"],
        "Better seeing, or the residual channels: image separation is below about twice the PSF.",
    ),
    "bright host": (
        lambda s: s["host_mag_r"] < np.nanquantile(s["host_mag_r"], 0.25),
        "Subtract the host's light (residual channels), or train on more bright hosts.",
    ),
    "poor seeing": (
        lambda s: s["psf_fwhm_r_arcsec"] > np.nanquantile(s["psf_fwhm_r_arcsec"], 0.75),
        "Give the PSF to the network, or balance the training over seeing.",
    ),
    "low magnification": (
        lambda s: s["magnification"] < LOW_MAGNIFICATION,
        "Train on more sources near the edge of the caustic; the counter-image is faint there.",
    ),
}
ALARM_FIXES = {
    "lrg": "More unlensed red galaxies with blue companions among the negatives.",
    "spiral": "Spirals among the training negatives: their arms curve about the centre as arcs do.",
    "ring": "Ring galaxies among the training negatives, and the colour of the centre against that of the ring.",
    "merger": "Mergers with tidal tails among the training negatives.",
    "blend": "Blends with edge-on neighbours among the training negatives.",
    "control": "The host itself scores high: compare with its survey negatives of the same colour and magnitude.",
    "hard_negative": "A larger share of hard negatives in training: the network rewards light in a ring, not arcs.",
}


def misses(scores: Scores, threshold: float) -> dict:
    """Positives at or below a threshold, by cause.

    Returns
    -------
    dict
        ``n, n_missed`` and ``causes``: for each ``cause, n`` (missed with it), ``share_of_missed, share_of_found``,
        ``missed_with, missed_without`` (metrics clustered by host and source), ``fix`` and ``examples`` (pair ids,
        worst first); sorted by how much likelier a miss is with the cause. ``unexplained`` counts misses with none.
    """
    part = scores.where(scores.kind("positive"))
    missed, clusters = part["logit"] <= threshold, part.clusters
    if not len(missed) or not missed.any():
        return {"n": len(missed), "n_missed": 0, "causes": [], "unexplained": 0}
    causes, explained = [], np.zeros(len(missed), bool)
    for name, (applies, fix) in MISS_CAUSES.items():
        with np.errstate(invalid="ignore"):
            here = np.asarray(applies(part), dtype=bool)
        explained |= here
        rate = {}
        for key, mask in (("missed_with", here), ("missed_without", ~here)):
            rest = [labels[mask] for labels in clusters]
            rate[key] = metrics.mean(missed[mask], *rest, bounds=(0.0, 1.0)) if mask.any() else metrics.missing("empty")
        worst = np.flatnonzero(here & missed)
        worst = worst[np.argsort(part["logit"][worst], kind="stable")][:EXAMPLES]
        causes.append(
            {"cause": name, "n": int((here & missed).sum()), "fix": fix, **rate}
            | {"share_of_missed": float(here[missed].mean())}
            | {"share_of_found": float(here[~missed].mean()) if (~missed).any() else None}
            | {"examples": part["pair_id"][worst].tolist()}
        )
    causes.sort(key=lambda c: (c["missed_without"].value or 0) - (c["missed_with"].value or 0))
    return {
        "n": len(missed),
        "n_missed": int(missed.sum()),
        "causes": causes,
        "unexplained": int((missed & ~explained).sum()),
        "unexplained_examples": part["pair_id"][np.flatnonzero(missed & ~explained)[:EXAMPLES]].tolist(),
    }


def alarms(scores: Scores, threshold: float) -> dict:
    """Negatives above a threshold, by kind: what they are, how often they pass, what would help."""
    kinds, names = [], scores["host_id"]
    survey, subkind, hosts = scores.kind("survey_negative"), scores["subkind"], scores.clusters[0]
    chosen = {f"survey: {k}": survey & (subkind == k) for k in np.unique(subkind[survey]).tolist()}
    chosen |= {"control": scores.kind("control"), "hard_negative": scores.kind("hard_negative")}
    for name, mask in chosen.items():
        if not mask.any():
            continue
        above = scores["logit"][mask] > threshold
        rows = np.flatnonzero(mask)[np.argsort(-scores["logit"][mask], kind="stable")][
            : min(EXAMPLES, int(above.sum()))
        ]
        kinds.append(
            {"cause": name, "n": int(above.sum()), "of": int(mask.sum())}
            | {"rate": metrics.mean(above, hosts[mask], bounds=(0.0, 1.0))}
            | {"fix": ALARM_FIXES.get(name.removeprefix("survey: "), "Add such galaxies to the training negatives.")}
            | {"examples": [{"pair_id": int(scores["pair_id"][i]), "host_id": str(names[i])} for i in rows]}
        )
    kinds.sort(key=lambda k: -(k["rate"].value or 0))
    return {"n": sum(k["n"] for k in kinds), "causes": kinds}


def groups(features: np.ndarray, rows: list[dict], seed: int = 0) -> dict:
    """Failures grouped by the network's features: k-means, the number of groups by silhouette (Rousseeuw 1987).

    Parameters
    ----------
    features : ndarray, (n, d)
        Penultimate features of the failures.
    rows : list of dict
        What is known of each: ``id``, numbers whose medians describe a group, perhaps a ``kind`` that is counted.
    seed : int

    Returns
    -------
    dict
        ``silhouette`` (0: no structure) and ``groups``: ``n, medians, examples, kinds``; or a skip.
    """
    if len(features) < MIN_EMBEDDED:
        return {"status": "skip", "reason": f"{len(features)} failures, {MIN_EMBEDDED} are needed"}
    distinct = len(np.unique(features, axis=0))
    if distinct <= MAX_GROUPS:
        return {"status": "skip", "reason": f"{len(features)} failures share {distinct} sets of features: a dead layer"}
    x = StandardScaler().fit_transform(np.asarray(features, dtype=float))
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    x = (u * s)[:, :10]
    fits = [KMeans(k, n_init=4, random_state=seed).fit_predict(x) for k in range(2, MAX_GROUPS + 1)]
    scores = [silhouette_score(x, labels) for labels in fits]
    labels = fits[int(np.argmax(scores))]
    names = [k for k, v in rows[0].items() if isinstance(v, int | float) and k not in ("id", "pair_id")]
    values = {k: np.array([row[k] for row in rows], dtype=float) for k in names}
    out = []
    for g in np.argsort(-np.bincount(labels)):
        members = np.flatnonzero(labels == g)
        nearest = members[np.argsort(((x[members] - x[members].mean(axis=0)) ** 2).sum(axis=1))]
        medians = {k: float(np.nanmedian(v[members])) for k, v in values.items() if np.isfinite(v[members]).any()}
        out.append({"n": len(members), "medians": medians, "examples": [rows[i]["id"] for i in nearest[:EXAMPLES]]})
        out[-1]["kinds"] = dict(Counter(rows[i]["kind"] for i in members if "kind" in rows[i]).most_common())
    return {"silhouette": float(max(scores)), "n": len(rows), "groups": out}


def _no_features(of: str) -> dict:
    return {"status": "skip", "reason": f"no network with features, or too few {of}"}


def alarm_groups(scores: Scores, threshold: float, pairs, scorer, survey: Callable | None = None) -> dict:
    """The worst false alarms grouped by the network's features, as `groups`; a group's ``kinds`` say what is in it."""
    part = scores.where(~scores.kind("positive") & (scores["logit"] > threshold))
    part = part.where(np.isin(np.arange(len(part)), np.argsort(-part["logit"], kind="stable")[:MAX_EMBEDDED]))
    if len(part) < MIN_EMBEDDED:
        return {"status": "skip", "reason": f"{len(part)} false alarms, {MIN_EMBEDDED} are needed"}
    kinds, hosts, ids = part["kind"].astype(str), part["host_id"].astype(str), part["pair_id"]
    made = {}
    for kind in np.unique(kinds).tolist():
        here = np.flatnonzero(kinds == kind)
        if kind == "survey_negative":
            images = _survey_images(scores, pairs, survey, hosts[here].tolist())
            made |= {int(i): images[hosts[i]] for i in here if hosts[i] in images}
        else:
            stamps, found = by_pair(pairs, ids[here], kind)
            place = {int(ids[i]): int(i) for i in here}
            made |= {place[row["pair_id"]]: stamp for row, stamp in zip(found, stamps)}
    rows = [
        {"id": {"kind": kinds[i], "pair_id": int(ids[i]), "host_id": hosts[i]}}
        | {"kind": f"survey: {part['subkind'][i]}" if kinds[i] == "survey_negative" else kinds[i]}
        | {c: float(part[c][i]) for c in ("psf_fwhm_r_arcsec", "host_mag_r", "logit")}
        for i in made
    ]
    if len(rows) < MIN_EMBEDDED:
        return {"status": "skip", "reason": f"{len(rows)} false alarms could be made again, {MIN_EMBEDDED} are needed"}
    return groups(scorer.features(np.stack(list(made.values()))), rows, scores.seed)


def _survey_images(scores: Scores, pairs, survey: Callable | None, host_ids: list[str]) -> dict[str, np.ndarray]:
    """Images of survey negatives that were scored, as far as they are at hand."""
    if survey is None:
        return survey_negatives.by_host(pairs.path, scores.seed, host_ids)
    hosts = survey(scores.config.n_survey_negatives, scores.seed)
    return {i: hosts.by_id(i).image for i in host_ids if i in hosts} if hasattr(hosts, "by_id") else {}


def section(scores: Scores, operating: dict | None, pairs=None, scorer=None, survey: Callable | None = None) -> dict:
    """``failures`` of ``evaluation.json``.

    Parameters
    ----------
    scores : Scores
    operating : dict or None
        The entry of ``tpr_at_fpr`` whose threshold is used.
    pairs, scorer : optional
        With both, the worst misses and the worst false alarms are embedded and grouped.
    survey : callable, optional
        ``survey(n, seed)`` gives the survey negatives that were scored; the data set's own by default.
    """
    threshold = operating["threshold"].value if operating else None
    if threshold is None:
        return {"status": "skip", "reason": "the survey negatives support no false-positive rate, so no threshold"}
    out = {"threshold": threshold, "fpr": operating["fpr"]}
    out |= {"misses": misses(scores, threshold), "alarms": alarms(scores, threshold)}
    positive = scores.where(scores.kind("positive"))
    missed = np.flatnonzero(positive["logit"] <= threshold)
    embeds = pairs is not None and hasattr(scorer, "features")
    out["alarm_embedding"] = (
        alarm_groups(scores, threshold, pairs, scorer, survey) if embeds else _no_features("false alarms")
    )
    if not embeds or len(missed) < MIN_STRATUM:
        out["embedding"] = _no_features("misses")
        return out
    worst = missed[np.argsort(positive["logit"][missed], kind="stable")][:MAX_EMBEDDED]
    stamps, found = by_pair(pairs, positive["pair_id"][worst])
    columns = ("theta_e_arcsec", "arc_snr_matched", "psf_fwhm_r_arcsec", "host_mag_r", "magnification", "logit")
    place = {int(p): i for i, p in enumerate(positive["pair_id"])}
    rows = [
        {"id": int(r["pair_id"])} | {c: float(positive[c][place[int(r["pair_id"])]]) for c in columns} for r in found
    ]
    out["embedding"] = groups(scorer.features(stamps), rows, scores.seed)
    return out
