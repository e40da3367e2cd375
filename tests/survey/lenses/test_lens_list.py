"""The curated list on a table made by hand, and on the published ones."""

import json
import os

import numpy as np
import pytest

from dhs import storage
from dhs.errors import DhsError
from dhs.survey.lenses.catalogues import read_catalogue
from dhs.survey.lenses.lens_list import build, first_number

DATA = os.environ.get("DHS_DATA_DIR")
HEAD = "name,RA [deg],DEC [deg],zlens,type,grading,ref\n"
ROWS = [
    "keep,10,5,0.5,galaxy,confident,Huang et al. (2021) - arXiv:2005.04730",
    "same,10.0002,5,0.51,galaxy,confident,Storfer et al. (2022) - arXiv:2206.02764",
    "sextuple,20,5,L,galaxy,confident,Stein et al. (2021) - arXiv:2110.00023 | Tran et al. (2022) - arXiv:2205.05307",
    "cluster,30,5,0.3,cluster,confident,Huang et al. (2021) - arXiv:2005.04730",
    "typed galaxy,40,5,0.3,galaxy,confident,Lopes et al. (2004) - doi:10.1086/423038",
    "probable,50,5,0.3,galaxy,probable,Huang et al. (2021) - arXiv:2005.04730",
    "from space,60,5,0.2,galaxy,confident,Bolton et al. (2008) - arXiv:0805.1931",
    "alone,70,5,0.2,galaxy,confident,Rojas et al. (2021) - arXiv:2109.00014",
    "trained on,80,5,0.2,galaxy,confident,Rojas et al. (2021) - arXiv:2109.00014",
]


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "catalog.csv").write_text(HEAD + "\n".join(ROWS) + "\n")
    (tmp_path / "second.csv").write_text(
        f"ra,dec,theta_Ein\n10,{5 + 1 / 3600},1.3\n20,5,-\n80,5,2\n70,{5 + 3 / 3600},1\n"
    )
    (tmp_path / "training.csv").write_text(f"ra,dec\n80,{5 + 8 / 3600}\n")
    return tmp_path


def test_every_rule_drops_its_row_and_says_so(tables):
    got = build(tables / "catalog.csv", [tables / "second.csv"], [tables / "training.csv"])
    assert [r["name"] for r in got.rows] == ["keep", "sextuple"]
    assert got.about["dropped"] == {
        "cites cluster catalogues alone": 1,
        "graded probable": 1,
        "in no second catalogue": 1,
        "in the training list": 1,
        "not found in ground-based imaging": 1,
        "of type cluster or group": 1,
        "within 2 arcsec of another row, merged": 1,
    }
    first, second = got.rows
    assert first["theta_e_arcsec"] == 1.3 and first["second_separation_arcsec"] == pytest.approx(1, abs=1e-3)
    assert first["n_references"] == 2 and first["z_lens"] == 0.5
    assert second["spectroscopic"] and np.isnan(second["z_lens"]) and np.isnan(second["theta_e_arcsec"])
    loose = build(tables / "catalog.csv", [tables / "second.csv"], need_second=False)
    assert {r["name"] for r in loose.rows} == {"keep", "sextuple", "alone", "trained on"}


def test_the_table_of_a_lens_own_paper_is_no_second_catalogue(tables):
    """Stein et al. (2022) alone cannot confirm a position of Stein et al. (2022)."""
    own, both = "Stein et al. (2021) - arXiv:2110.00023", "Huang et al. (2021) - arXiv:2005.04730"
    rows = [f"own,10,5,0.5,galaxy,confident,{own}", f"both,20,5,0.5,galaxy,confident,{own} | {both}"]
    (tables / "catalog.csv").write_text(HEAD + "\n".join(rows) + "\n")
    (tables / "new_lenses.tsv").write_text("ra\tdec\n10\t5\n20\t5\n")
    got = build(tables / "catalog.csv", [tables / "new_lenses.tsv"])
    assert [r["name"] for r in got.rows] == ["both"]
    assert got.about["dropped"]["in the table of its own paper alone"] == 1
    got = build(tables / "catalog.csv", [tables / "new_lenses.tsv", tables / "second.csv"])
    assert [(r["name"], r["second_catalogue"]) for r in got.rows] == [("own", "second.csv"), ("both", "new_lenses.tsv")]


def test_rows_that_were_dropped_still_speak_of_the_lens_they_lie_on(tables):
    """Another row of the same lens brings its spectrum and references, or says that the lens is a cluster's."""
    near = 5 + 1 / 3600
    rows = [
        f"BCG,30,{near},0.3,galaxy,confident,Rojas et al. (2021) - arXiv:2109.00014",
        f"AGEL,10,{near},0.52,galaxy,probable,Tran et al. (2022) - arXiv:2205.05307",
    ]
    (tables / "catalog.csv").write_text(HEAD + "\n".join([*ROWS, *rows]) + "\n")
    (tables / "second.csv").write_text("ra,dec\n10,5\n20,5\n30,5\n")
    got = build(tables / "catalog.csv", [tables / "second.csv"])
    assert [(r["name"], r["n_references"], bool(r["spectroscopic"])) for r in got.rows] == [
        ("keep", 3, True),
        ("sextuple", 2, True),
    ]
    assert got.about["dropped"]["within 2 arcsec of a cluster's or group's row"] == 1
    assert sum(got.about["dropped"].values()) + got.about["n"] == len(ROWS) + len(rows)


def test_the_list_is_versioned_and_reads_as_a_catalogue(tables, tmp_path):
    got = build(tables / "catalog.csv", [tables / "second.csv"])
    path, about = got.write(tmp_path / "out")
    assert len(read_catalogue(path)) == len(got)
    stored = json.loads((tmp_path / "out" / "real_lenses_about.json").read_text())
    assert stored == got.about and stored["rules_version"] == 2
    assert stored["inputs"][0] == {"name": "catalog.csv", "sha256": storage.sha256(tables / "catalog.csv")}
    assert about.endswith("about.json")


@pytest.mark.parametrize(
    "text, want",
    [
        ("0.49 | 0.49", 0.49),
        ("0.3?", 0.3),
        ("L", None),
        ("not measured", None),
        ("-", None),
        ("12:30:01", None),
        ("9.5", None),
        ("-1", None),
        ("-1.0", None),
        ("-99 | 0.4", 0.4),
        ("0.3-0.4", 0.3),
        ("5e-1", 0.5),
        (".49±0.02", 0.49),
    ],
)
def test_free_text_redshifts(text, want):
    assert first_number(text) == want if want else np.isnan(first_number(text))


def test_sexagesimal_positions_and_other_tables_are_refused(tables):
    bad = tables / "bad.csv"
    bad.write_text(HEAD + ROWS[0].replace("10,5", "00:40:00,+05:00:00") + "\n")
    with pytest.raises(DhsError, match="row 1, column 'RA .deg.'.*sexagesimal"):
        build(bad, [])
    bad.write_text("name,ra,dec\na,1,2\n")
    with pytest.raises(DhsError, match="no column .'zlens'"):
        build(bad, [])


@pytest.mark.skipif(not DATA, reason="the published catalogues need DHS_DATA_DIR")
def test_the_published_catalogues_give_a_list_without_clusters_or_space_lenses():
    got = build()
    assert 100 < len(got) < 2000 and got.about["dropped"]["cites cluster catalogues alone"] > 10_000
    assert len({(r["ra"], r["dec"]) for r in got.rows}) == len(got)
    assert all(r["second_catalogue"] and r["second_separation_arcsec"] <= 2 for r in got.rows)
    assert all(r["grade"] == "confident" and r["surveys"] for r in got.rows)
