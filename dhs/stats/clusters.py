"""What a number with an interval is, and how the interval is made.

Everything drawn from pairs is grouped by host, and by source wherever a source serves more than one row, however many
sources there are: two thousand that serve a hundred rows each tie those rows as forty would. A bootstrap draw is
a set of weights: each cluster's weight is how often it was drawn. Weighted statistics are computed for all draws at
once. Where hosts and sources both cluster the rows the variance is that of the host bootstrap plus that of the source
bootstrap minus that of a bootstrap over (host, source) cells (Cameron, Gelbach & Miller 2011, Journal of Business &
Economic Statistics 29, 238, eq. 2.11). A t interval follows, its degrees of freedom after Satterthwaite (1946,
Biometrics Bulletin 2, 110): an axis counts by its share of the variance, so ten sources that hardly matter do not
widen what three thousand hosts say. A statistic between 0 and 1 is taken on the logit scale. How often the intervals
cover, with many clusters and with few, is measured by `dhs.book.studies.interval_coverage`. A statistic that
is a smooth function of row sums needs no bootstrap: `Clusters.linear` takes the variance from its influence values.

Intervals are 95 % unless a function takes ``level``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.special import expit, logit

MIN_CLUSTERS = 8  # below: no interval at all
FEW_CLUSTERS = 30  # below: a flag
CHUNK_VALUES = 1_000_000  # bootstrap weights held at once


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Attributes
    ----------
    value, ci_low, ci_high : float or None
        None where it could not be measured or the clusters are too few for an interval.
    n : int
        Rows it was measured on.
    n_hosts, n_sources : int or None
        Distinct clusters among those rows.
    flags : tuple of str
        ``few_clusters``, ``no_interval``, ``two_way``, ``degenerate``, or why the value is missing.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_hosts: int | None = None
    n_sources: int | None = None
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """JSON-ready: no NaN, plain types."""
        return {
            "value": plain(self.value),
            "ci_low": plain(self.ci_low),
            "ci_high": plain(self.ci_high),
            "n": int(self.n),
            "n_hosts": None if self.n_hosts is None else int(self.n_hosts),
            "n_sources": None if self.n_sources is None else int(self.n_sources),
            "flags": list(self.flags),
        }


def plain(value) -> float | None:
    """A float that JSON can hold: NaN and infinities become None."""
    return None if value is None or not np.isfinite(value) else float(value)


def missing(reason: str, n: int = 0) -> Metric:
    """The metric that could not be measured, and why."""
    return Metric(None, None, None, n, flags=(reason,))


class Clusters:
    """Which host and which source each row belongs to, and bootstrap weights drawn over them.

    Parameters
    ----------
    hosts : array_like, (n,)
        Host identifiers: names, or integers that stand for them.
    sources : array_like, (n,), optional
        Source identifiers; an empty string, or a negative integer, for a row that no source has a part in (survey
        negatives): it is resampled by its host alone. A control takes the source of its pair: what it shares with the
        positive then cancels on every axis.
    n_bootstrap : int
    seed : int
    row_weights : array_like, (n,), optional
        Importance of each row, 1 by default; it multiplies every bootstrap weight.
    classes : array_like, (n,), optional
        What a statistic compares, e.g. labels: it is known no better than the class with fewest hosts allows, however
        many hosts the other has.
    """

    def __init__(self, hosts, sources=None, n_bootstrap: int = 500, seed: int = 0, row_weights=None, classes=None):
        self.hosts, self.n_hosts = _codes(hosts)
        self.sources, self.n_sources = None, None
        if sources is not None:
            self.sources, self.n_sources = _codes(sources, blank=True)
        self.fewest_hosts = self.n_hosts
        if classes is not None:
            classes = np.asarray(classes)
            of_class = [np.bincount(self.hosts[classes == c]) for c in np.unique(classes)]
            self.fewest_hosts = min((int(np.count_nonzero(n)) for n in of_class), default=0)
        self.n, self.n_bootstrap, self.seed = len(self.hosts), n_bootstrap, seed
        self.two_way = bool(self.n_sources) and int((self.sources >= 0).sum()) > self.n_sources
        self.weighted = row_weights is not None
        self.unit = np.asarray(row_weights, dtype=float)[None, :] if self.weighted else np.ones((1, self.n))

    @property
    def smallest(self) -> int:
        """Clusters on the axis that has fewest; hosts are those of the class that has fewest."""
        return min(self.fewest_hosts, self.n_sources) if self.two_way else self.fewest_hosts

    @property
    def _axes(self) -> tuple[str, ...]:
        return ("host", "source", "cell") if self.two_way else ("host",)

    def _axis(self, axis: str) -> np.ndarray:
        """Cluster of each row on one axis; -1 for rows that it does not resample."""
        return {"host": self.hosts, "source": self.sources}[axis] if axis != "cell" else self._cells

    @cached_property
    def _cells(self) -> np.ndarray:
        known, codes = self.sources >= 0, np.full(self.n, -1)
        joint = self.hosts[known].astype(np.int64) * self.n_sources + self.sources[known]
        codes[known] = np.unique(joint, return_inverse=True)[1]
        return codes

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        """Clusters on each axis; hosts are those of the class that has fewest."""
        return (
            (self.fewest_hosts, self.n_sources, int(self._cells.max()) + 1) if self.n_sources else (self.fewest_hosts,)
        )

    def weights(self, axis: str = "host") -> Iterator[np.ndarray]:
        """Bootstrap weights over one axis, in chunks of (draws, n) float64; the same on every call.

        Parameters
        ----------
        axis : {"host", "source", "cell"}
            What is resampled; on the last two, rows without a source keep their weight.
        """
        codes = self._axis(axis)
        number = int(codes.max()) + 1
        rng = np.random.Generator(np.random.Philox(key=[self.seed, ("host", "source", "cell").index(axis)]))
        step = max(1, min(self.n_bootstrap, CHUNK_VALUES // max(self.n, 1)))
        for start in range(0, self.n_bootstrap, step):
            draws = min(step, self.n_bootstrap - start)
            counts = np.hstack([_counts(rng, draws, number), np.ones((draws, 1))])
            drawn = counts[:, codes]  # code -1, no source, picks the column of ones
            yield self.unit * drawn if self.weighted else drawn

    def metric(self, value: float, statistic: Callable[[np.ndarray], np.ndarray], bounds=(0.0, 1.0)) -> Metric:
        """Attach an interval to a value.

        Parameters
        ----------
        value : float
            The statistic at the weights ``unit``.
        statistic : callable
            Maps weights (draws, n) to values (draws,); NaN where a draw holds no row of a needed kind.
        bounds : pair of float
            Range of the statistic; an interval stays within it.

        Returns
        -------
        Metric
        """
        return self.metrics([value], lambda w: statistic(w)[None], [bounds])[0]

    def metrics(self, values, statistic: Callable[[np.ndarray], np.ndarray], bounds, of_sources=None) -> list[Metric]:
        """Several statistics of the same draws: ``statistic`` maps (draws, n) to (statistics, draws).

        ``of_sources``, (statistics, n), is the influence of each row where hosts stay as they are: it saves the draws
        over sources and cells.
        """
        axes = self._axes if of_sources is None else ("host",)
        drawn = [np.concatenate([statistic(w) for w in self.weights(axis)], axis=1) for axis in axes]
        out = []
        for i, (value, bound) in enumerate(zip(values, bounds)):
            variances = [_variance(d[i]) for d in drawn]
            if of_sources is not None:
                variances += self._variances(of_sources[i])[1:]
            out.append(self._finish(value, variances, bound))
        return out

    def attach(self, value: float, draws: np.ndarray, bounds=(0.0, 1.0), *, of_sources=None, of_cells=None) -> Metric:
        """Interval from the statistic's bootstrap draws over hosts and, two-way, over sources and cells.

        None below `MIN_CLUSTERS`; flagged below `FEW_CLUSTERS`.

        Raises
        ------
        ValueError
            Draws over hosts alone where sources cluster the rows too: the interval would be too narrow.
        """
        drawn = [d for d in (draws, of_sources, of_cells) if d is not None]
        if len(drawn) != len(self._axes):
            raise ValueError(f"draws over {len(drawn)} of the axes {self._axes}: give all of them")
        return self._finish(value, [_variance(d) for d in drawn], bounds)

    def linear(self, value: float, influence: np.ndarray, bounds=(0.0, 1.0), over: Clusters | None = None) -> Metric:
        """Interval from the first-order influence of each row on a statistic: no draw is needed.

        The variance on an axis is the sum, over its clusters, of the squared deviation of a cluster's summed
        influence from the mean of all clusters.

        Parameters
        ----------
        value : float
        influence : ndarray, (n,)
            Change of the statistic for a small change of the row's weight, times the weight; sums to 0.
        bounds : pair of float
        over : Clusters, optional
            Of the rows that the statistic is taken over, where others have influence too: those are counted.
        """
        return (over or self)._finish(value, self._variances(influence), bounds)

    def error(self, influence: np.ndarray, over: Clusters | None = None) -> tuple[float, float] | None:
        """Standard error of a statistic from its rows' influence, and its degrees of freedom.

        None below `MIN_CLUSTERS`.
        """
        over = over or self
        return None if over.smallest < MIN_CLUSTERS else over._error(self._variances(influence))

    def covariance(self, influence: np.ndarray) -> np.ndarray:
        """(k, k) covariance of k statistics from the influence of each row on each, (n, k); no negative variance."""
        parts = []
        for axis, size in zip(self._axes, self._sizes):
            codes = self._axis(axis)
            sums = np.zeros((int(codes.max()) + 1, influence.shape[1]))
            np.add.at(sums, codes[codes >= 0], influence[codes >= 0])
            sums -= sums.mean(axis=0)
            parts.append(sums.T @ sums * size / max(size - 1, 1))
        if len(parts) == 1:
            return parts[0]
        values, vectors = np.linalg.eigh(parts[0] + parts[1] - parts[2])
        return vectors * np.clip(values, 0, None) @ vectors.T

    def _variances(self, influence: np.ndarray) -> list[float]:
        out = []
        for axis in self._axes:
            codes = self._axis(axis)
            sums = np.bincount(codes[codes >= 0], influence[codes >= 0])
            out.append(float(((sums - sums.mean()) ** 2).sum()))
        return out

    def _error(self, variances: list[float]) -> tuple[float, float]:
        """Standard error and degrees of freedom: variance of hosts and sources less that of cells, at least the hosts'.

        The source's alone is no bound: where the members of a pair share what their host adds and differ in having a
        source, rows of a source scatter by more than pairs do. With many clusters half of the cells' variance is taken
        for known: as the sources' variance holds it too, an axis without an effect of its own would otherwise cost
        degrees of freedom.
        """
        if not np.isfinite(variances).all():
            return np.nan, 1.0
        sizes = [max(n, 2) for n in self._sizes[: len(variances)]]
        sizes += sizes[:1] * (len(variances) - len(sizes))
        v = [x * n / (n - 1) for x, n in zip(variances, sizes)]
        if len(v) == 1:
            return float(np.sqrt(v[0])), float(sizes[0] - 1)
        host, source, cell = v
        total = max(host + source - cell, host)
        known = cell / 2 if min(sizes) >= FEW_CLUSTERS else 0.0
        shares = max(host - known, 0.0), max(source - known, 0.0), known
        noise = sum(x**2 / (n - 1) for x, n in zip(shares, sizes))
        return float(np.sqrt(total)), float(max(total**2 / noise if noise > 0 else 0.0, min(sizes) - 1))

    def _finish(self, value: float, variances: list[float], bounds) -> Metric:
        flags = ("two_way",) if self.two_way else ()
        low = high = None
        if not np.isfinite(value):
            return Metric(None, None, None, self.n, self.n_hosts, self.n_sources, (*flags, "undefined"))
        if self.smallest < MIN_CLUSTERS:
            flags = (*flags, "few_clusters", "no_interval")
        else:
            low, high, more = _interval(value, *self._error(variances), self.smallest, bounds)
            flags = (*flags, *more)
        return Metric(float(value), low, high, self.n, self.n_hosts, self.n_sources, flags)


def _variance(draws: np.ndarray) -> float:
    """Variance of bootstrap draws; NaN where fewer than 20 are defined."""
    draws = draws[np.isfinite(draws)]
    return float(np.var(draws, ddof=1)) if len(draws) >= 20 else np.nan


def _interval(value, error, degrees, clusters, bounds) -> tuple[float | None, float | None, tuple[str, ...]]:
    if not np.isfinite(error):
        return None, None, ("no_interval",)
    few = ("few_clusters",) if clusters < FEW_CLUSTERS else ()
    # The bound of zero exceptions among so many clusters, where none disagrees or the value is at the end of its range.
    least = (1 - 0.025 ** (1 / clusters)) * (bounds[1] - bounds[0]) if np.all(np.isfinite(bounds)) else 0.0
    if error < 1e-12:
        return float(max(bounds[0], value - least)), float(min(bounds[1], value + least)), ("degenerate", *few)
    reach = error * stats.t.ppf(0.975, degrees)
    reach = max(reach, least) if value in bounds else reach
    if tuple(bounds) == (0.0, 1.0) and 0 < value < 1:
        reach /= value * (1 - value)
        return float(expit(logit(value) - reach)), float(expit(logit(value) + reach)), few
    return float(max(bounds[0], value - reach)), float(min(bounds[1], value + reach)), few


def _codes(labels, blank: bool = False) -> tuple[np.ndarray, int]:
    """Each row's cluster, counted in the order of the labels, and how many there are; -1 for a blank label."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        labels = labels.astype(str)
    names, codes = np.unique(labels, return_inverse=True)
    if blank and len(names) and (names[0] == "" if labels.dtype.kind == "U" else names[0] < 0):
        return codes - 1, len(names) - 1
    return codes, len(names)


def _counts(rng: np.random.Generator, draws: int, clusters: int) -> np.ndarray:
    picks = rng.integers(0, clusters, size=(draws, clusters)) + clusters * np.arange(draws)[:, None]
    return np.bincount(picks.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(float)
