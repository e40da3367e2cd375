"""The application that verbs register with, and what an error becomes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import dhs
from dhs.errors import DhsError, UsageError

app = typer.Typer(
    name="dhs",
    help="Dark Halo Scope: a paired, interventional audit of lens-finder training sets.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dhs {dhs.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
):
    """Dark Halo Scope: a paired, interventional audit of lens-finder training sets."""


def main() -> None:
    """Entry point: every expected error is one line and an exit code."""
    try:
        if "" in sys.argv[1:]:
            raise UsageError("an empty argument: is a variable of the shell unset? Leave the option out, or name it.")
        app()
    except DhsError as error:
        typer.echo(f"dhs: {error}", err=True)
        sys.exit(error.exit_code)
    except FileNotFoundError as error:
        typer.echo(f"dhs: {Path(error.filename or '').as_posix()}: no such file. Check the path.", err=True)
        sys.exit(DhsError.exit_code)
