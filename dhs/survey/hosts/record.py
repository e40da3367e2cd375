"""What a set of hosts is: `HostRef`, the `HostSet` protocol, and `HostReader`, the contract of a way to read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from dhs.config import HostsConfig
from dhs.errors import Refusal
from dhs.registry import Registry
from dhs.survey.hosts.stamp import HostStamp


@dataclass(frozen=True)
class HostRef:
    """One host of a set, without its pixels.

    Attributes
    ----------
    host_id, brickname : str
    ra, dec, brick_ra, brick_dec : float
        Degrees.
    file : str
        Cutout it is in; the catalogue it was selected from where it is cut from coadds.
    row : int
        Of the catalogue it was selected from, or of the file that holds several; -1 where a file holds one host.
    z_phot : float
        Photometric redshift of the catalogue; NaN where it has none.
    known_lens : bool
        A published lens or candidate that was kept on request.
    """

    host_id: str
    ra: float
    dec: float
    brickname: str
    brick_ra: float
    brick_dec: float
    file: str = ""
    row: int = -1
    z_phot: float = float("nan")
    known_lens: bool = False


class ById:
    """Stamps by identifier, for a class with ``refs`` and ``read``."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of each host in ``refs``."""
        return {ref.host_id: i for i, ref in enumerate(self.refs)}

    def __contains__(self, host_id: str) -> bool:
        return host_id in self.index

    def by_id(self, host_id: str) -> HostStamp:
        """The stamp of a host; KeyError where the set has none of that name."""
        return self.read(self.index[host_id])


class HostSet(Protocol):
    """Hosts, mock or real. ``read(i)`` gives the stamp of ``refs[i]``, the same one each time.

    ``selection`` says how they were chosen from a survey catalogue, and how they compare with real deflectors.
    """

    kind: str
    spec: str
    mock: bool
    refs: list[HostRef]
    refusals: list[Refusal]
    known_lens_catalogue: str | None
    selection: dict | None

    def __len__(self) -> int: ...

    def read(self, i: int) -> HostStamp: ...

    def by_id(self, host_id: str) -> HostStamp: ...


@dataclass(frozen=True)
class Found:
    """What a reader found on opening.

    Attributes
    ----------
    refs : list of HostRef
    refusals : list of Refusal
        What cannot be a host, with file, row and remedy.
    mock : bool
        The hosts are made up: their positions mean nothing and are not matched with known lenses.
    selection : dict or None
        How hosts were chosen from a catalogue, cut by cut.
    kind : str
        For the manifest; by default the reader's name.
    made : bool
        Made from the seed, so found again at no cost: workers need no index, and no two are alike.
    """

    refs: list[HostRef]
    refusals: list[Refusal] = field(default_factory=list)
    mock: bool = False
    selection: dict | None = None
    kind: str = ""
    made: bool = False


class HostReader(Protocol):
    """One way in which hosts are stored: the contract.

    Register a class with ``@host_reader("name")`` in a module of `dhs.survey.hosts.readers`, or in one that another
    package names under the entry-point group ``dhs.hosts``. `open_hosts` takes the first reader that claims a
    configuration; packages are asked before dhs's own. Known lenses and duplicates are removed by `open_hosts`.
    Pixels go through `dhs.survey.hosts.cutouts.stamp_of`, the one door with its checks.

    Instances are made in every worker and may hold open files between reads; they are not sent between processes.

    Parameters
    ----------
    spec : str
        ``HostsConfig.spec``.
    seed : int
        Of the run; for made-up hosts.
    """

    def __init__(self, spec: str, seed: int): ...

    @staticmethod
    def claims(config: HostsConfig) -> bool:
        """Whether this reader is meant; cheap, and never true of what it can't open."""
        ...

    def find(self, config: HostsConfig) -> Found:
        """All hosts, in a stable order; `DhsError` where there is nothing to find."""
        ...

    def read(self, ref: HostRef) -> HostStamp:
        """The stamp of one host, the same each time; `InputRefused` where it can't be used."""
        ...


host_reader = Registry("host reader", "dhs.hosts", "dhs.survey.hosts.readers")
"""Register a `HostReader`."""
