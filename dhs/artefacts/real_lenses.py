"""``real_lenses.json``: what a network says of real lenses, and of real stamps that are none."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Literal

from pydantic import RootModel

from dhs.artefacts.parts import Metric, Part, Section, Skip, metric_text, skipped
from dhs.artefacts.report import Report


class RecallPoint(Part):
    """``k`` real lenses above the threshold of a false-positive rate on survey negatives."""

    fpr: float
    threshold: float
    k: int
    recall: Metric


class RealStamp(Part):
    """One real stamp; ``fraction_of_survey_negatives_above`` scored as high or higher."""

    host_id: str
    name: str | None = None
    logit: float
    fraction_of_survey_negatives_above: float | None


class MissedStamp(Part):
    """A real lens below the threshold, and ``why``: what about it was hard or new."""

    host_id: str
    name: str | None = None
    logit: float
    why: tuple[str, ...]


class MissedLenses(Part):
    stamps: tuple[MissedStamp, ...]


class PassedPoint(Part):
    """``k`` real non-lenses above the threshold of a false-positive rate on survey negatives."""

    survey_fpr: float
    k: int
    fpr: Metric


class MatchedNegatives(Part):
    """Those that have a lens like them in magnitude, colours and size."""

    n: int
    fpr_at: tuple[PassedPoint, ...]


class RealNegatives(Part):
    n: int
    n_refused: int
    fpr_at: tuple[PassedPoint, ...]
    matched: MatchedNegatives


class WeightedPoint(Part):
    """Recall of candidates weighted by the probability that each is a lens."""

    fpr: float
    recall: Metric


class Way(Part):
    """Lenses found in one way; ``n_expected`` is the sum of their probabilities."""

    n: int
    n_expected: float
    recall_at_fpr: tuple[WeightedPoint, ...]


class BySelection(Part):
    """Lenses found in images flatter a finder of images; those found by spectra alone do not."""

    imaging: Way
    spectroscopy: Way


class NonLenses(Part):
    """Candidates that were shown to be no lens."""

    n: int
    fpr_at: tuple[PassedPoint, ...]


class Scored(Part):
    """``recall_at_fpr`` from the largest rate to the smallest; intervals are exact (Clopper-Pearson)."""

    status: Literal["scored"]
    cutouts: str
    grade: str
    n_lenses: int
    n_refused: int
    stamps: tuple[RealStamp, ...]
    recall_at_fpr: tuple[RecallPoint, ...]
    misses: Section[MissedLenses]
    real_negatives: RealNegatives | None = None
    by_selection: Section[BySelection] | None = None
    confirmed_non_lenses: Section[NonLenses] | None = None


class NotScored(Skip):
    """No real lens was scored."""

    n_lenses: int


class RealLenses(Report):
    """What ``real_lenses.json`` holds; reads like a dict."""

    file = "real_lenses.json"
    model = RootModel[NotScored | Scored]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Recall on lenses, and how many non-lenses pass, rate by rate."""
        real = self.content.root
        if real.status == "skip":
            yield "real lenses", f"skip: {real.reason}"
            return
        yield "", f"{real.n_lenses} real lens stamps ({real.grade}), {real.n_refused} refused"
        for point in real.recall_at_fpr:
            yield f"recall at survey FPR {point.fpr:.2g}", exact(point.k, point.recall)
        if real.by_selection and not skipped(real.by_selection):
            for way in ("imaging", "spectroscopy"):
                part = real.by_selection[way]
                for point in part.recall_at_fpr:
                    yield f"recall at survey FPR {point.fpr:.2g}, found by {way}", metric_text(point.recall)
        if real.confirmed_non_lenses and not skipped(real.confirmed_non_lenses):
            for point in real.confirmed_non_lenses.fpr_at:
                shown = exact(point.k, point.fpr)
                yield f"passed at survey FPR {point.survey_fpr:.2g}, candidates shown to be no lens", shown
        others = real.real_negatives
        if others:
            yield "", f"{others.n} real stamps of non-lenses, {others.n_refused} refused"
            for what, part in (("all", others), ("those that match a lens", others.matched)):
                for point in part.fpr_at:
                    yield f"passed at survey FPR {point.survey_fpr:.2g}, {what}", exact(point.k, point.fpr)

    def _repr_html_(self) -> str:
        shown = {"host_id": "stamp", "name": "name", "logit": "logit"}
        shown["fraction_of_survey_negatives_above"] = "survey negatives at or above"
        return f"<pre>{html.escape(str(self))}</pre>" + self.table(self.get("stamps") or [], shown)


def exact(k: int, metric: Metric) -> str:
    """``k of n``, the share, and its exact interval."""
    return f"{k} of {metric.n}, exact: {metric_text(metric)}" if metric.value is not None else f"{k} of {metric.n}"
