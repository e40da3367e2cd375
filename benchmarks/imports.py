"""What starting costs: seconds of CPU of fresh processes that import, least of several, warm files.

    python benchmarks/imports.py --json benchmarks/results/imports.json

The interpreter's own start is taken off. ``preflight`` is all that ``dhs preflight`` imports before it measures its
first pair. CPU and not wall seconds, so that a busy machine counts less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys

REPEATS = 5
CASES = {
    "python": ("-c", "pass"),
    "import_dhs": ("-c", "import dhs"),
    "help": ("-m", "dhs", "--help"),
    "preflight": ("-c", "import dhs.validation.preflight.preflight"),
}


def seconds(arguments: tuple[str, ...]) -> float:
    """Least CPU time of a fresh interpreter with these arguments."""
    found = []
    for _ in range(REPEATS):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        found.append(after.children_user - before.children_user + after.children_system - before.children_system)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write the numbers to")
    file = parser.parse_args().json
    measured = {name: seconds(case) for name, case in CASES.items()}
    out = {name: round(value - (0 if name == "python" else measured["python"]), 3) for name, value in measured.items()}
    out["versions"] = {"python": platform.python_version()}
    text = json.dumps({"seconds": out, "repeats": REPEATS}, indent=1)
    if file:
        with open(file, "w") as stream:
            stream.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
