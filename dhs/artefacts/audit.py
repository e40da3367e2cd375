"""``audit.json``: whether two classes of anyone's stamps can be told apart by what no lens decides."""

from __future__ import annotations

from collections.abc import Iterator

from dhs.artefacts.parts import Metric, Part, metric_text
from dhs.artefacts.preflight import Decision, Gate
from dhs.artefacts.report import Report


class Family(Metric):
    """How well a family of numbers separates the classes, with the number in it that does most.

    ``p_holm`` is the smallest of its tests, adjusted over all tests of the report.
    """

    name: str
    single: str
    single_auc: float
    p_holm: float | None = None


class Leak(Part):
    """What would have been caught of a kind of leak.

    Attributes
    ----------
    name, unit : str
    strength : float or None
        Smallest that would be caught with 90 % power; None where the strongest tried would not.
    at_most : bool
        It is the weakest that was tried.
    check : str
        That catches it.
    how : str
        How it was found.
    """

    name: str
    unit: str
    strength: float | None
    at_most: bool = False
    check: str
    how: str


class SetSaid(Part):
    """What was looked at."""

    kind: str
    n: int
    n_refused: int
    n_positive: int | None
    n_negative: int | None
    bands: tuple[str, ...]
    side: tuple[int, int]
    survey: str
    classes: str
    groups: int
    seed: int


class AuditContent(Part):
    """All checks.

    Attributes
    ----------
    reasons : tuple of str
        Why the decision is not GO, blockers first.
    ranked : tuple of Family
        What separates the classes, most first.
    missed : tuple of Leak
    """

    decision: Decision
    reasons: tuple[str, ...]
    data: SetSaid
    gates: tuple[Gate, ...]
    ranked: tuple[Family, ...]
    missed: tuple[Leak, ...]
    tests: int


WORDS = {"pass": "ok", "warn": "note", "fail": "FAIL", "skip": "skip"}


class Audit(Report):
    """What ``audit.json`` holds; reads like a dict. ``page`` is the report as one HTML file, where it was just made."""

    file = "audit.json"
    model = AuditContent
    page: str = ""

    @property
    def decision(self) -> str:
        return self.data["decision"]

    @property
    def exit_code(self) -> int:
        """0 GO, 10 CONDITIONAL-GO, 20 NO-GO."""
        return {"GO": 0, "CONDITIONAL-GO": 10, "NO-GO": 20}[self.decision]

    def gate(self, name: str) -> Gate:
        """The outcome of one check."""
        for gate in self.content.gates:
            if gate.name == name:
                return gate
        raise KeyError(f"no check {name!r}; there are {[g.name for g in self.content.gates]}")

    def lines(self) -> Iterator[tuple[str, str]]:
        """The decision, each check, and what separates the classes."""
        found: AuditContent = self.content
        about = found.data
        yield "", f"{found.decision}: {about.n} stamps, {about.kind}, {', '.join(about.bands)}"
        for g in found.gates:
            yield f"{WORDS[g.status]:4s} {g.name.replace('_', ' ')}{' *' if g.blocking else ''}", g.explanation
            if g.status == "fail":
                yield "     what to do", g.remedy
        for f in found.ranked[:3]:
            yield "separates most" if f is found.ranked[0] else "then", f"{f.name}: AUC {metric_text(f)}; {f.single}"
        yield "", "* a failure is NO-GO"
