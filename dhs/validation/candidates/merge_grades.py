"""``dhs grades merge``: several graders of one contact sheet, their agreement, their consensus, what it is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.artefacts.grades import AgreementReport
from dhs.errors import DhsError, UsageError
from dhs.stats.agreement import ordinal_alpha
from dhs.stats.clusters import Metric, missing
from dhs.stats.metrics import clopper_pearson
from dhs.validation.candidates.blind import CANDIDATE, KNOWN_LENS, PLANTED_CONTROL, PLANTED_LENS
from dhs.validation.candidates.contact_sheet import GRADES
from dhs.validation.candidates.grade_files import Grades, read_grades, read_rows, write_rows

CONSENSUS = "consensus"
SPLIT = 2  # grades this far apart: look again
NO_KEY = "no key was given: lenses and non-lenses are planted by `dhs grades sheet --planted`"
TAKEN = ("id", "sheet", "grade", "letter", "grader", "graded_at", "note")


def merge_grades(files: Sequence[str | Path], out: str | Path, *, key: str | Path | None = None) -> AgreementReport:
    """Merge graders' CSV files.

    Parameters
    ----------
    files : sequence of str or Path
        One a grader, as the sheet saves them.
    out : str or Path
        Folder for ``grades.csv`` and ``grades.parquet``, a row a candidate, best first, and ``agreement.json``. Of a
        blind sheet these name the candidates, and what was planted is not among them.
    key : str or Path, optional
        ``NAME.key.csv`` of a blind sheet.

    Returns
    -------
    AgreementReport

    Raises
    ------
    UsageError
        No file, or two of one grader.
    DhsError
        Files of two sheets, or a key of another.
    InputRefused
        A row that can't be used; its file and line are named.
    """
    graded = [read_grades(path) for path in files]
    if not graded:
        raise UsageError("give one CSV of grades or more")
    names = [g.grader for g in graded]
    if twice := sorted({n for n in names if names.count(n) > 1} | ({CONSENSUS} & set(names))):
        raise UsageError(f"grader {twice[0]!r} occurs twice or is no name. Write another one into the column grader.")
    sheet = _one_sheet(graded)
    told = _key(key, sheet, graded) if key is not None else {}
    ids = list(dict.fromkeys(name for g in graded for name in g.ids))
    grades = np.array([[g.grade.get(name, np.nan) for g in graded] for name in ids], dtype=float).reshape(len(ids), -1)
    rows = [_row(name, values, graded, told.get(name)) for name, values in zip(ids, grades)]
    candidates = [row for row in rows if row["what"] in ("", CANDIDATE)]
    real = np.array([row["what"] in ("", CANDIDATE) for row in rows], dtype=bool)
    candidates.sort(key=lambda row: (-row["mean"] if math.isfinite(row["mean"]) else math.inf, -row["n_grades"]))
    report = AgreementReport.made(
        {
            "sheet": sheet,
            "n": len(ids),
            "graders": [_grader(g) for g in graded],
            "alpha": ordinal_alpha(grades[real], len(GRADES)),
            "n_split": sum(row["look_again"] for row in candidates),
            "calibration": _calibration(rows, names, grades) if told else {"status": "skip", "reason": NO_KEY},
        }
    )
    shown = [{k: v for k, v in row.items() if told or k != "what"} for row in candidates]
    if shown:
        write_rows(storage.join(out, "grades.csv"), [{k: _text(v) for k, v in row.items()} for row in shown])
        storage.write_table(storage.join(out, "grades.parquet"), pa.Table.from_pylist(shown))
    report.write(out)
    return report


def _one_sheet(graded: list[Grades]) -> str:
    sheets = {g.sheet: g.file for g in graded if g.sheet}
    if len(sheets) > 1:
        (_, first), (_, second), *_ = sheets.items()
        raise DhsError(f"{first} and {second} are grades of two sheets. Merge those of one sheet at a time.")
    if not sheets and len({frozenset(g.ids) for g in graded}) > 1:
        raise DhsError(f"{graded[1].file}: other candidates than in {graded[0].file}. Merge grades of one sheet.")
    return next(iter(sheets), "")


def _key(path, sheet: str, graded: list[Grades]) -> dict[str, dict[str, str]]:
    rows = {row["id"]: row for _, row in read_rows(path, ("sheet", "id", "what", "name"))}
    if any(row["sheet"] != sheet for row in rows.values()) or not set(graded[0].ids) <= set(rows):
        raise DhsError(f"{path}: the key of another sheet than {graded[0].file}. Give the one written beside it.")
    return rows


def _row(name: str, values: np.ndarray, graded: list[Grades], told: dict | None) -> dict:
    given = values[np.isfinite(values)]
    median = float(np.median(given)) if given.size else math.nan
    grade = math.ceil(median - 0.5) if given.size else None  # halves go down: doubt is doubt
    row = {"id": told["name"] if told else name, "what": told["what"] if told else ""}
    row |= {CONSENSUS: grade, "letter": "" if grade is None else GRADES[grade][0]}
    row |= {"mean": float(given.mean()) if given.size else math.nan, "n_grades": int(given.size)}
    row |= {"look_again": bool(given.size and np.ptp(given) >= SPLIT)}
    row |= {f"grade_{g.grader}": None if np.isnan(v) else int(v) for g, v in zip(graded, values)}
    row["notes"] = "; ".join(f"{g.grader}: {g.note[name]}" for g in graded if name in g.note)
    source = told or next(g.columns[name] for g in graded if name in g.columns)
    own = {k: v for k, v in source.items() if k not in (*TAKEN, "what", "name") and k not in row}
    return row | own


def _grader(graded: Grades) -> dict:
    counts = np.bincount(list(graded.grade.values()) or [0], minlength=len(GRADES))
    return {"name": graded.grader, "n": len(graded.grade), "counts": counts if graded.grade else counts * 0}


def _text(value):
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


def _share(grades: np.ndarray, least: int) -> Metric:
    given = grades[np.isfinite(grades)]
    k, n = int((given >= least).sum()), len(given)
    return Metric(k / n, *clopper_pearson(k, n), n, None, None, ("exact",)) if n else missing("none_graded")


def _ratio(lenses: Metric, controls: Metric) -> Metric:
    """Likelihood ratio, with half a case added on each side, and its interval from the logarithm's variance."""
    if lenses.value is None or controls.value is None:
        return missing("none_graded")
    a, b = (round(m.value * m.n) + 0.5 for m in (lenses, controls))
    n, m = lenses.n + 1, controls.n + 1
    error = math.sqrt(max(1 / a - 1 / n + 1 / b - 1 / m, 0.0))
    value = (a / n) / (b / m)
    low, high = value * math.exp(-1.96 * error), value * math.exp(1.96 * error)
    return Metric(value, low, high, lenses.n + controls.n, None, None, ("half_a_case_added",))


def _calibration(rows: list[dict], names: list[str], grades: np.ndarray) -> dict:
    """What each grade is worth: how often planted lenses, known ones and planted non-lenses get it or better."""
    what = np.array([row["what"] for row in rows])
    if not (what == PLANTED_LENS).any() and not (what == KNOWN_LENS).any():
        return {"status": "skip", "reason": "nothing was planted in this sheet"}
    agreed = np.array([np.nan if row[CONSENSUS] is None else row[CONSENSUS] for row in rows])
    worth = []
    for name, column in (*zip(names, grades.T), (CONSENSUS, agreed)):
        for least in sorted(GRADES)[1:]:
            lenses, known, controls = (
                _share(column[what == k], least) for k in (PLANTED_LENS, KNOWN_LENS, PLANTED_CONTROL)
            )
            entry = {"grader": name, "grade": least, "letter": GRADES[least][0], "planted_lenses": lenses}
            entry |= {"known_lenses": known, "planted_controls": controls, "likelihood_ratio": _ratio(lenses, controls)}
            worth.append(entry)
    return {"status": "measured", "worth": worth}
