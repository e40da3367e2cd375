"""The same picture twice: in two splits, under two labels, or inside a class."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dhs.validation.audit.check import check
from dhs.validation.audit.duplicates import PAIRED
from dhs.validation.preflight.gate import Skip, verdict

SHOWN = 12


def _said(data, twins) -> list[dict]:
    """Names of some pairs for the report."""
    out = []
    for t in twins[:SHOWN]:
        turned = "exact" if t.exact and not t.turn else "exact, turned or mirrored" if t.exact else "alike"
        out.append(
            {"first": data.name(t.first), "second": data.name(t.second), "how": turned, "rows": [t.first, t.second]}
        )
    return out


def _listed(pairs: list[dict]) -> str:
    named = "; ".join(
        f"{p['first'].rsplit('/', 1)[-1]} and {p['second'].rsplit('/', 1)[-1]} ({p['how']})" for p in pairs[:3]
    )
    return f" First: {named}." if named else ""


def _looked(data) -> str:
    t = data.twins
    some = f", {t.compared} of {t.proposed} candidates compared pixel by pixel" if t.compared < t.proposed else ""
    return f"{data.n} stamps were compared whichever way they lie{some}."


@check("duplicates_across_splits", number=30, remedy="Split by picture: keep one copy, or put all copies in one split.")
def duplicates_across_splits(data):
    """One picture in two splits: a test that was trained on."""
    if "split" not in data.columns:
        text = "The set names no splits (folders train and test, or a column: --split)."
        if data.twins.pairs:
            text += f" {len(data.twins.pairs)} stamps are copies of others: a split at random would tear them apart."
        return verdict("warn" if data.twins.pairs else "pass", f"{text} {_looked(data)}", n=data.n)
    split = data.columns["split"].astype(str)
    across = [t for t in data.twins.pairs if split[t.first] != split[t.second]]
    pairs = _said(data, across)
    text = f"{len(across)} stamps occur in two splits. {_looked(data)}{_listed(pairs)}"
    details = {"pairs": pairs, "splits": dict(Counter(split.tolist()))}
    return verdict("fail" if across else "pass", text, value=len(across), threshold=0, n=data.n, details=details)


@check(
    "contradicting_labels",
    number=31,
    remedy="One of the two labels is wrong, or the pair is deliberate: name it with --group.",
)
def contradicting_labels(data):
    """One picture under both labels."""
    if data.labels is None:
        raise Skip(data.no_labels)
    other = [t for t in data.twins.pairs if data.known[t.first] and data.known[t.second]]
    other = [t for t in other if data.labels[t.first] != data.labels[t.second]]
    added = [t for t in other if t.added]
    paired = len(added) > PAIRED * data.known.sum() / 2
    wrong = [t for t in other if t.exact or not (t.added or paired)]
    pairs = _said(data, wrong)
    text = f"{len(wrong)} stamps are the same picture under both labels. {_looked(data)}{_listed(pairs)}"
    if added:
        text += f" {len(added)} positives are a negative with light added: they are kept together in folds."
    return verdict("fail" if wrong else "pass", text, value=len(wrong), threshold=0, n=data.n, details={"pairs": pairs})


@check("duplicates_inside", number=32, blocking=False, remedy="Keep one copy of each: the others count as one stamp.")
def duplicates_inside(data):
    """One picture more than once in a class and split: fewer stamps than it seems."""
    split = data.columns["split"].astype(str) if "split" in data.columns else np.repeat("", data.n)
    label = np.where(data.known, data.labels, False) if data.labels is not None else np.zeros(data.n, bool)
    inside = [t for t in data.twins.pairs if split[t.first] == split[t.second] and label[t.first] == label[t.second]]
    pairs = _said(data, inside)
    share = len(inside) / max(data.n, 1)
    text = f"{len(inside)} stamps are copies of another of their class. {_looked(data)}{_listed(pairs)}"
    status = "fail" if share > 0.01 else "warn" if inside else "pass"
    return verdict(status, text, value=len(inside), threshold=0.01 * data.n, n=data.n, details={"pairs": pairs})
