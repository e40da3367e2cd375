"""Figures show what the artefacts hold, and say so where there is nothing to show."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import dhs.figures as figures
from dhs.book.stamps import spread, with_stamp
from dhs.datasets.reader import stamp
from dhs.models.attribution import Attribution
from dhs.survey import facts


def texts(figure: Figure) -> str:
    """All text drawn in a figure."""
    figure.canvas.draw()
    ticks = [t for axis in figure.axes for t in (*axis.get_xticklabels(), *axis.get_yticklabels())]
    return " ".join(t.get_text() for t in (*figure.findobj(match=lambda a: hasattr(a, "get_text")), *ticks))


def test_pair_pictures_name_the_pair(pairs):
    row = pairs[3]
    drawn = texts(figures.pair_build_up(with_stamp(row), np.ones((9, 9)), 0.03))
    assert f"{row['theta_e_arcsec']:.2f}" in drawn and "0.3" in drawn
    assert "source image not at hand" in texts(figures.pair_build_up(with_stamp(row)))
    grid = figures.pair_grid(spread(pairs, 4))
    assert len(grid.axes) == 12
    assert "the data set is empty" in texts(figures.pair_grid([]))


def test_build_up_residual_is_the_shot_noise_alone(pairs):
    row = pairs[0]
    shown = np.asarray(figures.pair_build_up(with_stamp(row)).axes[7].images[0].get_array())
    np.testing.assert_allclose(shown, (stamp(row) - row["control"] - row["arc"])[1], atol=1e-7)


def test_coverage_rejections_hosts(pairs):
    table = pairs.table()
    assert "θ_E [arcsec]" in texts(figures.parameter_coverage(table))
    drawn = texts(figures.rejections(pairs.manifest))
    assert "single image" in drawn and "hard negative: no contrast" in drawn and "30" in drawn
    counts = [patch.get_width() for patch in figures.rejections(pairs.manifest).axes[0].patches]
    assert counts == [42, 30, 12, 4]
    assert "nanomaggies" in texts(figures.host_conditions(table))


def test_gates_are_drawn_as_the_report_has_them(report):
    drawn = texts(figures.gate_overview(report))
    for gate in report["gates"]:
        assert gate["name"].replace("_", " ") in drawn and (gate["value"] is None or f"{gate['value']:.4g}" in drawn)
    core = figures.gate_of(report, "core_leakage")
    panels = figures.leakage(core).axes
    by = [b["by"] for b in core["details"]["bins"]]
    assert [len(panel.get_xticks()) for panel in panels] == [by.count("theta_e_arcsec"), by.count("arc_snr_matched")]
    observed = [c.lines[0].get_ydata()[0] for panel in panels for c in panel.containers]
    assert observed == [b["value"] for b in core["details"]["bins"] if b["value"] is not None] != []
    report["gates"][0] |= {"explanation": "What <it> means.", "remedy": "What to do."}
    html = figures.gate_table(report)._repr_html_()
    assert "What &lt;it&gt; means. What to do." in html and "<it>" not in html
    assert "skipped: " in texts(figures.leakage(figures.gate_of(report, "absent")))


def heights(axis):
    """Value of each point with an interval in an axis."""
    return [float(c.lines[0].get_ydata()[0]) for c in axis.containers]


def places(axis):
    return [float(c.lines[0].get_xdata()[0]) for c in axis.containers]


def test_rates_are_the_tabled_ones_on_curves_of_the_scores(scores, evaluation):
    rates = figures.rates(scores, evaluation).axes[0]
    assert rates.get_xscale() == "log" and rates.get_xlabel() == "false-positive rate"
    n = scores["kind"].to_pylist().count("survey_negative")
    curves = [line for line in rates.lines if str(line.get_label()).startswith("survey negatives")]
    assert min(curves[0].get_xdata()) == pytest.approx(10 / n), "solid from ten expected false positives on"
    dotted = [line for line in rates.lines if line.get_linestyle() == ":" and line.get_color() == curves[0].get_color()]
    assert min(dotted[0].get_xdata()) == pytest.approx(1 / n), "and not drawn below one"
    tabled = evaluation["tpr_at_fpr"]
    assert len(tabled) >= 2 and places(rates) == [e["fpr"] for e in tabled]
    assert heights(rates) == [e["tpr"]["value"] for e in tabled]
    for entry in tabled:
        curve = dict(zip(curves[0].get_xdata(), curves[0].get_ydata()))
        below = max(recall for fpr, recall in curve.items() if fpr <= entry["fpr"] + 1e-9)
        assert entry["tpr"]["value"] <= below + 1e-9, "a tabled recall lies on the curve of the same scores"
    assert f"survey negatives, n = {n}" in texts(figures.score_distributions(scores))


def test_strata_hold_auroc_and_recall_of_every_bin(evaluation):
    groups = {k: v for k, v in evaluation["strata"].items() if v}
    axes = figures.strata(evaluation).axes
    assert len(axes) == 2 * len(groups)
    for i, entries in enumerate(groups.values()):
        known = [e["value"] for e in entries if e["value"] is not None]
        assert places(axes[2 * i]) == known
        assert places(axes[2 * i + 1]) == [e["recall"]["value"] for e in entries if e["recall"]["value"] is not None]
    evaluation["strata"]["theta_e_arcsec"][0]["value"] = None
    assert "too few" in texts(figures.strata(evaluation))


def test_reliability_draws_the_three_diagrams(evaluation):
    calibration = evaluation["calibration"]
    top, below = figures.reliability(calibration).axes
    bins = [calibration[k] for k in ("bins", "bins_calibrated", "bins_isotonic")]
    assert heights(top) == [b["observed"] for part in bins for b in part]
    assert [line.get_ydata().tolist() for line in below.lines] == [[b["n"] for b in part] for part in bins]


def test_completeness_of_every_cell(evaluation):
    complete = evaluation["completeness"]
    drawn = texts(figures.completeness_map(complete))
    for cell in complete["cells"]:
        assert f"n={cell['n']}" in drawn and (cell["value"] is None or f"{cell['value']:.2f}" in drawn)


def test_core_counterfactuals_stand_beside_the_whole_stamp(scores, evaluation):
    right = figures.core_effect(scores, evaluation).axes[1]
    names = [t.get_text() for t in right.get_yticklabels()]
    assert names[:3] == ["whole stamp", "core masked", "core from the control"]
    masked, swapped = evaluation["core_masked"]["auroc"], evaluation["core_swap"]["auroc"]
    assert places(right)[:3] == [evaluation["auroc"]["value"], masked["value"], swapped["value"]]
    evaluation["core_swap"] = {"status": "skip", "reason": "too few"}
    assert len(places(figures.core_effect(scores, evaluation).axes[1])) == 2


def test_every_picture_of_a_whole_run_is_drawn_not_skipped(evaluation, smoke, scores, report, history, config):
    real, signoff, manifest = smoke("real_lenses"), smoke("signoff"), smoke("manifest")
    drawn = {
        "rejections": figures.rejections(manifest),
        "core fractions": figures.core_fractions(figures.gate_of(report, "arc_core_fraction")),
        "curves": figures.training_curves(history),
        "interventions": figures.interventions(evaluation["interventions"]),
        "purity": figures.purity_curve(evaluation["purity"]),
        "causes": figures.failure_causes(evaluation["failures"]),
        "recall": figures.real_recall(real),
        "realism": figures.realism_gap(evaluation["realism"]),
        "banner": figures.decision_banner(signoff),
    }
    assert [name for name, figure in drawn.items() if texts(figure).startswith("skipped")] == []
    tables = figures.interventions_table(evaluation["interventions"]), figures.signoff_table(signoff)
    assert all("<table" in table._repr_html_() for table in (*tables, figures.answers_table(signoff)))
    assert signoff["blockers"] == [] or signoff["blockers"][0]["source"] in tables[1]._repr_html_()
    assert all(stamp["host_id"] in figures.missed_lenses(real).to_html() for stamp in real["misses"]["stamps"])


def test_real_lens_rates_are_counted_against_the_negatives(scores):
    table = scores.to_pandas().query("kind == 'positive'").head(2).assign(kind="real_lens", logit=[0.0, 9.0])
    drawn = texts(figures.real_lens_scores(table, np.array([-1.0, 0.0, 1.0, 2.0])))
    assert "(FPR 0.75)" in drawn and "(FPR 0)" in drawn


def test_training_curves_show_each_monitor(history):
    history["auroc_core_masked"] = np.where(history["epoch"] == len(history), 0.8, np.nan)
    history = history.drop(columns=[c for c in history if c.startswith("hard_negative_accuracy")])
    figure = figures.training_curves(history)
    drawn = texts(figure)
    for title in ("loss", "core masked, core swapped", "gradient norm", "learning rate"):
        assert title in drawn
    masked = next(a for a in figure.axes if a.get_title(loc="left") == "core masked, core swapped")
    np.testing.assert_array_equal(masked.lines[0].get_xdata(), [len(history)])
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
        "conditions": [{"text": "plain words", "source": "x.json: y"}],
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
        lambda pairs, scores: figures.radial_profiles({"noise_ratio": np.empty((0, 3))}),
    ],
)
def test_nothing_to_draw_is_said(figure, pairs, scores):
    drawn = texts(figure(pairs, scores))
    assert "skipped: " in drawn


def test_figures_are_closed_and_white(pairs):
    before = plt.get_fignums()
    figure = figures.pair_grid(spread(pairs, 2))
    assert plt.get_fignums() == before
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_pair_strip_shows_control_arc_and_stamp(pairs):
    row = pairs[5]
    figure = figures.pair_strip(with_stamp(row))
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    for image, wanted in zip(shown, (row["control"], row["arc"], stamp(row)), strict=True):
        np.testing.assert_array_equal(image, figures.colour(wanted))


def test_importing_figures_imports_no_other_room():
    code = "import sys, dhs.figures; print(*sorted(m for m in sys.modules if m.startswith('dhs.') or m == 'torch'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    rooms = {name.split(".")[1] for name in found if name.startswith("dhs.")}
    assert "torch" not in found and rooms <= {"figures", "picture", "artefacts", "errors", "storage", "config"}


def test_the_scale_drawn_is_the_survey_s():
    assert (figures.style.PIXEL_SCALE, figures.style.BANDS) == (facts.PIXEL_SCALE, tuple(facts.BAND_NAMES))
