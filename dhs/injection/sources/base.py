"""What a source catalogue is, what it hands back, and the set that injection draws from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dhs.config import SourcesConfig
from dhs.errors import DhsError, Refusal
from dhs.injection.sources.source import Source
from dhs.registry import Registry


class Unusable(Exception):
    """A stamp that makes no source: the code and message of its refusal."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Loaded:
    """What a catalogue hands back.

    Attributes
    ----------
    sources : list of Source
        Usable ones, in a stable order.
    refusals : list of Refusal
        Galaxies that could not be used, one by one.
    cuts : dict of str to int
        Galaxies looked at (key ``catalogue``), then how many fell to each cut or refusal code.
    spec : str
        What was opened, for the manifest, without the path to it, which differs between machines; by default the name.
    """

    sources: list[Source]
    refusals: list[Refusal]
    cuts: dict[str, int]
    spec: str = ""


@dataclass(frozen=True)
class Catalogue:
    """A registered source catalogue: the contract.

    Attributes
    ----------
    name : str
    load : callable
        ``load(config, seed) -> Loaded``, the same in every process; ``config.spec`` says which file. Galaxies are cut
        by ``config.z_min``, ``mag_max`` and ``min_snr``; a catalogue larger than ``config.max_n`` is sampled by the
        seed. What cannot be a source is a `Refusal`, never an exception.
    limits : tuple of str
        What is assumed or lost, in plain sentences, printed where results show.
    mock : bool
        The galaxies are made up.
    claims : callable
        ``claims(spec) -> bool``: whether ``config.spec`` means this catalogue.
    """

    name: str
    load: Callable[[SourcesConfig, int], Loaded]
    limits: tuple[str, ...]
    mock: bool
    claims: Callable[[str], bool]


catalogues = Registry("source catalogue", "dhs.sources", "dhs.injection.sources")


def source_catalogue(
    name: str, *, limits: tuple[str, ...], mock: bool = False, claims: Callable[[str], bool] | None = None
) -> Callable:
    """Register a function ``load(config, seed)`` as a catalogue; see `Catalogue`.

    In a module of `dhs.injection.sources`, or in one that another package names under the entry-point group
    ``dhs.sources``. Without ``claims`` it is meant where ``sources.spec`` is its name.
    """

    def register(load: Callable) -> Callable:
        catalogues.add(name, Catalogue(name, load, tuple(limits), mock, claims or (lambda spec: spec == name)))
        return load

    return register


@dataclass(frozen=True)
class SourceSet:
    """Source galaxies in a stable order.

    Attributes
    ----------
    kind : str
        Name of the catalogue: ``xdf``, ``real_galaxy``, ``mock``, or another package's.
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
