"""``signoff.json``: the decision, and the lines of evidence behind it."""

from __future__ import annotations

from dhs.artefacts.parts import Part
from dhs.artefacts.preflight import Decision


class Line(Part):
    """One finding: what it says, and the number, file and bound behind it in ``source``.

    ``about`` is what it stands against: the ``set``, the ``network`` or ``real lenses``.
    """

    text: str
    source: str
    remedy: str | None = None
    severity: str = "condition"
    about: str = "set"


class Priority(Line):
    """An experiment to do next, and ``why``."""

    why: str


class Answer(Part):
    """A question answered from the files of a run, with the ``evidence`` looked at."""

    number: int
    ask: str
    text: str
    evidence: tuple[str, ...]


class Projection(Part):
    """Cost of the paper-size run from this run's timings; None where not recorded."""

    inject_hours: float | None
    train_hours: float | None
    disk_gb: float | None


class SignOffContent(Part):
    """Blockers are NO-GO, conditions CONDITIONAL-GO; ``plan`` is the SHA-256 of the registered plan.

    ``data_set`` says whether one may train on the set, ``publish`` whether the numbers may be published, ``network``
    whether the network is useful.
    """

    decision: Decision
    stage: str
    blockers: tuple[Line, ...]
    conditions: tuple[Line, ...]
    recommended_changes: tuple[Line, ...]
    priority_order: tuple[Priority, ...]
    answers: tuple[Answer, ...]
    projection: Projection
    plan: str | None
    data_set: str = ""
    network: str = ""
    publish: str = ""
