"""Numbers of an evaluation as they stand in prose; empty where a run did not measure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dhs.artefacts.evaluation import EvaluationContent, MissCause, measured
from dhs.artefacts.parts import Metric, Part, Skip
from dhs.artefacts.report import checked
from dhs.figures.numbers import costs, network
from dhs.figures.numbers.words import field, full, known, number, percent, short

INTERVENTIONS = ("core_light_removed", "outer_pixels_swapped", "ring_added", "arc_removed", "placebo_edge")
SHARES = ("ring", "core", "colour")
STRATA = {"theta_e": "theta_e_arcsec", "snr": "arc_snr_matched", "psf": "psf_fwhm_r_arcsec"}
FULL = ("auroc", "core_masked", "hard_negatives", "baseline", "bright_wide")


def short_hash(sha256: str | None) -> str:
    return sha256[:12] if sha256 else ""


def evaluation(artefact: Mapping) -> dict[str, str]:
    """All keys of ``evaluation.json`` and of its stored ``benchmark``."""
    found = checked(EvaluationContent, artefact, "evaluation.json")
    out = costs.evaluation(artefact.get("benchmark") or {}) | {"plan": short_hash(found.plan.get("sha256"))}
    out |= _discrimination(found) | _ranking(found) | _worth(found) | _realism(found.realism) | _causes(found)
    return out | network.sentences(artefact)


def _of(section, name: str) -> str:
    return short(measured(section, name))


def _discrimination(found: EvaluationContent) -> dict[str, str]:
    metrics: dict[str, Metric | None] = {"auroc": found.auroc, "concordance": field(found, "concordance")}
    metrics |= {"auroc_survey": field(found, "auroc_survey"), "bright_wide": measured(found.bright_wide, "auroc")}
    metrics["hard_negatives"] = measured(found.hard_negatives, "auroc")
    metrics |= {f"baseline{k}": measured(found.baselines.get(name), "auroc") for k, name in BASELINES.items()}
    for name in ("core_masked", "core_swap"):
        metrics |= {name: measured(getattr(found, name), "auroc")}
    out = {key: short(metric) for key, metric in metrics.items()}
    out |= {f"{key}_full": full(metrics[key]) for key in FULL}
    out |= {
        f"{name}_change": short(measured(getattr(found, name), "delta"), True) for name in ("core_masked", "core_swap")
    }
    changes = {row.name: row for row in field(found.interventions, "interventions", ())}
    out |= {f"change_{name}": short(changes.get(name), True) for name in INTERVENTIONS}
    shares = field(found.interventions, "shares", {})
    out |= {f"share_{name}": percent(shares.get(name)) for name in SHARES}
    out["core_light"] = percent(measured(found.interventions, "core_light"))
    for name, column in STRATA.items():
        bins: list[Metric | None] = [s for s in found.strata.get(column, ()) if s.value is not None] or [None]
        out[f"auroc_{name}_lowest_bin"], out[f"auroc_{name}_highest_bin"] = (short(bins[i]) for i in (0, -1))
    return out


BASELINES = {"": "radial_profile", "_core": "core_only"}


def _ranking(found: EvaluationContent) -> dict[str, str]:
    points = [p for p in found.tpr_at_fpr if p.tpr.value is not None]
    lowest = min(points, key=lambda p: p.fpr) if points else None
    out = {"lowest_fpr": number(lowest and lowest.fpr, 4).rstrip("0"), "tpr_at_lowest_fpr": _of(lowest, "tpr")}
    out["tpr_at_lowest_fpr_full"] = full(lowest and lowest.tpr)
    out |= {name: _of(found.top, name) for name in ("tpr0", "tpr10", "f1", "f1_at_prevalence")}
    partial = field(found.top, "partial_auc", ())
    out["partial_auc"] = short(partial[-1] if partial else None)
    out["partial_auc_fpr"] = number(partial[-1].max_fpr if partial else None)
    return out


def _worth(found: EvaluationContent) -> dict[str, str]:
    complete, calibration = found.completeness, found.calibration
    out = {"population_auroc": _of(found.population, "auroc_survey"), "completeness": _of(complete, "overall")}
    out |= {"population_n_effective": number(field(found.population, "n_effective"), 0)}
    out |= {"purity": _of(found.purity, "purity"), "prevalence": _small(field(found.purity, "prevalence"))}
    out |= {"completeness_fpr": number(field(complete, "fpr"), 4).rstrip("0")}
    out["completeness_population"] = _of(complete, "overall_population")
    above = field(found.population, "above_snr_floor")
    out["population_above_floor"] = f"{100 * above:.0f} %" if known(above) else ""
    out["completeness_unconditional"] = number(field(complete, "overall_population_unconditional"), 3)
    smooth = measured(complete, "smooth")
    fitted = smooth is not None and not isinstance(smooth, Skip)
    better = fitted and smooth.log_loss < smooth.log_loss_of_mean
    out["completeness_smooth"] = (
        (
            "On galaxies that it was not fitted to, the smooth function foretells better than the mean what is found"
            if better
            else "On galaxies that it was not fitted to, the smooth function foretells no better than the mean"
        )
        if fitted
        else ""
    )
    n_found = field(complete, "overall")
    count = n_found and n_found.get("n") and n_found.get("value") is not None and round(n_found.n * n_found.value)
    out["n_found"] = number(count) if count else ""
    out |= {name: number(field(calibration, name)) for name in ("ece_before", "ece_after", "ece_isotonic")}
    out["temperature"] = number(field(calibration, "temperature"))
    for name, stage in (("before", "before"), ("after", "temperature"), ("isotonic", "isotonic")):
        tested = (field(calibration, "against_perfect") or {}).get(stage) or {}
        out[f"ece_{name}_null"], out[f"ece_{name}_p"] = number(tested.get("null_mean")), number(tested.get("p_value"))
    out["brier"] = short(measured(measured(measured(calibration, "quality"), "temperature"), "brier"))
    out["promised_lenses"] = number(field(field(calibration, "survey"), "promised_lenses"))
    return out


def _small(value: float | None) -> str:
    """``1e-4`` and its kind as ``10⁻⁴``, others as they are."""
    if not known(value) or value <= 0:
        return ""
    mantissa, exponent = f"{value:.0e}".split("e")
    return ("" if mantissa == "1" else f"{mantissa} × ") + "10" + str(int(exponent)).translate(RAISED)


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _realism(realism: Part | None) -> dict[str, str]:
    display = realism and realism.get("display")
    names = [n.replace("_", " ") for n in field(display, "names", ())]
    return {
        "realism": _of(realism, "auc"),
        "realism_display": _of(display, "auc"),
        "realism_display_control": _of(field(display, "control"), "auc"),
        "realism_excess": _of(display, "excess"),
        "realism_names": ", ".join(names),
        "realism_matched": number(field(field(display, "matched"), "n")),
    }


def _causes(found: EvaluationContent) -> dict[str, str]:
    misses = field(found.failures, "misses")
    return {
        "n_missed": number(field(misses, "n_missed")),
        "n_unexplained": number(field(misses, "unexplained")),
        "first_miss_cause": largest_effect(field(misses, "causes", ())),
    }


def largest_effect(causes: Sequence[MissCause]) -> str:
    """What the first cause of misses says, as far as its intervals allow."""
    if not causes:
        return ""
    with_it, without = causes[0].missed_with, causes[0].missed_without
    if None in (with_it.value, without.value) or with_it.value <= without.value:
        return "No cause that was looked at makes a miss likelier"
    low, high = with_it.ci_low, without.ci_high
    name = causes[0].cause.replace("_", " ")
    if None in (low, high) or low <= high:
        return f"Most of all misses go with *{name}*, and even there the intervals with and without it overlap"
    shares = percent(with_it), percent(without)
    return f"Misses are likeliest with *{name}*: {shares[0]} of those arcs are missed, {shares[1]} of the others"
