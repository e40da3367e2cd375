"""The preflight gates on data, classes, splits and samples.

The other gates are in `normalisation`, `leakage`, `texture`, `arcs` and `conditions`. Limits are in the configuration,
and so in the plan that is registered before a data set is looked at; the plausible ranges of units stand here.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from dhs.datasets.schema import BANDS, SPLITS
from dhs.injection.noise import INFINITE_GAIN
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

SKY_SIGMA_RANGE = (1e-4, 0.1)  # nanomaggies a pixel; real DR10 coadds have 0.001 to 0.008
GAIN_RANGE = (1e3, 1e7)  # electrons a nanomaggy; one DECam exposure gives some 4e3, coadds 3e4 and more
PSF_RANGE = (0.5, 3.0)  # arcsec
SIGMA_RATIO_RANGE = (0.5, 2.0)  # sky noise measured on the control over the stored one
CLOSURE = 0.01  # arc flux and peak SNR, stored over measured
SHOWN = 20


@gate(
    "data_integrity",
    number=1,
    remedy="Delete the parts named and run `dhs inject --resume`; if values are implausible, check the units of the "
    "inputs (nanomaggies) and make the set again.",
)
def data_integrity(data) -> Gate:
    """Every part readable; every image finite, complete and in plausible units; counts and ids as promised."""
    faults = [f"{file}: unreadable ({reason})" for file, reason in data.unreadable]
    words = {
        "not_finite": "NaN or Inf",
        "zero_band": "an all-zero band",
        "missing": "an image or a needed scalar missing",
    }
    bad = 0
    for key, ids in data.bad_images.items():
        bad += len(ids)
        if ids:
            faults.append(f"{len(ids)} pairs have {words[key]} (pair_id {_some(ids)})")
    counts = {s: int((data.column("folder_split") == s).sum()) for s in SPLITS}
    for split, promised in data.pairs.manifest["counts"].items():
        if counts.get(split, 0) != promised:
            faults.append(f"{split} has {counts.get(split, 0)} readable rows, the manifest says {promised}")
    ids = data.column("pair_id")
    values, repeats = np.unique(ids, return_counts=True)
    if (repeats > 1).any():
        faults.append(f"{int((repeats > 1).sum())} pair ids occur more than once ({_some(values[repeats > 1])})")
    keys = data.column("rng_key")
    wrong = [i for i, key in zip(ids, keys) if key != f"{data.pairs.manifest['seed']}:{i}"]
    if wrong:
        faults.append(
            f"{len(wrong)} rng_keys are not seed:pair_id, so stamps cannot be made again (pair_id {_some(wrong)})"
        )
    if data.n == 0:
        faults.append("there is no readable pair")
    faults += [f"{file}: schema version {found}, the manifest says {wanted}" for file, found, wanted in data.versions]
    masked = float(np.mean(data.masked)) if data.masked else None
    if masked is not None and masked > data.profile.preflight.mask_fraction:
        limit = data.profile.preflight.mask_fraction
        faults.append(f"{masked:.3f} of the pixels have no inverse variance, at most {limit:g} is allowed")
    implausible = _units(data) if data.n_images else []
    status = "fail" if faults or implausible else "pass"
    text = (
        "; ".join(faults + implausible) + "."
        if status == "fail"
        else f"All {data.n} pairs are readable, finite and in plausible units; ids and counts are as promised."
    )
    details = {
        "unreadable": [{"file": f, "reason": r} for f, r in data.unreadable],
        "bad_images": {k: v[:SHOWN] for k, v in data.bad_images.items()},
        "counts": counts,
        "implausible": implausible,
        "masked_fraction": masked,
        "with_invvar": len(data.masked),
    }
    return verdict(
        status,
        text,
        value=len(data.unreadable) + bad,
        threshold=0,
        n=data.n,
        n_hosts=_distinct(data, "host_id"),
        n_sources=_distinct(data, "source_id"),
        details=details,
    )


def _units(data) -> list[str]:
    """Medians outside their plausible ranges.

    In a set of the earlier format the arc has its shot noise already: its gain stands for infinite, and its peak SNR
    is another pipeline's.
    """
    earlier = "earlier_format" in data.pairs.manifest
    peak_range = SIGMA_RATIO_RANGE if earlier else (1 - CLOSURE, 1 + CLOSURE)
    gain_range = (INFINITE_GAIN / 2, np.inf) if earlier else GAIN_RANGE
    checks = []
    for b, band in enumerate(BANDS):
        sigma = data.of_images(f"sky_sigma_{band}").astype(float)
        checks.append((f"sky noise in {band}, nanomaggies", np.median(sigma), SKY_SIGMA_RANGE))
        measured = data.images["sky_sigma_control"][:, b]
        checks.append((f"measured over stored sky noise in {band}", np.median(measured / sigma), SIGMA_RATIO_RANGE))
        checks.append((f"gain in {band}, electrons a nanomaggy", np.median(data.of_images(f"gain_{band}")), gain_range))
        fwhm = data.of_images(f"psf_fwhm_{band}_arcsec")
        checks.append((f"PSF FWHM in {band}, arcsec", np.median(fwhm), PSF_RANGE))
        with np.errstate(invalid="ignore", divide="ignore"):
            flux = data.images["arc_total"][:, b] / data.of_images(f"arc_flux_{band}")
        checks.append((f"arc flux over the stored one in {band}", np.median(flux), (1 - CLOSURE, 1 + CLOSURE)))
    peak = data.images["arc_peak_r"] / data.of_images("sky_sigma_r") / data.of_images("arc_snr_maxpix")
    checks.append(("arc peak over sky noise, over arc_snr_maxpix", np.median(peak), peak_range))
    return [
        f"median {what} is {value:.4g}, outside {low:g} to {high:g}"
        if np.isfinite(value)
        else f"the median {what} cannot be formed"
        for what, value, (low, high) in checks
        if not low <= value <= high
    ]


@gate(
    "class_balance",
    number=2,
    remedy="Raise injection.hard_negative_fraction, or lower train.hard_negative_ratio.",
)
def class_balance(data) -> Gate:
    """Positives to negatives, and whether there are hard negatives for every place the training gives them."""
    ratio = data.profile.train.hard_negative_ratio
    split, hard_split = (
        data.column("folder_split"),
        data.negatives["folder_split"].to_numpy(zero_copy_only=False),
    )
    kinds = data.negatives["kind"].to_numpy(zero_copy_only=False)
    table = {}
    for name in SPLITS:
        n, hard = int((split == name).sum()), int((hard_split == name).sum())
        found = {str(k): int(((hard_split == name) & (kinds == k)).sum()) for k in np.unique(kinds[hard_split == name])}
        table[name] = {"positives": n, "controls": n, "hard_negatives": hard, "kinds": found}
    n, hard = table["train"]["positives"], table["train"]["hard_negatives"]
    details = {"splits": table, "refused": data.pairs.manifest.get("negatives", {}).get("refused", {})}
    if n == 0:
        return verdict("fail", "The training split holds no pair, so no class.", threshold=ratio, n=0, details=details)
    metric = metrics.proportion(hard, n)
    bare = [s for s in SPLITS if table[s]["positives"] and not table[s]["hard_negatives"]]
    status = "fail" if hard < ratio * n else "warn" if ratio and bare else "pass"
    text = (
        f"Positives to controls are 1:1 by construction ({n} each in train); {hard} of {n} training pairs "
        f"({hard / n:.2f}) have a hard negative, the training asks for {ratio:g} of its negatives."
    )
    text += f" No hard negative in {', '.join(bare)}." if status == "warn" else ""
    return verdict(status, text, metric=metric, threshold=ratio, details=details)


@gate(
    "split_integrity",
    number=3,
    remedy="Make the set again with dhs inject; splits follow the brick's cell, sources the rank of their hash. Leave "
    "hosts within the guard band of another split out of the catalogue.",
)
def split_integrity(data) -> Gate:
    """No host, brick, cell or source in two splits, a guard band between them; every row assigned; fractions kept."""
    if data.n == 0:
        raise Skip("there is no readable pair.")
    split, folder = data.column("split"), data.column("folder_split")
    faults = []
    unassigned = int(sum(s not in SPLITS for s in split))
    if unassigned:
        faults.append(f"{unassigned} rows have no split")
    misplaced = int((split != folder).sum()) - unassigned
    if misplaced > 0:
        faults.append(f"{misplaced} rows lie in the folder of another split")
    shared = {}
    for name in ("host_id", "brickname", "healpix", "source_id"):
        values = data.column(name)
        missing = int(sum(v is None or v == "" or v != v for v in values))
        if missing:
            faults.append(f"{missing} rows have no {name}")
        seen: dict = {}
        for value, s in zip(values, split):
            seen.setdefault(value, set()).add(s)
        shared[name] = sorted(str(v) for v, s in seen.items() if len(s) > 1)
        if shared[name]:
            faults.append(f"{len(shared[name])} {name} in two splits ({_some(shared[name])})")
    guard = data.profile.preflight.guard_arcsec
    near = _within(data.column("ra"), data.column("dec"), split, guard)
    if len(near):
        ids = data.column("pair_id")[near]
        faults.append(f"{len(near)} rows lie within {guard:g} arcsec of a row of another split ({_some(ids)})")
    fractions = _fractions(data, split)
    off = [
        f"{s} holds {x['fraction']:.3f}, {x['configured']:g} +- {x['tolerance']:.3f} configured"
        for s, x in fractions.items()
        if abs(x["fraction"] - x["configured"]) > x["tolerance"]
    ]
    faults += off + [f"{s} is empty" for s, x in fractions.items() if x["n"] == 0 and x["configured"] > 0]
    n_shared = sum(map(len, shared.values()))
    cells = len(np.unique(data.column("healpix")))
    text = (
        "; ".join(faults) + "."
        if faults
        else (
            "No host, brick, cell or source is in two splits, none nearer than the guard band; fractions are as "
            "configured within three standard "
            f"deviations of drawing {cells} cells."
        )
    )
    return verdict(
        "fail" if faults else "pass",
        text,
        value=n_shared + unassigned + max(misplaced, 0) + len(near),
        threshold=0,
        n=data.n,
        n_hosts=_distinct(data, "host_id"),
        n_sources=_distinct(data, "source_id"),
        details={
            "shared": {k: v[:SHOWN] for k, v in shared.items()},
            "near": near[:SHOWN],
            "fractions": fractions,
            "cells": cells,
        },
    )


def _within(ra, dec, split, guard_arcsec: float) -> np.ndarray:
    """Rows closer to a row of another split than the guard band, so that two splits show the same pixels of sky."""
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    a, d = np.radians(ra[known]), np.radians(dec[known])
    points = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    names, reach = split[known], 2 * np.sin(np.radians(guard_arcsec / 3600) / 2)
    close: set = set()
    for name in SPLITS:
        mine, others = (np.flatnonzero(names == name), np.flatnonzero(names != name))
        if len(mine) and len(others):
            distance, _ = cKDTree(points[others]).query(points[mine], distance_upper_bound=reach)
            close.update(known[mine[np.isfinite(distance)]].tolist())
    return np.array(sorted(close), dtype=int)


def _fractions(data, split) -> dict:
    """Fraction per split and the tolerance that drawing whole cells, not rows, allows: three standard deviations."""
    _, sizes = np.unique(data.column("healpix").astype(float), return_counts=True)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    out = {}
    for name in SPLITS:
        p = getattr(data.profile.splits, name)
        n = int((split == name).sum())
        tolerance = 3 * np.sqrt(p * (1 - p) / effective)
        out[name] = {"n": n, "fraction": n / data.n, "configured": p, "tolerance": float(tolerance)}
    return out


@gate(
    "samples",
    number=4,
    blocking=False,
    remedy="Make more pairs; then look at the pictures.",
)
def samples(data) -> Gate:
    """Random pairs of each class and the extremes, by id, for the eye."""
    if data.n == 0:
        raise Skip("there is no readable pair.")
    n = data.profile.preflight.sample_n
    rng = keyed(data.profile.seed, Stream.SAMPLE)
    ids, hard = data.column("pair_id"), data.negatives["pair_id"].to_numpy()

    def draw(values):
        return np.sort(rng.choice(values, min(n, len(values)), replace=False)).tolist()

    chosen = {"positive": draw(ids), "control": draw(ids), "hard_negative": draw(hard)}
    extremes = {}
    for name in ("arc_snr_matched", "theta_e_arcsec", "magnification", "psf_fwhm_r_arcsec"):
        values = data.column(name).astype(float)
        order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
        extremes[name] = {"lowest": ids[order[:5]].tolist(), "highest": ids[order[::-1][:5]].tolist()}
    few = [f"{k} ({len(v)})" for k, v in chosen.items() if len(v) < n]
    text = f"{n} random pairs of each class and the extremes of four columns are listed for the pictures."
    if few:
        text = f"Fewer than {n} to show of: {', '.join(few)}."
    return verdict(
        "warn" if few else "pass",
        text,
        value=min(map(len, chosen.values())),
        threshold=n,
        n=data.n,
        details={"pair_ids": chosen, "extremes": extremes},
    )


def _some(values, n: int = 5) -> str:
    shown = ", ".join(str(v) for v in list(values)[:n])
    return shown + (", ..." if len(values) > n else "")


def _distinct(data, name: str) -> int:
    return len(set(data.column(name).tolist()))
