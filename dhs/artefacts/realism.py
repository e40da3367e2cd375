"""``realism.json``, and ``realism`` of ``evaluation.json``: can two sets of stamps be told apart, and by what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, RootModel

from dhs.artefacts.parts import Metric, Part, Skip, metric_text
from dhs.artefacts.report import Report

SHOWN = 3  # refused files that are named


class Family(Metric):
    """AUC of a probe on one family of measured features; ``p_holm`` that it is one half, over all families."""

    family: str
    p_holm: float | None


class Control(Part):
    """The same probe on two sets of real stamps."""

    what: str
    auc: Metric


class ControlSkip(Skip):
    what: str


class Matched(Part):
    """Stamps of each set left after matching, and what they were matched by."""

    n: int
    by: str


class Sets(Part):
    """What was compared; ``mode`` says whether as fluxes or as display pictures."""

    first: str
    second: str
    n_first: int
    n_second: int
    mode: str
    refused: tuple[dict, ...]


class NotProbed(Sets, Skip):
    """Too few stamps."""


class Probed(Sets):
    """``names`` are the families that tell the sets apart after Holm's correction; ``excess`` is the AUC less that of
    the control."""

    status: Literal["probed"]
    features: str
    matched: Matched
    auc: Metric
    probe: dict
    families: tuple[Family, ...]
    names: tuple[str, ...]
    left_after_matching: Metric
    control: Control | ControlSkip
    excess: Metric
    excess_p: float | None = None


class RealismSkip(Skip):
    """No flux cutouts to compare; ``display`` may hold pictures."""

    display: NotProbed | Probed | None = None


class RealismProbed(Probed):
    """Flux cutouts; pictures, which carry no photometry, stand apart under ``display``."""

    display: NotProbed | Probed | None = None


RealismSection = Annotated[RealismSkip | RealismProbed, Field(union_mode="left_to_right")]


class Realism(Report):
    """What ``realism.json`` holds; reads like a dict."""

    file = "realism.json"
    model = RootModel[NotProbed | Probed]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Who was compared, and how well they are told apart by what."""
        found: NotProbed | Probed = self.content.root
        yield "", f"{found.first} ({found.n_first}) against {found.second} ({found.n_second}), {found.mode}"
        if found.refused:
            more = f", and {len(found.refused) - SHOWN} more" if len(found.refused) > SHOWN else ""
            named = "; ".join(f"{r['file']}: {r['why']}" for r in found.refused[:SHOWN])
            yield f"{len(found.refused)} refused", f"{named}{more}"
        if isinstance(found, Skip):
            yield "skip", found.reason
            return
        yield "", f"{found.matched.n} of each matched by {found.matched.by}"
        yield f"probe on {found.features} features", f"AUC {metric_text(found.auc)}{_p(found.probe.get('p_value'))}"
        control = found.control
        auc = control.reason if isinstance(control, Skip) else f"AUC {metric_text(control.auc)}"
        yield f"control, {control.what}", auc
        if found.excess.ci_low is not None:
            words = f"{found.excess.value:+.3f} ({found.excess.ci_low:+.3f} to {found.excess.ci_high:+.3f})"
            yield "probe less control", words + _p(found.excess_p)
        yield "left after matching, by what was matched", f"AUC {metric_text(found.left_after_matching)}"
        for family in found.families:
            yield f"by {family.family} alone", f"AUC {metric_text(family)}{_p(family.p_holm, ' (Holm)')}"


def _p(p: float | None, note: str = "") -> str:
    return "" if p is None else f", p = {p:.3g}{note}"
