"""A user's stamps in one geometry: the same planes and side, float32; what does not fit is refused by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.imaging import Imaging
from dhs.validation.audit.measure import scale_of
from dhs.validation.audit.readers.base import Found, Raw, refused

MAX_BANDS, MIN_SIDE, MAX_SIDE = 8, 16, 512
LOOKED_AT = 192  # stamps that decide on planes, side and scale
MAX_MISSING = 0.5


def planes(raw: Raw, name: str) -> np.ndarray:
    """(bands, y, x) of a stamp, whichever axis holds the bands.

    Raises
    ------
    InputRefused
        No numbers, or not 2 or 3 axes.
    """
    pixels = np.asarray(raw.pixels)
    if pixels.dtype.kind not in "fiub":
        raise refused(name, name, f"pixels of type {pixels.dtype}", "Store real numbers.", "wrong_type")
    pixels = pixels.squeeze() if pixels.ndim > 3 else pixels
    if pixels.ndim == 2:
        return pixels[None]
    if pixels.ndim == 3 and pixels.shape[0] <= MAX_BANDS:
        return pixels
    if pixels.ndim == 3 and pixels.shape[2] <= MAX_BANDS:
        return pixels.transpose(2, 0, 1)
    message = f"shape {pixels.shape}: neither (bands, y, x) nor (y, x, bands) with at most {MAX_BANDS} bands"
    raise refused(name, name, message, "Store one plane a band, channel first.", "wrong_shape")


@dataclass
class Stamps:
    """The set as it is measured.

    Attributes
    ----------
    found : Found
    imaging : Imaging
    bands : tuple of str
    shape : (int, int)
    scale : ndarray, (bands,)
    notes : list of str
    """

    found: Found
    imaging: Imaging
    bands: tuple[str, ...] = ()
    shape: tuple[int, int] = (0, 0)
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))
    notes: list[str] = field(default_factory=list)

    def read(self, places) -> tuple[np.ndarray, np.ndarray, list[dict], list[Refusal]]:
        """Some stamps: the places that could be used, (k, bands, y, x) float32, what is said of each, refusals."""
        keep, images, about, refusals = [], [], [], []
        for place, raw in zip(places, self.found.read(places)):
            name = self.found.names[int(place)]
            try:
                if isinstance(raw, InputRefused):
                    raise raw
                cube = planes(raw, name)
                about_one = {**raw.about, "shape": "x".join(map(str, cube.shape))}
                images.append(self._fitted(cube, name))
            except InputRefused as error:
                refusals.append(error.refusal)
                continue
            keep.append(int(place))
            about.append(about_one)
        stack = np.stack(images) if images else np.empty((0, len(self.bands), *self.shape), np.float32)
        return np.array(keep, int), stack, about, refusals

    def _fitted(self, cube: np.ndarray, name: str) -> np.ndarray:
        if cube.shape[0] != len(self.bands):
            message = f"{cube.shape[0]} planes where the set has {len(self.bands)}"
            raise refused(name, name, message, "Give stamps of the same bands, or sets apart.", "other_bands")
        if any(have < want for have, want in zip(cube.shape[1:], self.shape)):
            message = f"{cube.shape[2]} x {cube.shape[1]} pixels where the set has {self.shape[1]} x {self.shape[0]}"
            raise refused(name, name, message, "Cut all stamps to one side.", "too_small")
        y, x = (have // 2 - want // 2 for have, want in zip(cube.shape[1:], self.shape))
        out = np.ascontiguousarray(cube[:, y : y + self.shape[0], x : x + self.shape[1]], dtype=np.float32)
        missing = 1 - np.isfinite(out).mean()
        if missing > MAX_MISSING:
            message = f"{missing:.0%} of its pixels are NaN or infinite"
            raise refused(name, name, message, "Leave it out, or fill what is missing.", "missing_pixels")
        return np.where(np.isfinite(out), out, np.nan)


def fitted(found: Found, imaging: Imaging, bands: tuple[str, ...] | None = None) -> Stamps:
    """A set with the planes and side of most of its stamps, and its scale.

    Raises
    ------
    DhsError
        None of the stamps looked at can be read, or they are smaller than `MIN_SIDE`.
    """
    some = np.unique(np.linspace(0, len(found) - 1, min(len(found), LOOKED_AT)).astype(int)) if len(found) else []
    shapes: Counter = Counter()
    first: str | None = None
    for place in some:
        raw = found.read([place])[0]
        try:
            if isinstance(raw, InputRefused):
                raise raw
            shapes[planes(raw, found.names[place]).shape] += 1
        except InputRefused as error:
            first = first or str(error)
    if not shapes:
        raise DhsError(f"none of {len(some)} stamps can be read. First: {first or 'the set is empty'}")
    n_bands = Counter()
    for shape, n in shapes.items():
        n_bands[shape[0]] += n
    planes_of_most = n_bands.most_common(1)[0][0]
    sides = Counter({s[1:]: n for s, n in shapes.items() if s[0] == planes_of_most})
    side = _common(sides)
    if min(side) < MIN_SIDE:
        raise DhsError(f"stamps of {side[1]} x {side[0]} pixels: at least {MIN_SIDE} a side are needed.")
    out = Stamps(found, imaging, _names(found, imaging, bands, planes_of_most), side)
    if len(sides) > 1:
        listed = ", ".join(f"{x} x {y} ({n})" for (y, x), n in sides.most_common(4))
        out.notes.append(f"sides differ ({listed} of those looked at); larger ones are cut to {side[1]} x {side[0]}")
    if found.bands == () and bands is None and planes_of_most != len(imaging.bands):
        out.notes.append(
            f"{planes_of_most} planes, survey {imaging.name} has {len(imaging.bands)} bands: name them with --bands"
        )
    _, images, _, _ = out.read(some)
    out.scale = scale_of(images) if len(images) else np.ones(planes_of_most)
    return out


def _common(sides: Counter) -> tuple[int, int]:
    """The commonest side, or a smaller one that a tenth of the stamps have: larger stamps can be cut, smaller can't."""
    total = sum(sides.values())
    most = sides.most_common(1)[0][0]
    smaller = [s for s, n in sides.items() if n >= 0.1 * total and s[0] <= most[0] and s[1] <= most[1]]
    y, x = min(smaller, key=lambda s: s[0] * s[1])
    return min(y, MAX_SIDE), min(x, MAX_SIDE)


def _names(found: Found, imaging: Imaging, bands, n: int) -> tuple[str, ...]:
    if bands and len(bands) != n:
        raise DhsError(f"--bands names {len(bands)} ({', '.join(bands)}), the stamps have {n} planes.")
    for names in (bands, found.bands, imaging.bands):
        if names and len(names) == n:
            return tuple(names)
    return ("R", "G", "B") if found.display and n == 3 else tuple(f"plane {i + 1}" for i in range(n))
