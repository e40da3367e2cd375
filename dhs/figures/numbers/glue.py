"""Numbers for prose: each artefact flattened to strings that a notebook glues and a page cites.

A key is always there: what a run did not measure reads ``not measured`` with the reason, so that a page never
breaks and never hides it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dhs.figures.numbers import costs
from dhs.figures.numbers.costs import text

SPLITS = ("train", "val", "test")


def metric_text(metric: Mapping | None, digits: int = 3) -> str:
    """``value (low to high, n = ..., hosts = ..., sources = ...)`` of a metric or a gate."""
    if not metric or metric.get("value") is None:
        metric = metric or {}
        flags = ", ".join(metric.get("flags") or []).replace("_", " ")
        reason = metric.get("reason") or flags or metric.get("explanation") or "not part of this run"
        return f"not measured ({str(reason).rstrip('.')})"
    parts = []
    if metric.get("ci_low") is not None and metric.get("ci_high") is not None:
        parts.append(f"{text(metric['ci_low'], digits)} to {text(metric['ci_high'], digits)}")
    else:
        parts.append("no interval")
    for key, label in (("n", "n"), ("n_hosts", "hosts"), ("n_sources", "sources")):
        if metric.get(key):
            parts.append(f"{label} = {metric[key]:,}")
    return f"{text(metric['value'], digits)} ({', '.join(parts)})"


def glued(artefact: Mapping, kind: str) -> dict[str, str]:
    """All keys of one artefact.

    Parameters
    ----------
    artefact : mapping
        The manifest, ``preflight.json``, ``{"history": DataFrame, "config": mapping, "ablation": DataFrame,
        "benchmark": mapping}`` of the training, ``evaluation.json`` and its ``benchmark``, ``real_lenses.json``,
        ``signoff.json`` or the
        measurement of `dhs.figures.scale`; empty where the run has none.
    kind : {"pairs", "preflight", "training", "evaluation", "real_lenses", "signoff", "scale"}

    Returns
    -------
    dict of str to str
    """
    makers = {
        "pairs": _pairs,
        "preflight": _preflight,
        "training": _training,
        "evaluation": _evaluation,
        "real_lenses": _real_lenses,
        "signoff": _signoff,
        "scale": costs.scale,
    }
    return makers[kind](artefact or {})


def _kind_text(part: Mapping, noun: str) -> str:
    kind = str(part.get("kind", "unknown"))
    return f"MOCK {noun} ({kind})" if part.get("mock") else f"{noun} of kind {kind}"


def _pairs(manifest: Mapping) -> dict[str, str]:
    out: dict[str, str] = {}
    counts = manifest.get("counts") or {}
    out["n_pairs"] = text(sum(counts.values()))
    for split in SPLITS:
        out[f"n_{split}"] = text(int(counts.get(split, 0)))
    for name in ("hosts", "sources"):
        part = manifest.get(name) or {}
        out[f"{name}_kind"] = _kind_text(part, name)
        out[f"n_{name}"] = text(part.get("n"))
        per_split = part.get("per_split") or {}
        out[f"{name}_per_split"] = ", ".join(f"{text(per_split.get(s))} in {s}" for s in SPLITS)
        out[f"{name}_refused"] = text(part.get("refused"))
    bench = manifest.get("benchmark") or {}
    out["bench_machine"] = str(bench.get("machine", "a machine yet to be measured"))
    out["bench_rate"] = text(round(bench["pairs_per_s_all_inclusive"], -1) if bench else None)
    out["bench_hard_rate"] = text(round(bench["pairs_per_s_with_hard_negatives"], -1) if bench else None)
    out["bench_kb"] = text(bench.get("kb_per_pair"), 1)
    catalogue = (manifest.get("hosts") or {}).get("known_lens_catalogue")
    out["known_lens_catalogue"] = str(catalogue) if catalogue else "no catalogue: not cross-matched"
    limits = (manifest.get("sources") or {}).get("limits") or []
    out["sources_limits"] = " ".join(limits) if limits else "none stated"
    draws = manifest.get("draws") or {}
    accepted, rejected = draws.get("accepted", 0), sum((draws.get("rejected") or {}).values())
    out["accepted"], out["rejected"] = text(accepted), text(rejected)
    out["acceptance"] = f"{100 * accepted / (accepted + rejected):.0f} %" if accepted + rejected else "not measured"
    negatives = manifest.get("negatives") or {}
    out["n_hard_negatives"] = text(sum(v for k, v in negatives.items() if k != "refused" and isinstance(v, int)))
    out["content_hash"] = str(manifest.get("content_hash", "unknown"))[:12]
    out["seed"] = str(manifest.get("seed", "unknown"))
    out["mock_label"] = _mock_label(manifest)
    return out


def _mock_label(manifest: Mapping) -> str:
    if not manifest:
        return "What the hosts and sources are is not known: there is no manifest."
    mock = [name for name in ("hosts", "sources") if (manifest.get(name) or {}).get("mock")]
    if not mock:
        return "Hosts and sources are real images."
    return f"The {' and '.join(mock)} of this run are MOCK: its numbers describe the method, not the sky."


def names(entries: Sequence[str], empty: str = "none") -> str:
    return ", ".join(e.replace("_", " ") for e in entries) or empty


def _preflight(report: Mapping) -> dict[str, str]:
    gates = report.get("gates") or []
    out = {"preflight_decision": str(report.get("decision", "not measured")), "n_gates": text(len(gates))}
    for status in ("pass", "warn", "fail", "skip"):
        chosen = [g["name"] for g in gates if g["status"] == status]
        out[f"n_{status}"], out[f"gates_{status}"] = text(len(chosen)), names(chosen)
    by_name = {g["name"]: g for g in gates}
    out["plan"] = str((report.get("data") or {}).get("plan", "not registered"))[:12]
    null = (by_name.get("core_leakage", {}).get("details") or {}).get("null") or {}
    out["core_null"] = f"{text(null.get('low'))} to {text(null.get('high'))}" if null else "not measured"
    wins = (by_name.get("core_leakage", {}).get("details") or {}).get("concordance")
    out["core_concordance"] = metric_text(wins)
    within = (by_name.get("core_leakage", {}).get("details") or {}).get("within_pairs") or {}
    out["core_concordance_expected"] = text(within.get("expected"))
    for key, name in KEY_GATES.items():
        gate = by_name.get(name)
        out[f"gate_{key}"] = metric_text(gate)
        out[f"gate_{key}_says"] = str((gate or {}).get("explanation", "not part of this run"))
        out[f"gate_{key}_status"] = str((gate or {}).get("status", "not part of this run"))
    return out


KEY_GATES = {
    "core_leakage": "core_leakage",
    "radial_leakage": "radial_profile_leakage",
    "core_fraction": "arc_core_fraction",
    "texture": "hard_negative_texture",
    "split_integrity": "split_integrity",
    "integrity": "data_integrity",
    "normalisation": "normalisation",
    "class_balance": "class_balance",
    "conditions": "observing_conditions",
    "photometry": "arc_photometry",
    "closure": "closure",
}


def _training(record: Mapping) -> dict[str, str]:
    """``record``: ``history`` (a DataFrame) and ``config`` (a mapping)."""
    history, config = record.get("history"), record.get("config") or {}
    out = {"epochs": "not measured", "best_epoch": "not measured", "best_val_auroc": "not measured"}
    out |= {"last_train_loss": "not measured", "last_val_loss": "not measured", "loss_gap": "not measured"}
    if history is not None and len(history):
        out["epochs"] = text(len(history))
        column = next((c for c in ("auroc_val", "val_auroc") if c in history), None)
        if column and history[column].notna().any():
            best = history[column].idxmax()
            out["best_epoch"] = text(int(history.loc[best].get("epoch", best)))
            row = history.loc[best]
            interval = {"ci_low": row.get(f"{column}_low"), "ci_high": row.get(f"{column}_high")}
            interval = {k: float(v) for k, v in interval.items() if v is not None and math.isfinite(v)}
            out["best_val_auroc"] = metric_text({"value": float(row[column])} | interval)
        last = history.iloc[-1]
        for name, column in (("train", "loss_train"), ("val", "loss_val")):
            out[f"last_{name}_loss"] = text(float(last[column])) if column in history else "not measured"
        if {"loss_train", "loss_val"} <= set(history.columns):
            out["loss_gap"] = text(float(last["loss_val"] - last["loss_train"]))
    out["weights"] = str((config.get("resolved") or {}).get("weights", "not recorded"))
    section = (config.get("profile") or {}).get("train") or {}
    for name in (
        "arch",
        "channels",
        "batch_size",
        "lr",
        "weight_decay",
        "hard_negative_ratio",
        "core_dropout_prob",
    ):
        out[name] = str(section.get(name, "not recorded"))
    return out | costs.training(record.get("benchmark") or {}) | _ablation(record.get("ablation"))


ABLATIONS = ("unpaired", "no_hard_negatives", "no_core_dropout", "scaled_core_dropout", "raw_and_residual")
ABLATIONS += ("sersic_sources", "seed_augmentation", "pretrained")
MORE_ABLATIONS = ("deeplens", "seed_clip", "seed_annulus", "four_negatives", "elliptical_residual", "replaced_conv1")


def _ablation(table) -> dict[str, str]:
    """AUROC difference of each variant of the full plan; ``table`` is a DataFrame or None."""
    out = {}
    for name in (*ABLATIONS, *MORE_ABLATIONS):
        key = f"ablation_{name}"
        rows = (
            [] if table is None else table[(table["variant"] == name) & (table["metric"] == "auroc")].to_dict("records")
        )
        if not rows or not math.isfinite(rows[0]["difference"]):
            command = "dhs ablate" if name in ABLATIONS else "dhs ablate --plan full"
            out[key] = (rows and rows[0]["reason"]) or f"not measured in this run ({command})"
            continue
        row = rows[0]
        seeds = ", ".join(f"{d:+.3f}" for d in row["difference_by_seed"])
        interval = "no interval"
        if math.isfinite(row["ci_low"]):
            interval = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
        out[key] = f"AUROC {row['difference']:+.3f} ({interval}; by seed {seeds})"
    return out


def _evaluation(evaluation: Mapping) -> dict[str, str]:
    out = costs.evaluation(evaluation.get("benchmark") or {}) | {"auroc": metric_text(evaluation.get("auroc"))}
    rates = [r for r in evaluation.get("tpr_at_fpr") or [] if _rate(r).get("value") is not None]
    lowest = min(rates, key=lambda r: r["fpr"]) if rates else None
    out["lowest_fpr"] = text(float(lowest["fpr"]), 4) if lowest else "not measured"
    out["tpr_at_lowest_fpr"] = metric_text(_rate(lowest)) if lowest else metric_text(None)
    for section in ("core_masked", "core_swap"):
        part = evaluation.get(section) or {}
        out[section] = metric_text(_first(part, ("auroc", "auc", "value")))
        out[f"{section}_change"] = metric_text(_first(part, ("delta", "change", "drop", "difference", "mean_change")))
    found = {r["name"]: r for r in (evaluation.get("interventions") or {}).get("interventions") or []}
    for name in ("core_light_removed", "outer_pixels_swapped", "ring_added", "arc_removed", "placebo_edge"):
        out[f"change_{name}"] = metric_text(found.get(name))
    shares = (evaluation.get("interventions") or {}).get("shares") or {}
    for name in ("ring", "core", "colour"):
        out[f"share_{name}"] = metric_text(shares.get(name))
    out["core_light"] = metric_text((evaluation.get("interventions") or {}).get("core_light"))
    out["plan"] = str((evaluation.get("plan") or {}).get("sha256", "not registered"))[:12]
    top, population = evaluation.get("top") or {}, evaluation.get("population") or {}
    for name in ("tpr0", "tpr10", "f1", "f1_at_prevalence"):
        out[name] = metric_text(top.get(name) or top)
    partial = top.get("partial_auc") or []
    out["partial_auc"] = metric_text(partial[-1]) if partial else metric_text(None)
    out["partial_auc_fpr"] = text(float(partial[-1]["max_fpr"])) if partial else "not measured"
    out["population_auroc"] = metric_text(population.get("auroc_survey") or population)
    out["population_n_effective"] = text(population.get("n_effective"), 1)
    out["population_above_floor"] = text(population.get("above_snr_floor"), 2)
    complete = evaluation.get("completeness") or {}
    out["completeness_fpr"] = text(complete.get("fpr"), 4)
    out["completeness_population"] = metric_text(complete.get("overall_population") or complete)
    out["completeness_unconditional"] = text(complete.get("overall_population_unconditional"))
    smooth = complete.get("smooth") or complete
    out["completeness_smooth"] = (
        f"not fitted ({str(smooth.get('reason', 'not part of this run')).rstrip('.')})"
        if "log_loss" not in smooth
        else f"log loss {text(smooth['log_loss'])} on unseen hosts, {text(smooth['log_loss_of_mean'])} for the mean"
    )
    display = (evaluation.get("realism") or {}).get("display") or {}
    out["realism_display"] = metric_text(display.get("auc") or display)
    out["realism_display_control"] = metric_text((display.get("control") or {}).get("auc") or display.get("control"))
    excess = display.get("excess") or {}
    out["realism_excess"] = metric_text(excess if excess.get("value") is not None else None)
    out["realism_names"] = names(display.get("names") or [], "nothing that was measured")
    out["realism_matched"] = text((display.get("matched") or {}).get("n"))
    misses = (evaluation.get("failures") or {}).get("misses") or {}
    out["n_missed"], out["n_unexplained"] = text(misses.get("n_missed")), text(misses.get("unexplained"))
    out["first_miss_cause"] = _largest_effect(misses.get("causes") or [])
    calibration = evaluation.get("calibration") or {}
    quality = (calibration.get("quality") or {}).get("temperature") or {}
    out["brier"] = metric_text(quality.get("brier") or calibration)
    out["ece_isotonic"] = text(calibration.get("ece_isotonic"))
    for name, stage in (("before", "before"), ("after", "temperature"), ("isotonic", "isotonic")):
        tested = (calibration.get("against_perfect") or {}).get(stage) or {}
        out[f"ece_{name}_null"], out[f"ece_{name}_p"] = text(tested.get("null_mean")), text(tested.get("p_value"))
    survey = calibration.get("survey") or {}
    out["promised_lenses"] = text(survey.get("promised_lenses"))
    out["prevalence"] = text((evaluation.get("purity") or {}).get("prevalence"))
    for key, candidates in {
        "ece_before": ("ece_before", "ece_raw", "ece"),
        "ece_after": ("ece_after", "ece_calibrated"),
        "temperature": ("temperature",),
    }.items():
        found = next((calibration[c] for c in candidates if calibration.get(c) is not None), None)
        out[key] = metric_text(found) if isinstance(found, Mapping) else text(found)
    for section, keys in {
        "purity": ("purity", "value"),
        "completeness": ("overall", "marginal", "value"),
        "realism": ("auc", "auroc", "probe", "value"),
        "hard_negatives": ("auroc", "accuracy", "value"),
        "baseline": ("radial_profile", "radial", "auroc", "value"),
        "bright_wide": ("auroc", "value"),
    }.items():
        source = "baselines" if section == "baseline" else section
        out[section] = metric_text(_first(evaluation.get(source) or {}, keys))
    for name, entries in (
        ("theta_e", "theta_e_arcsec"),
        ("snr", "arc_snr_matched"),
        ("psf", "psf_fwhm_r_arcsec"),
    ):
        known = [e for e in (evaluation.get("strata") or {}).get(entries) or [] if _rate(e).get("value") is not None]
        out[f"auroc_{name}_lowest_bin"] = metric_text(_rate(known[0])) if known else metric_text(None)
        out[f"auroc_{name}_highest_bin"] = metric_text(_rate(known[-1])) if known else metric_text(None)
    return out


def _largest_effect(causes: Sequence[Mapping]) -> str:
    """The first cause, as far as misses are more frequent with it than without."""
    if not causes:
        return "none"
    with_it, without = causes[0]["missed_with"], causes[0]["missed_without"]
    if None in (with_it["value"], without["value"]) or with_it["value"] <= without["value"]:
        return "none (no cause makes a miss likelier)"
    low, high = with_it["ci_low"], without["ci_high"]
    return str(causes[0]["cause"]) + (" (the intervals overlap)" if None in (low, high) or low <= high else "")


def _rate(entry: Mapping) -> Mapping:
    for key in ("tpr", "metric", "auroc"):
        if isinstance(entry.get(key), Mapping):
            return entry[key]
    return entry


def _first(section: Mapping, keys: Sequence[str]) -> Mapping | None:
    """The first metric of a section under one of the keys, or the reason why there is none."""
    for key in keys:
        found = section.get(key)
        if isinstance(found, Mapping) and "value" in found:
            return found
        if isinstance(found, Mapping):
            inner = _first(found, keys)
            if inner and inner.get("value") is not None:
                return inner
        if key == "value" and found is not None:
            return section
        if isinstance(found, int | float) and not isinstance(found, bool):
            return {"value": found}
    return section if section.get("status") == "skip" else None


def _real_lenses(part: Mapping) -> dict[str, str]:
    skipped = part.get("status") == "skip" or not part
    reason = part.get("reason") or part.get("explanation") or part.get("message") or "no real cutout was given"
    n = part.get("n_lenses", part.get("n", 0)) or 0
    out = {
        "real_status": "skip" if skipped else "scored",
        "real_reason": str(reason) if skipped else str(part.get("grade") or "grade not stated"),
    }
    out["n_real_lenses"] = text(int(n)) if not skipped else "0"
    recall = part.get("recall_at_fpr") or part.get("recall") or {}
    if isinstance(recall, Sequence) and not isinstance(recall, str):
        recall = min(recall, key=lambda r: r.get("fpr", 1)) if recall else {}  # the rate whose misses are explained
    out["real_recall_fpr"] = text(float(recall["fpr"]), 4) if recall.get("fpr") is not None else "not measured"
    metric = next((recall[k] for k in ("recall", "metric", "tpr") if isinstance(recall.get(k), Mapping)), recall)
    out["real_recall"] = "not measured (no real stamp was scored)" if skipped else metric_text(metric)
    return out


def _signoff(signoff: Mapping) -> dict[str, str]:
    out = {"decision": str(signoff.get("decision", "not measured"))}
    out["set_verdict"] = str(signoff.get("data_set") or "not decided")
    out["network_verdict"] = str(signoff.get("network") or "not decided").lower()
    out["plan"] = str(signoff.get("plan") or "not registered")[:12]
    cost = signoff.get("projection") or {}
    for key in ("inject_hours", "train_hours", "disk_gb"):
        out[f"paper_{key}"] = text(cost.get(key))
    answers = {a["number"]: a["text"] for a in signoff.get("answers") or []}
    for number in (3, 4, 5, 7):
        out[f"answer_{number}"] = answers.get(number, "not answered in this run")
    for key in ("blockers", "conditions", "recommended_changes", "priority_order"):
        entries = [_entry(e) for e in signoff.get(key) or []]
        out[f"n_{key}"] = text(len(entries))
        out[key] = "; ".join(e.rstrip(".") for e in entries) or "none"
        out[f"first_{key}"] = entries[0].rstrip(".") if entries else "none"
    return out


def _entry(entry) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    keys = ("text", "message", "what", "experiment", "change", "explanation", "reason", "name")
    return next((str(entry[k]) for k in keys if entry.get(k)), "unnamed")
