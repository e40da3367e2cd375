"""The pieces that artefacts are made of: a metric, a skip, a bin; and how a number reads in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A mapping of an artefact whose keys are known; others are kept. Reads by attribute and like a mapping."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def __getitem__(self, key: str):
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None

    def get(self, key: str, default=None):
        return getattr(self, key, default)


class Skip(Part):
    """A section that was not measured.

    Attributes
    ----------
    status : "skip"
    reason : str
        Why, as a clause.
    """

    status: Literal["skip"]
    reason: str


class Metric(Part):
    """One measured number; see `dhs.stats.clusters.Metric`.

    Attributes
    ----------
    value : float or None
        None where it could not be measured; ``flags`` then say why.
    ci_low, ci_high : float or None
        95 % interval, by host and source; None below eight clusters.
    n, n_hosts, n_sources : int or None
        Rows, and distinct clusters among them.
    flags : tuple of str
    """

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    n_hosts: int | None = None
    n_sources: int | None = None
    flags: tuple[str, ...] = ()


class Bin(Metric):
    """A metric of the rows whose value lies from ``lo`` to ``hi``; the last bin holds its upper edge."""

    lo: float
    hi: float


_Section = TypeVar("_Section")
Section = Annotated[Skip | _Section, Field(union_mode="left_to_right")]
"""A section, or why there is none."""


def absent(section) -> str | None:
    """Why a section of an artefact can't be shown; None where it can."""
    if section is None or (isinstance(section, Mapping) and not section):
        return "not part of this run"
    return str(section.get("reason") or section.get("explanation") or "no reason given") if skipped(section) else None


def skipped(section) -> bool:
    return section.get("status") == "skip"


def text(value, digits: int = 3) -> str:
    """A number as it stands in prose; ``not measured`` for null or NaN."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    plain = value == 0 or (isinstance(value, float) and 1e-3 <= abs(value) < 1e4)
    return f"{value:.{digits}f}" if plain else f"{value:.2g}"


def metric_text(metric, digits: int = 3) -> str:
    """``value (low to high, n = ..., hosts = ..., sources = ...)`` of a metric, a gate or a skip."""
    if metric is None or metric.get("value") is None:
        flags = ", ".join(metric.get("flags") or ()).replace("_", " ") if metric is not None else ""
        reason = metric is not None and (metric.get("reason") or flags or metric.get("explanation"))
        return f"not measured ({str(reason or 'not part of this run').rstrip('.')})"
    return f"{text(metric['value'], digits)} ({', '.join(_interval(metric, digits))})"


def _interval(metric, digits: int) -> Iterator[str]:
    if metric.get("ci_low") is not None and metric.get("ci_high") is not None:
        yield f"{text(metric['ci_low'], digits)} to {text(metric['ci_high'], digits)}"
    else:
        yield "no interval"
    for key, label in (("n", "n"), ("n_hosts", "hosts"), ("n_sources", "sources")):
        if metric.get(key):
            yield f"{label} = {metric[key]:,}"
