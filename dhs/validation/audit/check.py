"""What a check is, and what it is given: measured stamps, their labels, and one null for all tests.

A check is a gate (`dhs.validation.preflight.gate`) of an `AuditData` instead of a pairs data set, in a registry of its
own: ``@check("name", ...)`` in a module of `dhs.validation.audit.checks` or of a package that names it under the
entry-point group ``dhs.audit_checks``. P-values under ``details["tests"]`` are corrected together (Holm).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dhs.registry import Registry
from dhs.stats.permuted import Null
from dhs.validation.audit.collect import Measured
from dhs.validation.audit.duplicates import Twins
from dhs.validation.audit.stamps import Stamps
from dhs.validation.preflight.gate import Registered, Skip, verdict

MIN_CLASS = 20
MARGIN = 0.02  # an AUC within it of one half is nobody's shortcut
UNDECIDED = 0.10  # where an AUC as far above one half can't be excluded, a check that found nothing says so

CHECKS = Registry("audit check", "dhs.audit_checks", "dhs.validation.audit.checks")


def check(name: str, *, number: int, remedy: str, blocking: bool = True) -> Callable:
    """Register a function of `AuditData` that returns `verdict(...)`."""

    def register(function: Callable) -> Callable:
        CHECKS.add(name, Registered(name, function, blocking, remedy, number))
        return function

    return register


@dataclass
class AuditData:
    """What the checks look at.

    Attributes
    ----------
    stamps : Stamps
    measured : Measured
    labels : ndarray of bool or None
        Of the measured stamps; None where there are none that can be used, and ``no_labels`` says why.
    known : ndarray of bool
        Whether a measured stamp has a label.
    columns : dict of str to ndarray
        Of the measured stamps: ``split``, ``ra``, ``dec`` and whatever else the set brings.
    twins : Twins
    groups : ndarray of int
        What may not be torn apart: declared groups and what is a duplicate of what.
    blocks : ndarray of int
        Of declared groups, for mean images.
    seed : int
    """

    stamps: Stamps
    measured: Measured
    labels: np.ndarray | None
    known: np.ndarray
    columns: dict
    twins: Twins
    groups: np.ndarray
    blocks: np.ndarray
    seed: int = 0
    no_labels: str = ""
    said: str = ""
    sections: dict = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.measured.places)

    @cached_property
    def rows(self) -> np.ndarray:
        """Measured stamps that have a label."""
        return np.flatnonzero(self.known)

    @cached_property
    def y(self) -> np.ndarray:
        """Their labels."""
        if self.labels is None:
            raise Skip(self.no_labels)
        y = self.labels[self.rows]
        if min(y.sum(), (~y).sum()) < MIN_CLASS:
            raise Skip(f"{int(y.sum())} positives and {int((~y).sum())} negatives; {MIN_CLASS} of each are needed.")
        return y

    @cached_property
    def null(self) -> Null:
        """Of the labelled stamps."""
        return Null(self.y, self.groups[self.rows], self.seed)

    def family(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Values of the labelled stamps, and what they are."""
        values, names = self.measured.families[name]
        return values[self.rows], names

    def name(self, row: int) -> str:
        """A measured stamp's name."""
        return self.stamps.found.names[int(self.measured.places[row])]

    def pixels(self, row: int) -> np.ndarray:
        """A measured stamp again, (bands, y, x) float32, NaN as 0."""
        return np.nan_to_num(self.stamps.read([int(self.measured.places[row])])[1][0])


def family_verdict(data: AuditData, name: str, what: str, *, margin: float = MARGIN, probe: bool = True):
    """Whether the classes differ in a family of numbers: together by a classifier, and each alone.

    Parameters
    ----------
    data : AuditData
    name : str
        Of the family.
    what : str
        As in "a classifier that sees only <what>".
    margin : float
    probe : bool
        Whether a classifier of all is tried too; a single number always is.
    """
    x, names = data.family(name)
    return table_verdict(data, x, names, what, margin=margin, probe=probe)


def table_verdict(data: AuditData, x, names, what: str, *, margin: float = MARGIN, probe: bool = True):
    """`family_verdict` of any table of numbers, (labelled stamps, d)."""
    single = data.null.single(x, margin)
    if single is None:
        return verdict(
            "pass", f"No stamp differs from any other in {what}.", value=0.5, threshold=0.5 + margin, n=len(x)
        )
    together = data.null.probe(x, margin) if probe else None
    tests = {f"alone: {names[single.feature]}": single.p}
    text = ""
    if together is not None:
        tests = {"together": together.p} | tests
        text = (
            f"A classifier that sees only {what} tells the classes apart with an AUC of {together.metric.value:.3f}. "
        )
    text += f"The number that differs most is {names[single.feature]} (AUC {single.metric.value:.3f})."
    first = single if together is None or single.p < min(together.p, 0.05) else together
    high = first.metric.ci_high
    found = min(tests.values()) < 0.05 / 30  # it will be said so
    unsure = together is not None and not found and (high is None or high > 0.5 + margin + UNDECIDED)
    if unsure:
        text += f" These stamps are too few to exclude an AUC of {0.5 + margin + UNDECIDED:.2f}."
    each = data.null.each(x)
    order = np.argsort(-np.abs(each))[:8]
    details = {
        "tests": tests,
        "null_sd": first.null_sd,
        "single": {"name": names[single.feature], "auc": single.metric, "p": single.p, "null_sd": single.null_sd},
        "together": None
        if together is None
        else {"auc": together.metric, "p": together.p, "null_sd": together.null_sd},
        "features": [{"name": names[i], "auc": 0.5 + float(each[i])} for i in order],
    }
    status = "warn" if unsure else "pass"
    return verdict(status, text, metric=first.metric, threshold=0.5 + margin, details=details)
