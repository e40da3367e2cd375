"""Grades of several graders: hostile files refused, sheets made blind, plants found again, and what merging says."""

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from dhs import storage
from dhs.cli import app
from dhs.errors import DhsError, InputRefused, UsageError
from dhs.stats.metrics import clopper_pearson
from dhs.validation.candidates.blind import grade_sheet
from dhs.validation.candidates.grade_files import guarded, read_grades, unguarded, write_rows
from dhs.validation.candidates.merge_grades import merge_grades

HOSTILE = {
    "unknown_grade": ("id,grade\na,3\nb,7\n", 3, "0, 1, 2, 3"),
    "formula_for_a_grade": ("id,grade\na,=1+1\n", 2, "0, 1, 2, 3"),
    "digits_of_another_script": ("id,grade\na,３\n", 2, "0, 1, 2, 3"),
    "half": ("id,grade\na,2.5\n", 2, "0, 1, 2, 3"),
    "duplicate_id": ("id,grade\na,3\nb,2\na,1\n", 4, "one row a candidate"),
    "no_id": ("id,grade\n,3\n", 2, "the sheet saved"),
    "fields": ('id,grade,note\na,3\nb,2,"x"\n', 2, "Quote fields"),
    "open_quote": ('id,grade\na,3\n"b,2\n', 3, "Close the quote"),
    "control_character": ("id,grade\na,3\nb\x00c,2\n", 3, "Take it out"),
    "two_graders": ("id,grade,grader\na,3,Vera\nb,2,Jocelyn\n", 3, "one file a grader"),
    "two_sheets": ("id,grade,sheet\na,3,s1\nb,2,s2\n", 3, "one file a sheet"),
    "too_long": (f"id,grade\na,3\n{'b' * 200_000},2\n", 3, "quote"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_row_is_refused_with_its_line_and_a_remedy(name, tmp_path):
    text, line, remedy = HOSTILE[name]
    path = tmp_path / "grades-vera.csv"
    path.write_text(text)
    with pytest.raises(InputRefused) as caught:
        read_grades(path)
    refusal = caught.value.refusal
    assert refusal.row == line and remedy in refusal.remedy and refusal.file == "grades-vera.csv"
    result = CliRunner().invoke(app, ["grades", "merge", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, DhsError) and not (tmp_path / "out").exists()


def test_files_that_are_no_table_of_grades_are_refused(tmp_path):
    for text, said in ((b"id;grade\na;3\n", "no column"), (b"\xff\xfe1", "UTF-8"), (b"", "no column"),
                       (b"id,grade,grade\na,3,2\n", "twice"), (b"id,grade\n", "no row")):  # fmt: skip
        (tmp_path / "g.csv").write_bytes(text)
        with pytest.raises(DhsError, match=said):
            read_grades(tmp_path / "g.csv")


def test_what_a_spreadsheet_would_run_is_written_as_text_and_read_back(tmp_path):
    texts = ["=1+1", "+a", "-x", "@x", "-1.5", "'quoted", "plain", '=cmd|" /C calc"!A0', "\ttab", "a,b\nc", ""]
    assert [unguarded(guarded(t)) for t in texts] == texts
    assert guarded("-1.5") == "-1.5" and guarded("=1+1") == "'=1+1"
    write_rows(tmp_path / "g.csv", [{"id": t or "none", "grade": "2", "note": t} for t in texts])
    cells = [c for row in csv.reader((tmp_path / "g.csv").open(newline="")) for c in row]
    assert not [c for c in cells if c.startswith(("=", "+", "@", "\t")) or re.match(r"-\D", c)]
    read = read_grades(tmp_path / "g.csv")
    assert list(read.grade) == [t or "none" for t in texts] and read.note["-x"] == "-x"


def grades(tmp_path, name, marks, **more):
    path = tmp_path / f"grades-{name}.csv"
    write_rows(path, [{"id": i, "grade": g, "grader": name, "sheet": "s"} | more for i, g in marks.items()])
    return path


def test_consensus_goes_down_on_a_tie_and_looks_again_at_a_split(tmp_path):
    a = grades(tmp_path, "a", {"w": "A", "x": "3", "y": "", "z": "B"})
    b = grades(tmp_path, "b", {"w": "3", "x": "0", "y": "", "z": "C"}, note="=no")
    report = merge_grades([a, b], tmp_path / "out")
    rows = {r["id"]: r for r in csv.DictReader((tmp_path / "out" / "grades.csv").open(newline=""))}
    assert [(r["consensus"], r["letter"], r["look_again"]) for r in (rows[i] for i in "wxz")] == [
        ("3", "A", "False"), ("1", "C", "True"), ("1", "C", "False")]  # fmt: skip
    assert list(rows) == ["w", "x", "z", "y"] and rows["y"]["consensus"] == "" and rows["w"]["notes"] == "b: =no"
    assert report["n_split"] == 1 and report["alpha"]["n"] == 3 and report["calibration"]["status"] == "skip"
    assert storage.read_table(tmp_path / "out" / "grades.parquet")["consensus"].to_pylist() == [3, 1, 1, None]
    with pytest.raises(UsageError, match="occurs twice"):
        merge_grades([a, a], tmp_path / "out")
    other = tmp_path / "other.csv"
    write_rows(other, [{"id": "w", "grade": "1", "grader": "c", "sheet": "t"}])
    with pytest.raises(DhsError, match="two sheets"):
        merge_grades([a, other], tmp_path / "out")


@pytest.fixture
def blind(clean, tmp_path):
    """A blind sheet of 30 controls of the training split, with arcs and controls of the validation split planted."""
    table = clean.table("train", ["pair_id", "host_id"], limit=30)
    n = table.num_rows
    rows = {"rank": range(1, n + 1), "id": [f"control-{i}" for i in table["pair_id"].to_pylist()]}
    rows |= {"ra": np.linspace(10, 20, n), "dec": np.zeros(n), "logit": np.linspace(5, 0, n), "known_lens": [""] * n}
    rows |= {"kind": ["control"] * n, "pair_id": table["pair_id"]}
    storage.write_table(tmp_path / "c.parquet", pa.table({k: pa.array(list(v)) for k, v in rows.items()}))
    paths = grade_sheet(
        tmp_path / "c.parquet", tmp_path / "sheet.html", data_path=clean.path, planted=clean.path, n_planted=15, seed=3
    )
    return paths


def of_page(path):
    text = open(path).read()
    return {
        name: json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.S).group(1)) for name in ("about", "rows")
    }


def test_a_blind_sheet_tells_nothing_and_its_key_tells_all(blind, clean):
    page, key = blind
    shown = of_page(page)
    rows = list(csv.DictReader(open(key, newline="")))
    assert shown["rows"] == [{"id": f"s{i + 1:04d}"} for i in range(60)]
    text = open(page).read()
    assert "control-" not in text and "positive-" not in text and "planted" not in text
    what = [r["what"] for r in rows]
    assert {w: what.count(w) for w in set(what)} == {"candidate": 30, "planted lens": 15, "planted control": 15}
    assert {r["sheet"] for r in rows} == {shown["about"]["sheet"]}
    hosts = [r["host_id"] for r in rows if r["what"] != "candidate"]
    assert len(set(hosts)) == 30, "no host is planted twice"
    order = [i for i, w in enumerate(what) if w == "candidate"]
    assert order != sorted(order)[:30] or what[:30] != ["candidate"] * 30
    names = [int(r["name"].split("-")[1]) for r in rows if r["what"] == "candidate"]
    assert names != sorted(names)


def test_merging_with_the_key_says_what_grades_are_worth(blind, tmp_path):
    """Graders of known skill: one takes 12 of 15 arcs and 2 of 15 controls for lenses, the other all and none."""
    key = blind[1]
    rows = list(csv.DictReader(open(key, newline="")))
    sheet = rows[0]["sheet"]

    def grader(name, hits, slips):
        of = {w: [r["id"] for r in rows if r["what"] == w] for w in ("planted lens", "planted control", "candidate")}
        given = {i: "A" if k < hits else "X" for k, i in enumerate(of["planted lens"])}
        given |= {i: "B" if k < slips else "X" for k, i in enumerate(of["planted control"])}
        given |= {i: "C" if k % 3 else "X" for k, i in enumerate(of["candidate"])}
        return grades(tmp_path, name, given, sheet=sheet)

    files = [grader("vera", 12, 2), grader("jocelyn", 15, 0)]
    report = merge_grades(files, tmp_path / "out", key=key)
    worth = {(w["grader"], w["letter"]): w for w in report["calibration"]["worth"]}
    vera = worth["vera", "B"]
    assert vera["planted_lenses"]["value"] == 12 / 15 and vera["planted_controls"]["value"] == 2 / 15
    assert (vera["planted_lenses"]["ci_low"], vera["planted_lenses"]["ci_high"]) == pytest.approx(
        clopper_pearson(12, 15)
    )
    assert vera["likelihood_ratio"]["value"] == pytest.approx(12.5 / 2.5)
    assert (
        worth["vera", "A"]["planted_controls"]["value"] == 0 and worth["jocelyn", "A"]["planted_lenses"]["value"] == 1
    )
    assert worth["vera", "A"]["known_lenses"]["value"] is None
    merged = storage.read_table(tmp_path / "out" / "grades.parquet").to_pylist()
    assert len(merged) == 30 and all(r["id"].startswith("control-") for r in merged), "what was planted is left out"
    assert report["alpha"]["n"] == 30 and report["alpha"]["value"] == 1.0, "of candidates alone"
    assert "planted lenses 0.800" in str(report)
    with pytest.raises(DhsError, match="key of another sheet"):
        merge_grades([grades(tmp_path, "x", {"s0001": "A"}, sheet="other")], tmp_path / "o", key=key)


def test_the_command_line_makes_a_sheet_and_merges(clean, blind, tmp_path):
    run = CliRunner().invoke
    out = str(tmp_path / "open.html")
    done = run(
        app, ["grades", "sheet", str(tmp_path / "c.parquet"), "--data-path", clean.path, "--n", "5", "--out", out]
    )
    assert done.exit_code == 0, done.output
    assert [r["id"] for r in of_page(out)["rows"]][:1] != ["s0001"] and len(of_page(out)["rows"]) == 5
    marks = {f"s{i + 1:04d}": "ABCX"[i % 4] for i in range(60)}
    files = [str(grades(tmp_path, n, marks, sheet=of_page(blind[0])["about"]["sheet"])) for n in ("a", "b")]
    done = run(app, ["grades", "merge", *files, "--key", blind[1], "--out", str(tmp_path / "m")])
    assert done.exit_code == 0 and "Krippendorff" in done.output
    with pytest.raises(UsageError, match="one of the two"):
        grade_sheet(tmp_path / "c.parquet", out)
