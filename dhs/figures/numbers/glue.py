"""Numbers for prose: each artefact flattened to strings that a notebook glues and a page cites.

A key is always there: what a run did not measure reads ``not measured`` with the reason, so that a page never
breaks and never hides it.
"""

from __future__ import annotations

from collections.abc import Mapping

from dhs.figures.numbers import costs
from dhs.figures.numbers.decisions import preflight, real_lenses, signoff
from dhs.figures.numbers.evaluation import evaluation
from dhs.figures.numbers.leaks import leaks
from dhs.figures.numbers.pairs import pairs
from dhs.figures.numbers.training import training

MAKERS = {
    "pairs": pairs,
    "preflight": preflight,
    "training": training,
    "evaluation": evaluation,
    "real_lenses": real_lenses,
    "signoff": signoff,
    "scale": costs.scale,
    "plan_on_gpu": costs.plan_on_gpu,
    "leaks": leaks,
}


def glued(artefact: Mapping, kind: str) -> dict[str, str]:
    """All keys of one artefact.

    Parameters
    ----------
    artefact : mapping
        ``manifest.json``, ``preflight.json``, the record of `dhs.figures.numbers.training.training`,
        ``evaluation.json``, ``real_lenses.json``, ``signoff.json`` or the measurement of `dhs.figures.scale`, some with
        a stored ``benchmark`` beside; empty where the run has none.
    kind : {"pairs", "preflight", "training", "evaluation", "real_lenses", "signoff", "scale",
        "plan_on_gpu", "leaks"}

    Returns
    -------
    dict of str to str
    """
    return MAKERS[kind](artefact or {})
