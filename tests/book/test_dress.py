"""What a page adds to an executed notebook, told from small ones."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dhs.book import dress
from dhs.book.sphinx_extension import _mathml, without_foreign_scripts
from dhs.picture import sheet

PNG = base64.b64encode(np.random.default_rng(0).bytes(6000)).decode()


def cell(html=None, figure=True, **said):
    data = {"text/html": html} if html else {"image/png": "x"}
    outputs = [{"output_type": "display_data", "data": data, "metadata": {"image/png": said} if said else {}}]
    about = {"figure": {"caption": "A caption.", "name": "fig-x"}, "image": {"alt": "in the script"}}
    return {"cell_type": "code", "outputs": outputs, "metadata": {"mystnb": about} if figure else {}}


def test_a_figure_tells_its_result_its_width_and_its_origin(tmp_path):
    told = cell(alt="AUROC 0.91", width=624)
    page = dress.dressed({"cells": [{"cell_type": "markdown", "metadata": {}}, told]}, "04_x", "abc", tmp_path)
    about = page["cells"][1]["metadata"]["mystnb"]
    assert about["image"] == {"alt": "AUROC 0.91", "width": "624px"}
    assert "cell 1 of notebook 04_x, run abc" in about["figure"]["caption"]
    assert told["metadata"]["mystnb"]["image"] == {"alt": "in the script"}, "the notebook itself is not changed"
    silent = dress.dressed({"cells": [cell()]}, "04_x", "abc", tmp_path)["cells"][0]["metadata"]["mystnb"]
    assert silent["image"]["alt"] == "in the script"


def test_pictures_inside_html_become_files(tmp_path):
    html = f'<div style="--sprite:url(data:image/png;base64,{PNG})"><img src="data:image/png;base64,QUJD"></div>'
    page = dress.dressed({"cells": [cell(html, figure=False)]}, "n", "h", tmp_path)
    shown = page["cells"][0]["outputs"][0]["data"]["text/html"]
    (file,) = (tmp_path / "run").iterdir()
    assert file.read_bytes() == base64.b64decode(PNG) and f"url(../_static/run/{file.name})" in shown
    assert "data:image/png;base64,QUJD" in shown, "a small one stays"


def test_the_first_figure_is_told_by_rule_or_left_out():
    page = "# T\n\n```{figure} _static/front.png\n:name: fig-front\n:alt: x\n:width: 100%\n\nold\n```\n\nNext.\n"
    told = dress.front_page(page, {"caption": "New.", "alt": "AUROC 0.9"})
    assert ":alt: AUROC 0.9\n" in told and "\nNew.\n```" in told and "old" not in told
    assert dress.front_page(page, {"caption": "", "alt": ""}) == "# T\n\n\nNext.\n"
    index = (Path(__file__).resolve().parents[2] / "book" / "index.md").read_text()
    assert "front.png" not in dress.front_page(index, {"caption": "", "alt": ""}), "the page's own figure is found"


def test_a_page_s_numbers_can_be_taken_along(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "preflight.json").write_text("{}")
    line = dress.downloads("02_preflight", tmp_path / "run", tmp_path / "book")
    assert line == "Numbers of this page: {download}`preflight.json <../downloads/preflight.json>`."
    assert (tmp_path / "book" / "downloads" / "preflight.json").read_text() == "{}"
    assert dress.downloads("06_signoff", tmp_path / "run", tmp_path / "book") == ""
    assert "| `a` | 3 |" in dress.execution_table({"a": 2.6}) and dress.execution_table({}) == ""


def test_formulas_are_mathml_with_whole_words():
    pytest.importorskip("latex2mathml")
    found = _mathml(r"\mathrm{gain} = \theta_E \pm \beta", "inline")
    assert found.startswith("<math") and "<mtext>gain</mtext>" in found and "&#x003B8;" in found


def test_nothing_is_loaded_from_elsewhere():
    class Script:
        def __init__(self, filename, **attributes):
            self.filename, self.attributes = filename, attributes

    mine = Script("_static/dhs.js")
    context = {"script_files": [mine, Script("https://unpkg.com/x.js"), Script(None, body="const THEBE_JS_URL = 1")]}
    without_foreign_scripts(None, "", "", context, None)
    assert context["script_files"] == [mine]


def test_a_sheet_holds_every_stamp_in_its_place():
    from io import BytesIO

    from PIL import Image

    stamps = np.zeros((5, 3, 8, 8), np.float32)
    stamps[3] = 5.0
    picture = np.asarray(Image.open(BytesIO(sheet(stamps, 3))).convert("RGB"))
    assert picture.shape == (16, 24, 3)
    lit = picture.max(axis=-1) > 0
    assert lit[8:, :8].all() and lit.sum() == 64


def test_the_script_of_the_pages_is_a_script():
    """It parses, and knows every plaything that is made."""
    text = (Path(__file__).resolve().parents[2] / "book" / "_static" / "dhs.js").read_text()
    made = ("explorer", "interventions", "threshold", "completeness")
    assert all(f"    {kind}(frame, data)" in text for kind in made)
    assert "fetch(" not in text and "http" not in text and "innerHTML" not in text, "from a file, and no markup of data"


def test_dress_needs_no_library_of_the_book():
    code = "import sys, dhs.book.dress; print([m for m in ('sphinx', 'docutils', 'torch') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found.replace("'", '"')) == []


def test_a_cell_that_shows_nothing_is_left_out(tmp_path):
    quiet = {"cell_type": "code", "outputs": [], "metadata": {"tags": ["parameters"]}}
    reason = quiet | {"outputs": [{"data": {"text/plain": ["no figure: none was scored"]}}], "metadata": {}}
    cells = dress.dressed({"cells": [quiet, cell(), reason]}, "n", "h", tmp_path)["cells"]
    assert cells[2]["metadata"]["tags"] == ["remove-cell"]
    assert cells[0]["metadata"]["tags"] == ["parameters", "remove-cell"] and "tags" not in cells[1]["metadata"]
