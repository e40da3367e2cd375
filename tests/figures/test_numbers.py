"""Numbers for prose carry their interval and sizes, and what is missing says so."""

import pandas as pd
import pytest

from dhs.artefacts.evaluation import MissCause
from dhs.artefacts.parts import metric_text, text
from dhs.errors import DhsError
from dhs.figures import glued
from dhs.figures.numbers.evaluation import largest_effect
from dhs.validation.ablation.ablate import load_plan

KINDS = ("pairs", "preflight", "training", "evaluation", "real_lenses", "signoff")


def test_metric_text_keeps_interval_and_sizes():
    metric = {"value": 0.91234, "ci_low": 0.88, "ci_high": 0.94, "n": 4000, "n_hosts": 300, "n_sources": None}
    assert metric_text(metric) == "0.912 (0.880 to 0.940, n = 4,000, hosts = 300)"
    assert metric_text(metric | {"ci_low": None, "n": 5, "n_hosts": 0}) == "0.912 (no interval, n = 5)"
    assert metric_text({"value": None, "flags": ["one_class"]}) == "not measured (one class)"
    assert metric_text(None) == "not measured (not part of this run)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not measured"),
        (float("nan"), "not measured"),
        (3000, "3,000"),
        (0.5, "0.500"),
        (2e-5, "2e-05"),
        (True, "yes"),
        (0.0, "0.000"),
    ],
)
def test_text(value, shown):
    assert text(value) == shown


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_there_without_an_artefact(kind):
    assert all(isinstance(v, str) and v for v in glued({}, kind).values())


def test_keys_do_not_depend_on_what_was_measured(smoke, evaluation, history, config, report):
    assert set(glued(smoke("manifest"), "pairs")) == set(glued({}, "pairs"))
    assert set(glued(report, "preflight")) == set(glued({}, "preflight"))
    assert set(glued(evaluation, "evaluation")) == set(glued({}, "evaluation"))
    assert set(glued({"history": history, "config": config}, "training")) == set(glued({}, "training"))
    assert set(glued(smoke("real_lenses"), "real_lenses")) == set(glued({}, "real_lenses"))
    assert set(glued(smoke("signoff"), "signoff")) == set(glued({}, "signoff"))


UNMEASURED = {"completeness_smooth", "realism_display", "realism_display_control", "realism_excess", "realism_matched"}
UNMEASURED |= {"share_ring", "share_core", "share_colour"}
"""What the stored run has no pictures or too few arcs for."""


def test_a_whole_run_leaves_nothing_unmeasured_by_a_wrong_key(evaluation, history, config, report, smoke):
    artefacts = {"evaluation": evaluation, "training": {"history": history, "config": config}, "preflight": report}
    artefacts |= {name: smoke(name) for name in ("real_lenses", "signoff")}
    for kind, artefact in artefacts.items():
        shown = glued(artefact, kind)
        left = {k for k, v in shown.items() if v.startswith("not measured (not part") or v == "not measured"}
        assert {k for k in left if not k.startswith(("bench", "ablation", "population"))} <= UNMEASURED, kind


def test_pairs_say_what_is_mock(pairs):
    shown = glued(pairs.manifest, "pairs")
    assert "MOCK" in shown["hosts_kind"] and "MOCK" not in shown["sources_kind"]
    assert "hosts of this run are MOCK" in shown["mock_label"]
    assert shown["n_pairs"] == "42" and shown["acceptance"] == "50 %"
    assert shown["sources_per_split"] == "20 in train, 5 in val, 9 in test"


def test_evaluation_reports_what_its_sections_hold(evaluation):
    shown = glued(evaluation, "evaluation")
    lowest = evaluation["tpr_at_fpr"][-1]
    assert shown["lowest_fpr"] == f"{lowest['fpr']:.4f}" and shown["tpr_at_lowest_fpr"] == metric_text(lowest["tpr"])
    assert shown["core_masked"] == metric_text(evaluation["core_masked"]["auroc"])
    assert shown["core_swap_change"] == metric_text(evaluation["core_swap"]["delta"])
    assert shown["ece_after"] == text(evaluation["calibration"]["ece_after"])
    assert shown["brier"] == metric_text(evaluation["calibration"]["quality"]["temperature"]["brier"])
    assert shown["baseline"] == metric_text(evaluation["baselines"]["radial_profile"]["auroc"])
    assert shown["purity"] == metric_text(evaluation["purity"]["purity"])
    assert shown["realism"] == metric_text(evaluation["realism"]["auc"])
    bins = [b for b in evaluation["strata"]["theta_e_arcsec"] if b["value"] is not None]
    assert shown["auroc_theta_e_highest_bin"] == metric_text(bins[-1])
    skip = {"status": "skip", "reason": "not made at this size."}
    shown = glued(evaluation | {"core_swap": skip, "calibration": skip}, "evaluation")
    assert shown["core_swap"] == "not measured (not made at this size)" == shown["core_swap_change"] == shown["brier"]


def test_an_artefact_that_has_lost_a_key_says_so_in_one_line(evaluation):
    evaluation["calibration"].pop("ece_after")
    with pytest.raises(DhsError, match=r"^evaluation.json: calibration.ece_after: field required.*another version"):
        glued(evaluation, "evaluation")


def test_preflight_counts(report):
    shown = glued(report, "preflight")
    counts = [sum(g["status"] == s for g in report["gates"]) for s in ("pass", "warn", "fail", "skip")]
    assert [shown[f"n_{s}"] for s in ("pass", "warn", "fail", "skip")] == [str(n) for n in counts]
    core = next(g for g in report["gates"] if g["name"] == "core_leakage")
    assert shown["gate_core_leakage"] == metric_text(core) and shown["gate_core_leakage_says"] == core["explanation"]
    assert shown["core_concordance"] == metric_text(core["details"]["concordance"])


def test_training_reads_the_best_epoch(history, config):
    shown = glued({"history": history, "config": config}, "training")
    best = history.loc[history["auroc_val"].idxmax()]
    assert shown["best_epoch"] == str(int(best["epoch"])) and shown["weights"] == config["resolved"]["weights"]
    assert shown["best_val_auroc"].startswith(f"{best['auroc_val']:.3f}")


def test_the_best_epoch_is_that_of_the_runs_own_monitor(history, config):
    profile = config.profile | {"train": config.profile["train"] | {"monitor": "loss_val"}}
    config = config.model_copy(update={"profile": profile})
    shown = glued({"history": history, "config": config}, "training")
    assert shown["best_epoch"] == str(int(history.loc[history["loss_val"].idxmin(), "epoch"]))


def test_ablations_are_told_with_interval_and_seeds_or_why_not():
    row = {"variant": "unpaired", "metric": "auroc", "difference": -0.02, "ci_low": -0.04, "ci_high": 0.001}
    row |= {"difference_by_seed": [-0.03, -0.01], "reason": ""}
    skip = row | {"variant": "pretrained", "difference": float("nan"), "reason": "no weights"}
    shown = glued({"ablation": pd.DataFrame([row, skip])}, "training")
    assert shown["ablation_unpaired"] == "AUROC -0.020 (-0.040 to +0.001; by seed -0.030, -0.010)"
    assert shown["ablation_pretrained"] == "no weights"
    assert shown["ablation_no_hard_negatives"] == "not measured in this run (dhs ablate)"
    assert shown["ablation_deeplens"] == "not measured in this run (dhs ablate --plan full)"
    plans = [
        {f"ablation_{v.name}" for v in load_plan(p).variants} - {"ablation_reference"} for p in ("default", "full")
    ]
    assert plans[1] - {"ablation_half"} == {k for k in shown if k.startswith("ablation_")}
    assert plans[0] - {"ablation_half"} == {k for k, v in glued({}, "training").items() if v.endswith("(dhs ablate)")}


def test_training_tells_what_the_stored_benchmark_measured():
    bench = {"ratio_vs_plain_fp32_loop": 1.7123, "stamps_per_s_ours": 251.4, "ddp_live_loss_difference": 0.0123}
    shown = glued({"benchmark": bench}, "training")
    assert (shown["bench_vs_plain"], shown["bench_rate"], shown["bench_ddp_live"]) == ("1.71", "251", "0.012")
    assert shown["bench_scoring"] == "not measured"


def test_real_recall_is_that_of_the_rate_whose_misses_are_explained(smoke):
    real = smoke("real_lenses")
    got = glued(real, "real_lenses")
    last = min(real["recall_at_fpr"], key=lambda e: e["fpr"])
    assert got["real_recall_fpr"] == f"{last['fpr']:.4f}" and got["real_recall"] == metric_text(last["recall"])


def test_a_cause_is_named_only_as_far_as_it_makes_a_miss_likelier():
    def named(with_it, without):
        keys = ("value", "ci_low", "ci_high")
        cause = {"cause": "faint arc", "n": 1, "fix": "", "examples": ()}
        cause |= {"missed_with": dict(zip(keys, with_it)), "missed_without": dict(zip(keys, without))}
        return largest_effect([MissCause.model_validate(cause)])

    assert named((0.8, 0.7, 0.9), (0.2, 0.1, 0.3)) == "faint arc"
    assert named((0.4, 0.2, 0.6), (0.3, 0.1, 0.5)) == "faint arc (the intervals overlap)"
    assert named((1.0, 0.7, 1.0), (1.0, 0.7, 1.0)).startswith("none")
    assert named((None, None, None), (1.0, 0.7, 1.0)).startswith("none")


def test_the_cost_of_an_evaluation_is_told_from_the_stored_benchmark():
    from dhs.figures.numbers import costs

    assert "Not measured yet" in costs.evaluation({})["evaluation_cost"]
    run = {"n_passes": 12345, "evaluate_s": 90.0, "ratio": 1.25, "peak_gb": 1.5}
    said = costs.evaluation({"date": "2026-01-01", "cores": 2, "runs": [run]})["evaluation_cost"]
    assert said == (
        "On 2026-01-01, on 2 cores: 12,345 forward passes in 1.5 minutes, 1.25 times what the bare network needs for "
        "them, and 1.50 GB."
    )
