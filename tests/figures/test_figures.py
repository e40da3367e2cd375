"""Figures show what the artefacts hold, and say so where there is nothing to show."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import dhs.figures as figures
from dhs.book.results import stored_benchmark
from dhs.book.stamps import spread, with_stamp
from dhs.datasets.reader import stamp
from dhs.figures.gate_sheet import distances
from dhs.figures.style import NoFigure
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
    assert "the data set is empty" in repr(figures.pair_grid([]))


def test_build_up_residual_is_the_shot_noise_alone(pairs):
    row = pairs[0]
    shown = np.asarray(figures.pair_build_up(with_stamp(row)).axes[7].images[0].get_array())
    np.testing.assert_allclose(shown, (stamp(row) - row["control"] - row["arc"])[1], atol=1e-7)


def test_snr_scatter_and_hosts(pairs):
    table = pairs.table()
    line = figures.snr_scatter(table).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), table["arc_snr_matched"].to_numpy())
    assert "nanomaggies" in texts(figures.host_conditions(table))


def test_leakage_is_drawn_as_the_report_has_it(report):
    core = figures.gate_of(report, "core_leakage")
    panels = figures.leakage(core).axes
    by = [b["by"] for b in core["details"]["bins"]]
    assert [len(panel.get_xticks()) for panel in panels] == [by.count("theta_e_arcsec"), by.count("arc_snr_matched")]
    observed = [c.lines[0].get_ydata()[0] for panel in panels for c in panel.containers]
    assert observed == [b["value"] for b in core["details"]["bins"] if b["value"] is not None] != []
    report["gates"][0] |= {"explanation": "What <it> means.", "remedy": "What to do."}
    html = figures.gate_table(report)._repr_html_()
    assert "What &lt;it&gt; means. What to do." in html and "<it>" not in html
    assert isinstance(figures.leakage(figures.gate_of(report, "absent")), NoFigure)


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
    assert f"survey galaxies ({n})" in texts(figures.score_distributions(scores))


def test_strata_hold_auroc_and_recall_of_every_bin(evaluation):
    groups = {k: evaluation["strata"][k] for k in ("arc_snr_matched", "theta_e_arcsec", "host_mag_r")}
    axes = figures.strata(evaluation).axes
    assert len(axes) == 2 * len(groups)
    for i, entries in enumerate(groups.values()):
        known = [e["value"] for e in entries if e["value"] is not None]
        assert places(axes[2 * i]) == known
        assert places(axes[2 * i + 1]) == [e["recall"]["value"] for e in entries if e["recall"]["value"] is not None]
    evaluation["strata"]["theta_e_arcsec"][0]["value"] = None
    assert "too few" in texts(figures.strata(evaluation))


def test_reliability_draws_both_diagrams(evaluation):
    calibration = evaluation["calibration"]
    top, below = figures.reliability(calibration).axes
    bins = [calibration[k] for k in ("bins", "bins_calibrated")]
    assert heights(top) == [b["observed"] for part in bins for b in part]
    assert [line.get_ydata().tolist() for line in below.lines] == [[b["n"] for b in part] for part in bins]


def test_completeness_of_every_cell(evaluation):
    complete = evaluation["completeness"]
    drawn = texts(figures.completeness_map(complete))
    for cell in complete["cells"]:
        assert f"n={cell['n']}" in drawn and (cell["value"] is None or f"{cell['value']:.2f}" in drawn)


def test_core_counterfactuals_stand_beside_the_whole_stamp(evaluation):
    axis = figures.core_effect(evaluation).axes[0]
    names = [t.get_text() for t in axis.get_yticklabels()]
    assert names[:3] == ["whole stamp", "core masked", "core of the twin"]
    masked, swapped = evaluation["core_masked"]["auroc"], evaluation["core_swap"]["auroc"]
    assert places(axis)[:3] == [evaluation["auroc"]["value"], masked["value"], swapped["value"]]
    evaluation["core_swap"] = {"status": "skip", "reason": "too few"}
    assert len(places(figures.core_effect(evaluation).axes[0])) == 2


def test_every_picture_of_a_whole_run_is_drawn_not_skipped(evaluation, smoke, scores, report, history, config):
    real = smoke("real_lenses")
    drawn = {
        "front": figures.front(evaluation),
        "sheet": figures.gate_sheet(report),
        "by radius": figures.leakage_by_radius(figures.gate_of(report, "core_leakage")),
        "failing": figures.failing_gates(stored_benchmark("planted_gates")),
        "distributions": figures.score_distributions(scores, evaluation, 0.3),
        "core fractions": figures.core_fractions(figures.gate_of(report, "arc_core_fraction")),
        "curves": figures.training_curves(history),
        "interventions": figures.interventions(evaluation["interventions"]),
        "purity": figures.purity_curve(evaluation["purity"]),
        "causes": figures.failure_causes(evaluation["failures"]),
        "recall": figures.real_recall(real),
        "realism": figures.realism_gap(evaluation["realism"]),
    }
    assert [name for name, figure in drawn.items() if not isinstance(figure, Figure)] == []
    assert "<table" in figures.interventions_table(evaluation["interventions"])._repr_html_()
    assert all(stamp["host_id"] in figures.missed_lenses(real).to_html() for stamp in real["misses"]["stamps"])


def test_real_lens_rates_are_counted_against_the_negatives(scores):
    table = scores.to_pandas().query("kind == 'positive'").head(2).assign(kind="real_lens", logit=[0.0, 9.0])
    drawn = texts(figures.real_lens_scores(table, np.array([-1.0, 0.0, 1.0, 2.0])))
    assert "(FPR 0.75)" in drawn and "(FPR 0)" in drawn


def test_training_curves_show_loss_auroc_and_look_alikes(history):
    history["auroc_core_masked"] = np.where(history["epoch"] == len(history), 0.8, np.nan)
    figure = figures.training_curves(history.assign(hard_negative_accuracy_azimuthal_shuffle=0.7))
    drawn = texts(figure)
    for word in ("Loss", "AUROC", "Look-alikes called no lens", "core masked", "shuffled arcs", "all kinds"):
        assert word in drawn
    masked = next(line for line in figure.axes[1].lines if line.get_label() == "core masked")
    np.testing.assert_array_equal(masked.get_xdata(), [len(history)])
    few = history[[c for c in history if not c.startswith(("hard_negative", "survey"))]]
    assert len(figures.training_curves(few).axes) == 2, "a panel without a monitor is left out"


def test_learning_curve_draws_each_size():
    def point(n, auroc):
        return {"pairs": n, "auroc": {"value": auroc, "ci_low": auroc - 0.1, "ci_high": auroc + 0.05}}

    figure = figures.learning_curve({"points": [point(800, 0.8), point(100, 0.6)]})
    assert [c.lines[0].get_xdata()[0] for c in figure.axes[0].containers] == [100, 800]
    assert "from 0.60 at 100 to 0.80 at 800" in figure.alt
    assert isinstance(figures.learning_curve({}), NoFigure)


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
    assert "dhs ablate --data-path runs/x/pairs --out runs/x/ablation" in repr(figures.ablation(None, run="runs/x"))


def test_ablation_table_tells_every_metric_its_seeds_and_what_was_skipped():
    table = ablation_table()
    table = table.assign(value=0.8125, minutes=2.5, value_by_seed=[[0.81, 0.815]] * len(table))
    drawn = figures.ablation_table(table).to_html()
    for word in ("0.812", "0.810, 0.815", "recall at FPR 0.005", "2.5", "skipped: no pretrained weights", "core-swap"):
        assert word in drawn
    assert isinstance(figures.ablation_table(None), NoFigure)


def test_attributions_show_the_rise_and_its_place():
    radius = np.hypot(*(np.mgrid[:64, :64] - 31.5)) * 0.262
    light = np.exp(-0.5 * ((radius - 1.5) / 0.2) ** 2) * np.ones((5, 3, 1, 1))
    maps = light * np.linspace(0.1, 0.5, 5)[:, None, None, None]
    rise = maps.sum((1, 2, 3))
    found = Attribution(np.arange(5), np.full(5, 1.5), light, 0 * light, light, maps, rise - 1, np.full(5, -1.0))
    drawn = texts(figures.attributions(found, n=3))
    assert f"{rise[4]:+.1f}" in drawn and "twin -1.0" in drawn and 'θ_E 1.50"' in drawn
    arc, network = figures.attribution_profile(found).axes[0].lines[:2]
    np.testing.assert_allclose(arc.get_ydata(), network.get_ydata(), atol=1e-9)
    assert abs(arc.get_xdata()[np.argmax(arc.get_ydata())] - 1.0) <= 0.125
    assert np.sum(arc.get_ydata()) > 0.99


@pytest.mark.parametrize(
    "figure",
    [
        lambda pairs, scores: figures.gate_sheet({"gates": []}),
        lambda pairs, scores: figures.strata({}),
        lambda pairs, scores: figures.front({}),
        lambda pairs, scores: figures.failing_gates({}),
        lambda pairs, scores: figures.one_galaxy([]),
        lambda pairs, scores: figures.look_alikes({}),
        lambda pairs, scores: figures.pair_columns([]),
        lambda pairs, scores: figures.photon_transfer({}),
        lambda pairs, scores: figures.reliability({}),
        lambda pairs, scores: figures.completeness_map({"status": "skip", "reason": "why not"}),
        lambda pairs, scores: figures.core_effect({}),
        lambda pairs, scores: figures.rates(scores.slice(0, 0), {}),
        lambda pairs, scores: figures.score_distributions(scores.slice(0, 0)),
        lambda pairs, scores: figures.real_lens_scores(scores.to_pandas().head(0), np.array([])),
        lambda pairs, scores: figures.training_curves(scores.to_pandas().head(0)),
        lambda pairs, scores: figures.gallery(np.empty((0, 3, 64, 64)), [], "none"),
        lambda pairs, scores: figures.snr_scatter(pairs.table().slice(0, 0)),
        lambda pairs, scores: figures.host_conditions(pairs.table().slice(0, 0)),
        lambda pairs, scores: figures.radial_profiles({"noise_ratio": np.empty((0, 3))}),
    ],
)
def test_nothing_to_draw_is_said(figure, pairs, scores):
    found = figure(pairs, scores)
    assert isinstance(found, NoFigure) and len(found.reason) > 3 and not hasattr(found, "_repr_html_")


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


PHONE_COLUMN = 350  # CSS pixels of text on a phone 390 wide


def smallest_type(figure: Figure) -> float:
    """Height of a figure's smallest type on a phone, CSS pixels."""
    figure.canvas.draw()
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    return min(sizes) * PHONE_COLUMN / (72 * figure.get_figwidth())


def test_type_is_legible_on_a_phone(pairs, evaluation, scores, report, history, smoke):
    rows = spread(pairs, 4)
    section = evaluation["interventions"]
    drawn = {
        "front": figures.front(evaluation, wide=False),
        "build up": figures.pair_build_up(with_stamp(rows[0])),
        "sheet": figures.gate_sheet(report),
        "leakage": figures.leakage(figures.gate_of(report, "core_leakage")),
        "by radius": figures.leakage_by_radius(figures.gate_of(report, "core_leakage")),
        "failing": figures.failing_gates(stored_benchmark("planted_gates")),
        "fractions": figures.core_fractions(figures.gate_of(report, "arc_core_fraction")),
        "curves": figures.training_curves(history),
        "rates": figures.rates(scores, evaluation),
        "distributions": figures.score_distributions(scores, evaluation, 0.3),
        "strata": figures.strata(evaluation),
        "reliability": figures.reliability(evaluation["calibration"]),
        "completeness": figures.completeness_map(evaluation["completeness"]),
        "by host": figures.completeness_by_host(evaluation["completeness"]),
        "core": figures.core_effect(evaluation),
        "interventions": figures.interventions(section),
        "purity": figures.purity_curve(evaluation["purity"]),
        "causes": figures.failure_causes(evaluation["failures"]),
        "real": figures.real_recall(smoke("real_lenses")),
        "realism": figures.realism_gap(evaluation["realism"]),
        "priors": figures.priors({"joint": pairs.table()}),
        "gain": figures.gain(pairs.table()),
        "hosts": figures.host_conditions(pairs.table()),
    }
    assert {name: round(s, 1) for name, f in drawn.items() if (s := smallest_type(f)) < 8.0} == {}
    silent = [name for name in ("front", "sheet", "failing", "rates", "strata", "purity") if not drawn[name].alt]
    assert silent == [], "the alternative text says the result"


def test_a_page_gets_a_sharp_picture_with_words(evaluation):
    figure = figures.purity_curve(evaluation["purity"])
    data, about = figure._repr_mimebundle_()
    width = int.from_bytes(data["image/png"][16:20], "big")
    assert width == pytest.approx(200 * figure.get_figwidth(), abs=2) and about["image/png"]["alt"] == figure.alt
    assert width / about["image/png"]["width"] > 1.5, "sharp on a screen with two pixels to one"


def bin_(low, value, spread=0.05):
    return {"lo": low, "hi": low + 0.5, "value": value, "ci_low": value - spread, "ci_high": value + spread}


def test_the_front_figure_says_what_the_intervals_say(evaluation):
    def titles():
        return [axis.get_title(loc="left").replace("\n", " ") for axis in figures.front(evaluation).axes]

    section, hard = evaluation["interventions"], evaluation["hard_negatives"]
    evaluation["auroc"] |= {"value": 0.914, "ci_low": 0.89, "ci_high": 0.93}
    hard["auroc"] |= {"value": 0.627, "ci_low": 0.59, "ci_high": 0.66}
    section["shares"]["ring"]["by_theta_e"] = [bin_(0.5, 0.9), bin_(1.0, 0.8), bin_(1.5, 0.3)]
    section["shares"]["core"]["by_theta_e"] = [bin_(0.5, 0.4), bin_(1.0, 0.1)]
    section["core_light"]["by_theta_e"] = [bin_(0.5, 0.6, 0.01), bin_(1.0, 0.1, 0.01)]
    assert titles() == [
        "It sees that light was added, hardly that the light is an arc",
        "Below 1.5 arcsec a plain ring has most of the arc's effect",
        "The core counts no more than the light the lens puts there",
    ]
    hard["auroc"] |= {"value": 0.52, "ci_low": 0.47, "ci_high": 0.57}
    section["shares"]["ring"]["by_theta_e"] = [bin_(0.5, 0.2), bin_(1.0, 0.1)]
    section["shares"]["core"]["by_theta_e"] = [bin_(0.5, 0.9), bin_(1.0, 0.1)]
    assert titles() == [
        "Look-alikes score like lenses",
        "A plain ring has less than half of the arc's effect",
        'The core counts more than its light at 0.5-1"',
    ]
    section["shares"]["ring"]["by_theta_e"] = []
    assert len(titles()) == 2 and "ring" not in figures.front(evaluation).alt, "a panel without numbers is absent"


def test_distance_to_the_limit():
    def gate(name, value, threshold, **more):
        return {"name": name, "status": "pass", "value": value, "threshold": threshold, **more}

    assert distances(gate("closure", 0.5, 1.0)) == (0.5, 0.5, 0.5)
    assert distances(gate("split_integrity", 2, 0))[0] == np.inf and distances(gate("split_integrity", 0, 0))[0] == 0
    assert distances(gate("arc_photometry", 0.9, 0.5))[0] == pytest.approx(0.2)
    assert distances(gate("noise_gain_psf", 1.1, 1.25))[0] == pytest.approx(0.4)
    details = {"delta": {"value": -0.01, "ci_low": -0.03, "ci_high": 0.02}, "margin": 0.05}
    found = distances(gate("core_leakage", 0.7, 0.75, details=details))
    np.testing.assert_allclose(found, (0.2, 0.0, 0.6))
    assert distances(gate("samples", 20, 20)) is None
