"""``dhs lenses``: one catalogue of several published searches."""

from __future__ import annotations

from typing import Annotated

import typer

import dhs
from dhs.cli.app import app


@app.command()
def lenses(
    tables: Annotated[list[str], typer.Argument(help="SEARCH=FILE, e.g. desi-pairwise=pairs.csv sugohi=list.csv.")],
    out: Annotated[str, typer.Option(help="CSV for `dhs fetch hosts` and `dhs real-lenses --catalogue`.")],
    weight: Annotated[str | None, typer.Option(help="Column with the probability that a candidate is a lens.")] = None,
):
    """Join tables of lens searches, with how each lens was found and which are none."""
    told = dhs.lens_catalogue(tables, out, weight=weight)
    typer.echo(
        f"{out}: {told['n']} systems: {told['imaging']} found in images, {told['spectroscopy']} by spectra alone, "
        f"{told['non_lenses']} shown to be none; {told['merged']} rows merged"
    )
