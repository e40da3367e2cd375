"""Labels as people write them: words, 0 and 1, 1 and 2, -1 and 1, one-hot."""

from __future__ import annotations

import numpy as np

from dhs.errors import DhsError

POSITIVE = ("1", "lens", "lenses", "lensed", "positive", "positives", "pos", "true", "yes", "y", "t", "stronglens")
POSITIVE += ("strong_lens", "strong_lenses", "lensing", "candidate", "candidates", "signal", "injected", "injection")
NEGATIVE = ("0", "-1", "nonlens", "nonlenses", "non-lens", "non_lens", "non-lenses", "non_lenses", "nolens", "no_lens")
NEGATIVE += (
    "negative",
    "negatives",
    "neg",
    "false",
    "no",
    "n",
    "f",
    "control",
    "controls",
    "background",
    "other",
    "galaxy",
)
NEGATIVE += ("notlens", "not_lens", "unlensed", "random", "contaminant", "contaminants", "galaxies")
KNOWN = {*POSITIVE, *NEGATIVE} - {"1", "0", "-1", "y", "n", "t", "f"}


def classes(values, positive: str | None = None) -> tuple[np.ndarray, np.ndarray, str]:
    """Labels as booleans.

    Parameters
    ----------
    values : array_like, (n,) or (n, 2)
    positive : str, optional
        The class that is the lens.

    Returns
    -------
    labels, known : ndarray of bool, (n,)
        ``known`` is False where a label is missing.
    said : str
        Which class was taken for what.

    Raises
    ------
    DhsError
        One class, more than two without ``positive``, or a score instead of a label; with the remedy.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 2:
        array = array.argmax(axis=1)
    if array.ndim != 1:
        raise DhsError(f"labels have shape {array.shape}: give one a stamp (n,), or one-hot (n, 2).")
    words = np.array([_word(v) for v in array.tolist()])
    known = words != ""
    found = sorted(set(words[known].tolist()))
    if not found:
        raise DhsError("every label is missing. Give --labels with a column of them.")
    if positive is not None:
        wanted = _word(positive)
        if wanted not in found:
            raise DhsError(f"no stamp has the label {positive!r}; there are {', '.join(found[:12])}.")
        return words == wanted, known, f"{positive} against the rest"
    if len(found) > 2:
        if array.dtype.kind == "f" and len(found) > 10:
            raise DhsError(f"labels hold {len(found)} different numbers: scores, not classes. Give 0 and 1.")
        shown = ", ".join(found[:12])
        raise DhsError(f"labels hold {len(found)} classes ({shown}). Say which is the lens: --positive {found[-1]}.")
    if len(found) == 1:
        raise DhsError(f"every stamp has the label {found[0]!r}: there is no second class. Give the negatives too.")
    low, high = found
    if _number(low) is not None and _number(high) is not None:
        low, high = sorted(found, key=_number)
        begin = "" if low in ("0", "-1") else f" (labels begin at {low})"
        return words == high, known, f"{high} is the lens, {low} is not{begin}"
    for a, b in ((low, high), (high, low)):
        if (b in POSITIVE and a not in POSITIVE) or (a in NEGATIVE and b not in NEGATIVE):
            return words == b, known, f"{b} is the lens, {a} is not"
    raise DhsError(f"labels are {low!r} and {high!r}: which is the lens? Say so with --positive {high}.")


def _word(value) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
