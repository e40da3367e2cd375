"""The manuscript: whole with a run and without one, nothing left open, and it compiles where there is a TeX."""

import re
import shutil
from pathlib import Path

import pytest

from dhs.book import paper
from dhs.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The stored smoke run, as a run lies on disk."""
    folder = tmp_path_factory.mktemp("run")
    for file in (ROOT / "tests" / "figures" / "smoke_run").iterdir():
        shutil.copyfile(file, folder / file.name)
    (folder / "pairs").mkdir()
    (folder / "manifest.json").rename(folder / "pairs" / "manifest.json")
    return folder


@pytest.mark.parametrize("with_run", [True, False])
def test_a_manuscript_is_whole(run, tmp_path, with_run):
    text = paper.write(run if with_run else tmp_path / "none", tmp_path / "out").read_text()
    assert "{number}" not in text and "numref" not in text and not re.search(r"\bNone\b|\bnan\b", text)
    assert text.count(r"\begin{") == text.count(r"\end{")
    for name in paper.PICTURE.findall(text):
        assert (tmp_path / "out" / f"{name}.pdf").stat().st_size > 1000
    assert set(re.findall(r"\\ref\{([^}]*)\}", text)) <= set(re.findall(r"\\label\{([^}]*)\}", text))
    known = set(re.findall(r"^@\w+\{(\w+),", (tmp_path / "out" / "references.bib").read_text(), re.M))
    cited = {k.strip() for group in re.findall(r"\\cite[pt](?:\[[^\]]*\])*\{([^}]*)\}", text) for k in group.split(",")}
    assert cited and cited <= known
    assert ("a rehearsal:" in text) == with_run and ("No run was at hand" in text) != with_run
    assert (r"\texttt{04\_evaluation}" in text) == with_run, "a claim that was not measured is not made"
    for section in ("abstract", "Limits", "Data availability", "Claims"):
        assert section in text
    if shutil.which("pdflatex") and shutil.which("bibtex") and shutil.which("kpsewhich"):
        assert paper.typeset(tmp_path / "out" / "manuscript.tex").read_bytes().startswith(b"%PDF")


def test_no_result_is_typed_in_the_template():
    text = (ROOT / "paper" / "manuscript.tex").read_text()
    body = re.sub(
        r"\\includegraphics.*|\\usepackage.*|\\begin\{tabular\}.*|\\cite.*?\{[^}]*\}|\{number\}`[^`]*`", "", text
    )
    typed = set(re.findall(r"(?<![\w.])\d+\.\d+|\d+ ?\\?%|\d{3,}", body))
    assert typed <= {"0.01", "2026"}, "0.01 is the margin, 2026 the year of the search"


def test_words_of_a_page_become_tex():
    said = "**Yes:** 50 % of `a_b` & *c* ({numref}`fig-x`), see [here](page.md)."
    assert paper.latex(said) == r"\textbf{Yes:} 50 \% of \texttt{a\_b} \& \emph{c}, see here."


def test_what_is_missing_takes_its_paragraph_row_figure_and_sentence_along():
    template = "A {number}`k.a`.\n\nB {number}`k.b`.\n\nC. See it (Fig.~\\ref{fig:x}).\n\n"
    template += "\\includegraphics{x}\n\\label{fig:x}\n\n\\midrule\nr {number}`k.b` \\\\\ns {number}`k.a` \\\\"
    known = {"k": {"a": "1", "b": ""}}
    assert paper.filled(template, known, set()) == "A 1.\n\nC.\n\n\\midrule\ns 1 \\\\"
    with pytest.raises(KeyError):
        paper.filled("{number}`k.c`", known, set())


def test_without_a_tex_the_manuscript_stays_and_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(paper.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="needs a TeX"):
        paper.typeset(tmp_path / "manuscript.tex")
