"""Leaks and gates: drawn, in a table and in sentences that follow from the counts."""

import re
import sys
from pathlib import Path

import pytest

from dhs import figures, storage
from dhs.figures.numbers.glue import glued

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from leak_analysis import answer, beyond, rounded

STORED = Path(__file__).parents[2] / "benchmarks" / "results" / "leaks.json"
RISE = {"corner pixels": 0.2, "pedestal": 0.0}


def metric(value: float, wide: float = 0.005) -> dict:
    return {"value": value, "ci_low": value - wide, "ci_high": value + wide, "n": 2000, "n_hosts": 800}


def measured(missed: bool = False, harmless: str = "fail") -> dict:
    """Two kinds at three strengths: one costs from the second on, one never; ``missed``: that no gate refuses it."""
    cells, gates = [], []
    for kind, slope in RISE.items():
        for i, s in enumerate((0.1, 0.3, 1.0)):
            lost, alone = metric(slope * i), metric(0.5 + slope * i)
            cell = {"kind": kind, "strength": s, "networks": 1 + i % 2, "lost": lost, "lift": metric(slope * i)}
            cell |= {"costs": beyond(lost), "leans": beyond(cell["lift"]), "leak_alone": alone}
            clean, leaked = metric(0.94 - slope * i), metric(0.94 + 0.1 * slope * i)
            cells.append(cell | {"auroc_clean": clean, "auroc_leaked": leaked})
            status = ("pass" if missed else "fail") if slope else harmless
            row = {"kind": kind, "strength": s, "gate": "residual_image", "status": status, "distance": 10 * s}
            gates += [row, row | {"gate": "core_leakage", "status": "pass", "distance": 0.2}]
    gates += [{**g, "kind": "none", "strength": 0.0, "status": "pass", "distance": 0.1} for g in gates[:2]]
    out = {"cells": cells, "gates": gates, "answer": answer(cells, gates), "gate_set": {"n_pairs": 1500}}
    out |= {"leaks": {kind: {"unit": "sky noise"} for kind in RISE}, "clean": {"auroc": metric(0.94), "networks": 4}}
    out |= {"networks": [{"stamps": 160_000}] * 12, "networks_asked": 16, "train_pairs": 80_000}
    return out | {"data": {"hosts": {"n": 9, "mock": True}}, "machine": {"device": "a device"}}


def test_sentences_follow_from_the_counts():
    keys = glued(measured(), "leaks")
    assert keys["leaks_finding"] == "**The alarm misses nothing and tells nothing apart.**"
    assert "fails in all 2 cases" in keys["leaks_missed"] and "the residual image alone" in keys["leaks_missed"]
    assert "in all 4 cases" in keys["leaks_harmless"] and "a pedestal costs nothing" in keys["leaks_harmless"]
    assert "a factor of 3, leads from less than 0.01 of AUROC lost to 0.20 (0.20 to 0.21), for" in keys["leaks_cliff"]
    assert "core leakage for none; of corner pixels all of these are silent" in keys["leaks_pixels"]
    assert "all 2 harmed cases" in keys["leaks_reported"] and "12 of the 16 networks" in keys["leaks_limits"]
    assert "2,000 test pairs on 800 mock galaxies" in keys["leaks_run"] and keys["leaks_rank"] == ""
    absent = glued({}, "leaks")
    assert set(absent) == set(keys) and not any(absent.values())


def test_another_outcome_gets_another_sentence():
    late = glued(measured(missed=True), "leaks")
    assert (
        late["leaks_finding"].startswith("**No: 2 of the 2 leaks that cost")
        and "0 of the 2 cases" in late["leaks_missed"]
    )
    apart = glued(measured(harmless="pass"), "leaks")
    assert apart["leaks_finding"].startswith("**Yes:") and "fails in all 2 cases that cost" in apart["leaks_best"]


def test_onsets_curves_scatter_and_table():
    found = measured()
    curves, scatter, onsets = (f(found) for f in (figures.leak_curves, figures.leak_scatter, figures.leak_onsets))
    assert [a.get_title(loc="left") for a in curves.axes] == ["corner pixels", "pedestal"]
    assert list(curves.axes[0].lines[1].get_ydata()) == pytest.approx([0.94, 0.74, 0.54])
    assert len(scatter.axes[1].containers) == 2
    marks = [line.get_xdata()[0] for line in onsets.axes[0].lines]
    assert marks == [0.1, 0.1], "the residual image fails from the faintest on, core leakage never"
    assert "corner pixels: a gate fails from 0.1, it costs from 0.3" in onsets.alt
    html = str(figures.leak_table(found)._repr_html_())
    assert "0.1 to 0.3" in html and "not up to 1" in html and "residual image" in html
    for draw in (figures.leak_curves, figures.leak_scatter, figures.leak_onsets):
        assert "benchmarks/leaks.py" in repr(draw({}))
    assert "benchmarks/leaks.py" in str(figures.leak_table({})._repr_html_())


@pytest.mark.parametrize("gone", ["gates", "cells"])
def test_a_part_that_is_missing_is_said(gone):
    some = measured() | {gone: []}
    assert "not measured here" in repr(figures.leak_scatter(some))


def test_the_stored_experiment_is_told_with_what_is_missing_of_it():
    stored = storage.read_json(STORED)
    assert stored["complete"] == (len(stored["networks"]) == stored["networks_asked"])
    assert stored["answer"] == rounded(answer(stored["cells"], stored["gates"]))
    said = glued(stored, "leaks")
    assert all(said.values()) and not any(re.search(r"\d\.\d{4,}|None|nan|_", text) for text in said.values())
    assert f"{len(stored['networks'])} of the {stored['networks_asked']}" in said["leaks_limits"]
    text = STORED.read_text()
    assert not re.search(r"/(?:work|tmp|home)/", text) and len(text) < 150_000
