"""Options that several verbs take."""

from __future__ import annotations

from typing import Annotated

import typer

from dhs.errors import UsageError


def _stored_profile(value: str):
    """A profile that lies in an object store; names and local files are left to `dhs.config.load_profile`."""
    if "://" not in value:
        return value
    from dhs import storage
    from dhs.config import parse_profile

    return parse_profile(read_yaml(storage.read_bytes(value), value), value)


def read_yaml(text: bytes | str, where: str):
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: not YAML: {error}") from None


Profile = Annotated[str, typer.Option(callback=_stored_profile, help="smoke, demo, paper, or a YAML file.")]
DataPath = Annotated[
    str, typer.Option(help="A pairs data set: the folder with split=*, or the earlier train/ val/ test/.")
]


def _boxed(value: str) -> str:
    """A checkpoint, or the package's own where ``finder`` is asked for."""
    if value != "finder":
        return value
    from dhs.models.finder.box import path

    return path()


Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        "--model",
        callback=_boxed,
        help="A checkpoint of `dhs train`; finder, which comes with dhs; or another network: TorchScript, .pt2, ONNX, "
        "torchvision:ARCH@WEIGHTS, timm:ARCH@WEIGHTS, package.module:callable; several with commas are averaged. "
        "MODEL.yaml beside it says what it expects.",
    ),
]
Engine = Annotated[str, typer.Option(help="processes, serial or spark.")]
SurveyNegatives = Annotated[
    str | None,
    typer.Option(help="Real galaxies without a lens, as cutouts; else mock ones, under the hosts' sky where real."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="CPUs by default; changes no byte.")]
Master = Annotated[str | None, typer.Option(help="Spark master, e.g. yarn; local[workers] by default.")]


def scored_on(profile, folder: str | None):
    """A profile whose survey negatives are the galaxies of a folder."""
    if folder is None:
        return profile
    from dhs.config import load_profile

    return load_profile(profile, evaluate__survey_negatives=folder)
