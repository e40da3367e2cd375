"""What each prior draws, beside what lenses are: hosts against Einstein radii, arcs against counts, images, colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import spearmanr

from dhs.config import InjectionConfig, Profile, load_profile
from dhs.datasets.fresh import FreshPairs
from dhs.datasets.schema import SPLITS
from dhs.injection.velocity_dispersion import SIGMA_RANGE, faber_jackson
from dhs.random import Stream, keyed
from dhs.survey.cosmology import absolute_mag_r
from dhs.survey.facts import mag_from_flux
from dhs.survey.mock.negatives import blue_companion

PRIORS = ("response_grid", "joint", "population")
COLUMNS = ("theta_e_arcsec", "z_lens", "z_source", "sigma_v_kms", "lens_mag_r", "population_weight", "flux_scale")
COLUMNS += ("arc_flux_g", "arc_flux_r", "arc_flux_z", "arc_snr_maxpix", "arc_snr_matched", "magnification", "n_images")
BRIGHT_ARC = 21.0  # r
SNR_FLOOR = 3.0  # arc_snr_maxpix
THETA_E_EDGES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


def draw(prior: str, n_pairs: int, profile: str | Profile = "demo", **changes) -> dict[str, np.ndarray]:
    """`COLUMNS` of pairs drawn under one prior, all splits; hosts and sources are those of the profile."""
    profile = load_profile(profile, hosts__n_mock=n_pairs, injection__hard_negative_fraction=0.0, **changes)
    fresh = FreshPairs(profile, injection__prior=prior, injection__n_pairs=n_pairs)
    tables = [fresh.table(split, columns=list(COLUMNS)) for split in SPLITS]
    return {c: np.concatenate([np.asarray(t[c], dtype=float) for t in tables]) for c in COLUMNS}


def summary(columns: Mapping[str, np.ndarray]) -> dict[str, float | list | int]:
    """Numbers a referee asks for; fractions are of the pairs.

    Parameters
    ----------
    columns : mapping of str to ndarray, (n,)
        `COLUMNS`.
    """
    theta, sigma = columns["theta_e_arcsec"], columns["sigma_v_kms"]
    absolute = absolute_mag_r(columns["lens_mag_r"], columns["z_lens"])
    over = sigma / faber_jackson(absolute)
    g, r, z = (mag_from_flux(columns[f"arc_flux_{band}"]) for band in "grz")
    source = r + 2.5 * np.log10(columns["magnification"])
    known = np.isfinite(theta + absolute)
    return {
        "n": len(theta),
        "spearman_theta_e_luminosity": float(spearmanr(theta[known], -absolute[known]).statistic),
        "theta_e_median": float(np.median(theta)),
        "theta_e_shares": (np.histogram(theta, THETA_E_EDGES)[0] / len(theta)).tolist(),
        "sigma_v_median": float(np.nanmedian(sigma)),
        "sigma_v_above_limit": float(np.mean(sigma > SIGMA_RANGE[1] * (1 + 1e-6))),
        "sigma_v_over_faber_jackson_median": float(np.nanmedian(over)),
        "sigma_v_off_by_half": float(np.mean(np.abs(np.log(over)) > np.log(1.5))),
        "close_redshifts": float(np.mean(columns["z_source"] - columns["z_lens"] < 0.1)),
        "arc_r_median": float(np.nanmedian(r)),
        "arcs_brighter_than_21": float(np.mean(r < BRIGHT_ARC)),
        "arcs_brighter_than_host": float(np.mean(r < columns["lens_mag_r"])),
        "source_r_quantiles": np.nanquantile(source, (0.05, 0.5, 0.95)).tolist(),
        "flux_scale_quantiles": np.nanquantile(columns["flux_scale"], (0.05, 0.5, 0.95)).tolist(),
        "snr_maxpix_quantiles": np.nanquantile(columns["arc_snr_maxpix"], (0.05, 0.5, 0.95)).tolist(),
        "snr_maxpix_above_floor": float(np.mean(columns["arc_snr_maxpix"] >= SNR_FLOOR)),
        "magnification_median": float(np.median(columns["magnification"])),
        "quads": float(np.mean(columns["n_images"] >= 4)),
        "arc_g_r_median": float(np.nanmedian(g - r)),
        "arc_r_z_median": float(np.nanmedian(r - z)),
        "z_lens_median": float(np.nanmedian(columns["z_lens"])),
        "z_source_median": float(np.nanmedian(columns["z_source"])),
    }


HISTOGRAMS = {
    "theta_e_arcsec": np.linspace(0.5, 3.0, 21),
    "sigma_v_kms": np.linspace(100.0, 800.0, 29),
    "arc_r": np.linspace(18.0, 26.0, 33),
    "source_r": np.linspace(20.0, 28.0, 33),
    "magnification": np.geomspace(2.0, 60.0, 21),
}


def histograms(columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, list]]:
    """``edges`` and ``share`` of the pairs in each bin, of the quantities in `HISTOGRAMS`."""
    arc = mag_from_flux(columns["arc_flux_r"])
    values = dict(columns) | {"arc_r": arc, "source_r": arc + 2.5 * np.log10(columns["magnification"])}
    return {
        name: {"edges": edges.tolist(), "share": (np.histogram(values[name], edges)[0] / len(arc)).tolist()}
        for name, edges in HISTOGRAMS.items()
    }


def above_floor(columns: Mapping[str, np.ndarray], config: InjectionConfig) -> dict[str, float]:
    """Fraction of a host's lenses whose arc reaches `SNR_FLOOR`, sources counted over ``source_mag_r``.

    Each drawn lens has every magnitude of the counts 10^(``counts_slope`` m): of it the part that is bright enough.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Of pairs drawn under the population.
    config : InjectionConfig
    """
    bright, faint = config.source_mag_r
    source = mag_from_flux(columns["arc_flux_r"] / columns["magnification"])
    reach = source + 2.5 * np.log10(columns["arc_snr_maxpix"] / SNR_FLOOR)

    def counts(m):
        return 10.0 ** (config.counts_slope * np.asarray(m))

    share = (counts(np.clip(reach, bright, faint)) - counts(bright)) / (counts(faint) - counts(bright))
    return {"fraction": float(share.mean()), "mag_limit_r": faint, "snr_floor": SNR_FLOOR, "n": len(share)}


def magnification_bias(columns: Mapping[str, np.ndarray], counts_slope: float) -> dict[str, float]:
    """Quads and median magnification of arcs selected by their flux: the population's, weighted with mu^(2.5 slope).

    What the joint prior's place of the source, drawn for a point behind an isothermal sphere, is to be held against.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Of pairs drawn under the population.
    counts_slope : float
        d log10 N / dm.
    """
    mu = columns["magnification"]
    weights = mu ** (2.5 * counts_slope)
    order = np.argsort(mu)
    middle = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
    quads = np.average(columns["n_images"] >= 4, weights=weights)
    return {"quads": float(quads), "magnification_median": float(mu[order][middle])}


def _colours(g_r: np.ndarray, r_z: np.ndarray) -> dict[str, list]:
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {"g_r": np.nanquantile(g_r, quantiles).tolist(), "r_z": np.nanquantile(r_z, quantiles).tolist()}


def arc_colours(columns: Mapping[str, np.ndarray]) -> dict[str, list]:
    """5, 25, 50, 75 and 95 % of g - r and r - z of arcs."""
    g, r, z = (mag_from_flux(columns[f"arc_flux_{band}"]) for band in "grz")
    return _colours(g - r, r - z)


def companion_colours(columns: Mapping[str, np.ndarray], seed: int) -> dict[str, list]:
    """Those of the blue companions of mock survey negatives, about galaxies of the same redshifts."""
    rng = keyed(seed, Stream.STUDY, 4)
    z_lens = columns["z_lens"][np.isfinite(columns["z_lens"])]
    g, r, z = mag_from_flux([blue_companion(rng, 22.0, float(z)) for z in z_lens]).T
    return _colours(g - r, r - z)
