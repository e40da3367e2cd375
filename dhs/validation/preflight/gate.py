"""What a gate is, how one is added, and how gates become a decision.

A gate is a function of the `dhs.validation.preflight.preflight.PreflightData` that returns `verdict(...)`. Adding one::

    from dhs.validation.preflight.gate import gate, threshold, verdict

    @gate("bright_arcs", blocking=False, remedy="Draw more pairs.", thresholds={"least": 100})
    def bright_arcs(data):
        n, least = int((data.column("arc_snr_matched") > 60).sum()), threshold(data, "bright_arcs.least")
        return verdict("pass" if n >= least else "fail", value=n, threshold=least, n=data.n,
                       explanation=f"{n} arcs have a matched SNR above 60.")

in a module of `dhs.validation.preflight.gates`, in one that another package names under the entry-point group
``dhs.gates``, or anywhere before `preflight` is called; it runs with the others, after the numbered ones.
A gate that tests a limit puts the one-sided p-values of "the limit holds", one a stratum, into ``details["tests"]``;
`settle` corrects them all together (Holm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.artefacts.preflight import Preflight
from dhs.artefacts.report import VERSION, checked, html_table, jsonable, read
from dhs.errors import EXIT_CONDITIONAL, EXIT_NO_GO, EXIT_OK, DhsError, UsageError
from dhs.registry import Registry
from dhs.stats.metrics import Metric

STATUSES = ("pass", "warn", "fail", "skip")
GO, CONDITIONAL, NO_GO = "GO", "CONDITIONAL-GO", "NO-GO"
ALPHA = 0.05
EXIT_CODES = {GO: EXIT_OK, CONDITIONAL: EXIT_CONDITIONAL, NO_GO: EXIT_NO_GO}


class Skip(DhsError):
    """Raised inside a gate that cannot be measured on this data set; the message is the reason."""


@dataclass(frozen=True)
class Gate:
    """Outcome of one check.

    Attributes
    ----------
    name : str
    status : {"pass", "warn", "fail", "skip"}
        ``warn`` is inconclusive, ``skip`` is not measured.
    blocking : bool
        Whether a failure is NO-GO.
    value, ci_low, ci_high, threshold : float or None
    n, n_hosts, n_sources : int or None
    explanation, remedy : str
        What the value means, and what to do about a status other than ``pass``.
    details : dict
        JSON-ready tables behind the value: bins, ids, counts.
    """

    name: str
    status: str
    blocking: bool = True
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    threshold: float | None = None
    n: int | None = None
    n_hosts: int | None = None
    n_sources: int | None = None
    explanation: str = ""
    remedy: str = ""
    details: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        return {k: jsonable(v) for k, v in asdict(self).items()}


def verdict(status: str, explanation: str, *, metric: Metric | None = None, **fields) -> Gate:
    """The outcome a gate function returns; name, blocking and remedy come from its registration.

    Parameters
    ----------
    status : {"pass", "warn", "fail", "skip"}
    explanation : str
    metric : Metric, optional
        Fills ``value``, ``ci_low``, ``ci_high``, ``n``, ``n_hosts``, ``n_sources``.
    **fields
        Other fields of `Gate`, also those of ``metric``.
    """
    if status not in STATUSES:
        raise ValueError(f"status {status!r}: choose one of {STATUSES}")
    if metric is not None:
        names = ("value", "ci_low", "ci_high", "n", "n_hosts", "n_sources")
        fields = {name: getattr(metric, name) for name in names} | fields
    return Gate(name="", status=status, explanation=explanation, **fields)


@dataclass(frozen=True)
class Registered:
    """A gate function with what is known before it runs."""

    name: str
    function: Callable
    blocking: bool
    remedy: str
    number: int | None = None
    thresholds: dict[str, float] = field(default_factory=dict)


REGISTRY = Registry("gate", "dhs.gates", "dhs.validation.preflight.gates")


def gate(
    name: str,
    *,
    blocking: bool = True,
    remedy: str = "",
    number: int | None = None,
    thresholds: dict[str, float] | None = None,
) -> Callable:
    """Register a function of the preflight data as a gate.

    Parameters
    ----------
    name : str
        Unique; a second registration under one name is refused.
    blocking : bool
        Whether its failure is NO-GO and its absence caps the decision.
    remedy : str
        What to do where it does not pass.
    number : int, optional
        Place among the gates; those without one run last, in the order of their registration.
    thresholds : dict of str to float, optional
        Limits of its own with their pre-registered values; a profile sets another under
        ``preflight.thresholds``, as ``bright_arcs.least``.
    """

    def register(function: Callable) -> Callable:
        REGISTRY.add(name, Registered(name, function, blocking, remedy, number, dict(thresholds or {})))
        return function

    return register


def threshold(data, name: str) -> float:
    """A gate's own limit, ``<gate>.<threshold>``: the profile's, else the registered one."""
    gate_name, _, own = name.rpartition(".")
    return data.profile.preflight.thresholds.get(name, REGISTRY[gate_name].thresholds[own])


def refuse_unknown_thresholds(given: Iterable[str]) -> None:
    """Stop where a profile sets a threshold that no gate has.

    Raises
    ------
    UsageError
        With those there are.
    """
    known = sorted(f"{name}.{own}" for name in REGISTRY for own in REGISTRY[name].thresholds)
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"preflight.thresholds {unknown}: no gate has them. There are {known}.")


def run_gate(registered: Registered, data) -> Gate:
    """One gate's outcome. A gate that cannot be measured is a ``skip`` with the reason, never a crash."""
    try:
        outcome = registered.function(data)
    except Skip as reason:
        outcome = verdict("skip", f"Not measured: {reason}")
    except Exception as error:  # a gate is user code too; whatever it raises must not hide the other gates
        outcome = verdict("skip", f"Not measured: {type(error).__name__}: {error}")
    return replace(
        outcome,
        name=registered.name,
        blocking=registered.blocking,
        remedy="" if outcome.status == "pass" else outcome.remedy or registered.remedy,
    )


def registered() -> list[Registered]:
    """All gates, the numbered ones first."""
    return sorted(REGISTRY.values(), key=lambda r: (r.number is None, r.number or 0))


def run_gates(data, names: Iterable[str] | None = None, alpha: float = ALPHA) -> tuple[Gate, ...]:
    """Outcomes of all gates, or of the named ones, settled together."""
    chosen = [r for r in registered() if names is None or r.name in set(names)]
    return settle((run_gate(r, data) for r in chosen), alpha)


def settle(gates: Iterable[Gate], alpha: float = ALPHA, registry: Mapping = REGISTRY) -> tuple[Gate, ...]:
    """Let the statistical tests of all gates decide together.

    Each entry of a gate's ``details["tests"]`` maps a stratum to the p-value of its limit being kept. Holm's
    correction runs over every stratum of every gate, so the chance of one false failure anywhere is at most alpha;
    a rejected stratum fails its gate by name.
    """
    gates = list(gates)
    family = [(i, s, float(p)) for i, g in enumerate(gates) for s, p in g.details.get("tests", {}).items()]
    adjusted = holm([p for _, _, p in family]) if family else []
    out = []
    for i, item in enumerate(gates):
        mine = {s: float(a) for (k, s, _), a in zip(family, adjusted) if k == i}
        if not mine:
            out.append(item)
            continue
        rejected = [s for s, a in mine.items() if a < alpha]
        changes: dict = {"details": item.details | {"holm": mine, "holm_family": len(family)}}
        if rejected:
            known = registry.get(item.name)
            changes |= {"status": "fail", "remedy": item.remedy or (known.remedy if known else "")}
            changes["explanation"] = f"{item.explanation} Outside the limit (Holm): {', '.join(rejected)}."
        out.append(replace(item, **changes))
    return tuple(out)


def decide(gates: Iterable[Gate], mock: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Decision and its reasons.

    A blocking gate that fails is NO-GO. A blocking gate that was skipped or is inconclusive, a gate that fails
    without blocking, mock hosts and mock sources each cap the decision at CONDITIONAL-GO.

    Parameters
    ----------
    gates : iterable of Gate
    mock : iterable of str
        ``hosts``, ``sources``, where those are mock.
    """
    gates = list(gates)
    blockers = [f"{g.name} failed: {g.explanation}" for g in gates if g.blocking and g.status == "fail"]
    words = {"skip": "was not measured", "warn": "is inconclusive", "fail": "failed (not blocking)"}
    caps = [
        f"{g.name} {words[g.status]}: {g.explanation}"
        for g in gates
        if (g.blocking and g.status in ("skip", "warn")) or (not g.blocking and g.status == "fail")
    ]
    caps += [f"the {name} are mock: no number describes the sky" for name in mock]
    return (NO_GO if blockers else CONDITIONAL if caps else GO), blockers + caps


def holm(p_values) -> np.ndarray:
    """Holm-adjusted p-values (Holm 1979, Scandinavian Journal of Statistics 6, 65)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


@dataclass(frozen=True)
class PreflightReport:
    """All gates and the decision; what ``preflight.json`` holds.

    Attributes
    ----------
    decision : {"GO", "CONDITIONAL-GO", "NO-GO"}
    gates : tuple of Gate
    reasons : tuple of str
        Why the decision is not GO, blockers first.
    data : dict
        Which data set was looked at: path-free identity and sizes.
    """

    decision: str
    gates: tuple[Gate, ...]
    reasons: tuple[str, ...] = ()
    data: dict = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.decision]

    def __getitem__(self, name: str) -> Gate:
        for item in self.gates:
            if item.name == name:
                return item
        raise KeyError(f"no gate {name!r}; there are {[g.name for g in self.gates]}")

    def as_dict(self) -> dict:
        return {
            "decision": self.decision,
            "reasons": list(self.reasons),
            "data": jsonable(self.data),
            "gates": [g.as_dict() for g in self.gates],
        }

    def write(self, folder: str | Path) -> None:
        data = self.as_dict() | {VERSION: 1}
        checked(Preflight, data, "preflight.json")
        storage.write_json(storage.join(folder, "preflight.json"), data)

    @classmethod
    def read(cls, path: str | Path) -> PreflightReport:
        """Read ``preflight.json``, or the one in a folder."""
        text = str(path)
        file = text if text.endswith(".json") else storage.join(text, "preflight.json")
        data = read(file)
        names = {f.name for f in fields(Gate)}
        gates = tuple(Gate(**{k: v for k, v in g.items() if k in names}) for g in data["gates"])
        return cls(data["decision"], gates, tuple(data["reasons"]), data["data"])

    def __str__(self) -> str:
        lines = [f"{self.decision}"]
        for g in self.gates:
            lines.append(f"  {g.status:4s} {'*' if g.blocking else ' '} {g.name}: {g.explanation}")
        return "\n".join([*lines, "  (* blocking)"])

    def _repr_html_(self) -> str:
        rows = []
        for g in self.gates:
            interval = "" if g.ci_low is None else f" [{g.ci_low:.3g}, {g.ci_high:.3g}]"
            value = "" if g.value is None else f"{g.value:.4g}{interval}"
            row = {"gate": g.name + (" *" if g.blocking else ""), "status": g.status, "value": value}
            row |= {"threshold": g.threshold, "what it means": g.explanation, "what to do": g.remedy}
            rows.append(row)
        return f"<p><b>{self.decision}</b> (* blocking)</p>{html_table(rows)}"
