"""``dhs book``: notebooks executed with papermill, pages built with Jupyter Book, nothing done twice.

jupytext percent script -> papermill with parameters -> executed notebook -> prose and numbers filled in
(`dhs.book.prose`) -> Jupyter Book with execution off. A changed sentence or caption executes nothing again. The book's
own execution cache would not notice a change in ``dhs``.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from dhs import fingerprint, storage
from dhs.book import dress, prose
from dhs.book.pages import faults
from dhs.book.project import pages, project_root
from dhs.book.run import Run
from dhs.book.values import values
from dhs.config import digest, load_profile
from dhs.errors import DhsError, UsageError

NOTEBOOKS = {  # each notebook and the steps it runs
    "01_injection": ("inject",),
    "02_preflight": ("inject", "preflight"),
    "03_training": ("inject", "train"),
    "04_evaluation": ("inject", "preflight", "train", "evaluate"),
    "05_real_lenses": ("evaluate", "real_lenses"),
    "06_signoff": ("preflight", "real_lenses", "signoff"),
    "07_scale": (),
    "08_survey": ("inject", "evaluate"),
    "09_appendix": ("inject", "evaluate"),
    "10_leaks": (),
}

EXTRAS = {"03_training": ("ablation/ablation.parquet",)}  # shown where the user has made them

BINDER = "https://mybinder.org/v2/gh/darkhaloscope/dark-halo-scope/main?urlpath=lab/tree/notebooks"
REPRODUCE = """```{{dropdown}} Reproduce this page
The page is `notebooks/{name}.py`. In a clone of the project `dhs book` makes it with all others, and
`jupytext --to ipynb -o - notebooks/{name}.py | papermill - out.ipynb` makes it alone. It can be
[opened on Binder]({binder}/{name}.py) as well.
```"""

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
LARGE_RUN = 50_000  # pairs; from here on hours and disk are projected before the start


def execute(source: Path, target: Path, parameters: Mapping[str, object], cwd: Path) -> None:
    """Execute a percent script with parameters in a folder; write the executed notebook whole or not at all.

    Raises
    ------
    UsageError
        A parameter the notebook does not have.
    DhsError
        The notebook failed; the message holds the cell's error.
    """
    import jupytext
    import papermill

    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        plain, done = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        jupytext.write(notebook, plain)
        known = papermill.inspect_notebook(str(plain))
        unknown = sorted(set(parameters) - set(known))
        if unknown:
            raise UsageError(f"{source.name}: no parameter {', '.join(unknown)}. It has {', '.join(sorted(known))}.")
        logging.getLogger("papermill").setLevel(logging.ERROR)
        # figures are pictures in the page, whatever backend the user's shell asks for
        shell_backend = os.environ.get("MPLBACKEND")
        os.environ["MPLBACKEND"] = INLINE_BACKEND
        try:
            papermill.execute_notebook(
                str(plain),
                str(done),
                parameters=dict(parameters),
                kernel_name="python3",
                progress_bar=False,
                cwd=str(cwd),
                extra_arguments=["--IPKernelApp.log_level=40"],
            )
        except papermill.exceptions.PapermillExecutionError as error:
            raise DhsError(f"{source.name}, cell {error.cell_index}: {error.ename}: {error.evalue}") from None
        finally:
            os.environ.pop("MPLBACKEND")
            if shell_backend is not None:
                os.environ["MPLBACKEND"] = shell_backend
        result = jupytext.read(done)
        _strip(result)
        storage.write_bytes(target, jupytext.writes(result, fmt="ipynb").encode())


def _strip(notebook) -> None:
    """Remove what differs between two runs of the same notebook, and hide the injected parameters."""
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags or "parameters" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
        if "outputs" in cell:  # progress bars and library chatter are not results
            cell["outputs"] = [o for o in cell["outputs"] if o.get("name") != "stderr"]


def _cells_of(notebook: Path) -> str:
    """Hash of a script's code, without its prose and captions."""
    import jupytext

    cells = [c for c in jupytext.read(notebook).cells if c.cell_type == "code"]
    return digest([[c.source, sorted(c.metadata.get("tags", []))] for c in cells])


def _code_of(notebook: Path) -> str:
    """Hash of the ``dhs`` modules a notebook imports beside the verbs."""
    return fingerprint.code(*fingerprint.imported(notebook.read_text()))


def build(profile: str = "demo", *, runs: Path | None = None, seed: int | None = None) -> Path:
    """Execute the notebooks whose dependencies changed and build the book.

    Parameters
    ----------
    profile : str
        ``smoke``, ``demo``, ``paper`` or a YAML file.
    runs : Path, optional
        Where runs are kept; ``runs/`` in the project by default.
    seed : int, optional

    Returns
    -------
    Path
        ``index.html`` of the built book.

    Raises
    ------
    DhsError
        A notebook failed, or the strict build of the pages did.
    """
    root = project_root()
    config = load_profile(profile, seed=seed)
    run = Run((runs or root / "runs").resolve() / config.name, config)
    inside = run.path.is_relative_to(root)
    run_dir = run.path.relative_to(root) if inside else run.path
    if config.injection.n_pairs >= LARGE_RUN:
        print(_projection(run.path.parent), flush=True)
    source, html = run.path / "book", root / "_build" / config.name
    for name, steps in NOTEBOOKS.items():
        script, target = root / "notebooks" / f"{name}.py", run.path / "executed" / f"{name}.ipynb"
        parameters = {"run_dir": str(run_dir), "profile": profile, "seed": config.seed}
        depends = {"script": _cells_of(script), "figures": _code_of(script), "parameters": parameters}
        depends["benchmarks"] = fingerprint.files(*sorted((root / "benchmarks" / "results").glob("*.json")))
        depends["steps"] = {step: run.depends(step) for step in steps}
        depends["extras"] = fingerprint.files(*(run.path / extra for extra in EXTRAS.get(name, ())))
        record = run.path / ".steps" / f"notebook-{name}.json"
        if target.exists() and record.exists() and storage.read_json(record) == depends:
            print(f"{name}: unchanged", flush=True)
            continue
        started = time.time()
        print(f"{name}: executing ...", end=" ", flush=True)
        execute(script, target, parameters, root)
        depends["steps"] = {step: run.depends(step) for step in steps}
        storage.write_json(record, depends)
        _timed(run.path, name, time.time() - started)
        print(f"{time.time() - started:.0f} s", flush=True)
    _build_pages(root, run, source, html)
    missing = [p for p in pages(root) if not (html / "_build" / "html" / f"{p}.html").is_file()]
    if missing:
        raise DhsError(f"the book was built without {', '.join(missing)}. See the messages above.")
    index = html / "_build" / "html" / "index.html"
    print(f"book: {index}")
    return index


def _projection(runs: Path) -> str:
    """What a large run will cost, said before it starts, from any finished run on this machine."""
    from dhs.validation.signoff.artefacts import projected

    for folder in sorted(p.parent for p in runs.glob("*/signoff.json")):
        if folder.name != "smoke":
            return projected(folder)
    return "hours and disk not projected: no finished run here to scale from; run the demo profile first"


def _build_pages(root: Path, run: Run, source: Path, html: Path) -> None:
    """Copy the prose beside the executed notebooks and run Jupyter Book strictly, unless nothing changed."""
    inputs = [root / "_config.yml", root / "_toc.yml", *sorted(p for p in (root / "book").rglob("*") if p.is_file())]
    inputs += [root / "notebooks" / f"{name}.py" for name in NOTEBOOKS]
    notebooks = [run.path / "executed" / f"{name}.ipynb" for name in NOTEBOOKS]
    known = values(run.path)
    depends = {"pages": fingerprint.files(*inputs, *notebooks), "api": fingerprint.code("dhs.cli", *_rooms())}
    depends["numbers"] = digest(known)
    record = run.path / ".steps" / "pages.json"
    index = html / "_build" / "html" / "index.html"
    if index.exists() and record.exists() and storage.read_json(record) == depends:
        print("pages: unchanged")
        return
    for folder in (source / "book", source / "notebooks", source / "downloads", html):
        _remove(folder, record)
    _write_sources(root, run, source, known)
    storage.write_json(record, {})
    start = "from jupyter_book.cli.main import main; main()"  # the module itself does nothing when run with -m
    command = [sys.executable, "-c", start, "build", str(source), "--path-output", str(html)]
    print("pages: building ...", flush=True)
    done = subprocess.run(
        [*command, "-n", "-W", "--keep-going", "-q"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
    )
    if done.returncode != 0 or not index.exists():
        raise DhsError(f"jupyter-book failed ({done.returncode}):\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
    wrong = faults.of_pages(html / "_build" / "html")
    if wrong:
        raise DhsError("the pages read badly:\n" + "\n".join(wrong[:40]))
    storage.write_json(record, depends)


def _write_sources(root: Path, run: Run, source: Path, known: prose.Values) -> None:
    """What Sphinx reads: pages and executed notebooks with their prose and numbers, beside what they need."""
    import jupytext
    import nbformat

    shutil.copytree(root / "book", source / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, source / name)
    notebooks = {}
    for name in NOTEBOOKS:
        executed = nbformat.read(run.path / "executed" / f"{name}.ipynb", as_version=4)
        notebooks[name] = prose.merged(jupytext.read(root / "notebooks" / f"{name}.py"), executed)
    absent = prose.absent_figures(notebooks.values())
    static, index = source / "book" / "_static", source / "book" / "index.md"
    index.write_text(dress.front_page(index.read_text(), dress.front_pictures(_evaluation(run), static)))
    for path in sorted((source / "book").glob("*.md")):
        path.write_text(prose.fill(path.read_text(), known, absent, whole=True))
    made_in = known["story"]["hash"]
    for name, notebook in notebooks.items():
        page = nbformat.from_dict(dress.dressed(prose.page(notebook, known, absent), name, made_in, static))
        files = dress.downloads(name, run.path, source)
        again = "\n\n".join(filter(None, (files, REPRODUCE.format(name=name, binder=BINDER))))
        page.cells.append(nbformat.v4.new_markdown_cell(again))
        for number, cell in enumerate(page.cells):
            cell["id"] = f"cell-{number:03d}"
        storage.write_bytes(source / "notebooks" / f"{name}.ipynb", nbformat.writes(page).encode())


def _timed(run: Path, name: str, seconds: float) -> None:
    """Note what a notebook took."""
    path = run / dress.TIMES
    known = storage.read_json(path) if path.is_file() else {}
    storage.write_json(path, known | {name: round(seconds, 1)})


def _evaluation(run: Run) -> dict:
    """What the network's evaluation found; nothing where there is none."""
    path = run.path / "evaluation.json"
    return storage.read_json(path) if path.is_file() else {}


def _remove(folder: Path, record: Path) -> None:
    """Remove what an earlier build left in a folder; one that no build is on record for is refused."""
    if folder.exists() and not record.exists():
        raise DhsError(f"{folder}: would be replaced by the book's pages, but no build made it. Move it away.")
    shutil.rmtree(folder, ignore_errors=True)


def _rooms() -> list[str]:
    """Every module of the package, for the API pages."""
    base = fingerprint.PACKAGE
    names = [p.relative_to(base.parent).with_suffix("") for p in sorted(base.rglob("*.py"))]
    return [
        ".".join(n.parts).removesuffix(".__init__") for n in names if n.parts[-1] != "__main__" and len(n.parts) > 2
    ]
