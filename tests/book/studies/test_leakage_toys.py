"""The toys of the preflight chapter say what the chapter says."""

import numpy as np
import pytest

from dhs.book.studies.leakage_toys import fixed_threshold, hidden_effect, identical_pairs


def test_ungrouped_folds_mislead_and_grouped_ones_do_not():
    found = identical_pairs(repeats=6)
    assert np.mean(found["ungrouped"]) < 0.42 and max(found["ungrouped"]) < 0.5
    assert found["grouped"] == pytest.approx([0.5] * 6, abs=1e-6)


def test_marginal_auc_misses_what_every_pair_shows():
    found = {row["effect"]: row for row in hidden_effect()}
    assert found[0.1]["auc"] < 0.56 and found[0.1]["concordance"] == 1.0
    assert abs(found[0.0]["concordance"] - 0.5) < 0.08 and found[3.0]["auc"] > 0.95


def test_fixed_threshold_refuses_physics_or_hides_a_leak():
    bins = [{"by": "theta_e_arcsec", "lo": 0.5, "hi": 1.0, "expected": 0.8},
            {"by": "theta_e_arcsec", "lo": 2.5, "hi": 3.0, "expected": 0.55},
            {"by": "arc_snr_matched", "lo": 3, "hi": 15, "expected": 0.5}]  # fmt: skip
    got = fixed_threshold({"details": {"bins": bins}})
    assert [row["verdict"] for row in got] == ["refused", "hides up to 0.10"]
    assert fixed_threshold({}) == []
