"""Noise, gain and PSF from the pixels, against the values stored beside them."""

from __future__ import annotations

import numpy as np

from dhs.datasets.schema import BANDS
from dhs.injection.noise import INFINITE_GAIN
from dhs.random import Stream, keyed
from dhs.survey.facts import sky_flux_per_pixel
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 20
SKY_RANGE = (0.8, 1.25)  # measured over stored sky noise, median
SKY_BRIGHTNESS_RANGE = (0.36, 2.2)  # of gain x sky variance over the dark sky; resampled noise has down to 0.55
SHOT_LEAST = 0.4  # gain that the scatter in bright pixels shows, over the stored one
MIN_BRIGHT = 3000  # pixels a band from which that is measured
STAR_RANGE = (0.92, 1.12)  # width of the sharpest sources over that of a star of the stored PSF
MIN_STARS = 15
SHARPEST = 0.05


@gate(
    "noise_gain_psf",
    number=19,
    remedy="Take sky noise, gain and PSF of each host from its own pixels or its own maps: check units, the gain's "
    "band and exposure time, and whether the stored PSF is the coadd's.",
)
def noise_gain_psf(data) -> Gate:
    """Sky noise, photon noise and the width of stars as the controls' pixels have them."""
    data.need_images(MIN_PAIRS)
    sigma, gain = data.per_band("sky_sigma"), data.per_band("gain")
    faults, table, left = [], [], []
    for what, part in (("sky noise", _sky(data, sigma)), ("sky brightness", _brightness(sigma, gain))):
        low, high = SKY_RANGE if what == "sky noise" else SKY_BRIGHTNESS_RANGE
        if part is None:
            left.append(f"{what} (the gain stands for infinite)")
            continue
        for band, value in zip(BANDS, part):
            table.append({"what": what, "band": band, "ratio": value, "lo": low, "hi": high, "n": data.n_images})
            if not low <= value <= high:
                faults.append(f"{what} in {band} is {value:.2f} of what is stored")
    shot = _shot(data, sigma, gain)
    for band, entry in zip(BANDS, shot):
        if entry is None:
            left.append(f"gain in {band} from photon noise (fewer than {MIN_BRIGHT} bright pixels)")
            continue
        value, high = entry
        table.append({"what": "gain by photon noise", "band": band, "ratio": value, "lo": SHOT_LEAST, "ci_high": high})
        if high < SHOT_LEAST:
            faults.append(f"bright pixels in {band} scatter as at {value:.2f} times the stored gain")
    stars = data.images["star_ratios"].ravel()
    stars = stars[np.isfinite(stars)]
    if len(stars) < MIN_STARS:
        left.append(f"PSF (only {len(stars)} compact sources, {MIN_STARS} are needed)")
    else:
        sharpest, spread = _quantile(stars, data.profile.seed)
        low, high = STAR_RANGE
        table.append(
            {"what": "sharpest sources", "band": "r", "ratio": sharpest, "lo": low, "hi": high, "n": len(stars)}
        )
        if sharpest + 2.6 * spread < low or sharpest - 2.6 * spread > high:
            faults.append(f"the sharpest sources are {sharpest:.2f} times as wide as the stored PSF")
    worst = max(table, key=_departure, default=None)
    if worst is None:
        raise Skip("; ".join(left))
    text = "; ".join(f"{r['what']} {r['band']} {r['ratio']:.2f}" for r in table) + " (measured over stored)."
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    text += f" Not measured: {'; '.join(left)}." if left else ""
    text += " A photon noise below the stored gain's is not held against a set: resampling hides it."
    return verdict(
        "fail" if faults else "pass",
        text,
        value=worst["ratio"],
        threshold=worst["lo"] if worst["ratio"] < 1 else worst.get("hi", worst["lo"]),
        n=data.n_images,
        n_hosts=len(set(data.hosts)),
        details={"table": table, "not_measured": left, "stars": len(stars)},
    )


def _departure(row: dict) -> float:
    low, high = np.log(row["lo"]), np.log(row.get("hi", 1e3))
    value = np.log(max(row["ratio"], 1e-3))
    return float(value / low if value < 0 else value / high)


def _sky(data, sigma: np.ndarray) -> np.ndarray:
    return np.median(data.images["sky_sigma_control"] / sigma, axis=0)


def _brightness(sigma: np.ndarray, gain: np.ndarray) -> np.ndarray | None:
    if np.median(gain) >= INFINITE_GAIN / 2:
        return None
    return np.median(gain * sigma**2, axis=0) / sky_flux_per_pixel()


def _shot(data, sigma: np.ndarray, gain: np.ndarray) -> list[tuple[float, float] | None]:
    """Gain by the scatter of bright pixels over the stored one, and its 99 % upper bound over hosts, per band."""
    lag1 = np.nan_to_num(data.of_images("lag1").astype(float))
    resampled = (1 + 2 * lag1) ** 2
    excess, light, count = np.moveaxis(data.images["bright_scatter"], 2, 0)
    out: list[tuple[float, float] | None] = []
    for b in range(3):
        expected = light[:, b] / (gain[:, b] * sigma[:, b] ** 2 * resampled)
        if count[:, b].sum() < MIN_BRIGHT or not expected.sum() > 0:
            out.append(None)
            continue
        rng = keyed(data.profile.seed, Stream.BOOTSTRAP, 16 + b)
        _, host = np.unique(data.hosts, return_inverse=True)
        sums = np.stack([np.bincount(host, v) for v in (expected, excess[:, b])])
        draws = sums[:, rng.integers(0, sums.shape[1], (200, sums.shape[1]))].sum(axis=2)
        observed = max(float(excess[:, b].sum()), 1e-9)
        out.append((float(expected.sum() / observed), float(np.quantile(draws[0] / np.maximum(draws[1], 1e-9), 0.99))))
    return out


def _quantile(values: np.ndarray, seed: int) -> tuple[float, float]:
    """The `SHARPEST` quantile (at least the third lowest value) and its bootstrap spread."""
    level = max(SHARPEST, 2.5 / len(values))
    rng = keyed(seed, Stream.BOOTSTRAP, 15)
    draws = np.quantile(values[rng.integers(0, len(values), (200, len(values)))], level, axis=1)
    return float(np.quantile(values, level)), float(draws.std())
