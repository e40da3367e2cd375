"""What is stored of a host, against its own pixels: where its mass lies, its noise, gain and PSF."""

from __future__ import annotations

import numpy as np

from dhs.datasets.schema import BANDS
from dhs.injection.noise import INFINITE_GAIN
from dhs.random import Stream, keyed
from dhs.stats import metrics
from dhs.survey.facts import PIXEL_SCALE, gain_from_sky_noise
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 20
MEAN_LIMIT = 0.06  # arcsec, of the mean offset along either axis
MEDIAN_LIMIT = 0.13  # arcsec, half a pixel; mass follows light to 0.05 arcsec (Bolton et al. 2008, ApJ 682, 964)
FAR_ARCSEC, FAR_SHARE = 0.3, 0.12
ELONGATED = 0.03  # measured ellipticity from which the light has a direction
ALIGNED = 0.25  # least mean cos 2 (mass - light); SLACS: within 10 degrees (Koopmans et al. 2006, ApJ 649, 599)
SKY_RANGE = (0.8, 1.25)  # measured over stored sky noise, median
SKY_BRIGHTNESS_RANGE = (0.36, 2.2)  # of gain x sky variance over the dark sky; resampled noise has down to 0.55
SHOT_LEAST = 0.4  # gain that the scatter in bright pixels shows, over the stored one
MIN_BRIGHT = 3000  # pixels a band from which that is measured
STAR_RANGE = (0.92, 1.12)  # width of the sharpest sources over that of a star of the stored PSF
MIN_STARS = 15
SHARPEST = 0.05


@gate(
    "mass_and_light",
    number=18,
    remedy="Put the lens on the galaxy: centre and axis of the mass come from the catalogue's position and the host's "
    "own light, with neighbours masked; check signs, axes and the pixel that counts as the centre.",
)
def mass_and_light(data) -> Gate:
    """Offset of the stored lens centre from the host's light, and angle between their axes."""
    data.need_images(MIN_PAIRS)
    light = data.images["host_light"]
    known = np.isfinite(light[:, :2]).all(axis=1)
    if known.sum() < MIN_PAIRS:
        raise Skip(f"{known.sum()} hosts have a galaxy at the stamp's centre, {MIN_PAIRS} are needed.")
    lens = np.stack([data.of_images(f"lens_{axis}_arcsec").astype(float) for axis in "xy"], axis=1)
    offset = (lens - light[:, :2] * PIXEL_SCALE)[known]
    apart, hosts = np.hypot(*offset.T), data.hosts[known]
    options = {"n_bootstrap": data.profile.preflight.n_bootstrap, "seed": data.profile.seed}
    mean = [metrics.mean(offset[:, i], hosts, **options) for i in (0, 1)]
    far = metrics.mean(apart > FAR_ARCSEC, hosts, bounds=(0, 1), **options)
    median = float(np.median(apart))
    faults = [
        f"on average {m.value:+.3f} arcsec off in {axis}" for m, axis in zip(mean, "xy") if _beyond(m, MEAN_LIMIT)
    ]
    if median > MEDIAN_LIMIT:
        faults.append(f"half of the masses lie more than {median:.2f} arcsec off their galaxy")
    if far.ci_low is not None and far.ci_low > FAR_SHARE:
        faults.append(f"{far.value:.2f} lie more than {FAR_ARCSEC:g} arcsec off")
    aligned = _aligned(data, light, known, options)
    if aligned is not None and aligned.ci_high is not None and aligned.ci_high < ALIGNED:
        faults.append(f"mean cos 2 (mass - light) is {aligned.value:.2f}")
    text = (
        f"The mass lies {median:.3f} arcsec (median) off the host's light, on average ({mean[0].value:+.3f}, "
        f"{mean[1].value:+.3f}) arcsec; {far.value:.3f} beyond {FAR_ARCSEC:g} arcsec."
    )
    if aligned is None:
        text += " Axes were not compared: too few hosts are elongated."
    else:
        text += f" Mean cos 2 (mass - light) of {aligned.n} elongated hosts {aligned.value:.2f}, at least {ALIGNED:g}."
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    details = {
        "mean_offset": mean,
        "median": median,
        "far": far,
        "aligned": aligned,
        "hosts_without": int((~known).sum()),
    }
    ids = data.of_images("pair_id")[known]
    details["farthest_pair_ids"] = ids[np.argsort(-apart, kind="stable")[:20]].tolist()
    return verdict(
        "fail" if faults else "pass",
        text,
        metric=metrics.mean(apart, hosts, **options),
        threshold=MEDIAN_LIMIT,
        details=details,
    )


def _beyond(metric, limit: float) -> bool:
    return metric.ci_low is not None and (metric.ci_low > limit or metric.ci_high < -limit)


def _aligned(data, light: np.ndarray, known: np.ndarray, options: dict):
    q, phi = data.of_images("q").astype(float), data.of_images("phi_rad").astype(float)
    e = np.hypot(light[:, 2], light[:, 3])
    members = known & (e > ELONGATED) & (q < 0.95)
    if members.sum() < MIN_PAIRS:
        return None
    cosine = (light[:, 2] * np.cos(2 * phi) + light[:, 3] * np.sin(2 * phi)) / np.maximum(e, 1e-9)
    return metrics.mean(cosine[members], data.hosts[members], bounds=(-1, 1), **options)


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
    return np.median(gain / gain_from_sky_noise(sigma), axis=0)


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
