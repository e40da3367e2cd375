"""Checkpoints: written whole or not at all, read without running any code in them.

A checkpoint holds plain tensors, numbers and strings: ``model``, the ``train`` configuration, ``seed``,
``content_hash`` of the data it was trained on, ``weights`` (random or pretrained), ``epoch``, ``history``; and in
``last.pt`` the state of optimiser and schedule, and the ``progress`` of an unfinished epoch: the step it stands at
and its monitors so far. No generator state is needed: every random stream of a run is keyed by (seed, epoch, step).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from pydantic import ValidationError

from dhs import storage
from dhs.config import TrainConfig
from dhs.errors import DhsError

FORMAT = 2


def save(path: str | Path, state: dict) -> None:
    """Write a checkpoint atomically, to a local path or a URI."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    storage.write_bytes(path, buffer.getvalue())


def load(path: str | Path) -> dict:
    """Read a checkpoint to the CPU.

    Raises
    ------
    DhsError
        No such file, not a checkpoint of dhs, or one of another format.
    """
    data = storage.read_bytes(path)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, key and runtime errors alike for a bad file
        raise DhsError(
            f"{path}: not a readable checkpoint ({type(error).__name__}). Train again, or give another file."
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT or "model" not in state:
        raise DhsError(f"{path}: not a checkpoint that `dhs train` of this version wrote. Train again.")
    return state


def config_of(state: dict, path: str | Path) -> TrainConfig:
    """The training configuration of a checkpoint, validated."""
    try:
        return TrainConfig.model_validate(state["train"])
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
        raise DhsError(
            f"{path}: its training configuration is not one of this version ({said}). Train again."
        ) from None


def split(path: str | Path, folder: str | Path, limit: int = 15_000_000) -> dict:
    """Cut a file into pieces of at most ``limit`` bytes, ``<folder>/<name>.0``, ``.1``, ...

    Returns
    -------
    dict
        ``pieces`` (names), ``sha256`` and ``bytes`` of the whole: what `join` takes.
    """
    data, name = storage.read_bytes(path), str(path).rsplit("/", 1)[-1]
    pieces = []
    for number, start in enumerate(range(0, len(data), limit)):
        pieces.append(f"{name}.{number}")
        storage.write_bytes(storage.join(folder, pieces[-1]), data[start : start + limit])
    return {"pieces": pieces, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def join(folder: str | Path, pieces: dict, path: str | Path) -> None:
    """Put the pieces that `split` made together again.

    Raises
    ------
    DhsError
        A piece is missing, or the whole is not what was cut.
    """
    data = b"".join(storage.read_bytes(storage.join(folder, name)) for name in pieces["pieces"])
    if (found := hashlib.sha256(data).hexdigest()) != pieces["sha256"]:
        raise DhsError(f"{folder}: its pieces give SHA-256 {found[:12]}, not {pieces['sha256'][:12]}. Copy them again.")
    storage.write_bytes(path, data)
