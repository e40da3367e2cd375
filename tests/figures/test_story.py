"""The sentences of the front page follow from intervals: made-up numbers on both sides of each bound."""

import pytest

from dhs.figures.numbers import network, story
from dhs.figures.numbers.stored import plan_on_gpu, stored


def metric(value, low=None, high=None, **more):
    return {"value": value, "ci_low": low, "ci_high": high, **more}


def lookalikes(low, high):
    return {"hard_negatives": {"auroc": metric((low + high) / 2, low, high)}}


def gate(name="core_leakage", status="pass", blocking=True, **details):
    return {"name": name, "status": status, "blocking": blocking, "details": details}


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.30, 0.45, "prefers look-alikes"),
        (0.45, 0.55, "does not tell a lens from a look-alike"),
        (0.59, 0.66, "sees that light was added, hardly that the light is an arc"),
        (0.66, 0.74, "some look-alikes"),
        (0.74, 0.80, "most look-alikes"),
        (0.90, 0.93, "tells arcs from look-alikes"),
    ],
)
def test_what_the_network_sees_is_told_by_the_interval_against_look_alikes(low, high, says):
    assert says in network.lookalikes(lookalikes(low, high))


def test_the_second_finding_names_look_alikes_only_where_twins_are_told_apart():
    found = lookalikes(0.591, 0.662) | {"concordance": metric(0.958, 0.933, 0.974)}
    assert story.finding_network(found) == (
        "**It sees that light was added, hardly that the light is an arc.** It ranks a lensed galaxy above its own "
        "twin 96 times in 100, above a look-alike 63."
    )
    blind = found | {"concordance": metric(0.55, 0.48, 0.62)}
    assert "not shown to rank a lensed galaxy above its own twin" in story.finding_network(blind)
    assert "above a look-alike" not in story.finding_network(blind)
    assert story.finding_network({}) == story.finding_network(lookalikes(0.5, 0.6)) == ""


def survey(low, high, fpr=1e-3):
    return {
        "tpr_at_fpr": [
            {"fpr": 0.1, "tpr": metric(0.9, 0.8, 0.95)},
            {"fpr": fpr, "tpr": metric((low + high) / 2, low, high)},
        ]
    }


def test_the_third_finding_is_told_by_the_interval_of_the_recall():
    poor = survey(0.05, 0.11) | {"purity": {"prevalence": 1e-4, "purity": metric(1 / 128, 0.005, 0.01)}}
    rates = [{"fpr": 0.1, "tpr": metric(0.4)}, {"fpr": 1e-3, "tpr": metric(0.005)}]
    said = story.finding_survey(poor | {"population": {"recall_at_threshold": rates}})
    assert said.startswith(
        "**So it is not a finder yet.** At one false alarm in a thousand it finds 8 of 100 injected arcs"
    )
    assert "One in 130 candidates would be a lens; of lenses as galaxies have them, one in 2,000." in said
    assert story.finding_survey(survey(0.1, 0.3)).startswith("**Whether it is a finder is open.**")
    good = story.finding_survey(survey(0.5, 0.6, 1e-4))
    assert good.startswith("**It finds arcs at a rate") and "more than a published network" in good
    assert "more than a published" not in story.finding_survey(survey(0.5, 0.6, 1e-3)), "not at ten times the rate"
    assert story.finding_survey({}) == ""


STUDY = {
    "clean": {"n": 30, "false_failures": 0},
    "faults": [{"name": "pedestal", "smallest_caught": 0.1}, {"name": "PSF too wide", "smallest_caught": None}],
}


def test_the_first_finding_is_told_by_the_gates_that_block():
    core = {"delta": metric(0.0001, -0.001, 0.001), "margin": 0.05}
    clean = story.finding_set({"gates": [gate(**core), gate("texture", "pass", False)]}, STUDY)
    assert clean.startswith("**The set is clean, as far as its gates see.** 2 of 2 gates passed")
    assert "The core tells no more than the lens equation says (difference 0.000, margin 0.05)." in clean
    assert "1 of two kinds of planted fault were caught" in clean and "30 of 30 clean sets passed" in clean
    assert "does not forbid" not in clean
    failed = story.finding_set({"gates": [gate(status="fail", **core)]}, STUDY)
    assert failed.startswith("**The set is not fit to train on.** One gate that block training failed: core leakage.")
    soft = story.finding_set({"gates": [gate(**core), gate("texture", "fail", False)]}, {})
    assert "faults that do not forbid training" in soft and "Texture failed" in soft
    open_ = story.finding_set({"gates": [gate(status="warn", **core)]}, {})
    assert "not everything was shown" in open_ and story.finding_set({}, STUDY) == ""


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(-0.01, 0.02, "no more than"), (0.06, 0.09, "more than"), (-0.09, -0.06, "less than"), (0.02, 0.08, "is open")],
)
def test_the_core_s_difference_is_told_against_the_margin(low, high, says):
    assert says in story.core_difference({"gates": [gate(delta=metric((low + high) / 2, low, high), margin=0.05)]})


@pytest.mark.parametrize(
    ("status", "says"), [("pass", "yes, it is physics"), ("fail", "more than physics"), ("warn", "not shown")]
)
def test_the_premise_is_answered_by_the_wide_bins(status, says):
    wide = {
        "by": "theta_e_arcsec",
        "lo": 2.0,
        "hi": 2.5,
        "expected": 0.62,
        "status": status,
        **metric(0.62, 0.58, 0.66),
    }
    near = {
        "by": "theta_e_arcsec",
        "lo": 0.5,
        "hi": 1.0,
        "expected": 0.79,
        "status": "pass",
        **metric(0.79, 0.75, 0.83),
    }
    said = story.premise({"gates": [gate(bins=[near, wide])]})
    assert says in said and "below 1 arcsec: 0.79" in said
    assert story.premise({"gates": [gate(bins=[near])]}) == ""


def bins(*rows):
    return {"by_theta_e": [{"lo": 0.5 + 0.5 * k, "hi": 1.0 + 0.5 * k, **metric(*r)} for k, r in enumerate(rows)]}


def test_a_ring_is_told_by_the_radii_at_which_it_is_not_shown_to_be_worth_less():
    ring = bins((0.87, 0.7, 1.05), (1.05, 0.9, 1.2), (0.8, 0.7, 0.9), (0.3, 0.2, 0.4))
    said = network.ring({"interventions": {"shares": {"ring": ring}}})
    assert "87 / 105 / 80 / 30 %" in said and "At 0.5 to 1 and 1 to 1.5 arcsec a featureless ring" in said
    assert "at 2 to 2.5 arcsec it is worth less than half" in said
    every = network.ring({"interventions": {"shares": {"ring": bins((1.0, 0.9, 1.1))}}})
    assert every.endswith("shape is not shown to count.")
    assert network.ring({"interventions": {"shares": {"ring": bins((0.3, 0.2, 0.4))}}}).endswith("shape counts.")
    assert network.ring({"interventions": {"status": "skip", "reason": "few"}}) == network.ring({}) == ""


@pytest.mark.parametrize(("low", "says"), [(0.05, "not shown to lean"), (0.2, "a shortcut")])
def test_the_core_leans_only_where_its_interval_lies_above_its_light(low, says):
    share = {"by_theta_e": [{"lo": 2.0, "hi": 2.5, **metric(0.25, low, 0.3)}]}
    light = {"by_theta_e": [{"lo": 2.0, "hi": 2.5, **metric(0.13, 0.1, 0.16)}]}
    assert says in network.core({"interventions": {"shares": {"core": share}, "core_light": light}})


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.02, 0.01, "not told from no change"),
        (-0.022, -0.004, "a small loss"),
        (-0.3, -0.2, "the core matters"),
        (0.01, 0.02, "a gain"),
    ],
)
def test_hiding_the_core_is_told_by_the_paired_change(low, high, says):
    assert says in network.core_masked({"core_masked": {"delta": metric((low + high) / 2, low, high)}})


def test_kinds_that_include_chance_are_named():
    kinds = {"hard_negative:lookalike_ring_mock": {"auroc": metric(0.58, 0.49, 0.66)}}
    kinds |= {"hard_negative:scrambled_geometry": {"auroc": metric(0.72, 0.66, 0.77)}}
    said = network.by_kind({"hard_negatives": {"by_kind": kinds}})
    assert said.index("scrambled images") < said.index("rings") and "The interval of rings holds one half" in said


def test_why_the_recall_is_low_is_an_inference_and_not_given_where_it_is_not_low():
    found = survey(0.05, 0.11)
    found["tpr_at_fpr"][-1]["threshold"] = metric(2.13)
    logits = {"by_snr": [{"lo": 15, "median": -0.1}, {"lo": 120, "median": 1.4}]}
    said = network.why_recall(found, logits, 0.3)
    assert "ln(1/0.3) = 1.20" in said and said.endswith("not a test.")
    far = {"by_snr": [{"lo": 120, "median": 0.2}]}
    assert "not near it" in network.why_recall(found, far, 0.3)
    assert "what is missed is faint" in network.why_recall(found, {"by_snr": [{"lo": 120, "median": 3.0}]}, 0.3)
    high = survey(0.4, 0.5)
    high["tpr_at_fpr"][-1]["threshold"] = metric(2.0)
    assert network.why_recall(high, logits, 0.3) == network.why_recall(found, {}, 0.3) == ""


def test_the_caveat_says_what_is_mock_and_what_that_means():
    manifest = {"hosts": {"mock": True, "kind": "mock"}, "sources": {"mock": False, "kind": "xdf", "n": 250}}
    said = story.caveat(manifest, {})
    assert said.startswith(
        "Simulated host galaxies, real sources (250 from the Hubble eXtreme Deep Field), no real lens scored."
    )
    assert said.endswith("judge the method, not the sky.")
    real = {"hosts": {"mock": False}, "sources": {"mock": False, "kind": "real_galaxy", "n": 36}}
    assert "method" not in story.caveat(real, {"n_lenses": 40}) and "40 real lenses scored" in story.caveat(
        real, {"n_lenses": 40}
    )


def test_probabilities_and_calibration_are_told_by_what_they_mean():
    survey_ = {"promised_lenses": 0.912, "likelier_than_not": {"completeness": 0.0}}
    said = network.probabilities({"calibration": {"survey": survey_}})
    assert "9% too few in total" in said and "No test stamp is likelier a lens than not" in said
    tested = {
        "before": {"ece": 0.07, "null_mean": 0.03, "p_value": 0.001},
        "temperature": {"ece": 0.03, "null_mean": 0.03, "p_value": 0.6},
    }
    told = network.calibrated({"calibration": {"against_perfect": tested}})
    assert told.endswith("Told from perfect: as trained.")


def test_the_stored_plan_is_told_only_as_far_as_it_was_run():
    assert set(plan_on_gpu({}).values()) == {""}
    data = {"counts": {"train": 100, "val": 10}, "pairs_per_s": 5.0, "inject_s": 60.0}
    data["hosts"] = {"n": 10, "mock": True, "per_split": {"train": 8}}
    plan = {
        "history": [{"auroc_val": 0.9, "loss_val": 0.5}],
        "best_epoch": 1,
        "epochs": 1,
        "epochs_asked": 50,
        "stamps_per_s": 9.0,
    }
    found = plan_on_gpu(
        {"recipes": {"plan": plan}, "data": data, "machine": {"cores": 2, "device": "D"}, "complete": True}
    )
    assert found["run"].startswith("110 pairs on 10 mock galaxies") and found["hours"] == found["plan_recall"] == ""
    assert found["limits"].endswith("10 in all.")


def test_more_pairs_are_said_to_help_only_where_intervals_part():
    few = {"pairs": 1000, "auroc": metric(0.8, 0.75, 0.85), "recall": metric(0.05, 0.03, 0.09)}
    many = {"pairs": 300_000, "auroc": metric(0.93, 0.92, 0.94), "recall": metric(0.08, 0.06, 0.11)}
    said = stored({"learning_curve": {"points": [many, few]}})["learning_curve"]
    assert said.startswith("From 1,000 to 300,000 pairs") and said.endswith("more pairs help the AUROC against twins.")
    assert "not shown" in stored({"learning_curve": {"points": [few, few | {"pairs": 2000}]}})["learning_curve"]
    assert not any(stored({}).values())
