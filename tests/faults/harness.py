"""What is planted, and what the software says of it: shared by the tests, the recorder and the book's page."""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import yaml

from dhs.errors import DhsError, InputRefused, Refusal, UsageError
from dhs.validation.preflight.gate import Gate

TABLE = Path(__file__).with_name("catalogue.yaml")
PLANTS = {}


@dataclass(frozen=True)
class Said:
    """What came out of a plant: a quarantine code or ``error``, ``usage``; the reason; the remedy."""

    code: str
    says: str
    remedy: str


def plant(name):
    """Register a function of an empty folder that plants one fault and lets the software meet it.

    It raises what the software raises, or returns the refusal that the software quarantined.
    """

    def register(function):
        assert name not in PLANTS, name
        PLANTS[name] = function
        return function

    return register


def plants(prefix, cases, act):
    """One plant a case: ``act(folder, case)``."""
    for name, case in cases.items():
        plant(f"{prefix}-{name}")(lambda folder, case=case: act(folder, case))


def table() -> list[dict]:
    """The catalogue: one row a fault."""
    return [
        {"stage": group["stage"], **fault} for group in yaml.safe_load(TABLE.read_text()) for fault in group["faults"]
    ]


def meet(name: str, folder: Path) -> Said:
    """Plant a fault and note what is said, without the folder's own path."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            found = PLANTS[name](folder)
        except InputRefused as error:
            found = error.refusal
        except UsageError as error:
            return _sentences("usage", str(error), folder)
        except DhsError as error:
            return _sentences("error", str(error), folder)
    if isinstance(found, Gate):
        assert found.status != "pass", found
        return Said(f"{found.name}: {found.status}", _plain(found.explanation, folder), _plain(found.remedy, folder))
    if isinstance(found, Refusal):
        return Said(found.code, _plain(found.message, folder), _plain(found.remedy, folder))
    raise AssertionError(f"{name}: taken without a word: {found!r}")


def _plain(text: str, folder: Path) -> str:
    text = text.replace(f"{folder}/", "").replace(str(folder), "the folder")
    text = re.sub(r"process \d+ on [^ )]+", "process PID on HOST", text)
    text = re.sub(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "since TIME", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return re.sub(r" \((When|AWS Error) .*\)$", "", " ".join(text.split()))


def _sentences(code: str, text: str, folder: Path) -> Said:
    """A message cut into what was wrong and what to do: its first sentence and the rest."""
    text = _plain(text, folder)
    cut = re.search(r"(?<=[^.])\. (?=[A-Z])", text)
    if cut:
        return Said(code, text[: cut.start()], text[cut.end() :])
    head, _, tail = text.rpartition(": ")
    if head and re.match(r"(did you|choose|give|known|count|unset|install|there are|which)", tail, re.IGNORECASE):
        return Said(code, head, tail)
    return Said(code, text, "")


def buffer(hdus) -> bytes:
    stream = io.BytesIO()
    hdus.writeto(stream)
    return stream.getvalue()
