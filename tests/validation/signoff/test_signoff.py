"""The sign-off: rules are data, every line carries number, file and bound."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pytest

from dhs import storage
from dhs.config import digest
from dhs.datasets import preregistration
from dhs.errors import DhsError
from dhs.validation.signoff.artefacts import MISSING, lookup, projected
from dhs.validation.signoff.signoff import SignOff, load_rules, signoff


def metric(value, low=None, high=None):
    low, high = (value if low is None else low), (value if high is None else high)
    return {
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "n": 100,
        "n_hosts": 100,
        "n_sources": 50,
        "flags": [],
    }


def gate(name, status, blocking=True):
    return {"name": name, "status": status, "blocking": blocking, "explanation": "seen", "remedy": "Mend it."}


def bin_of(low, value):
    return {"lo": low, "hi": low + 0.5, **metric(value)}


PLAN = {"gates": {"alpha": 0.05}}


def good() -> dict:
    """Documents of a run against which nothing stands."""
    hosts = {"mock": False, "known_lens_catalogue": "lenscat"}
    config = {"train": {"core_dropout_radius_px": 5.0, "stretch": "asinh", "augment": True}}
    return {
        "preflight.json": {
            "decision": "GO",
            "gates": [gate("core_leakage", "pass")],
            "data": {"content_hash": "h", "plan": digest(PLAN)},
        },
        "pairs/manifest.json": {
            "hosts": hosts,
            "sources": {"mock": False, "per_split": {"test": 40}},
            "counts": {"train": 700, "val": 150, "test": 150},
            "content_hash": "h",
            "config": config,
        },
        "pairs/run.json": {"pairs_per_s": 10.0},
        "pairs/plan.json": {"plan": PLAN, "sha256": digest(PLAN), "amendments": []},
        "real_lenses.json": {"status": "scored", "n_lenses": 50},
        "evaluation.json": {
            "data": {"content_hash": "h"},
            "checkpoint": {"same_data": True},
            "auroc": metric(0.95, 0.93, 0.97),
            "baselines": {
                "network": {"val": metric(0.95, 0.93, 0.97)},
                "radial_profile": {"val": metric(0.8)},
            },
            "bright_wide": {"auroc": metric(0.99)},
            "core_masked": {"auroc": metric(0.9)},
            "core_swap": {"auroc": metric(0.9)},
            "hard_negatives": {
                "auroc": metric(0.8),
                "by_kind": {"lookalike": {"fraction_above_threshold": metric(0.02)}},
            },
            "tpr_at_fpr": [{"fpr": 0.1, "tpr": metric(0.9)}, {"fpr": 0.001, "tpr": metric(0.5)}],
            "survey_negatives": {"mock": False},
            "calibration": {"against_perfect": {"temperature": {"excess": -0.01, "p_value": 0.6}}},
            "realism": {"status": "done"},
            "plan": {"sha256": digest(PLAN), "trained_as_planned": True},
            "interventions": {
                "interventions": [
                    {"name": "core_light_removed", **metric(-1.0)},
                    {"name": "outer_pixels_swapped", **metric(-5.0)},
                    {"name": "ring_added", **metric(-2.0), "by_theta_e": [bin_of(0.5, -2.0), bin_of(1.0, -2.2)]},
                    {"name": "source_occulted", **metric(-3.0)},
                    {"name": "arc_removed", **metric(-3.0), "by_theta_e": [bin_of(0.5, -3.0), bin_of(1.0, -3.0)]},
                ]
            },
        },
    }


HISTORY = "epoch,loss_train,loss_val,auroc_val,seconds,seen_ids\n1,0.6,0.6,0.8,30,700\n2,0.4,0.5,0.9,20,700\n"


def write(folder, documents, history=HISTORY):
    for name, data in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
    (folder / "train").mkdir(exist_ok=True)
    if history:
        (folder / "train" / "history.csv").write_text(history)
    return folder


def put(documents, name, path, value):
    *head, last = path.split(".")
    place = documents[name]
    for part in head:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value


def test_nothing_against_it_is_go(tmp_path):
    got = signoff(write(tmp_path, good()))
    assert (got.decision, got.blockers, got.conditions, got.caps) == ("GO", (), (), ())
    assert got.stage == "after training" and got.exit_code == 0
    standing = {c["rule"]: c for c in got.recommended_changes}
    assert set(standing) == {"scaled_core_dropout", "keep_conv1", "prior_shift"}, "quarter turns are made"
    assert standing["scaled_core_dropout"]["number"] == 5.0 and "5.0 px" in standing["scaled_core_dropout"]["why"]
    assert {e["experiment"] for e in got.priority_order} == {
        *("survey_fpr", "realism_probe", "paired_against_unpaired", "completeness_population", "source_diversity")
    }, "what was made is not listed"
    assert (got.data_set, got.publish) == ("GO", "GO") and SignOff.read(tmp_path / "signoff.json") == got


FAULTS = [
    ("preflight.json", "gates", [gate("core_leakage", "fail")], "gate_failed", "NO-GO"),
    ("preflight.json", "gates", [gate("core_leakage", "skip")], "gate_not_measured", "CONDITIONAL-GO"),
    ("preflight.json", "gates", [gate("core_leakage", "warn")], "gate_inconclusive", "CONDITIONAL-GO"),
    (
        "preflight.json",
        "gates",
        [gate("texture", "fail", False)],
        "gate_failed_not_blocking",
        "CONDITIONAL-GO",
    ),
    ("preflight.json", "data.content_hash", "other", "stale_preflight", "NO-GO"),
    ("evaluation.json", "data.content_hash", "other", "stale_evaluation", "NO-GO"),
    ("evaluation.json", "checkpoint.same_data", False, "checkpoint_of_other_data", "NO-GO"),
    ("pairs/manifest.json", "hosts.mock", True, "mock_hosts", "CONDITIONAL-GO"),
    ("pairs/manifest.json", "sources.mock", True, "mock_sources", "CONDITIONAL-GO"),
    ("pairs/manifest.json", "hosts.known_lens_catalogue", None, "hosts_not_cross_matched", "NO-GO"),
    ("pairs/manifest.json", "sources.per_split.test", 12, "few_sources", "CONDITIONAL-GO"),
    ("real_lenses.json", "status", "skip", "real_lenses_missing", "CONDITIONAL-GO"),
    ("real_lenses.json", "n_lenses", 6, "real_lenses_few", "CONDITIONAL-GO"),
    ("evaluation.json", "auroc.ci_low", 0.45, "no_discrimination", "NO-GO"),
    ("evaluation.json", "baselines.radial_profile.val.value", 0.99, "below_radial_profile", "NO-GO"),
    (
        "evaluation.json",
        "baselines.radial_profile.val.value",
        0.94,
        "not_above_radial_profile",
        "CONDITIONAL-GO",
    ),
    ("evaluation.json", "bright_wide.auroc.value", 0.8, "bright_wide", "CONDITIONAL-GO"),
    ("evaluation.json", "core_masked.auroc.ci_low", 0.48, "core_reliance", "CONDITIONAL-GO"),
    ("evaluation.json", "core_swap.auroc.ci_low", 0.48, "core_swap_reliance", "CONDITIONAL-GO"),
    (
        "evaluation.json",
        "hard_negatives.auroc.ci_low",
        0.3,
        "hard_negatives_pass_for_lenses",
        "CONDITIONAL-GO",
    ),
    ("evaluation.json", "tpr_at_fpr.1.tpr.ci_low", 0.0, "nothing_found_at_survey_fpr", "CONDITIONAL-GO"),
    ("evaluation.json", "tpr_at_fpr.1.fpr", 0.03, "fpr_not_supported", "CONDITIONAL-GO"),
    ("evaluation.json", "survey_negatives.mock", True, "mock_survey_negatives", "CONDITIONAL-GO"),
    (
        "evaluation.json",
        "calibration.against_perfect.temperature",
        {"excess": 0.2, "p_value": 0.001},
        "not_calibrated",
        "CONDITIONAL-GO",
    ),
    ("evaluation.json", "realism.status", "skip", "realism_not_probed", "CONDITIONAL-GO"),
    ("pairs/plan.json", "sha256", None, "plan_missing", "NO-GO"),
    ("pairs/plan.json", "plan", {"gates": {"alpha": 0.5}}, "plan_edited", "NO-GO"),
    (
        "pairs/plan.json",
        "amendments",
        [{"from": "x", "after_test_read": True}],
        "plan_changed_after_test",
        "CONDITIONAL-GO",
    ),
    ("pairs/plan.json", "test_reads", 3, "log_of_readings_broken", "NO-GO"),
    ("evaluation.json", "plan.trained_as_planned", False, "trained_otherwise", "CONDITIONAL-GO"),
    ("evaluation.json", "tpr_at_fpr.1.tpr.ci_low", 0.04, "recall_too_low", "CONDITIONAL-GO"),
    ("evaluation.json", "hard_negatives.auroc.ci_low", 0.6, "arcs_not_told_from_decoys", "CONDITIONAL-GO"),
    (
        "evaluation.json",
        "hard_negatives.by_kind.lookalike.fraction_above_threshold.value",
        0.3,
        "decoys_called_lenses",
        "CONDITIONAL-GO",
    ),
    (
        "evaluation.json",
        "hard_negatives.by_kind.lookalike.accuracy",
        metric(0.3),
        "most_decoys_above_zero",
        "CONDITIONAL-GO",
    ),
    (
        "evaluation.json",
        "interventions.interventions.2.by_theta_e.1.value",
        -1.2,
        "ring_counts_as_an_arc",
        "CONDITIONAL-GO",
    ),
    ("evaluation.json", "plan.sha256", "x", "evaluated_under_another_plan", "NO-GO"),
    ("preflight.json", "data.plan", "x", "preflight_under_another_plan", "NO-GO"),
    (
        "evaluation.json",
        "interventions.interventions.0",
        {"name": "core_light_removed", **metric(-6.0)},
        "core_light_counts_double",
        "CONDITIONAL-GO",
    ),
    (
        "evaluation.json",
        "interventions.interventions.2",
        {"name": "ring_added", **metric(0.1)},
        "any_ring_is_a_lens",
        "CONDITIONAL-GO",
    ),
    (
        "evaluation.json",
        "interventions.interventions.3",
        {"name": "source_occulted", **metric(-0.1, -0.3, 0.1)},
        "shape_does_not_count",
        "CONDITIONAL-GO",
    ),
]


@pytest.mark.parametrize("name, path, value, rule, decision", FAULTS, ids=[f[3] for f in FAULTS])
def test_each_rule_sees_its_fault(name, path, value, rule, decision, tmp_path):
    documents = good()
    put(documents, name, path, value)
    got = signoff(write(tmp_path, documents))
    lines = {line["rule"]: line for line in got.blockers + got.conditions}
    assert got.decision == decision and rule in lines
    line = lines[rule]
    assert line["file"] == name and line["bound"] and line["text"] and line["remedy"]
    assert line["source"].startswith(f"{name}: ")
    assert not [c for c in got.recommended_changes if c["rule"] == rule or c["text"] == line["remedy"]], "said once"
    assert line["severity"] in ("blocker", "condition") and line["about"] in ("set", "network", "real lenses")
    assert got.publish == decision and (got.data_set == "GO" or line["about"] == "set")
    expected = {"mock_hosts", "mock_sources", "gate_not_measured", "gate_inconclusive", "real_lenses_missing"}
    assert set(got.caps) == ({rule} & expected)


def test_every_rule_of_the_file_has_a_test():
    rules, _, experiments, *_ = load_rules()
    tested = {f[3] for f in FAULTS} | {"shard_repeated", "overfitted", "best_of_several"}
    assert {r.id for r in rules if r.severity != "recommendation"} == tested
    raised = {name for e in experiments for name in e["raised_by"]}
    assert raised <= {r.id for r in rules}


def test_the_seed_s_questions_are_answered_from_the_documents(tmp_path):
    documents = good()
    got = signoff(write(tmp_path, documents))
    answers = {a["number"]: a for a in got.answers}
    assert (
        set(answers) == {3, 4, 5, 7} and answers[7]["text"] == "GO" and answers[5]["text"].startswith("Yes, corrected")
    )
    assert got.publish == "GO" and answers[3]["text"].startswith("A, with B's network")
    assert "evaluation.json: tpr_at_fpr.-1.fpr = 0.001, must be <= 0.0001: not met" in answers[3]["evidence"]
    put(documents, "evaluation.json", "tpr_at_fpr.1.fpr", 1e-4)
    assert signoff(write(tmp_path, documents)).answers[0]["text"].startswith("B as well as A")
    put(documents, "preflight.json", "decision", "NO-GO")
    answers = {a["number"]: a for a in signoff(write(tmp_path, documents)).answers}
    assert answers[5]["text"].startswith("No:") and answers[4]["text"].startswith("Not on this set")


def test_plan_and_cost_are_shown(tmp_path):
    got = signoff(write(tmp_path, good()))
    assert got.plan == digest(PLAN) and digest(PLAN) in str(got) and digest(PLAN) in got._repr_html_()
    assert "h to inject" in got.cost and got.cost in str(got)


def test_history_is_judged_and_scaled_to_the_paper_run(tmp_path):
    history = "epoch,loss_train,loss_val,auroc_val,seconds,seen_ids\n1,0.1,0.9,0.8,70,88\n"
    got = signoff(write(tmp_path, good(), history))
    assert {line["rule"] for line in got.blockers} == {"shard_repeated"}
    assert {line["rule"] for line in got.conditions} == {"overfitted"}
    assert got.projection["inject_hours"] == pytest.approx(300_000 / 10 / 3600)
    assert got.projection["train_hours"] == pytest.approx(70 / 700 * 210_000 * 50 / 3600)
    assert got.projection["disk_gb"] is None
    assert got.priority_order[0]["experiment"] == "learning_curve"


def test_before_training_only_preflight_is_needed(tmp_path):
    (tmp_path / "preflight.json").write_text(json.dumps(good()["preflight.json"]))
    got = signoff(tmp_path)
    assert got.stage == "before training" and got.decision == "CONDITIONAL-GO" and got.publish == "NOT MEASURED"
    assert {"mock_hosts", "real_lenses_missing"} <= set(got.caps)
    missing = next(line for line in got.conditions if line["rule"] == "real_lenses_missing")
    assert "there is no real_lenses.json" in missing["text"] and missing["number"] is None
    assert got.projection["train_hours"] is None


def test_a_training_setting_that_loses_light_is_recommended_against_without_capping(tmp_path):
    documents = good()
    put(documents, "pairs/manifest.json", "config.train.stretch", "clip")
    put(documents, "pairs/manifest.json", "config.train.augment", False)
    got = signoff(write(tmp_path, documents))
    assert got.decision == "GO" and {"hard_clip", "no_augmentation"} <= {c["rule"] for c in got.recommended_changes}


def test_what_was_not_measured_is_a_condition_with_the_reason(tmp_path):
    documents = good()
    put(documents, "evaluation.json", "core_masked", {"status": "skip", "reason": "too few stamps"})
    put(documents, "evaluation.json", "auroc", {**metric(0.9), "ci_low": None, "flags": ["few_clusters"]})
    got = signoff(write(tmp_path, documents))
    texts = {line["rule"]: line["text"] for line in got.conditions}
    assert got.decision == "CONDITIONAL-GO" and not got.blockers
    assert "too few stamps" in texts["core_reliance"] and "few_clusters" in texts["no_discrimination"]


def test_violated_rules_raise_the_experiments_that_answer_them(tmp_path):
    documents = good()
    put(documents, "evaluation.json", "hard_negatives.auroc.ci_low", 0.3)
    got = signoff(write(tmp_path, documents))
    assert got.priority_order[0]["experiment"] == "hard_negative_kinds"
    assert "hard negatives pass for lenses" in got.priority_order[0]["why"]
    assert "CONDITIONAL-GO" in str(got) and "<ol>" in got._repr_html_()


def test_no_preflight_and_bad_rules_are_refused(tmp_path):
    with pytest.raises(DhsError, match=r"no preflight\.json"):
        signoff(tmp_path)
    write(tmp_path, good())
    rules = tmp_path / "rules.yaml"
    for text in ("rules: [{id: a}]\nstanding: []\nexperiments: []", "rules: {", "[]"):
        rules.write_text(text)
        with pytest.raises(DhsError, match="not a file of sign-off rules"):
            signoff(tmp_path, rules=rules)
    rules.write_text(
        "standing: []\nexperiments: []\nrules: [{id: a, at: x.y, op: exec, severity: blocker, text: t, change: c}]"
    )
    with pytest.raises(DhsError, match="'a': op, severity, stage or about is unknown"):
        signoff(tmp_path, rules=rules)


def test_paths_are_looked_up_and_nothing_is_evaluated():
    document = {"a": [{"b": 1}, {"b": 2}]}
    assert lookup(document, "a.-1.b") == 2 and lookup(document, "a.0.b") == 1
    assert lookup(document, "a.2.b") is lookup(document, "a.__class__") is lookup(document, "a.0.b.c") is MISSING


def test_projection_is_linear_in_the_run_s_own_timings(tmp_path):
    storage.write_json(tmp_path / "preflight.json", {"decision": "GO", "gates": []})
    assert "no timings" in projected(tmp_path)
    storage.write_json(tmp_path / "pairs/manifest.json", {"counts": {"train": 70, "val": 15, "test": 15}})
    storage.write_json(tmp_path / "pairs/run.json", {"pairs_per_s": 50.0})
    storage.write_bytes(tmp_path / "pairs/split=train/part-0.parquet", b"x" * 1000)
    storage.write_bytes(
        tmp_path / "train/history.csv", b"epoch,seconds,loss_train,loss_val,auroc_val\n1,7.0,0.5,0.6,0.7\n"
    )
    said = projected(tmp_path)
    # 300,000 pairs at 50 a second; 210,000 x 50 epochs at 0.1 s a pair; 10 bytes a pair
    assert "1.7 h to inject 300,000 pairs" in said and "292 h to train 50 epochs" in said and "0 GB" in said


def test_the_best_of_several_networks_is_a_condition_and_a_cut_log_a_blocker(tmp_path):
    """Five networks read the split, the plan is registered once; then readings are taken away."""
    write(tmp_path, good())
    data = SimpleNamespace(path=str(tmp_path / "pairs"), manifest={"content_hash": "h"})
    for name in "abcde":
        read = preregistration.note(data, "evaluate", SimpleNamespace(state={"network": name}))
    got = {line["rule"]: line["number"] for line in signoff(tmp_path).conditions}
    assert got["best_of_several"] == 5 and "plan_changed_after_test" not in got
    (tmp_path / "evaluation_run.json").write_text(json.dumps({"test_read": read}))
    assert signoff(tmp_path).decision == "CONDITIONAL-GO"
    last = sorted((tmp_path / "pairs" / "test_reads").iterdir())[-1]
    last.unlink()
    assert [line["rule"] for line in signoff(tmp_path).blockers] == ["log_of_readings_broken"]


def test_a_plan_that_was_deleted_and_replaced_is_still_known(tmp_path):
    documents = good()
    data = SimpleNamespace(path=str(tmp_path / "pairs"), manifest={"content_hash": "h"})
    other = {"gates": {"alpha": 0.5}}
    preregistration.note(data, "evaluate", None, {"sha256": digest(other), "plan": other})
    got = signoff(write(tmp_path, documents))
    assert "plan_changed_after_test" in {line["rule"] for line in got.conditions}


def test_a_change_that_was_made_is_not_recommended_and_an_experiment_that_was_made_not_listed(tmp_path):
    documents = good()
    documents["pairs/manifest.json"]["config"]["train"] |= {"core_dropout": "scaled", "conv1": "keep"}
    documents["evaluation.json"]["calibration"]["survey"] = {"promised_lenses": 0.97}
    got = signoff(write(tmp_path, documents))
    assert got.recommended_changes == ()
    put(documents, "evaluation.json", "core_swap.auroc.ci_low", 0.4)
    again = signoff(write(tmp_path, documents))
    before, after = ({e["experiment"] for e in x.priority_order} for x in (got, again))
    assert "core_counterfactual" not in before and "core_counterfactual" in after, "asked for again by what it found"


def test_a_network_that_finds_nothing_is_told_in_another_word_than_its_set(tmp_path):
    documents = good()
    assert (signoff(write(tmp_path / "a", documents)).data_set, signoff(tmp_path / "a").network) == ("GO", "USEFUL")
    put(documents, "evaluation.json", "calibration.against_perfect.temperature", {"excess": 0.2, "p_value": 0.001})
    assert signoff(write(tmp_path / "b", documents)).network == "OF LIMITED USE"
    put(documents, "evaluation.json", "tpr_at_fpr.1.tpr", metric(0.08, 0.04, 0.13))
    got = signoff(write(tmp_path / "c", documents))
    assert (got.data_set, got.network) == ("GO", "NOT SHOWN TO BE USEFUL") and "NOT SHOWN" in str(got)
    del documents["evaluation.json"]
    assert signoff(write(tmp_path / "d", documents)).network == "NOT MEASURED"
    documents = good()
    put(documents, "preflight.json", "gates", [gate("core_leakage", "fail")])
    got = signoff(write(tmp_path / "e", documents))
    assert (got.data_set, got.network) == ("NO-GO", "USEFUL")


def test_the_training_plan_is_judged_by_what_was_measured_line_by_line(tmp_path):
    def answer(folder):
        return next(a["text"] for a in signoff(folder).answers if a["number"] == 4)

    folder = write(tmp_path, good())
    assert answer(folder).startswith("As corrected below, yes. That rests on reasons")
    lines = [line for line in load_rules()[4] if "variant" in line]
    rows = [
        {"variant": line["variant"], "against": "reference", "metric": "auroc", "status": "done"}
        | {"difference": -0.02, "ci_low": -0.03, "ci_high": -0.01}
        for line in lines
    ]
    rows[0] |= {"difference": 0.03, "ci_low": 0.01, "ci_high": 0.05}
    rows[1] |= {"ci_high": 0.01}
    for content, begins in (("other", "As corrected below"), ("h", "Not as it stands.")):
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"dhs_content_hash": content})
        storage.write_table(folder / "ablation" / "ablation.parquet", table)
        assert answer(folder).startswith(begins)
    got = {entry["variant"]: entry["verdict"] for entry in signoff(folder).plan_lines}
    assert got["unpaired"] == "measured worse" and got["sersic_sources"] == "no difference shown"
    assert got["seed_clip"] == "measured better" and got[None] == "not measured"
