"""Figures show what the artefacts hold, and say so where there is nothing to show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import dhs.figures as figures
from dhs.datasets.reader import stamp
from dhs.models.attribution import Attribution


def texts(figure: Figure) -> str:
    """All text drawn in a figure."""
    figure.canvas.draw()
    ticks = [t for axis in figure.axes for t in (*axis.get_xticklabels(), *axis.get_yticklabels())]
    return " ".join(t.get_text() for t in (*figure.findobj(match=lambda a: hasattr(a, "get_text")), *ticks))


def test_pair_pictures_name_the_pair(pairs):
    row = pairs[3]
    drawn = texts(figures.pair_build_up(row, np.ones((9, 9)), 0.03))
    assert f"{row['theta_e_arcsec']:.2f}" in drawn and "0.3" in drawn
    assert "source image not at hand" in texts(figures.pair_build_up(row))
    grid = figures.pair_grid(pairs, 4)
    assert len(grid.axes) == 12
    assert "no pairs in split" not in texts(figures.pair_grid(pairs, 4, "test"))


def test_build_up_residual_is_the_shot_noise_alone(pairs):
    row = pairs[0]
    shown = np.asarray(figures.pair_build_up(row).axes[7].images[0].get_array())
    np.testing.assert_allclose(shown, (stamp(row) - row["control"] - row["arc"])[1], atol=1e-7)


def test_coverage_rejections_hosts(pairs):
    table = pairs.table()
    assert "θ_E [arcsec]" in texts(figures.parameter_coverage(table))
    drawn = texts(figures.rejections(pairs.manifest))
    assert "single image" in drawn and "hard negative: no contrast" in drawn and "30" in drawn
    counts = [patch.get_width() for patch in figures.rejections(pairs.manifest).axes[0].patches]
    assert counts == [42, 30, 12, 4]
    assert "nanomaggies" in texts(figures.host_conditions(table))


def test_stamps_by_pair_are_those_of_the_reader(pairs):
    images, rows = figures.by_pair(pairs, [7, 3, 9999])
    assert [r["pair_id"] for r in rows] == [7, 3]
    np.testing.assert_array_equal(images[0], stamp(pairs[7]))
    np.testing.assert_array_equal(figures.by_pair(pairs, [7], "control")[0][0], pairs[7]["control"])
    hard, rows = figures.by_pair(pairs, [0, 13], "hard_negative:azimuthal_shuffle")
    assert [r["pair_id"] for r in rows] == [0]
    np.testing.assert_allclose(hard[0] - pairs[0]["control"], rows[0]["light"], atol=0.02)


def test_worst_takes_the_right_end(scores):
    frame = scores.to_pandas()
    positive = frame[frame["kind"] == "positive"]["logit"]
    assert list(figures.worst(scores, "positive", 3)["logit"]) == sorted(positive)[:3]
    assert (
        figures.worst(scores, "survey_negative", 1)["logit"].item()
        == frame[frame["kind"] == "survey_negative"]["logit"].max()
    )


def test_gate_figures(report):
    drawn = texts(figures.gate_overview(report))
    assert "core leakage *" in drawn and "0.62" in drawn and "no value" in drawn
    leak = figures.leakage(figures.gate_of(report, "core_leakage"))
    assert "2.5-3" in texts(leak)
    html = figures.gate_table(report)._repr_html_()
    assert "What &lt;it&gt; means." in html and "<it>" not in html
    assert "skipped: " in texts(figures.leakage(figures.gate_of(report, "absent")))


def test_radial_profiles_see_the_arc_and_the_noise(pairs):
    stamps, _ = figures.by_pair(pairs, range(12))
    controls, _ = figures.by_pair(pairs, range(12), "control")
    sigma = np.tile([0.002, 0.003, 0.006], (12, 1))
    left, right = figures.radial_profiles(stamps, controls, sigma, (26, 32)).axes
    with_arc, without = (line.get_ydata() for line in left.lines[:2])
    ring = slice(2, 9)
    assert (with_arc[ring] > without[ring] + 1).all()
    edges = np.concatenate([patch.get_xy()[:, 0] for patch in right.patches])
    assert 0.85 < edges.min() and edges.max() < 1.15


def test_score_figures(scores, evaluation):
    rates = figures.rates(scores, evaluation).axes[0]
    assert rates.get_xscale() == "log" and rates.get_xlabel() == "false-positive rate"
    curves = [line for line in rates.lines if str(line.get_label()).startswith("survey negatives")]
    assert min(curves[0].get_xdata()) == pytest.approx(10 / 300), "solid from ten expected false positives on"
    dotted = [line for line in rates.lines if line.get_linestyle() == ":" and line.get_color() == curves[0].get_color()]
    assert min(dotted[0].get_xdata()) == pytest.approx(1 / 300), "and not drawn below one"
    assert "survey negatives, n = 300" in texts(figures.score_distributions(scores))
    assert "too few" in texts(figures.strata(evaluation))
    assert len(figures.reliability(evaluation["calibration"]).axes) == 2
    drawn = texts(figures.completeness_map(evaluation["completeness"]))
    assert "0.50" in drawn and "n=0" in drawn
    assert "core masked: auroc" in texts(figures.core_effect(scores, evaluation))


def test_real_lens_rates_are_counted_against_the_negatives(scores):
    table = scores.to_pandas().query("kind == 'positive'").head(2).assign(kind="real_lens", logit=[0.0, 9.0])
    drawn = texts(figures.real_lens_scores(table, np.array([-1.0, 0.0, 1.0, 2.0])))
    assert "(FPR 0.75)" in drawn and "(FPR 0)" in drawn


def test_training_curves_show_each_monitor(history):
    figure = figures.training_curves(history)
    drawn = texts(figure)
    for title in ("loss", "core masked, core swapped", "gradient norm", "learning rate"):
        assert title in drawn
    masked = next(a for a in figure.axes if a.get_title(loc="left") == "core masked, core swapped")
    np.testing.assert_array_equal(masked.lines[0].get_xdata(), [5])
    assert "not monitored" in drawn


def test_training_curves_name_rates_kinds_and_bins(history):
    history = history.assign(**{"tpr_fpr_0.03": 0.2, "hard_negative_accuracy_azimuthal_shuffle": 0.7, "seen_ids": 40})
    drawn = texts(figures.training_curves(history))
    for label in ("FPR 0.03", "azimuthal shuffle", '0.5-1"', "pairs met"):
        assert label in drawn


def ablation_table():
    common = {"question": "?", "status": "done", "reason": "", "ci_low": np.nan, "ci_high": np.nan, "against": ""}
    rows = [common | {"variant": "reference", "metric": "auroc", "difference": np.nan, "difference_by_seed": []}]
    found = {"difference": -0.02, "difference_by_seed": [-0.03, -0.01], "ci_low": -0.04, "ci_high": 0.0}
    for metric in ("auroc", "core_swap_effect", "tpr_fpr_0.03", "tpr_fpr_0.005"):
        rows.append(common | found | {"variant": "unpaired", "against": "half", "metric": metric})
    skipped = {"status": "skip", "reason": "no pretrained weights", "difference": np.nan, "difference_by_seed": []}
    return pd.DataFrame([*rows, common | skipped | {"variant": "pretrained", "metric": "auroc"}])


def test_ablation_draws_every_seed_and_interval_and_says_what_was_skipped():
    figure = figures.ablation(ablation_table())
    drawn = texts(figure)
    assert "unpaired (against half)" in drawn and "skipped" in drawn and "recall at FPR 0.005" in drawn
    lines = {tuple(np.round(line.get_xdata(), 3)) for line in figure.axes[0].lines}
    assert {(-0.04, 0.0), (-0.02,), (-0.03, -0.01)} <= lines
    assert "dhs ablate --data-path runs/x/pairs --out runs/x/ablation" in texts(figures.ablation(None, run="runs/x"))


def test_ablation_table_tells_every_metric_its_seeds_and_what_was_skipped():
    table = ablation_table()
    table = table.assign(value=0.8125, minutes=2.5, value_by_seed=[[0.81, 0.815]] * len(table))
    drawn = figures.ablation_table(table).to_html()
    for word in ("0.812", "0.810, 0.815", "recall at FPR 0.005", "2.5", "skipped: no pretrained weights", "core-swap"):
        assert word in drawn
    assert "not run" in figures.ablation_table(None).to_html()


def test_attributions_show_the_rise_and_its_place():
    radius = np.hypot(*(np.mgrid[:64, :64] - 31.5)) * 0.262
    light = np.exp(-0.5 * ((radius - 1.5) / 0.2) ** 2) * np.ones((5, 3, 1, 1))
    maps = light * np.linspace(0.1, 0.5, 5)[:, None, None, None]
    rise = maps.sum((1, 2, 3))
    found = Attribution(np.arange(5), np.full(5, 1.5), light, 0 * light, light, maps, rise - 1, np.full(5, -1.0))
    drawn = texts(figures.attributions(found, n=3))
    assert f"{rise[4]:+.1f}" in drawn and "control: -1.0" in drawn and 'θ_E 1.50"' in drawn
    arc, network = figures.attribution_profile(found).axes[0].lines[:2]
    np.testing.assert_allclose(arc.get_ydata(), network.get_ydata(), atol=1e-9)
    assert abs(arc.get_xdata()[np.argmax(arc.get_ydata())] - 1.0) <= 0.125
    assert np.sum(arc.get_ydata()) > 0.99


def test_signoff_pictures():
    signoff = {
        "decision": "NO-GO",
        "blockers": [{"text": "a & b", "source": "gate:x"}],
        "conditions": ["plain words"],
    }
    assert "NO-GO" in texts(figures.decision_banner(signoff))
    html = figures.signoff_table(signoff)._repr_html_()
    assert "a &amp; b" in html and "gate:x" in html and "plain words" in html
    assert "nothing stands against" in figures.signoff_table({"decision": "GO"})._repr_html_()


@pytest.mark.parametrize(
    "figure",
    [
        lambda pairs, scores: figures.gate_overview({"gates": []}),
        lambda pairs, scores: figures.strata({}),
        lambda pairs, scores: figures.strata({"strata": {"status": "skip", "reason": "why not"}}),
        lambda pairs, scores: figures.reliability({}),
        lambda pairs, scores: figures.completeness_map({"status": "skip", "reason": "why not"}),
        lambda pairs, scores: figures.core_effect(scores.slice(0, 0), {}),
        lambda pairs, scores: figures.rates(scores.slice(0, 0), {}),
        lambda pairs, scores: figures.score_distributions(scores.slice(0, 0)),
        lambda pairs, scores: figures.real_lens_scores(scores.to_pandas().head(0), np.array([])),
        lambda pairs, scores: figures.training_curves(scores.to_pandas().head(0)),
        lambda pairs, scores: figures.gallery(np.empty((0, 3, 64, 64)), [], "none"),
        lambda pairs, scores: figures.sample_sheet(np.empty((0, 3, 64, 64))),
        lambda pairs, scores: figures.parameter_coverage(pairs.table().slice(0, 0)),
        lambda pairs, scores: figures.host_conditions(pairs.table().slice(0, 0)),
        lambda pairs, scores: figures.rejections({}),
        lambda pairs, scores: figures.decision_banner({}),
        lambda pairs, scores: figures.radial_profiles(
            np.empty((0, 3, 9, 9)), np.empty((0, 3, 9, 9)), np.empty((0, 3)), (2, 4)
        ),
    ],
)
def test_nothing_to_draw_is_said(figure, pairs, scores):
    drawn = texts(figure(pairs, scores))
    assert "skipped: " in drawn


def test_figures_are_closed_and_white(pairs):
    before = plt.get_fignums()
    figure = figures.pair_grid(pairs, 2)
    assert plt.get_fignums() == before
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_pair_strip_shows_control_arc_and_stamp(pairs):
    row = pairs[5]
    figure = figures.pair_strip(row)
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    for image, wanted in zip(shown, (row["control"], row["arc"], stamp(row)), strict=True):
        np.testing.assert_array_equal(image, figures.colour(wanted))


def test_survey_negatives_are_made_again_as_they_were_scored():
    from dhs.survey.mock.negatives import SurveyNegatives

    negatives = SurveyNegatives(5, 3)
    ids = [negatives.refs[i].host_id for i in (4, 1)]
    stamps = figures.of_survey_negatives(5, 3, [*ids, "unknown"])
    assert np.array_equal(stamps, [negatives.read(4).image, negatives.read(1).image])
    assert figures.of_survey_negatives(5, 3, []).shape == (0, 3, 64, 64)
