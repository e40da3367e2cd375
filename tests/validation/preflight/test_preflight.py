"""A clean data set passes; every planted fault fails the gate that is there for it."""

import shutil

import numpy as np
import pytest
from planted_pairs import SEED, SIGMA, write
from sklearn.metrics import roc_auc_score

from dhs import storage
from dhs.datasets.reader import open_pairs
from dhs.errors import DhsError
from dhs.injection.expected_arc import expected_arc
from dhs.stats.crossfit import cross_fit
from dhs.stats.pixels import radius_map
from dhs.validation.preflight.gate import REGISTRY, decide, registered, run_gates
from dhs.validation.preflight.gates import leakage
from dhs.validation.preflight.preflight import check as check_data
from dhs.validation.preflight.preflight import collect, preflight

RADIUS = radius_map()


@pytest.fixture(scope="module")
def report(clean, profile, tmp_path_factory):
    return preflight(clean.path, tmp_path_factory.mktemp("out"), profile=profile)


def test_checking_writes_nothing_and_the_verb_its_plan_alone(clean, profile, tmp_path):
    folder = shutil.copytree(clean.path, tmp_path / "pairs", ignore=shutil.ignore_patterns("plan.json", "survey"))

    def content():
        return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before, small = content(), profile.replace(preflight__max_rows=8, preflight__n_survey=8)
    checked = check_data(open_pairs(folder), small, "serial")
    assert content() == before and "observing_conditions" in {g.name for g in checked.gates}
    report = preflight(folder, tmp_path / "out", profile=small, engine="serial")
    assert {p.name for p in content().keys() - before.keys()} == {"plan.json"}
    assert report.data["plan"] == storage.read_json(folder / "plan.json")["sha256"]
    assert [g.as_dict() for g in report.gates] == [g.as_dict() for g in checked.gates]


@pytest.fixture
def check(tmp_path, profile):
    """Write rows and run some gates: {name: Gate}."""

    def run(rows, *names, change=lambda folder: None, **options):
        pairs = write(tmp_path / "pairs", *rows)
        change(tmp_path / "pairs")
        data = collect(pairs, profile.replace(**options), engine="serial")
        return {g.name: g for g in run_gates(data, names)}

    return run


def test_clean_set_passes_every_gate_and_mock_inputs_cap_the_decision(report):
    # 320 pairs cannot show that seeing and depth are alike within 0.1 of AUC; nothing else is open
    assert {g.name: g.status for g in report.gates} == dict.fromkeys(REGISTRY, "pass") | {
        "observing_conditions": "warn",
        "priors_against_nature": "warn",  # a grid, not lenses
    }
    assert [r.number for r in registered() if r.number] == list(range(1, 22))
    assert report.decision == "CONDITIONAL-GO" and len(report.reasons) == 2
    core = report["core_leakage"]
    assert core.n == 320 and core.n_hosts == 320 and core.ci_low < core.value < core.ci_high
    assert core.value > 0.75, "honest physics is not 0.5: a fixed 0.65 would refuse this set"
    assert core.details["null"]["low"] < 0.5 < core.details["null"]["high"]
    assert set(core.details["hard_negatives"]) == {"with hard negatives", "hard negatives alone"}
    bins = [b for b in core.details["bins"] if b["by"] == "theta_e_arcsec"]
    expected = [b["expected"] for b in bins]
    assert len(bins) == 5 and expected[0] > expected[-1] + 0.05, "counter-images matter more at small theta_E"
    assert len(report["samples"].details["pair_ids"]["positive"]) == 20


def test_real_inputs_with_the_same_gates_may_go(report):
    assert decide(report.gates, mock=()) == ("GO", [])


def test_prediction_agrees_with_the_renderer_although_the_source_is_not_round(base_rows):
    core = RADIUS < 5
    stored, predicted = [], []
    for row in base_rows[0][:60]:
        expected = expected_arc(row, 5.0)
        stored.append(row["arc"][1][core].sum() / row["arc"][1].sum())
        predicted.append(expected[1][core].sum() / expected[1].sum())
    assert abs(np.mean(stored) - np.mean(predicted)) < 0.02
    assert np.corrcoef(stored, predicted)[0, 1] > 0.98


def pedestal(row, level=1.5):
    arc = row["arc"].copy()
    arc[:, RADIUS < 5] += (level * SIGMA[:, None]).astype(np.float32)
    return {**row, "arc": arc}


def test_pedestal_in_the_core_fails_both_core_gates(rows, check):
    pairs, negatives = rows
    got = check(([pedestal(r, 3.0) for r in pairs[:240]], negatives[:100]), "core_leakage", "arc_core_fraction")
    assert got["core_leakage"].status == got["arc_core_fraction"].status == "fail"
    assert got["core_leakage"].details["delta"].ci_low > 0.05
    assert got["core_leakage"].value > got["core_leakage"].threshold


def test_arcs_moved_by_an_uncentred_kernel_fail(rows, check):
    pairs, _negatives = rows
    moved = [{**r, "arc": np.roll(r["arc"], (12, 12), axis=(1, 2))} for r in pairs[:160]]
    got = check((moved, []), "core_leakage", "arc_core_fraction")
    assert got["core_leakage"].status == got["arc_core_fraction"].status == "fail"
    assert got["core_leakage"].details["delta"].value < -0.05


def test_leak_in_one_bin_only_is_found(rows, check):
    pairs, _negatives = rows
    leaky = [pedestal(r, 6.0) if r["theta_e_arcsec"] > 2.0 else r for r in pairs]
    assert check((leaky, []), "core_leakage")["core_leakage"].status == "fail"


def test_ringing_in_the_outskirts_fails_the_radial_gate(rows, check):
    pairs, _negatives = rows
    ringed = []
    for r in pairs:
        arc = r["arc"].copy()
        arc *= 0.05
        for low, sign in ((18, 1), (22, -1)):
            ring = (RADIUS >= low) & (RADIUS < low + 4)
            arc[:, ring] += (sign * SIGMA[:, None]).astype(np.float32)
        ringed.append({**r, "arc": arc, "flux_scale": 0.05 * r["flux_scale"]})
    got = check((ringed[:160], []), "radial_profile_leakage")["radial_profile_leakage"]
    assert got.status == "fail" and not got.blocking


def test_few_pairs_are_inconclusive_and_say_how_many_it_would_take(rows, check):
    pairs, negatives = rows
    got = check((pairs[:44], negatives[:22]), "core_leakage", preflight__equivalence_margin=0.004)["core_leakage"]
    assert got.status == "warn" and "it would take about" in got.explanation and got.details["n_needed"] > 44


def test_one_host_or_hardly_a_pair_is_a_skip_with_the_reason(rows, check):
    pairs, _negatives = rows
    one = [{**r, "host_id": "one"} for r in pairs[:60]]
    assert "one host" in check((one, []), "core_leakage")["core_leakage"].explanation
    got = check((pairs[:3], []), *REGISTRY)
    assert {got[n].status for n in ("core_leakage", "arc_core_fraction", "normalisation")} == {"skip"}
    assert "3 pairs" in got["core_leakage"].explanation


def test_swap_null_is_centred_and_its_first_column_is_the_truth():
    rng = np.random.default_rng(0)
    control = rng.normal(size=(300, 10))
    positive = control + 0.3
    scores, labels = leakage.swap_null(positive, control, np.arange(300), 5, 60, 1)
    assert scores.shape == labels.shape == (600, 61)
    areas = leakage.auc_columns(scores, labels)
    assert areas[5] == pytest.approx(roc_auc_score(labels[:, 5], scores[:, 5]))
    assert abs(areas[1:].mean() - 0.5) < 0.02 and areas[0] > areas[1:].max()


def test_ungrouped_folds_would_have_biased_exact_pairs_down():
    rng = np.random.default_rng(1)
    control = rng.normal(size=(101, 30))
    labels = np.repeat([True, False], 101)
    features = np.concatenate([control, control])
    alone = cross_fit(features, labels, np.arange(202), 5).scores
    grouped = cross_fit(features, labels, np.tile(np.arange(101), 2), 5).scores
    assert roc_auc_score(labels, alone) < 0.45 < 0.499 < roc_auc_score(labels, grouped) < 0.501


INTEGRITY = {
    "nan": (lambda r: {"arc": np.full_like(r["arc"], np.nan)}, "NaN or Inf"),
    "zero band": (
        lambda r: {"control": r["control"] * np.array([1, 0, 1], np.float32)[:, None, None]},
        "all-zero band",
    ),
    "no scale": (lambda r: {"sky_sigma_r": None}, "scalar missing"),
    "no image": (lambda r: {"control": None}, "image or a needed scalar missing"),
    "foreign key": (lambda r: {"rng_key": "77:1"}, "cannot be made again"),
    "twice": (lambda r: {"pair_id": 1, "rng_key": f"{SEED}:1"}, "more than once"),
}


@pytest.mark.parametrize("name", INTEGRITY)
def test_one_bad_row_fails_integrity_by_name(name, rows, check):
    pairs, negatives = rows
    change, words = INTEGRITY[name]
    pairs[7] |= change(pairs[7])
    got = check((pairs[:40], negatives[:20]), "data_integrity", "arc_core_fraction")
    assert got["data_integrity"].status == "fail" and words in got["data_integrity"].explanation
    assert got["arc_core_fraction"].n == (40 if name in ("foreign key", "twice") else 39), "the others go on without"


def test_units_out_by_a_thousand_and_an_assumed_gain_of_150_fail(rows, check):
    pairs, _negatives = rows
    images = {"control", "arc"}
    scaled = [{k: v * np.float32(1000) if k in images or "sigma" in k else v for k, v in r.items()} for r in pairs[:40]]
    got = check((scaled, []), "data_integrity")["data_integrity"]
    assert got.status == "fail" and "sky noise in r" in got.explanation


def test_gain_of_150_and_wrong_arc_flux_fail(rows, check):
    pairs, _negatives = rows
    wrong = [{**r, "gain_r": 150.0, "arc_flux_z": 2 * r["arc_flux_z"]} for r in pairs[:40]]
    got = check((wrong, []), "data_integrity")["data_integrity"]
    assert (
        got.status == "fail"
        and "gain in r" in got.explanation
        and "arc flux over the stored one in z" in got.explanation
    )


def corrupt(folder):
    part = folder / "split=train" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])


def test_unreadable_part_fails_with_its_name_and_the_rest_is_measured(rows, check):
    got = check((rows[0][:120], rows[1][:60]), *REGISTRY, change=corrupt)
    assert got["data_integrity"].status == "fail"
    assert "split=train/part-00001.parquet: unreadable" in got["data_integrity"].explanation
    assert got["core_leakage"].n == 120 - 42


def test_lost_part_shows_in_the_counts(rows, check):
    lose = lambda f: (f / "split=val" / "part-00000.parquet").unlink()  # noqa: E731
    got = check((rows[0][:80], []), "data_integrity", change=lose)
    assert "val has 6 readable rows, the manifest says 12" in got["data_integrity"].explanation


def test_hard_negatives_too_few_or_classes_missing_fail(rows, check):
    pairs, negatives = rows
    pairs, negatives = pairs[:160], negatives[:80]
    got = check((pairs, negatives[:20]), "class_balance")["class_balance"]
    assert got.status == "fail" and got.value < 0.3 == got.threshold
    train_only = [n for n in negatives if n["split"] == "train"]
    assert check((pairs, train_only), "class_balance")["class_balance"].status == "warn"
    pairs = pairs[:40]
    untrained = [r for r in pairs if r["split"] != "train"]
    assert check((untrained, []), "class_balance", change=lambda f: _remove_train(f))["class_balance"].status == "fail"


def _remove_train(folder):
    for part in (folder / "split=train").glob("*.parquet"):
        part.unlink()


def by_split(pairs, split):
    return next(i for i, r in enumerate(pairs) if r["split"] == split)


SPLIT_FAULTS = {
    "host_id": "host_id in two splits",
    "brickname": "brickname in two splits",
    "healpix": "healpix in two splits",
    "source_id": "source_id in two splits",
    "ra": "within 24 arcsec of a row of another split",
}


@pytest.mark.parametrize("column", SPLIT_FAULTS)
def test_anything_shared_between_splits_fails(column, rows, check):
    pairs, _negatives = rows
    pairs = pairs[:60]
    for name in (column, "dec") if column == "ra" else (column,):
        pairs[by_split(pairs, "test")][name] = pairs[by_split(pairs, "train")][name]
    got = check((pairs, []), "split_integrity")["split_integrity"]
    assert got.status == "fail" and SPLIT_FAULTS[column] in got.explanation and got.value >= 1


def test_unassigned_misplaced_and_lopsided_splits_fail(rows, check):
    pairs = rows[0][:120]
    lopsided = check((pairs, []), "split_integrity", splits__train=0.2, splits__val=0.4, splits__test=0.4)[
        "split_integrity"
    ]
    assert lopsided.status == "fail" and "train holds 0.700" in lopsided.explanation
    pairs[0] |= {"split": None, "folder": "train"}
    pairs[1] |= {"folder": "test"}
    got = check((pairs, []), "split_integrity")["split_integrity"]
    assert "1 rows have no split" in got.explanation and "1 rows lie in the folder of another" in got.explanation


def test_normalisation_faults(rows, check):
    pairs, negatives = rows
    pairs, negatives = pairs[:120], []
    flat = np.where(RADIUS > 20, np.float32(0), 1)
    dead = [{**r, "control": r["control"] * flat} if r["pair_id"] == 4 else r for r in pairs]
    got = check((dead, negatives), "normalisation")["normalisation"]
    assert got.status == "fail" and got.details["mad_zero"] >= 1
    step = np.where(RADIUS >= 32, 0.6 * SIGMA[:, None, None], 0).astype(np.float32)
    got = check(([{**r, "control": r["control"] + step} for r in pairs], negatives), "normalisation")["normalisation"]
    assert got.status == "fail" and got.value > 1
    loud = np.where(RADIUS >= 32, 1.4, 1.0).astype(np.float32)
    got = check(([{**r, "control": r["control"] * loud} for r in pairs], negatives), "normalisation")["normalisation"]
    assert got.status == "fail" and "sigma of" in got.explanation


def test_arc_light_in_the_annulus_is_a_warning_per_theta_e(rows, check):
    pairs, _negatives = rows
    wide = []
    for r in pairs[:120]:
        arc = r["arc"].copy()
        if r["theta_e_arcsec"] > 2.5:
            ring = (RADIUS > 27) & (RADIUS < 31)
            arc[:, ring] += 0.3 * arc.sum(axis=(1, 2))[:, None] / ring.sum()
        wide.append({**r, "arc": arc})
    got = check((wide, []), "normalisation")["normalisation"]
    assert got.status in ("warn", "fail") and "theta_E 2.5-3" in got.explanation


def test_hard_negatives_with_another_texture_or_snr_fail(rows, check):
    pairs, negatives = rows
    rng, pairs, negatives = np.random.default_rng(0), pairs[:160], negatives[:80]
    rough = [{**n, "light": n["light"] + rng.normal(0, SIGMA[1], n["light"].shape).astype("f4")} for n in negatives]
    assert check((pairs, rough), "hard_negative_texture")["hard_negative_texture"].status == "fail"
    faint = [{**n, "arc_snr_matched": n["arc_snr_matched"] / 2} for n in negatives]
    got = check((pairs, faint), "hard_negative_texture")["hard_negative_texture"]
    assert got.status == "fail" and got.details["kinds"][0]["snr_ratio_median"] == pytest.approx(0.5)


def test_too_few_samples_warn(rows, check):
    pairs, negatives = rows
    assert check((pairs[:15], negatives[:3]), "samples")["samples"].status == "warn"


def test_no_data_set_is_refused(tmp_path):
    with pytest.raises(DhsError, match=r"no manifest\.json"):
        preflight(tmp_path, tmp_path, profile="smoke")
