"""A file of a run: read, checked by its model, written, shown."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ValidationError

from dhs import storage
from dhs.errors import DhsError

VERSION = "artefact_version"
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Report(Mapping):
    """What a step's JSON file holds. Reads like a dict; ``content`` is the same, typed.

    Attributes
    ----------
    data : dict
        JSON types only.
    """

    data: dict

    file: ClassVar[str]
    model: ClassVar[type[BaseModel]]
    version: ClassVar[int] = 1

    def __getitem__(self, key: str):
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def content(self):
        """The report as its model.

        Raises
        ------
        DhsError
            A key that others rely on is missing or of another type.
        """
        return checked(self.model, self.data, self.file)

    @staticmethod
    def table(rows: Sequence[Mapping], columns: Mapping[str, str]) -> str:
        """Rows as an HTML table, the columns by key and heading; nothing without rows."""
        return html_table([{head: row.get(key) for key, head in columns.items()} for row in rows]) if rows else ""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the report of a folder, or a file.

        Raises
        ------
        DhsError
            No such file, or one of another version.
        """
        text = str(path)
        file = text if text.endswith(".json") else storage.join(text, cls.file)
        return cls(read(file, cls.version))

    @classmethod
    def made(cls, data: Mapping) -> Self:
        """A report of results, with its version, checked by its model."""
        report = cls(jsonable(data) | {VERSION: cls.version})
        report.content  # noqa: B018
        return report

    def write(self, folder: str | Path) -> None:
        storage.write_json(storage.join(folder, self.file), self.data)

    def lines(self) -> Iterable[tuple[str, str]]:
        """What is shown: a name, which may be empty, and a text each."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" if name else text for name, text in self.lines())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in self.lines())
        return f"<table>{rows}</table>"


def html_table(rows: Sequence[Mapping]) -> str:
    """An HTML table, every cell escaped."""
    import pandas as pd

    return pd.DataFrame(rows).to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.4g}")


def checked(model: type[_Model], data: Mapping, where: str) -> _Model:
    """Data as a model; one line that names the first key that does not fit where it can't be."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        first = next((e for e in found if not any("Skip" in str(k) or "Not" in str(k) for k in e["loc"])), found[0])
        key = ".".join(str(k) for k in first["loc"] if not str(k)[:1].isupper())  # without the names of models
        raise DhsError(
            f"{where}: {key}: {first['msg'].lower()}, so it was written by another version of dhs. "
            "Run the step that writes it again."
        ) from None


def read(path: str | Path, version: int = 1) -> dict:
    """The JSON of an artefact as it stands, which is of this version.

    Raises
    ------
    DhsError
        No such file, no JSON, or another version.
    """
    data = storage.read_json(path)
    refuse_other_version(data, version, str(path))
    return data


def refuse_other_version(data: Mapping, version: int, where: str) -> None:
    """Refuse an artefact of another version; one without a number is of the first."""
    found = data.get(VERSION, 1)
    if found != version:
        raise DhsError(
            f"{where}: {VERSION} {found}, this dhs reads {version}. Run the step that writes it again, or install the "
            "version that wrote it."
        )


def jsonable(value):
    """Plain JSON types: arrays as lists, NaN and infinities as None, metrics as dicts."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return [jsonable(v) for v in sorted(value)]
    if hasattr(value, "tolist"):  # arrays, and numpy's scalars
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
