"""Figures of completeness, purity, realism and failures draw what they are given, and say what is missing."""

import numpy as np
from matplotlib.text import Text

import dhs.figures as figures
from dhs.book.results import lens_list_counts
from dhs.book.studies.interval_coverage import table


def texts(figure) -> str:
    figure.canvas.draw()
    ticks = [t for axis in figure.axes for t in (*axis.get_xticklabels(), *axis.get_yticklabels())]
    return " ".join(t.get_text() for t in (*figure.findobj(match=Text), *ticks))


def metric(value, low=None, high=None):
    return {"value": value, "ci_low": low, "ci_high": high, "n": 10}


def test_purity_curve_draws_the_points_and_the_prevalence():
    curve = [
        {"completeness": c, "purity": p, "ci_low": p / 2, "ci_high": min(1, 2 * p)}
        for c, p in ((0.0, 0.0), (0.2, 0.3), (0.9, 1e-3))
    ]
    drawn = figures.purity_curve({"prevalence": 1e-4, "curve": curve})
    np.testing.assert_allclose(drawn.axes[0].lines[0].get_ydata(), [0.3, 1e-3])
    assert "a random draw: one in 10,000" in texts(drawn) and "one lens in 3 candidates" in texts(drawn)
    assert "no rate" in repr(figures.purity_curve({"status": "skip", "reason": "no rate"}))


def test_realism_gap_names_families_and_the_control():
    report = {
        "status": "probed",
        "features": "penultimate",
        "mode": "display pictures",
        "auc": metric(0.8, 0.7, 0.9),
        "families": [{"family": "colour", **metric(0.7, 0.6, 0.8)}],
        "left_after_matching": metric(0.5, 0.4, 0.6),
        "control": {"what": "two halves of real", "auc": metric(0.55, 0.4, 0.7)},
        "probe": {"null_95": 0.61},
    }
    shown = texts(figures.realism_gap(report))
    assert "by colour alone" in shown and "control: two halves of real" in shown and "display pictures" in shown
    assert "too few" in repr(figures.realism_gap({"status": "skip", "reason": "too few"}))


def test_failures_by_cause_and_what_would_help():
    cause = {"cause": "faint arc", "n": 7, "fix": "deeper imaging", "examples": [1]}
    cause |= {"missed_with": metric(0.9, 0.8, 1.0), "missed_without": metric(0.2, 0.1, 0.3)}
    kind = {"cause": "survey: ring", "n": 3, "rate": metric(0.1, 0.0, 0.2), "fix": "rings in training"}
    failures = {"misses": {"causes": [cause]}, "alarms": {"causes": [kind]}}
    shown = texts(figures.failure_causes(failures))
    assert "faint arc (7)" in shown and "survey: ring (3)" in shown
    table = figures.fixes(failures).to_html()
    assert "deeper imaging" in table and "rings in training" in table
    assert "no threshold" in repr(figures.fixes({"status": "skip", "reason": "no threshold"}))
    assert "no threshold" in repr(figures.failure_causes({"status": "skip", "reason": "no threshold"}))


def test_coverage_shows_every_design():
    shown = texts(figures.coverage(table()))
    assert "45000\n300\nweak" in shown and "3000\n10" in shown and "auroc" in shown and "concordance" in shown


def test_missed_lenses_and_the_list_say_why(monkeypatch):
    entry = {"host_id": "a<b", "name": None, "logit": -1.0, "why": ["theta_E is not known"]}
    table = figures.missed_lenses({"misses": {"stamps": [entry]}}).to_html()
    assert "theta_E is not known" in table and "a&lt;b" in table and "a<b" not in table
    assert "nothing given" in repr(figures.missed_lenses({"status": "skip", "reason": "nothing given"}))
    monkeypatch.delenv("DHS_DATA_DIR", raising=False)
    monkeypatch.setattr("dhs.survey.lenses.catalogues.importlib.util.find_spec", lambda name: None)
    assert "no lenscat table" in repr(figures.lens_list(lens_list_counts()))
    about = {"dropped": {"no redshift": 3}, "n": 7, "n_spectroscopic": 2, "rules_version": 1}
    assert "dropped: no redshift" in figures.lens_list(about).to_html()


def test_zoom_gallery_is_html_with_escaped_titles():
    page = figures.zoom_gallery(np.ones((1, 3, 64, 64), np.float32), ['<b>1.3"</b>'], "missed")._repr_html_()
    assert "&lt;b&gt;" in page and "<script" not in page and "data:image/png;base64," in page
    assert "none to show" in figures.zoom_gallery(np.empty((0, 3, 64, 64)), [], "missed")._repr_html_()


def test_real_recall_stands_beside_published_points_of_other_data():
    recall = {"value": 0.5, "ci_low": 0.1, "ci_high": 0.9, "n": 6}
    drawn = figures.real_recall({"status": "scored", "recall_at_fpr": [{"fpr": 1e-2, "recall": recall}]})
    shown = texts(drawn)
    assert "6 real stamps" in shown and shown.count("other data") == 3 and "HOLISMOKES XVI" in shown
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in drawn.axes[0].lines if len(line.get_xdata()) == 1}
    assert {(1e-2, 0.5), (1e-4, 0.45), (1e-4, 0.75), (1e-3, 0.795)} <= points
    assert "nothing given" in repr(figures.real_recall({"status": "skip", "reason": "nothing given"}))
    assert "no evaluation" in repr(figures.real_recall({"status": "scored", "recall_at_fpr": []}))


def test_completeness_by_host_shows_every_bin_and_both_priors():
    def cell(theta, mag, value):
        bounds = {"theta_e_arcsec_lo": theta, "theta_e_arcsec_hi": theta + 1, "host_mag_r_lo": mag}
        known = {"value": value, "ci_low": 0.1, "ci_high": 0.9, "n": 5}
        return bounds | {"host_mag_r_hi": mag + 1} | (known if value is not None else dict.fromkeys(known))

    cells = [cell(t, m, 0.5 if t < 2 else None) for t in (1, 2) for m in (18, 19)]
    marginals = {"theta_e_arcsec": cells[:1], "host_mag_r": cells[:2]}
    section = {"host_cells": cells, "marginals": marginals, "marginals_population": marginals, "prior": "joint"}
    figure = figures.completeness_by_host(section)
    names = [[t.get_text() for t in a.get_legend().get_texts()] for a in figure.axes]
    assert names == [["r 18.0 to 19.0", "r 19.0 to 20.0"], ["joint", "population"], ["joint", "population"]]
    nothing = figures.completeness_by_host({"status": "skip", "reason": "no threshold"})
    assert "no threshold" in repr(nothing)
