"""How a number reads in a sentence: as many digits as its interval leaves, and nothing where it was not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dhs.artefacts.parts import Skip, metric_text

COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def known(value) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def number(value, digits: int = 2) -> str:
    """A number in prose: counts with commas, others with fixed digits, small ones with two that count."""
    if not known(value):
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    value = float(value)
    if value and abs(value) < 0.5 * 10**-digits:
        digits = 1 - math.floor(math.log10(abs(value)))
        if digits > 6:
            return f"{value:.1g}"
    return unsigned_zero(f"{value:,.{digits}f}")


def unsigned_zero(text: str) -> str:
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def digits_of(low: float, high: float) -> int:
    """Decimals worth writing for an interval: none far below its width, two at least."""
    width = abs(high - low)
    return 2 if width <= 0 else min(max(-math.floor(math.log10(width)), 2), 6)


def interval(metric) -> tuple[float, float] | None:
    """Both bounds of a metric; None where either is missing."""
    bounds = (None, None) if metric is None else (metric.get("ci_low"), metric.get("ci_high"))
    return bounds if all(known(b) for b in bounds) else None


def short(metric, sign: bool = False) -> str:
    """``0.91 (0.89 to 0.93)``; empty where it was not measured."""
    if metric is None or isinstance(metric, Skip) or not known(metric.get("value")):
        return ""
    bounds = interval(metric)
    if bounds is None:
        return f"{_plain(metric['value'], 2, sign)} (no interval)"
    digits = digits_of(*bounds)
    value, low, high = (_plain(x, digits, sign) for x in (metric["value"], *bounds))
    return f"{value} ({low} to {high})"


def _plain(value: float, digits: int, sign: bool) -> str:
    text = unsigned_zero(f"{value:.{digits}f}")
    return "+" + text if sign and value > 0 and float(text) else text


def percent(metric, of: float = 100) -> str:
    """``13 % (11 to 15)``."""
    if metric is None or isinstance(metric, Skip) or not known(metric.get("value")):
        return ""
    bounds = interval(metric)
    digits = 1 if metric["value"] * of < 1 else 0
    said = f"{_plain(metric['value'] * of, digits, False)} %"
    return said + (f" ({' to '.join(_plain(b * of, digits, False) for b in bounds)})" if bounds else " (no interval)")


def full(metric) -> str:
    """Value, interval and the sizes behind it, for a table of evidence."""
    said = metric_text(metric)
    return "" if said.startswith("not measured") else said


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """``three gates``."""
    return f"{COUNTED[n] if n < len(COUNTED) else f'{n:,}'} {noun if n == 1 else plural or noun + 's'}"


def listed(entries: Sequence[str], last: str = "and") -> str:
    """``a, b and c``; empty of none."""
    entries = [str(e).replace("_", " ") for e in entries]
    return f" {last} ".join(filter(None, [", ".join(entries[:-1]), *entries[-1:]]))


def field(section, name: str, default=None):
    """A field of a section; the default where the section was skipped or is not there."""
    missing = section is None or isinstance(section, Skip)
    if missing or (isinstance(section, Mapping) and section.get("status") == "skip"):
        return default
    found = section.get(name, default)
    return default if found is None else found


def one_in(share: float | None) -> str:
    """``one in 128``, of a share; two digits that count where it is small."""
    if not known(share) or share <= 0:
        return ""
    n = 1 / share
    return f"one in {round(n, 1 - math.floor(math.log10(n))):,.0f}" if n >= 10 else f"one in {n:.0f}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
