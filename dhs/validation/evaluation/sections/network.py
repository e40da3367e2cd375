"""What the network looks at and mistakes: the core, interventions, hard negatives, the worst of each kind."""

from __future__ import annotations

from dhs.validation.evaluation import discrimination, interventions
from dhs.validation.evaluation.sections.base import Scored, section


@section("core_masked")
def core_masked(scored: Scored) -> dict:
    """Discrimination with the core hidden."""
    return discrimination.core_masked(scored.test)


@section("core_swap")
def core_swap(scored: Scored) -> dict:
    """What the logit loses where a positive's core is its control's."""
    return discrimination.core_swap(scored.test, scored.found.swapped)


@section("interventions")
def on_pairs(scored: Scored) -> dict:
    """Changes of the logit under each intervention on pairs."""
    return interventions.section(scored.found.interventions, scored.profile)


@section("hard_negatives")
def hard_negatives(scored: Scored) -> dict:
    """Positives against hard negatives, and how many of those pass, by kind."""
    return discrimination.hard_negatives(scored.test, scored.operating)


@section("galleries")
def galleries(scored: Scored) -> dict:
    """Ids of the lowest positives and the highest negatives."""
    return discrimination.galleries(scored.test)


@section("real_lenses")
def real_lenses(scored: Scored) -> dict:
    """Where the scores of real lenses are."""
    return {"file": "real_lenses.json", "reason": "written by dhs real-lenses into its own file"}
