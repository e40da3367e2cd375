"""From logits and gates to the answer: how much each network leans on its leak, and whether a gate foretold it.

Every mean is over pairs of the test split, grouped by host and source. A network that never met a leak may answer to it
too: a brighter core looks a little like an arc. So each cell is compared with clean networks shown the same leak in the
same controls, and ``excess`` is what training on the leak added. Its interval holds the scatter of pairs and that of
seeds, the latter pooled over the cell's networks and the clean ones.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from dhs.stats import metrics
from dhs.stats.clusters import Clusters
from dhs.stats.metrics import auroc_influence, auroc_statistic

MATERIAL = 0.1  # of the arc's own effect


def ratio(change: np.ndarray, unit: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean change over mean unit, and each row's influence on it, (n,)."""
    below = unit.mean()
    value = change.mean() / below
    return float(value), (change - value * unit) / (len(unit) * below)


def area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC and each row's influence, positives first, (2 n,)."""
    scores = np.concatenate([positive, negative]).astype(float)
    labels = np.repeat([True, False], [len(positive), len(negative)])
    value = float(auroc_statistic(scores, labels)(np.ones((1, len(scores))))[0])
    return value, auroc_influence(scores, labels, np.ones(len(scores)), value)


def measures(logits: dict[str, np.ndarray]) -> dict[str, tuple[float, np.ndarray]]:
    """Everything of one network and one leak: name to value and influence.

    Parameters
    ----------
    logits : dict of str to ndarray, (n,)
        ``positive``, ``control``, ``swapped`` (the positive with its control's core), and the same with the leak in:
        ``leaked_positive``, ``leaked_control``, ``leaked_swapped``.
    """
    x = {k: np.asarray(v, float) for k, v in logits.items()}
    arc = x["positive"] - x["control"]
    return {
        "reliance": ratio(x["leaked_control"] - x["control"], arc),
        "auroc_clean": area(x["positive"], x["control"]),
        "auroc_leaked": area(x["leaked_positive"], x["control"]),
        "core_swap_clean": ratio(x["positive"] - x["swapped"], arc),
        "core_swap_leaked": ratio(x["leaked_positive"] - x["leaked_swapped"], x["leaked_positive"] - x["control"]),
        "arc_effect": (float(arc.mean()), (arc - arc.mean()) / len(arc)),
        "leak_effect": _mean(x["leaked_control"] - x["control"]),
    }


def _mean(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float(values.mean()), (values - values.mean()) / len(values)


class Grouped:
    """Intervals over the test pairs.

    Parameters
    ----------
    hosts, sources : sequence of str, (n,)
    """

    def __init__(self, hosts, sources):
        hosts, sources = (np.asarray(v).astype(str) for v in (hosts, sources))
        self.pairs = Clusters(hosts, sources)
        both = [np.concatenate([v, v]) for v in (hosts, sources)]
        self.rows = Clusters(*both, classes=np.repeat([True, False], len(hosts)))

    def one(self, found: tuple[float, np.ndarray]) -> dict:
        """A value with its interval over pairs."""
        return self._clusters(found[1]).linear(*found, bounds=(-np.inf, np.inf)).as_dict()

    def _clusters(self, influence: np.ndarray) -> Clusters:
        return self.pairs if len(influence) == self.pairs.n else self.rows

    def excess(self, mine: list[tuple], clean: list[tuple]) -> dict:
        """Mean of some networks less that of the clean ones; the interval holds pairs and seeds."""
        values, base = (np.array([v for v, _ in found]) for found in (mine, clean))
        influence = np.mean([i for _, i in mine], axis=0) - np.mean([i for _, i in clean], axis=0)
        clusters, value = self._clusters(influence), float(values.mean() - base.mean())
        out = {"value": value, "ci_low": None, "ci_high": None, "n": self.pairs.n}
        out |= {"n_hosts": self.pairs.n_hosts, "n_sources": self.pairs.n_sources}
        out |= {"seeds": values.tolist(), "clean_seeds": base.tolist()}
        error = clusters.error(influence)
        freedom = len(values) + len(base) - 2
        if error is None or freedom < 1 or not np.isfinite(value):
            return out
        squares = sum(((v - v.mean()) ** 2).sum() for v in (values, base)) / freedom
        of_seeds = squares * (1 / len(values) + 1 / len(base))
        total = error[0] ** 2 + of_seeds
        degrees = total**2 / max(error[0] ** 4 / error[1] + of_seeds**2 / freedom, 1e-300)
        reach = stats.t.ppf(0.975, max(degrees, 1.0)) * np.sqrt(total)
        return out | {"ci_low": value - reach, "ci_high": value + reach, "se_seeds": float(np.sqrt(of_seeds))}


def cell(kind: str, strength: float, mine: list[dict], clean: list[dict], grouped: Grouped) -> dict:
    """One row of the result.

    Parameters
    ----------
    mine, clean : list of dict
        Logits of this cell's networks, and of the clean ones shown the same leak.
    """
    own, base = [measures(x) for x in mine], [measures(x) for x in clean]
    out: dict = {"kind": kind, "strength": strength, "networks": len(own), "clean_networks": len(base)}
    for name in own[0]:
        mean = float(np.mean([m[name][0] for m in own])), np.mean([m[name][1] for m in own], axis=0)
        out[name] = grouped.one(mean)
        if base:
            out[f"excess_{name}"] = grouped.excess([m[name] for m in own], [m[name] for m in base])
    lean = out.get("excess_reliance", {})
    low = lean.get("ci_low")
    out["leans"] = None if low is None else bool(low > 0)
    out["leans_materially"] = None if low is None else bool(low > MATERIAL)
    out["no_material_lean"] = None if low is None else bool(lean["ci_high"] < MATERIAL)
    return out


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation for weights that count rows, (draws, n) to (draws,)."""
    out = []
    for w in weights:
        i = np.repeat(np.arange(len(x)), np.round(w).astype(int))
        known = len(i) > 2 and np.ptp(x[i]) > 0 and np.ptp(y[i]) > 0
        out.append(stats.spearmanr(x[i], y[i]).statistic if known else np.nan)
    return np.array(out)


def correlation(rows: list[dict], seed: int = 0) -> dict:
    """Rank correlation of a gate's distance and the excess reliance over cells, kinds of leak as clusters."""
    rows = [r for r in rows if r["distance"] is not None and np.isfinite(r["excess"])]
    kinds = np.array([r["kind"] for r in rows])
    if len(rows) < 4:
        return {"value": None, "ci_low": None, "ci_high": None, "n": len(rows), "n_kinds": len(set(kinds))}
    x, y = (np.array([r[k] for r in rows], float) for k in ("distance", "excess"))
    value = spearman(x, y, np.ones((1, len(x))))[0]
    clusters = Clusters(kinds, n_bootstrap=500, seed=seed)
    metric = clusters.metric(float(value), lambda w: spearman(x, y, w), bounds=(-1.0, 1.0))
    out = {k: v for k, v in metric.as_dict().items() if k in ("value", "ci_low", "ci_high", "n", "flags")}
    each = {}
    for kind in dict.fromkeys(kinds):
        own = kinds == kind
        each[str(kind)] = metrics.plain(spearman(x[own], y[own], np.ones((1, own.sum())))[0])
    return out | {"n_kinds": len(set(kinds)), "within_kinds": each}


def _onset(strengths: list[float], hit: list[bool | None]) -> float | None:
    """The smallest strength from which on every one is hit."""
    first = None
    for s, h in sorted(zip(strengths, hit), reverse=True):
        if not h:
            break
        first = s
    return first


def answer(cells: list[dict], gates: list[dict]) -> dict:
    """Does a gate that warns foretell a network that leans?

    Returns
    -------
    dict
        ``kinds``: smallest strength from which networks lean, and from which each gate warns or fails where the
        clean set did not; ``gates``: of each, and of ``any``, cells by failed and leaning, and the rank correlation;
        ``n_cells``, ``n_kinds``, ``n_gates``, ``n_correlations``.
    """
    names = list(dict.fromkeys(r["gate"] for r in gates))
    clean = {r["gate"]: r["status"] for r in gates if r["kind"] == "none"}
    order = {"skip": -1, "pass": 0, "warn": 1, "fail": 2}
    at = {(r["kind"], r["strength"], r["gate"]): r for r in gates}

    def raised(row: dict | None, least: str) -> bool:
        """Whether a gate's status is this bad, and worse than on the clean set."""
        return row is not None and order[row["status"]] >= max(order[least], order[clean.get(row["gate"], "pass")] + 1)

    kinds: dict = {}
    for kind in dict.fromkeys(c["kind"] for c in cells):
        mine = [c for c in cells if c["kind"] == kind]
        trained = [c["strength"] for c in mine]
        judged = sorted({r["strength"] for r in gates if r["kind"] == kind})
        entry: dict = {"trained_at": sorted(trained), "judged_at": judged}
        for key in ("leans", "leans_materially"):
            entry[f"{key}_from"] = _onset(trained, [c[key] for c in mine])
        for least in ("warn", "fail"):
            for name in names:
                hit = [raised(at.get((kind, s, name)), least) for s in judged]
                entry.setdefault(f"{least}s_from", {})[name] = _onset(judged, hit)
            some = [any(raised(at.get((kind, s, n)), least) for n in names) for s in judged]
            entry[f"{least}s_from"]["any"] = _onset(judged, some)
        kinds[kind] = entry
    tables, n_tests = {}, 0
    for name in (*names, "any"):
        rows = []
        for c in cells:
            found = [at.get((c["kind"], c["strength"], n)) for n in ([name] if name != "any" else names)]
            found = [f for f in found if f is not None]
            if not found or c["leans"] is None:
                continue
            far = [abs(f["distance"]) for f in found if f["distance"] is not None]
            row = {"kind": c["kind"], "distance": max(far, default=None), "excess": c["excess_reliance"]["value"]}
            row |= {"leans": c["leans"], "materially": c["leans_materially"]}
            rows.append(row | {least: any(raised(f, least) for f in found) for least in ("warn", "fail")})
        tables[name] = {"correlation": correlation(rows), "n_cells": len(rows)}
        for least in ("warn", "fail"):
            for key in ("leans", "materially"):
                counts = {}
                for gate_says, label in ((True, "raised"), (False, "silent")):
                    for does, word in ((True, "leans"), (False, "not")):
                        counts[f"{label}_{word}"] = sum(r[least] == gate_says and r[key] == does for r in rows)
                tables[name][f"{least}_{key}"] = counts
        n_tests += 1
    about = {"n_cells": len(cells), "n_kinds": len(kinds), "n_gates": len(names), "n_correlations": n_tests}
    note = (
        "A gate is raised where its status is worse than on the set without a leak. A network leans where the interval "
        f"of its excess reliance lies above 0, materially where above {MATERIAL:g} of the arc's own effect; intervals "
        "are 95 % each, not corrected for the number of cells. All cells share their pairs."
    )
    return {"kinds": kinds, "gates": tables, "clean_status": clean, "material": MATERIAL, **about, "note": note}
