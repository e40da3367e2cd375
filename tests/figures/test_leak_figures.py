"""Leaks and gates: drawn, in a table and in sentences that follow from the counts."""

import sys
from pathlib import Path

import pytest

from dhs import figures
from dhs.figures.numbers.glue import glued

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from leak_analysis import answer


def measured(missed: bool = False) -> dict:
    """Two kinds at three strengths: one leans and is refused, one is refused and harmless; ``missed``: not refused."""
    cells, gates = [], []
    for kind, slope in (("corner pixels", 2.0), ("pedestal", 0.0)):
        for i, s in enumerate((0.1, 0.3, 1.0)):
            lean = slope * i
            e = {"value": lean, "ci_low": lean - 0.05, "ci_high": lean + 0.05}
            cost = {"value": -0.1 * lean, "ci_low": -0.1 * lean - 0.01, "ci_high": -0.1 * lean + 0.01}
            cell = {"kind": kind, "strength": s, "networks": 2, "leans": lean > 0.05, "leans_materially": lean > 0.15}
            cell |= {"reliance": {"value": lean, "n": 2000, "n_hosts": 800}, "excess_auroc_clean": cost}
            seeds = {"seeds": [lean - 0.01, lean + 0.01], "clean_seeds": [0.0, 0.0]}
            cells.append(cell | {"excess_reliance": e | seeds})
            status = "pass" if missed and slope and s < 1 else "fail"
            row = {"kind": kind, "strength": s, "gate": "residual_image", "status": status, "distance": 10 * s}
            gates += [row, row | {"gate": "core_leakage", "status": "pass", "distance": 0.2}]
    gates += [{**g, "kind": "none", "strength": 0.0, "status": "pass", "distance": 0.1} for g in gates[:2]]
    out = {"cells": cells, "gates": gates, "answer": answer(cells, gates), "gate_set": {"n_pairs": 1500}}
    out["leaks"] = {"corner pixels": {"unit": "sky noise"}, "pedestal": {"unit": "sky noise"}}
    return out | {"networks": [{"stamps": 160_000}] * 12}


def test_sentences_follow_from_the_counts():
    keys = glued(measured(), "leaks")
    assert "In all 2 cells where networks lean on the leak a gate fails." == keys["leaks_missed"]
    assert "Of the 6 cells where a gate fails, 2 make" in keys["leaks_harmless"]
    assert "at no strength do pedestal" in keys["leaks_harmless"]
    assert "2 of 6 leaks lower the AUROC; the worst, corner pixels at 1, by 0.400" in keys["leaks_cost"]
    assert "2,000 test pairs on 800 galaxies" in keys["leaks_run"]
    assert "Too few kinds" in keys["leaks_rank"]
    late = glued(measured(missed=True), "leaks")["leaks_missed"]
    assert late.startswith("In 1 of the 2 cells") and "before any gate fails on: corner pixels" in late
    absent = glued({}, "leaks")
    assert set(absent) == set(keys) and not any(c.isdigit() for text in absent.values() for c in text)


def test_curves_scatter_and_table():
    found = measured()
    curves, scatter = figures.leak_curves(found), figures.leak_scatter(found)
    assert [a.get_title(loc="left") for a in curves.axes[:2]] == ["corner pixels", "pedestal"]
    assert list(curves.axes[0].lines[0].get_ydata()) == [0.0, 2.0, 4.0]
    assert len(scatter.axes[0].containers) == 2
    html = str(figures.leak_table(found)._repr_html_())
    assert "0.3" in html and "never" in html
    for draw in (figures.leak_curves, figures.leak_scatter):
        assert "benchmarks/leaks.py" in repr(draw({}))
    assert "benchmarks/leaks.py" in str(figures.leak_table({})._repr_html_())


@pytest.mark.parametrize("gone", ["gates", "cells"])
def test_a_part_that_is_missing_is_said(gone):
    some = measured() | {gone: []}
    assert "not measured here" in repr(figures.leak_scatter(some))
