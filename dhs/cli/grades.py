"""``dhs grades``: contact sheets to grade, and graders to merge."""

from __future__ import annotations

from typing import Annotated

import typer

import dhs
from dhs.cli.app import app

grades = typer.Typer(help="Contact sheets to grade, open or blind, and several graders merged.", no_args_is_help=True)
app.add_typer(grades, name="grades")


@grades.command()
def sheet(
    candidates: Annotated[str, typer.Argument(help="Parquet file of `dhs score`.")],
    out: Annotated[str, typer.Option(help="HTML file; a blind sheet's key is written beside it.")],
    cutouts: Annotated[str | None, typer.Option(help="The folder of cutouts that was scored.")] = None,
    data_path: Annotated[str | None, typer.Option(help="The pairs data set that was scored.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Candidates on the sheet.")] = 1000,
    lenses: Annotated[str | None, typer.Option(help="Cutouts of known lenses to hold candidates against.")] = None,
    planted: Annotated[str | None, typer.Option(help="Pairs to plant arcs and controls of: a blind sheet.")] = None,
    n_planted: Annotated[int, typer.Option(min=1, help="Of each kind, at most.")] = 40,
    blind: Annotated[int | None, typer.Option(min=0, help="A seed: random order, no name, score or place.")] = None,
):
    """Make a contact sheet of a table of candidates."""
    options = {"cutouts": cutouts, "data_path": data_path, "n": n, "lenses": lenses, "planted": planted}
    for path in dhs.grade_sheet(candidates, out, n_planted=n_planted, seed=blind, **options):
        typer.echo(path)


@grades.command()
def merge(
    files: Annotated[list[str], typer.Argument(help="CSV files that sheets saved, one a grader.")],
    out: Annotated[str, typer.Option(help="Folder for grades.csv, grades.parquet and agreement.json.")],
    key: Annotated[str | None, typer.Option(help="NAME.key.csv of a blind sheet.")] = None,
):
    """Merge graders: agreement, consensus, and what their grades are worth."""
    typer.echo(str(dhs.merge_grades(files, out, key=key)))
