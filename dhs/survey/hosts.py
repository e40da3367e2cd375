"""`open_hosts`: host galaxies, mock or from a folder of cutouts, checked before a run starts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.catalogues import Catalogue, known_lenses
from dhs.survey.cutouts import SUFFIXES, read_cutout
from dhs.survey.mock import MockHosts
from dhs.survey.refs import HostRef, HostSet

__all__ = ["CutoutHosts", "HostRef", "HostSet", "open_hosts"]

DUPLICATE_ARCSEC = 1.0


class CutoutHosts:
    """Cutout files as hosts; a `dhs.survey.refs.HostSet`. Every file is read once, up front, to be checked.

    Parameters
    ----------
    spec : str
        A folder, or one file; local or in an object store.
    catalogue : Catalogue or None
        Known lenses.
    match_radius_arcsec : float
    allow_known_lenses : bool
        Keep hosts that are known lenses, with the flag ``host_is_candidate``, instead of refusing them.

    Raises
    ------
    DhsError
        No such file or folder, no cutout in it, or none left after the cuts.
    InputRefused
        ``spec`` is one file, and it is refused.
    """

    mock = False

    def __init__(self, spec: str, catalogue: Catalogue | None, match_radius_arcsec: float, allow_known_lenses: bool):
        self.spec = str(spec)
        single = self.spec.endswith(SUFFIXES)
        self.kind = "file" if single else "folder"
        self.known_lens_catalogue = None if catalogue is None else f"{catalogue.label} ({len(catalogue)} rows)"
        self.refusals: list[Refusal] = []
        self._candidates: set[str] = set()
        files = _cutout_files(self.spec, single)
        refs = self._scan(files)
        refs = self._without_duplicates(refs)
        self.refs = self._cross_match(refs, catalogue, match_radius_arcsec, allow_known_lenses)
        if not self.refs:
            if single and self.refusals:
                raise InputRefused(self.refusals[0])
            reasons = ", ".join(f"{n} {code}" for code, n in Counter(r.code for r in self.refusals).most_common())
            first = self.refusals[0]
            raise DhsError(
                f"{self.spec}: none of its {len(files)} cutouts can be a host ({reasons}). "
                f"First: {first.file}: {first.message}. {first.remedy}"
            )

    def __len__(self) -> int:
        return len(self.refs)

    def read(self, i: int):
        """Stamp of host i, with the flag ``host_is_candidate`` where it is a known lens."""
        ref = self.refs[i]
        stamp = read_cutout(ref.file)
        if ref.host_id in self._candidates:
            stamp = replace(stamp, flags=tuple(sorted({*stamp.flags, "host_is_candidate"})))
        return replace(stamp, host_id=ref.host_id)

    def _scan(self, files: list[str]) -> list[HostRef]:
        refs, seen = [], set()
        for file in files:
            try:
                s = read_cutout(file)
            except InputRefused as error:
                self.refusals.append(error.refusal)
                continue
            if s.host_id in seen:
                self._refuse(s, "duplicate_id", f"host id {s.host_id!r} is taken by an earlier file", "Rename it.")
                continue
            seen.add(s.host_id)
            if "mock" in s.flags:
                # A folder of written mocks is mock, whatever it is called.
                self.mock = True
            refs.append(HostRef(s.host_id, s.ra, s.dec, s.brickname, s.brick_ra, s.brick_dec, s.file, s.row))
        return refs

    def _without_duplicates(self, refs: list[HostRef]) -> list[HostRef]:
        """The first of hosts within `DUPLICATE_ARCSEC` of one another stays."""
        from scipy.spatial import cKDTree

        from dhs.survey.catalogues import unit_vectors

        if len(refs) < 2:
            return refs
        radius = 2.0 * np.sin(np.radians(DUPLICATE_ARCSEC / 3600.0) / 2.0)
        tree = cKDTree(unit_vectors([r.ra for r in refs], [r.dec for r in refs]))
        dropped: dict[int, int] = {}
        for first, second in sorted(tree.query_pairs(radius)):
            if first not in dropped:
                dropped.setdefault(second, first)
        for second, first in sorted(dropped.items()):
            self._refuse(
                refs[second],
                "duplicate",
                f"within {DUPLICATE_ARCSEC:g} arcsec of {refs[first].host_id} ({refs[first].file})",
                "Keep one cutout a galaxy.",
            )
        return [r for i, r in enumerate(refs) if i not in dropped]

    def _cross_match(self, refs, catalogue: Catalogue | None, radius: float, allow: bool) -> list[HostRef]:
        if catalogue is None or not refs or self.mock:
            return refs
        index, separation = catalogue.match([r.ra for r in refs], [r.dec for r in refs], radius)
        kept = []
        for ref, match, distance in zip(refs, index, separation):
            if match < 0 or allow:
                kept.append(ref)
            if match >= 0 and allow:
                self._candidates.add(ref.host_id)
            elif match >= 0:
                self._refuse(
                    ref,
                    "known_lens",
                    f"a known lens or candidate of {catalogue.label} lies {distance:.1f} arcsec away",
                    "Leave it out, or keep and mark it with --allow-known-lenses.",
                )
        return kept

    def _refuse(self, ref, code: str, message: str, remedy: str) -> None:
        self.refusals.append(Refusal(ref.host_id, ref.file, ref.row, "host", code, message, remedy))


def _cutout_files(spec: str, single: bool) -> list[str]:
    if not storage.exists(spec):
        raise DhsError(f"{spec}: no such file or folder. Give `mock`, a folder of cutouts or one cutout file.")
    if single:
        return [spec]
    files = storage.list_files(spec, SUFFIXES)
    if not files:
        raise DhsError(f"{spec}: holds no cutouts. Put files ending in {', '.join(SUFFIXES)} there.")
    return files


def open_hosts(config: HostsConfig, seed: int) -> HostSet:
    """Open the hosts a configuration asks for.

    Parameters
    ----------
    config : HostsConfig
        ``spec``: ``mock``, a folder of cutouts, or one cutout file.
    seed : int
        Of mock hosts.

    Returns
    -------
    HostSet
        Refused cutouts are in ``refusals``. Mock hosts are not matched with known lenses: their positions mean
        nothing.

    Raises
    ------
    DhsError
        No such file or folder, nothing left after the cuts, or an unusable catalogue of known lenses.
    """
    if config.spec == "mock":
        return MockHosts(config.n_mock, seed)
    return CutoutHosts(
        config.spec, known_lenses(config.known_lenses), config.match_radius_arcsec, config.allow_known_lenses
    )
