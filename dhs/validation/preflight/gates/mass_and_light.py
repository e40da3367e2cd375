"""Whether the mass sits on the galaxy and lies along it, as measured on the control's pixels."""

from __future__ import annotations

import numpy as np

from dhs.stats import metrics
from dhs.survey.facts import PIXEL_SCALE
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

MIN_PAIRS = 20
MEAN_LIMIT = 0.06  # arcsec, of the mean offset along either axis
MEDIAN_LIMIT = 0.13  # arcsec, half a pixel; mass follows light to 0.05 arcsec (Bolton et al. 2008, ApJ 682, 964)
FAR_ARCSEC, FAR_SHARE = 0.3, 0.12
ELONGATED = 0.03  # measured ellipticity from which the light has a direction
ALIGNED = 0.25  # least mean cos 2 (mass - light); SLACS: within 10 degrees (Koopmans et al. 2006, ApJ 649, 599)


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
