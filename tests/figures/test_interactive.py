"""What a reader plays with holds the numbers of the run: each is held against scores, cells and stamps."""

import json
import re

import numpy as np
import pytest
from scipy.stats import binomtest

import dhs.figures as figures
from dhs.figures.style import NoFigure


def data_of(made) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', made._repr_html_(), re.S)[1])


def test_the_threshold_counts_scores(scores):
    data = data_of(figures.threshold_slider(scores, 1e-4))
    frame = scores.to_pandas().query("split == 'test'")
    positives = frame.loc[frame["kind"] == "positive", "logit"]
    names = [name for name, _ in data["groups"]]
    assert names[:3] == ["lenses", "survey galaxies", "twins"] and "shuffled arcs" in names
    for k in (0, 30, len(data["rows"]) - 1):
        threshold, found, alarms, *_ = data["rows"][k]
        assert found == int((positives >= threshold).sum())
        n = dict(map(tuple, data["groups"]))["survey galaxies"]
        exact = binomtest(alarms, n).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(data["bounds"][k], (exact.low, exact.high), rtol=6e-3, atol=1e-9)
    recalls = [row[1] for row in data["rows"]]
    assert recalls == sorted(recalls, reverse=True)
    none = scores.filter(np.array([not k.startswith("survey") for k in scores["kind"].to_pylist()]))
    assert isinstance(figures.threshold_slider(none), NoFigure)


def test_the_completeness_map_has_every_cell(evaluation):
    data = data_of(figures.completeness_play(evaluation["completeness"]))
    held = evaluation["completeness"]["cells"]
    assert sum(cell[0] for line in data["cells"] for cell in line) == sum(c["n"] for c in held)
    assert len(data["cells"]) == len(data["snrs"]) and len(data["cells"][0]) == len(data["radii"])
    assert data["snrs"][-1] == "3-15", "the faintest at the foot"
    assert isinstance(figures.completeness_play({"status": "skip", "reason": "none"}), NoFigure)


def test_interventions_are_told_with_their_logits():
    stamps = np.random.default_rng(0).random((3, 3, 8, 8)).astype(np.float32)
    names = ("ring_added", "whole", "of_another_kind")
    tiles = [{"name": n, "stamp": s, "logit": x} for n, s, x in zip(names, stamps, (0.5, 1.25, 9.0))]
    galaxy = {"theta_e_arcsec": 1.5, "arc_snr_matched": 90.0, "tiles": tiles}
    made = figures.interventions_play([galaxy])
    assert data_of(made)["galaxies"][0]["tiles"] == [["as it is", 1.25, 0], ["plain ring", 0.5, 1]]
    assert "--sprite:url(data:image/png;base64," in made._repr_html_()
    drawn = figures.one_galaxy(tiles)
    assert "as it is +1.2" in drawn.alt and "plain ring +0.5" in drawn.alt and "9.0" not in drawn.alt
    assert isinstance(figures.interventions_play([]), NoFigure)


def test_numbers_can_not_end_the_script_they_stand_in():
    from dhs.figures.interactive import play

    made = play("x", "A <label>", {"a": "</script><b>"})._repr_html_()
    assert made.count("</script>") == 1 and "A &lt;label&gt;" in made


@pytest.fixture(scope="module")
def explored(pairs):
    from dhs.book.studies import explorer

    class Sources:
        ids = ("a", "b", "c", "d", "e")

        def read(self, index):
            from dhs.injection.sources.source import Source

            y, x = np.mgrid[-20:21, -20:21] * 0.05
            bead = np.exp(-0.5 * (x**2 + y**2) / 0.12**2)
            return Source(self.ids[index], bead / bead.sum(), 0.05, np.array([1.0, 1.2, 1.4]), 1.5)

    class Scorer:
        def logits(self, stamps):
            return stamps.sum(axis=(1, 2, 3))

    return explorer, explorer.explore(Sources(), pairs.table(), Scorer(), 3)


def test_the_explorer_holds_every_choice_and_its_light_adds_up(explored):
    explorer, found = explored
    n = [len(found["axes"][k]) for k in ("seeing", "theta_e", "source", "snr")]
    assert (
        len(found["stamp"]) == len(found["decoy"]) == len(found["arc"]) == np.prod(n) and len(found["control"]) == n[0]
    )
    stamps = found["stamps"]
    assert stamps.shape[1:] == (3, explorer.CROP, explorer.CROP)
    for choice in (0, len(found["stamp"]) // 2 - 1):
        arc, clean = stamps[found["arc"][choice][0][0]], stamps[found["stamp"][choice][1][0]]
        galaxy = stamps[found["control"][0][1][0]]
        np.testing.assert_allclose(clean, galaxy + arc, atol=1e-4)
        assert found["arc"][choice][0][1] is None, "an arc alone is no stamp to score"
    peaks = [stamps[found["arc"][k][0][0]][1].max() for k in range(3)]
    assert peaks == sorted(peaks) and peaks[2] > 5 * peaks[0], "brighter with the signal-to-noise ratio"
    ((_, noisy), (_, clean)) = found["stamp"][0]
    assert noisy != clean
    made = data_of(figures.explorer(found))
    assert made["rows"] * made["columns"] >= len(stamps)
