"""What every source catalogue hands back, and the set that injection draws from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dhs.errors import DhsError, Refusal
from dhs.injection.sources.source import Source


class Unusable(Exception):
    """A stamp that makes no source: the code and message of its refusal."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Loaded:
    """What a reader of one kind hands back: usable sources, refused inputs, and how many fell to which cut."""

    sources: list[Source]
    refusals: list[Refusal]
    cuts: dict[str, int]


@dataclass(frozen=True)
class SourceSet:
    """Source galaxies in a stable order.

    Attributes
    ----------
    kind : {"xdf", "real_galaxy", "mock"}
    spec : str
        ``xdf``, ``mock``, or the catalogue's folder and file name (without the path to them, which differs
        between machines).
    mock : bool
        Whether the galaxies are made up.
    limits : list of str
        What is assumed or lost, in plain sentences, to be printed where results show.
    refusals : list of Refusal
        Galaxies that could not be used, one by one; those outside the cuts are only counted.
    cuts : dict of str to int
        Galaxies in the catalogue or picture (key ``catalogue``), then how many fell to each cut or refusal code.
    """

    kind: str
    spec: str
    mock: bool
    limits: list[str]
    refusals: list[Refusal]
    cuts: dict[str, int]
    _sources: list[Source] = field(repr=False)

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def ids(self) -> list[str]:
        """Unique identifiers, in the order in which `read` counts."""
        return [s.source_id for s in self._sources]

    @cached_property
    def redshifts(self) -> np.ndarray:
        """(n,) in the order in which `read` counts."""
        return np.array([s.z for s in self._sources], dtype=float)

    def read(self, i: int) -> Source:
        """The i-th source, 0 <= i < len."""
        if not 0 <= i < len(self._sources):
            raise DhsError(f"source {i} of {self.spec}: there are {len(self._sources)}, counted from 0")
        return self._sources[i]
