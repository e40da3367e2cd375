"""What separates the classes, most first."""

from __future__ import annotations

from dhs.artefacts.report import jsonable


def ranked(gates) -> list[dict]:
    """Families of numbers by the AUC of a classifier of all of them, or of the best one where that says more."""
    out = []
    for gate in gates:
        single = gate.details.get("single")
        if single is None:
            continue
        holm = gate.details.get("holm", {})
        metric = {k: getattr(gate, k) for k in ("value", "ci_low", "ci_high", "n", "n_hosts", "n_sources")}
        row = {"name": gate.name.replace("_", " "), **metric, "single": single["name"]}
        out.append(row | {"single_auc": single["auc"].value, "p_holm": min(holm.values(), default=None)})
    return jsonable(sorted(out, key=lambda r: -(r["value"] or 0)))
