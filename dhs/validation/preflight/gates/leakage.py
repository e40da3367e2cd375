"""Core and radial-profile leakage: what a linear classifier can tell, against what honest physics lets it tell.

An arc puts light into the core of a stamp: a counter-image, and at small theta_E the arc itself. So a classifier that
sees the core alone beats 0.5 on any honest data set, by an amount that depends on theta_E, and a fixed limit
is either too strict or blind. Each gate here fits the same classifier twice, on the same hosts, folds and features:
to the stamps as they are, and to stamps whose arc is rendered again from the stored parameters
(`dhs.datasets.rerender`), with fresh shot noise. The difference of the two out-of-fold AUCs is tested for
equivalence with the pre-registered margin, and so is that of the two concordances within pairs: where hosts differ by
more than a leak adds, the AUC over all stamps hides what every pair shows. Intervals hold the scatter of hosts and of
sources and that of the fitted classifier (`dhs.stats.crossfit`).

Features are binned: means of sectors (core) or rings (radial profile), in units of the sky noise, asinh-stretched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from dhs.random import Stream, keyed
from dhs.stats import bins, metrics
from dhs.stats.crossfit import auc_and_influence, concordance_and_influence, cross_fit, equivalence, folds_of
from dhs.stats.metrics import Clusters
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 40
MIN_BIN = 20
FEW_SHARES = 41  # clusters below which the interval of a concordance near 1 covers too seldom
RIDGE = 10.0


def swap_null(
    positive: np.ndarray, control: np.ndarray, groups: np.ndarray, n_folds: int, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold scores under labels swapped at random within pairs, and the swapped labels.

    Swapping leaves the features as they are, so ridge regression on labels of +-1 gives the scores of all draws by
    one solve a fold; it stands in for the logistic regression here, and the first column keeps the true
    labels, so that like is compared with like.

    Returns
    -------
    scores, labels : ndarray, (2 n, draws + 1)
        Rows are positives, then controls; scores float32, labels boolean.
    """
    from sklearn.preprocessing import StandardScaler

    rng = keyed(seed, Stream.LABEL_SWAP)
    n = len(positive)
    swap = rng.random((n, draws + 1)) < 0.5
    swap[:, 0] = False
    labels = np.concatenate([~swap, swap])
    features = np.concatenate([positive, control])
    scores = np.empty((2 * n, draws + 1), np.float32)
    for train, test in folds_of(np.concatenate([groups, groups]), n_folds):
        scale = StandardScaler().fit(features[train])
        x = scale.transform(features[train])
        target = np.where(labels[train], 1.0, -1.0)
        weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ target)
        scores[test] = scale.transform(features[test]) @ weights
    return scores, labels


def auc_columns(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUROC of every column."""
    n1 = labels.sum(axis=0)
    out = np.array([rankdata(s)[y].sum() for s, y in zip(scores.T, labels.T)])
    return (out - n1 * (n1 + 1) / 2) / (n1 * (len(labels) - n1))


class Comparison:
    """Two classifications of the same rows, as they are and as physics expects them.

    Parameters
    ----------
    observed, expected : ndarray, (n, p)
        Features of the positives.
    negative : ndarray, (m, p)
    hosts, sources : sequence of two ndarrays
        Of the positives and of the negatives; a control has its pair's.
    config : PreflightConfig
    """

    def __init__(self, observed, expected, negative, hosts, sources, config):
        self.labels = np.repeat([True, False], [len(observed), len(negative)])
        self.hosts, self.sources = np.concatenate(hosts), np.concatenate(sources)
        self.margin = config.equivalence_margin
        folds = min(config.n_folds, len(set(self.hosts)))
        self.clusters = Clusters(self.hosts, self.sources, classes=self.labels)
        self.observed, self.expected = (
            cross_fit(np.concatenate([x, negative]), self.labels, self.hosts, folds) for x in (observed, expected)
        )

    def _tested(self, found, wanted, rows: np.ndarray, fewest: int) -> dict:
        """Value observed and expected, each with the influence of all rows, and their difference against the margin.

        Below ``fewest`` clusters the test stands and no interval is shown: it would cover in 0.84 to 0.92 of samples
        (`dhs.book.studies.interval_coverage`).
        """
        over = Clusters(self.hosts[rows], self.sources[rows], classes=self.labels[rows])
        difference, influence = found[0] - wanted[0], found[1] - wanted[1]
        test = equivalence(difference, influence, self.clusters, self.margin, over=over, bounds=(-1.0, 1.0))
        if test["n_needed"]:
            test["n_needed"] = int(np.ceil(test["n_needed"] * self.labels[rows].sum() / len(self.labels[rows])))
        shown = {"metric": self.clusters.linear(*found, over=over), "delta": test.pop("delta")}
        if over.fewest_hosts < metrics.FEW_CLUSTERS or over.smallest < fewest:
            shown = {
                k: replace(m, ci_low=None, ci_high=None, flags=(*m.flags, "no_interval")) for k, m in shown.items()
            }
        return shown | {"expected": wanted[0], **test}

    def over(self, members: np.ndarray | None = None) -> dict:
        """AUC observed and expected over the member rows, and their difference, tested against the margin."""
        members = np.ones(len(self.labels), bool) if members is None else members
        found, wanted = (auc_and_influence(f, self.labels, members) for f in (self.observed, self.expected))
        return self._tested(found, wanted, members, metrics.MIN_CLUSTERS)

    def within_pairs(self, members: np.ndarray | None = None) -> dict:
        """Concordance of the member pairs; rows are as many positives as controls, in the same order."""
        n = int(self.labels.sum())
        chosen = np.arange(n) if members is None else np.flatnonzero(members[:n])
        pairs = np.stack([chosen, chosen + n], axis=1)
        found, wanted = (concordance_and_influence(f, pairs) for f in (self.observed, self.expected))
        return self._tested(found, wanted, pairs.T.ravel(), FEW_SHARES)


def in_bins(data) -> list[tuple[dict, np.ndarray]]:
    """Bins of theta_E and of matched SNR, and the measured pairs in each."""
    edges = {
        "theta_e_arcsec": data.profile.preflight.theta_e_edges,
        "arc_snr_matched": data.profile.evaluate.snr_edges,
    }
    out = []
    for by, bounds in edges.items():
        values = data.of_images(by).astype(float)
        for low, high, members in bins.members(values, bounds):
            out.append(({"by": by, "lo": low, "hi": high, "n": int(members.sum())}, members))
    return out


def _bins(data, found: Comparison, null: np.ndarray, null_labels: np.ndarray) -> list[dict]:
    out = []
    for entry, members in in_bins(data):
        hosts = data.hosts[members]
        if members.sum() < MIN_BIN or len(set(hosts)) < metrics.MIN_CLUSTERS:
            reason = f"{members.sum()} pairs on {len(set(hosts))} hosts, {MIN_BIN} on {metrics.MIN_CLUSTERS} are needed"
            out.append({**entry, "value": None, "reason": reason})
            continue
        both = np.concatenate([members, members])
        result = found.over(both)
        draws = auc_columns(null[both][:, 1:], null_labels[both][:, 1:])
        low_null, high_null = np.quantile(draws, (0.025, 0.975)) if draws.size else (None, None)
        wins = _plain(found.within_pairs(both))
        entry = entry | result.pop("metric").as_dict() | result | {"n": entry["n"], "within_pairs": wins}
        out.append(entry | {"null_low": low_null, "null_high": high_null})
    return out


def measure(data, kind: str) -> Gate:
    """A leakage gate on the features ``core`` or ``radial``."""
    with threadpool_limits(1):  # matrices of this size lose more to thread hand-over than they gain
        return _measure(data, kind)


def _measure(data, kind: str) -> Gate:
    data.need_images(MIN_PAIRS)
    config, n, hosts, seed = data.profile.preflight, data.n_images, data.hosts, data.profile.seed
    folds = min(config.n_folds, len(set(hosts)))
    if folds < 2:
        raise Skip("all pairs share one host, so no fold can leave a host out.")
    control = data.images[f"{kind}_control"]
    positive, expected = data.images[f"{kind}_positive"], data.images[f"{kind}_expected"]
    found = Comparison(positive, expected, control, (hosts, hosts), (data.sources, data.sources), config)
    overall, wins = found.over(), found.within_pairs()
    null, null_labels = swap_null(positive, control, hosts, folds, config.n_null, seed)
    ridge = auc_columns(null, null_labels)
    bins = _bins(data, found, null, null_labels)
    del null, null_labels
    hard = _with_hard(data, control) if kind == "core" else {}
    family = {"all pairs": overall, "within pairs": wins} | {k: v for k, v in hard.items() if "p" in v}
    leading = list(family)
    for b in (b for b in bins if "p" in b):
        name = f"{b['by']} {b['lo']:g}-{b['hi']:g}"
        family |= {name: b, f"within pairs, {name}": b["within_pairs"]}
    open_ones = [name for name in leading if family[name]["status"] != "pass"]
    metric, delta = overall["metric"], overall["delta"]
    interval = "no interval" if delta.ci_low is None else f"95 % {delta.ci_low:+.3f} to {delta.ci_high:+.3f}"
    region = f"core (r < {config.core_radius_px:g} px)" if kind == "core" else "radial profile"
    text = (
        f"A logistic regression on the {region} reaches AUC {metric.value:.3f}; the lens equation predicts "
        f"{overall['expected']:.3f}; difference {delta.value:+.3f} ({interval}), margin {config.equivalence_margin:g}. "
        f"Within pairs it is right in {wins['metric'].value:.3f}, predicted {wins['expected']:.3f}."
    )
    if open_ones:
        text += f" Inconclusive: {', '.join(open_ones)}"
        needed = overall["n_needed"]
        text += f"; it would take about {needed} pairs to decide on all pairs." if needed else "."
    n_null = len(ridge) - 1
    details = {
        "bins": bins,
        "expected": overall["expected"],
        "expectation": data.expectation,
        "delta": delta,
        "margin": config.equivalence_margin,
        "n_needed": overall["n_needed"],
        "null": {
            "draws": n_null,
            "mean": ridge[1:].mean() if n_null else None,
            "low": np.quantile(ridge[1:], 0.025) if n_null else None,
            "high": np.quantile(ridge[1:], 0.975) if n_null else None,
            "observed_ridge": ridge[0],
            "p_value": (1 + (ridge[1:] >= ridge[0]).sum()) / (n_null + 1),
        },
        "concordance": wins["metric"],
        "within_pairs": _plain(wins),
        "hard_negatives": {k: _plain(v) for k, v in hard.items()},
        "tests": {name: entry["p"] for name, entry in family.items()},
        "features": "sector or ring means, asinh of sky sigmas; null by ridge regression in closed form",
        "intervals": "scatter of hosts and of sources, and of the classifier through its training rows, to first order",
    }
    return verdict(
        "warn" if open_ones else "pass",
        text,
        metric=metric,
        n=n,
        threshold=overall["expected"] + config.equivalence_margin,
        details=details,
    )


def _plain(entry: dict) -> dict:
    entry = dict(entry)
    return entry.pop("metric").as_dict() | entry


def _with_hard(data, control: np.ndarray) -> dict:
    """The same comparison with hard negatives among the negatives, and against hard negatives alone."""
    if len(data.hard.get("pair", ())) < MIN_PAIRS:
        return {}
    config, owner, hard = data.profile.preflight, data.hard["pair"], data.hard["core"]
    everyone, unique = np.arange(data.n_images), np.unique(owner)
    rows = {
        "with hard negatives": (
            everyone,
            np.concatenate([control, hard]),
            np.concatenate([data.hosts, data.hosts[owner]]),
            np.concatenate([data.sources, data.sources[owner]]),
        ),
        "hard negatives alone": (unique, hard, data.hosts[owner], data.sources[owner]),
    }
    out = {}
    for name, (members, negative, negative_hosts, negative_sources) in rows.items():
        if len(set(data.hosts[members])) < config.n_folds:
            continue
        out[name] = Comparison(
            data.images["core_positive"][members],
            data.images["core_expected"][members],
            negative,
            (data.hosts[members], negative_hosts),
            (data.sources[members], negative_sources),
            config,
        ).over()
    return out


@gate(
    "core_leakage",
    number=6,
    remedy="Look at control and arc inside the core: a pedestal, a seam or another galaxy in the control gives the "
    "label away. If inconclusive, make more pairs.",
)
def core_leakage(data) -> Gate:
    """Logistic regression on the core, against the physical expectation."""
    return measure(data, "core")


@gate(
    "radial_profile_leakage",
    number=7,
    blocking=False,
    remedy="Look at the mean radial profiles of positives and controls: light where no image lies gives it away.",
)
def radial_profile_leakage(data) -> Gate:
    """Logistic regression on ring means over the whole stamp, against the physical expectation."""
    return measure(data, "radial")
