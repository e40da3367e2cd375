"""From logits and gates to the answer: what a planted leak costs a network, and whether a gate foretold it.

Two things are measured of each network, both as an AUROC, so that they are bounded and mean the same for every leak:

- ``lost``: what the AUROC on test pairs without the leak has fallen by, against networks trained without it. It is what
  the leak costs whoever uses the network where the leak is absent: on the sky.
- ``lift``: the AUROC of controls with the leak alone over controls, less what clean networks give, which may answer to
  a leak that they never met: a brighter core looks a little like an arc. It is how far a network leans. A ratio to the
  arc's own effect, which falls to nothing where a leak is learnt instead, would have no bound.

Intervals are over test pairs, grouped by host and source, and hold the scatter of seeds. That scatter is far greater
among networks that lost their way, so it is pooled over the cells beyond `MARGIN` and over the others apart.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from scipy import stats

from dhs.stats.clusters import Clusters
from dhs.stats.metrics import auroc_influence, auroc_statistic
from dhs.validation.preflight.gate import holm

MARGIN = 0.01  # of an AUROC: what is material
CONTRASTS = {"lost": ("auroc_clean", -1), "lift": ("leak_alone", 1)}


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
        ``positive``, ``control``, and the same with the leak in: ``leaked_positive``, ``leaked_control``.
    """
    x = {k: np.asarray(v, float) for k, v in logits.items()}
    return {
        "auroc_clean": area(x["positive"], x["control"]),
        "auroc_leaked": area(x["leaked_positive"], x["control"]),
        "leak_alone": area(x["leaked_control"], x["control"]),
        "arc_effect": _mean(x["positive"] - x["control"]),
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

    def contrast(self, mine: list[tuple], clean: list[tuple], sign: int, scatter: tuple[float, int]) -> dict:
        """Mean of some networks less that of the clean ones, times the sign.

        Parameters
        ----------
        mine, clean : list of (value, influence)
        sign : int
        scatter : (variance, degrees of freedom)
            Between seeds of networks such as mine; without any, that of the clean ones stands for it.
        """
        values, base = (np.array([v for v, _ in found]) for found in (mine, clean))
        influence = sign * (np.mean([i for _, i in mine], axis=0) - np.mean([i for _, i in clean], axis=0))
        clusters, value = self._clusters(influence), float(sign * (values.mean() - base.mean()))
        out = {"value": value, "ci_low": None, "ci_high": None, "n": self.pairs.n, "n_hosts": self.pairs.n_hosts}
        out |= {"n_sources": self.pairs.n_sources, "seeds": (sign * (values - base.mean())).tolist()}
        error, of_clean = clusters.error(influence), pooled([base])
        own = scatter if scatter[1] else of_clean
        if error is None or not own[1] or not of_clean[1] or not np.isfinite(value):
            return out
        parts = [(error[0] ** 2, error[1]), (own[0] / len(values), own[1]), (of_clean[0] / len(base), of_clean[1])]
        total = sum(v for v, _ in parts)
        degrees = total**2 / max(sum(v**2 / f for v, f in parts), 1e-300)
        reach = stats.t.ppf(0.975, max(degrees, 1.0)) * np.sqrt(total)
        return out | {"ci_low": value - reach, "ci_high": value + reach}


def pooled(groups: list) -> tuple[float, int]:
    """Variance within groups of values, and its degrees of freedom."""
    groups = [np.asarray(g, float) for g in groups if len(g)]
    freedom = sum(len(g) - 1 for g in groups)
    return (sum(((g - g.mean()) ** 2).sum() for g in groups) / freedom if freedom else 0.0), freedom


def beyond(metric: dict) -> bool | None:
    """Whether the interval lies above `MARGIN`; None where it holds it, or there is none."""
    if metric["ci_low"] is None or metric["ci_low"] <= MARGIN <= metric["ci_high"]:
        return None
    return bool(metric["ci_low"] > MARGIN)


def cells(logits: list[tuple[str, float, list[dict], list[dict]]], grouped: Grouped) -> list[dict]:
    """The rows of the result.

    Parameters
    ----------
    logits : list of (kind, strength, mine, clean)
        Logits of a cell's networks, and of the clean ones shown the same leak.
    """
    found = [(k, s, [measures(x) for x in own], [measures(x) for x in base]) for k, s, own, base in logits]
    mean = lambda networks, name: float(np.mean([m[name][0] for m in networks]))  # noqa: E731
    rows = []
    for kind, strength, own, base in found:
        row: dict = {"kind": kind, "strength": strength, "networks": len(own), "clean_networks": len(base)}
        for name in own[0]:
            row[name] = grouped.one((mean(own, name), np.mean([m[name][1] for m in own], axis=0)))
        rows.append(row | {"costs": None, "leans": None})
    for name, (of, sign) in CONTRASTS.items():
        known = [i for i, f in enumerate(found) if f[3]]
        far = {i: sign * (mean(found[i][2], of) - mean(found[i][3], of)) > MARGIN for i in known}
        for i in known:
            alike = pooled([[m[of][0] for m in found[j][2]] for j in known if far[j] == far[i]])
            own, base = ([m[of] for m in found[i][k]] for k in (2, 3))
            rows[i][name] = grouped.contrast(own, base, sign, alike)
            rows[i]["costs" if name == "lost" else "leans"] = beyond(rows[i][name])
    return rows


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation for weights that count rows, (draws, n) to (draws,)."""
    out = []
    for w in weights:
        i = np.repeat(np.arange(len(x)), np.round(w).astype(int))
        known = len(i) > 2 and np.ptp(x[i]) > 0 and np.ptp(y[i]) > 0
        out.append(stats.spearmanr(x[i], y[i]).statistic if known else np.nan)
    return np.array(out)


def correlation(rows: list[dict], seed: int = 0) -> dict:
    """Rank correlation of a gate's distance and what the network lost, over cells; kinds of leak are the clusters.

    Both rise with a leak's strength, so some correlation is there whatever a gate knows. ``p`` asks for more, that its
    distance tells kinds apart: it is the share of all exchanges of kinds that correlate as well.
    """
    rows = sorted((r for r in rows if r["distance"] is not None), key=lambda r: (r["kind"], r["strength"]))
    kinds = np.array([r["kind"] for r in rows])
    names, sizes = np.unique(kinds, return_counts=True)
    out: dict = {"value": None, "ci_low": None, "ci_high": None, "p": None, "n": len(rows), "n_kinds": len(names)}
    x, y = (np.array([r[k] for r in rows], float) for k in ("distance", "lost"))
    if len(rows) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return out
    value = spearman(x, y, np.ones((1, len(x))))[0]
    clusters = Clusters(kinds, n_bootstrap=500, seed=seed)
    metric = clusters.metric(float(value), lambda w: spearman(x, y, w), bounds=(-1.0, 1.0)).as_dict()
    out |= {k: metric[k] for k in ("value", "ci_low", "ci_high", "flags")}
    return out | {"p": _exchanged(x, y, len(names)) if np.ptp(sizes) == 0 and 3 < len(names) <= MOST_KINDS else None}


MOST_KINDS = 9  # whose exchanges are all counted


def _exchanged(x: np.ndarray, y: np.ndarray, n_kinds: int) -> float:
    """Share of the ways to give kinds each other's gate values, weak to strong, that correlate as the true one does."""
    x, y = (stats.rankdata(v).reshape(n_kinds, -1) for v in (x, y))
    products, own = x @ y.T, np.arange(n_kinds)
    every = np.array([products[own, order].sum() for order in permutations(range(n_kinds))])
    return float(np.mean(every >= np.trace(products) - 1e-6))


def _onset(strengths: list[float], hit: list[bool | None]) -> float | None:
    """The smallest strength from which on every one is hit."""
    first = None
    for s, h in sorted(zip(strengths, hit), reverse=True):
        if not h:
            break
        first = s
    return first


def _before(strengths: list[float], free: list[bool]) -> float | None:
    """The greatest strength up to which every one is free."""
    last = None
    for s, f in sorted(zip(strengths, free)):
        if not f:
            break
        last = s
    return last


ORDER = {"skip": -1, "pass": 0, "warn": 1, "fail": 2}


class Said:
    """What the gates said of each set, against what they say of the set without a leak.

    Parameters
    ----------
    gates : list of dict
        Rows of ``leak_gates.py``.
    """

    def __init__(self, gates: list[dict]):
        self.names = list(dict.fromkeys(r["gate"] for r in gates))
        self.clean = {r["gate"]: r["status"] for r in gates if r["kind"] == "none"}
        self.at = {(r["kind"], r["strength"], r["gate"]): r for r in gates}

    def judged(self, kind: str) -> list[float]:
        return sorted({s for k, s, _ in self.at if k == kind})

    def fails(self, kind: str, strength: float) -> list[str]:
        """Gates that fail there, and not on the clean set."""
        rows = [self.at.get((kind, strength, name)) for name in self.names]
        worse = [r for r in rows if r and r["status"] == "fail" and ORDER[self.clean.get(r["gate"], "pass")] < 2]
        return [r["gate"] for r in worse]


def _kind(mine: list[dict], said: Said) -> dict:
    """Of one kind of leak: where it costs, where networks lean, and what fails there and a step below."""
    mine = sorted(mine, key=lambda c: c["strength"])
    kind, trained = mine[0]["kind"], [c["strength"] for c in mine]
    judged = said.judged(kind)
    out: dict = {"trained_at": trained, "judged_at": judged}
    for key in ("costs", "leans"):
        out[f"{key}_from"] = _onset(trained, [c[key] for c in mine])
        out[f"{key}_not_to"] = _before(trained, [c[key] is False for c in mine])
    out["fails_from"] = {n: _onset(judged, [n in said.fails(kind, s) for s in judged]) for n in said.names}
    out["fails_from"]["any"] = _onset(judged, [bool(said.fails(kind, s)) for s in judged])
    if out["costs_from"] is not None:
        i = trained.index(out["costs_from"])
        steps = {"at": mine[i]} | ({"below": mine[i - 1]} if i else {})
        for name, c in steps.items():
            out[name] = {"strength": c["strength"], "lost": c["lost"], "fails": said.fails(kind, c["strength"])}
    return out


def _counts(rows: list[dict], key: str) -> dict:
    """Cells by whether the gate fails and whether the network does: yes, no, or not known."""
    words = {True: "yes", False: "no", None: "open"}
    return {
        f"{label}_{word}": sum(r["fails"] == says and r[key] is does for r in rows)
        for says, label in ((True, "raised"), (False, "silent"))
        for does, word in words.items()
    }


def answer(rows: list[dict], gates: list[dict]) -> dict:
    """Does a gate that fails foretell a network that loses?

    Parameters
    ----------
    rows : list of dict
        Of `cells`.
    gates : list of dict
        Rows of ``leak_gates.py``.

    Returns
    -------
    dict
        ``kinds``: smallest strength from which a leak costs more than the margin (``costs_from``), greatest up to
        which it costs less (``costs_not_to``), the same of ``leans``, from which each gate fails, and the gates that
        fail where it begins to cost (``at``) and at the next fainter strength (``below``); ``gates``: of each, and of
        ``any``, cells by fails and costs, by fails and leans, and the rank correlation of its distance with what was
        lost; ``n_cells``, ``n_kinds``, ``n_gates``, ``n_correlations``.
    """
    said = Said(gates)
    names = list(dict.fromkeys(c["kind"] for c in rows))
    kinds = {kind: _kind([c for c in rows if c["kind"] == kind], said) for kind in names}
    tables: dict = {}
    for name in (*said.names, "any"):
        found = []
        for c in rows:
            own = [said.at.get((c["kind"], c["strength"], n)) for n in ([name] if name != "any" else said.names)]
            own = [r for r in own if r is not None]
            if not own or "lost" not in c:
                continue
            far = [abs(r["distance"]) for r in own if r["distance"] is not None]
            fails = bool({r["gate"] for r in own} & set(said.fails(c["kind"], c["strength"])))
            row = {key: c[key] for key in ("kind", "strength", "costs", "leans")} | {"lost": c["lost"]["value"]}
            found.append(row | {"distance": max(far, default=None), "fails": fails})
        tables[name] = {key: _counts(found, key) for key in ("costs", "leans")} | {"n_cells": len(found)}
        if name != "any":
            tables[name]["correlation"] = correlation(found)
    tested = [t["correlation"] for t in tables.values() if t.get("correlation", {}).get("p") is not None]
    for found, p in zip(tested, holm([t["p"] for t in tested])):
        found["holm_p"] = float(p)
    about = {"n_cells": len(rows), "n_kinds": len(kinds), "n_gates": len(said.names), "n_correlations": len(tested)}
    note = (
        "A gate fails where it does and did not on the set without a leak. A leak costs where the interval of what the "
        f"AUROC on clean pairs lost lies above {MARGIN:g}, costs nothing where it lies below, and is open elsewhere; a "
        "network leans by the same rule on what the leak alone lifts the AUROC of controls by. Intervals are 95 % "
        "each, not corrected for the number of cells. All cells share their pairs, and the counts depend on the "
        "strengths that were planted."
    )
    return {"kinds": kinds, "gates": tables, "clean_status": said.clean, "margin": MARGIN, **about, "note": note}


def rounded(x):
    """The same with four digits of every float."""
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [rounded(v) for v in x]
    return float(f"{x:.4g}") if isinstance(x, float) else x
