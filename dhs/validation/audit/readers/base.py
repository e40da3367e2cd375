"""What a reader gives: `Found`, stamps that are read when they are needed, and columns that say something of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dhs.errors import InputRefused, Refusal

STAGE = "host"


@dataclass(frozen=True)
class Layout:
    """Where things are in a user's set; None is found by its usual name.

    Attributes
    ----------
    label, split, group, ra, dec, file, image : str, optional
        Names of columns (of the table, arrays of the archive, datasets of the HDF5 file).
    positive : str, optional
        Which class is the lens.
    bands : str or tuple, optional
        Of the planes, in their order: ``grz``, or names with commas.
    """

    label: str | None = None
    split: str | None = None
    group: str | None = None
    ra: str | None = None
    dec: str | None = None
    file: str | None = None
    image: str | None = None
    positive: str | None = None
    bands: str | tuple[str, ...] | None = None

    @property
    def band_names(self) -> tuple[str, ...] | None:
        if self.bands is None or not isinstance(self.bands, str):
            return self.bands
        return tuple(b.strip() for b in self.bands.split(",")) if "," in self.bands else tuple(self.bands)


USUAL = {
    "label": ("label", "labels", "y", "target", "targets", "class", "classes", "is_lens", "islens", "lens", "truth"),
    "split": ("split", "subset", "set", "partition", "region_split"),
    "group": ("group", "host_id", "host", "object_id", "objid", "galaxy_id", "targetid", "lens_id", "parent"),
    "ra": ("ra", "ra_deg", "raj2000", "right_ascension"),
    "dec": ("dec", "dec_deg", "dej2000", "decj2000", "declination"),
    "file": ("file", "filename", "file_name", "path", "cutout", "stamp", "image", "name", "id"),
    "image": ("image", "images", "x", "data", "stamp", "stamps", "cutout", "cutouts", "image_nmgy", "img", "arr_0"),
}
CONDITIONS = ("seeing", "psf", "fwhm", "depth", "sigma", "exptime", "exposure", "airmass", "ebv", "mjd", "nobs", "sky")


def named(columns: Sequence[str], role: str, layout: Layout) -> str | None:
    """The column of a role: the one that was named, else the first with a usual name.

    Raises
    ------
    InputRefused
        The named one is not there.
    """
    wanted = getattr(layout, role)
    if wanted is not None:
        if wanted in columns:
            return wanted
        message = f"no column {wanted!r} for the {role}; there are {', '.join(columns)[:200]}"
        raise refused("set", "", message, f"Name it with --{role}.", "missing_column")
    low = {c.lower(): c for c in reversed(list(columns))}
    return next((low[name] for name in USUAL[role] if name in low), None)


@dataclass(frozen=True)
class Raw:
    """One stamp as it lies on disk.

    Attributes
    ----------
    pixels : ndarray
        2 or 3 axes.
    about : dict
        ``dtype``, ``bytes``, and under ``cards`` what its header says.
    """

    pixels: np.ndarray
    about: dict = field(default_factory=dict)


@dataclass
class Found:
    """A set of stamps.

    Attributes
    ----------
    kind : str
        In words.
    names : list of str
    columns : dict of str to ndarray
        ``label`` as it was written, ``split``, ``group``, ``ra``, ``dec`` where known, and others.
    read : callable
        Places to `Raw` stamps; for one that can't be read, its `InputRefused`.
    display : bool
        Pictures, not fluxes.
    bands : tuple of str
        As the set itself names them.
    refusals : list of Refusal
    notes : list of str
    """

    kind: str
    names: list[str]
    columns: dict[str, np.ndarray]
    read: Callable[[Sequence[int]], list[Raw | InputRefused]]
    display: bool = False
    bands: tuple[str, ...] = ()
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def refused(name: str, file: str, message: str, remedy: str, code: str, row: int = -1) -> InputRefused:
    return InputRefused(Refusal(name, file, row, STAGE, code, message, remedy))


def take_roles(table: dict[str, np.ndarray], layout: Layout, n: int) -> dict[str, np.ndarray]:
    """Columns by their role, the others under their own names; those of another length are left out."""
    fitting = {k: v for k, v in table.items() if len(v) == n}
    out, used = {}, set()
    for role in ("label", "split", "group", "ra", "dec"):
        if (name := named(list(fitting), role, layout)) is not None:
            out[role] = np.asarray(fitting[name])
            used.add(name)
    return out | {k: np.asarray(v) for k, v in fitting.items() if k not in used and k not in out}
