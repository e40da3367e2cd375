"""What is left of a positive once its control and its arc, rendered again, are taken off: over the whole frame.

The leakage and arc gates look at sums over the core, over rings, over the arc. A fault that is neutral in all of them,
a watermark in a corner, a seam, noise of another kind, is one number a pixel away: in units of the sky noise the mean
of ``stamp - control - rendered arc`` over all pairs must be 0, and its mean square the arc's own shot noise, in each of
the 3 x 64 x 64 pixels.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammainc, gammaincc
from scipy.stats import norm

from dhs.datasets.schema import BANDS
from dhs.stats.pixels import radius_map
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 20
OUTSKIRTS_PX, HARD_BIAS = 30.0, 0.02  # where hard negatives are dark, and the wings they may have, sky sigmas
FLOOR = 2e-3  # sky sigmas: rounding of stored arcs and of float32, at random from pair to pair
BIAS = 1e-3  # sky sigmas of the mean: light below a step of the stored arc is lost in every pair alike
LIMITS = {"mean": 7.0, "mean square": 12.0}  # |z|: room for the tails of sums that a few photons dominate
SUMS = ("first", "second", "light", "light2", "variance", "variance2", "third", "fourth")
LEAST_P = 1e-300


def sums(added: np.ndarray, expected: np.ndarray, sigma: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """One pair's part in the sums over pairs.

    Parameters
    ----------
    added, expected : ndarray, (3, y, x)
        Stamp less control, and the arc rendered again, nanomaggies.
    sigma, gain : ndarray, (3,)
        Sky noise, nanomaggies, and electrons a nanomaggy.

    Returns
    -------
    ndarray, (8, 3, y, x)
        In sky sigmas and their powers: the residual and its square, the light and its square, the light's shot noise
        (variance), its square, and the Poisson deviate's third and fourth cumulants.
    """
    sigma, gain = sigma[:, None, None], gain[:, None, None]
    left, light = (added - expected) / sigma, np.abs(expected) / sigma
    variance = light / (gain * sigma)
    quantum = 1 / (gain * sigma)  # one electron, in sky sigmas
    terms = [left, left**2, light, light**2, variance, variance**2, variance * quantum, variance * quantum**2]
    return np.stack(terms)


def compare(total: np.ndarray, n: int, tolerance: float) -> dict[str, np.ndarray]:
    """z of the mean and of the mean square in every pixel, (3, y, x) each, beyond what rounding and rendering allow.

    Parameters
    ----------
    total : ndarray, (8, 3, y, x)
        `sums` of all pairs.
    n : int
        Pairs.
    tolerance : float
        Relative accuracy of an arc rendered again.
    """
    s = dict(zip(SUMS, total.astype(float)))
    slack = n * FLOOR**2 + tolerance**2 * s["light2"]
    room = n * BIAS + tolerance * s["light"]
    variance = s["variance"] + slack
    mean = _tail(np.sign(s["first"]) * np.maximum(np.abs(s["first"]) - room, 0), variance, s["third"])
    spread = 2 * s["variance2"] + s["fourth"] + 2 * slack**2 / n
    off = s["second"] - s["variance"]
    # a sum of squares is a gamma variate of this mean and variance: its skewness is 2 spread^1/2 / mean
    square = _tail(np.sign(off) * np.maximum(np.abs(off) - slack, 0), spread, 2 * spread**2 / (s["variance"] + slack))
    return {"mean": mean, "mean square": square}


def _tail(value: np.ndarray, variance: np.ndarray, third: np.ndarray) -> np.ndarray:
    """|z| of a normal deviate as rare as ``value``: Pearson III of mean 0 with this variance and third cumulant.

    Few photons, or one bright arc among the pairs, make sums skew; a normal tail would call that a fault.
    """
    shape = 4 * variance**3 / np.maximum(third, 1e-60) ** 2
    x = shape + value * np.sqrt(shape / variance)
    p = np.where(value >= 0, gammaincc(shape, np.maximum(x, 0)), gammainc(shape, np.maximum(x, 0)))
    plain = norm.sf(np.abs(value) / np.sqrt(variance))
    return np.where(value == 0, 0.0, norm.isf(np.maximum(np.where(shape > 1e6, plain, p), LEAST_P)))


def _hard_frame(data, faults: list[str]) -> list[dict]:
    """Mean light of hard negatives in the outskirts, where neither arc nor companion reaches; faults are added."""
    n = len(data.hard.get("pair", ()))
    if data.hard_frame is None or n < MIN_PAIRS:
        return []
    mean, square = data.hard_frame / n
    error = np.sqrt(np.maximum(square - mean**2, 0) / n) + FLOOR
    z = np.where(radius_map() > OUTSKIRTS_PX, np.maximum(np.abs(mean) - HARD_BIAS, 0) / error, 0)
    table = []
    for band, of_band, amount in zip(BANDS, z, mean):
        y, x = np.unravel_index(of_band.argmax(), of_band.shape)
        entry = {"what": "light of hard negatives", "band": band, "z": of_band[y, x], "x": x, "y": y}
        entry |= {"amount": amount[y, x], "limit": LIMITS["mean"], "pixels": int((of_band > LIMITS["mean"]).sum())}
        table.append(entry)
        if entry["pixels"]:
            faults.append(f"hard negatives in {band} at (x {x}, y {y}): {amount[y, x]:+.3g} in sky noise")
    return table


@gate(
    "residual_image",
    number=13,
    remedy="Look at the mean of stamp - control - arc at the pixel named: a watermark, a seam, an offset or noise of "
    "another kind was put into the positives and not into their controls.",
)
def residual_image(data) -> Gate:
    """Mean and mean square of stamp - control - arc rendered again, in every pixel of the frame, corners included."""
    total, n = data.residual
    if n < MIN_PAIRS:
        raise Skip(f"{n} arcs could be rendered again, {MIN_PAIRS} are needed ({data.no_sources or 'too few pairs'}).")
    config = data.profile.preflight
    z = compare(total, n, config.sample_tolerance if data.exact else config.core_fraction_margin)
    table, faults = [], []
    for name, values in z.items():
        for band, of_band in zip(BANDS, values):
            y, x = np.unravel_index(of_band.argmax(), of_band.shape)
            amount = {"mean": total[0], "mean square": total[1] - total[4]}[name][BANDS.index(band), y, x] / n
            entry = {"what": name, "band": band, "z": of_band[y, x], "x": x, "y": y, "amount": amount}
            entry |= {"limit": LIMITS[name], "pixels": int((of_band > LIMITS[name]).sum())}
            table.append(entry)
            if entry["pixels"]:
                faults.append(f"{name} in {band} at (x {x}, y {y}): {amount:+.3g} in sky noise, z {of_band[y, x]:.1f}")
    table += _hard_frame(data, faults)
    worst = max(table, key=lambda e: e["z"] / e["limit"])
    text = (
        f"Over {n} pairs the greatest departure of stamp - control - rendered arc in {z['mean'].size} pixels is "
        f"z = {worst['z']:.1f} ({worst['what']}, {worst['band']}, pixel x {worst['x']}, y {worst['y']}); "
        f"{worst['limit']:g} is the limit for the whole frame."
    )
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    return verdict(
        "fail" if faults else "pass",
        text,
        value=worst["z"],
        threshold=worst["limit"],
        n=n,
        n_hosts=len(set(data.hosts)),
        details={"worst": table, "floor_sigmas": FLOOR, "bias_sigmas": BIAS},
    )
