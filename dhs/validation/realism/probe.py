"""Realism: can a linear probe tell two sets of stamps apart, and by what?

The probe sees the network's penultimate features of real lenses and of injections into hosts like theirs. What it can
separate, a network trained on injections may have learned instead of lensing. Two sets of real stamps give the
control: no pair of samples is alike, so the injections must be compared with that, not with 0.5.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from dhs import storage
from dhs.artefacts.realism import Realism
from dhs.datasets.reader import Pairs
from dhs.datasets.stamp_sets import StampSet, as_display, describe, of_folder, of_pairs
from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.stats.frechet import distances
from dhs.stats.metrics import MIN_CLUSTERS, Clusters, Metric
from dhs.validation.preflight.gate import holm

MIN_STAMPS = 16  # of each set, after matching
CALIPER = 1.0  # largest distance of a matched pair in any quantity, in standard deviations of the first set
PENALTY = 0.01  # inverse strength of the probe's ridge penalty: features outnumber stamps
N_PERMUTATIONS, N_BOOTSTRAP = 100, 500
N_FOLDS = 5
ALPHA = 0.05
DEFAULT_FOLDERS = ("hosts/ls_dr10_grz", "lenses/ls_dr10_png56")


def match(first: np.ndarray, second: np.ndarray, caliper: float = CALIPER) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows that are alike: optimal one-to-one assignment, within a caliper in every column.

    Parameters
    ----------
    first, second : ndarray, (n, k), (m, k)
        Colour, magnitude and size of each stamp.
    caliper : float
        In standard deviations of ``first``.

    Returns
    -------
    i, j : ndarray of int
        Rows of ``first`` and of ``second``, side by side.
    """
    scale = first.std(axis=0)
    scale[scale == 0] = 1.0
    apart = np.abs(first[:, None] - second[None]) / scale
    cost = np.where((apart <= caliper).all(axis=2), (apart**2).sum(axis=2), 1e6)
    i, j = linear_sum_assignment(cost)
    keep = cost[i, j] < 1e6
    return i[keep], j[keep]


def _rotated(x: np.ndarray) -> np.ndarray:
    """Standardised features in as many dimensions as there are rows: a ridge penalty does not notice the rotation."""
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u * s


def _folds(x: np.ndarray, labels: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each row; no host is in two, and each holds about as many of either label."""
    out = np.empty(len(labels), int)
    for k, (_, test) in enumerate(
        StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed).split(x, labels, group)
    ):
        out[test] = k
    return out


def _held_out(x: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Decision values of stamps whose host the probe has not seen, each fold's on the scale of its training rows."""
    out = np.empty(len(labels))
    for k in np.unique(folds):
        test = folds == k
        fitted = LogisticRegression(C=PENALTY, max_iter=500).fit(x[~test], labels[~test])
        trained = fitted.decision_function(x[~test])
        out[test] = (fitted.decision_function(x[test]) - trained.mean()) / max(trained.std(), 1e-12)
    return out


def probe(x_first, x_second, group_first, group_second, *, seed: int = 0, n_permutations: int = 0) -> dict:
    """Area under the ROC curve of a linear probe on held-out hosts.

    Parameters
    ----------
    x_first, x_second : ndarray, (n, d), (m, d)
    group_first, group_second : ndarray of str
        Hosts; none is in two folds.
    seed : int
    n_permutations : int
        Whole cross-validations with labels and folds exchanged among hosts; 0 for none.

    Returns
    -------
    dict
        ``auc`` (a metric, its interval from a bootstrap over hosts), ``spread`` (its standard error) and ``p_above``
        (one-sided t test against 0.5), ``n_first, n_second``, and with permutations ``p_value`` and ``null_95``, the
        95 % quantile of the permuted AUCs.

    Raises
    ------
    DhsError
        Fewer than `MIN_STAMPS` of either, or from fewer than `MIN_CLUSTERS` hosts.
    """
    if min(len(x_first), len(x_second)) < MIN_STAMPS:
        raise DhsError(f"{len(x_first)} and {len(x_second)} stamps: a probe needs {MIN_STAMPS} of each. Give more.")
    if (hosts := min(len(set(np.asarray(g, str).tolist())) for g in (group_first, group_second))) < MIN_CLUSTERS:
        raise DhsError(f"stamps of {hosts} hosts in a set: a probe needs {MIN_CLUSTERS}. Give more galaxies.")
    x = _rotated(np.concatenate([x_first, x_second]).astype(float))
    labels = np.repeat([1, 0], [len(x_first), len(x_second)])
    group = np.concatenate([np.asarray(group_first, dtype=str), np.asarray(group_second, dtype=str)])
    folds = _folds(x, labels, group, seed)
    held_out, clusters = _held_out(x, labels, folds), Clusters(group, classes=labels)
    auc = metrics.auroc(held_out, labels, group, n_bootstrap=N_BOOTSTRAP, seed=seed)
    error = clusters.error(metrics.auroc_influence(held_out, labels == 1, clusters.unit[0], auc.value))
    spread = None if error is None else error[0]
    out = {"auc": auc, "spread": spread, "n_first": len(x_first), "n_second": len(x_second)}
    out["p_above"] = _p_above(auc.value - 0.5, spread, clusters.smallest)
    if not n_permutations:
        return out
    rng = keyed(seed, Stream.PERMUTATION)
    null = []
    for _ in range(n_permutations):
        shuffled, dealt = _permuted(labels, folds, group, rng)
        scores = _held_out(x, shuffled, dealt)
        null.append(metrics.auroc_statistic(scores, shuffled.astype(bool))(np.ones((1, len(x))))[0])
    p = (1 + sum(v >= auc.value for v in null)) / (1 + n_permutations)
    return out | {"p_value": float(p), "null_95": float(np.quantile(null, 0.95)), "n_permutations": n_permutations}


def _p_above(excess: float, spread: float | None, clusters: int) -> float:
    """One-sided p-value of a t test that an excess is 0; of a sign test where no cluster disagrees."""
    if not spread:
        return 0.5**clusters if spread == 0 and excess > 0 else 1.0
    return float(stats.t.sf(excess / spread, clusters - 1))


def _excess(found: dict, control: dict) -> Metric:
    """AUC of the probe less that of the control, samples taken for independent."""
    if control.get("spread") is None or found["spread"] is None:
        return metrics.missing(control.get("reason", "no standard error"), found["auc"].n)
    value, spread = found["auc"].value - control["auc"].value, float(np.hypot(found["spread"], control["spread"]))
    clusters = min(found["auc"].n_hosts, control["auc"].n_hosts)
    reach = spread * stats.t.ppf(0.975, clusters - 1)
    return Metric(value, value - reach, value + reach, found["auc"].n, clusters)


def _permuted(labels: np.ndarray, folds: np.ndarray, group: np.ndarray, rng: np.random.Generator):
    """Labels and folds exchanged among hosts; within a host that is in both samples, labels among its stamps."""
    _, first, codes = np.unique(group, return_index=True, return_inverse=True)
    share = np.bincount(codes, labels) / np.bincount(codes)
    pure = np.flatnonzero((share == 0) | (share == 1))
    of_group, fold, order = share > 0.5, folds[first], rng.permutation(pure)
    of_group[pure], fold[pure] = of_group[order], fold[order]
    out = of_group[codes].astype(int)
    for c in np.flatnonzero((share > 0) & (share < 1)):
        out[codes == c] = rng.permutation(labels[codes == c])
    return out, fold[codes]


def _halves(stamps: StampSet, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of two halves of a set that share no host."""
    names, codes = np.unique(stamps.group, return_inverse=True)
    chosen = keyed(seed, Stream.HALVES).permutation(len(names)) < len(names) // 2
    return chosen[codes], ~chosen[codes]


def compare(
    first: StampSet,
    second: StampSet,
    scorer=None,
    *,
    control: StampSet | None = None,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> dict:
    """The realism report of two sets of stamps.

    Parameters
    ----------
    first, second : StampSet
        Real lenses, and injections. If either is a set of display pictures, both are compared as such.
    scorer : object with ``features`` and ``blocks``, optional
        A network; without one, only what `dhs.datasets.stamp_sets.describe` measures is compared.
    control : StampSet, optional
        Real stamps of another class for the control; by default two halves of ``first``, which differ by chance
        alone.
    seed : int
    n_permutations : int

    Returns
    -------
    dict
        ``probe`` (on the features, else on all families together), ``families`` (a probe on each, largest first;
        ``names`` are those that separate the sets, their p-values adjusted by Holm), ``control``, ``excess`` (the
        probe's AUC less the control's), ``frechet``, ``matched``, ``mode`` and ``refused`` (files that could
        not be used, and why); ``status`` is ``skip`` where too few stamps match.
    """
    display = first.display or second.display
    if display:
        first, second = as_display(first), as_display(second)
        control = as_display(control) if control is not None else None
    sets = {"first": first.name, "second": second.name, "mode": "display pictures" if display else "flux"}
    about = sets | {"n_first": len(first), "n_second": len(second)}
    refusals = [*first.refusals, *second.refusals, *(control.refusals if control is not None else ())]
    about["refused"] = [{"file": r.file.rsplit("/", 1)[-1], "why": r.message} for r in refusals]
    if min(len(first), len(second)) < MIN_STAMPS:
        return about | {"status": "skip", "reason": f"fewer than {MIN_STAMPS} stamps in a set"}
    measured = describe(first.images), describe(second.images)
    i, j = match(measured[0]["match"], measured[1]["match"])
    about["matched"] = {"n": len(i), "caliper": CALIPER, "by": "magnitude, two colours and size of the host"}
    if len(i) < MIN_STAMPS:
        return about | {"status": "skip", "reason": f"{len(i)} of {len(first)} have a match, {MIN_STAMPS} are needed"}
    a, b = first.where(np.isin(np.arange(len(first)), i)), second.where(np.isin(np.arange(len(second)), j))
    of_a, of_b = describe(a.images), describe(b.images)
    families = {name: probe(of_a[name], of_b[name], a.group, b.group, seed=seed) for name in of_a if name != "match"}
    about["left_after_matching"] = probe(of_a["match"], of_b["match"], a.group, b.group, seed=seed)["auc"]
    x = (_features(a, scorer), _features(b, scorer))
    found = probe(*x, a.group, b.group, seed=seed, n_permutations=n_permutations)
    out = about | {"status": "probed", "features": "penultimate" if scorer else "measured", "auc": found.pop("auc")}
    out |= {"probe": found, "families": _ranked(families)}
    out["names"] = [f["family"] for f in out["families"] if f["p_holm"] < ALPHA]
    if scorer is not None:
        blocks = scorer.blocks(a.images), scorer.blocks(b.images)
        out["frechet"] = distances(*blocks)
        left, right = _halves(b, seed)
        own = distances(*({k: v[mask] for k, v in blocks[1].items()} for mask in (left, right)))
        out["frechet_of_halves"] = own
    out["control"] = _control(a, control, scorer, seed)
    out["excess"] = _excess({"auc": out["auc"], **found}, out["control"])
    return out


def realism(
    first: str,
    second: str,
    out: str | Path,
    *,
    control: str | None = None,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
    scorer=None,
) -> Realism:
    """Can the stamps of two folders be told apart, and by what? Writes ``<out>/realism.json``.

    Parameters
    ----------
    first, second : str
        Folders of cutouts (npz, FITS) or of display pictures (PNG); if either holds pictures, the other's stamps go
        through the same stretch.
    out : str or Path
        Folder.
    control : str, optional
        A third folder, of the kind of ``first``, for the control; two halves of ``first`` by default.
    checkpoint : str or Path, optional
        A network whose features are probed; without one, what is measured on the stamps is.
    seed, n_permutations : int
    scorer : object with ``features`` and ``blocks``, optional
        Instead of the checkpoint's network.

    Returns
    -------
    Realism

    Raises
    ------
    DhsError
        No such folder, or one that holds nothing that can be read; a bad checkpoint.
    """
    if checkpoint is not None and scorer is None:
        from dhs.models.foreign.open import open_scorer

        scorer = open_scorer(checkpoint)
    network = scorer if scorer is None or hasattr(scorer, "features") else None
    options = {"seed": seed, "n_permutations": n_permutations}
    against = of_folder(control) if control is not None else None
    report = Realism.made(compare(of_folder(first), of_folder(second), network, control=against, **options))
    report.write(out)
    return report


def section(
    pairs: Pairs, scorer, *, real: str | None = None, seed: int = 0, n_permutations: int = N_PERMUTATIONS
) -> dict:
    """``realism`` of ``evaluation.json``: real lenses against the positives of the test split.

    Parameters
    ----------
    pairs : Pairs
    scorer : object
        Its features are used where it has any.
    real : str, optional
        Folder of real lenses; by default the candidates and the display pictures under ``DHS_DATA_DIR``.
    seed, n_permutations : int

    Returns
    -------
    dict
        The report of flux cutouts, ``status`` skip where there are too few, and under ``display`` that of pictures,
        which carry no photometry and so never stand for it.
    """
    network = scorer if hasattr(scorer, "features") else None
    root = os.environ.get("DHS_DATA_DIR")
    folders = [real] if real else [storage.join(root, f) for f in DEFAULT_FOLDERS] if root else []
    sets = [of_folder(f) for f in folders if storage.exists(f)]
    injections = of_pairs(pairs) if sets else None
    reports = {s.display: compare(s, injections, network, seed=seed, n_permutations=n_permutations) for s in sets}
    reason = "no folder of real lenses was given, and DHS_DATA_DIR holds none"
    out = reports.get(False, {"status": "skip", "reason": reason})
    return out | ({"display": reports[True]} if True in reports else {})


def _features(stamps: StampSet, scorer) -> np.ndarray:
    if scorer is not None:
        return scorer.features(stamps.images)
    measured = describe(stamps.images)
    return np.column_stack([measured[name] for name in measured if name != "match"])


def _ranked(families: dict[str, dict]) -> list[dict]:
    """Families, largest AUC first, their p-values adjusted over all of them."""
    adjusted = holm([f["p_above"] for f in families.values()])
    entries = [{"family": n, **f["auc"].as_dict(), "p_holm": float(p)} for (n, f), p in zip(families.items(), adjusted)]
    return sorted(entries, key=lambda e: -(e["value"] or 0))


def _control(first: StampSet, other: StampSet | None, scorer, seed: int) -> dict:
    """The same probe on two sets of real stamps."""
    if other is not None:
        i, j = match(describe(first.images)["match"], describe(other.images)["match"])
        a, b = first.where(np.isin(np.arange(len(first)), i)), other.where(np.isin(np.arange(len(other)), j))
        what = f"{first.name} against {other.name}"
    else:
        left, right = _halves(first, seed)
        a, b, what = first.where(left), first.where(right), f"two halves of {first.name}"
    try:
        found = probe(_features(a, scorer), _features(b, scorer), a.group, b.group, seed=seed)
    except DhsError as error:
        return {"status": "skip", "reason": str(error), "what": what}
    return {"what": what, **found}
