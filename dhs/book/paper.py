r"""``make paper``: the manuscript of paper A, with the numbers and figures of a run and of the stored experiments.

``paper/manuscript.tex`` cites numbers as pages do, ``{number}`kind.key```. A paragraph, or a row of a table, that cites
what was not measured is left out, and so is a figure that was not drawn, with the sentence that ends in
``(Fig.~\ref{...}).`` Where the machine has a TeX the PDF is made as well.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dhs import storage
from dhs.book.project import project_root
from dhs.book.prose import NUMBER, Values
from dhs.book.results import stored_benchmark
from dhs.book.values import values
from dhs.errors import DhsError, UsageError

PICTURE = re.compile(r"\\includegraphics(?:\[[^\]]*\])?\{([\w-]+)\}")
LABEL = re.compile(r"\\label\{(fig:[\w-]+)\}")
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {c: "\\" + c for c in "&%$#_{}"} | {"<": "$<$", ">": "$>$", "±": r"$\pm$", "θ": r"$\theta$"}


def latex(markdown: str) -> str:
    """A sentence of a page as TeX: special characters escaped, bold, italics and code kept, roles and links dropped."""
    plain = re.sub(r" ?\(\{numref\}`[^`]*`\)|\{cite:\w\}`[^`]*`", "", markdown)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    text = "".join(SPECIAL.get(c, c) for c in plain)
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    text = re.sub(r"(?<!\w)\*(.+?)\*(?!\w)", r"\\emph{\1}", text)
    return re.sub(r"`([^`]*)`", r"\\texttt{\1}", text)


def filled(template: str, known: Values, drawn: set[str]) -> str:
    """The manuscript with its numbers, without what was not measured or drawn.

    Raises
    ------
    KeyError
        A number that no kind makes.
    """
    absent = set()
    kept = []
    for block in re.split(r"\n{2,}", template):
        names = set(PICTURE.findall(block))
        if names - drawn:
            absent |= set(LABEL.findall(block))
            continue
        lines = block.split("\n")
        if r"\midrule" in block:
            lines = [line for line in lines if _measured(line, known)]
        elif not _measured(block, known):
            continue
        kept.append(NUMBER.sub(lambda m: latex(known[m[1]][m[2]]), "\n".join(lines)))
    text = "\n\n".join(kept)
    for label in absent:
        text = re.sub(rf"[^.]*\(Fig\.~\\ref\{{{re.escape(label)}\}}\)\.", "", text)
    return text


def _measured(text: str, known: Values) -> bool:
    return all(known[kind][key] or may_lack for kind, key, may_lack in NUMBER.findall(text))


def pictures(run: Path, folder: Path) -> set[str]:
    """Draw the figures as PDF; names of those that could be drawn."""
    from dhs import figures

    leaks, found = stored_benchmark("leaks"), _json(run / "evaluation.json")
    report = _json(run / "preflight.json")
    made = {
        "onsets": figures.leak_onsets(leaks),
        "curves": figures.leak_curves(leaks),
        "scatter": figures.leak_scatter(leaks),
        "failing": figures.failing_gates(stored_benchmark("planted_gates")),
    }
    if found and report:
        made["front"] = figures.front(found)
    drawn = {name: figure for name, figure in made.items() if hasattr(figure, "savefig")}
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    return set(drawn)


def _json(path: Path) -> dict:
    return storage.read_json(path) if path.is_file() else {}


def about(run: Path, known: Values) -> Mapping[str, str]:
    """What the run is, said where its numbers are: a rehearsal is called one."""
    manifest = _json(run / "pairs" / "manifest.json")
    if not manifest:
        return {
            "run": "",
            "no_run": "No run was at hand when this manuscript was made: it tells the stored experiments alone.",
        }
    counts = sum(manifest["counts"].values())
    kind = "a rehearsal" if counts < 1000 else "a demonstration" if counts < 50_000 else "a full run"
    hosts = "mock" if manifest["hosts"]["mock"] else "real"
    said = f"Numbers of the set and of the network are those of {kind}: {counts:,} pairs on {hosts} galaxies"
    return {"run": f"{said}, data set {str(manifest['content_hash'])[:12]}.", "no_run": ""}


def write(run: Path, out: Path) -> Path:
    """Write manuscript, figures and bibliography.

    Parameters
    ----------
    run : Path
        A finished run of `dhs book`; what it lacks is left out.
    out : Path

    Returns
    -------
    Path
        The manuscript.
    """
    root = project_root()
    out.mkdir(parents=True, exist_ok=True)
    known = dict(values(run))
    known["paper"] = dict(about(run, known))
    text = filled((root / "paper" / "manuscript.tex").read_text(), known, pictures(run, out))
    shutil.copyfile(root / "book" / "references.bib", out / "references.bib")
    target = out / "manuscript.tex"
    storage.write_bytes(target, text.encode())
    return target


def typeset(manuscript: Path) -> Path:
    """The PDF of a manuscript.

    Raises
    ------
    UsageError
        There is no TeX here.
    DhsError
        TeX failed, or left a reference or a citation open.
    """
    if not shutil.which("pdflatex") or not shutil.which("bibtex"):
        raise UsageError(
            f"{manuscript} is written. A PDF needs a TeX: install pdflatex with natbib, or compile it elsewhere."
        )
    name, folder = manuscript.stem, manuscript.parent
    pdflatex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    for command in (pdflatex, ["bibtex", name], pdflatex, pdflatex):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            raise DhsError(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}")
    open_ends = re.findall(r"Warning: (?:Citation|Reference) .*undefined.*", done.stdout)
    if open_ends:
        raise DhsError("\n".join(open_ends))
    return manuscript.with_suffix(".pdf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run, e.g. runs/demo")
    parser.add_argument("--out", type=Path, default=Path("_build/paper"))
    args = parser.parse_args()
    try:
        print(typeset(write(args.run, args.out)))
    except UsageError as error:
        print(error, file=sys.stderr)
    except DhsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
