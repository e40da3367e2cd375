"""Realism: can a linear probe tell two sets of stamps apart, and by what?

The probe sees the network's penultimate features of real lenses and of injections into hosts like theirs. What it can
separate, a network trained on injections may have learned instead of lensing. Two sets of real stamps give the
control: no pair of samples is alike, so the injections must be compared with that, not with 0.5.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from dhs import storage
from dhs.artefacts.realism import Realism
from dhs.datasets.reader import Pairs
from dhs.datasets.stamp_sets import StampSet, as_display, describe, of_folder, of_pairs
from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.stats.metrics import missing
from dhs.stats.probe import MIN_STAMPS, excess, halves, probe
from dhs.validation.preflight.gate import holm
from dhs.validation.realism.frechet import distances

CALIPER = 1.0  # largest distance of a matched pair in any quantity, in standard deviations of the first set
N_PERMUTATIONS = 999
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


def _halves(stamps: StampSet, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of two halves of a set that share no host."""
    chosen = halves(stamps.group, keyed(seed, Stream.HALVES))
    return chosen, ~chosen


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
    options = {"seed": seed, "n_permutations": n_permutations}
    families = {name: probe(of_a[name], of_b[name], a.group, b.group, **options) for name in of_a}
    about["left_after_matching"] = families.pop("match")["auc"]
    x = (_features(a, scorer), _features(b, scorer))
    found = probe(*x, a.group, b.group, **options)
    out = about | {"status": "probed", "features": "penultimate" if scorer else "measured", "auc": found.pop("auc")}
    out |= {"probe": found, "families": _ranked(families)}
    out["names"] = [f["family"] for f in out["families"] if f["p_holm"] is not None and f["p_holm"] < ALPHA]
    if scorer is not None:
        blocks = scorer.blocks(a.images), scorer.blocks(b.images)
        out["frechet"] = distances(*blocks)
        left, right = _halves(b, seed)
        own = distances(*({k: v[mask] for k, v in blocks[1].items()} for mask in (left, right)))
        out["frechet_of_halves"] = own
    out["control"], out["excess"], out["excess_p"] = _control(out["auc"].value, (a, b), x, control, scorer, options)
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
    folders = [real if storage.exists(real) else None] if real else map(storage.data_file, DEFAULT_FOLDERS)
    sets = [of_folder(f) for f in folders if f]
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
    """Families, largest AUC first, their permutation p-values adjusted over all of them."""
    entries = [{"family": name, **f["auc"].as_dict(), "p_holm": None} for name, f in families.items()]
    if all("p_value" in f for f in families.values()):
        for entry, p in zip(entries, holm([f["p_value"] for f in families.values()])):
            entry["p_holm"] = float(p)
    return sorted(entries, key=lambda e: -(e["value"] or 0))


def _control(value: float, probed, features, other: StampSet | None, scorer, options: dict):
    """The same probe on two sets of real stamps, and by how much the probe's AUC, ``value``, lies above its own."""
    (first, second), (x_first, x_second) = probed, features
    group, labels = (
        np.concatenate([first.group, second.group]).astype(str),
        np.repeat([1, 0], [len(first), len(second)]),
    )
    x = np.concatenate([x_first, x_second])
    if other is not None:
        i, j = match(describe(first.images)["match"], describe(other.images)["match"])
        left, b = np.isin(np.arange(len(first)), i), other.where(np.isin(np.arange(len(other)), j))
        second_x, second_group, what = _features(b, scorer), b.group.astype(str), f"{first.name} against {other.name}"
        x, group = np.concatenate([x, second_x]), np.concatenate([group, second_group])
        labels = np.r_[labels, np.full(len(b), 2)]
    else:
        left, right = _halves(first, options["seed"])
        second_x, second_group, what = x_first[right], first.group[right], f"two halves of {first.name}"
    try:
        found = probe(x_first[left], second_x, first.group[left], second_group, **options)
    except DhsError as error:
        reason = str(error)
        return {"status": "skip", "reason": reason, "what": what}, missing(reason, len(labels)), None
    return {"what": what, **found}, *excess(value - found["auc"].value, x, group, labels, **options)
