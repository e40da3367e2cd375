"""What a section of ``evaluation.json`` is: a function of the scored stamps, registered under its key.

::

    from dhs.validation.evaluation.sections.base import Scored, section

    @section("by_declination")
    def by_declination(scored: Scored) -> dict:
        north = scored.test.where(scored.test["dec"] > 0)
        return {"north": north.auroc("control")}

in a module of `dhs.validation.evaluation.sections`, or in one that another package names under the entry-point group
``dhs.sections``. A section returns JSON-ready values, `dhs.stats.metrics.Metric` and arrays among them; where it
cannot be measured it returns ``{"status": "skip", "reason": ...}``. It sees the test split once scored, never the
network: what needs other passes through it goes into `dhs.validation.evaluation.forward`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.config import Profile
from dhs.datasets.reader import Pairs
from dhs.registry import Registry
from dhs.validation.evaluation.discrimination import Scores
from dhs.validation.evaluation.forward import Found


@dataclass(frozen=True)
class Scored:
    """What a section is made from.

    Attributes
    ----------
    test : Scores
        The test split with its survey negatives.
    val : Scores
        The validation split, for what is fitted before the test split is measured.
    apart : Scores
        Survey negatives of their own to calibrate on.
    found : Found
        What else the passes gave: core swaps, interventions, baselines.
    pairs : Pairs
    profile : Profile
    rates : list of dict
        ``tpr_at_fpr``: threshold and recall at each false-positive rate that the negatives support.
    weights : ndarray or str
        Weights that make the positives the expected population, or why there are none.
    """

    test: Scores
    val: Scores
    apart: Scores
    found: Found
    pairs: Pairs
    profile: Profile
    rates: list[dict]
    weights: np.ndarray | str

    @property
    def operating(self) -> dict | None:
        """The lowest false-positive rate with its threshold; None where no negative supports one."""
        return self.rates[-1] if self.rates else None


section = Registry("section of the evaluation", "dhs.sections", "dhs.validation.evaluation.sections")
"""Register a function of `Scored` as a section."""
