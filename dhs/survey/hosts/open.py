"""`open_hosts`: host galaxies, mock, from cutouts or cut out of survey coadds, checked before a run starts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, fields, replace

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.hosts.coadd_hosts import survey_refs
from dhs.survey.hosts.coadds import BrickRefused, Coadds
from dhs.survey.hosts.cutouts import SUFFIXES, read_cutout
from dhs.survey.hosts.record import HostRef, HostSet
from dhs.survey.hosts.selection import DUPLICATE_ARCSEC, duplicates, near_lenses
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.lenses.catalogues import known_lenses
from dhs.survey.mock.hosts import MockHosts

__all__ = ["HostRef", "HostSet", "Hosts", "index_table", "open_hosts"]

INDEX_KEY = b"dhs_hosts"
_TYPES = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
INDEX_SCHEMA = pa.schema([(f.name, _TYPES[f.type]) for f in fields(HostRef)])


class Hosts:
    """Cutout files, or positions in survey coadds, as hosts; a `dhs.survey.hosts.record.HostSet`.

    Attributes
    ----------
    kind : {"folder", "file", "bricks"}
    spec : str
    mock : bool
        The cutouts were written by the mock generator.
    refs : list of HostRef
    refusals : list of Refusal
        Met on opening.
    known_lens_catalogue : str or None
    selection : dict or None
        How hosts were chosen from a survey catalogue, cut by cut, and how they compare with real deflectors.
    bricks_opened : int
        How often this object opened a brick; reading in the order of bricks opens each once.
    """

    def __init__(self, kind, spec, refs, refusals=(), mock=False, known_lens_catalogue=None, selection=None):
        self.kind, self.spec, self.mock = kind, spec, mock
        self.refs, self.refusals = list(refs), list(refusals)
        self.known_lens_catalogue, self.selection = known_lens_catalogue, selection
        self.bricks_opened = 0
        self._brick: tuple[str, Coadds | BrickRefused] | None = None

    def __len__(self) -> int:
        return len(self.refs)

    def read(self, i: int) -> HostStamp:
        """Stamp of host i, with the flag ``host_is_candidate`` where it is a known lens.

        Raises
        ------
        InputRefused
            The stamp can't be used; of a folder of cutouts such files were already left out on opening.
        """
        ref = self.refs[i]
        stamp = self._cut(ref) if self.kind == "bricks" else replace(read_cutout(ref.file), host_id=ref.host_id)
        if ref.known_lens:
            stamp = replace(stamp, flags=tuple(sorted({*stamp.flags, "host_is_candidate"})))
        return stamp

    def _cut(self, ref: HostRef) -> HostStamp:
        if self._brick is None or self._brick[0] != ref.brickname:
            self.bricks_opened += 1
            try:
                self._brick = (ref.brickname, Coadds(self.spec, ref.brickname))
            except BrickRefused as error:
                self._brick = (ref.brickname, error)
        coadds = self._brick[1]
        if isinstance(coadds, BrickRefused):
            raise InputRefused(Refusal(ref.host_id, ref.file, ref.row, "host", coadds.code, str(coadds), coadds.remedy))
        return coadds.stamp(ref)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_brick": None}


def index_table(hosts: Hosts) -> pa.Table:
    """The references of hosts with what the set is: from it a worker opens the set without looking at every file."""
    rows = [asdict(ref) for ref in hosts.refs]
    told = ("kind", "spec", "mock", "known_lens_catalogue", "selection")
    meta = {INDEX_KEY: json.dumps({name: getattr(hosts, name) for name in told}, sort_keys=True).encode()}
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA).replace_schema_metadata(meta)


def _read_index(path: str) -> Hosts:
    table = storage.read_table(path)
    return Hosts(refs=[HostRef(**row) for row in table.to_pylist()], **json.loads(table.schema.metadata[INDEX_KEY]))


def _scan(files: list[str]) -> tuple[list[HostRef], list[Refusal], bool]:
    """References of the usable cutouts, what was refused, and whether they are mock."""
    refs, refusals, mock = [], [], False
    for file in files:
        try:
            s = read_cutout(file)
        except InputRefused as error:
            refusals.append(error.refusal)
            continue
        # A folder of written mocks is mock, whatever it is called.
        mock |= "mock" in s.flags
        refs.append(HostRef(s.host_id, s.ra, s.dec, s.brickname, s.brick_ra, s.brick_dec, s.file, s.row, s.z_phot))
    return refs, refusals, mock


def _refusal(ref, code: str, message: str, remedy: str) -> Refusal:
    return Refusal(ref.host_id, ref.file, ref.row, "host", code, message, remedy)


def _without_duplicates(refs: list[HostRef], refusals: list[Refusal]) -> list[HostRef]:
    """The first of hosts of one id, and of hosts within `DUPLICATE_ARCSEC` of one another, stays."""
    first_of: dict[str, int] = {}
    for i, ref in enumerate(refs):
        if first_of.setdefault(ref.host_id, i) != i:
            message = f"host id {ref.host_id!r} is taken by an earlier one"
            refusals.append(_refusal(ref, "duplicate_id", message, "Give each host an id of its own."))
    refs = [refs[i] for i in first_of.values()]
    dropped = duplicates(np.array([r.ra for r in refs]), np.array([r.dec for r in refs]))
    for second, first in dropped.items():
        message = f"within {DUPLICATE_ARCSEC:g} arcsec of {refs[first].host_id} ({refs[first].file})"
        refusals.append(_refusal(refs[second], "duplicate", message, "Keep one host a galaxy."))
    return [r for i, r in enumerate(refs) if i not in dropped]


def _without_lenses(refs, refusals, catalogue, config: HostsConfig) -> list[HostRef]:
    """Hosts that are no known lens or candidate; on request they stay and are marked."""
    near = near_lenses([r.ra for r in refs], [r.dec for r in refs], catalogue, config.match_radius_arcsec)
    if config.allow_known_lenses:
        return [replace(r, known_lens=i in near) for i, r in enumerate(refs)]
    for i, distance in near.items():
        message = f"a known lens or candidate of {catalogue.label} lies {distance:.1f} arcsec away"
        remedy = "Leave it out, or keep and mark it with --allow-known-lenses."
        refusals.append(_refusal(refs[i], "known_lens", message, remedy))
    return [r for i, r in enumerate(refs) if i not in near]


def _cutout_files(spec: str, single: bool) -> list[str]:
    if not storage.exists(spec):
        raise DhsError(
            f"{spec}: no such file or folder. Give `mock`, a folder of cutouts, one cutout file, or a folder that "
            "holds the survey's coadd/."
        )
    if single:
        return [spec]
    files = storage.list_files(spec, SUFFIXES)
    if not files:
        raise DhsError(
            f"{spec}: holds no cutouts. Put files ending in {', '.join(SUFFIXES)} there, or a survey's coadd/."
        )
    return files


def _not_one(spec: str, n: int, single: bool, refusals: list[Refusal]) -> DhsError:
    if single:
        return InputRefused(refusals[0])
    reasons = ", ".join(f"{n} {code}" for code, n in Counter(r.code for r in refusals).most_common())
    first = refusals[0]
    return DhsError(
        f"{spec}: none of its {n} candidates can be a host ({reasons}). "
        f"First: {first.file}: {first.message}. {first.remedy}"
    )


def open_hosts(config: HostsConfig, seed: int, index: str | None = None) -> HostSet:
    """Open the hosts a configuration asks for.

    Parameters
    ----------
    config : HostsConfig
        ``spec``: ``mock``, a folder of cutouts, one cutout file, or a folder that holds the survey's ``coadd/``.
    seed : int
        Of mock hosts.
    index : str, optional
        File that holds an `index_table`: hosts that were opened before, taken as they were found then.

    Returns
    -------
    HostSet
        What was refused is in ``refusals``. Cutouts are all read once, to be checked; stamps in coadds are checked when
        they are cut. Mock hosts are not matched with known lenses: their positions mean nothing.

    Raises
    ------
    DhsError
        No such file or folder, nothing left after the cuts, or an unusable catalogue.
    InputRefused
        ``spec`` is one file, and it is refused.
    """
    if config.spec == "mock":
        return MockHosts(config.n_mock, seed)
    if index is not None:
        return _read_index(index)
    single = config.spec.endswith(SUFFIXES)
    lenses, selection, mock = known_lenses(config.known_lenses), None, False
    if not single and (config.catalogue or storage.exists(storage.join(config.spec, "coadd"))):
        kind = "bricks"
        refs, refusals, selection = survey_refs(config)
    else:
        kind = "file" if single else "folder"
        refs, refusals, mock = _scan(_cutout_files(config.spec, single))
    n = len(refs) + len(refusals)
    refs = _without_duplicates(refs, refusals)
    if not mock:
        refs = _without_lenses(refs, refusals, lenses, config)
    if not refs:
        raise _not_one(config.spec, n, single, refusals)
    label = None if lenses is None else f"{lenses.label} ({len(lenses)} rows)"
    return Hosts(kind, config.spec, refs, refusals, mock, label, selection)
