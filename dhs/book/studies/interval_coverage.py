"""How often the intervals hold the truth: simulation over hosts and sources, many and few.

Pairs are drawn with a random effect of the host (shared by positive and control), one of the source, and scatter of
their own; the truth follows from the normal model. Hosts and sources are crossed at random, as in an injection. Every
interval that is printed anywhere belongs to one of the families below, and ``interval_coverage.csv`` holds what was
measured for each at the sizes of `DESIGNS`. It is made again by::

    python -m dhs.book.studies.interval_coverage --out dhs/book/studies/interval_coverage.csv --samples 400

Where a p-value is printed instead of an interval, ``covered`` is the share of samples in which it does not fall below
0.05 though nothing is amiss.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from importlib import resources

import numpy as np
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from dhs.random import Stream, keyed
from dhs.stats import calibration, crossfit, metrics, probe, ranking
from dhs.stats.clusters import Clusters

SPREAD, WEAK = (0.5, 0.4, 0.7), (0.5, 0.1, 0.8)
SIZES = (10, 20, 40, 300, 2000)
DESIGNS = (
    *({"hosts": 3000, "sources": n, "per_host": 1, "spread": SPREAD, "shift": 1.5} for n in SIZES),
    *(
        {"hosts": n, "sources": 2000, "per_host": 20 if n < 300 else 5, "spread": SPREAD, "shift": 1.5}
        for n in SIZES[:4]
    ),
    {"hosts": 40, "sources": 40, "per_host": 4, "spread": SPREAD, "shift": 1.0},
    {"hosts": 431, "sources": 38, "per_host": 1, "spread": SPREAD, "shift": 1.5},
    {"hosts": 3000, "sources": 299, "per_host": 1, "spread": SPREAD, "shift": 1.5},
    {"hosts": 15_000, "sources": 300, "per_host": 1, "spread": SPREAD, "shift": 1.5},
    {"hosts": 45_000, "sources": 300, "per_host": 1, "spread": WEAK, "shift": 1.5},
)
"""``spread``: standard deviations of the host effect, the source effect and a row's own scatter."""
N_SAMPLES = 400  # standard error 0.011 at 0.95
LARGEST = {"leakage": 500, "bootstrap": 15_000}  # hosts a design is cut to, for time
THRESHOLD, PREVALENCE, CELL, MARGIN = 1.0, 0.01, (0.4, 0.5), 0.05


def simulate(rng: np.random.Generator, design: dict) -> dict[str, np.ndarray]:
    """Scores, labels, hosts and sources of one sample; controls have no source of their own."""
    n = design["hosts"] * design["per_host"]
    of_host, of_source, own = design["spread"]
    host, source = np.repeat(np.arange(design["hosts"]), design["per_host"]), rng.integers(0, design["sources"], n)
    effect = of_host * rng.normal(size=design["hosts"])[host]
    positive = design["shift"] + effect + of_source * rng.normal(size=design["sources"])[source]
    return {
        "scores": np.r_[positive + own * rng.normal(size=n), effect + own * rng.normal(size=n)],
        "labels": np.repeat([True, False], n),
        "hosts": np.tile(host, 2),
        "sources": np.r_[source, np.full(n, -1)],
    }


def truth(design: dict) -> dict[str, float]:
    """What each statistic of `of_scores` and `of_draws` estimates."""
    of_host, of_source, own = design["spread"]
    shift, wide, narrow = design["shift"], np.sqrt(of_host**2 + of_source**2 + own**2), np.hypot(of_host, own)

    def found(t):
        return norm.sf(t, shift, wide)

    def squared(x):
        return (expit(x) - 1) ** 2 * norm.pdf(x, shift, wide) + expit(x) ** 2 * norm.pdf(x, 0, narrow)

    tpr, fpr = found(THRESHOLD), norm.sf(THRESHOLD, 0, narrow)
    low, high = (np.log(p / (1 - p)) for p in CELL)
    inside = [norm.cdf(high, m, s) - norm.cdf(low, m, s) for m, s in ((shift, wide), (0.0, narrow))]
    area = quad(lambda f: found(narrow * norm.isf(f)), 0, 0.1)[0]
    return {
        "auroc": float(norm.cdf(shift / np.hypot(wide, narrow))),
        "concordance": float(norm.cdf(shift / np.sqrt(of_source**2 + 2 * own**2))),
        "mean": shift,
        "share found": float(tpr),
        "purity": float(calibration.purity(tpr, fpr, PREVALENCE)),
        "brier": quad(squared, -12, 14, limit=200)[0] / 2,
        "reliability bin": float(inside[0] / sum(inside)),
        "completeness cell, 60 arcs": float(tpr),
        "completeness cell, all arcs": float(tpr),
        "recall at FPR 0.1": float(found(narrow * norm.isf(0.1))),
        "recall at FPR 0.01": float(found(narrow * norm.isf(0.01))),
        "threshold at FPR 0.1": float(narrow * norm.isf(0.1)),
        "partial AUC": (1 + (area - 0.005) / (0.1 - 0.005)) / 2,
        "F1": float(2 * tpr / (tpr + fpr + 1)),
    }


def of_scores(sample: dict, design: dict, seed: int) -> dict:
    """Intervals from influence values: those of AUROC, means, shares, purity, Brier score."""
    scores, labels, hosts, sources = (sample[k] for k in ("scores", "labels", "hosts", "sources"))
    above, p = scores > THRESHOLD, expit(scores)
    found = hosts[labels], sources[labels]
    out = {
        "auroc": metrics.auroc(scores, labels, hosts, sources),
        "concordance": metrics.concordance(scores[labels], scores[~labels], *found),
        "mean": metrics.mean(scores[labels], *found),
        "share found": metrics.mean(above[labels], *found, bounds=(0.0, 1.0)),
        "purity": calibration.purity_at(scores, labels, THRESHOLD, PREVALENCE, hosts, sources),
        "brier": calibration.quality(p, labels, hosts, sources)["brier"],
    }
    return out


def of_shares(sample: dict, design: dict, seed: int) -> dict:
    """Intervals of shares for as many independent rows: a bin of the reliability diagram, a cell of completeness."""
    scores, labels, hosts, sources = (sample[k] for k in ("scores", "labels", "hosts", "sources"))
    found, above, out = (hosts[labels], sources[labels]), scores[labels] > THRESHOLD, {}
    bins = calibration.reliability(expit(scores), labels, hosts, sources)["bins"]
    if mine := [b for b in bins if abs(b["lo"] - CELL[0]) < 1e-9]:
        out["reliability bin"] = mine[0]["ci_low"], mine[0]["ci_high"]
    for name, rows in (("60 arcs", slice(0, None, max(1, len(above) // 60))), ("all arcs", slice(None))):
        alone = metrics.independent_rows(above[rows], *(c[rows] for c in found))
        out[f"completeness cell, {name}"] = metrics.jeffreys(above[rows].mean() * alone, alone)
    return out


def of_draws(sample: dict, design: dict, seed: int) -> dict:
    """Intervals from bootstrap draws: recall and threshold at a false-positive rate, partial AUC, F1."""
    scores, labels, *clusters = (sample[k] for k in ("scores", "labels", "hosts", "sources"))
    fprs = [f for f in (0.1, 0.01) if f * (~labels).sum() >= 10]
    curve = metrics.recall_curve(scores, labels, fprs, *clusters, n_bootstrap=100, seed=seed)
    out = {f"recall at FPR {f:g}": recall for f, (recall, _) in zip(fprs, curve)}
    out["threshold at FPR 0.1"] = curve[0][1]
    options = {"n_bootstrap": 100, "seed": seed}
    return out | {
        "partial AUC": ranking.partial_auc(scores, labels, 0.1, *clusters, **options),
        "F1": ranking.f1(scores, labels, THRESHOLD, *clusters, **options),
    }


LEAK, EFFECT = 0.1, np.array([0.6, 0.4, 0.2, 0, 0, 0, 0, 0])


def features(rng: np.random.Generator, design: dict, leak: float = LEAK):
    """Core features of positives as they are and as physics expects them, and of controls; hosts and sources."""
    n, p = design["hosts"] * design["per_host"], len(EFFECT)
    host, source = np.repeat(np.arange(design["hosts"]), design["per_host"]), rng.integers(0, design["sources"], n)
    control = rng.normal(size=(design["hosts"], p))[host] + 0.5 * rng.normal(size=(n, p))
    arc = 1 + 0.5 * rng.normal(size=design["sources"])[source] + 0.3 * rng.normal(size=n)
    more = leak * (1 + rng.normal(size=design["sources"])[source])
    seen, wanted = (control + light[:, None] * EFFECT + 0.15 * rng.normal(size=(n, p)) for light in (arc + more, arc))
    return seen, wanted, control, host, source


def _leakage(sample) -> dict:
    seen, wanted, control, host, source = sample
    n = len(host)
    labels, hosts, sources = np.arange(2 * n) < n, np.tile(host, 2), np.tile(source, 2)
    fitted = [crossfit.cross_fit(np.concatenate([x, control]), labels, hosts, 5) for x in (seen, wanted)]
    every, pairs = np.ones(2 * n, bool), np.stack([np.arange(n), n + np.arange(n)], axis=1)
    both = {
        "leakage AUC": [crossfit.auc_and_influence(f, labels, every) for f in fitted],
        "leakage concordance": [crossfit.concordance_and_influence(f, pairs) for f in fitted],
    }
    clusters = Clusters(hosts, sources, classes=labels)
    out = {name: (clusters, *found[0]) for name, found in both.items()}
    return out | {f"{name}, difference": (clusters, a[0] - b[0], a[1] - b[1]) for name, (a, b) in both.items()}


def leakage(rng: np.random.Generator, design: dict, wanted: dict) -> dict[str, bool]:
    """Intervals of the leakage gates, and how seldom a difference at the margin passes for equivalent."""
    out = {}
    for name, (clusters, value, influence) in _leakage(features(rng, design)).items():
        bounds = (-1.0, 1.0) if name.endswith("difference") else (0.0, 1.0)
        out[name] = _holds(clusters.linear(value, influence, bounds), wanted[name])
        if name.endswith("difference"):
            test = crossfit.equivalence(value, influence, clusters, abs(wanted[name]), bounds=bounds)
            out[f"{name}, not equivalent at the margin"] = (
                None if test["delta"].ci_low is None else not (test["status"] == "pass")
            )
    return out


def leakage_truth(design: dict) -> dict[str, float]:
    """Values over many hosts, each with a source of its own."""
    many = {"hosts": 40_000, "sources": 40_000, "per_host": 1}
    return {k: v[1] for k, v in _leakage(features(np.random.default_rng(0), many)).items()}


def perfect(rng: np.random.Generator, design: dict, _) -> dict[str, bool]:
    """The p-value of the calibration error where the probabilities are the posterior of the simulation."""
    sample = simulate(rng, design)
    of_host, of_source, own = design["spread"]
    p = norm.pdf(sample["scores"], design["shift"], np.sqrt(of_host**2 + of_source**2 + own**2))
    p = p / (p + norm.pdf(sample["scores"], 0, np.hypot(of_host, own)))
    got = calibration.against_perfect(p, sample["labels"], sample["hosts"], sample["sources"])
    return {"calibration p-value": got["p_value"] >= 0.05}


def realism(rng: np.random.Generator, design: dict, _) -> dict[str, bool]:
    """Interval and p-value of the realism probe where nothing differs: 512 features, twice as many injections."""
    n = design["hosts"]
    x = rng.normal(size=(3 * n, 512))
    if n < probe.MIN_STAMPS:
        return {"realism AUC": None, "realism p-value": None}
    got = probe.probe(x[:n], x[n:], np.arange(n), n + np.arange(2 * n), n_permutations=199)
    return {"realism AUC": _holds(got["auc"], 0.5), "realism p-value": got["p_value"] > 0.05}


def _holds(interval, value: float) -> bool | None:
    low, high = (interval.ci_low, interval.ci_high) if isinstance(interval, metrics.Metric) else interval
    return None if low is None else bool(low <= value <= high)


def _of(measure: Callable) -> Callable:
    def run(rng, design, wanted):
        found = measure(simulate(rng, design), design, int(rng.integers(1 << 30)))
        return {name: _holds(interval, wanted[name]) for name, interval in found.items()}

    return run


FAMILIES: dict[str, tuple[Callable, Callable]] = {
    "scores": (_of(of_scores), truth),
    "shares": (_of(of_shares), truth),
    "bootstrap": (_of(of_draws), truth),
    "leakage": (leakage, leakage_truth),
    "calibration": (perfect, lambda design: None),
    "realism": (realism, lambda design: None),
}


def designs(family: str) -> list[dict]:
    """Those that a family is measured at."""
    if family == "realism":
        return [{"hosts": n, "sources": 0, "per_host": 1} for n in (20, 40, 56)]
    cut = []
    for design in DESIGNS:
        smaller = design | {"hosts": min(design["hosts"], LARGEST.get(family, 10**9))}
        cut += [smaller] if smaller not in cut else []
    return cut


def coverage(family: str, design: dict, n_samples: int = N_SAMPLES, seed: int = 0) -> list[dict]:
    """Share of simulated samples whose 95 % interval holds the truth.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.
    design : dict
        One of `designs`.
    n_samples, seed : int

    Returns
    -------
    list of dict
        For each interval: family, design, ``n_samples`` in which it was given, ``covered`` and its standard error;
        nothing is covered, and ``n_samples`` is 0, where no interval is given.
    """
    run, of = FAMILIES[family]
    wanted, found = of(design), {}
    for k in range(n_samples):
        for name, held in run(keyed(seed, Stream.SIMULATION, k), design, wanted).items():
            found.setdefault(name, []).append(held)
    out = []
    for name, every in found.items():
        given = [h for h in every if h is not None]
        share = sum(given) / len(given) if given else float("nan")
        error = float(np.sqrt(share * (1 - share) / len(given))) if given else float("nan")
        about = {"family": family, "statistic": name} | {k: design[k] for k in ("hosts", "sources", "per_host")}
        about["weak_source"] = int(design.get("spread") == WEAK)
        out.append(about | {"n_samples": len(given), "covered": share, "standard_error": error})
    return out


def table() -> list[dict]:
    """The coverage that was measured; `coverage` makes it again."""
    text = (resources.files("dhs.book.studies") / "interval_coverage.csv").read_text()
    words = ("family", "statistic")
    return [{k: v if k in words else float(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def main(arguments=None) -> None:
    """Measure families and write or extend a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--samples", type=int, default=N_SAMPLES)
    parser.add_argument("--family", choices=FAMILIES, action="append")
    given = parser.parse_args(arguments)
    rows: list[dict] = []
    for family in given.family or FAMILIES:
        for design in designs(family):
            rows += coverage(family, design, given.samples)
            with open(given.out, "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()} for r in rows)


if __name__ == "__main__":
    main()
