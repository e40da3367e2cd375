"""Whether classes differ in what no lens decides: seeing, depth, place in the sky; and whether the arcs look like arcs.

On pairs, positives and controls share every condition by construction. Hard negatives, survey negatives and the
draws that were accepted need not.
"""

from __future__ import annotations

import numpy as np

from dhs.datasets import survey_negatives
from dhs.datasets.schema import BANDS
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.stats.crossfit import against_chance
from dhs.survey.facts import mag_from_flux
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_CLASS = 40
MAX_DRAWN = 6000  # pairs whose rejected draws are counted
GROUND_FOUND = {
    "total g magnitude": (19.0, 24.5),
    "g - r": (-0.3, 1.3),
    "r - z": (-0.5, 1.5),
    "matched SNR": (10.0, 1000.0),
}
"""Where arcs found from the ground lie. RingFinder (Gavazzi et al. 2014, ApJ 785, 144) is most complete for lensed
images brighter than g = 22.5; fainter than about 24.5 a shallower survey shows none. Lensed sources are star-forming
galaxies, so the colours are those of galaxies of redshift 0.6 to 3 from starburst to Sbc, with room for scatter. The
windows are wide: they catch a wrong unit or a lens galaxy's colour given to arcs, not a small bias."""


def condition_features(psf_fwhm, sky_sigma, ra, dec) -> np.ndarray:
    """(n, 18) seeing and depth (logarithms), position (unit vector), and their squares about the mean."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    place = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    x = np.concatenate([np.log(psf_fwhm), np.log(sky_sigma), np.nan_to_num(place)], axis=1)
    return np.concatenate([x, (x - x.mean(axis=0)) ** 2], axis=1)


def _survey(data) -> tuple | None:
    n = data.profile.preflight.n_survey
    if n < MIN_CLASS:
        return None
    maker = survey_negatives.Maker(data.pairs.path, data.profile.evaluate.survey_negatives)
    n = maker.shares(n, 0)[0]
    if n < MIN_CLASS:
        return None
    found = survey_negatives.looked_at(maker, data.profile.seed, n)
    columns = [np.asarray(found[name], dtype=float) for name in ("psf_fwhm", "sky_sigma", "ra", "dec")]
    return *columns, np.array(found["host_id"], dtype=object)


def _comparisons(data) -> dict[str, tuple | str]:
    """Name of each comparison to (features, labels, hosts), or to the reason it cannot be made."""
    psf, sky = data.per_band_all("psf_fwhm", "_arcsec"), data.per_band_all("sky_sigma")
    ra, dec, hosts = (data.column(c) for c in ("ra", "dec", "host_id"))
    known = np.isfinite(psf).all(axis=1) & np.isfinite(sky).all(axis=1) & (psf > 0).all(axis=1) & (sky > 0).all(axis=1)
    out: dict[str, tuple | str] = {}
    features = condition_features(psf[known], sky[known], ra[known], dec[known])
    ids = data.column("pair_id")[known]
    kinds = data.negatives["kind"].to_numpy(zero_copy_only=False)
    for kind in sorted({str(k) for k in kinds}):
        owners = data.negatives["pair_id"].to_numpy()[kinds == kind]
        out[f"pairs with {kind} against those without"] = (features, np.isin(ids, owners), hosts[known])
    rng = keyed(data.profile.seed, Stream.SAMPLE, 1)
    survey = _survey(data)
    if survey is None:
        out["positives against survey negatives"] = (
            f"fewer than {MIN_CLASS} of them (preflight.n_survey, or the folder)"
        )
    else:
        some = np.sort(rng.permutation(np.flatnonzero(known))[: 4 * len(survey[-1])])
        both = [np.concatenate([x[some], y]) for x, y in zip((psf, sky, ra, dec, hosts), survey)]
        labels = np.repeat([True, False], [len(some), len(survey[-1])])
        out["positives against survey negatives"] = (condition_features(*both[:4]), labels, both[4])
    out["pairs drawn once against those drawn again"] = _accepted(data, known, features, hosts)
    out["extinction"] = "no E(B-V) is stored in a row; the survey's cutouts are not dereddened for any class"
    return out


def _accepted(data, known: np.ndarray, features: np.ndarray, hosts: np.ndarray) -> tuple | str:
    """Accepted draws whose pair had none rejected before, against those that had."""
    rows = np.flatnonzero(known)[:MAX_DRAWN]
    count = data.column("n_rejected")[rows].astype(float)
    if not np.isfinite(count).any():
        return "the draws rejected before a pair are not stored in this set"
    keep = np.isfinite(count)
    return features[: len(rows)][keep], count[keep] == 0, hosts[rows][keep]


@gate(
    "observing_conditions",
    number=10,
    blocking=False,
    remedy="Draw the classes from the same bricks and seeing, or match them; look at which condition differs.",
)
def observing_conditions(data) -> Gate:
    """Seeing, depth, position: alike between positives and negatives, and between accepted and rejected draws."""
    if data.n < MIN_CLASS:
        raise Skip(f"{data.n} pairs, {MIN_CLASS} are needed.")
    config, table, tests, unsure = data.profile.preflight, [], {}, []
    for name, entry in _comparisons(data).items():
        if isinstance(entry, str):
            table.append({"what": name, "reason": entry})
            continue
        features, labels, hosts = entry
        n = int(min(labels.sum(), (~labels).sum()))
        few = min(len(set(hosts[labels])), len(set(hosts[~labels]))) if n else 0
        if n < MIN_CLASS or few < metrics.MIN_CLUSTERS:
            reason = f"the smaller class has {n} pairs on {few} hosts; {MIN_CLASS} on {metrics.MIN_CLUSTERS} are needed"
            table.append({"what": name, "reason": reason})
            continue
        found = against_chance(
            features, labels, hosts.astype(str), margin=config.condition_margin, config=config, seed=data.profile.seed
        )
        tests[name] = found["p"]
        table.append({"what": name, "auc": found["metric"], "status": found["status"], "n_needed": found["n_needed"]})
        unsure += [name] if found["status"] != "pass" else []
    measured = [row for row in table if "auc" in row]
    if not measured:
        raise Skip("; ".join(f"{row['what']}: {row['reason']}" for row in table))
    worst = max(measured, key=lambda row: row["auc"].value)["auc"]
    text = "AUC of seeing, depth and position: " + "; ".join(f"{r['what']} {r['auc'].value:.3f}" for r in measured)
    text += f" (0.5 + {config.condition_margin:g} is allowed)."
    text += f" Inconclusive: {'; '.join(unsure)}." if unsure else ""
    left = [f"{r['what']} ({r['reason']})" for r in table if "reason" in r]
    text += f" Not measured: {'; '.join(left)}." if left else ""
    details = {"comparisons": table, "tests": tests, "margin": config.condition_margin}
    return verdict(
        "warn" if unsure else "pass", text, metric=worst, threshold=0.5 + config.condition_margin, details=details
    )


@gate(
    "arc_photometry",
    number=11,
    blocking=False,
    remedy="Compare source fluxes, SEDs and the drawn SNR range with published arcs; arcs as red as their hosts have "
    "been given the lens galaxy's colour.",
)
def arc_photometry(data) -> Gate:
    """Magnitude, colour and SNR of the arcs as of lenses found from the ground, and arcs bluer than their hosts."""
    data.need_images(metrics.MIN_CLUSTERS)
    config, seed = data.profile.preflight, data.profile.seed
    g, r, z = mag_from_flux(data.images["arc_total"]).T
    host_g, host_r, _ = mag_from_flux(data.images["control_total"]).T
    snr = data.of_images("arc_snr_matched").astype(float)
    options = {"n_bootstrap": config.n_bootstrap, "seed": seed}
    values = dict(zip(GROUND_FOUND, (g, g - r, r - z, snr)))
    table, inside = [], np.ones(data.n_images, bool)
    for name, (low, high) in GROUND_FOUND.items():
        within = (values[name] >= low) & (values[name] <= high)
        inside &= within
        quantiles = np.nanquantile(values[name], (0.05, 0.5, 0.95)) if np.isfinite(values[name]).any() else [None] * 3
        share = metrics.mean(within, data.hosts, data.sources, bounds=(0, 1), **options)
        table.append({"what": name, "lo": low, "hi": high, "quantiles": quantiles, "inside": share})
    overall = metrics.mean(inside, data.hosts, data.sources, bounds=(0, 1), **options)
    both = np.isfinite(g - r) & np.isfinite(host_g - host_r)
    bluer = metrics.mean(((host_g - host_r) - (g - r))[both], data.hosts[both], data.sources[both], **options)
    red = bluer.ci_high is not None and bluer.ci_high < 0
    few = overall.ci_high is not None and overall.ci_high < config.detectable_fraction
    unsure = not few and (overall.ci_low is None or overall.ci_low < config.detectable_fraction)
    medians = ", ".join(f"{r['what']} {r['quantiles'][1]:.2f}" for r in table if r["quantiles"][1] is not None)
    text = (
        f"{overall.value:.2f} of the arcs lie within the windows of ground-found lenses in magnitude, colour and SNR "
        f"(at least {config.detectable_fraction:g} is asked). Medians: {medians}."
    )
    if bluer.value is not None:
        text += f" On average arcs are {bluer.value:+.2f} mag bluer in g - r than their hosts."
    text += " They are redder." if red else ""
    status = "fail" if few or red else "warn" if unsure else "pass"
    details = {
        "windows": table,
        "bluer_than_host": bluer,
        "reference": "Gavazzi et al. 2014, ApJ 785, 144",
        "bands": BANDS,
    }
    return verdict(status, text, metric=overall, threshold=config.detectable_fraction, details=details)
