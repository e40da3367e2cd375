"""The evaluation on tiny pairs with a scorer whose behaviour is known."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from planted_pairs import FWHM, SIGMA, evaluate, host_image, write
from sklearn.metrics import roc_auc_score

from dhs import storage
from dhs.datasets.reader import rows as rows_of
from dhs.datasets.reader import stamp
from dhs.errors import DhsError
from dhs.stats import calibration
from dhs.stats.pixels import radius_map
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.negatives import SurveyNegatives
from dhs.validation.evaluation.evaluate import Evaluation
from dhs.validation.evaluation.forward import swapped_stamps

RADIUS = radius_map()


class Survey:
    """Unlensed hosts."""

    mock = True

    def __init__(self, n, seed):
        self.seed = seed

    def read(self, i):
        image = host_image(np.random.default_rng([self.seed, 9, i]))
        kind = ("lrg", "ring")[i % 4 == 3]
        return HostStamp(f"neg-{i}", "", 0, 0, 0, 0, image, None, None, FWHM, SIGMA, SIGMA, meta={"kind": kind})


class Blue:
    """Score: how blue the light is inside a zone; arcs are bluer than hosts. Core: r < 5 px."""

    def __init__(self, low=0, high=20):
        self.zone = (RADIUS >= low) & (RADIUS < high)

    def logits(self, stamps, core_mask_px=None, sky_sigma=None):
        zone = self.zone & (RADIUS >= (core_mask_px or 0))
        g, r, _ = np.moveaxis(stamps[:, :, zone].sum(axis=-1, dtype=float), 1, 0)
        return (40 * (g / np.maximum(np.abs(r), 0.1) - 0.3)).astype(np.float32)


@pytest.fixture(scope="module")
def config(profile):
    return profile.replace(
        evaluate__n_survey_negatives=300,
        evaluate__n_bootstrap=100,
        evaluate__snr_edges=(3.0, 60.0, 200.0, 2000.0),
    )


@pytest.fixture(scope="module")
def done(clean, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    options = {"workers": 1, "scorer": Blue(), "baselines": {"core_only": Blue(0, 5)}, "survey": Survey}
    return out, evaluate(clean.path, "none.pt", out, profile=config, **options)


def test_files_are_written_and_hold_what_the_contract_names(done):
    out, evaluation = done
    text = (out / "evaluation.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert Evaluation.read(out).data == evaluation.data == json.loads(text)
    names = "auroc strata tpr_at_fpr core_masked core_swap calibration completeness purity realism real_lenses"
    assert {*names.split(), "hard_negatives", "baselines", "bright_wide", "galleries"} <= set(evaluation.data)
    table = storage.read_table(out / "scores.parquet")
    kinds = dict(zip(*np.unique(table["kind"].to_pylist(), return_counts=True)))
    assert kinds == {
        "positive": 48,
        "control": 48,
        "hard_negative:azimuthal_shuffle": 20,
        "survey_negative": 300,
    }
    assert evaluation["realism"]["status"] == "skip" and evaluation["realism"]["reason"]
    assert "AUROC" in str(evaluation) and "<table>" in evaluation._repr_html_()


def test_aurocs_are_scikit_learns_with_intervals_by_host(done):
    out, evaluation = done
    frame = storage.read_table(out / "scores.parquet").to_pandas()
    for key, kind, column in (
        ("auroc", "control", "logit"),
        ("auroc_survey", "survey_negative", "logit"),
        ("core_masked", "control", "logit_core_masked"),
        ("hard_negatives", "hard_negative:azimuthal_shuffle", "logit"),
    ):
        part = frame[frame["kind"].isin(["positive", kind])]
        metric = evaluation[key].get("auroc", evaluation[key])
        assert metric["value"] == pytest.approx(roc_auc_score(part["kind"] == "positive", part[column]))
        assert metric["ci_low"] < metric["value"] <= metric["ci_high"]
        assert metric["n_hosts"] >= 48 and metric["n_sources"] <= 48
    assert "two_way" in evaluation["auroc"]["flags"]
    bins = evaluation["strata"]["theta_e_arcsec"]
    first = frame[frame["kind"].isin(["positive", "control"]) & (frame["theta_e_arcsec"] < 1)]
    assert bins[0]["value"] == pytest.approx(roc_auc_score(first["kind"] == "positive", first["logit"]))
    assert sum(b["n"] for b in bins if b["value"] is not None) <= 96
    assert {b["lo"] for b in evaluation["strata"]["arc_snr_matched"]} == {3.0, 60.0, 200.0}
    assert len(evaluation["strata"]["psf_fwhm_r_arcsec"]) <= 3


def test_rates_thresholds_and_completeness_belong_together(done):
    out, evaluation = done
    frame = storage.read_table(out / "scores.parquet").to_pandas()
    negative = frame.loc[frame["kind"] == "survey_negative", "logit"]
    last = evaluation["tpr_at_fpr"][-1]
    assert last["fpr"] == pytest.approx(10 / 300)
    assert (negative > last["threshold"]["value"]).mean() <= last["fpr"]
    positive = frame[frame["kind"] == "positive"]
    found = positive["logit"] > last["threshold"]["value"]
    assert last["tpr"]["value"] == pytest.approx(found.mean())
    cells = evaluation["completeness"]["cells"]
    assert sum(c["n"] for c in cells) == 48 and sum(c["k"] for c in cells) == found.sum()
    assert evaluation["completeness"]["overall"]["value"] == pytest.approx(found.mean())
    assert set(evaluation["tpr_at_fpr_by_kind"]) == {"lrg", "ring"}
    assert sum(m["n"] for m in last["fpr_by_kind"].values()) == 300
    purity = evaluation["purity"]["purity"]["value"]
    fpr = (negative > last["threshold"]["value"]).mean()
    assert purity == pytest.approx(found.mean() * 1e-4 / (found.mean() * 1e-4 + fpr * (1 - 1e-4)))


def test_galleries_hold_the_worst(done):
    out, evaluation = done
    frame = storage.read_table(out / "scores.parquet").to_pandas()
    worst = frame[frame["kind"] == "positive"].nsmallest(3, "logit")["pair_id"].tolist()
    assert [e["pair_id"] for e in evaluation["galleries"]["false_negatives"][:3]] == worst
    assert evaluation["galleries"]["false_positives_survey"][0]["host_id"].startswith("neg-")


def test_counterfactuals_tell_a_core_reader_from_an_arc_reader(clean, config, tmp_path):
    options = {"baselines": {}, "survey": Survey}
    small = config.replace(evaluate__n_survey_negatives=40)
    core = evaluate(clean.path, "", tmp_path, profile=small, scorer=Blue(0, 5), **options)["core_swap"]
    rest = evaluate(clean.path, "", tmp_path, profile=small, scorer=Blue(5, 20), **options)["core_swap"]
    assert core["delta"]["ci_high"] < 0 and core["auroc"]["value"] == pytest.approx(0.5, abs=1e-6)
    assert core["outer"]["value"] == 0 and abs(core["placebo"]["value"]) < 0.1 * abs(core["core"]["value"])
    assert rest["delta"]["value"] == 0 and rest["outer"]["ci_high"] < 0
    assert core["auroc_placebo"]["value"] > 0.6


def test_swapped_stamps_change_only_their_pixels(base_rows):
    row, inside = base_rows[0][0], RADIUS < 5
    positive = row["control"] + row["arc"]
    gain = np.array([row[f"gain_{band}"] for band in "grz"])
    made = swapped_stamps(row["control"], row["arc"], gain, row["rng_key"], positive, inside)
    np.testing.assert_array_equal(made["core"][:, inside], row["control"][:, inside])
    np.testing.assert_array_equal(made["core"][:, ~inside], positive[:, ~inside])
    np.testing.assert_array_equal(made["outer"][:, inside], positive[:, inside])
    np.testing.assert_array_equal(made["placebo"][:, ~inside], positive[:, ~inside])
    noise = made["placebo"][:, inside] - positive[:, inside]
    expected = np.sqrt(np.clip(row["arc"][:, inside], 0, None) / 4e4)
    assert 0 < noise.std() < 3 * expected.mean() + 1e-4


def test_calibration_is_reported_before_and_after(done):
    part = done[1]["calibration"]
    assert part["ece_after"] < part["ece_before"] + 0.02 and part["temperature"] > 0
    assert {"predicted", "observed", "ci_low", "ci_high", "n"} <= set(part["bins"][0])
    assert sum(b["n"] for b in part["bins_calibrated"]) == 96


def test_calibration_has_seen_the_validation_split_alone(done, clean):
    """The temperature is that of the validation split's own scores, which are not among those of the test split."""
    part, stamps, labels = done[1]["calibration"], [], []
    for batch in clean.batches("val"):
        for row in rows_of(pa.Table.from_batches([batch])):
            stamps += [stamp(row), row["control"]]
            labels += [True, False]
    fitted = calibration.fit(Blue().logits(np.stack(stamps)), labels)
    assert part["fitted_on"]["n"] == len(labels) and part["temperature"] == pytest.approx(fitted.temperature)
    frame = storage.read_table(done[0] / "scores.parquet").to_pandas()
    pairs = frame[frame["kind"].isin(["positive", "control"])]
    other = calibration.fit(pairs["logit"], pairs["kind"] == "positive")
    assert set(frame["split"]) == {"test"} and part["temperature"] != pytest.approx(other.temperature, rel=1e-3)


def test_baselines_stand_beside_the_network(done):
    part = done[1]["baselines"]
    assert set(part) == {"network", "core_only"}
    assert part["core_only"]["val"]["value"] < part["network"]["val"]["value"] and part["network"]["val"]["n"] == 96


def test_more_threads_change_nothing(clean, config, tmp_path, done):
    options = {"scorer": Blue(), "baselines": {"core_only": Blue(0, 5)}, "survey": Survey}
    again = evaluate(clean.path, "x", tmp_path, profile=config, workers=3, **options)
    assert again.data == done[1].data
    assert (tmp_path / "scores.parquet").read_bytes() == (done[0] / "scores.parquet").read_bytes()


def test_stored_survey_negatives_are_what_is_scored(clean, config, tmp_path):
    small = config.replace(evaluate__n_survey_negatives=30, evaluate__n_calibration_negatives=0)
    evaluate(clean.path, "", tmp_path, profile=small, scorer=Blue(), baselines={})
    frame = storage.read_table(tmp_path / "scores.parquet").to_pandas()
    scored = frame[frame["kind"] == "survey_negative"]
    made = SurveyNegatives(30, small.seed)
    stamps = [made.read(i) for i in range(30)]
    assert scored["host_id"].tolist() == [s.host_id for s in stamps]
    assert scored["subkind"].tolist() == [s.meta["kind"] for s in stamps]
    np.testing.assert_array_equal(scored["logit"], Blue().logits(np.stack([s.image for s in stamps])))
    (file,) = (Path(clean.path) / "survey").rglob("part-00000.parquet")
    written = file.stat().st_mtime_ns
    evaluate(clean.path, "", tmp_path, profile=small, scorer=Blue(), baselines={})
    assert file.stat().st_mtime_ns == written, "made once, read by every evaluation"


def test_the_record_of_a_run_counts_every_stamp_that_was_scored(done):
    record = storage.read_json(done[0] / "evaluation_run.json")
    assert record["passes"] == {
        "test": 2 * (48 + 48 + 20) + 3 * 48,  # whole and core-masked, and three swaps of each positive
        "val": 48 + 48 + 20,
        "survey_negatives": 300,
        "calibration": 100,
        "interventions": 20 * (2 + 12 + 4),  # rendered again, core-masked; twelve changes; the other radii
        "realism": 0,
        "failures": 0,
    }
    assert all(s >= 0 for s in record["seconds"].values()) and "rates" in record["seconds"]


def test_logits_that_are_not_numbers_stop_it_with_the_stamp(clean, config, tmp_path):
    class Broken(Blue):
        """NaN for the fourth stamp of every call: one for each part of the splits and of the survey negatives."""

        def logits(self, stamps, core_mask_px=None, sky_sigma=None):
            return np.where(np.arange(len(stamps)) == 3, np.nan, super().logits(stamps, core_mask_px)).astype(
                np.float32
            )

    options = {"baselines": {}, "survey": Survey}
    with pytest.raises(DhsError, match="NaN or infinity for 6 of 632 stamps .first: positive, pair .*learning rate"):
        evaluate(clean.path, "", tmp_path, profile=config, scorer=Broken(), **options)
    assert not (tmp_path / "evaluation.json").exists()


def test_tiny_test_split_and_no_survey_negatives_are_skips_with_reasons(rows, config, tmp_path):
    pairs = write(tmp_path / "pairs", rows[0][:40], [])
    small = config.replace(evaluate__n_survey_negatives=0)
    got = evaluate(pairs.path, "", tmp_path, profile=small, scorer=Blue(), baselines={}, survey=Survey)
    assert got["tpr_at_fpr"] == [] and got["auroc"]["value"] is None and got["auroc"]["flags"]
    for name in ("completeness", "purity", "hard_negatives", "core_masked", "core_swap", "calibration"):
        assert got[name]["status"] == "skip" and got[name]["reason"]


def test_empty_test_split_and_candidate_hosts_are_refused(rows, config, tmp_path):
    train = [r for r in rows[0] if r["split"] == "train"][:20]
    write(tmp_path / "a", train, [])
    with pytest.raises(DhsError, match="test split is empty"):
        evaluate(tmp_path / "a", "", tmp_path, profile=config, scorer=Blue())
    marked = [{**r, "flags": ["host_is_candidate"]} for r in rows[0][:40]]
    write(tmp_path / "b", marked, [])
    with pytest.raises(DhsError, match="lens candidate itself"):
        evaluate(tmp_path / "b", "", tmp_path, profile=config, scorer=Blue())


def test_what_the_scores_are_worth_is_measured_and_traced(done):
    out, evaluation = done
    frame = storage.read_table(out / "scores.parquet").to_pandas()
    part = frame[frame["kind"].isin(["positive", "survey_negative"])]
    top = evaluation["top"]
    assert top["partial_auc"][0]["max_fpr"] == 0.1
    want = roc_auc_score(part["kind"] == "positive", part["logit"], max_fpr=0.1)
    assert top["partial_auc"][0]["value"] == pytest.approx(want)
    assert 0 <= top["tpr0"]["value"] <= top["tpr10"]["value"] <= 1
    assert top["f1_at_prevalence"]["value"] < top["f1"]["value"]
    curve = evaluation["purity"]["curve"]
    assert curve[-1]["completeness"] >= curve[0]["completeness"]
    survey = evaluation["calibration"]["survey"]
    assert survey["calibrator"]["n"] == 100 + 48 and 0 <= survey["checked"]["brier"]["value"] <= 0.25
    assert set(evaluation["calibration"]["quality"]) == {"before", "temperature", "isotonic"}


def test_strata_carry_every_axis_and_p_values_adjusted_over_all(done):
    strata = done[1]["strata"]
    assert {
        "theta_e_arcsec",
        "arc_snr_matched",
        "arc_snr_maxpix",
        "psf_fwhm_r_arcsec",
        "depth_r_mag",
        "host_mag_r",
    } == set(strata)
    out, evaluation = done
    frame = storage.read_table(out / "scores.parquet").to_pandas()
    positive = frame[frame["kind"] == "positive"]
    last = evaluation["tpr_at_fpr"][-1]
    found = positive["logit"] > last["threshold"]["value"]
    for entry in strata["theta_e_arcsec"]:
        here = positive["theta_e_arcsec"].between(entry["lo"], entry["hi"], inclusive="left")
        if here.sum() >= 10:
            assert entry["recall"]["value"] == pytest.approx(found[here].mean()) and entry["recall"]["n"] == here.sum()
            assert entry["recall"]["fpr"] == last["fpr"]
        else:
            assert entry["recall"]["value"] is None and entry["recall"]["flags"]
    assert sum(e["recall"]["n"] for e in strata["host_mag_r"]) == len(positive)
    tested = [e for entries in strata.values() for e in entries if e["p_differs"] is not None]
    assert len(tested) >= 3
    assert all(e["p_holm"] >= e["p_differs"] - 1e-12 for e in tested)
    smallest = min(tested, key=lambda e: e["p_differs"])
    assert smallest["p_holm"] == pytest.approx(min(1, smallest["p_differs"] * len(tested)))


def test_population_and_completeness_file(done):
    out, evaluation = done
    part, complete = evaluation["population"], evaluation["completeness"]
    assert part["n"] == 48 and part["n_effective"] < 48
    same = complete["overall_population"]["value"]
    assert part["recall_at_threshold"][-1]["tpr"]["value"] == pytest.approx(same)
    table = storage.read_table(out / "completeness.parquet").to_pandas()
    assert set(table["prior"]) == {"response grid", "population"}
    assert table.groupby("prior")["n"].sum().to_dict() == {"response grid": 48, "population": 48}
    assert sum(c["n"] for c in complete["marginals"]["theta_e_arcsec"]) == 48
    assert sum(c["n"] for c in complete["marginals"]["host_mag_r"]) == 48
    assert sum(c["n"] for c in complete["host_cells"]) == 48 and len(complete["host_cells"]) == 15
    assert {"host_mag_r_lo", "host_mag_r_hi"} <= set(table.columns)


def test_a_network_that_says_one_thing_is_reported_not_crashed(clean, config, tmp_path):
    class Constant(Blue):
        def logits(self, stamps, core_mask_px=None, sky_sigma=None):
            return np.zeros(len(stamps), np.float32)

    options = {"baselines": {}, "survey": Survey}
    got = evaluate(clean.path, "", tmp_path, profile=config, scorer=Constant(), **options)
    assert got["auroc"]["value"] == 0.5 and got["tpr_at_fpr"][-1]["tpr"]["value"] == 0
    assert "nothing to calibrate" in got["calibration"]["reason"]
    assert got["completeness"]["smooth"]["status"] == "skip"
