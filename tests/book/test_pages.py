"""The pages hold together: every number cited exists, every figure cited is made, no result is typed by hand."""

import re
from pathlib import Path

import jupytext
import pytest
import yaml
from pybtex.database import parse_file

from dhs.book import prose as pages_prose
from dhs.figures.numbers.glue import MAKERS, glued

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
CITED = pages_prose.NUMBER

# Numbers that are not results of a run, and may be typed. Anything else with a decimal point, a per cent sign or
# three digits and more must be cited, or stand in a paragraph or table row that cites the work it came from.
CONSTANTS = {
    "0.262": "arcsec a pixel, the survey's",
    "0.5": "arcsec, lower end of the asked theta_E range",
    "1.31": "arcsec, 5 pixels",
    "1.2": "arcsec, asked for of bright, wide arcs",
    "0.99": "AUROC asked for in the overfitting test",
    "256": "pairs of the overfitting test",
    "150": "electrons a nanomaggy, the value assumed in the published experiment",
    "300,000": "pairs of the plan",
    "0.3": "hard-negative ratio of the plan",
    "680": "lenses for a recall within 0.03, arithmetic",
    "0.03": "see 680",
    "160,000": "negatives for a rate of 1e-4 within a half, arithmetic",
    "100": "of a hundred",
    "400": "km/s, upper end of the velocity dispersions",
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
    found = re.findall(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?: ?%|(?![\w]))", line)
    found = [f for f in found if not re.fullmatch(r"20\d\d", f)]  # years
    return [f for f in found if ("." in f or "%" in f or len(f) >= 3) and f.strip(" %") not in CONSTANTS]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("The AUROC is 0.91.", ["0.91"]),
        ("It found 4321 of them, or 12 %.", ["4321", "12 %"]),
        ("The AUROC is {number}`evaluation.auroc`.", []),
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
        "audit_yours",
        "gates",
        "what_goes_wrong",
        "changes",
        "glossary",
    ):  # commands, exit codes and fields, no results
        pytest.skip("this page holds no results")
    wrong = {line: typed_results(line) for line in prose(page.read_text()) if typed_results(line)}
    assert not wrong


def test_notebook_prose_types_no_result():
    for notebook in NOTEBOOKS:
        cells = [c.source for c in jupytext.read(notebook).cells if c.cell_type == "markdown"]
        assert not [f for c in cells for line in prose(c) for f in typed_results(line)], notebook.name


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda p: p.stem)
def test_every_number_cited_is_made(page):
    known = {kind: glued({}, kind) for kind in MAKERS} | {"book": {"execution": ""}}
    text = page.read_text()
    wrong = [f"{kind}.{key}" for kind, key, _ in CITED.findall(text) if key not in known.get(kind, ())]
    assert not wrong and text.count("{number}") == len(CITED.findall(text)) and "{glue" not in text


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
    cited = {name for page in [*PAGES, *NOTEBOOKS] for name in pages_prose.FIGURE.findall(page.read_text())}
    assert cited <= set(names)


def test_every_page_is_in_the_table_of_contents_and_every_entry_exists():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    entries = {toc["root"]} | {c["file"] for part in toc["parts"] for c in part["chapters"]}
    assert entries == {f"book/{p.stem}" for p in PAGES} | {f"notebooks/{p.stem}" for p in NOTEBOOKS}


def test_every_work_cited_is_in_the_bibliography_and_the_other_way_round():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), re.M))
    text = " ".join(p.read_text() for p in [*PAGES, *NOTEBOOKS])
    cited = {key for group in re.findall(r"\{cite:[pt]\}`([^`]+)`", text) for key in group.split(",")}
    assert cited == known


def test_the_bibliography_is_whole():
    """Parsed as BibTeX: authors, year, an identifier, pages or an e-print, and names in titles kept in capitals."""
    works = parse_file(str(ROOT / "book" / "references.bib"), bib_format="bibtex").entries
    assert len(works) >= 40
    for key, work in works.items():
        fields = work.fields
        assert work.persons.get("author"), key
        assert re.fullmatch(r"(?:19|20)\d\d", fields["year"]), key
        assert {"doi", "eprint", "url"} & set(fields), f"{key}: no identifier"
        assert {"pages", "eprint", "url"} & set(fields), key
        assert "doi" not in fields or re.fullmatch(r"10\.\d{4,}/\S+", fields["doi"]), key
        assert "--" in fields.get("pages", "--") or re.fullmatch(r"[A-Ze]?\d+", fields["pages"]), (
            f"{key}: first page alone"
        )
        plain = re.sub(r"\{[^{}]*\}", "", fields["title"])
        names = [w for w in re.findall(r"\b[A-Z]{2,}\w*|\b\w+[A-Z]\w*", plain) if w != "GALSIM"]
        assert not names, f"{key}: {names} would be set in small letters"


def test_each_of_the_seven_questions_has_a_verdict_in_bold_and_a_number():
    text = (ROOT / "book" / "questions.md").read_text()
    sections = re.split(r"^## (?=\d)", text, flags=re.M)[1:]
    assert [s[0] for s in sections] == list("1234567")
    assert all(CITED.search(s) for s in sections)
    assert all(re.search(r"^\*\*.+\*\*", s, re.M) for s in sections if s[0] != "6"), "verdict"
    assert all("](" in s or "{numref}" in s for s in sections), "read on"


def test_every_list_of_the_plan_has_its_lines():
    text = (ROOT / "book" / "training_plan.md").read_text()
    parts = {s.split("\n")[0]: s for s in re.split(r"^## ", text, flags=re.M)[1:]}
    order = ["Data", "Model architecture", "Training configuration", "Preflight checks", "Training quality monitoring"]
    assert [name for name in parts if name in order] == order
    for name, numbered in (
        ("Preflight checks", 6),
        ("Training quality monitoring", 6),
        ("Post-training validation", 5),
    ):
        assert {int(n) for n in re.findall(r"^\| (\d)\. ", parts[name], re.M)} == set(range(1, numbered + 1)), name
    for flag in ("--data-path", "--output-dir", "--epochs", "--batch-size", "--lr", "--weight-decay", "--wandb-run"):
        assert flag in parts["The command"], flag
    assert "--hard-negative-ratio" in parts["The command"] and "--core-dropout-prob" in parts["The command"]


def test_exercises_have_solutions_and_terms_are_explained():
    from dhs.book.glossary import definitions

    for page in [*PAGES, *NOTEBOOKS]:
        text = page.read_text()
        assert text.count("} Exercise ") == text.count("{dropdown} Solution") in (0, 2), page.name
    known = {term.lower() for term in definitions((ROOT / "book" / "glossary.md").read_text())}
    text = " ".join(p.read_text() for p in [*PAGES, *NOTEBOOKS])
    used = {m.lower() for m in re.findall(r"\{term\}`([^`]+)`", text)}
    assert len(known) >= 40 and used <= known


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda p: p.stem)
def test_a_chapter_is_read_in_a_dozen_minutes(page):
    if page.stem in ("api", "references", "architecture", "what_goes_wrong", "your_data"):
        pytest.skip("looked things up in, not read")
    cells = jupytext.read(page).cells if page.suffix == ".py" else []
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown") if cells else page.read_text()
    numbers = 12 * len(CITED.findall(text))  # a sentence each, at most
    assert sum(len(line.split()) for line in prose(text)) + numbers <= 12 * 200


def test_every_model_of_an_artefact_is_on_the_page_of_the_interface():
    api = (ROOT / "book" / "api.md").read_text()
    models = [p.stem for p in (ROOT / "dhs" / "artefacts").glob("*.py") if p.stem != "__init__"]
    assert [m for m in models if f".. automodule:: dhs.artefacts.{m}\n" not in api] == []
