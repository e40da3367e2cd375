"""Whether hard negatives give themselves away by noise texture, by signal-to-noise ratio, or by being rings.

Light that has passed the PSF has next to no power near the Nyquist frequency; noise has. So texture is measured
where light cannot be: after a high-pass filter that a PSF-limited image does not survive, an honest arc, companion or
spiral looks like its own noise, while an image whose pixels were shuffled does not.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from dhs.datasets.schema import BANDS
from dhs.injection.hard_negatives.base import kind_of
from dhs.stats import metrics
from dhs.stats.crossfit import against_chance
from dhs.stats.pixels import radius_map
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

PATCH = 48  # pixels; the arcs' zone and a rim for the window
HIGH_PASS = 0.35  # cycles a pixel; a PSF of 1.2 arcsec passes a thousandth there
BANDS_OF_POWER = ((0.25, 0.35), (0.35, 0.45), (0.45, 0.71))
ZONE_PX = (4.0, 16.0)
MIN_HARD = 20
RING_CONTRAST = 0.4  # azimuthal rms over mean below which light is a ring
NAMES = tuple(f"{n}_{b}" for b in BANDS for n in ("rms", "power_ratio_low", "power_ratio_high", "lag1", "kurtosis"))


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Window, high-pass mask, zone of the patch, and members of the bands of power."""
    edge = (radius_map().shape[0] - PATCH) // 2
    radius = radius_map()[edge:-edge, edge:-edge]
    hann = np.hanning(PATCH + 2)[1:-1]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(PATCH), np.fft.fftfreq(PATCH)))
    bands = [(frequency >= low) & (frequency < high) for low, high in BANDS_OF_POWER]
    zone = (radius >= ZONE_PX[0]) & (radius < ZONE_PX[1])
    return np.outer(hann, hann), frequency >= HIGH_PASS, zone, bands


def texture_features(image: np.ndarray, sky_sigma: np.ndarray) -> np.ndarray:
    """High-pass statistics of a stamp where arcs lie.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    sky_sigma : ndarray, (3,)

    Returns
    -------
    ndarray, (15,)
        Per band (`NAMES`): log rms of the high-passed patch in sky sigmas; log ratios of the power in the middle and
        in the highest band to that in the lowest; lag-1 correlation; excess kurtosis, asinh.
    """
    window, high, zone, bands = _tables()
    edge = (image.shape[-1] - PATCH) // 2
    patch = image[:, edge:-edge, edge:-edge] / np.asarray(sky_sigma)[:, None, None]
    spectrum = np.fft.fft2(patch * window)
    passed = np.fft.ifft2(spectrum * high).real
    out = []
    for power, smooth in zip(np.abs(spectrum) ** 2, passed):
        low, middle, top = (power[b].mean() for b in bands)
        values, right = smooth[zone], np.roll(smooth, -1, axis=1)[zone]
        down, variance = np.roll(smooth, -1, axis=0)[zone], max(values.var(), 1e-30)
        lag1 = ((values * right).mean() + (values * down).mean()) / (2 * variance)
        tiny = 1e-30
        out += [0.5 * np.log(variance), np.log((middle + tiny) / (low + tiny)), np.log((top + tiny) / (low + tiny))]
        kurtosis = ((values - values.mean()) ** 4).mean() / variance**2 - 3
        out += [lag1, np.arcsinh(kurtosis)]
    return np.array(out)


def overlap_coefficient(first: np.ndarray, second: np.ndarray) -> float:
    """Shared area of two samples' histograms over the deciles of both; 1 where they are alike, 0 where apart."""
    edges = np.quantile(np.concatenate([first, second]), np.linspace(0, 1, 11))
    a, b = (np.histogram(x, np.unique(edges))[0] / max(len(x), 1) for x in (first, second))
    return float(np.minimum(a, b).sum())


@gate(
    "hard_negative_texture",
    blocking=False,
    number=8,
    remedy="Make hard negatives from light before the PSF and the noise, in blocks of at least one PSF FWHM, rescaled "
    "to the positive's SNR; drop those that became rings.",
)
def hard_negative_texture(data) -> Gate:
    """Hard negatives of every kind must not be told from positives by noise texture or SNR, nor be arcs gone round."""
    config, n = data.profile.preflight, len(data.hard.get("pair", ()))
    if n < MIN_HARD:
        raise Skip(f"{n} hard negatives have usable images, {MIN_HARD} are needed.")
    kinds, faults, unsure, table, tests = np.asarray(data.hard["kind"]), [], [], [], {}
    for kind in np.unique(kinds):
        members = kinds == kind
        entry: dict = {"kind": str(kind), "n": int(members.sum())}
        table.append(entry)
        if members.sum() < MIN_HARD:
            unsure.append(f"{kind}: only {members.sum()}, {MIN_HARD} are needed")
            continue
        owner = data.hard["pair"][members]
        ratio, flux = data.hard["snr_ratio"][members], data.hard["flux_ratio"][members]
        entry["snr_ratio_median"] = float(np.nanmedian(ratio)) if np.isfinite(ratio).any() else None
        entry["flux_ratio_median"] = float(np.nanmedian(flux)) if np.isfinite(flux).any() else None
        arc_flux = data.images["arc_total"][owner, 1]
        entry["flux_overlap"] = overlap_coefficient(arc_flux, arc_flux * flux)
        if entry["snr_ratio_median"] is None:
            faults.append(f"{kind}: no SNR is stored")
        elif abs(entry["snr_ratio_median"] - 1) > config.snr_margin:
            faults.append(f"{kind}: median SNR over the positive's {entry['snr_ratio_median']:.3g}")
        known = kind_of(kind)
        if known is not None and known.of_arc_light:  # it must not be a ring
            rings = metrics.proportion(int((data.hard["contrast"][members] < RING_CONTRAST).sum()), int(members.sum()))
            entry["rings"] = rings
            if rings.ci_low > config.ring_fraction:
                faults.append(f"{kind}: {rings.value:.2f} are rings")
        features = np.concatenate([data.hard["texture"][members], data.images["texture_positive"][owner]])
        labels, hosts = np.repeat([True, False], members.sum()), np.tile(data.hosts[owner], 2)
        if len(set(hosts)) < metrics.MIN_CLUSTERS:
            unsure.append(f"{kind}: {len(set(hosts))} hosts")
            continue
        found = against_chance(
            features, labels, hosts, margin=config.texture_margin, config=config, seed=data.profile.seed
        )
        entry |= {"texture": found["metric"], "n_needed": found["n_needed"]}
        tests[f"texture of {kind}"] = found["p"]
        if found["status"] != "pass":
            unsure.append(f"texture of {kind}")
    measured = [e for e in table if "texture" in e]
    worst = max((e["texture"] for e in measured), key=lambda m: m.value, default=None)
    text = "; ".join(
        f"{e['kind']}: texture AUC {e['texture'].value:.3f}, SNR over the positive's {e['snr_ratio_median'] or 0:.3f}"
        for e in measured
    )
    text = f"{text} (0.5 +- {config.texture_margin:g} and 1 +- {config.snr_margin:g} are allowed)." if text else ""
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    text += f" Inconclusive: {'; '.join(unsure)}." if unsure else ""
    status = "fail" if faults else "warn" if unsure else "pass"
    details = {"kinds": table, "tests": tests, "margin": config.texture_margin, "features": NAMES}
    fields = {"threshold": 0.5 + config.texture_margin, "details": details}
    return verdict(status, text.strip(), metric=worst, **fields) if worst else verdict(status, text.strip(), **fields)
