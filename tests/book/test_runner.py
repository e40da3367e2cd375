"""The runner: parameters checked, failures leave nothing behind, re-runs are byte-identical, imports are followed."""

import json
import os

import pytest
from third_party_package import installed

from dhs import fingerprint
from dhs.book.build import NOTEBOOKS, _code_of, execute, pages, project_root
from dhs.book.run import STEPS
from dhs.errors import DhsError, UsageError

SCRIPT = """# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---
# %% [markdown]
# # A notebook
# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
epochs: int = 0  # 0 means as in the profile
# %%
import os
print(os.path.basename(os.getcwd()), run_dir, epochs + 1)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "nb.py"
    path.write_text(SCRIPT)
    return path


def test_parameters_reach_the_notebook_and_reruns_are_byte_identical(script, tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        execute(script, tmp_path / name, {"run_dir": "elsewhere", "epochs": 4}, tmp_path)
    first = (tmp_path / "a.ipynb").read_bytes()
    assert first == (tmp_path / "b.ipynb").read_bytes()
    cells = json.loads(first)["cells"]
    assert f"{tmp_path.name} elsewhere 5" in "".join(cells[-1]["outputs"][0]["text"])
    injected = [c for c in cells if "injected-parameters" in c["metadata"].get("tags", [])]
    assert len(injected) == 1 and "hide-input" in injected[0]["metadata"]["tags"]


def test_an_unknown_parameter_is_refused_by_name(script, tmp_path):
    with pytest.raises(UsageError, match=r"nb.py: no parameter epoch. It has epochs, run_dir."):
        execute(script, tmp_path / "out.ipynb", {"epoch": 3}, tmp_path)


def test_figures_are_pictures_whatever_backend_the_shell_asks_for(script, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    script.write_text(
        SCRIPT + "\nimport matplotlib.pyplot as plt\nplt.figure().add_subplot().plot([1, 2])\nplt.show()\n"
    )
    execute(script, tmp_path / "a.ipynb", {}, tmp_path)
    assert "image/png" in (tmp_path / "a.ipynb").read_text()
    assert os.environ["MPLBACKEND"] == "Agg"


def test_a_failing_notebook_leaves_the_old_copy(script, tmp_path):
    target = tmp_path / "out.ipynb"
    target.write_text("old")
    script.write_text(SCRIPT + "\nraise ValueError('no such galaxy')\n")
    with pytest.raises(DhsError, match=r"nb.py, cell \d+: ValueError: no such galaxy"):
        execute(script, target, {}, tmp_path)
    assert target.read_text() == "old"


def test_closures_follow_imports_in_functions_and_stop_at_the_right_room():
    inject = fingerprint.modules("dhs.datasets.inject")
    assert {"dhs.injection.render.render", "dhs.survey.hosts.open", "dhs.storage"} <= set(inject)
    assert not any(m.startswith(("dhs.models", "dhs.figures", "dhs.validation")) for m in inject)
    assert "dhs.survey.hosts.readers.bricks" in inject, "a registry stands for all that register in it"
    assert "dhs.models.networks.resnet18" in fingerprint.modules("dhs.models.training.train")
    assert "dhs.validation.signoff.signoff" not in fingerprint.modules("dhs.validation.preflight.preflight")


def test_a_package_that_adds_to_a_registry_counts_as_code():
    before = fingerprint.code("dhs.survey.hosts.open")
    with installed():
        assert fingerprint.code("dhs.survey.hosts.open") != before
        assert fingerprint.code("dhs.survey.sky") == fingerprint.code("dhs.survey.sky")
    assert fingerprint.code("dhs.survey.hosts.open") == before


def test_steps_name_modules_and_rooms_that_exist():
    written = [f for step in STEPS.values() for f in step.makes]
    assert len(written) == len(set(written)), "each file has one writer"
    for name, step in STEPS.items():
        assert fingerprint.is_module(step.module), name
        assert set(step.upstream) <= set(STEPS)


def test_every_notebook_is_in_the_table_of_contents_and_reads_figures_only():
    root = project_root()
    assert sorted(p.stem for p in (root / "notebooks").glob("*.py")) == sorted(NOTEBOOKS)
    listed = pages(root)
    assert {f"notebooks/{n}" for n in NOTEBOOKS} <= set(listed)
    for page in listed:
        assert (root / f"{page}.md").is_file() or (root / f"{page}.py").is_file(), page


def test_a_notebook_depends_on_the_figures_it_draws_however_it_imports_them(tmp_path, monkeypatch):
    for line in ("import dhs.figures as figures", "from dhs import figures", "from dhs.figures import rates"):
        assert "dhs.figures" in fingerprint.imported(f"import dhs\n{line}\n")
    assert fingerprint.imported("import dhs\ndhs.Run('x')\n") == frozenset()
    script = tmp_path / "nb.py"
    script.write_text("import dhs.figures\n")
    before, real = _code_of(script), fingerprint._file
    changed = tmp_path / "style.py"
    changed.write_text(real("dhs.figures.style").read_text() + "# changed\n")
    monkeypatch.setattr(fingerprint, "_file", lambda m: changed if m == "dhs.figures.style" else real(m))
    assert _code_of(script) != before
