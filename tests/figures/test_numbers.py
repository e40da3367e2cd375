"""Numbers for prose: as many digits as the interval leaves, a key whether measured or not, and no key misspelt."""

import pandas as pd
import pytest

from dhs.artefacts.evaluation import MissCause
from dhs.errors import DhsError
from dhs.figures.numbers.evaluation import largest_effect
from dhs.figures.numbers.glue import MAKERS, glued
from dhs.figures.numbers.words import counted, digits_of, full, listed, number, one_in, percent, short
from dhs.validation.ablation.ablate import load_plan

ARTEFACTS = ("preflight", "evaluation", "real_lenses", "signoff")


def metric(value, low=None, high=None, **more):
    return {"value": value, "ci_low": low, "ci_high": high, **more}


def test_a_short_number_has_the_digits_its_interval_leaves_and_a_full_one_its_sizes():
    found = metric(0.91234, 0.893, 0.931, n=4000, n_hosts=300, n_sources=None)
    assert short(found) == "0.91 (0.89 to 0.93)"
    assert full(found) == "0.912 (0.893 to 0.931, n = 4,000, hosts = 300)"
    assert short(metric(0.0004, -0.001, 0.001), True) == "0.000 (-0.001 to +0.001)", "no sign on a zero"
    assert short(metric(0.0003, 0.0001, 0.0009)) == "0.0003 (0.0001 to 0.0009)"
    assert short(metric(0.9)) == "0.90 (no interval)"
    assert short(None) == short(metric(None)) == full(metric(None)) == percent(metric(None)) == ""
    assert percent(metric(0.131, 0.11, 0.15)) == "13 % (11 to 15)"
    assert [digits_of(0, w) for w in (0.2, 0.02, 0.009, 1e-4)] == [2, 2, 3, 4]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (float("nan"), ""),
        (3000, "3,000"),
        (0.5, "0.50"),
        (2e-5, "0.000020"),
        (0.0, "0.00"),
        (-1e-9, "-1e-09"),
    ],
)
def test_a_number(value, shown):
    assert number(value) == shown


def test_words():
    assert listed(["a", "b_c", "d"]) == "a, b c and d" and listed(["a"]) == "a" and listed([]) == ""
    assert (counted(1, "gate"), counted(3, "gate"), counted(40, "lens", "lenses")) == (
        "one gate",
        "three gates",
        "40 lenses",
    )
    assert (one_in(0.25), one_in(1 / 128), one_in(1 / 6890), one_in(0)) == (
        "one in 4",
        "one in 130",
        "one in 6,900",
        "",
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_every_key_is_there_without_an_artefact_and_no_sentence_says_that_it_is_missing(kind):
    found = glued({}, kind)
    assert found and all(isinstance(v, str) for v in found.values())
    assert not [v for v in found.values() if "not measured" in v or "None" in v]


def test_keys_do_not_depend_on_what_was_measured(smoke, history, config):
    for kind in ARTEFACTS:
        assert set(glued(smoke(kind), kind)) == set(glued({}, kind)), kind
    assert set(glued(smoke("manifest"), "pairs")) == set(glued({}, "pairs"))
    assert set(glued({"history": history, "config": config}, "training")) == set(glued({}, "training"))
    about = {k: smoke(k) for k in ("manifest", *ARTEFACTS)}
    assert set(glued(about, "story")) == set(glued({}, "story"))


UNMEASURED = {"realism_display", "realism_display_control", "realism_excess", "realism_matched", "realism_names"}
UNMEASURED |= {"share_ring", "share_core", "share_colour", "says_ring", "says_core", "says_change_of_light"}
UNMEASURED |= {"evaluation_cost", "n_fail", "gates_fail", "gates_skip", "n_skip", "none_scored", "blockers"}
UNMEASURED |= {"completeness_smooth", "publish_lines"}
"""What the stored run has no pictures or too few arcs for, or nothing of."""


def test_a_whole_run_leaves_nothing_empty_by_a_wrong_key(history, config, smoke):
    artefacts = {"training": {"history": history, "config": config}} | {name: smoke(name) for name in ARTEFACTS}
    for kind, artefact in artefacts.items():
        left = {k for k, v in glued(artefact, kind).items() if not v}
        assert {k for k in left if not k.startswith(("bench", "ablation"))} <= UNMEASURED, kind


def test_pairs_say_what_is_mock(pairs):
    shown = glued(pairs.manifest, "pairs")
    assert shown["hosts_kind"].startswith("simulated host") and shown["sources_kind"].startswith("real source")
    assert shown["mock_label"].startswith("The hosts of this run are simulated")
    assert shown["n_pairs"] == "42" and shown["acceptance"] == "50 of 100"
    assert shown["sources_per_split"] == "20 for training, 5 for validation and 9 for the test"


def test_evaluation_reports_what_its_sections_hold(evaluation):
    shown = glued(evaluation, "evaluation")
    lowest = evaluation["tpr_at_fpr"][-1]
    assert shown["lowest_fpr"] == f"{lowest['fpr']:.3f}" and shown["tpr_at_lowest_fpr"] == short(lowest["tpr"])
    assert shown["core_masked"] == short(evaluation["core_masked"]["auroc"])
    assert shown["core_swap_change"] == short(evaluation["core_swap"]["delta"], True)
    assert shown["ece_after"] == number(evaluation["calibration"]["ece_after"])
    assert shown["brier"] == short(evaluation["calibration"]["quality"]["temperature"]["brier"])
    assert shown["baseline"] == short(evaluation["baselines"]["radial_profile"]["auroc"])
    assert shown["purity"] == short(evaluation["purity"]["purity"]) and shown["prevalence"] == "10⁻⁴"
    assert shown["realism"] == short(evaluation["realism"]["auc"])
    bins = [b for b in evaluation["strata"]["theta_e_arcsec"] if b["value"] is not None]
    assert shown["auroc_theta_e_highest_bin"] == short(bins[-1])
    skip = {"status": "skip", "reason": "not made at this size."}
    shown = glued(evaluation | {"core_swap": skip, "calibration": skip}, "evaluation")
    assert shown["core_swap"] == shown["core_swap_change"] == shown["brier"] == shown["says_calibrated"] == ""


def test_an_artefact_that_has_lost_a_key_says_so_in_one_line(evaluation):
    evaluation["calibration"].pop("ece_after")
    with pytest.raises(DhsError, match=r"^evaluation.json: calibration.ece_after: field required.*another version"):
        glued(evaluation, "evaluation")


def test_preflight_counts(report):
    shown = glued(report, "preflight")
    counts = [sum(g["status"] == s for g in report["gates"]) for s in ("pass", "warn", "fail", "skip")]
    assert [shown[f"n_{s}"] for s in ("pass", "warn", "fail", "skip")] == [str(n) for n in counts]
    core = next(g for g in report["gates"] if g["name"] == "core_leakage")
    assert shown["gate_core_leakage"] == short(core) and shown["core_delta"] == short(core["details"]["delta"], True)
    assert shown["core_concordance"] == short(core["details"]["concordance"])
    assert shown["gates_says"].startswith(f"{counts[0]} of {sum(counts)} gates passed; ")


def test_training_reads_the_best_epoch(history, config):
    shown = glued({"history": history, "config": config}, "training")
    best = history.loc[history["auroc_val"].idxmax()]
    assert shown["best_epoch"] == str(int(best["epoch"])) and shown["weights"] == config["resolved"]["weights"]
    assert shown["best_val_auroc"].startswith(f"{best['auroc_val']:.2f}")


def test_the_best_epoch_is_that_of_the_runs_own_monitor(history, config):
    profile = config.profile | {"train": config.profile["train"] | {"monitor": "loss_val"}}
    config = config.model_copy(update={"profile": profile})
    shown = glued({"history": history, "config": config}, "training")
    assert shown["best_epoch"] == str(int(history.loc[history["loss_val"].idxmin(), "epoch"]))


@pytest.mark.parametrize(
    ("gap", "says"), [(-0.08, "no overfitting"), (0.1, "hardly begun"), (0.5, "has learnt its pairs")]
)
def test_the_distance_of_the_losses_is_told_by_what_it_means(history, gap, says):
    history = history.assign(loss_train=0.5, loss_val=0.5 + gap)
    assert says in glued({"history": history}, "training")["says_gap"]


def test_look_alikes_that_pass_more_and_more_are_told(history):
    falling = history.assign(hard_negative_accuracy=[0.9 - 0.15 * k for k in range(len(history))])
    said = glued({"history": falling}, "training")["says_lookalikes"]
    assert "it fell as training went on" in said and said.endswith("The AUROC against twins does not show it.")
    even = glued({"history": history.assign(hard_negative_accuracy=0.8)}, "training")["says_lookalikes"]
    assert "fell" not in even and "rose" not in even


def test_ablations_are_told_with_interval_and_seeds_or_not_at_all():
    row = {"variant": "unpaired", "metric": "auroc", "difference": -0.02, "ci_low": -0.04, "ci_high": 0.001}
    row |= {"difference_by_seed": [-0.03, -0.01], "reason": ""}
    skip = row | {"variant": "pretrained", "difference": float("nan"), "reason": "no weights"}
    shown = glued({"ablation": pd.DataFrame([row, skip])}, "training")
    assert shown["ablation_unpaired"] == "AUROC -0.02 (-0.04 to 0.00); by seed -0.030, -0.010"
    assert "controls of other galaxies instead changes the AUROC by -0.02" in shown["ablation_unpaired_says"]
    assert shown["ablation_pretrained"] == shown["ablation_no_hard_negatives_says"] == ""
    assert shown["ablation_measured"] == "1 of 14"
    variants = {f"ablation_{v.name}" for v in load_plan("full").variants} - {"ablation_reference", "ablation_half"}
    assert variants == {k for k in shown if k.startswith("ablation_") and not k.endswith(("_says", "_measured"))}


def test_training_tells_what_the_stored_benchmark_measured():
    bench = {"ratio_vs_plain_fp32_loop": 1.7123, "stamps_per_s_ours": 251.4, "ddp_live_loss_difference": 0.0123}
    shown = glued({"benchmark": bench}, "training")
    assert (shown["bench_vs_plain"], shown["bench_rate"], shown["bench_ddp_live"]) == ("1.7", "251", "0.012")
    assert shown["bench_reading"] == ""


def test_real_recall_is_that_of_the_rate_whose_misses_are_explained(smoke):
    real = smoke("real_lenses")
    got = glued(real, "real_lenses")
    last = min(real["recall_at_fpr"], key=lambda e: e["fpr"])
    assert got["real_recall_fpr"] == f"{last['fpr']:.3f}" and got["real_recall"] == short(last["recall"])
    assert got["none_scored"] == "" and glued({}, "real_lenses")["none_scored"]


def test_a_cause_is_named_only_as_far_as_it_makes_a_miss_likelier():
    def named(with_it, without):
        keys = ("value", "ci_low", "ci_high")
        cause = {"cause": "faint arc", "n": 1, "fix": "", "examples": ()}
        rates = {"missed_with": dict(zip(keys, with_it)), "missed_without": dict(zip(keys, without))}
        return largest_effect([MissCause(**cause, **rates)])

    assert named((0.9, 0.8, 0.95), (0.5, 0.4, 0.6)).startswith("Misses are likeliest with *faint arc*: 90 %")
    assert "overlap" in named((0.9, 0.5, 0.95), (0.8, 0.4, 0.9))
    assert named((0.5, 0.4, 0.6), (0.9, 0.8, 0.95)).startswith("No cause") and largest_effect([]) == ""


def test_costs_are_told_from_stored_benchmarks_or_not_at_all():
    run = {"n_passes": 12345, "evaluate_s": 90.0, "ratio": 1.25, "peak_gb": 1.5}
    said = glued({"benchmark": {"date": "2026-01-01", "cores": 2, "runs": [run]}}, "evaluation")["evaluation_cost"]
    assert said == (
        "On 2 cores an evaluation of 12,345 forward passes took 1.5 minutes, 1.2 times what the bare network needs "
        "for them."
    )
    assert glued({}, "evaluation")["evaluation_cost"] == ""


def test_the_sign_off_says_each_condition_once_and_what_was_not_measured_together(smoke):
    lines = [{"text": f"Not measured: {n} (few).", "remedy": "More pairs.", "source": "s"} for n in ("a", "b")]
    lines += [
        {"text": "Bad | thing.", "remedy": "See `a.b_c`.", "source": "s", "severity": "blocker", "about": "network"}
    ]
    found = smoke("signoff") | {"blockers": [], "conditions": [x | {"about": "network"} for x in lines]}
    rows = glued(found, "signoff")["publish_lines"].splitlines()[2:]
    assert rows == ["| **Blocker.** Bad \\| thing. | See `a.b_c`. |", "| Not measured: a and b. | More pairs. |"]
    decided = [
        ("GO", "USEFUL"),
        ("NO-GO", "USEFUL"),
        ("CONDITIONAL-GO", "OF LIMITED USE"),
        ("CONDITIONAL-GO", "NOT SHOWN TO BE USEFUL"),
    ]
    said = [glued(found | {"publish": p, "network": n}, "signoff")["publish_says"].split(".")[0] for p, n in decided]
    assert said[0].startswith("Yes, as an audit and as a finder") and said[1].startswith("No: a blocker")
    assert said[2].startswith("As an audit, yes; as a finder only with") and said[3] == "As an audit of the set, yes"
    trained = [glued(found | {"data_set": d}, "signoff")["train_says"].split(":")[0] for d in ("GO", "NO-GO")]
    assert trained == ["Yes", "No"]
