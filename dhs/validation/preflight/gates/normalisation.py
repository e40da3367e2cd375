"""Whether the sky of normalised stamps has mean 0 and sigma 1, and how much arc light spoils it."""

from __future__ import annotations

from functools import cache

import numpy as np

from dhs.datasets.schema import BANDS, SPLITS
from dhs.stats import bins, metrics
from dhs.stats.metrics import Metric
from dhs.stats.pixels import MAD_TO_SIGMA, mad, radius_map
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

SKY_MEAN_LIMIT = 0.25  # sky sigmas
SKY_SIGMA_LIMIT = 0.15
ARC_BEYOND_LIMIT = 0.05


@cache
def _sky_masks(annulus: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    radius = radius_map()
    return (radius >= annulus[0]) & (radius < annulus[1]), radius >= annulus[1]


def sky_numbers(image: np.ndarray, annulus: tuple[float, float], arc: np.ndarray) -> dict:
    """Sky level and noise from the annulus, and how the corners look once normalised by them.

    The corners lie outside the annulus, so their mean of 0 and sigma of 1 are not true by construction. Pixels where
    the arc is brighter than a tenth of the sky noise are left out of the corners.

    Returns
    -------
    dict of ndarray, (3,)
        ``sky_sigma`` (nanomaggies), ``corner_mean`` and ``corner_sigma`` (median and MAD sigma, in sky sigmas).
    """
    ring, corner = _sky_masks(tuple(annulus))
    sky = image[:, ring]
    level = np.median(sky, axis=1)
    sigma = MAD_TO_SIGMA * mad(sky, axis=1)
    mean, spread = np.full(3, np.nan), np.full(3, np.nan)
    for b in range(3):
        if sigma[b] > 0:
            values = image[b][corner & (arc[b] < 0.1 * sigma[b])]
            if len(values) > 20:
                z = (values - level[b]) / sigma[b]
                mean[b] = np.median(z)
                spread[b] = MAD_TO_SIGMA * mad(z)
    return {"sky_sigma": sigma, "corner_mean": mean, "corner_sigma": spread}


@gate(
    "normalisation",
    number=5,
    remedy="Where arc light reaches the annulus or the sky is not flat, take sky noise from the inverse variance, or "
    "move train.annulus_px outwards; drop stamps whose MAD is 0.",
)
def normalisation(data) -> Gate:
    """Sky of normalised stamps, per band and split; stamps without scale; arc light in the annulus."""
    data.need_images(metrics.MIN_CLUSTERS)
    config = data.profile
    split = data.of_images("folder_split")
    dead = int(
        (data.images["sky_sigma_positive"] == 0).any(axis=1).sum()
        + (data.images["sky_sigma_control"] == 0).any(axis=1).sum()
    )
    table, outside, unsure, worst = [], [], [], None
    for name in SPLITS:
        members = split == name
        for b, band in enumerate(BANDS):
            for which in ("positive", "control"):
                for key, centre, limit in (("mean", 0, SKY_MEAN_LIMIT), ("sigma", 1, SKY_SIGMA_LIMIT)):
                    values = data.images[f"corner_{key}_{which}"][members, b] - centre
                    known = np.isfinite(values)
                    metric = _mean(values[known], data.hosts[members][known], config)
                    table.append(
                        {
                            "split": name,
                            "band": band,
                            "class": which,
                            "what": key,
                            "limit": limit,
                            **metric.as_dict(),
                        }
                    )
                    if metric.ci_low is None:
                        continue
                    label = f"{key} of {which}s in {band}, {name}: {metric.value + centre:.2f}"
                    if metric.ci_low > limit or metric.ci_high < -limit:
                        outside.append(label)
                    elif metric.ci_high > limit or metric.ci_low < -limit:
                        unsure.append(label)
                    if worst is None or abs(metric.value) / limit > worst[0]:
                        worst = (abs(metric.value) / limit, metric)
    if worst is None:
        raise Skip(f"fewer than {metrics.MIN_CLUSTERS} hosts in every split, so no interval.")
    beyond, high = _arc_beyond(data)
    status = "fail" if dead or outside else "warn" if unsure or high else "pass"
    parts = [f"{dead} stamps have a MAD of 0 in a band"] if dead else []
    parts += [f"outside the limits: {'; '.join(outside)}"] if outside else []
    parts += [f"undecided: {'; '.join(unsure)}"] if unsure else []
    parts += (
        [
            f"more than {ARC_BEYOND_LIMIT:g} of the arc's light lies beyond the annulus's inner edge for theta_E "
            + ", ".join(high)
        ]
        if high
        else []
    )
    text = (
        "; ".join(parts) + "."
        if parts
        else (
            f"Outside the annulus the normalised sky has mean 0 within {SKY_MEAN_LIMIT:g} and sigma 1 within "
            f"{SKY_SIGMA_LIMIT:g} in every band and split; no stamp has a MAD of 0; arc light beyond "
            f"{config.train.annulus_px[0]:g} px stays below {ARC_BEYOND_LIMIT:g}."
        )
    )
    text = text[0].upper() + text[1:]
    details = {
        "sky": table,
        "mad_zero": dead,
        "arc_beyond_annulus": beyond,
        "note": "value is the largest departure over its limit",
    }
    return verdict(
        status,
        text,
        value=worst[0],
        threshold=1.0,
        n=data.n_images,
        n_hosts=worst[1].n_hosts,
        details=details,
    )


def _mean(values: np.ndarray, hosts: np.ndarray, config) -> Metric:
    return metrics.mean(values, hosts, n_bootstrap=min(config.preflight.n_bootstrap, 200), seed=config.seed)


def _arc_beyond(data) -> tuple[list[dict], list[str]]:
    """Fraction of arc light beyond the annulus's inner edge per theta_E bin, and the bins above the limit."""
    theta, beyond = data.of_images("theta_e_arcsec").astype(float), data.images["arc_beyond"]
    table, high = [], []
    for low, up, inside in bins.members(theta, data.profile.preflight.theta_e_edges):
        members = inside & np.isfinite(beyond)
        metric = _mean(beyond[members], data.hosts[members], data.profile)
        table.append({"lo": low, "hi": up, **metric.as_dict()})
        if metric.value is not None and metric.value > ARC_BEYOND_LIMIT:
            high.append(f"{low:g}-{up:g} ({metric.value:.3f})")
    return table, high
