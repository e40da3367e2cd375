"""Core fraction, closure, conditions and photometry: clean passes, each planted fault fails the gate meant for it."""

import numpy as np
import pytest
from planted_faults import FAULTS
from planted_pairs import SIGMA, write

from dhs.validation.preflight.gate import run_gates
from dhs.validation.preflight.preflight import collect

PHYSICS = ("arc_core_fraction", "closure", "arc_photometry")


@pytest.fixture
def run(tmp_path, profile):
    def gates(pairs, negatives, *names, **options):
        data = collect(write(tmp_path / "pairs", pairs, negatives), profile.replace(**options), engine="serial")
        return {g.name: g for g in run_gates(data, names)}

    return gates


def test_clean_passes(rows, run):
    got = run(rows[0][:60], [], *PHYSICS)
    assert {n: g.status for n, g in got.items()} == dict.fromkeys(PHYSICS, "pass")
    core = got["arc_core_fraction"]
    assert core.details["bins"][0]["missed"].value == 0 and "source galaxies" in core.details["expectation"]
    assert abs(core.value) < 0.002 and core.n == 60 and core.n_sources <= 40
    assert got["closure"].value < 0.5 and len(got["closure"].details["checks"]) == 4
    photometry = got["arc_photometry"]
    assert photometry.details["bluer_than_host"].ci_low > 0 and len(photometry.details["windows"]) == 4


@pytest.mark.parametrize("name", [n for n, (_, size, _) in FAULTS.items() if size == 60])
def test_each_planted_fault_fails(name, rows, run):
    plant, _, gates = FAULTS[name]
    got = run(*plant(rows[0][:60], [], np.random.default_rng(0)), *gates)
    assert "fail" in {g.status for g in got.values()}, {n: g.explanation for n, g in got.items()}


def test_a_single_bad_arc_in_sixty_is_named_and_not_enough_to_fail(rows, run):
    pairs = rows[0][:60]
    pairs[7] = {**pairs[7], "arc": np.roll(pairs[7]["arc"], 4, axis=1)}
    got = run(pairs, [], "arc_core_fraction")["arc_core_fraction"]
    assert got.status == "pass" and got.details["missed_pair_ids"] == [pairs[7]["pair_id"]]


def test_without_the_source_galaxies_the_mean_is_tested_and_the_arcs_are_not(rows, run):
    pairs = [{**r, "source_id": "lost"} for r in rows[0][:60]]
    got = run(pairs, [], *PHYSICS)
    core = got["arc_core_fraction"]
    assert core.status == "warn" and "No arc by arc test" in core.explanation and "round source" in core.explanation
    assert abs(core.value) < 0.05
    assert got["closure"].status == "warn" and "Not measured" in got["closure"].explanation


def test_wrong_stored_flux_and_magnification_break_closure(rows, run):
    pairs = rows[0][:40]
    for change, words in (({"arc_flux_z": 1.05}, "stored flux"), ({"magnification": 1.1}, "magnification")):
        wrong = [{**r, **{k: r[k] * f for k, f in change.items()}} for r in pairs]
        got = run(wrong, [], "closure")["closure"]
        assert got.status == "fail" and words in got.explanation


def test_conditions_alike_or_not(rows, run):
    pairs, negatives = rows
    clean = run(pairs, negatives, "observing_conditions", preflight__max_rows=0)["observing_conditions"]
    assert clean.status in ("pass", "warn") and clean.value < 0.65
    assert {c["what"] for c in clean.details["comparisons"] if "auc" in c} >= {
        "pairs with azimuthal_shuffle against those without",
        "pairs drawn once against those drawn again",
    }
    plant, _, gates = FAULTS["hard negatives from half the sky"]
    got = run(*plant(pairs, negatives, None), *gates, preflight__max_rows=0)["observing_conditions"]
    assert got.status == "fail" and "azimuthal_shuffle" in got.explanation


def test_draws_that_were_rejected_for_their_seeing_are_found(rows, run):
    pairs = []
    for r in rows[0]:
        again = r["n_rejected"]
        pairs.append({**r, **{f"psf_fwhm_{b}_arcsec": 1.1 + 0.3 * again + 0.01 * (r["pair_id"] % 7) for b in "grz"}})
    got = run(pairs, [], "observing_conditions", preflight__max_rows=0)["observing_conditions"]
    assert got.status == "fail" and "drawn once" in got.explanation


def test_survey_negatives_of_another_depth_are_found(rows, run):
    pairs = [{**r, **{f"sky_sigma_{b}": 3 * s for b, s in zip("grz", SIGMA)}} for r in rows[0]]
    got = run(pairs, [], "observing_conditions", preflight__max_rows=0, preflight__n_survey=40)["observing_conditions"]
    assert got.status == "fail" and "survey negatives" in got.explanation
