"""``agreement.json``: do the graders of a contact sheet agree, and what are their grades worth?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from dhs.artefacts.parts import Metric, Part, Section, metric_text, skipped
from dhs.artefacts.report import Report


class Grader(Part):
    """``counts`` of the grades 0 to 3."""

    name: str
    n: int
    counts: tuple[int, int, int, int]


class Worth(Part):
    """Shares graded ``grade`` or better, exact intervals; ``likelihood_ratio`` is the first over the last."""

    grader: str
    grade: int
    letter: str
    planted_lenses: Metric
    known_lenses: Metric
    planted_controls: Metric
    likelihood_ratio: Metric


class Calibration(Part):
    status: Literal["measured"]
    worth: tuple[Worth, ...]


class Agreement(Part):
    """``alpha`` is Krippendorff's for ordered grades; ``n_split`` candidates have grades two steps or more apart."""

    sheet: str
    n: int
    graders: tuple[Grader, ...]
    alpha: Metric
    n_split: int
    calibration: Section[Calibration]


class AgreementReport(Report):
    """What ``agreement.json`` holds; reads like a dict."""

    file = "agreement.json"
    model = Agreement

    def lines(self) -> Iterator[tuple[str, str]]:
        """Who graded how many, alpha, and what grades are worth."""
        content = self.content
        for grader in content.graders:
            yield grader.name, f"{grader.n} of {content.n} graded; 0 to 3: {', '.join(map(str, grader.counts))}"
        yield "Krippendorff's alpha (ordinal)", metric_text(content.alpha)
        yield "two steps or more apart", str(content.n_split)
        part = content.calibration
        if skipped(part):
            yield "what grades are worth", f"not measured ({part.reason})"
            return
        for worth in part.worth:
            shares = (
                f"planted lenses {metric_text(worth.planted_lenses)}, controls {metric_text(worth.planted_controls)}"
            )
            ratio = f"known lenses {metric_text(worth.known_lenses)}, ratio {metric_text(worth.likelihood_ratio)}"
            yield f"{worth.grader}, {worth.letter} or better", f"{shares}; {ratio}"
