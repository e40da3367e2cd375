"""The ablation: paired differences against scikit-learn, resumption, and a smoke plan from end to end."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from synthetic import write_synthetic_pairs

from dhs import storage
from dhs.config import EvaluateConfig
from dhs.errors import DhsError, UsageError
from dhs.models.training.data import Samples
from dhs.validation.ablation import ablate as module
from dhs.validation.ablation.ablate import Ablation, ablate, load_plan
from dhs.validation.ablation.compare import compare, measures

CONFIG = EvaluateConfig(n_bootstrap=200)
N = 150


def frame(rng, shift, hosts_effect, noise):
    """Scores of one run: hosts shared by all runs, an arc worth ``shift``."""
    host = np.tile([f"h{i}" for i in range(N)], 3)
    kind = np.repeat(["positive", "core_swapped", "control"], N)
    logit = np.tile(hosts_effect, 3) + rng.normal(0, noise, 3 * N)
    logit += np.where(kind == "positive", shift, np.where(kind == "core_swapped", 0.5 * shift, 0))
    source = np.where(kind == "control", "", np.tile([f"s{i % 60}" for i in range(N)], 3))
    pairs = {"kind": kind, "pair_id": np.tile(np.arange(N), 3), "host_id": host, "source_id": source}
    survey = pd.DataFrame({"kind": "survey_negative", "pair_id": -1, "host_id": [f"n{i}" for i in range(200)]})
    table = pd.DataFrame(pairs | {"theta_e_arcsec": np.tile(np.linspace(0.5, 2.99, N), 3), "logit": logit})
    survey = survey.assign(source_id="", theta_e_arcsec=np.nan, logit=rng.normal(0, 1, 200))
    return pd.concat([table, survey], ignore_index=True)


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(3)
    hosts = rng.normal(0, 2, N)
    good = [frame(rng, 2.0, hosts, 0.3) for _ in range(2)]
    poor = [frame(rng, 1.0, hosts, 0.3) for _ in range(2)]
    return good, poor


def of(rows, metric):
    (row,) = [row for row in rows if row["metric"] == metric]
    return row


def sklearn_auroc(run, positive="positive", low=0.0, high=9.0):
    chosen = run[run["kind"].isin([positive, "control"]) & run["theta_e_arcsec"].between(low, high, inclusive="left")]
    return roc_auc_score(chosen["kind"] == positive, chosen["logit"])


def test_values_and_differences_are_those_of_scikit_learn(runs):
    good, poor = runs
    rows = compare(good, poor, CONFIG, seed=1)
    expected = [sklearn_auroc(a) - sklearn_auroc(b) for a, b in zip(good, poor)]
    row = of(rows, "auroc")
    assert row["difference_by_seed"] == pytest.approx(expected) and row["difference"] == pytest.approx(
        np.mean(expected)
    )
    assert row["value"] == pytest.approx(np.mean([sklearn_auroc(run) for run in good]))
    effect = [sklearn_auroc(run) - sklearn_auroc(run, "core_swapped") for run in good]
    assert of(rows, "core_swap_effect")["value_by_seed"] == pytest.approx(effect)
    wide = [sklearn_auroc(run, low=2.5) for run in good]
    assert of(rows, "auroc_theta_e_2.5_3")["value_by_seed"] == pytest.approx(wide)
    survey = good[0][good[0]["kind"] == "survey_negative"]["logit"]
    positive = good[0][good[0]["kind"] == "positive"]["logit"]
    assert of(rows, "tpr_fpr_0.05")["value_by_seed"][0] == pytest.approx((positive > np.sort(survey)[-11]).mean())
    assert row["n"] == 2 * N and row["n_hosts"] == N and row["n_sources"] == 60


def test_a_baseline_is_compared_with_every_seed_whatever_their_order(runs):
    good, poor = runs
    low, high = sorted([good[0], poor[0]], key=sklearn_auroc)
    baseline = poor[1]
    expected = sklearn_auroc(baseline) - np.mean([sklearn_auroc(low), sklearn_auroc(high)])
    first, second = (of(compare([baseline], reference, CONFIG, 1), "auroc") for reference in ([low, high], [high, low]))
    assert first["difference"] == pytest.approx(expected) == second["difference"]
    assert first["ci_low"] == pytest.approx(second["ci_low"]) and first["ci_low"] < expected < first["ci_high"]
    assert len(first["difference_by_seed"]) == 2 and len(first["value_by_seed"]) == 1
    with pytest.raises(ValueError, match="zip"):
        compare(good, [good[0], *poor], CONFIG, seed=1)


def test_a_paired_interval_is_narrower_than_the_two_runs_own(runs):
    good, poor = runs
    row = of(compare(good, poor, CONFIG, seed=1), "auroc")
    assert row["ci_low"] > 0, "a real difference is found"
    apart = [module_interval(run) for run in (good[0], poor[0])]
    assert row["ci_high"] - row["ci_low"] < 0.7 * np.hypot(*apart)
    same = of(compare(good, good[::-1], CONFIG, seed=1), "auroc")
    assert same["difference"] == 0 and same["ci_low"] < 0 < same["ci_high"]


def module_interval(run):
    from dhs.stats.metrics import auroc

    chosen = run[run["kind"].isin(["positive", "control"])]
    options = {"n_bootstrap": 200, "seed": 1}
    metric = auroc(chosen["logit"], chosen["kind"] == "positive", chosen["host_id"], chosen["source_id"], **options)
    return metric.ci_high - metric.ci_low


def test_other_stamps_cannot_be_compared(runs):
    good, poor = runs
    with pytest.raises(DhsError, match="different test sets"):
        compare(good, [poor[0].iloc[1:].reset_index(drop=True)], CONFIG, seed=1)


def test_hard_negatives_have_their_own_measure(runs):
    assert "auroc_hard" not in [m.name for m in measures(runs[0][0], CONFIG)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: [{name: a, question: x}, {name: a, question: y}]", "each its own"),
        ("variants: [{name: a, question: x, against: b}]", "not listed before it"),
        ("variants: [{name: a, question: x, trian: {}}]", "did you mean 'train'"),
        ("variants: [{name: a, question: x, needs_weights: true}]", "the first variant is the reference"),
        ("{extends: smoke, variants: [{name: reference, question: x}]}", "each its own"),
        ("{extends: smok}", "no plan 'smok'"),
        ("- 1", "Plan"),
    ],
)
def test_a_bad_plan_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_plan(path)
    assert str(path) in str(caught.value) or "smok" in text
    with pytest.raises(UsageError, match="no plan 'defualt'"):
        load_plan("defualt")


def test_the_default_plan_asks_the_questions_of_the_training_plan():
    plan = load_plan("default")
    changes = {v.name: {**v.train, **v.inject} for v in plan.variants}
    keys = {key for change in changes.values() for key in change}
    wanted = {"controls", "hard_negative_ratio", "core_dropout_prob", "core_dropout", "channels", "sources__morphology"}
    assert wanted | {"rotation", "pretrained"} <= keys
    assert len(plan.seeds) == 2
    for variant in plan.variants:
        module.load_profile("demo", **{f"train__{k}": x for k, x in (plan.train | variant.train).items()})


def stamps(plan, n_pairs):
    """Stamps trained on over all runs, each pair two an epoch; variants that wait for weights left out."""
    epochs = [
        (v, (plan.train | v.train)["epochs"] * len(v.seeds or plan.seeds)) for v in plan.variants if not v.needs_weights
    ]
    halved = {v.name for v in plan.variants if v.train.get("train_fraction") == 0.5 or "controls" in v.train}
    return sum((n_pairs if v.name in halved else 2 * n_pairs) * n for v, n in epochs)


def test_the_default_plan_fits_into_its_time():
    """45 minutes less a fifth for validation, scoring and data, at the slower of the rates measured in bfloat16."""
    assert stamps(load_plan("default"), 0.7 * 3000) / 245 < 0.8 * 45 * 60


def test_the_full_plan_goes_on_where_the_default_ended():
    default, full = load_plan("default"), load_plan("full")
    assert full.variants[: len(default.variants)] == default.variants
    assert (full.train, full.seeds, full.n_survey_negatives) == (default.train, default.seeds, 2000)
    keys = {key for v in full.variants[len(default.variants) :] for key in v.train}
    assert {"arch", "stretch", "sigma_floor", "negatives_per_positive", "residual", "conv1"} <= keys
    for variant in full.variants:
        module.load_profile("demo", **{f"train__{k}": x for k, x in (full.train | variant.train).items()})


def test_unpaired_is_compared_with_as_many_stamps(tmp_path):
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 40, "val": 4, "test": 0}, pairs_per_host=2)
    plan = {v.name: v.train for v in load_plan("default").variants}
    half = Samples(pairs, "train", seed=1, fraction=plan["half"]["train_fraction"])
    unpaired = Samples(pairs, "train", seed=1, unpaired=plan["unpaired"]["controls"] == "unpaired")
    assert len(half) == len(unpaired) == len(Samples(pairs, "train")) / 2
    assert half.steps(8) == unpaired.steps(8)


def test_what_a_data_set_can_not_be_asked_is_a_skipped_row(tmp_path, monkeypatch):
    """A set without hard negatives, and without the configuration it was injected with, as earlier ones are."""
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 16, "val": 8, "test": 12}, hard_every=0)
    plan = tmp_path / "plan.yaml"
    plan.write_text("""
extends: smoke
seeds: [1]
variants:
  - {name: sersic, question: "?", inject: {sources__morphology: sersic}}
""")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights here"))
    table = ablate(pairs.path, tmp_path / "out", plan=plan, profile="smoke").table
    reasons = table[table["status"] == "skip"].set_index("variant")["reason"]
    assert set(reasons.index) == {"no_hard_negatives", "pretrained", "sersic"}
    assert "no hard negatives" in reasons["no_hard_negatives"] and "earlier format" in reasons["sersic"]
    assert {"reference", "radial_profile", "core_only"} <= set(table.loc[table["status"] == "done", "variant"])


def test_smoke_plan_from_end_to_end_and_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights here"))
    pairs = write_synthetic_pairs(tmp_path / "pairs", {"train": 32, "val": 16, "test": 24})
    found = ablate(pairs.path, tmp_path / "out", plan="smoke", profile="smoke")
    table = found.table
    assert list(dict.fromkeys(table["variant"])) == [
        "reference",
        "no_hard_negatives",
        "pretrained",
        "radial_profile",
        "core_only",
    ]
    skipped = table[table["variant"] == "pretrained"].iloc[0]
    assert skipped["status"] == "skip" and "no pretrained weights" in skipped["reason"]
    auroc = table[table["metric"] == "auroc"].set_index("variant")
    assert auroc.loc["no_hard_negatives", "against"] == "reference"
    assert len(auroc.loc["no_hard_negatives", "difference_by_seed"]) == 2 and auroc.loc["reference", "against"] == ""
    for baseline in ("radial_profile", "core_only"):
        row, reference = auroc.loc[baseline], auroc.loc["reference"]
        assert row["difference"] == pytest.approx(row["value"] - reference["value"]), (
            "of the means over seeds, as shown"
        )
        assert len(row["difference_by_seed"]) == len(reference["value_by_seed"]) == 2
    assert (table[table["status"] == "done"].groupby("variant")["metric"].nunique() >= 4).all()
    assert "skipped" in str(found) and "<li>" in found._repr_html_()
    scores = storage.read_table(tmp_path / "out/runs/reference/seed-1/scores.parquet").to_pandas()
    assert set(scores["kind"]) == {"positive", "core_swapped", "control", "hard_negative", "survey_negative"}
    mine = table[(table["variant"] == "reference") & (table["metric"] == "auroc")].iloc[0]["value_by_seed"][0]
    assert mine == pytest.approx(sklearn_auroc(scores))

    monkeypatch.setattr(module, "train", None)
    monkeypatch.setattr(torch.nn.Module, "__call__", None)
    again = ablate(pairs.path, tmp_path / "out", plan="smoke", profile="smoke")
    pd.testing.assert_frame_equal(again.table, Ablation.read(tmp_path / "out").table)
    np.testing.assert_array_equal(again.table["value"], table["value"])
    other = module.load_profile("smoke", train__weight_decay=0.1)
    with pytest.raises(DhsError, match="reference/seed-1: holds another run"):
        ablate(pairs.path, tmp_path / "out", plan="smoke", profile=other)
