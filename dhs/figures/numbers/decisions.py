"""Numbers of the preflight, the real lenses and the sign-off as they stand in prose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dhs.artefacts.parts import Skip
from dhs.artefacts.preflight import Gate, Preflight
from dhs.artefacts.real_lenses import RealLenses
from dhs.artefacts.report import checked
from dhs.artefacts.signoff import Line, SignOffContent
from dhs.figures.numbers.evaluation import short_hash
from dhs.figures.numbers.words import counted, full, listed, number, short

KEY_GATES = {
    "core_leakage": "core_leakage",
    "radial_leakage": "radial_profile_leakage",
    "core_fraction": "arc_core_fraction",
    "texture": "hard_negative_texture",
    "split_integrity": "split_integrity",
    "integrity": "data_integrity",
    "normalisation": "normalisation",
    "class_balance": "class_balance",
    "samples": "samples",
    "conditions": "observing_conditions",
    "photometry": "arc_photometry",
    "closure": "closure",
}
STATUS = {"pass": "passed", "warn": "open", "fail": "failed", "skip": "not measured"}


def preflight(artefact: Mapping) -> dict[str, str]:
    """All keys of ``preflight.json``."""
    report = checked(Preflight, artefact, "preflight.json") if artefact else None
    gates: dict[str, Gate] = {g.name: g for g in report.gates} if report else {}
    out = {"preflight_decision": report.decision if report else "", "n_gates": number(len(gates)) if gates else ""}
    for status in STATUS:
        chosen = [g.name for g in gates.values() if g.status == status]
        out[f"n_{status}"], out[f"gates_{status}"] = number(len(chosen)) if gates else "", listed(chosen)
    out["plan"] = short_hash(report and report.data.get("plan"))
    core = gates["core_leakage"].details if "core_leakage" in gates else {}
    null, delta = core.get("null"), core.get("delta")
    out["core_null"] = f"{number(null['low'])} to {number(null['high'])}" if null else ""
    out["core_concordance"] = short(core.get("concordance"))
    out["core_concordance_expected"] = number((core.get("within_pairs") or {}).get("expected"))
    out["core_expected"], out["core_margin"] = number(core.get("expected")), number(core.get("margin"))
    out["core_delta"] = short(delta, True)
    radial = gates["radial_profile_leakage"].details if "radial_profile_leakage" in gates else {}
    out["radial_delta"], out["radial_expected"] = short(radial.get("delta"), True), number(radial.get("expected"))
    for key, name in KEY_GATES.items():
        gate = gates.get(name)
        out[f"gate_{key}"], out[f"gate_{key}_full"] = short(gate), full(gate)
        out[f"gate_{key}_status"] = STATUS[gate.status] if gate else ""
    out["gates_says"] = _gates(gates)
    return out | {f"says_{key}": maker(gates) for key, maker in SAYS.items()}


def _gates(gates: Mapping[str, Gate]) -> str:
    """How many passed, and which did not, in one sentence."""
    if not gates:
        return ""
    groups = {s: [g.name for g in gates.values() if g.status == s] for s in STATUS}
    said = f"{len(groups['pass'])} of {len(gates)} gates passed"
    rest = [f"{listed(groups[s])} {VERBS[s]}" for s in ("fail", "warn", "skip") if groups[s]]
    return said + (f"; {'; '.join(rest)}." if rest else ".")


VERBS = {"fail": "failed", "warn": "could not be decided on this many pairs", "skip": "could not be measured"}


def _conditions(gates: Mapping[str, Gate]) -> str:
    """Whether seeing, depth or position tell classes apart."""
    gate = gates.get("observing_conditions")
    if gate is None or gate.status == "skip":
        return ""
    if gate.status == "pass":
        return "No class of stamps differs from another in seeing, depth or position by more than the margin."
    if gate.status == "fail":
        return "Seeing, depth or position tell some classes of stamps apart, so a network could use them."
    return (
        "No class is shown to differ in seeing, depth or position; for the rarest classes this set is too small to say."
    )


def _photometry(gates: Mapping[str, Gate]) -> str:
    gate = gates.get("arc_photometry")
    if gate is None or gate.value is None:
        return ""
    said = (
        f"{100 * gate.value:.0f} of 100 arcs lie within the ranges of ground-found lenses in magnitude, colour and SNR"
    )
    return said + (", so they could have been found." if gate.status == "pass" else ", fewer than were asked for.")


def _closure(gates: Mapping[str, Gate]) -> str:
    gate = gates.get("closure")
    if gate is None or gate.status == "skip":
        return ""
    if gate.status == "pass":
        return (
            "Flux closes and no PSF moves a centroid, each within its tolerance: what is added is what the lens made."
        )
    return "Flux or centroids do not close within their tolerance: what is added is not what the lens made."


def _core_fraction(gates: Mapping[str, Gate]) -> str:
    gate = gates.get("arc_core_fraction")
    if gate is None or gate.value is None:
        return ""
    said = "The share of the added light that falls in the core is that of arcs rendered again"
    if gate.status == "pass":
        near = max(abs(gate.value), 1e-4)
        return f"{said}, within {number(near, 4)} on average: the light is where the lens puts it."
    return f"{said} only within {number(abs(gate.value), 3)} on average: some light is not where the lens puts it."


SAYS = {
    "conditions": _conditions,
    "photometry": _photometry,
    "closure": _closure,
    "core_fraction": _core_fraction,
}


def real_lenses(artefact: Mapping) -> dict[str, str]:
    """All keys of ``real_lenses.json``; empty but one where none was scored."""
    data = artefact or {"status": "skip", "reason": "no real cutout was given", "n_lenses": 0}
    found = RealLenses(dict(data)).content.root
    out = dict.fromkeys(("n_real_lenses", "real_recall_fpr", "real_recall", "real_recall_full", "real_grade"), "")
    if isinstance(found, Skip):
        return out | {"none_scored": "No real lens has been scored by this run."}
    point = min(found.recall_at_fpr, key=lambda p: p.fpr, default=None)  # the rate whose misses are explained
    out |= {"none_scored": "", "real_grade": found.grade, "real_recall": short(point and point.recall)}
    out |= {"n_real_lenses": number(found.n_lenses), "real_recall_full": full(point and point.recall)}
    return out | {"real_recall_fpr": number(point and point.fpr, 4).rstrip("0")}


def signoff(artefact: Mapping) -> dict[str, str]:
    """All keys of ``signoff.json``."""
    found = checked(SignOffContent, artefact, "signoff.json") if artefact else None
    out = {"decision": found.decision if found else "", "plan": short_hash(found and found.plan)}
    out["train_decision"], out["publish_decision"] = (found.data_set, found.publish) if found else ("", "")
    out["network_verdict"] = (found.network if found else "").lower()
    for key, digits in (("inject_hours", 1), ("train_hours", 0), ("disk_gb", 0)):
        out[f"paper_{key}"] = number(found and found.projection[key], digits)
    answers = {a.number: a.text for a in (found.answers if found else ())}
    out |= {f"answer_{n}": answers.get(n, "") for n in (3, 4, 5, 7)}
    for key, nouns in NOUNS.items():
        lines = found[key] if found else ()
        out |= {f"n_{key}": counted(len(lines), *nouns) if found else "", key: bullets(lines)}
    against = [*found.blockers, *found.conditions] if found else []
    of_set, others = [x for x in against if x.about == "set"], [x for x in against if x.about != "set"]
    out |= {"train_lines": table(of_set), "publish_lines": table(others)}
    return out | {"train_says": _train(found, of_set), "publish_says": _publish(found, others)}


def _train(found: SignOffContent | None, lines: Sequence[Line]) -> str:
    """May one train on this set?"""
    if found is None or not found.data_set:
        return ""
    if found.data_set == "NO-GO":
        n = sum(x.severity == "blocker" for x in lines)
        return f"No: {counted(n, 'blocker')} must go first. To train now would teach a network the fault."
    if found.data_set == "GO":
        return "Yes: nothing that was looked at stands against it."
    return f"Yes; {counted(len(lines), 'condition')} must be quoted with whatever the training gives."


def _publish(found: SignOffContent | None, lines: Sequence[Line]) -> str:
    """May its numbers be published, and as what?"""
    if found is None or not found.publish or found.publish == "NOT MEASURED":
        return "There is nothing to publish before an evaluation." if found else ""
    if found.publish == "NO-GO":
        return "No: a blocker stands against the set or the evaluation."
    if found.network == "USEFUL" and found.publish == "GO":
        return "Yes, as an audit and as a finder."
    n = counted(len(lines), "condition")
    if found.network == "USEFUL":
        return "Yes, as an audit and as a finder, with the conditions of both screens."
    if found.network == "OF LIMITED USE":
        return f"As an audit, yes; as a finder only with {n} beside every number."
    return f"As an audit of the set, yes. As a lens finder, no: {n} stand{'s' if len(lines) == 1 else ''} against that."


NOUNS = {
    "blockers": ("blocker",),
    "conditions": ("condition",),
    "recommended_changes": ("recommended change",),
    "priority_order": ("experiment",),
}


def bullets(lines: Sequence[Line]) -> str:
    """Lines of the sign-off as a list in their order."""
    return "\n".join(f"{n}. {_ended(line.text)}" for n, line in enumerate(lines, start=1))


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


UNKNOWN = "Not measured: "


def table(lines: Sequence[Line]) -> str:
    """What stands against a decision beside its remedy, a row each; what was not measured for one reason is one row."""
    if not lines:
        return ""
    measured = [x for x in lines if not x.text.startswith(UNKNOWN)]
    rows = [f"| {_cell(x.text, x.severity)} | {_cell(x.remedy)} |" for x in measured]
    unknown: dict[str, list[str]] = {}
    for x in lines:
        if x.text.startswith(UNKNOWN):
            unknown.setdefault(x.remedy or "", []).append(x.text.removeprefix(UNKNOWN).partition(" (")[0].rstrip("."))
    rows += [f"| {UNKNOWN}{_cell(listed(names))}. | {_cell(remedy)} |" for remedy, names in unknown.items()]
    return "| what stands against it | what to do |\n| --- | --- |\n" + "\n".join(rows)


def _cell(text: str | None, severity: str = "") -> str:
    parts = (text or "").replace("|", "\\|").replace("\n", " ").split("`")
    plain = "`".join(part if i % 2 else part.replace("_", " ") for i, part in enumerate(parts))  # not inside code
    return f"**Blocker.** {plain}" if severity == "blocker" else plain
