"""Completeness: the fraction of injected arcs that are found, as cells with intervals and as a smooth function.

The map is a property of one network at one threshold on one kind of injection. It is written as parquet with all that
is needed to use it, and read back as a callable that refuses to extrapolate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
from scipy import stats
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import PolynomialFeatures

from dhs import storage
from dhs.errors import DhsError
from dhs.stats import bins
from dhs.stats.metrics import FEW_CLUSTERS, MIN_CLUSTERS, Clusters, independent_rows, jeffreys

AXES = ("theta_e_arcsec", "arc_snr_matched", "psf_fwhm_r_arcsec", "depth_r_mag", "host_mag_r")
LOG_AXES = ("theta_e_arcsec", "arc_snr_matched")
MIN_OF_EACH = 20  # found and missed arcs below which no smooth function is fitted
RIDGE = 3.0  # inverse strength of the penalty on the standardised terms


def cells(
    columns: Mapping[str, np.ndarray], found, edges: Mapping[str, Sequence[float]], weights=None, clusters=None
) -> list[dict]:
    """Completeness in every cell of a grid.

    Parameters
    ----------
    columns : mapping of str to ndarray, (n,)
        Of the injected arcs.
    found : ndarray of bool, (n,)
    edges : mapping of str to sequence of float
        Bin edges of each axis; the last bin holds its upper edge. Rows outside are left out.
    weights : ndarray, (n,), optional
        Population weights; the value is then weighted.
    clusters : pair of ndarray, (n,), optional
        Host and source of each row; by default every row is its own.

    Returns
    -------
    list of dict
        ``<axis>_lo, <axis>_hi`` for each axis, ``n, k, value, ci_low, ci_high``: equal-tailed Jeffreys intervals of
        95 %, None in empty cells, for as many independent rows as would know the share as well
        (`dhs.stats.metrics.independent_rows`).
    """
    found = np.asarray(found, dtype=bool)
    weights = np.ones(len(found)) if weights is None else np.asarray(weights, dtype=float)
    clusters = [np.asarray(c) for c in clusters] if clusters is not None else [np.arange(len(found))]
    names, spans = list(edges), [list(pairwise(map(float, e))) for e in edges.values()]
    which = [bins.index(columns[name], edges[name]) for name in names]
    out = []
    for place in product(*(range(len(s)) for s in spans)):
        inside = np.all([w == i for w, i in zip(which, place)], axis=0)
        w = weights[inside]
        n_effective = independent_rows(found[inside], *(c[inside] for c in clusters), weights=w) if w.any() else 0.0
        value = float(np.average(found[inside], weights=w)) if w.any() else None
        low, high = jeffreys(value * n_effective, n_effective) if w.any() else (None, None)
        cell = {f"{n}_{end}": s[i][j] for n, s, i in zip(names, spans, place) for j, end in enumerate(("lo", "hi"))}
        cell |= {"n": int(inside.sum()), "k": int(found[inside].sum()), "value": value}
        out.append(
            cell | {"ci_low": None if low is None else float(low), "ci_high": None if high is None else float(high)}
        )
    return out


def _standard(columns: Mapping[str, np.ndarray], axes: Sequence[str], centre, scale) -> np.ndarray:
    values = np.stack(np.broadcast_arrays(*(np.asarray(columns[a], dtype=float) for a in axes)), axis=-1)
    logs = [i for i, a in enumerate(axes) if a in LOG_AXES]
    values = values.copy()
    values[..., logs] = np.log(values[..., logs])
    return (values - centre) / scale


@dataclass(frozen=True)
class CompletenessMap:
    """Smooth completeness over theta_E, matched SNR, PSF, depth and host magnitude: logistic, squares and interactions.

    Call it with arrays, one for each of ``axes``, to get the completeness there; `interval` gives its 95 % interval.

    Attributes
    ----------
    axes : tuple of str
        Of `AXES`, those that varied; theta_E and SNR enter as logarithms.
    ranges : tuple of (float, float)
        Of each axis: the 0.5 to 99.5 % range of the injections, outside which the map refuses.
    centre, scale : ndarray, (axes,)
        What the (logged) axes are standardised with.
    coefficients : ndarray, (terms,)
        Intercept first; terms of ``sklearn.preprocessing.PolynomialFeatures(2)``.
    covariance : ndarray, (terms, terms)
        From a bootstrap over hosts and sources.
    degrees : int
        Degrees of freedom of its t intervals.
    about : dict
        Prior, threshold, false-positive rate, numbers of rows and clusters, grouped cross-validation.
    """

    axes: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    degrees: int
    about: dict

    def _terms(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, tuple[int, ...]]:
        if set(values) != set(self.axes):
            raise DhsError(f"the completeness map takes {list(self.axes)}, not {sorted(values)}.")
        for axis, (low, high) in zip(self.axes, self.ranges):
            given = np.asarray(values[axis], dtype=float)
            outside = ~((given >= low * (1 - 1e-6)) & (given <= high * (1 + 1e-6)))
            if outside.any():
                raise DhsError(
                    f"{axis} = {given[outside][0]:g} is outside {low:g} to {high:g}, where arcs were injected "
                    f"({int(outside.sum())} such values). The map does not extrapolate: leave them out."
                )
        standard = _standard(values, self.axes, self.centre, self.scale)
        shape = standard.shape[:-1]
        if not standard.size:
            return np.empty((0, len(self.coefficients))), shape
        return PolynomialFeatures(2).fit_transform(standard.reshape(-1, len(self.axes))), shape

    def __call__(self, **values) -> np.ndarray:
        """Completeness at ``theta_e_arcsec=..., arc_snr_matched=..., ...``.

        Raises
        ------
        DhsError
            A value outside the range of the injections, or axes other than the map's.
        """
        terms, shape = self._terms(values)
        return expit(terms @ self.coefficients).reshape(shape)

    def interval(self, **values) -> tuple[np.ndarray, np.ndarray]:
        """Pointwise 95 % interval of the smooth function, on the logit scale; not of its form."""
        terms, shape = self._terms(values)
        reach = np.sqrt(np.einsum("ij,jk,ik->i", terms, self.covariance, terms)) * stats.t.ppf(0.975, self.degrees)
        middle = terms @ self.coefficients
        return expit(middle - reach).reshape(shape), expit(middle + reach).reshape(shape)

    def as_dict(self) -> dict:
        """Plain types; `from_dict` reads it back."""
        arrays = {k: getattr(self, k).tolist() for k in ("centre", "scale", "coefficients", "covariance")}
        plain = {"axes": list(self.axes), "ranges": [list(r) for r in self.ranges], "degrees": self.degrees}
        return plain | arrays | {"about": self.about}

    @classmethod
    def from_dict(cls, data: Mapping) -> CompletenessMap:
        arrays = {k: np.asarray(data[k], dtype=float) for k in ("centre", "scale", "coefficients", "covariance")}
        ranges = tuple((float(a), float(b)) for a, b in data["ranges"])
        return cls(tuple(data["axes"]), ranges, degrees=data["degrees"], about=dict(data["about"]), **arrays)

    @classmethod
    def read(cls, path) -> CompletenessMap:
        """The map of a ``completeness.parquet``.

        Raises
        ------
        DhsError
            No such file, or one that holds cells but no smooth function (its reason is given).
        """
        metadata = storage.read_table(path).schema.metadata or {}
        content = json.loads(metadata.get(b"dhs_completeness", b"{}"))
        if "model" not in content:
            raise DhsError(f"{path}: holds no smooth completeness ({content.get('reason', 'not of dhs evaluate')}).")
        return cls.from_dict(content["model"])


def fit(columns: Mapping[str, np.ndarray], found, clusters: Clusters, about: Mapping | None = None) -> CompletenessMap:
    """Fit the smooth function.

    Parameters
    ----------
    columns : mapping of str to ndarray, (n,)
        `AXES` of the injected arcs; an axis that does not vary, or is known of no arc, is left out.
    found : ndarray of bool, (n,)
    clusters : Clusters
        Of the rows; its ``row_weights`` weight the fit, its draws make the covariance.
    about : mapping, optional
        Stored with the map.

    Raises
    ------
    DhsError
        Fewer than `MIN_OF_EACH` arcs found or missed, or fewer than `MIN_CLUSTERS` clusters; no axis that varies, or
        one that is known of some arcs alone.
    """
    found = np.asarray(found, dtype=bool)
    axes = _varying(columns)
    if min(found.sum(), (~found).sum()) < MIN_OF_EACH or clusters.smallest < MIN_CLUSTERS:
        raise DhsError(
            f"{int(found.sum())} arcs found and {int((~found).sum())} missed in {clusters.smallest} clusters: a smooth "
            f"completeness needs {MIN_OF_EACH} of each and {MIN_CLUSTERS} clusters. Make more pairs."
        )
    raw = _standard(columns, axes, 0.0, 1.0)
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    terms = PolynomialFeatures(2).fit_transform((raw - centre) / scale)
    weights = clusters.unit[0]
    middle = _solve(terms, found, weights, RIDGE)
    names = ("host", "source", "cell") if clusters.two_way else ("host",)
    spread = [
        np.cov(np.array([_newton(terms, found, w, RIDGE, middle) for ws in clusters.weights(a) for w in ws]).T)
        for a in names
    ]
    covariance = spread[0] if len(spread) == 1 else _positive(spread[0] + spread[1] - spread[2])
    ranges = tuple(tuple(np.quantile(np.asarray(columns[a], dtype=float), (0.005, 0.995)).tolist()) for a in axes)
    about = dict(about or {}) | {"n": len(found), "n_found": int(found.sum()), "n_hosts": clusters.n_hosts}
    about |= {"n_sources": clusters.n_sources, "few_clusters": clusters.smallest < FEW_CLUSTERS}
    about |= _cross_validate(terms, found, weights, clusters.hosts)
    inflate = clusters.smallest / (clusters.smallest - 1)
    return CompletenessMap(axes, ranges, centre, scale, middle, covariance * inflate, clusters.smallest - 1, about)


def _varying(columns: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    known = {a: np.asarray(columns[a], dtype=float) for a in AXES if a in columns}
    known = {a: v for a, v in known.items() if np.isfinite(v).any()}
    for axis, values in known.items():
        if bad := int((~np.isfinite(values)).sum()):
            raise DhsError(f"{bad} of {len(values)} arcs have no {axis}: leave them out, or leave out the axis.")
    if not (axes := tuple(a for a, v in known.items() if np.ptp(v) > 1e-6)):
        raise DhsError(f"none of {list(known)} varies: a smooth completeness needs an axis. Make pairs that differ.")
    return axes


def _solve(terms: np.ndarray, found: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    model = LogisticRegression(C=strength, max_iter=200).fit(terms[:, 1:], found, sample_weight=weights)
    return np.r_[model.intercept_, model.coef_[0]]


def _newton(
    terms: np.ndarray, found: np.ndarray, weights: np.ndarray, strength: float, start: np.ndarray
) -> np.ndarray:
    """What `_solve` finds for weights near those that ``start`` is the solution for: two Newton steps from it."""
    penalty = np.full(terms.shape[1], 1 / strength)
    penalty[0] = 0.0
    solution = start
    for _ in range(2):
        p = expit(terms @ solution)
        slope = terms.T @ (weights * (p - found)) + penalty * solution
        curvature = (terms * (weights * p * (1 - p))[:, None]).T @ terms + np.diag(penalty)
        solution = solution - np.linalg.solve(curvature, slope)
    return solution


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix without negative variances."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return vectors * np.clip(values, 0, None) @ vectors.T


def _cross_validate(terms, found, weights, hosts) -> dict:
    """Log loss of the fit on hosts it has not seen, beside that of the mean completeness."""
    folds = min(5, len(np.unique(hosts)))
    predicted = np.empty(len(found))
    for train, test in GroupKFold(folds).split(terms, found, hosts):
        if found[train].all() or not found[train].any():
            predicted[test] = found[train].mean()
        else:
            predicted[test] = expit(terms[test] @ _solve(terms[train], found[train], weights[train], RIDGE))
    mean = np.full(len(found), np.average(found, weights=weights))
    losses = {"log_loss": predicted, "log_loss_of_mean": mean}
    return {k: float(log_loss(found, p, sample_weight=weights, labels=[False, True])) for k, p in losses.items()}


def write(path, table: list[dict], model: CompletenessMap | None, about: Mapping, reason: str = "") -> None:
    """Write cells as parquet with the smooth function, or why there is none, in the schema's metadata."""
    content = {"about": dict(about)} | ({"model": model.as_dict()} if model else {"reason": reason})
    if model is not None:
        table = [c | _model_at(c, model) for c in table]
    arrow = pa.Table.from_pylist(table)
    storage.write_table(path, arrow.replace_schema_metadata({b"dhs_completeness": json.dumps(content).encode()}))


def _model_at(cell: Mapping, model: CompletenessMap) -> dict:
    """The smooth function at the middle of a cell; None where that is outside its range."""
    middle = {
        a: np.sqrt(cell[f"{a}_lo"] * cell[f"{a}_hi"]) if a in LOG_AXES else (cell[f"{a}_lo"] + cell[f"{a}_hi"]) / 2
        for a in model.axes
    }
    try:
        low, high = model.interval(**middle)
        return {"model": float(model(**middle)), "model_ci_low": float(low), "model_ci_high": float(high)}
    except DhsError:
        return {"model": None, "model_ci_low": None, "model_ci_high": None}
