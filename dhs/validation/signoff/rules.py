"""Rules of the sign-off as data: what one must hold, and how a file of them is read."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import yaml

from dhs import storage
from dhs.errors import DhsError

OPERATORS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
SYMBOLS = {"eq": "=", "ne": "not", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
SEVERITIES = ("blocker", "condition", "recommendation")


@dataclass(frozen=True)
class Rule:
    """One rule; the keys are explained at the head of ``signoff/rules.yaml``."""

    id: str
    at: str
    op: str
    severity: str
    text: str
    change: str
    bound: object = None
    bound_at: str | None = None
    stage: str = "always"
    where: dict = field(default_factory=dict)
    unless: dict | None = None
    missing: str = "condition"
    cap: bool = False
    about: str = "set"
    decisive: bool = False

    def __post_init__(self):
        known = self.op in OPERATORS and self.severity in SEVERITIES and self.stage in ("always", "after")
        if not known or self.about not in ("set", "network", "real lenses"):
            raise DhsError(
                f"sign-off rule {self.id!r}: op, severity, stage or about is unknown. See the head of the rules file."
            )


def load_rules(path: str | Path | None = None) -> tuple[list[Rule], list[dict], list[dict], list[dict], list[dict]]:
    """Rules, standing recommendations, experiments, questions and lines of the training plan of a YAML file.

    The package's own by default.

    Raises
    ------
    DhsError
        Not YAML, or a rule with an unknown key, operator, severity or stage.
    """
    if path is None:
        text, where = (
            (resources.files("dhs.validation.signoff") / "rules.yaml").read_text(),
            "signoff/rules.yaml",
        )
    else:
        text, where = storage.read_bytes(path).decode(), str(path)
    try:
        data = yaml.safe_load(text)
        rules = [Rule(**entry) for entry in data["rules"]]
        more = [list(data.get(k) or []) for k in ("questions", "plan_lines")]
        return rules, list(data["standing"]), list(data["experiments"]), *more
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DhsError(
            f"{where}: not a file of sign-off rules ({error}). See the head of signoff/rules.yaml."
        ) from None
