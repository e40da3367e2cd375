"""`open_hosts`: host galaxies, mock or real, found by the reader that claims them and checked before a run starts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, fields, replace

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.hosts.record import ById, Found, HostReader, HostRef, HostSet, host_reader
from dhs.survey.hosts.selection import DUPLICATE_ARCSEC, duplicates, near_lenses
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.lenses.catalogues import known_lenses

__all__ = ["HostRef", "HostSet", "Hosts", "index_table", "open_hosts"]

INDEX_KEY = b"dhs_hosts"
_TYPES = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
INDEX_SCHEMA = pa.schema([(f.name, _TYPES[f.type]) for f in fields(HostRef)])


class Hosts(ById):
    """Hosts of whatever kind, found and read by one `HostReader`; a `dhs.survey.hosts.record.HostSet`.

    Attributes
    ----------
    reader : str
        Name of the reader.
    kind : str
        ``folder``, ``file``, ``bricks``, ``mock``, or what another reader calls its own.
    spec : str
    seed : int
    mock : bool
        The hosts are made up, or were written by the mock generator.
    made : bool
        They are made from the seed: no index of them need be kept.
    refs : list of HostRef
    refusals : list of Refusal
        Met on opening.
    known_lens_catalogue : str or None
    selection : dict or None
        How hosts were chosen from a survey catalogue, cut by cut, and how they compare with real deflectors.
    """

    def __init__(self, reader: str, spec: str, seed: int, found: Found, known_lens_catalogue: str | None = None):
        self.reader, self.spec, self.seed = reader, spec, seed
        self.kind, self.mock, self.made = found.kind or reader, found.mock, found.made
        self.refs, self.refusals, self.selection = list(found.refs), list(found.refusals), found.selection
        self.known_lens_catalogue = known_lens_catalogue
        self._opened: HostReader | None = None

    def __len__(self) -> int:
        return len(self.refs)

    def read(self, i: int) -> HostStamp:
        """Stamp of host i, with the flag ``host_is_candidate`` where it is a known lens.

        Raises
        ------
        InputRefused
            The stamp can't be used; of a folder of cutouts such files were already left out on opening.
        """
        ref, stamp = self.refs[i], self.opened.read(self.refs[i])
        if ref.known_lens:
            stamp = replace(stamp, flags=tuple(sorted({*stamp.flags, "host_is_candidate"})))
        return stamp

    @property
    def opened(self) -> HostReader:
        """The reader, made at first use in each process."""
        if self._opened is None:
            self._opened = host_reader[self.reader](self.spec, self.seed)
        return self._opened

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}


def index_table(hosts: Hosts) -> pa.Table:
    """The references of hosts with what the set is: from it a worker opens the set without looking at every file."""
    rows = [asdict(ref) for ref in hosts.refs]
    told = ("reader", "kind", "spec", "seed", "mock", "known_lens_catalogue", "selection")
    meta = {INDEX_KEY: json.dumps({name: getattr(hosts, name) for name in told}, sort_keys=True).encode()}
    return pa.Table.from_pylist(rows, schema=INDEX_SCHEMA).replace_schema_metadata(meta)


def _read_index(path: str) -> Hosts:
    table = storage.read_table(path)
    told = json.loads(table.schema.metadata[INDEX_KEY])
    refs = [HostRef(**row) for row in table.to_pylist()]
    found = Found(refs, mock=told["mock"], selection=told["selection"], kind=told["kind"])
    return Hosts(told["reader"], told["spec"], told["seed"], found, told["known_lens_catalogue"])


def reader_of(config: HostsConfig) -> str:
    """Name of the reader that claims a configuration, those of other packages asked first; else ``cutouts``.

    That one says what is wrong with a path which holds nothing that can be read.
    """
    asked = sorted(host_reader, key=lambda name: not host_reader.origin(name))
    return next((name for name in asked if host_reader[name].claims(config)), "cutouts")


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


def _not_one(spec: str, n: int, single: bool, refusals: list[Refusal]) -> DhsError:
    if single:
        return InputRefused(refusals[0])
    refusals = [r for r in refusals if r.code != "passed_over"]
    reasons = ", ".join(f"{n} {code}" for code, n in Counter(r.code for r in refusals).most_common())
    first = refusals[0]
    return DhsError(
        f"{spec}: none of its {n} candidates can be a host ({reasons}). "
        f"First: {first.file}: {first.message}. {first.remedy}"
    )


def open_cutouts(spec: str, seed: int = 0) -> Hosts:
    """Cutouts with none refused for being a known lens: stamps to look at or to score, not to inject into."""
    return open_hosts(HostsConfig(spec=str(spec), known_lenses=None, allow_known_lenses=True), seed)


REAL_HOSTS = ("hosts", "des_lrg46")


def resolved(spec: str) -> str:
    """What ``auto`` stands for: the real galaxies under ``DHS_DATA_DIR`` where they are, else ``mock``.

    A network wants thousands of hosts and those are 46, so the built-in profiles ask for mock hosts to train on; real
    ones are what it is tested on.
    """
    if spec != "auto":
        return spec
    return storage.data_file(*REAL_HOSTS) or "mock"


def open_hosts(config: HostsConfig, seed: int, index: str | None = None) -> Hosts:
    """Open the hosts a configuration asks for.

    Parameters
    ----------
    config : HostsConfig
        ``spec``: ``auto`` (`resolved`), ``mock``, a folder of cutouts or with a cube of them, one cutout file, or a
        folder that holds the survey's ``coadd/``.
    seed : int
        Of made-up hosts.
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
        Nothing can be read, nothing is left after the cuts, or a catalogue is unusable.
    InputRefused
        ``spec`` is one file, and it is refused.
    """
    if index is not None:
        return _read_index(index)
    config = config.model_copy(update={"spec": resolved(config.spec)})
    name = reader_of(config)
    found = host_reader[name](config.spec, seed).find(config)
    if found.made:
        return Hosts(name, config.spec, seed, found)
    lenses = known_lenses(config.known_lenses)
    refusals = list(found.refusals)
    n = len(found.refs) + sum(r.code != "passed_over" for r in refusals)
    refs = _without_duplicates(found.refs, refusals)
    if not found.mock:
        refs = _without_lenses(refs, refusals, lenses, config)
    if not refs:
        raise _not_one(config.spec, n, found.kind == "file", refusals)
    label = None if lenses is None else f"{lenses.label} ({len(lenses)} rows)"
    return Hosts(name, config.spec, seed, replace(found, refs=refs, refusals=refusals), label)
