"""Choosing hosts from a Tractor or sweep catalogue: the LRG cuts of DESI, quality, lenses and duplicates removed.

The cuts are those of DESI's main LRG sample (Zhou et al. 2023, AJ 165, 58, section 2; desitarget ``isLRG``), on
magnitudes corrected for Galactic extinction, with their own coefficients for the south (DECam) and the north
(BASS/MzLS). Beyond DESI's, point sources go, and everything in or near a bright star's mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import ks_1samp

from dhs.errors import DhsError
from dhs.survey.facts import mag_from_flux
from dhs.survey.hosts.cutouts import masks
from dhs.survey.lenses.catalogues import Catalogue, unit_vectors
from dhs.survey.mock.deflectors import deflectors

NORTH_RELEASES = (7000, 8001, 9011)  # BASS/MzLS; every other release is DECam
DUPLICATE_ARCSEC = 1.0
_FLUXES = tuple(f"{name}_{b}" for name in ("flux", "flux_ivar", "mw_transmission") for b in ("g", "r", "z", "w1"))
LRG_COLUMNS = ("type", "maskbits", "fiberflux_z", "fibertotflux_z", *_FLUXES)
NOBS = ("nobs_g", "nobs_r", "nobs_z")
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class LrgCuts:
    """Coefficients of the LRG cuts in one photometric system; AB magnitudes.

    Attributes
    ----------
    z_fiber : float
        Faint limit in the z-band fibre magnitude.
    g_w1, r_w1 : float
        Low-redshift cut: g - W1 above the one or r - W1 above the other.
    w1_zero, w1_slope : float
        Luminosity cut r - W1 > slope (W1 - zero).
    w1_zero_low : float
        The same at low redshift, slope 1.
    r_w1_high : float
        High-redshift extension: r - W1 above it passes both luminosity cuts.
    """

    z_fiber: float
    g_w1: float
    r_w1: float
    w1_zero: float
    w1_slope: float
    w1_zero_low: float
    r_w1_high: float


SOUTH = LrgCuts(21.60, 2.90, 1.80, 17.14, 1.80, 16.33, 3.30)
NORTH = LrgCuts(21.61, 2.97, 1.80, 17.13, 1.83, 16.31, 3.40)


def lrg_colours(g, r, z, w1, z_fiber, cuts: LrgCuts) -> np.ndarray:
    """(n,) bool: DESI's colour and magnitude cuts, on extinction-corrected AB magnitudes."""
    luminous = (r - w1 > (w1 - cuts.w1_zero) * cuts.w1_slope) & (r - w1 > w1 - cuts.w1_zero_low)
    return (
        (z - w1 > 0.8 * (r - z) - 0.6)
        & (z_fiber < cuts.z_fiber)
        & ((g - w1 > cuts.g_w1) | (r - w1 > cuts.r_w1))
        & (luminous | (r - w1 > cuts.r_w1_high))
    )


def magnitudes(targets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Extinction-corrected AB magnitudes g, r, z, w1, z_fiber, z_fibertot; NaN where a flux is not positive."""
    corrected = {b: targets[f"flux_{b}"] / targets[f"mw_transmission_{b}"] for b in ("g", "r", "z", "w1")}
    corrected["z_fiber"] = targets["fiberflux_z"] / targets["mw_transmission_z"]
    corrected["z_fibertot"] = targets["fibertotflux_z"] / targets["mw_transmission_z"]
    return {name: mag_from_flux(flux) for name, flux in corrected.items()}


def select_lrgs(targets: dict[str, np.ndarray], where: str) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Rows that are luminous red galaxies fit to be hosts.

    Parameters
    ----------
    targets : dict of ndarray, (n,)
        Lower-case columns of a Tractor or sweep catalogue; `LRG_COLUMNS` and `NOBS` must be there. ``brick_primary``,
        ``release`` and ``gaia_phot_g_mean_mag`` are used where they are.
    where : str
        File, for messages.

    Returns
    -------
    keep : ndarray, (n,) bool
    steps : list of (str, int)
        Each cut in turn, and the rows it removed of those still there.

    Raises
    ------
    DhsError
        A column is missing.
    """
    missing = [name for name in (*LRG_COLUMNS, *NOBS) if name not in targets]
    if missing:
        raise DhsError(
            f"{where}: the LRG cuts need columns {missing[:6]}. Give a Tractor or sweep catalogue, or a table of hosts "
            "already chosen with --host-select none."
        )
    n = len(targets["ra"])
    magnitude = magnitudes(targets)
    north = np.isin(targets["release"], NORTH_RELEASES) if "release" in targets else np.zeros(n, bool)
    colours = [magnitude[name] for name in ("g", "r", "z", "w1", "z_fiber")]
    with np.errstate(invalid="ignore"):
        lrg = np.where(north, lrg_colours(*colours, NORTH), lrg_colours(*colours, SOUTH))
        star = magnitude["z_fibertot"] <= 17.5
    if "gaia_phot_g_mean_mag" in targets:
        gaia = targets["gaia_phot_g_mean_mag"]
        star |= (gaia > 0) & (gaia <= 18)
    good_flux = np.logical_and.reduce(
        [(targets[f"flux_{b}"] > 0) & (targets[f"flux_ivar_{b}"] > 0) for b in ("r", "z", "w1")]
    )
    cuts = {
        "not_primary": (targets["brick_primary"] == 1) if "brick_primary" in targets else np.ones(n, bool),
        "no_flux": good_flux & (targets["fiberflux_z"] > 0),
        "not_observed_in_grz": np.logical_and.reduce([targets[name] > 0 for name in NOBS]),
        "masked": ~masks.bits_set(np.where(np.isfinite(targets["maskbits"]), targets["maskbits"], masks.SPOILT)),
        "point_source": ~np.isin(np.char.strip(targets["type"].astype(str)), ("PSF", "DUP")),
        "bright_star": ~star,
        "not_lrg": lrg,
    }
    keep, steps = np.ones(n, bool), []
    for name, passed in cuts.items():
        steps.append((name, int((keep & ~passed).sum())))
        keep &= passed
    return keep, steps


def duplicates(ra, dec, radius_arcsec: float = DUPLICATE_ARCSEC) -> dict[int, int]:
    """{index: index of the earlier position within the radius that stays}; unknown positions (NaN) are near none."""
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) < len(ra):
        found = duplicates(np.asarray(ra)[known], np.asarray(dec)[known], radius_arcsec)
        return {int(known[second]): int(known[first]) for second, first in found.items()}
    if len(ra) < 2:
        return {}
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    dropped: dict[int, int] = {}
    for first, second in sorted(cKDTree(unit_vectors(ra, dec)).query_pairs(chord)):
        if first not in dropped:
            dropped.setdefault(second, first)
    return dict(sorted(dropped.items()))


def near_lenses(ra, dec, lenses: Catalogue | None, radius_arcsec: float) -> dict[int, float]:
    """{index: arcsec to the nearest known lens or candidate}, of positions within the radius of one."""
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) < len(ra):
        found = near_lenses(np.asarray(ra)[known], np.asarray(dec)[known], lenses, radius_arcsec)
        return {int(known[i]): separation for i, separation in found.items()}
    if lenses is None or len(ra) == 0:
        return {}
    index, separation = lenses.match(ra, dec, radius_arcsec)
    return {int(i): float(separation[i]) for i in np.flatnonzero(index >= 0)}


def population(targets: dict[str, np.ndarray]) -> dict:
    """Magnitudes and colours of the selected rows beside those of real deflectors.

    Returns
    -------
    dict
        ``n``; for mag_r, g_r, r_z (extinction-corrected) and z_phot where known: percentiles of the hosts and of the
        deflector sample (`dhs.survey.mock.deflectors`), and the Kolmogorov-Smirnov distance between the two.
    """
    magnitude = magnitudes(targets)
    values = {"mag_r": magnitude["r"], "g_r": magnitude["g"] - magnitude["r"], "r_z": magnitude["r"] - magnitude["z"]}
    if "z_phot" in targets:
        values["z_phot"] = targets["z_phot"]
    summary = deflectors().summary
    compared = {"n": len(targets["ra"]), "percentiles": list(PERCENTILES), "deflectors": summary["n"]}
    for name, column in values.items():
        column = column[np.isfinite(column)]
        if not len(column):
            continue
        p, quantiles = np.array(summary["probabilities"]), np.array(summary["quantiles"][name])
        distance = ks_1samp(column, lambda x, q=quantiles, p=p: np.interp(x, q, p, left=0.0, right=1.0)).statistic
        compared[name] = {
            "hosts": np.round(np.percentile(column, PERCENTILES), 4).tolist(),
            "deflectors": np.round(np.interp(np.array(PERCENTILES) / 100, p, quantiles), 4).tolist(),
            "ks_distance": round(float(distance), 4),
        }
    return compared
