"""Pages from prose and numbers: what cites a missing number is left out, whole, and nothing else is."""

import pytest

from dhs.book import prose

VALUES = {"a": {"yes": "0.91 (0.89 to 0.93)", "no": "", "says": "It is **so**."}}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The value is {number}`a.yes`.", "The value is 0.91 (0.89 to 0.93)."),
        ("First.\n\nGone {number}`a.no`,\nto its end.\n\nLast.", "First.\n\nLast."),
        ("- one\n- two {number}`a.no`\n  goes on\n- three", "- one\n- three"),
        ("1. {number}`a.no`\n2. {number}`a.says`", "2. It is **so**."),
        ("| a | b |\n| --- | --- |\n| x | {number}`a.no` |\n| y | {number}`a.yes` |", None),
        ("| a | b |\n| --- | --- |\n| x | {number}`a.no` |", ""),
        ("Kept {number}`a.no?` all the same.", "Kept  all the same."),
        ("```bash\necho {number}`a.no`\n\nls\n```", "```bash\necho {number}`a.no`\n\nls\n```"),
        (
            "```{admonition} Title\n:class: note\n\nGone {number}`a.no`.\n\nKept.\n```",
            "```{admonition} Title\n:class: note\n\nKept.\n```",
        ),
        ("See this ({numref}`fig-gone`), and that.", "See this, and that."),
        ("It is {numref}`fig-gone` that shows it.", ""),
    ],
)
def test_what_cites_a_missing_number_or_figure_is_left_out(text, left):
    got = prose.fill(text, VALUES, absent={"fig-gone"})
    if left is None:
        assert "| y |" in got and "| x |" not in got and got.startswith("| a |")
    else:
        assert got == left


def test_a_heading_with_nothing_left_below_it_goes_and_the_title_stays():
    page = "# Title\n\n## Gone\n\n{number}`a.no`\n\n### Deeper\n\n{number}`a.no`\n\n## Kept\n\nText."
    page += "\n\n## Last\n\n{number}`a.no`"
    assert prose.fill(page, VALUES, whole=True) == "# Title\n\n## Kept\n\nText."
    assert prose.fill(page, VALUES).endswith("## Last"), "of a cell, what follows may belong to it"


def test_a_key_that_no_number_has_is_an_error():
    with pytest.raises(KeyError):
        prose.fill("{number}`a.typo`", VALUES)


def test_captions_lose_the_sentences_whose_numbers_are_missing():
    caption = "A figure. It shows {number}`a.no` of them. The rest is {number}`a.yes`."
    assert prose.sentences(caption, VALUES) == "A figure. The rest is 0.91 (0.89 to 0.93)."


def code(source="", name=None, picture=False, tags=(), outputs=None):
    metadata = {"tags": list(tags)}
    if name:
        metadata["mystnb"] = {
            "figure": {"name": name, "caption": "Of {number}`a.yes`."},
            "image": {"alt": "{number}`a.says`"},
        }
    shown = [{"output_type": "display_data", "data": {"image/png": "x"}}] if picture else []
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": outputs or shown}


def words(text):
    return {"cell_type": "markdown", "source": text, "metadata": {}}


def test_a_figure_that_was_not_drawn_goes_with_its_heading_and_what_points_at_it():
    notebook = {"cells": [words("# T\n\nText ({numref}`fig-b`).\n\n## A"), code("a()", "fig-a", True)]}
    reason = {"output_type": "execute_result", "data": {"text/plain": "not run"}}
    table = code("t()", tags=["hide-input"], outputs=[reason])
    notebook["cells"] += [words("## B"), code("import x"), code("b()", "fig-b"), table, words("## C\n\nEnd.")]
    absent = prose.absent_figures([notebook])
    assert absent == {"fig-b"}
    got = prose.page(notebook, VALUES, absent)["cells"]
    assert [c["source"] for c in got if c["cell_type"] == "markdown"] == ["# T\n\nText.\n\n## A", "## C\n\nEnd."]
    assert [c["source"] for c in got if c["cell_type"] == "code"] == ["a()"], (
        "what shows nothing leaves no button behind"
    )
    figure = next(c for c in got if prose.figure_of(c))["metadata"]["mystnb"]
    assert figure == {
        "figure": {"name": "fig-a", "caption": "Of 0.91 (0.89 to 0.93)."},
        "image": {"alt": "It is **so**."},
    }


def test_prose_and_captions_are_those_of_the_script_and_results_those_that_were_executed():
    script = {"cells": [words("New prose."), code("n = 1", tags=["parameters"]), code("f()", "fig-a")]}
    ran = [words("Old."), code("n = 1", tags=["parameters"]), code("n = 2", tags=["injected-parameters"])]
    executed = {"cells": [*ran, code("f()", "fig-old", True)]}
    got = prose.merged(script, executed)["cells"]
    assert [c["metadata"].get("number") for c in got] == [None, 1, None, 2], "of the script, which a reader runs"
    assert got[0]["source"] == "New prose." and [c["source"] for c in got[1:]] == ["n = 1", "n = 2", "f()"]
    assert prose.figure_of(got[-1]) == "fig-a" and prose.drawn(got[-1])
