"""What was taken for granted of the hosts, and whether the arcs in the core depend on it."""

from __future__ import annotations

import numpy as np

from dhs.datasets.schema import ASSUMPTIONS
from dhs.stats import metrics
from dhs.stats.crossfit import against_chance
from dhs.validation.preflight.gate import Skip, gate, verdict

MOST = 0.5
MIN_ROWS = 40  # on either side, to compare what the core gives away


def _core_auc(data, members: np.ndarray) -> metrics.Metric | str:
    """AUC of the core, positives against their controls, over some of the pairs with images; or why there is none."""
    hosts = data.hosts[members]
    if members.sum() < MIN_ROWS or len(set(hosts)) < metrics.MIN_CLUSTERS:
        return f"{members.sum()} pairs on {len(set(hosts))} hosts, {MIN_ROWS} on {metrics.MIN_CLUSTERS} are needed"
    x = np.concatenate([data.images[name][members] for name in ("core_positive", "core_control")])
    labels = np.repeat([True, False], members.sum())
    both, config = np.concatenate([hosts, hosts]), data.profile.preflight
    return against_chance(x, labels, both, margin=0.5, config=config, seed=data.profile.seed)["metric"]


@gate(
    "assumptions",
    blocking=False,
    remedy="Give hosts with an inverse variance and a PSF (npz keys invvar and psf or psf_fwhm), and their positions.",
)
def assumptions(data):
    """Rows whose PSF, gain, noise or position is not the host's own."""
    if data.n == 0:
        raise Skip("there is no readable pair.")
    flags = [set(f if f is not None else ()) for f in data.column("flags")]
    counts = {name: sum(name in f for f in flags) for name in ASSUMPTIONS}
    if not any(counts.values()):
        return verdict("pass", "Every row has its host's own PSF, noise, gain and position.", value=0.0, n=data.n)
    assumed = np.array(["psf_assumed" in f for f in flags])
    share = metrics.proportion(int(assumed.sum()), data.n)
    text = "; ".join(f"{counts[name]} of {data.n} rows: {words}" for name, words in ASSUMPTIONS.items() if counts[name])
    details = {"rows": counts, "core_auc": {}}
    if data.n_images:
        of_images = assumed[data.image_rows]
        sides = {"psf assumed": _core_auc(data, of_images), "psf of the host": _core_auc(data, ~of_images)}
        known = {k: v for k, v in sides.items() if not isinstance(v, str)}
        details["core_auc"] = {k: v if isinstance(v, str) else v.as_dict() for k, v in sides.items()}
        text += ". AUC of the core alone" + "".join(
            f", {k}: {v.value:.3f} ({v.ci_low:.3f}-{v.ci_high:.3f})" for k, v in known.items() if v.ci_low is not None
        )
    status = "warn" if counts["psf_assumed"] > MOST * data.n else "pass"
    return verdict(status, text + ".", metric=share, threshold=MOST, details=details)
