"""What was drawn, against what was registered, and against lenses as they are found.

Three questions. Do Einstein radii and brightness lie in the ranges that the plan registered, and fill them? Are they
distributed as the configuration that the plan registered draws them? And would a reader believe these lenses: mass
against the light of its galaxy, radii, the unlensed source's magnitude, arcs against hosts?
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom, ks_2samp, kstest

from dhs.injection.priors import CROSS_SECTION, Deflector, NoLens
from dhs.injection.velocity_dispersion import faber_jackson, sigma_v_of
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.survey.cosmology import absolute_mag_r
from dhs.survey.facts import flux_from_mag, mag_from_flux
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 60
OUTSIDE = 0.02  # pairs outside the registered range
CELLS, LEAST_SHARE = 3, {"response_grid": 0.03}  # a grid is even; a prior of lenses thins out to its ends
LEAST_OF_LENSES = 0.01  # thirds of the range, and what each must hold
SURE = 0.01
DISTANCE = {"arc_snr_maxpix": 0.25, "theta_E": 0.3}  # Kolmogorov's; what was not accepted makes 0.05 and 0.17 of it
MOST_DRAWN, SOURCES_DRAWN = 3000, 64  # hosts drawn again, and redshifts each may choose from


def _range_faults(name: str, values: np.ndarray, bounds: tuple[float, float], least: float) -> tuple[dict, list[str]]:
    """Values outside registered bounds, and thirds of the range that are next to empty."""
    low, high = bounds
    n = len(values)
    slack = 0.02 * (high - low)
    outside = int(((values < low - slack) | (values > high + slack)).sum())
    edges = np.linspace(low, high, CELLS + 1)
    held = np.histogram(values, edges)[0]
    entry = {"what": name, "lo": low, "hi": high, "n": n, "outside": outside, "thirds": held.tolist()}
    faults = []
    if outside and binom.sf(outside - 1, n, OUTSIDE) < SURE:
        faults.append(f"{outside / n:.3f} of {name} outside the registered {low:g} to {high:g}")
    empty = [i for i, k in enumerate(held) if binom.cdf(k, n, least) < SURE]
    if empty:
        thirds = "; ".join(f"{edges[i]:.2g} to {edges[i + 1]:.2g} holds {held[i]}" for i in empty)
        faults.append(f"{name} does not fill its registered range ({thirds} of {n})")
    return entry, faults


def snr_quantiles(data) -> np.ndarray:
    """Where each arc's SNR lies in what the registered prior draws for its lens and source; even in 0 to 1 if it did.

    The range is the registered one, and under the joint prior that of sources within ``source_mag_r``; the density per
    unit log SNR falls as SNR^-``snr_slope`` there, and is even on a grid (`dhs.injection.priors.brightness`).
    """
    plan = data.profile.injection
    snr, flux = (data.column(name).astype(float) for name in ("arc_snr_maxpix", "arc_flux_r"))
    low, high = (np.full(len(snr), v) for v in plan.arc_snr_maxpix)
    slope = 0.0
    if plan.prior == "joint":
        slope = plan.snr_slope
        of_one = snr / np.maximum(flux / data.column("magnification").astype(float), 1e-30)
        bright, faint = (of_one * float(flux_from_mag(m)) for m in plan.source_mag_r)
        low, high = np.maximum(low, faint), np.minimum(high, bright)
    with np.errstate(invalid="ignore", divide="ignore"):
        if slope == 0:
            out = np.log(snr / low) / np.log(high / low)
        else:
            out = (low**-slope - snr**-slope) / (low**-slope - high**-slope)
    return np.clip(out[np.isfinite(out) & (high > low)], -1, 2)


def drawn_again(data) -> np.ndarray | None:
    """Einstein radii that the registered prior of lenses draws for the hosts and source redshifts of the set.

    None on a grid, and where a host's magnitude or redshift is not stored.
    """
    plan = data.profile.injection
    mag, z_lens, z_source = (data.column(name).astype(float) for name in ("lens_mag_r", "z_lens", "z_source"))
    known = np.isfinite(mag) & (z_lens > 0)
    behind = z_source[np.isfinite(z_source)]
    if plan.prior == "response_grid" or known.mean() < 0.5 or not len(behind):
        return None
    rng = keyed(data.profile.seed, Stream.MEASURED, epoch=2)
    power = plan.sigma_power if plan.prior == "joint" else CROSS_SECTION
    rows, out = rng.permutation(np.flatnonzero(known))[:MOST_DRAWN], []
    for row in rows:
        some = rng.choice(behind, SOURCES_DRAWN)
        try:
            deflector = Deflector.of(mag[row], z_lens[row], some, plan.theta_e_arcsec)
            source, sigma = deflector.draw(rng, power)
        except NoLens:
            continue
        out.append(deflector.arcsec[source] * sigma**2)
    return np.array(out)


def _distances(data, theta: np.ndarray) -> tuple[list[dict], list[str]]:
    """Two-sided distances between what is there and what the registered prior draws."""
    table, faults = [], []
    parts = {}
    if "earlier_format" not in data.pairs.manifest and data.profile.injection.prior != "population":
        u = snr_quantiles(data)
        parts["arc_snr_maxpix"] = (kstest(u, "uniform").statistic, 1 / len(u)) if len(u) >= MIN_PAIRS else None
    again = drawn_again(data)
    if again is not None and min(len(again), len(theta)) >= MIN_PAIRS:
        parts["theta_E"] = (ks_2samp(theta, again).statistic, 1 / len(theta) + 1 / len(again))
    for name, part in parts.items():
        if part is None:
            continue
        distance, spread = float(part[0]), float(1.63 * np.sqrt(part[1]))  # 1.63: 99 % of Kolmogorov's distribution
        table.append({"what": name, "distance": distance, "limit": DISTANCE[name], "chance": spread})
        if distance > DISTANCE[name] + spread:
            faults.append(f"{name} is {distance:.2f} (Kolmogorov's distance) from the registered prior's")
    return table, faults


@gate(
    "priors_as_registered",
    number=20,
    remedy="Make the set with the profile that the plan registers, or register the profile that it was made with.",
)
def priors_as_registered(data) -> Gate:
    """Einstein radii and arcs' brightness within the registered ranges, both ways, and filling them."""
    if data.n < MIN_PAIRS:
        raise Skip(f"{data.n} pairs, {MIN_PAIRS} are needed.")
    plan, manifest = data.profile.injection, data.pairs.manifest.get("config", {}).get("injection", {})
    theta = data.column("theta_e_arcsec").astype(float)
    table, faults = [], []
    parts = [("theta_E", theta[np.isfinite(theta)], plan.theta_e_arcsec)]
    if plan.prior != "population" and "earlier_format" not in data.pairs.manifest:
        snr = data.column("arc_snr_maxpix").astype(float)
        parts.append(("log10 of arc_snr_maxpix", np.log10(snr[snr > 0]), tuple(np.log10(plan.arc_snr_maxpix))))
    for part in parts:
        entry, found = _range_faults(*part, LEAST_SHARE.get(plan.prior, LEAST_OF_LENSES))
        table.append(entry)
        faults += found
    distances, found = _distances(data, theta[np.isfinite(theta)])
    faults += found
    other = sorted(k for k, v in plan.model_dump(mode="json").items() if k in PRIOR_KEYS and manifest.get(k, v) != v)
    text = "; ".join(f"{e['what']}: {e['outside']} of {e['n']} outside {e['lo']:.3g} to {e['hi']:.3g}" for e in table)
    text += f". The set was made with another {', '.join(other)} than the plan registers." if other else "."
    if distances:
        text += " Distance from the registered prior: "
        text += (
            "; ".join(f"{d['what']} {d['distance']:.2f} (at most {d['limit']:g} and chance)" for d in distances) + "."
        )
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    worst = max(e["outside"] / max(e["n"], 1) for e in table)
    details = {"ranges": table, "distances": distances, "configured_otherwise": other}
    status = "fail" if faults else "pass"
    return verdict(status, text, value=worst, threshold=OUTSIDE, n=data.n, details=details)


PRIOR_KEYS = (
    "prior",
    "theta_e_arcsec",
    "arc_snr_maxpix",
    "sigma_power",
    "counts_slope",
    "source_mag_r",
    "snr_slope",
    "beta_max",
    "min_magnification",
    "ellipticity_scatter",
    "shear_sigma",
)


NATURE = {
    # what: (least and greatest median, what else must hold, reference)
    "theta_E, arcsec": (0.7, 2.3, "Bolton et al. 2008, ApJ 682, 964; Sonnenfeld et al. 2013, ApJ 777, 97: 0.7 to 2"),
    "sigma_v over Faber-Jackson": (0.75, 1.35, "Bernardi et al. 2003, AJ 125, 1849: scatter 0.07 dex"),
    "r of the unlensed source": (22.3, 26.0, "Newton et al. 2011, ApJ 734, 104: sources of SLACS, 23 to 25"),
    "r of the arc": (20.6, 23.8, "Gavazzi et al. 2014, ApJ 785, 144: arcs found from the ground"),
    "r of the arc less r of the host": (0.7, 5.0, "arcs are fainter than their lenses"),
    "size of the unlensed source, arcsec": (0.08, 0.6, "Newton et al. 2011: 0.2 arcsec"),
    "g - r of the arc": (-0.1, 0.9, "galaxies of redshift 0.6 to 3"),
    "r - z of the arc": (-0.3, 1.1, "galaxies of redshift 0.6 to 3"),
}
SIGMA_LIMIT, ABOVE_LIMIT = 400.0, 0.05  # km/s: the function is not measured beyond; share of lenses there
OUTSHINE = 0.08  # arcs brighter than their host
BRIGHT_SOURCE, BRIGHT_SHARE = 21.5, 0.05  # unlensed sources: counts at redshifts above 0.6
NATURE_COVERED = (0.9, 1.6)  # arcsec, within which half of the published lenses lie
COVERED_SHARE = 0.15


def _nature_values(data) -> dict[str, np.ndarray]:
    images = data.images
    arc = mag_from_flux(images["arc_total"])
    magnification = np.maximum(data.of_images("magnification").astype(float), 1e-3)
    z_lens, galaxy = data.of_images("z_lens").astype(float), mag_from_flux(images["galaxy_flux_r"])
    typical = faber_jackson(absolute_mag_r(galaxy, np.where(z_lens > 0, z_lens, np.nan)))
    return {
        "theta_E, arcsec": data.of_images("theta_e_arcsec").astype(float),
        "sigma_v over Faber-Jackson": sigma_v(data) / typical,
        "r of the unlensed source": arc[:, 1] + 2.5 * np.log10(magnification),
        "r of the arc": arc[:, 1],
        "r of the arc less r of the host": arc[:, 1] - galaxy,
        "size of the unlensed source, arcsec": data.of_images("src_r50_arcsec").astype(float),
        "g - r of the arc": arc[:, 0] - arc[:, 1],
        "r - z of the arc": arc[:, 1] - arc[:, 2],
    }


def sigma_v(data) -> np.ndarray:
    """km/s that each lens needs at its redshifts; NaN where one is unknown, infinite for sources in front."""
    names = ("theta_e_arcsec", "z_lens", "z_source")
    return sigma_v_of(*(data.of_images(name).astype(float) for name in names))


@gate(
    "priors_against_nature",
    number=21,
    blocking=False,
    remedy="Draw theta_E from the host's luminosity and the redshifts, and sources within number counts "
    "(injection.prior: joint); keep a response grid for studies of the response.",
)
def priors_against_nature(data) -> Gate:
    """Lenses against published ones.

    It does not block: a network may be trained on lenses that nature does not make, its completeness may not be quoted
    for those it does. On a response grid, which is meant to be even, a departure is a warning.
    """
    data.need_images(MIN_PAIRS)
    table, faults = [], []
    options = {"n_bootstrap": min(data.profile.preflight.n_bootstrap, 200), "seed": data.profile.seed}
    values = _nature_values(data)
    for name, (low, high, reference) in NATURE.items():
        known = values[name][np.isfinite(values[name])]
        entry = {"what": name, "lo": low, "hi": high, "reference": reference, "n": len(known)}
        table.append(entry)
        if len(known) < MIN_PAIRS:
            entry["reason"] = "not stored"
            continue
        entry["quantiles"] = np.quantile(known, (0.05, 0.5, 0.95))
        if not low <= entry["quantiles"][1] <= high:
            faults.append(f"median {name} is {entry['quantiles'][1]:.2f} ({low:g} to {high:g})")
    theta, hosts = values["theta_E, arcsec"], data.hosts
    needed = sigma_v(data)
    shares = {
        f"need sigma_v above {SIGMA_LIMIT:g} km/s": (needed > SIGMA_LIMIT, np.isfinite(needed), ABOVE_LIMIT),
        "outshine their host in r": (values["r of the arc less r of the host"] < 0, None, OUTSHINE),
        f"have a source brighter than r = {BRIGHT_SOURCE:g}": (
            values["r of the unlensed source"] < BRIGHT_SOURCE,
            None,
            BRIGHT_SHARE,
        ),
    }
    for name, (which, known, limit) in shares.items():
        known = np.ones(len(which), bool) if known is None else known
        if known.sum() < MIN_PAIRS:
            continue
        share = metrics.mean(which[known], hosts[known], bounds=(0, 1), **options)
        table.append({"what": name, "limit": limit, **share.as_dict()})
        if share.ci_low is not None and share.ci_low > limit:
            faults.append(f"{share.value:.2f} {name}, {limit:g} is allowed")
    low, high = NATURE_COVERED
    covered = metrics.mean((theta >= low) & (theta <= high), hosts, bounds=(0, 1), **options)
    if covered.ci_high is not None and covered.ci_high < COVERED_SHARE:
        faults.append(f"{covered.value:.2f} of theta_E lie within {low:g} to {high:g} arcsec, where half of lenses do")
    prior = data.pairs.manifest.get("config", {}).get("injection", {}).get("prior", "unknown")
    measured = [e for e in table if "quantiles" in e]
    text = f"Prior {prior}; medians: " + "; ".join(f"{e['what']} {e['quantiles'][1]:.2f}" for e in measured) + "."
    text += f" Not as in nature: {'; '.join(faults)}." if faults else " Within the published ranges."
    details = {"table": table, "covered": covered, "prior": prior}
    status = "pass" if not faults else "warn" if str(prior).startswith("response") else "fail"
    return verdict(status, text, value=len(faults), threshold=0, n=data.n_images, details=details)
