"""What there is: files, pixels, units, classes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dhs.stats import metrics
from dhs.validation.audit.check import MIN_CLASS, check
from dhs.validation.preflight.gate import Skip, verdict

MOST_REFUSED = 0.05
MAGNITUDES = 3.0  # of depth from the survey's: further off the unit is wrong
SHOWN = 20


@check(
    "integrity", number=1, remedy="Repair or leave out the stamps that are named; quarantine.parquet has all of them."
)
def integrity(data):
    """Every stamp that can't be used, and why; missing pixels."""
    refusals = [*data.stamps.found.refusals, *data.measured.refusals]
    total = data.n + len(refusals)
    share = metrics.proportion(len(refusals), total)
    codes = Counter(r.code for r in refusals)
    listed = ", ".join(f"{n} {code.replace('_', ' ')}" for code, n in codes.most_common())
    text = f"{data.n} of {total} stamps can be used: {'x'.join(map(str, reversed(data.stamps.shape)))} pixels in "
    text += f"{', '.join(data.stamps.bands)}."
    text += (
        f" Refused: {listed}; first {refusals[0].file.rsplit('/', 1)[-1]}: {refusals[0].message}." if refusals else ""
    )
    missing = int((data.measured.missing > 0).sum())
    text += f" {missing} stamps have missing pixels." if missing else ""
    text += "".join(f" {note[:1].upper()}{note[1:]}." for note in (*data.stamps.found.notes, *data.stamps.notes))
    few = data.n < 2 * MIN_CLASS
    status = "fail" if share.value > MOST_REFUSED or not data.n else "warn" if refusals or few else "pass"
    details = {"refused": [r.as_dict() for r in refusals[:SHOWN]], "codes": dict(codes), "missing": missing}
    return verdict(status, text, metric=share, threshold=MOST_REFUSED, details=details)


@check(
    "units",
    number=2,
    blocking=False,
    remedy="Say what a unit is: --survey with the right name, or a YAML with zero_point.",
)
def units(data):
    """Depth from the noise, against the survey's; and whether each stamp was scaled by itself."""
    if data.stamps.found.display:
        raise Skip("display pictures carry no photometry.")
    imaging, names = data.stamps.imaging, data.stamps.bands
    sigma = np.median(data.measured.sigma, axis=0)
    depth = imaging.depth_of(sigma)
    off = float(np.median(depth)) - imaging.depth
    y, own = data.measured.families["photometry"]
    flux = y[:, own.index(f"flux within a half, {names[0]}")]
    alone = float(np.std(flux)) < 0.05
    listed = ", ".join(f"{b} {d:.1f}" for b, d in zip(names, depth))
    text = (
        f"The noise a pixel is that of a 5 sigma depth of {listed} mag; {imaging.name} has about {imaging.depth:.1f}."
    )
    if abs(off) > MAGNITUDES:
        text += f" A unit would have to be {10 ** (-0.4 * off):.3g} times as bright: the zero-point is another one."
    if alone:
        text += " All stamps have nearly one flux: each was scaled by itself, so magnitudes are lost."
    status = "warn" if abs(off) > MAGNITUDES or alone else "pass"
    details = {"depth": dict(zip(names, depth)), "sigma": dict(zip(names, sigma))}
    return verdict(status, text, value=off, threshold=MAGNITUDES, n=data.n, details=details)


@check(
    "class_balance",
    number=3,
    remedy="Give a label to each stamp (folders, --labels TABLE), and enough of both classes.",
)
def class_balance(data):
    """How many of each class, and in each split."""
    if data.labels is None:
        raise Skip(data.no_labels)
    y = data.labels[data.known]
    n1, n0 = int(y.sum()), int((~y).sum())
    share = metrics.proportion(n1, n1 + n0)
    text = f"{n1} positives and {n0} negatives ({data.said})."
    unlabelled = int((~data.known).sum())
    text += f" {unlabelled} stamps have no label." if unlabelled else ""
    counts = {}
    if "split" in data.columns:
        split = data.columns["split"].astype(str)
        for name in sorted(set(split.tolist())):
            mine = (split == name) & data.known
            counts[name] = [int(data.labels[mine].sum()), int((~data.labels[mine]).sum())]
        text += " By split: " + ", ".join(f"{s or 'none'} {a} and {b}" for s, (a, b) in counts.items()) + "."
    few = min(n1, n0) < MIN_CLASS
    text += f" Fewer than {MIN_CLASS} of one class: nothing can be said of differences." if few else ""
    one_sided = [s for s, (a, b) in counts.items() if min(a, b) == 0]
    text += f" One class alone in {', '.join(one_sided)}." if one_sided else ""
    status = "fail" if one_sided else "warn" if few else "pass"
    return verdict(status, text, metric=share, n=n1 + n0, details={"splits": counts, "positive": n1, "negative": n0})
