"""Whether hard negatives give themselves away by noise texture or by signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from dhs.validation import metrics
from dhs.validation.expectation import radius_map
from dhs.validation.gate import Gate, Skip, gate, verdict

TEXTURE_MARGIN = 0.10  # AUC about 0.5
SNR_RATIO_LIMIT = 0.10


def texture(image: np.ndarray, sky_sigma: np.ndarray) -> float:
    """High-frequency ratio in r where arcs lie: rms of pixel minus mean of its four neighbours, in sky sigmas."""
    z = image[1] / sky_sigma[1]
    rough = z[1:-1, 1:-1] - (z[:-2, 1:-1] + z[2:, 1:-1] + z[1:-1, :-2] + z[1:-1, 2:]) / 4
    radius = radius_map()[1:-1, 1:-1]
    return float(np.sqrt(np.mean(rough[(radius >= 4) & (radius < 16)] ** 2)))


@gate(
    "hard_negative_texture",
    blocking=False,
    remedy="Shuffle blocks of at least one PSF FWHM before the PSF and the noise, and rescale to the positive's SNR.",
)
def hard_negative_texture(data) -> Gate:
    """Hard negatives must not be told from positives by noise texture or by SNR."""
    if len(data.hard.get("pair", ())) < 20:
        raise Skip(f"{len(data.hard.get('pair', ()))} hard negatives have usable images, 20 are needed.")
    hosts = data.hosts[data.hard["pair"]]
    n = len(hosts)
    scores = np.concatenate([data.hard["texture"], data.hard["texture_positive"]])
    metric = metrics.auroc(
        scores,
        np.repeat([True, False], n),
        np.tile(hosts, 2),
        seed=data.profile.seed,
        n_bootstrap=data.profile.preflight.n_bootstrap,
    )
    ratio = np.asarray(data.hard["snr_ratio"], dtype=float)
    median_ratio = float(np.median(ratio[np.isfinite(ratio)])) if np.isfinite(ratio).any() else float("nan")
    off = not abs(median_ratio - 1) <= SNR_RATIO_LIMIT
    low, high = (metric.ci_low, metric.ci_high) if metric.ci_low is not None else (0.0, 1.0)
    outside = low > 0.5 + TEXTURE_MARGIN or high < 0.5 - TEXTURE_MARGIN
    inside = low >= 0.5 - TEXTURE_MARGIN and high <= 0.5 + TEXTURE_MARGIN
    status = "fail" if off or outside else "pass" if inside else "warn"
    text = (
        f"One high-frequency ratio tells hard negatives from positives at AUC {metric.value:.3f} "
        f"(0.5 +- {TEXTURE_MARGIN:g} is allowed); the median of their matched SNR over their positive's is "
        f"{median_ratio:.3f}."
    )
    fields = {"details": {"snr_ratio_median": median_ratio, "margin": TEXTURE_MARGIN}, "n": n}
    return verdict(status, text, metric=metric, threshold=0.5 + TEXTURE_MARGIN, **fields)
