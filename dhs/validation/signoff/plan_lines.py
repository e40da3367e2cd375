"""The training plan line by line: what the run's own ablation says of each.

A line is kept, changed or open by what was measured, never by what was meant: the interval of a difference on the same
test stamps decides, and a line that nothing measured says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BETTER, WORSE, SAME, OPEN = "measured better", "measured worse", "no difference shown", "not measured"
METRIC = "auroc"


def verdicts(lines: Sequence[Mapping], ablation: Mapping[str, Mapping]) -> list[dict]:
    """What is known of each line.

    Parameters
    ----------
    lines : sequence of mapping
        ``line``, what this project does; ``variant``, the ablation's name of the alternative; none where there is none.
    ablation : mapping
        Variant to ``difference, ci_low, ci_high`` of the alternative less this project's way.

    Returns
    -------
    list of dict
        ``line, variant, verdict, difference, ci_low, ci_high``; a verdict is on this project's way.
    """
    out = []
    for line in lines:
        found = ablation.get(line.get("variant") or "") or {}
        bounds = [found.get(k) for k in ("difference", "ci_low", "ci_high")]
        if any(b is None or b != b for b in bounds):
            verdict, bounds = OPEN, [None] * 3
        else:
            verdict = BETTER if bounds[2] < 0 else WORSE if bounds[1] > 0 else SAME
        entry = {"line": line["line"], "variant": line.get("variant"), "verdict": verdict}
        out.append(entry | dict(zip(("difference", "ci_low", "ci_high"), bounds)))
    return out


def summary(found: Sequence[Mapping]) -> dict:
    """Counts of each verdict, and the lines by name: what the rules ask about."""
    names = {"better": BETTER, "worse": WORSE, "same": SAME, "open": OPEN}
    out: dict = {"n": len(found), "lines": list(found)}
    for key, verdict in names.items():
        of = [f["line"] for f in found if f["verdict"] == verdict]
        out |= {f"n_{key}": len(of), key: "; ".join(of) or "none"}
    return out


def of_table(table) -> dict[str, dict]:
    """Differences in AUROC of the variants of an ablation's table (a `pandas.DataFrame`)."""
    rows = table[(table["metric"] == METRIC) & (table["status"] == "done") & (table["against"] != "")]
    return {
        r["variant"]: {k: float(r[k]) for k in ("difference", "ci_low", "ci_high")} for r in rows.to_dict("records")
    }
