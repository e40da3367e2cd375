"""``dhs export`` and ``dhs card``: what others read."""

from __future__ import annotations

from typing import Annotated

import typer

import dhs
from dhs.cli.app import app
from dhs.cli.options import DataPath

export = typer.Typer(help="Pairs and their lenses in formats that others read.", no_args_is_help=True)
app.add_typer(export, name="export")
Out = Annotated[str, typer.Option(help="A new or empty folder.")]
Licence = Annotated[str | None, typer.Option(help="SPDX name, e.g. CC-BY-4.0; else the card says none is stated.")]


@export.command()
def pairs(
    data_path: DataPath,
    out: Out,
    format: Annotated[str, typer.Option(help="hdf5, webdataset or hf (parquet of Hugging Face datasets).")] = "hdf5",
    split: Annotated[list[str] | None, typer.Option(help="train and val by default; test needs a plan.")] = None,
    name: Annotated[str, typer.Option(help="Of the data set, on its card.")] = "Dark Halo Scope pairs",
    licence: Licence = None,
):
    """Write labelled stamps with a datasheet, Croissant metadata and checksums."""
    splits = tuple(split or ("train", "val"))
    for path in dhs.export_pairs(data_path, out, format=format, splits=splits, name=name, licence=licence):
        typer.echo(path)


@export.command()
def truth(
    data_path: DataPath,
    out: Out,
    format: Annotated[str, typer.Option(help="coolest.")] = "coolest",
    split: Annotated[str, typer.Option(help="train, val, or test, which needs a plan.")] = "val",
    n: Annotated[int | None, typer.Option("--n", min=1, help="At most so many lenses; all by default.")] = None,
):
    """Write the lens of each pair in the COOLEST standard, one JSON each, and its r stamp as FITS."""
    paths = dhs.export_truth(data_path, out, format=format, split=split, n=n)
    typer.echo(f"{out}: {len(paths) // 2} lenses")


@app.command()
def card(
    run: Annotated[str, typer.Option(help="The run's folder, with evaluation.json and signoff.json.")],
    out: Annotated[str | None, typer.Option(help="MODEL_CARD.md in the run's folder by default.")] = None,
    name: Annotated[str, typer.Option(help="Of the network.")] = "",
    licence: Licence = None,
):
    """Write a model card from the evaluation and the sign-off."""
    typer.echo(dhs.model_card(run, out, name=name, licence=licence))
