"""Time and memory as they stand in prose, from the stored benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from dhs.artefacts.parts import text


def training(bench: Mapping) -> dict[str, str]:
    """What ``benchmarks/training.py`` stored."""
    out = {"bench_precision": str(bench.get("precision", "not measured"))}
    for key, name, digits in (
        ("bench_vs_plain", "ratio_vs_plain_fp32_loop", 2),
        ("bench_rate", "stamps_per_s_ours", 0),
        ("bench_rate_plain", "stamps_per_s_plain", 0),
        ("bench_auroc", "auroc_ours", 3),
        ("bench_auroc_plain", "auroc_plain", 3),
        ("bench_loader", "loader_overhead", 2),
        ("bench_vs_v5", "ratio_vs_v5_loader", 1),
        ("bench_scoring", "scoring_vs_bare_forward", 2),
        ("bench_ddp_frozen", "ddp_frozen_loss_difference", 3),
        ("bench_ddp_live", "ddp_live_loss_difference", 3),
    ):
        out[key] = text(bench.get(name), digits)
    return out


def evaluation(bench: Mapping) -> dict[str, str]:
    """What ``benchmarks/evaluation.py`` stored, as one sentence."""
    runs = bench.get("runs") or []
    if not runs:
        return {"evaluation_cost": "Not measured yet: benchmarks/evaluation.py does it."}
    said = "; ".join(
        f"{text(run['n_passes'])} forward passes in {text(run['evaluate_s'] / 60, 1)} minutes, "
        f"{text(run['ratio'], 2)} times what the bare network needs for them, and {text(run['peak_gb'], 2)} GB"
        for run in runs
    )
    return {"evaluation_cost": f"On {bench['date']}, on {bench['cores']} cores: {said}."}


def scale(measured: Mapping) -> dict[str, str]:
    """The stored measurement and what it makes of 10^8 cutouts, as sentences: whole ones, measured or not."""
    target, runs = 1e8, measured.get("runs") or []
    if not runs:
        absent = "Not measured yet: benchmarks/scale.py does it."
        return {"scale_measured": absent, "scale_needs": "Without a rate there is no plan.", "scale_held": "unmeasured"}
    last, own = runs[-1], measured["own_hosts"]
    spark = measured.get("spark_speedup")
    said = [
        f"On {measured['date']}, on {measured['cores']} cores, {text(last['pairs'])} pairs took "
        f"{text(last['wall_s'] / 60, 1)} minutes and at most {text(last['peak_gb'], 2)} GB over all processes "
        f"together: {text(last['pairs_per_cpu_s'], 1)} pairs for each second of a core. They share some thousand mock "
        f"hosts. With a host for every pair it is {text(own['pairs_per_cpu_s'], 1)} pairs, and "
        f"{text(own['bytes_per_pair'] / 1e3, 1)} kB a pair on disk: that is what a survey costs.",
        f"Wall time grows with the number of pairs to the power {text(measured['slope_wall'], 2)}.",
        f"Spark on two cores is {text(spark, 2)} times as fast as on one." if spark else "Spark was not measured.",
    ]
    objects = 2e-6 * target * own["parts"] / own["pairs"]
    return {
        "scale_measured": " ".join(said),
        "scale_needs": f"A host each, they take {text(round(target / own['pairs_per_cpu_s'] / 3600))} core hours and "
        f"{text(own['bytes_per_pair'] * target / 1e12, 2)} TB, in {text(objects, 2)} million objects.",
        "scale_held": f"{text(measured['plan_bytes_per_pair'] * target / 1e9, 1)} GB",
    }


def plan_on_gpu(measured: Mapping) -> dict[str, str]:
    """The seed's plan on one graphics processor, as sentences that follow from what was measured."""
    runs = measured.get("recipes") or {}
    plan, finder = (runs.get(name) or {} for name in ("plan", "finder"))
    if not plan.get("history"):
        return {
            "plan_run": "Not measured yet: benchmarks/plan_on_gpu.py does it.",
            "plan_learning": "",
            "plan_plateau": "",
        }
    aurocs = [row["auroc_val"] for row in plan["history"]]
    peak, last = max(aurocs), aurocs[-1]
    pairs = sum(measured["data"]["counts"].values())
    made, trained = (text(round(n)) for n in (measured["data"]["pairs_per_s"], plan["stamps_per_s"]))
    ran = (
        f"{text(pairs)} pairs on {text(measured['data']['hosts']['n'])} mock galaxies were made by "
        f"{measured['machine']['cores']} cores at {made} a second and trained on "
        f"one {measured['machine']['device']} at {trained} stamps a second: {plan['epochs']} of "
        f"the plan's {plan['epochs_asked']} epochs fitted into the ten minutes that there were."
    )
    learnt = f"The plan's network is best at epoch {plan['best_epoch']}, with a validation AUROC of {text(peak, 3)}"
    losses = [plan["history"][i]["loss_val"] for i in (aurocs.index(peak), -1)]
    hosts = measured["data"]["hosts"]["per_split"]["train"]
    if last < peak - 0.005 and losses[1] > losses[0]:
        learnt += (
            f"; by epoch {plan['epochs']} it has fallen to {text(last, 3)} while the training loss still falls. It saw "
            f"{text(hosts)} distinct galaxies, some {text(round(measured['data']['counts']['train'] / hosts))} pairs "
            "each, and may be learning those: more galaxies would tell."
        )
    else:
        learnt += "."
    if finder.get("history"):
        learnt += _finder(finder, runs.get("finder_few_galaxies") or {}) + _leaning(plan, finder)
    return {"plan_run": ran, "plan_learning": learnt, "plan_plateau": _plateau(runs)}


def _finder(finder: Mapping, before: Mapping) -> str:
    """What the finder was trained on, and what more galaxies and survey negatives did for it."""
    about, of = finder["about"], finder.get("data") or {}
    said = f" A network of {text(about['parameters'] / 1e6, 1)} million parameters, half of its negatives look-alikes"
    if about.get("survey_share"):
        said += f" and {text(round(100 * about['survey_share']))} % of the rest survey galaxies"
    if galaxies := ((of.get("hosts") or {}).get("per_split") or {}).get("train"):
        said += f", trained on {text(galaxies)} distinct galaxies"
    said += f" for {finder['epochs']} epochs"
    now, then = (_recall_at(run, 1e-3) for run in (finder, before))
    if now is None:
        return said + "."
    said += f", finds {_percent(now)} of the arcs at one false alarm in a thousand survey negatives"
    if then is None:
        return said + "."
    said += f"; trained on a few thousand galaxies and no survey negatives the same network found {_percent(then)}"
    apart = now["ci_low"] > then["ci_high"] or now["ci_high"] < then["ci_low"]
    return said + (". Galaxies, negatives and epochs were changed together." if apart else ", within the error.")


def _recall_at(run: Mapping, fpr: float) -> Mapping | None:
    """Recall at a false-positive rate that an evaluation supports, with its interval."""
    found = (e["tpr"] for e in (run.get("evaluation") or {}).get("tpr_at_fpr") or [] if abs(e["fpr"] / fpr - 1) < 0.01)
    metric = next(found, None)
    return metric if metric and None not in (metric["value"], metric["ci_low"], metric["ci_high"]) else None


def _percent(metric: Mapping) -> str:
    low, value, high = (100 * metric[k] for k in ("ci_low", "value", "ci_high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def _leaning(plan: Mapping, finder: Mapping) -> str:
    """What masking the core costs either network, where both were judged."""
    found = [(r.get("evaluation") or {}).get("core_masked") or {} for r in (plan, finder)]
    masked = [(f.get("auroc") or {}).get("value") for f in found]
    if None in masked:
        return ""
    dropout = [(r.get("config") or {}).get("core_dropout_prob") for r in (plan, finder)]
    return (
        f" With the core masked its AUROC against twins is {text(masked[1], 2)}, that of the plan's network "
        f"{text(masked[0], 2)}; both were trained with core dropout."
        if dropout[1]
        else f" With the core masked its AUROC against twins falls to {text(masked[1], 2)}, that of the plan's, "
        f"trained with core dropout, to {text(masked[0], 2)}."
    )


def _plateau(runs: Mapping) -> str:
    """Whether positives' logits follow the prediction ln(1 / ratio), from short trainings at several ratios."""
    ended = {float(n.removeprefix("ratio_")): r for n, r in runs.items() if n.startswith("ratio_") and r.get("history")}
    found = [(k, r["history"][-1]["positive_logit_median"], r["predicted_plateau"]) for k, r in sorted(ended.items())]
    if len(found) < 2:
        return ""
    said = "; ".join(f"{text(ratio, 1)}: {text(logit, 2)} (predicted {text(want, 2)})" for ratio, logit, want in found)
    epochs = " and ".join(str(n) for n in sorted({r["epochs"] for r in ended.values()}))
    falls = all(a[1] > b[1] for a, b in pairwise(found))
    verdict = (
        f"The order is the predicted one; after {epochs} epochs the values are no test of it."
        if falls
        else "The order is not the predicted one."
    )
    return f"Median logit of positives by share of look-alikes among the negatives, {said}. {verdict}"
