"""What a set of hosts is: `HostRef` and the `HostSet` protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dhs.errors import Refusal
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
        Of the catalogue it was selected from; -1 where a file holds one host.
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

    def read(self, i: int) -> HostStamp: ...
