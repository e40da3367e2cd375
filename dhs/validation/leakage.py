"""Core and radial-profile leakage: what a linear classifier can tell, against what honest physics lets it tell.

An arc puts light into the core of a stamp: a counter-image, and at small theta_E the arc itself. So a classifier that
sees the core alone beats 0.5 on any honest data set, by an amount that depends on theta_E, and a fixed limit
is either too strict or blind. Each gate here fits the same classifier twice, on the same hosts, folds and features:
to the stamps as they are, and to stamps whose arc is the one that the lens equation predicts
(`dhs.validation.expectation`), with fresh shot noise. The difference of the two out-of-fold AUCs is tested for
equivalence with the pre-registered margin.

Features are binned: means of sectors (core) or rings (radial profile), in units of the sky noise, asinh-stretched.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.stats import rankdata, t
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dhs.datasets.reader import per_band
from dhs.injection.noise import Stream, generator, shot_noise
from dhs.validation import metrics
from dhs.validation.expectation import radius_map
from dhs.validation.gate import Gate, Skip, gate, holm, verdict
from dhs.validation.metrics import Clusters, Metric

CORE_RINGS = (0.0, 0.3, 0.6, 0.8, 1.0)  # edges over the core radius
SECTORS = (1, 8, 8, 8)
RADIAL_EDGES_PX = (0, 1.5, 3, 4.5, 6, 8, 10, 12, 15, 18, 22, 26, 32)
MIN_PAIRS = 40
MIN_BIN = 20
RIDGE = 10.0
CORE_FRACTION_MARGIN = 0.05
ALPHA = 0.05


@cache
def _core_bins(radius_px: float) -> np.ndarray:
    """(64 x 64, bins) membership of the core's sectors, columns normalised to means."""
    radius = radius_map()
    side = radius.shape[0]
    offset = np.arange(side) - (side - 1) / 2
    angle = np.arctan2(offset[:, None], offset[None, :]) % (2 * np.pi)
    columns = []
    for (low, high), sectors in zip(pairwise(CORE_RINGS), SECTORS):
        ring = (radius >= low * radius_px) & (radius < high * radius_px)
        sector = np.minimum((angle / (2 * np.pi) * sectors).astype(int), sectors - 1)
        columns += [ring & (sector == s) for s in range(sectors)]
    return _means(columns)


@cache
def _radial_bins() -> np.ndarray:
    radius = radius_map()
    return _means([(radius >= low) & (radius < high) for low, high in pairwise(RADIAL_EDGES_PX)])


def _means(members: list[np.ndarray]) -> np.ndarray:
    columns = np.stack([m.ravel() for m in members if m.any()], axis=1).astype(float)
    return columns / columns.sum(axis=0)


def core_features(image: np.ndarray, sky_sigma: np.ndarray, radius_px: float) -> np.ndarray:
    """Sector means of r < ``radius_px`` in every band, asinh of sky sigmas.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    sky_sigma : ndarray, (3,)
        Same unit as ``image``.
    radius_px : float

    Returns
    -------
    ndarray, (75,) float64
        25 sectors in 4 rings a band.
    """
    return np.arcsinh((image.reshape(3, -1) @ _core_bins(radius_px)) / sky_sigma[:, None]).ravel()


def radial_features(image: np.ndarray, sky_sigma: np.ndarray) -> np.ndarray:
    """(36,) ring means over the whole stamp in every band, asinh of sky sigmas; as `core_features`."""
    return np.arcsinh((image.reshape(3, -1) @ _radial_bins()) / sky_sigma[:, None]).ravel()


def renoised(row: dict, light: np.ndarray) -> np.ndarray:
    """Control plus light plus another draw of that light's shot noise than the stamp's."""
    noise = shot_noise(light, per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT, attempt=1))
    return np.asarray(row["control"], dtype=float) + light + noise


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """(n,) decision values of a logistic regression that never saw the row's host.

    Standardised inside the fold; balanced class weights, so that unequal classes move no threshold.
    """
    scores = np.empty(len(labels))
    for train, test in GroupKFold(n_folds).split(features, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-3))
        scores[test] = model.fit(features[train], labels[train]).decision_function(features[test])
    return scores


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
        Rows are positives, then controls; labels are booleans.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    n = len(positive)
    swap = rng.random((n, draws + 1)) < 0.5
    swap[:, 0] = False
    labels = np.concatenate([~swap, swap])
    target = np.where(labels, 1.0, -1.0)
    features = np.concatenate([positive, control])
    both = np.concatenate([groups, groups])
    scores = np.empty((2 * n, draws + 1))
    for train, test in GroupKFold(n_folds).split(features, groups=both):
        scale = StandardScaler().fit(features[train])
        x = scale.transform(features[train])
        weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ target[train])
        scores[test] = scale.transform(features[test]) @ weights
    return scores, labels


def auc_columns(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUROC of every column."""
    ranks = rankdata(scores, axis=0)
    n1 = labels.sum(axis=0)
    n0 = len(labels) - n1
    return ((ranks * labels).sum(axis=0) - n1 * (n1 + 1) / 2) / (n1 * n0)


def equivalence(delta: Metric, draws: np.ndarray, clusters: int, margin: float, n: int) -> dict:
    """Is a difference within +-margin?

    Returns
    -------
    dict
        ``status`` before any correction (``pass``: the whole 95 % interval lies within the margin, else ``warn``),
        ``p_outside``, the one-sided p-value of |delta| <= margin, and ``n_needed``: an interval that shrinks as
        1/sqrt(n) from today's n pairs would decide at so many.
    """
    if delta.value is None or delta.ci_low is None:
        return {"status": "warn", "p_outside": 1.0, "n_needed": None}
    inside = -margin <= delta.ci_low and delta.ci_high <= margin
    error = max(float(np.nanstd(draws)), 1e-12)
    p = float(t.sf((abs(delta.value) - margin) / error, max(clusters - 1, 1)))
    half = (delta.ci_high - delta.ci_low) / 2
    room = abs(margin - abs(delta.value))
    needed = None if inside or room < 1e-3 else int(np.ceil(n * (half / room) ** 2))
    return {"status": "pass" if inside else "warn", "p_outside": p, "n_needed": needed}


def compare(observed, expected, labels, hosts, config, seed: int) -> dict:
    """AUC of observed and expected scores with host-bootstrap intervals, and the paired difference.

    The intervals hold the sampling of hosts, not the refitting of the classifier.
    """
    clusters = Clusters(hosts, None, config.n_bootstrap, seed)
    of_observed, of_expected = (metrics.auroc_statistic(s, labels) for s in (observed, expected))
    pairs = [(of_observed(w), of_expected(w)) for w in clusters.weights()]
    first, second = (np.concatenate(part) for part in zip(*pairs))
    one = np.ones((1, len(labels)))
    value, wanted = float(of_observed(one)[0]), float(of_expected(one)[0])
    delta = clusters.attach(value - wanted, first - second, (-1.0, 1.0))
    test = equivalence(delta, first - second, clusters.smallest, config.equivalence_margin, int(labels.sum()))
    metric = clusters.attach(value, first)
    return {"metric": metric, "expected": wanted, "delta": delta, **test}


def _bins(data, scores: dict, null: np.ndarray, null_labels: np.ndarray) -> list[dict]:
    """The comparison per bin of theta_E and of matched SNR."""
    out, config, n = [], data.profile.preflight, data.n_images
    edges = {"theta_e_arcsec": config.theta_e_edges, "arc_snr_matched": data.profile.evaluate.snr_edges}
    for by, bounds in edges.items():
        values = data.of_images(by).astype(float)
        for i, (low, high) in enumerate(pairwise(bounds)):
            # float32 columns: the upper edge of the last bin belongs to it
            members = (values >= low - 1e-6) & (values <= high if i == len(bounds) - 2 else values < high)
            entry = {"by": by, "lo": low, "hi": high, "n": int(members.sum())}
            if members.sum() < MIN_BIN or len(set(data.hosts[members])) < metrics.MIN_CLUSTERS:
                out.append({**entry, "value": None, "reason": f"{members.sum()} pairs, {MIN_BIN} are needed"})
                continue
            both = np.concatenate([members, members])
            labels = np.repeat([True, False], members.sum())
            hosts = np.tile(data.hosts[members], 2)
            found = compare(
                scores["positive"][both], scores["expected"][both], labels, hosts, config, data.profile.seed
            )
            draws = auc_columns(null[both][:, 1:], null_labels[both][:, 1:])
            low_null, high_null = np.quantile(draws, (0.025, 0.975))
            wins = metrics.concordance(scores["positive"][:n][members], scores["positive"][n:][members]).value
            entry |= found.pop("metric").as_dict() | found
            out.append(entry | {"null_low": low_null, "null_high": high_null, "concordance": wins, "n": entry["n"]})
    return out


def measure(data, kind: str) -> Gate:
    """A leakage gate on the features ``core`` or ``radial``."""
    with threadpool_limits(1):  # matrices of this size lose more to thread hand-over than they gain
        return _measure(data, kind)


def _measure(data, kind: str) -> Gate:
    data.need_images(MIN_PAIRS)
    config, n, hosts = data.profile.preflight, data.n_images, data.hosts
    folds = min(config.n_folds, len(set(hosts)))
    if folds < 2:
        raise Skip("all pairs share one host, so no fold can leave a host out.")
    control = data.images[f"{kind}_control"]
    labels, both = np.repeat([True, False], n), np.tile(hosts, 2)
    scores = {
        name: out_of_fold(np.concatenate([data.images[f"{kind}_{name}"], control]), labels, both, folds)
        for name in ("positive", "expected")
    }
    overall = compare(scores["positive"], scores["expected"], labels, both, config, data.profile.seed)
    positive = data.images[f"{kind}_positive"]
    null, null_labels = swap_null(positive, control, hosts, folds, config.n_null, data.profile.seed)
    ridge = auc_columns(null, null_labels)
    bins = _bins(data, scores, null, null_labels)
    hard = _with_hard(data, control, folds) if kind == "core" else {}
    family = {"all pairs": overall} | {k: v for k, v in hard.items() if "p_outside" in v}
    family |= {f"{b['by']} {b['lo']:g}-{b['hi']:g}": b for b in bins if "p_outside" in b}
    adjusted = dict(zip(family, holm([entry["p_outside"] for entry in family.values()])))
    outside = [name for name, p in adjusted.items() if p < ALPHA]
    leading = [name for name in family if name == "all pairs" or name in hard]
    open_ones = [name for name in family if family[name]["status"] != "pass" and name not in outside]
    status = "fail" if outside else "warn" if any(name in open_ones for name in leading) else "pass"
    metric, delta = overall["metric"], overall["delta"]
    interval = "no interval" if delta.ci_low is None else f"95 % {delta.ci_low:+.3f} to {delta.ci_high:+.3f}"
    region = f"core (r < {config.core_radius_px:g} px)" if kind == "core" else "radial profile"
    text = (
        f"A logistic regression on the {region} reaches AUC {metric.value:.3f}; the lens equation predicts "
        f"{overall['expected']:.3f}; difference {delta.value:+.3f} ({interval}), margin {config.equivalence_margin:g}."
    )
    if outside:
        text += f" Outside the margin: {', '.join(outside)}."
    if open_ones:
        text += f" Inconclusive: {', '.join(open_ones)}"
        needed = overall["n_needed"]
        text += f"; it would take about {needed} pairs to decide on all pairs." if needed else "."
    n_null = len(ridge) - 1
    details = {
        "bins": bins,
        "expected": overall["expected"],
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
        "concordance": metrics.concordance(
            scores["positive"][:n], scores["positive"][n:], hosts, n_bootstrap=config.n_bootstrap
        ),
        "hard_negatives": {k: _plain(v) for k, v in hard.items()},
        "holm": adjusted,
        "features": "sector or ring means, asinh of sky sigmas; null by ridge regression in closed form",
    }
    return verdict(
        status,
        text,
        metric=metric,
        n=n,
        threshold=overall["expected"] + config.equivalence_margin,
        details=details,
    )


def _plain(entry: dict) -> dict:
    entry = dict(entry)
    return entry.pop("metric").as_dict() | entry


def _with_hard(data, control: np.ndarray, folds: int) -> dict:
    """The same comparison with hard negatives among the negatives, and against hard negatives alone."""
    if len(data.hard.get("pair", ())) < MIN_PAIRS:
        return {}
    config, seed = data.profile.preflight, data.profile.seed
    owner, hard = data.hard["pair"], data.hard["core"]
    rows = {
        "with hard negatives": (
            np.arange(data.n_images),
            np.concatenate([control, hard]),
            np.concatenate([data.hosts, data.hosts[owner]]),
        ),
        "hard negatives alone": (owner, hard, data.hosts[owner]),
    }
    out = {}
    for name, (members, negative, negative_hosts) in rows.items():
        labels = np.repeat([True, False], [len(members), len(negative)])
        groups = np.concatenate([data.hosts[members], negative_hosts])
        if len(set(groups)) < folds:
            continue
        observed, expected = (
            out_of_fold(np.concatenate([data.images[f"core_{k}"][members], negative]), labels, groups, folds)
            for k in ("positive", "expected")
        )
        out[name] = compare(observed, expected, labels, groups, config, seed)
    return out


@gate(
    "core_leakage",
    remedy="Look at control and arc inside the core: a pedestal, a seam or another galaxy in the control gives the "
    "label away. If inconclusive, make more pairs.",
    figure="leakage",
)
def core_leakage(data) -> Gate:
    """Logistic regression on the core, against the physical expectation."""
    return measure(data, "core")


@gate(
    "radial_profile_leakage",
    blocking=False,
    remedy="Look at the mean radial profiles of positives and controls: light where no image lies gives it away.",
    figure="leakage",
)
def radial_profile_leakage(data) -> Gate:
    """Logistic regression on ring means over the whole stamp, against the physical expectation."""
    return measure(data, "radial")


@gate(
    "arc_core_fraction",
    remedy="Re-render the arcs: their light in the core is not where the stored lens parameters put it.",
    figure="arc_core_fraction",
)
def arc_core_fraction(data) -> Gate:
    """Fraction of the arc's r-band light in the core: stored arc against the re-rendered one, per theta_E."""
    data.need_images(MIN_BIN)
    config = data.profile.preflight
    stored, expected = data.images["arc_core"], data.images["arc_core_expected"]
    known = np.isfinite(stored) & np.isfinite(expected)
    if known.sum() < MIN_BIN:
        raise Skip(f"only {known.sum()} arcs have light outside the core.")
    theta = data.of_images("theta_e_arcsec").astype(float)
    bins, tests = [], {}
    for name, members in [("all", known)] + [
        (f"theta_E {a:g}-{b:g}", known & (theta >= a - 1e-6) & (theta < b)) for a, b in pairwise(config.theta_e_edges)
    ]:
        if members.sum() < MIN_BIN:
            continue
        difference = (stored - expected)[members]
        clusters = Clusters(data.hosts[members], None, config.n_bootstrap, data.profile.seed)
        draws = np.concatenate([(w @ difference) / w.sum(axis=1) for w in clusters.weights()])
        delta = clusters.attach(difference.mean(), draws, (-np.inf, np.inf))
        tests[name] = equivalence(delta, draws, clusters.smallest, CORE_FRACTION_MARGIN, len(difference))
        bins.append(
            {
                "label": name,
                "stored": stored[members].mean(),
                "expected": expected[members].mean(),
                **delta.as_dict(),
            }
        )
    adjusted = dict(zip(tests, holm([x["p_outside"] for x in tests.values()])))
    outside = [name for name, p in adjusted.items() if p < ALPHA]
    status = "fail" if outside else tests["all"]["status"]
    text = (
        f"Of the arcs' r-band light {bins[0]['stored']:.3f} lies in the core; the stored lens parameters put "
        f"{bins[0]['expected']:.3f} there (round source, margin {CORE_FRACTION_MARGIN:g})."
    )
    text += f" Outside the margin: {', '.join(outside)}." if outside else ""
    overall = bins[0]
    fields = {k: overall[k] for k in ("value", "ci_low", "ci_high", "n", "n_hosts")}
    return verdict(status, text, threshold=CORE_FRACTION_MARGIN, details={"bins": bins}, **fields)
