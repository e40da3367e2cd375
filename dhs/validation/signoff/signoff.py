"""``dhs signoff``: GO, CONDITIONAL-GO or NO-GO, from rules that are data.

The rules are in ``signoff/rules.yaml``: each names a place in one of the run's files, an operator and a bound. Nothing
is evaluated but a dotted path and a comparison. Every line of the outcome carries the number, the file and the bound.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dhs import storage
from dhs.artefacts.report import VERSION, checked, jsonable, read
from dhs.artefacts.signoff import SignOffContent
from dhs.validation.preflight.gate import CONDITIONAL, EXIT_CODES, GO, NO_GO
from dhs.validation.signoff.artefacts import FILES, MISSING, lookup, read_documents
from dhs.validation.signoff.rules import OPERATORS, SEVERITIES, SYMBOLS, Rule, load_rules

USEFUL, LIMITED, USELESS, UNKNOWN = "USEFUL", "OF LIMITED USE", "NOT SHOWN TO BE USEFUL", "NOT MEASURED"


@dataclass(frozen=True)
class SignOff:
    """The decision and its reasons; what ``signoff.json`` holds.

    Attributes
    ----------
    decision : {"GO", "CONDITIONAL-GO", "NO-GO"}
    stage : {"before training", "after training"}
    blockers, conditions : tuple of dict
        ``rule, text, remedy, number, bound, file, path, source, severity, about``.
    recommended_changes : tuple of dict
        The same of what stands against nothing, with ``why``; what was done is not among them.
    priority_order : tuple of dict
        Experiments to do next, those that a violated rule calls for first.
    caps : tuple of str
        Rules that cap the decision whatever else holds.
    projection : dict
        Hours and disk of the paper-size run, from this run's timings.
    plan : str or None
        SHA-256 of the registered plan.
    answers : tuple of dict
        The questions that are answered from these documents: ``number, ask, text, evidence``.
    data_set : {"GO", "CONDITIONAL-GO", "NO-GO"}
        Is the set fit to train on? From the rules that are not about the network or real lenses.
    network : {"USEFUL", "OF LIMITED USE", "NOT SHOWN TO BE USEFUL", "NOT MEASURED"}
        Is the network useful? From those that are about it.
    plan_lines : tuple of dict
        The training plan line by line, with the verdict of the run's own ablation.
    publish : {"GO", "CONDITIONAL-GO", "NO-GO", "NOT MEASURED"}
        May its numbers be published? From all rules, once there is an evaluation.
    """

    decision: str
    stage: str
    blockers: tuple[dict, ...]
    conditions: tuple[dict, ...]
    recommended_changes: tuple[dict, ...]
    priority_order: tuple[dict, ...]
    caps: tuple[str, ...]
    projection: dict
    plan: str | None = None
    answers: tuple[dict, ...] = ()
    data_set: str = ""
    network: str = UNKNOWN
    plan_lines: tuple[dict, ...] = ()
    publish: str = UNKNOWN

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.decision]

    @classmethod
    def read(cls, path: str | Path) -> SignOff:
        """Read ``signoff.json``."""
        data = read(path)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != VERSION})

    def as_dict(self) -> dict:
        return jsonable(asdict(self))

    def __str__(self) -> str:
        two = f"train: {self.data_set}; publish: {self.publish}; network: {self.network}"
        lines = [f"{self.decision} ({self.stage})", two, f"plan {self.plan or 'not registered'}", self.cost]
        for title, entries in self._groups():
            lines += [f"{title}:"] if entries else []
            remedied = title in ("blockers", "conditions")
            lines += [f"  - {e['text']}{' ' + e['remedy'] if remedied else ''} [{e['source']}]" for e in entries]
        return "\n".join(lines)

    @property
    def cost(self) -> str:
        """Hours and disk of the paper-size run."""
        names = {"inject_hours": "h to inject", "train_hours": "h to train", "disk_gb": "GB of disk"}
        known = [f"{self.projection[k]:.3g} {unit}" for k, unit in names.items() if self.projection.get(k) is not None]
        return f"paper-size run: {', '.join(known) or 'no timings to project from'}"

    def _groups(self):
        return (
            ("blockers", self.blockers),
            ("conditions", self.conditions),
            ("recommended changes", self.recommended_changes),
            ("priority order", self.priority_order),
        )

    def _repr_html_(self) -> str:
        about = html.escape(f"plan {self.plan or 'not registered'}; {self.cost}")
        two = f"train: <b>{self.data_set}</b>; publish: <b>{self.publish}</b>; network: <b>{self.network}</b>"
        parts = [f"<p><b>{self.decision}</b> ({self.stage})<br>{two}<br><small>{about}</small></p>"]
        for title, entries in self._groups():
            items = "".join(
                f"<li>{html.escape(e['text'])} <small>{html.escape(e['source'])}</small></li>" for e in entries
            )
            parts.append(f"<p>{title}</p><ol>{items}</ol>" if entries else "")
        return "".join(parts)


def places(documents: dict, rule: Rule) -> Iterator[tuple[str, dict]]:
    """The paths a rule is for, and the entry around each (for ``where`` and for the text)."""
    if ".*." not in rule.at:
        yield rule.at, {}
        return
    head, tail = rule.at.split(".*.")
    entries = lookup(documents, head)
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if all(entry.get(k) == v for k, v in rule.where.items()):
            yield f"{head}.{name}.{tail}", {"name": name, **entry}


def check(documents: dict, rule: Rule) -> Iterator[tuple[str, dict]]:
    """Violations of one rule: (severity, line)."""
    if rule.unless is not None:
        value = lookup(documents, rule.unless["at"])
        if value is not MISSING and OPERATORS[rule.unless["op"]](value, rule.unless["bound"]):
            return
    for path, entry in places(documents, rule):
        value = lookup(documents, path)
        bound = rule.bound if rule.bound_at is None else lookup(documents, rule.bound_at)
        # a value of null is "not measured", unless null is what the rule asks about
        unknown = value is MISSING or bound is MISSING or (value is None and rule.bound is not None)
        unknown = unknown or (rule.bound_at is not None and None in (value, bound))
        if unknown:
            if rule.missing == "ignore":
                continue
            missing = path if value is MISSING or value is None else rule.bound_at
            reason = _reason(documents, missing)
            text = f"Not measured: {rule.id.replace('_', ' ')}{reason}."
            severity = rule.severity if rule.cap or rule.severity == "recommendation" else "condition"
            yield severity, _line(rule, path, None, bound, text, _how_to_measure(documents, rule, missing, entry))
        elif not OPERATORS[rule.op](value, bound):
            share = {"percent": f"{100 * value:.0f}"} if isinstance(value, float) else {}
            words = _Words(entry | share | {"value": value, "bound": bound})
            yield (
                rule.severity,
                _line(rule, path, value, bound, rule.text.format_map(words), rule.change.format_map(words)),
            )


def _done(documents: dict, entry: dict) -> bool:
    """Whether a recommended change or an experiment has been made in this run."""
    value = lookup(documents, entry["done"]["at"]) if "done" in entry else MISSING
    return value is not MISSING and OPERATORS[entry["done"]["op"]](value, entry["done"]["bound"])


def _standing(documents: dict, entry: dict) -> dict:
    """A recommendation that holds whatever the numbers say, with what this run used."""
    value = lookup(documents, entry["at"])
    value = None if value is MISSING else value
    root, _, inner = entry["at"].partition(".")
    line = {
        "rule": entry["id"],
        "text": entry["text"],
        "why": entry["why"].format(value=value),
        "remedy": entry["text"],
    }
    source = f"{FILES[root]}: {inner} = {_short(value)}"
    return line | {"number": value, "bound": None, "file": FILES[root], "path": inner, "source": source}


def _answer(documents: dict, question: dict, decision: str) -> dict:
    """The first answer whose conditions all hold, and every condition that was looked at on the way."""
    evidence = []
    for option in question["answers"]:
        holds = True
        for condition in option["when"]:
            value = lookup(documents, condition["at"])
            met = value not in (MISSING, None) and OPERATORS[condition["op"]](value, condition["bound"])
            holds &= met
            root, _, inner = condition["at"].partition(".")
            number = "not measured" if value in (MISSING, None) else _short(value)
            wanted = f"{SYMBOLS[condition['op']]} {_short(condition['bound'])}"
            evidence.append(f"{FILES[root]}: {inner} = {number}, must be {wanted}: {'met' if met else 'not met'}")
        if holds:
            text = option["text"].format_map(_Words(decision=decision, **documents["plan_lines"]))
            return {"number": question["number"], "ask": question["ask"], "text": text, "evidence": evidence}
    return {"number": question["number"], "ask": question["ask"], "text": "not answered", "evidence": evidence}


class _Words(dict):
    """Words of a rule's text; one that is not there stays empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _reason(documents: dict, path: str) -> str:
    """Why a value is not there: the nearest enclosing section's own reason."""
    parts = path.split(".")
    if not documents.get(parts[0]):
        return f", and there is no {FILES[parts[0]]}"
    for end in range(len(parts) - 1, 0, -1):
        section = lookup(documents, ".".join(parts[:end]))
        if isinstance(section, dict):
            reason = section.get("reason") or ", ".join(section.get("flags") or ())
            if reason:
                return f" ({reason})"
    return ""


def _how_to_measure(documents: dict, rule: Rule, path: str, entry: dict) -> str:
    if rule.cap or not documents.get(path.split(".")[0]):
        return rule.change.format_map(_Words(entry))
    section = lookup(documents, path.rpartition(".")[0])
    if isinstance(section, dict) and "no_interval" in (section.get("flags") or ()):
        return "More distinct hosts and sources in each split, so that an interval can be given."
    return f"Make the run again with enough data to measure what {FILES[path.split('.')[0]]} leaves out."


def _line(rule: Rule, path: str, value, bound, text: str, change: str) -> dict:
    root, _, inner = path.partition(".")
    limit = "null" if bound is None else "missing" if bound is MISSING else bound
    number = value if isinstance(value, int | float | str | None) else str(value)
    return {
        "rule": rule.id,
        "text": text,
        "remedy": change,
        "number": number,
        "bound": f"{SYMBOLS[rule.op]} {limit}",
        "severity": rule.severity,
        "about": rule.about,
        "file": FILES[root],
        "path": inner,
        "source": f"{FILES[root]}: {inner} = {_short(number)}, must be {SYMBOLS[rule.op]} {_short(limit)}",
    }


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def signoff(run: str | Path, *, rules: str | Path | None = None) -> SignOff:
    """Decide from a run's files and write ``<run>/signoff.json``.

    Parameters
    ----------
    run : str or Path
        Folder with ``preflight.json`` at least. Rules of the stage ``after`` apply once there is an
        ``evaluation.json``.
    rules : str or Path, optional
        Other rules than the package's.

    Returns
    -------
    SignOff

    Raises
    ------
    DhsError
        No ``preflight.json`` there, or an unusable file of rules.
    """
    all_rules, standing, experiments, questions, lines = load_rules(rules)
    documents = read_documents(run, lines)
    after = bool(documents["evaluation"])
    found: dict[str, list[dict]] = {severity: [] for severity in SEVERITIES}
    caps, of = [], []
    for rule in all_rules:
        if rule.stage == "after" and not after:
            continue
        for severity, line in check(documents, rule):
            found[severity].append(line | {"severity": severity})
            of.append((rule, severity))
            if rule.cap and rule.id not in caps:
                caps.append(rule.id)
    decision = _worst(severity for _, severity in of)
    changes = [line | {"text": line["remedy"], "why": line["text"]} for line in found["recommendation"]]
    changes += [_standing(documents, entry) for entry in standing if not _done(documents, entry)]
    result = SignOff(
        decision=decision,
        stage="after training" if after else "before training",
        blockers=tuple(found["blocker"]),
        conditions=tuple(found["condition"]),
        recommended_changes=tuple({c["text"]: c for c in reversed(changes) if c["text"]}.values())[::-1],
        priority_order=tuple(_priorities(documents, experiments, found)),
        caps=tuple(caps),
        projection=documents["projection"],
        plan=documents["plan"].get("sha256"),
        answers=tuple(_answer(documents, question, decision) for question in questions),
        data_set=_worst(severity for rule, severity in of if rule.about == "set"),
        network=_useful(of) if after else UNKNOWN,
        plan_lines=tuple(documents["plan_lines"]["lines"]),
        publish=decision if after else UNKNOWN,
    )
    data = result.as_dict() | {VERSION: 1}
    checked(SignOffContent, data, "signoff.json")
    storage.write_json(storage.join(run, "signoff.json"), data)
    return SignOff(**{k: tuple(v) if isinstance(v, list) else v for k, v in result.as_dict().items()})


def _worst(severities) -> str:
    severities = set(severities)
    return NO_GO if "blocker" in severities else CONDITIONAL if "condition" in severities else GO


def _useful(found: list[tuple[Rule, str]]) -> str:
    """A word of its own for the network: what the set is fit for says nothing of what was trained on it."""
    mine = [(rule, severity) for rule, severity in found if rule.about == "network" and severity != "recommendation"]
    if any(rule.decisive or severity == "blocker" for rule, severity in mine):
        return USELESS
    return LIMITED if mine else USEFUL


def _priorities(documents: dict, experiments: list[dict], found: dict[str, list[dict]]) -> list[dict]:
    """Experiments that a blocker calls for, then those of conditions, then the rest that were not made; file order."""
    rank = {line["rule"]: level for level, severity in enumerate(SEVERITIES) for line in found[severity]}

    def key(experiment):
        return min((rank[r] for r in experiment["raised_by"] if r in rank), default=len(SEVERITIES))

    return [
        {
            "experiment": e["id"],
            "text": e["text"],
            "source": e["source"],
            "why": ", ".join(r.replace("_", " ") for r in e["raised_by"] if r in rank) or "of the standing plan",
        }
        for e in sorted(experiments, key=key)
        if key(e) < len(SEVERITIES) or not _done(documents, e)
    ]
