"""Options that belong together, as records; a verb takes them as plain keywords."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import TypeVar

from dhs.errors import UsageError

_Record = TypeVar("_Record")


def take(record: type[_Record], options: dict) -> _Record:
    """A record of the options that are its fields, which are taken out of ``options``; None means the default."""
    named = {f.name: options.pop(f.name) for f in fields(record) if f.name in options}
    return record(**{k: v for k, v in named.items() if v is not None})


def refuse_others(verb: str, options: dict, *records: type) -> None:
    """Refuse the options that no record took.

    Raises
    ------
    UsageError
        With the nearest option there is.
    """
    known = [f.name for record in records for f in fields(record)]
    for name in options:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
        raise UsageError(f"{verb}: no option {name!r}: {hint}")
