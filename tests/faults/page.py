"""The book's page of faults, made of the catalogue: ``python tests/faults/page.py``."""

from pathlib import Path

from harness import table

PAGE = Path(__file__).parents[2] / "book" / "what_goes_wrong.md"
START = """# What can go wrong with a lens-finder data set, and what the software says when it does

Every row below is a fault that a test plants, with the words that come out of it; the page is made of the tests' own
catalogue (`tests/faults`), so it says what the software says today. `error` and `usage` end a command with one line
and the exit code 3 or 2. Other words in the second column are codes: of a row in `quarantine.parquet` where one input
of many is bad, which is then left out and named, or of a gate of `dhs preflight`. A single bad input stops the
command with the same words.

There are {n} faults on this page. What is not here is not known to be caught.
"""


def page(rows: list[dict]) -> str:
    """Markdown of the page: a table for each stage."""
    out = [START.format(n=len(rows))]
    for stage in dict.fromkeys(row["stage"] for row in rows):
        out.append(f"\n## {stage}\n\n| planted | code | what is said | what to do |\n|---|---|---|---|\n")
        for row in (r for r in rows if r["stage"] == stage):
            cells = (row["planted"], f"`{row['code']}`", _cell(row["says"]), _cell(row["remedy"]))
            out.append(f"| {' | '.join(cells)} |\n")
    return "".join(out)


def _cell(text: str) -> str:
    """Text that is no markup, in one cell of a table."""
    for mark in "\\`*_{}[]<>#|$~^":
        text = (
            text.replace(mark, f"\\{mark}")
            if mark not in "<>"
            else text.replace(mark, {"<": "&lt;", ">": "&gt;"}[mark])
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(page(table()))
