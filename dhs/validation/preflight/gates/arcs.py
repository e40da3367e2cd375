"""Whether the light that was added is the light the stored lens parameters say: core fraction, flux, centroid."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from dhs.datasets.schema import BANDS
from dhs.stats import bins, metrics
from dhs.stats.crossfit import equivalence
from dhs.stats.metrics import Clusters
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_BIN = 20
NOISE_SIGMAS = 5.0


def _strata(data, known: np.ndarray) -> list[tuple[str, dict, np.ndarray]]:
    theta, edges = data.of_images("theta_e_arcsec").astype(float), data.profile.preflight.theta_e_edges
    out = [("all", {"label": "all"}, known)]
    for low, high, inside in bins.members(theta, edges):
        label = f"theta_E {low:g}-{high:g}"
        out.append((label, {"label": label, "lo": low, "hi": high}, known & inside))
    return out


def _tolerance(data) -> float:
    """Of one arc: exact where the stored PSF width is the whole PSF, the mean's margin where it stands for an image."""
    config = data.profile.preflight
    return config.sample_tolerance if data.exact else config.core_fraction_margin


@gate(
    "arc_core_fraction",
    number=9,
    remedy="The added light is not where, or not as much as, the stored lens parameters put it: check the PSF kernel's "
    "centre, the alignment of arc and control, the flux unit of the source image, and theta_E as stored.",
)
def arc_core_fraction(data) -> Gate:
    """Core fraction and flux of (stamp - control), per arc and per theta_E bin, against the arc rendered again."""
    data.need_images(MIN_BIN)
    config, images = data.profile.preflight, data.images
    stored, expected, error = images["core_added"], images["core_again"], images["core_error"]
    known = np.isfinite(stored) & np.isfinite(expected) & np.isfinite(error)
    if known.sum() < MIN_BIN:
        raise Skip(f"only {known.sum()} arcs have light to measure.")
    again = images["rerendered"] & known
    off = stored - expected
    missed, flux_ratio = _missed(data, off, error), images["total_added"][:, 1] / images["total_again"][:, 1]
    tests, bins, undecided = {}, [], []
    for name, entry, members in _strata(data, known):
        entry["n"] = int(members.sum())
        bins.append(entry)
        if members.sum() < MIN_BIN:
            entry["reason"] = f"{members.sum()} arcs, {MIN_BIN} are needed"
            continue
        clusters, mean = Clusters(data.hosts[members], data.sources[members]), off[members].mean()
        influence = (off[members] - mean) / members.sum()
        test = equivalence(mean, influence, clusters, config.core_fraction_margin, bounds=(-np.inf, np.inf))
        delta = test["delta"]
        tests[f"mean, {name}"] = test["p"]
        undecided += [name] if name == "all" and test["status"] != "pass" else []
        entry |= {"stored": stored[members].mean(), "expected": expected[members].mean(), **delta.as_dict()}
        rendered = members & again
        if rendered.sum() >= MIN_BIN:
            k, n = int(missed[rendered].sum()), int(rendered.sum())
            tests[f"each arc, {name}"] = float(binom.sf(k - 1, n, config.mismatch_allowed))
            entry |= {"missed": metrics.proportion(k, n), "flux_ratio": float(np.median(flux_ratio[rendered]))}
    overall = bins[0]
    text = (
        f"Of the added r-band light {overall['stored']:.3f} lies in the core; rendered again from the stored "
        f"parameters {overall['expected']:.3f} ({data.expectation}; margin of the mean "
        f"{config.core_fraction_margin:g})."
    )
    if again.sum() >= MIN_BIN:
        share = overall["missed"]
        text += (
            f" Of {int(again.sum())} arcs one by one, {share.value:.3f} miss core fraction or flux by more than "
            f"{_tolerance(data):g} and {NOISE_SIGMAS:g} sigma of their shot noise; median flux ratio "
            f"{overall['flux_ratio']:.3f}."
        )
    unsure = bool(undecided) or again.sum() < MIN_BIN
    if again.sum() < MIN_BIN:
        text += f" No arc by arc test: {data.no_sources or 'too few rows have a source that could be opened'}."
    ids = data.of_images("pair_id")
    details = {
        "bins": bins,
        "tests": tests,
        "expectation": data.expectation,
        "missed_pair_ids": ids[again & missed][:20].tolist(),
        "tolerance": _tolerance(data),
    }
    fields = {k: overall[k] for k in ("value", "ci_low", "ci_high", "n", "n_hosts", "n_sources")}
    return verdict("warn" if unsure else "pass", text, threshold=config.core_fraction_margin, details=details, **fields)


def _missed(data, off: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Whether an arc misses its core fraction or its flux by more than the tolerance and its own shot noise."""
    images, tolerance = data.images, _tolerance(data)
    gains = data.per_band("gain")
    added, again = images["total_added"], images["total_again"]
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(added / again - 1)
        noise = np.sqrt(np.clip(images["arc_total"], 0, None) / gains) / np.abs(again)
    flux = (~(relative <= tolerance + NOISE_SIGMAS * noise)).any(axis=1)
    return (np.abs(off) > tolerance + NOISE_SIGMAS * error) | flux


@gate(
    "closure",
    number=12,
    remedy="Flux or centroid is lost between source and stamp: check surface brightness against flux per pixel, the "
    "kernel's sum and centre, and that arc_flux belongs to the arc stored beside it.",
)
def closure(data) -> Gate:
    """Image-plane flux is source flux x magnification; the PSF moves no centroid."""
    data.need_images(MIN_BIN)
    config, images = data.profile.preflight, data.images
    columns = np.stack([data.of_images(f"arc_flux_{b}").astype(float) for b in BANDS], axis=1)
    magnification = data.of_images("magnification").astype(float) / images["magnification_again"]
    with np.errstate(invalid="ignore", divide="ignore"):
        checks = _closure_checks(images, columns, magnification)
    shift = np.hypot(*(images["centroid_arc"] - images["centroid_again"]).T)
    table, faults, skipped = [], [], []
    for name, ratio in checks.items():
        known = np.isfinite(ratio).all(axis=1)
        if known.sum() < MIN_BIN:
            skipped.append(name)
            continue
        median = np.median(ratio[known], axis=0)
        worst = float(median[np.abs(median - 1).argmax()])
        table.append({"what": name, "n": int(known.sum()), "median": median, "limit": config.closure})
        if abs(worst - 1) > config.closure:
            faults.append(f"median {name} is {worst:.4g}")
    rendered = images["rerendered"] & np.isfinite(shift)
    limit = config.centroid_px if data.exact else 5 * config.centroid_px
    if rendered.sum() >= MIN_BIN:
        middle = float(np.median(shift[rendered]))
        table.append({"what": "centroid shift, px", "n": int(rendered.sum()), "median": [middle], "limit": limit})
        if middle > limit:
            faults.append(f"median centroid shift is {middle:.3g} px")
    else:
        skipped.append("centroid shift")
    if not table:
        raise Skip(f"no row has what closure needs ({data.no_sources or 'arc_flux, magnification'}).")
    worst = max(_departure(row) for row in table)
    text = "; ".join(f"median {r['what']} {', '.join(f'{x:.4g}' for x in r['median'])}" for r in table) + "."
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    text += f" Not measured: {', '.join(skipped)} ({data.no_sources or 'no values'})." if skipped else ""
    status = "fail" if faults else "warn" if skipped else "pass"
    return verdict(
        status,
        text,
        value=worst,
        threshold=1.0,
        n=data.n_images,
        n_hosts=len(set(data.hosts)),
        n_sources=len(set(data.sources)),
        details={"checks": table, "note": "value is the largest departure over its limit"},
    )


def _closure_checks(images: dict, columns: np.ndarray, magnification: np.ndarray) -> dict[str, np.ndarray]:
    """Ratios that are 1 where nothing is lost, (n, bands) each."""
    return {
        "arc over its stored flux": images["arc_total"] / columns,
        "arc over source flux x magnification": images["arc_total"] / images["flux_again"],
        "stored magnification over the lensed light": magnification[:, None],
    }


def _departure(row: dict) -> float:
    centre = 0.0 if row["what"].startswith("centroid") else 1.0
    return float(np.max(np.abs(np.asarray(row["median"]) - centre)) / row["limit"])
