"""A published injection-recovery grid, through the functions that make our own completeness."""

from __future__ import annotations

import numpy as np

from dhs.errors import DhsError
from dhs.stats.metrics import jeffreys, proportion
from dhs.survey.lenses.catalogues import read_table

COLUMNS = ("theta_e", "threshold", "threshold_type", "source_mag_bin", "n_injections", "n_detected")


def published_grid(path, threshold: float = 0.3) -> dict:
    """Totals, marginals and intervals of the stronglens-realism-gap grid (Balaji & Johnson 2026).

    Parameters
    ----------
    path : path
        ``completeness_grid.csv`` of that repository.
    threshold : float
        The fixed threshold whose rows are used, all source magnitudes together.

    Returns
    -------
    dict
        ``k, n, total`` (Wilson); ``theta_e``: a list of ``theta_e_arcsec, k, n, value, ci_low, ci_high``; and
        ``largest_difference`` of our per-cell Jeffreys bounds (68 % and 95 %) from the published ones.

    Raises
    ------
    DhsError
        A column is missing, or no row has that threshold.
    """
    table = read_table(path)
    if missing := [c for c in COLUMNS if c not in table]:
        raise DhsError(f"{path}: no column {missing}. Give completeness_grid.csv of stronglens-realism-gap.")
    chosen = [
        i
        for i, (t, kind, mag) in enumerate(zip(*(table[c] for c in ("threshold", "threshold_type", "source_mag_bin"))))
        if kind == "fixed" and mag == "all" and t and float(t) == threshold
    ]
    if not chosen:
        raise DhsError(f"{path}: no row with the fixed threshold {threshold:g}.")
    k, n = (np.array([int(table[c][i]) for i in chosen]) for c in ("n_detected", "n_injections"))
    theta = np.array([float(table["theta_e"][i]) for i in chosen])
    marginals = []
    for value in np.unique(theta):
        here = theta == value
        marginals.append({"theta_e_arcsec": float(value), "k": int(k[here].sum())})
        marginals[-1] |= proportion(int(k[here].sum()), int(n[here].sum())).as_dict()
    differences = [0.0]
    for level, name in ((0.68, "ci68"), (0.95, "ci95")):
        for bound, end in zip(jeffreys(k[n > 0], n[n > 0], level), ("lo", "hi")):
            theirs = np.array([float(table[f"{name}_{end}"][i]) for i in np.array(chosen)[n > 0]])
            differences.append(float(np.abs(bound - theirs).max()))
    total = proportion(int(k.sum()), int(n.sum()))
    return {"k": int(k.sum()), "n": int(n.sum()), "total": total, "theta_e": marginals, "threshold": threshold} | {
        "largest_difference": max(differences)
    }
