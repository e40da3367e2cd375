"""Tables of published searches, made by hand with the columns their documentation gives."""

import csv

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from dhs.cli import app
from dhs.errors import DhsError, UsageError
from dhs.survey.lenses.catalogues import read_catalogue
from dhs.survey.lenses.searches import lens_catalogue, merge, read_search, searches

PAIRWISE = "Name,RA,Dec,z_lens,z_source,Grade\nP1,150.0,2.0,0.4,1.1,A\nP2,151.0,2.0,0.5,1.3,B\n"
SINGLE = "TARGETID,TARGET_RA,TARGET_DEC,Z_FG,Z_BG,P_LENS\n11,150.0001,2.0,0.4,1.1,0.8\n12,160.0,3.0,0.3,0.9,0.25\n"
IMAGES = "name,ra,dec,grade,probability\nI1,151.0,2.0002,A,0.99\nI2,170.0,-5.0,C,0.91\n"
FOUNDRY = "name,ra,dec,zd,zs,status\nF1,170.0,-5.0,0.5,-99,refuted\nF2,171.0,-5.0,0.6,1.9,confirmed\n"


@pytest.fixture
def tables(tmp_path):
    """Four searches, and the value-added catalogue as FITS: a lens and its source, a star, a row with a warning."""
    texts = {"desi-pairwise": PAIRWISE, "desi-single-fibre": SINGLE, "inchausti2025": IMAGES, "desi-foundry": FOUNDRY}
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    vac = Table(
        {
            "TARGETID": np.array([101, 102, 103, 104]),
            "Z": [0.45, 1.62, 0.0, 3.1],
            "ZWARN": np.array([0, 0, 0, 4]),
            "COEFF": np.zeros((4, 10)),
            "SPECTYPE": ["GALAXY", "GALAXY", "STAR", "GALAXY"],
            "TARGET_RA": [200.0, 200.0 + 2 / 3600, 210.0, 220.0],
            "TARGET_DEC": [0.0, 0.0, 0.0, 0.0],
        }
    )
    paths["desi-vac"] = tmp_path / "desi-sl-vac-v1.fits"
    vac.write(paths["desi-vac"])
    return paths


def test_each_search_says_how_it_found_its_lenses():
    known = searches()
    assert {s.found_by for s in known.values()} == {"imaging", "spectroscopy"}
    assert known["desi-pairwise"].found_by == known["desi-single-fibre"].found_by == "spectroscopy"
    for name in ("inchausti2025", "gonzalez2025", "schuldt2025", "teglie", "sugohi", "desi-vac"):
        assert known[name].found_by == "imaging", "spectra of candidates found in images are no selection by spectra"


def test_spectra_of_the_value_added_catalogue_become_systems(tables):
    rows = read_search("desi-vac", tables["desi-vac"])
    assert [(r["name"], r["z_lens"], r["z_source"]) for r in rows[:1]] == [("101", 0.45, 1.62)]
    assert len(rows) == 2, "the star is no system"
    assert np.isnan(rows[1]["z_lens"]), "a redshift with a warning is none"


def test_columns_are_found_by_their_names(tables):
    row = read_search("desi-pairwise", tables["desi-pairwise"])[0]
    assert (row["name"], row["ra"], row["z_lens"], row["z_source"], row["grade"]) == ("P1", 150.0, 0.4, 1.1, "A")
    single = read_search("desi-single-fibre", tables["desi-single-fibre"])
    assert [r["probability"] for r in single] == [0.8, 0.25] and [r["z_source"] for r in single] == [1.1, 0.9]
    image = read_search("inchausti2025", tables["inchausti2025"])
    assert [r["probability"] for r in image] == [1.0, 1.0], "the score of a network is no probability of a lens"
    foundry = read_search("desi-foundry", tables["desi-foundry"])
    assert [r["is_lens"] for r in foundry] == [False, True] and np.isnan(foundry[0]["z_source"])


def test_a_lens_that_any_search_of_images_has_was_found_in_images(tables):
    rows = merge([read_search(name, path) for name, path in tables.items()])
    found = {r["name"]: r for r in rows}
    assert found["P1"]["found_by"] == "spectroscopy" and found["P1"]["searches"] == "desi-pairwise; desi-single-fibre"
    assert found["P2"]["found_by"] == "imaging", "it is in an imaging list as well"
    assert not found["I2"]["is_lens"], "refuted by the other table"
    assert len(rows) == 7 and found["12"]["probability"] == 0.25


def test_the_catalogue_is_one_that_every_verb_reads(tables, tmp_path):
    out = tmp_path / "lenses.csv"
    told = lens_catalogue([f"{name}={path}" for name, path in tables.items()], out)
    assert (told["n"], told["spectroscopy"], told["imaging"], told["non_lenses"]) == (7, 2, 4, 1)
    assert len(read_catalogue(out)) == 7 and any("2509.16033" in p for p in told["papers"])
    rows = list(csv.DictReader(out.open(newline="")))
    assert {r["is_lens"] for r in rows} == {"True", "False"} and rows[0]["found_by"] == "spectroscopy"
    done = CliRunner().invoke(app, ["lenses", f"sugohi={tables['inchausti2025']}", "--out", str(out)])
    assert done.exit_code == 0 and "2 systems: 2 found in images" in done.output


def test_bad_tables_are_refused_with_row_and_remedy(tables, tmp_path):
    with pytest.raises(UsageError, match="SEARCH=FILE"):
        lens_catalogue([str(tables["desi-vac"])], tmp_path / "o.csv")
    with pytest.raises(UsageError, match="no search of this name"):
        lens_catalogue([f"mine={tables['desi-vac']}"], tmp_path / "o.csv")
    bad = tmp_path / "bad.csv"
    bad.write_text(SINGLE.replace("0.25", "25 %"))
    with pytest.raises(DhsError, match="row 2: '25 %' is no probability"):
        read_search("desi-single-fibre", bad)
    bad.write_text(PAIRWISE.replace("151.0", "10:04:00"))
    with pytest.raises(DhsError, match="row 2.*sexagesimal"):
        read_search("desi-pairwise", bad)
    (tmp_path / "bad.fits").write_bytes(b"not a table")
    with pytest.raises(DhsError, match="not a FITS table"):
        read_search("desi-vac", tmp_path / "bad.fits")
    with pytest.raises(UsageError, match="no table has this column"):
        lens_catalogue([f"sugohi={tables['inchausti2025']}"], tmp_path / "o.csv", weight="nothing")
