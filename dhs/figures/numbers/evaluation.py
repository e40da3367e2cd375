"""Numbers of an evaluation as they stand in prose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dhs.artefacts.evaluation import EvaluationContent, MissCause, measured
from dhs.artefacts.parts import Metric, Part, Skip, metric_text, text
from dhs.artefacts.report import checked
from dhs.figures.numbers import costs

INTERVENTIONS = ("core_light_removed", "outer_pixels_swapped", "ring_added", "arc_removed", "placebo_edge")
SHARES = ("ring", "core", "colour")
STRATA = {"theta_e": "theta_e_arcsec", "snr": "arc_snr_matched", "psf": "psf_fwhm_r_arcsec"}


def short_hash(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "not registered"


def names(entries: Sequence[str], empty: str = "none") -> str:
    return ", ".join(e.replace("_", " ") for e in entries) or empty


def evaluation(artefact: Mapping) -> dict[str, str]:
    """All keys of ``evaluation.json`` and of its stored ``benchmark``."""
    found = checked(EvaluationContent, artefact, "evaluation.json")
    out = costs.evaluation(artefact.get("benchmark") or {}) | {"plan": short_hash(found.plan.get("sha256"))}
    return out | _discrimination(found) | _ranking(found) | _worth(found) | _realism(found.realism) | _causes(found)


def _of(section, name: str) -> str:
    return metric_text(measured(section, name))


def _field(section, name: str, default=None):
    """A field of a section; the default where it is skipped or not there."""
    return default if section is None or isinstance(section, Skip) else section.get(name, default)


def _value(section, name: str, digits: int = 3) -> str:
    return text(_field(section, name), digits)


def _discrimination(found: EvaluationContent) -> dict[str, str]:
    out = {"auroc": metric_text(found.auroc), "bright_wide": _of(found.bright_wide, "auroc")}
    out["hard_negatives"] = _of(found.hard_negatives, "auroc")
    out["baseline"] = _of(found.baselines.get("radial_profile"), "auroc")
    for name in ("core_masked", "core_swap"):
        section = getattr(found, name)
        out |= {name: _of(section, "auroc"), f"{name}_change": _of(section, "delta")}
    changes = {row.name: row for row in _field(found.interventions, "interventions", ())}
    out |= {f"change_{name}": metric_text(changes.get(name)) for name in INTERVENTIONS}
    shares = _field(found.interventions, "shares", {})
    out |= {f"share_{name}": metric_text(shares.get(name)) for name in SHARES}
    out["core_light"] = _of(found.interventions, "core_light")
    for name, column in STRATA.items():
        known: list[Metric | None] = [s for s in found.strata.get(column, ()) if s.value is not None] or [None]
        out[f"auroc_{name}_lowest_bin"], out[f"auroc_{name}_highest_bin"] = (metric_text(known[i]) for i in (0, -1))
    return out


def _ranking(found: EvaluationContent) -> dict[str, str]:
    points = [p for p in found.tpr_at_fpr if p.tpr.value is not None]
    lowest = min(points, key=lambda p: p.fpr) if points else None
    out = {"lowest_fpr": _value(lowest, "fpr", 4), "tpr_at_lowest_fpr": _of(lowest, "tpr")}
    out |= {name: _of(found.top, name) for name in ("tpr0", "tpr10", "f1", "f1_at_prevalence")}
    partial = _field(found.top, "partial_auc", ())
    out["partial_auc"] = metric_text(partial[-1] if partial else None)
    out["partial_auc_fpr"] = text(partial[-1].max_fpr if partial else None)
    return out


def _worth(found: EvaluationContent) -> dict[str, str]:
    complete, calibration = found.completeness, found.calibration
    out = {"population_auroc": _of(found.population, "auroc_survey"), "completeness": _of(complete, "overall")}
    out |= {"population_n_effective": _value(found.population, "n_effective", 1), "purity": _of(found.purity, "purity")}
    out |= {"completeness_fpr": _value(complete, "fpr", 4), "prevalence": _value(found.purity, "prevalence")}
    out["completeness_population"] = _of(complete, "overall_population")
    out["population_above_floor"] = _value(found.population, "above_snr_floor", 2)
    out["completeness_unconditional"] = _value(complete, "overall_population_unconditional")
    smooth = measured(complete, "smooth")
    if smooth is None or isinstance(smooth, Skip):
        out["completeness_smooth"] = f"not fitted ({(smooth.reason if smooth else 'not part of this run').rstrip('.')})"
    else:
        losses = text(smooth.log_loss), text(smooth.log_loss_of_mean)
        out["completeness_smooth"] = "log loss {} on unseen hosts, {} for the mean".format(*losses)
    out |= {name: _value(calibration, name) for name in ("ece_before", "ece_after", "ece_isotonic", "temperature")}
    for name, stage in (("before", "before"), ("after", "temperature"), ("isotonic", "isotonic")):
        tested = (_field(calibration, "against_perfect") or {}).get(stage) or {}
        out[f"ece_{name}_null"], out[f"ece_{name}_p"] = text(tested.get("null_mean")), text(tested.get("p_value"))
    out["brier"] = _of(_field(_field(calibration, "quality"), "temperature", calibration), "brier")
    out["promised_lenses"] = _value(_field(calibration, "survey"), "promised_lenses")
    return out


def _realism(realism: Part | None) -> dict[str, str]:
    display = realism and realism.get("display")
    control = _field(display, "control")
    return {
        "realism": _of(realism, "auc"),
        "realism_display": _of(display, "auc"),
        "realism_display_control": _of(control, "auc"),
        "realism_excess": _of(display, "excess"),
        "realism_names": names(_field(display, "names", ()), "nothing that was measured"),
        "realism_matched": _value(_field(display, "matched"), "n"),
    }


def _causes(found: EvaluationContent) -> dict[str, str]:
    misses = _field(found.failures, "misses")
    return {
        "n_missed": _value(misses, "n_missed"),
        "n_unexplained": _value(misses, "unexplained"),
        "first_miss_cause": largest_effect(_field(misses, "causes", ())),
    }


def largest_effect(causes: Sequence[MissCause]) -> str:
    """The first cause, as far as misses are more frequent with it than without."""
    if not causes:
        return "none"
    with_it, without = causes[0].missed_with, causes[0].missed_without
    if None in (with_it.value, without.value) or with_it.value <= without.value:
        return "none (no cause makes a miss likelier)"
    low, high = with_it.ci_low, without.ci_high
    return causes[0].cause + (" (the intervals overlap)" if None in (low, high) or low <= high else "")
