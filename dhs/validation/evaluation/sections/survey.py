"""What a survey would get: calibrated probabilities, purity, the expected population."""

from __future__ import annotations

from dhs.validation.evaluation import survey_yield
from dhs.validation.evaluation.sections.base import Scored, section


@section("top")
def top(scored: Scored) -> dict:
    """The part of the ranking that is looked at."""
    return survey_yield.top(scored.test, scored.operating)


@section("calibration")
def calibration(scored: Scored) -> dict:
    """Probabilities fitted on the validation split, measured on the test split."""
    return survey_yield.calibration(scored.test, scored.val, scored.apart)


@section("purity")
def purity(scored: Scored) -> dict:
    """Purity at the survey's prevalence."""
    return survey_yield.purity(scored.test, scored.rates)


@section("population")
def population(scored: Scored) -> dict:
    """Recall of the expected population of lenses."""
    return survey_yield.population(scored.test, scored.weights, scored.rates)
