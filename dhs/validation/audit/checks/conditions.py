"""Observing conditions, photometry, centring and files, by class."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from dhs.validation.audit.check import check, family_verdict, table_verdict
from dhs.validation.audit.readers.base import CONDITIONS
from dhs.validation.preflight.gate import Skip, verdict

MOST_KINDS = 20  # values of a text card that are told apart
COMPLETE = 0.9  # share of stamps that must have a number
DESCRIBING = ("dtype", "shape")
PLAIN = (".fits", ".fit", ".npy")  # not compressed: their size does not hang on the picture


@check(
    "observing_conditions",
    number=40,
    blocking=False,
    remedy="Draw the classes from the same exposures, or match seeing and depth.",
)
def observing_conditions(data):
    """Seeing, depth and place in the sky, of the columns the set brings."""
    columns, names = [], []
    for name, values in data.columns.items():
        if any(word in name.lower() for word in CONDITIONS) and (x := _numbers(values)) is not None:
            columns.append(x)
            names.append(name)
    if "ra" in data.columns and "dec" in data.columns:
        ra, dec = _numbers(data.columns["ra"]), _numbers(data.columns["dec"])
        if ra is not None and dec is not None:
            a, d = np.radians(ra), np.radians(dec)
            columns += [np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)]
            names += ["place, x", "place, y", "place, z"]
    if not columns:
        raise Skip("the set brings no seeing, depth or position. Give a table with such columns (--labels).")
    data.y  # noqa: B018 - skips without labels
    return table_verdict(data, np.stack(columns, axis=1)[data.rows], names, f"{', '.join(names)}")


@check(
    "photometry",
    number=41,
    blocking=False,
    remedy="Arcs add light, so some difference is honest. Match the classes in brightness and colour of the galaxy, or "
    "show that a network does no better than these numbers alone.",
)
def photometry(data):
    """Brightness, colour and concentration."""
    return family_verdict(data, "photometry", "brightness, colours and concentration")


@check(
    "centring",
    number=42,
    blocking=False,
    remedy="Centre both classes on the same thing: a catalogue position or the light.",
)
def centring(data):
    """Where in the frame the galaxy lies."""
    return family_verdict(data, "centring", "where in the frame the light lies")


@check(
    "files", number=43, blocking=False, remedy="Write both classes with one program, from one type, side and header."
)
def files(data):
    """Type, shape, size and header of the files: a loader may hide them, but they say that two programs wrote them."""
    data.y  # noqa: B018 - skips without labels
    about, names = data.measured.about, []
    columns = []
    for key in DESCRIBING:
        _kinds(columns, names, key, [str(a.get(key, "")) for a in about])
    plain = all(n.lower().endswith(PLAIN) for n in data.stamps.found.names[:50]) and not data.stamps.found.display
    if plain and all("bytes" in a for a in about):
        columns.append(np.array([float(a["bytes"]) for a in about]))
        names.append("size of the file")
    cards = Counter(k for a in about for k in a.get("cards", {}))
    for key, n in sorted(cards.items()):
        columns.append(np.array([float(key in a.get("cards", {})) for a in about]))
        names.append(f"card {key} is there")
        if n > COMPLETE * len(about):
            values = [a.get("cards", {}).get(key) for a in about]
            if all(isinstance(v, float) for v in values if v is not None):
                columns.append(np.array([0.0 if v is None else v for v in values]))
                names.append(f"card {key}")
            else:
                _kinds(columns, names, f"card {key}", [str(v) for v in values])
    note = _order(data)
    if not any(np.ptp(c[data.rows]) > 0 for c in columns):
        return verdict(
            "pass", f"All files are alike in type, shape and header.{note}", value=0.5, threshold=0.51, n=len(data.y)
        )
    x = np.stack(columns, axis=1)[data.rows]
    outcome = table_verdict(data, x, names, "type, shape and header of its file", margin=0.01, probe=False)
    return replace(outcome, explanation=outcome.explanation + note)


def _kinds(columns, names, key: str, values: list[str]) -> None:
    """A column for each of a text's values, where there are few."""
    found = Counter(values)
    if 1 < len(found) <= MOST_KINDS:
        for value in sorted(found):
            columns.append(np.array([float(v == value) for v in values]))
            names.append(f"{key} = {value[:40]}")


def _numbers(values) -> np.ndarray | None:
    """A column as numbers, the missing ones at the median; None where it has too few, or they never vary."""
    try:
        x = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return None
    known = np.isfinite(x)
    if known.mean() < COMPLETE or np.ptp(x[known]) == 0:
        return None
    return np.where(known, x, np.median(x[known]))


def _order(data) -> str:
    """What the order of the set says; it is no fault that classes lie one after the other, if the loader shuffles."""
    y = data.y
    changes = int((y[1:] != y[:-1]).sum())
    expected = 2 * y.sum() * (~y).sum() / len(y)
    return " The classes lie one after the other: shuffle before training." if changes < 0.2 * expected else ""
