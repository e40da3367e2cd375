"""The audit's pictures draw what they are given and say why where there is nothing."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from dhs import figures
from dhs.book.results import operating_study
from dhs.figures.sets.prior_draws import ROWS


def metric(value, low=None, high=None):
    return {"value": value, "ci_low": low, "ci_high": high, "n": 50, "n_hosts": 40, "n_sources": 12}


@pytest.fixture
def section():
    bins = [{"lo": a, "hi": a + 0.5, **metric(-0.2 * a, -0.3 * a, -0.1 * a)} for a in (0.5, 1.0, 1.5)]
    names = ("core_light_removed", "placebo_edge", "arc_removed", "of_ones_own")
    rows = [
        {"name": n, **metric(-i, -i - 0.2, -i + 0.2), "fell": metric(0.9), "by_theta_e": bins}
        for i, n in enumerate(names)
    ]
    return {"interventions": rows, "sweep": [{"radius_px": r, **metric(-r / 9)} for r in (2.0, 5.0, 9.0)], "n": 50}


def texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(plt.Text))


def test_interventions_are_sorted_named_and_by_radius(section):
    figure = figures.interventions(section)
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == "of ones own" and labels[-1] == "core's arc light removed"
    assert len(figure.axes) == 3 and "R [pixels]" in texts(figure)
    shown = figures.interventions_table(section)._repr_html_()
    assert "whole arc removed" in shown and "-2.20 to -1.80" in shown and "0.9" in shown
    reason = {"status": "skip", "reason": "3 pairs, 10 are needed"}
    assert "3 pairs, 10 are needed" in repr(figures.interventions(reason))
    assert "3 pairs" in figures.interventions_table(reason)._repr_html_()


def test_shares_of_the_effect_by_radius(section):
    bins = [{"lo": a, "hi": a + 0.5, **metric(0.7, 0.6, 0.8)} for a in (0.5, 1.0)]
    none = [{"lo": 0.5, "hi": 1.0, **metric(None)}, {"lo": 1.0, "hi": 1.5, **metric(None)}]
    shares = {
        "ring": metric(0.74, 0.7, 0.78) | {"by_theta_e": bins},
        "core": metric(0.1, 0, 0.2) | {"by_theta_e": bins},
    }
    full = section | {"shares": shares, "core_light": metric(0.3) | {"by_theta_e": bins}}
    figure = figures.effect_shares(full)
    assert len(figure.axes) == 3 and "a plain ring has" in texts(figure) and "of the light" in texts(figure)
    assert any(np.isclose(np.ravel(line.get_ydata()), 0.7).any() for line in figure.axes[1].lines)
    shares["ring"]["by_theta_e"] = none
    assert len(figures.effect_shares(full).axes) == 3
    assert "no effect to share out" in repr(figures.effect_shares(section))


def test_prior_study_shows_every_prior_and_its_numbers():
    edges = {
        "theta_e_arcsec": [0, 1, 3],
        "sigma_v_kms": [100, 400, 800],
        "arc_r": [18, 21, 26],
        "source_r": [20, 23, 28],
    }
    shares = {"response_grid": (0.3, 0.7), "joint": (0.6, 0.4), "population": (0.9, 0.1)}
    made = {p: {n: {"edges": e, "share": list(v)} for n, e in edges.items()} for p, v in shares.items()}
    numbers = {p: dict.fromkeys(ROWS, v[0]) for p, v in shares.items()}
    figure = figures.prior_study({"histograms": made, "priors": numbers})
    steps = figure.axes[0].patches
    assert len(figure.axes) == 4 and len(steps) == 3
    np.testing.assert_allclose(steps[0].get_data().values, [0.3, 0.35])
    shown = figures.prior_table({"histograms": made, "priors": numbers})
    assert list(shown.columns) == ["response grid (before)", "joint (after)", "population"]
    assert shown.loc["arcs brighter than r = 21", "joint (after)"] == "60.0 %"


def test_toys_and_core_fractions():
    folds = {"ungrouped": [0.2, 0.3], "grouped": [0.5, 0.5]}
    paired = [{"effect": e, "auc": 0.5 + e / 4, "concordance": 1.0} for e in (0.0, 0.1, 1.0)]
    figure = figures.toys(folds, paired)
    assert sorted(figure.axes[0].lines[0].get_ydata()) == [0.2, 0.3] and "concordance" in texts(figure)
    bins = [{"label": "all", "stored": 0.2, "expected": 0.21, **metric(-0.01, -0.02, 0.0)}]
    bins += [{"lo": 0.5, "hi": 1.0, "stored": 0.5, "expected": 0.5, **metric(0.0, -0.01, 0.01)}, {"label": "x", "n": 3}]
    figure = figures.core_fractions({"name": "g", "status": "pass", "threshold": 0.05, "details": {"bins": bins}})
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["all", "0.5-1"]
    assert "no bins" in repr(figures.core_fractions({"name": "g", "status": "pass", "details": {}}))


def test_foreign_arcs_drawn_or_skipped():
    entry = {"radii_px": (2, 5, 9), "core_fraction": np.array([[0.1, 0.4, 1.0]] * 3), "n": 3}
    entry |= {"auc": [0.5, 0.6, 0.7], "concordance": [0.6, 1.0, 1.0]}
    figure = figures.foreign_arcs([{**entry, "shift_px": s} for s in (0.0, 1.0, 23.0)])
    assert "shifted by 23 px" in texts(figure) and "n = 3 pairs" in texts(figure)
    assert "no stamps" in repr(figures.foreign_arcs([]))


def test_tables_of_thresholds_and_the_gates_own_record():
    rows = [{"lo": 0.5, "hi": 1.0, "expected": 0.79, "verdict": "refused"}]
    assert "refused" in figures.fixed_threshold_table(rows)._repr_html_()
    own = figures.operating_table(operating_study())._repr_html_()
    assert "clean set" in own and "let through" in own and "residual image" in own
    assert "no study" in figures.operating_table({"faults": []})._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.059e-05, "≈ 0"), (-0.01955, "−0.02"), (0.5, "0.5"), (2.346, "2.35"), (1234.5, "1,234")],
)
def test_numbers_of_tables_are_read_at_a_glance(value, text):
    assert figures.table([{"a": value}], {"a": "A"})._repr_html_().count(f"<td>{text}</td>") == 1
