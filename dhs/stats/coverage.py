"""How often the intervals hold the truth: simulation over hosts and sources, many and few.

Pairs are drawn with a random effect of the host (shared by positive and control), one of the source, and scatter of
their own; the truth follows from the normal model. Hosts and sources are crossed at random, as in an injection.
"""

from __future__ import annotations

import csv
import io
from importlib import resources

import numpy as np
from scipy.stats import norm

from dhs.stats import metrics

DESIGNS = (
    {"hosts": 200, "sources": 200, "per_host": 1, "spread": (0.5, 0.3, 0.8), "shift": 1.5},
    {"hosts": 60, "sources": 60, "per_host": 2, "spread": (0.5, 0.5, 0.7), "shift": 1.5},
    {"hosts": 200, "sources": 40, "per_host": 1, "spread": (0.5, 0.3, 0.8), "shift": 1.5},
    {"hosts": 40, "sources": 40, "per_host": 4, "spread": (0.5, 0.5, 0.7), "shift": 1.0},
    {"hosts": 30, "sources": 400, "per_host": 3, "spread": (0.7, 0.0, 0.7), "shift": 1.5},
    {"hosts": 100, "sources": 20, "per_host": 2, "spread": (0.5, 0.5, 0.7), "shift": 1.5},
    {"hosts": 100, "sources": 10, "per_host": 2, "spread": (0.5, 0.5, 0.7), "shift": 1.5},
    {"hosts": 12, "sources": 100, "per_host": 6, "spread": (0.5, 0.5, 0.7), "shift": 1.5},
)
"""``spread``: standard deviations of the host effect, the source effect and a row's own scatter."""
N_SAMPLES = 4000  # standard error 0.0034 at 0.95
STATISTICS = ("auroc", "recall_at_fpr_0.1", "mean")


def simulate(rng: np.random.Generator, design: dict) -> dict[str, np.ndarray]:
    """Scores, labels, hosts and sources of one sample; controls carry no source."""
    n = design["hosts"] * design["per_host"]
    of_host, of_source, own = design["spread"]
    host, source = np.repeat(np.arange(design["hosts"]), design["per_host"]), rng.integers(0, design["sources"], n)
    effect = of_host * rng.normal(size=design["hosts"])[host]
    positive = design["shift"] + effect + of_source * rng.normal(size=design["sources"])[source]
    scores = np.r_[positive + own * rng.normal(size=n), effect + own * rng.normal(size=n)]
    labels = np.repeat([True, False], n)
    return {
        "scores": scores,
        "labels": labels,
        "hosts": np.tile(host, 2).astype(str),
        "sources": np.r_[source.astype(str), np.full(n, "")],
    }


def truth(design: dict) -> dict[str, float]:
    """What each statistic estimates."""
    of_host, of_source, own = design["spread"]
    negative, positive = np.hypot(of_host, own), np.sqrt(of_host**2 + of_source**2 + own**2)
    threshold = negative * norm.isf(0.1)
    return {
        "auroc": float(norm.cdf(design["shift"] / np.hypot(positive, negative))),
        "recall_at_fpr_0.1": float(norm.sf((threshold - design["shift"]) / positive)),
        "mean": design["shift"],
    }


def measure(sample: dict, seed: int, n_bootstrap: int) -> dict[str, metrics.Metric]:
    """The statistics of one sample with their intervals."""
    scores, labels, clusters = sample["scores"], sample["labels"], (sample["hosts"], sample["sources"])
    found = [c[labels] for c in clusters]
    return {
        "auroc": metrics.auroc(scores, labels, *clusters),
        "recall_at_fpr_0.1": metrics.tpr_at_fpr(scores, labels, 0.1, *clusters, n_bootstrap=n_bootstrap, seed=seed)[0],
        "mean": metrics.mean(scores[labels], *found),
    }


def coverage(design: dict, n_samples: int = N_SAMPLES, n_bootstrap: int = 200, seed: int = 0) -> list[dict]:
    """Share of simulated samples whose 95 % interval holds the truth.

    Parameters
    ----------
    design : dict
        One of `DESIGNS`.
    n_samples, n_bootstrap, seed : int

    Returns
    -------
    list of dict
        For each statistic: the design, ``n_samples``, ``covered`` and its standard error.
    """
    hits, right = dict.fromkeys(STATISTICS, 0), truth(design)
    for k in range(n_samples):
        sample = simulate(np.random.Generator(np.random.Philox(key=[seed, k])), design)
        for name, metric in measure(sample, k, n_bootstrap).items():
            hits[name] += metric.ci_low <= right[name] <= metric.ci_high
    plain = {k: design[k] for k in ("hosts", "sources", "per_host")}
    out = []
    for name in STATISTICS:
        share = hits[name] / n_samples
        error = float(np.sqrt(share * (1 - share) / n_samples))
        out.append(plain | {"statistic": name, "n_samples": n_samples, "covered": share, "standard_error": error})
    return out


def table() -> list[dict]:
    """The coverage that was measured for `DESIGNS` with `N_SAMPLES` samples each; `coverage` makes it again."""
    text = (resources.files("dhs.stats") / "coverage.csv").read_text()
    return [
        {k: v if k == "statistic" else float(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))
    ]
