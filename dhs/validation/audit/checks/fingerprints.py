"""Fingerprints of two pipelines: numbers that processing leaves in pixels, and a pattern that stays in place."""

from __future__ import annotations

import numpy as np

from dhs.validation.audit import maps
from dhs.validation.audit.check import check, family_verdict
from dhs.validation.preflight.gate import verdict

MARGIN = 0.01
ONE_WAY = "Write both classes with the same code: the same type, the same scaling, rounding and compression."


@check("quantisation", number=20, remedy=ONE_WAY)
def quantisation(data):
    """Repeated values, the least step between values, unused bits, whole numbers."""
    return family_verdict(data, "quantisation", "how its values are rounded", margin=MARGIN)


@check("zeros_and_limits", number=21, remedy="Fill missing pixels, clip and saturate in the same way in both classes.")
def zeros_and_limits(data):
    """Exact zeros, missing pixels, pixels at the greatest or least value, negative pixels, equal neighbours."""
    return family_verdict(data, "zeros and limits", "zeros, missing and saturated pixels", margin=MARGIN)


@check(
    "noise",
    number=22,
    remedy="Draw both classes from the same exposures, or add noise so that level and correlation agree; light that is "
    "added must not smooth, resample or denoise its host.",
)
def noise(data):
    """Level, correlation and tails of the noise in the outskirts."""
    return family_verdict(data, "noise", "level, correlation and tails of the noise", margin=MARGIN)


@check(
    "blocks_and_stripes", number=23, remedy="Compression (JPEG, tiles) or resampling touched one class: use neither."
)
def blocks_and_stripes(data):
    """Steps at every 2nd, 4th, 8th and 16th line, stripes, chequers."""
    return family_verdict(data, "blocks and stripes", "steps at regular lines", margin=MARGIN)


@check(
    "fixed_pattern",
    number=24,
    remedy="Something stays at one place in the frame in one class alone: a watermark, a hot pixel, a seam, a mask, a "
    "residual of the flat field. The pictures show where.",
)
def fixed_pattern(data):
    """Pixels whose mean, against their neighbours, or whose scatter differs between the classes."""
    found = maps.compare(data)
    tests = {f"{name}: {f.where}": f.p for name, f in found.items()}
    worst = max(found.values(), key=lambda f: f.z)
    text = "; ".join(
        f"{name}: |z| up to {f.z:.1f} at {f.where}, chance gives {f.limit:.1f}" for name, f in found.items()
    )
    details = {
        "tests": tests,
        "maps": {k: {"z": f.z, "limit": f.limit, "p": f.p, "where": f.where} for k, f in found.items()},
    }
    details["detectable"] = {k: f.detectable for k, f in found.items()}
    about = {"n": len(data.y), "n_hosts": len(np.unique(data.groups[data.rows]))}
    said = f"Classes compared pixel by pixel ({text})."
    return verdict("pass", said, value=worst.z, threshold=worst.limit, details=details, **about)
