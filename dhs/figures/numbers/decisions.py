"""Numbers of the preflight, the real lenses and the sign-off as they stand in prose."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.artefacts.parts import Skip, metric_text, text
from dhs.artefacts.preflight import Gate, Preflight
from dhs.artefacts.real_lenses import RealLenses
from dhs.artefacts.report import checked
from dhs.artefacts.signoff import SignOffContent
from dhs.figures.numbers.evaluation import names, short_hash

KEY_GATES = {
    "core_leakage": "core_leakage",
    "radial_leakage": "radial_profile_leakage",
    "core_fraction": "arc_core_fraction",
    "texture": "hard_negative_texture",
    "split_integrity": "split_integrity",
    "integrity": "data_integrity",
    "normalisation": "normalisation",
    "class_balance": "class_balance",
    "conditions": "observing_conditions",
    "photometry": "arc_photometry",
    "closure": "closure",
}
ABSENT = "not part of this run"
LISTS = ("blockers", "conditions", "recommended_changes", "priority_order")


def preflight(artefact: Mapping) -> dict[str, str]:
    """All keys of ``preflight.json``."""
    report = checked(Preflight, artefact, "preflight.json") if artefact else None
    gates: dict[str, Gate] = {g.name: g for g in report.gates} if report else {}
    out = {"preflight_decision": report.decision if report else "not measured", "n_gates": text(len(gates))}
    for status in ("pass", "warn", "fail", "skip"):
        chosen = [g.name for g in gates.values() if g.status == status]
        out[f"n_{status}"], out[f"gates_{status}"] = text(len(chosen)), names(chosen)
    out["plan"] = short_hash(report and report.data.get("plan"))
    core = gates["core_leakage"].details if "core_leakage" in gates else {}
    null = core.get("null")
    out["core_null"] = f"{text(null['low'])} to {text(null['high'])}" if null else "not measured"
    out["core_concordance"] = metric_text(core.get("concordance"))
    out["core_concordance_expected"] = text((core.get("within_pairs") or {}).get("expected"))
    for key, name in KEY_GATES.items():
        gate = gates.get(name)
        out[f"gate_{key}"] = metric_text(gate)
        out[f"gate_{key}_says"] = gate.explanation if gate else ABSENT
        out[f"gate_{key}_status"] = gate.status if gate else ABSENT
    return out


def real_lenses(artefact: Mapping) -> dict[str, str]:
    """All keys of ``real_lenses.json``."""
    data = artefact or {"status": "skip", "reason": "no real cutout was given", "n_lenses": 0}
    found = RealLenses(dict(data)).content.root
    out = {"n_real_lenses": text(found.n_lenses), "real_recall_fpr": "not measured"}
    if isinstance(found, Skip):
        out |= {"real_status": "skip", "real_reason": found.reason}
        return out | {"real_recall": "not measured (no real stamp was scored)"}
    point = min(found.recall_at_fpr, key=lambda p: p.fpr, default=None)  # the rate whose misses are explained
    out |= {"real_status": "scored", "real_reason": found.grade, "real_recall": metric_text(point and point.recall)}
    return out | {"real_recall_fpr": text(point and point.fpr, 4)}


def signoff(artefact: Mapping) -> dict[str, str]:
    """All keys of ``signoff.json``."""
    found = checked(SignOffContent, artefact, "signoff.json") if artefact else None
    out = {"decision": found.decision if found else "not measured", "plan": short_hash(found and found.plan)}
    out["set_verdict"] = (found.data_set if found else "") or "not decided"
    out["network_verdict"] = ((found.network if found else "") or "not decided").lower()
    for key in ("inject_hours", "train_hours", "disk_gb"):
        out[f"paper_{key}"] = text(found and found.projection[key])
    answers = {a.number: a.text for a in (found.answers if found else ())}
    out |= {f"answer_{number}": answers.get(number, "not answered in this run") for number in (3, 4, 5, 7)}
    for key in LISTS:
        texts = [line.text.rstrip(".") for line in (found[key] if found else ())]
        out |= {f"n_{key}": text(len(texts)), key: "; ".join(texts) or "none", f"first_{key}": (texts or ["none"])[0]}
    return out
