"""Whether gates foretell networks that lean, as sentences that follow from what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from dhs.artefacts.parts import text

WORDS = {"residual_image": "the residual image", "core_leakage": "core leakage", "any": "any gate"}
WORDS |= {"radial_profile_leakage": "the radial profile", "normalisation": "the sky"}


def leaks(measured: Mapping) -> dict[str, str]:
    """What ``benchmarks/leaks.py`` stored."""
    answer, cells = measured.get("answer") or {}, measured.get("cells") or []
    if not cells or not answer.get("gates"):
        return {"leaks_run": "", "leaks_missed": "", "leaks_harmless": "", "leaks_rank": "", "leaks_cost": ""}
    return {
        "leaks_run": _run(measured, answer),
        "leaks_missed": _missed(answer),
        "leaks_harmless": _harmless(answer),
        "leaks_rank": _rank(answer),
        "leaks_cost": _cost(cells),
    }


def _run(measured: Mapping, answer: Mapping) -> str:
    seeds = max(c["networks"] for c in measured["cells"])
    test, gates = measured["cells"][0]["reliance"], measured.get("gate_set") or {}
    return (
        f"{text(answer['n_kinds'])} kinds of leak were planted in the positives at {text(answer['n_cells'])} strengths "
        f"in all, and {text(len(measured['networks']))} networks trained on {text(measured['networks'][0]['stamps'])} "
        f"stamps each, up to {seeds} for each leak. Logits are of {text(test['n'])} test pairs on "
        f"{text(test['n_hosts'])} galaxies; the gates saw {text(gates.get('n_pairs'))} training pairs."
    )


def _missed(answer: Mapping) -> str:
    """Leaks that networks lean on and no gate refuses."""
    counts = answer["gates"]["any"]["fail_leans"]
    leaning = counts["raised_leans"] + counts["silent_leans"]
    if not leaning:
        return "No network leans on its leak by more than its interval."
    if not counts["silent_leans"]:
        found = f"In all {leaning} cells where networks lean on the leak a gate fails"
    else:
        found = f"In {counts['raised_leans']} of the {leaning} cells where networks lean on the leak a gate fails"
    late = []
    for kind, entry in answer["kinds"].items():
        lean, fail = entry["leans_from"], entry["fails_from"]["any"]
        if lean is not None and (fail is None or fail > lean):
            late.append(kind)
    found += f"; networks lean before any gate fails on: {', '.join(late)}." if late else "."
    return found


def _harmless(answer: Mapping) -> str:
    """Leaks that gates refuse and networks leave alone."""
    counts = answer["gates"]["any"]["fail_materially"]
    raised = counts["raised_leans"] + counts["raised_not"]
    if not raised:
        return "No gate fails on any of them."
    said = (
        f"Of the {raised} cells where a gate fails, {counts['raised_leans']} make networks lean by more than a tenth "
        "of the arc's own effect"
    )
    never = [k for k, e in answer["kinds"].items() if e["fails_from"]["any"] and e["leans_materially_from"] is None]
    said += f"; at no strength do {', '.join(never)}." if never else "."
    return said + " A gate that fails says that positives differ from what they should be, not that a network cares."


def _rank(answer: Mapping) -> str:
    said = []
    for name in ("residual_image", "core_leakage", "radial_profile_leakage"):
        c = (answer["gates"].get(name) or {}).get("correlation") or {}
        if c.get("ci_low") is None:
            continue
        verdict = "foretells" if c["ci_low"] > 0 else "does not show that it foretells"
        said.append(
            f"{WORDS[name]} {verdict} how far a network leans (rank correlation {text(c['value'], 2)}, "
            f"{text(c['ci_low'], 2)} to {text(c['ci_high'], 2)})"
        )
    if not said:
        return "Too few kinds of leak were measured for a correlation."
    joined = "; ".join(said)
    return joined[0].upper() + joined[1:] + f". Kinds are the units: there are {text(answer['n_kinds'])}."


def _cost(cells: list[Mapping]) -> str:
    """What leaning costs where the leak is absent."""
    known = [c for c in cells if (c.get("excess_auroc_clean") or {}).get("ci_high") is not None]
    hurt = [c for c in known if c["excess_auroc_clean"]["ci_high"] < 0]
    if not hurt:
        return "No leak lowers the AUROC on clean pairs by more than its interval."
    worst = min(hurt, key=lambda c: c["excess_auroc_clean"]["value"])
    e = worst["excess_auroc_clean"]
    return (
        f"On clean pairs {len(hurt)} of {len(known)} leaks lower the AUROC; the worst, {worst['kind']} at "
        f"{worst['strength']:g}, by {text(-e['value'], 3)} ({text(-e['ci_high'], 3)} to {text(-e['ci_low'], 3)})."
    )
