"""The deflector population: a fitted summary of real lens galaxies' magnitudes, colours and photo-z.

`fit_deflectors` makes ``deflectors.json`` (package data) from the tables of Stein et al. 2022 (ApJ 932, 107; repository
georgestein/ssl-legacysurvey, MIT licence): quantiles of each marginal and a Gaussian copula between them.
`Deflectors` draws from it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from scipy.special import ndtr
from scipy.stats import spearmanr

from dhs.errors import DhsError
from dhs.survey.lenses.catalogues import read_table, unit_vectors

NAMES = ("mag_r", "g_r", "r_z", "z_phot")
COLUMNS = ("ra", "dec", "mag_g", "mag_r", "mag_z", "z_phot_mean")
LIMITS = {"mag_r": (15.0, 22.5), "g_r": (0.0, 3.0), "r_z": (0.0, 3.0), "z_phot": (0.01, 1.5)}
DUPLICATE_ARCSEC = 1.0
N_QUANTILES = 41


def deflector_rows(paths) -> tuple[np.ndarray, dict]:
    """Usable rows of catalogues of lens galaxies.

    Missing values (-99), rows outside `LIMITS` and repeated positions (within 1 arcsec, the first stays) are dropped.

    Parameters
    ----------
    paths : sequence of path
        Tables with the columns ra, dec, mag_g, mag_r, mag_z, z_phot_mean (Legacy Surveys DR9 magnitudes as
        published there, photo-z of Zhou et al. 2021).

    Returns
    -------
    rows : ndarray, (n, 4)
        mag_r, g - r, r - z, z_phot.
    counts : dict
        ``n_rows``, ``dropped_missing_or_outside``, ``dropped_duplicate``, ``n``.

    Raises
    ------
    DhsError
        A file without one of the columns, or fewer than 50 usable rows.
    """
    from scipy.spatial import cKDTree

    columns = {name: [] for name in COLUMNS}
    for path in paths:
        table = read_table(path)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise DhsError(f"{path}: no column {missing}; it has {sorted(table)}. Give the catalogues of Stein et al.")
        for name in COLUMNS:
            columns[name].append(np.array([float(v) for v in table[name]]))
    ra, dec, g, r, z, z_phot = (np.concatenate(columns[name]) for name in COLUMNS)
    rows = np.stack([r, g - r, r - z, z_phot], axis=1)
    inside = np.isfinite(rows).all(axis=1)
    for column, name in enumerate(NAMES):
        low, high = LIMITS[name]
        inside &= (rows[:, column] > low) & (rows[:, column] < high)
    radius = 2.0 * np.sin(np.radians(DUPLICATE_ARCSEC / 3600.0) / 2.0)
    pairs = cKDTree(unit_vectors(ra[inside], dec[inside])).query_pairs(radius)
    keep = np.ones(inside.sum(), dtype=bool)
    keep[[max(pair) for pair in pairs]] = False
    if keep.sum() < 50:
        raise DhsError(f"only {keep.sum()} usable rows in {[str(p) for p in paths]}: too few to fit, 50 are needed.")
    counts = {
        "n_rows": len(rows),
        "dropped_missing_or_outside": int((~inside).sum()),
        "dropped_duplicate": int((~keep).sum()),
        "n": int(keep.sum()),
    }
    return rows[inside][keep], counts


def fit_deflectors(paths) -> dict:
    """Fit the summary that ships as ``deflectors.json``.

    Returns
    -------
    dict
        ``names``; ``probabilities`` and ``quantiles`` {name: values} of the marginals; ``correlation`` (4, 4) of the
        Gaussian copula; ``limits``; the counts of `deflector_rows`; ``files``.
    """
    rows, counts = deflector_rows(paths)
    probabilities = np.concatenate([[0.0, 0.005], np.linspace(0.02, 0.98, N_QUANTILES - 4), [0.995, 1.0]])
    # The copula that has the rows' Spearman correlation rho: r = 2 sin(pi rho / 6).
    spearman = spearmanr(rows).statistic
    return {
        "names": list(NAMES),
        "probabilities": np.round(probabilities, 6).tolist(),
        "quantiles": {n: np.round(np.quantile(rows[:, i], probabilities), 4).tolist() for i, n in enumerate(NAMES)},
        "correlation": np.round(2.0 * np.sin(np.pi * spearman / 6.0), 4).tolist(),
        "limits": {name: list(limit) for name, limit in LIMITS.items()},
        "files": [Path(p).name for p in paths],
        **counts,
    }


class Deflectors:
    """Draws of (mag_r, g - r, r - z, z_phot) from a fitted summary.

    Parameters
    ----------
    summary : dict
        Of `fit_deflectors`.
    """

    def __init__(self, summary: dict):
        self.summary = summary
        self._p = np.array(summary["probabilities"])
        self._quantiles = [np.array(summary["quantiles"][name]) for name in summary["names"]]
        self._cholesky = np.linalg.cholesky(np.array(summary["correlation"]))

    def transform(self, normal: np.ndarray) -> np.ndarray:
        """(..., 4) deflectors of (..., 4) independent standard normal deviates."""
        uniform = ndtr(np.asarray(normal) @ self._cholesky.T)
        return np.stack([np.interp(uniform[..., i], self._p, q) for i, q in enumerate(self._quantiles)], axis=-1)


@cache
def deflectors() -> Deflectors:
    """The population that ships with the package."""
    text = (resources.files("dhs.survey.mock") / "deflectors.json").read_text()
    return Deflectors(json.loads(text)["summary"])
