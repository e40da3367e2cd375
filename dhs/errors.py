"""What can go wrong with an input, said so that the reader knows what to do next."""

from __future__ import annotations

from dataclasses import asdict, dataclass

EXIT_OK, EXIT_INTERNAL, EXIT_USAGE, EXIT_REFUSED, EXIT_CONDITIONAL, EXIT_NO_GO = 0, 1, 2, 3, 10, 20


class DhsError(Exception):
    """A run that can't go on. The message says what was wrong and what to do; the CLI exits with 3."""

    exit_code = EXIT_REFUSED


class UsageError(DhsError):
    """An option, parameter or configuration key that does not exist or does not fit; the CLI exits with 2."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Refusal:
    """One INPUT that was refused: a row of ``pairs/quarantine.parquet``.

    Attributes
    ----------
    id : str
        Identifier of the input (host, source or row), as far as it is known.
    file : str
        File it was read from.
    row : int
        Row or HDU within the file; -1 where a file holds one input.
    stage : str
        ``host``, ``source``, ``catalogue`` or ``row``.
    code : str
        Short machine-readable reason, e.g. ``missing_band``.
    message, remedy : str
        What was wrong, and what to do about it.
    """

    id: str
    file: str
    row: int
    stage: str
    code: str
    message: str
    remedy: str

    def as_dict(self) -> dict:
        return asdict(self)


class InputRefused(DhsError):
    """Raised by a reader for one bad input; a collection of inputs quarantines it, a single one stops."""

    def __init__(self, refusal: Refusal):
        self.refusal = refusal
        where = refusal.file if refusal.row < 0 else f"{refusal.file}, row {refusal.row}"
        super().__init__(f"{where}: {refusal.message} ({refusal.code}). {refusal.remedy}")

    def __reduce__(self):  # survives the way back from a worker process
        return (InputRefused, (self.refusal,))
