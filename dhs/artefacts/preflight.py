"""``preflight.json``: the decision before training, and the gates behind it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dhs.artefacts.parts import Metric, Part

Decision = Literal["GO", "CONDITIONAL-GO", "NO-GO"]


class Gate(Metric):
    """Outcome of one gate: a metric, the ``threshold`` it was held against, and what it means.

    ``details`` holds what its figure needs; ``bins`` in it, where a gate has any, lie by theta_E or by the column named
    in ``by``.
    """

    name: str
    status: Literal["pass", "warn", "fail", "skip"]
    blocking: bool
    threshold: float | None
    explanation: str
    remedy: str
    details: dict = Field({})


class Preflight(Part):
    """All gates.

    Attributes
    ----------
    reasons : tuple of str
        Why the decision is not GO, blockers first.
    data : dict
        ``content_hash``, ``counts`` and ``plan`` of the data set that was looked at.
    """

    decision: Decision
    gates: tuple[Gate, ...]
    reasons: tuple[str, ...]
    data: dict
