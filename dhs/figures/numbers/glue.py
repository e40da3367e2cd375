"""Numbers for prose: each artefact flattened to texts that a page cites as ``{number}`kind.key```.

A key is always there; what a run did not measure is empty, and the paragraph that cites it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from dhs.figures.numbers import costs, stored
from dhs.figures.numbers.decisions import preflight, real_lenses, signoff
from dhs.figures.numbers.evaluation import evaluation
from dhs.figures.numbers.leaks import leaks
from dhs.figures.numbers.pairs import pairs
from dhs.figures.numbers.story import story
from dhs.figures.numbers.training import training

MAKERS = {
    "pairs": pairs,
    "preflight": preflight,
    "training": training,
    "evaluation": evaluation,
    "real_lenses": real_lenses,
    "signoff": signoff,
    "scale": costs.scale,
    "plan_on_gpu": stored.plan_on_gpu,
    "stored": stored.stored,
    "story": story,
    "leaks": leaks,
}


def glued(artefact: Mapping, kind: str) -> dict[str, str]:
    """All keys of one artefact.

    Parameters
    ----------
    artefact : mapping
        ``manifest.json``, ``preflight.json``, the record of `dhs.figures.numbers.training.training`,
        ``evaluation.json``, ``real_lenses.json``, ``signoff.json``, a stored measurement, or what
        `dhs.figures.numbers.story.story` takes; some with a stored ``benchmark`` beside; empty where the run has none.
    kind : str
        One of `MAKERS`.

    Returns
    -------
    dict of str to str
    """
    return MAKERS[kind](artefact or {})
