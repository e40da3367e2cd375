"""The pages hold together: every glued key exists, every figure cited is made, no result is typed by hand."""

import re
from pathlib import Path

import jupytext
import pytest
import yaml

from dhs.figures import glued

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
GLUED = re.compile(r"\{glue:text\}`([^`]+)`")
KINDS = {
    "01_injection": "pairs",
    "02_preflight": "preflight",
    "03_training": "training",
    "04_evaluation": "evaluation",
    "05_real_lenses": "real_lenses",
    "06_signoff": "signoff",
    "07_scale": "scale",
}

# Numbers that are not results of a run, and may be typed. Anything else with a decimal point, a per cent sign or
# three digits and more must be glued, or stand in a paragraph or table row that cites the work it came from.
CONSTANTS = {
    "0.262": "arcsec a pixel, the survey's",
    "0.5": "arcsec, lower end of the asked theta_E range",
    "1.31": "arcsec, 5 pixels",
    "1.2": "arcsec, asked for of bright, wide arcs",
    "0.99": "AUROC asked for in the overfitting test",
    "256": "pairs of the overfitting test",
    "150": "electrons a nanomaggy, the value assumed in the published experiment",
    "10,000": "unit of a figure's axis",
    "32.375": "degrees, the survey's border",
    "128": "slots of a part file",
}


def prose(text: str) -> list[str]:
    """Paragraphs and table rows of a page without code, math, roles, links and headings."""
    text = re.sub(r"^```(?!\{admonition).*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.S)
    text = re.sub(r"\{(?!cite)[\w:]+\}`[^`]*`", "", text)
    text = re.sub(r"(?<!\})`[^`]*`|\]\([^)]*\)", "", text)
    return [line for line in text.splitlines() if line.strip() and not line.startswith(("#", "(", "```", ":"))]


def typed_results(line: str) -> list[str]:
    """Digits in one line that look like a result; none where the line cites a work."""
    if "{cite" in line:
        return []
    found = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?: ?%|(?![\w]))", line)
    return [f for f in found if ("." in f or "%" in f or len(f) >= 3) and f.strip(" %") not in CONSTANTS]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("The AUROC is 0.91.", ["0.91"]),
        ("It found 4321 of them, or 12 %.", ["4321", "12 %"]),
        ("The AUROC is {glue:text}`../notebooks/04_evaluation.ipynb::auroc:s`.", []),
        ("A recall of 0.45 {cite:p}`Melo2024`.", []),
        ("Read `0.91` in the file; a pixel is 0.262 arcsec; section 3.", []),
    ],
)
def test_the_search_finds_typed_results(line, found):
    assert [f for x in prose(line) for f in typed_results(x)] == found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_result_is_typed(page):
    if page.stem in (
        "references",
        "api",
        "your_data",
        "gates",
        "what_goes_wrong",
    ):  # commands, exit codes and fields, no results
        pytest.skip("this page holds no results")
    wrong = {line: typed_results(line) for line in prose(page.read_text()) if typed_results(line)}
    assert not wrong


def test_notebook_prose_types_no_result():
    for notebook in NOTEBOOKS:
        cells = [c.source for c in jupytext.read(notebook).cells if c.cell_type == "markdown"]
        assert not [f for c in cells for line in prose(c) for f in typed_results(line)], notebook.name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_pages_glue_keys_that_exist(page):
    for reference in GLUED.findall(page.read_text()):
        path, key, form = re.fullmatch(r"\.\./notebooks/(\w+)\.ipynb::(\w+):(\w+)", reference).groups()
        assert form == "s" and key in glued({}, KINDS[path]), reference


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_glue_keys_that_exist(notebook):
    keys = glued({}, KINDS[notebook.stem]) | (glued({}, "plan_on_gpu") if notebook.stem == "07_scale" else {})
    for cell in jupytext.read(notebook).cells:
        assert set(GLUED.findall(cell.source)) <= set(keys)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_short_and_parameterised(notebook):
    cells = [c for c in jupytext.read(notebook).cells if c.cell_type == "code"]
    (parameters,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    for line in parameters.source.splitlines():
        assert re.fullmatch(r"\w+: (str|int|float) = .+  # .+", line), line
    assert {line.split(":")[0] for line in parameters.source.splitlines()} >= {"run_dir", "profile", "seed"}
    assert not any(re.search(r"^\s*(def|class) ", c.source, re.M) for c in cells)
    logic = [[x for x in c.source.splitlines() if x and not x.startswith(("import ", "from "))] for c in cells]
    assert max(map(len, logic)) <= 12


def test_figures_have_name_caption_and_alt_text_and_are_found_where_cited():
    names = ["fig-front"]
    for notebook in NOTEBOOKS:
        for cell in jupytext.read(notebook).cells:
            if "mystnb" in cell.metadata:
                names.append(cell.metadata["mystnb"]["figure"]["name"])
                assert len(cell.metadata["mystnb"]["figure"]["caption"]) > 8
                assert len(cell.metadata["mystnb"]["image"]["alt"]) > 20
    assert len(names) == len(set(names))
    cited = {name for page in PAGES for name in re.findall(r"\{numref\}`([\w-]+)`", page.read_text())}
    assert cited <= set(names)


def test_every_page_is_in_the_table_of_contents_and_every_entry_exists():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    entries = {toc["root"]} | {c["file"] for part in toc["parts"] for c in part["chapters"]}
    assert entries == {f"book/{p.stem}" for p in PAGES} | {f"notebooks/{p.stem}" for p in NOTEBOOKS}


def test_every_work_cited_is_in_the_bibliography_and_the_other_way_round():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), re.M))
    text = " ".join(p.read_text() for p in PAGES)
    cited = {key for group in re.findall(r"\{cite:[pt]\}`([^`]+)`", text) for key in group.split(",")}
    assert cited == known


def test_each_of_the_seven_questions_has_its_section():
    text = (ROOT / "book" / "questions.md").read_text()
    sections = re.split(r"^## (?=\d)", text, flags=re.M)[1:]
    assert [s[0] for s in sections] == list("1234567")
    evidence = [1, 2, 3, 4, 5, 6, 7]
    assert all(GLUED.search(s) for s, n in zip(sections, evidence) if n != 2)
