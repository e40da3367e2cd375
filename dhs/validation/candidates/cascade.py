"""The best stamps by float32 logits, where every stamp was scored at lower precision first.

The best of the cheap logits are scored again; how far they move says how far below the last of the list another stamp
may lie and still belong on it. All within that margin are scored again too, and it grows with what they show, until
none is left: then the list is the one that float32 would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.errors import DhsError
from dhs.models.score import NOT_FINITE_REMEDY

WIDER = 2.0  # margin over the greatest difference seen, which is of a part of the stamps alone
AT_ONCE = 1024  # stamps in memory


def exact_best(
    parts: Sequence[str], top: int, again: Callable[[list[dict]], np.ndarray], wider: float = WIDER
) -> tuple[list[dict], dict]:
    """The ``top`` stamps with the highest float32 logits.

    Parameters
    ----------
    parts : sequence of str
        Tables of scores at lower precision.
    top : int
    again : callable
        Float32 logits of some of their rows.
    wider : float

    Returns
    -------
    rows : list of dict
        Best first, ``logit`` in float32.
    about : dict
        ``n_again``, how many were scored again, and the final ``margin``.

    Raises
    ------
    DhsError
        A float32 logit that is no number.
    """
    limit, margin, cheap, done = _last_of_best(parts, top), 0.0, {}, {}
    while True:
        new = [(place, row) for place, row in _above(parts, limit) if place not in done]
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            logits = np.asarray(again([row for _, row in some]), float)
            if bad := int((~np.isfinite(logits)).sum()):
                raise DhsError(f"{bad} of {len(some)} float32 logits are NaN or infinite. {NOT_FINITE_REMEDY}")
            cheap |= {place: row["logit"] for place, row in some}
            done |= {place: row | {"logit": float(logit)} for (place, row), logit in zip(some, logits)}
        margin = wider * max((abs(done[p]["logit"] - cheap[p]) for p in done), default=0.0)
        last = sorted((row["logit"] for row in done.values()), reverse=True)[:top][-1] if len(done) >= top else -np.inf
        if last - margin >= limit:
            break
        limit = last - margin
    rows = [done[place] for place in sorted(done)]
    return sorted(rows, key=lambda row: -row["logit"])[:top], {"n_again": len(done), "margin": margin}


def _last_of_best(parts: Sequence[str], top: int) -> float:
    """The ``top``-th highest logit of all; minus infinity where there are fewer."""
    best = np.empty(0)
    for path in parts:
        best = np.sort(np.concatenate([best, storage.read_table(path, columns=["logit"])["logit"].to_numpy()]))[-top:]
    return float(best[0]) if len(best) == top else -np.inf


def _above(parts: Sequence[str], limit: float) -> Iterator[tuple[tuple[int, int], dict]]:
    """Place and row of every stamp with a logit of at least ``limit``, one part in memory at a time."""
    for number, path in enumerate(parts):
        logits = storage.read_table(path, columns=["logit"])["logit"].to_numpy()
        chosen = np.flatnonzero(logits >= limit)
        if len(chosen):
            rows = storage.read_table(path).take(pa.array(chosen)).to_pylist()
            yield from (((number, int(i)), row) for i, row in zip(chosen, rows))
