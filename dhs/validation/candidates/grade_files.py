"""CSV files of grades, as contact sheets save them: written so that no spreadsheet runs them, read with every doubt."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dhs import storage
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.validation.candidates.contact_sheet import GRADES

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
MEANING = {str(g): g for g in GRADES} | {letter: g for g, (letter, _) in GRADES.items()}
MEANING |= {letter.lower(): g for g, (letter, _) in GRADES.items()} | {word: g for g, (_, word) in GRADES.items()}
"""What may stand in a column ``grade``."""


@dataclass(frozen=True)
class Grades:
    """One grader's file.

    Attributes
    ----------
    file, grader : str
    sheet : str
        Digest of the contact sheet; empty where the file names none.
    grade : dict of str to int
        0 to 3 by id, of the candidates that were graded.
    note : dict of str to str
    ids : tuple of str
        All candidates of the file, in its order.
    columns : dict of str to dict of str to str
        The other columns, by id.
    """

    file: str
    grader: str
    sheet: str
    grade: dict[str, int]
    note: dict[str, str]
    ids: tuple[str, ...]
    columns: dict[str, dict[str, str]]


def guarded(value) -> str:
    """A cell's text; what a spreadsheet would take for a formula gets an apostrophe."""
    text = "" if value is None else str(value)
    formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return "'" + text if formula or text.startswith("'") else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if text.startswith("'") and text[1:2] in ("'", *_FORMULA) and len(text) > 1 else text


def write_rows(path: str | Path, rows: Iterable[Mapping]) -> None:
    """Rows of one set of keys as a CSV."""
    rows, text = list(rows), io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: guarded(v) for k, v in row.items()} for row in rows)
    storage.write_bytes(path, text.getvalue().encode())


def _refuse(path, line: int, code: str, message: str, remedy: str) -> InputRefused:
    return InputRefused(Refusal("", Path(str(path)).name, line, "row", code, message, remedy))


def read_rows(path: str | Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV with the line each ends on; every cell is text.

    Raises
    ------
    DhsError
        Not a text table, or a needed column is missing or stands there twice.
    InputRefused
        A row with other fields than the header, an open quote, a control character.
    """
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DhsError(f"{path}: not text in UTF-8 (byte {error.start}). Give the CSV that the sheet saved.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, header = [], None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            line = reader.line_num
            raise _refuse(path, line, "not_csv", str(error), "Close the quote, or double it inside a field.") from None
        if not cells:
            continue
        for cell in cells:
            if _CONTROL.search(cell):
                message = f"{cell[:40]!r} holds a control character"
                raise _refuse(path, reader.line_num, "control_character", message, "Take it out of the field.")
        if header is None:
            header = cells
            continue
        if len(cells) != len(header):
            message = f"{len(cells)} fields, the header has {len(header)}"
            raise _refuse(path, reader.line_num, "fields", message, "Quote fields that hold commas.")
        rows.append((reader.line_num, {k: unguarded(v) for k, v in zip(header, cells)}))
    header = header or []
    if absent := [name for name in needed if name not in header]:
        raise DhsError(f"{path}: no column {absent}; it has {header[:12]}. Give the CSV that the sheet saved.")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DhsError(f"{path}: columns {twice} stand there twice. Give each column a name of its own.")
    return rows


def read_grades(path: str | Path) -> Grades:
    """One grader's CSV.

    Raises
    ------
    InputRefused
        An id is empty or occurs twice, a grade is none of 0 to 3 and X, C, B, A, or rows are of two graders or of two
        sheets: the line is named.
    DhsError
        Not a table of grades.
    """
    grade, note, columns, own = {}, {}, {}, {"grader": "", "sheet": ""}
    for line, row in read_rows(path, ("id", "grade")):
        name, mark = row["id"], row["grade"].strip()
        if not name:
            raise _refuse(path, line, "no_id", "the id is empty", "Give the CSV that the sheet saved.")
        if name in columns:
            raise _refuse(path, line, "duplicate_id", f"id {name!r} occurs twice", "Keep one row a candidate.")
        if mark and mark not in MEANING:
            message, remedy = (
                f"grade {mark[:40]!r} is none there is",
                "Write 0, 1, 2, 3 or X, C, B, A, or leave it empty.",
            )
            raise _refuse(path, line, "unknown_grade", message, remedy)
        for what in own:
            said = row.get(what, "").strip()
            if said and own[what] and said != own[what]:
                message = f"{what} {said!r}, above it is {own[what]!r}"
                raise _refuse(path, line, f"two_{what}s", message, f"Give one file a {what}.")
            own[what] = own[what] or said
        if mark:
            grade[name] = MEANING[mark]
        if row.get("note"):
            note[name] = row["note"]
        columns[name] = row
    if not columns:
        raise DhsError(f"{path}: holds no row. Give the CSV that the sheet saved.")
    grader = own["grader"] or re.sub(r"^grades-", "", Path(str(path)).stem)
    return Grades(str(path), grader, own["sheet"], grade, note, tuple(columns), columns)
