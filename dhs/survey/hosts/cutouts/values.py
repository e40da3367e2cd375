"""Values of a cutout as numbers and words, and the refusal of one that is neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dhs.errors import InputRefused, Refusal


class Door:
    """Refuses one cutout, with its name in every message."""

    def __init__(self, name: str, row: int = -1):
        self.name, self.row, self.host_id = name, row, Path(name).stem

    def refuse(self, code: str, message: str, remedy: str) -> InputRefused:
        return InputRefused(Refusal(self.host_id, self.name, self.row, "host", code, message, remedy))


def scalar(door: Door, raw: dict, key: str) -> float:
    """One finite number, or a refusal that names the key."""
    pixels = "pix" in key
    try:
        value = float(np.asarray(raw[key]).reshape(()))
    except (KeyError, TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        what = "missing_pixel_scale" if pixels else "missing_position"
        remedy = "arcsec a pixel" if pixels else "decimal degrees, or leave ra and dec out where nobody knows them"
        raise door.refuse(what, f"no usable number under `{key}`", f"Store `{key}`: {remedy}.")
    return value


def angle(door: Door, raw: dict, key: str) -> float:
    """One finite number, NaN where there is none or no key: a position that nobody knows is not made up."""
    value = raw.get(key)
    unknown = value is None or (value.dtype.kind == "f" and np.isnan(value).all())
    return float("nan") if unknown else scalar(door, raw, key)


def member(door: Door, archive, key: str) -> np.ndarray:
    try:
        return archive[key]
    except ValueError as error:
        remedy = f"Store `{key}` as numbers or text, or leave it out."
        raise door.refuse("bad_value", f"`{key}` is no array of numbers or text ({error})", remedy) from None


def band_names(value) -> list[str]:
    """Names of bands from ``["g", "r", "z"]``, bytes, or one word ``grz``."""
    names = [b.decode("ascii", "replace") if isinstance(b, bytes) else str(b) for b in np.atleast_1d(value).tolist()]
    return list(names[0]) if len(names) == 1 else [n.strip() for n in names]


def number(door: Door, value, key: str) -> float:
    """One number, NaN where there is none, or a refusal that names the key."""
    if value is None:
        return float("nan")
    array = np.asarray(value)
    if array.size == 1:
        try:
            return float(array.reshape(())[()])
        except (TypeError, ValueError):
            pass
    said = str(array.tolist())[:60]
    raise door.refuse("bad_value", f"`{key}` is {said}, not one number", f"Give one number, or leave `{key}` out.")


def text(door: Door, value, key: str) -> str | None:
    """One word, None where a value stands for nothing, or a refusal that names the key."""
    array = np.asarray("" if value is None else value)
    if array.size != 1:
        message = f"`{key}` is {str(array.tolist())[:60]}, not one word"
        raise door.refuse("bad_value", message, f"Give one, or leave `{key}` out.")
    word = array.reshape(()).item()
    word = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    return None if word.strip().lower() in ("", "nan", "none", "null") else word


def per_band(door: Door, value, key: str, low: float, high: float) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(str(value))
    more = ", the FWHM in arcsec, not the standard deviation or pixels" if key == "psf_fwhm" else ""
    if array.shape != (3,) or not ((array >= low) & (array <= high)).all():
        raise door.refuse(
            f"bad_{key}",
            f"`{key}` is {array.tolist()}",
            f"Give three numbers (g, r, z) from {low:g} to {high:g}{more}.",
        )
    return array
