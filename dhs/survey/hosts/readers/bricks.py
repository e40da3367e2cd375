"""``bricks``: hosts in survey coadds, targets of a catalogue, each with the brick it lies in."""

from __future__ import annotations

import numpy as np

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.survey.bricks import bricks
from dhs.survey.facts import known_redshift
from dhs.survey.hosts import selection, targets
from dhs.survey.hosts.coadds import BrickRefused, Coadds
from dhs.survey.hosts.cutouts import SUFFIXES
from dhs.survey.hosts.record import Found, HostRef, host_reader
from dhs.survey.hosts.stamp import HostStamp


@host_reader("bricks")
class BrickReader:
    """``spec`` is a folder that holds ``coadd/``; hosts read in the order of bricks open each once.

    Attributes
    ----------
    opened : int
        How often a brick was opened.
    """

    def __init__(self, spec: str, seed: int):
        self.spec, self.opened = spec, 0
        self._brick: tuple[str, Coadds | BrickRefused] | None = None

    @staticmethod
    def claims(config: HostsConfig) -> bool:
        if config.spec == "mock" or config.spec.lower().endswith(SUFFIXES):
            return False
        return bool(config.catalogue) or storage.exists(storage.join(config.spec, "coadd"))

    def find(self, config: HostsConfig) -> Found:
        refs, refusals, chosen = survey_refs(config)
        return Found(refs, refusals, selection=chosen)

    def read(self, ref: HostRef) -> HostStamp:
        if self._brick is None or self._brick[0] != ref.brickname:
            self.opened += 1
            try:
                self._brick = (ref.brickname, Coadds(self.spec, ref.brickname))
            except BrickRefused as error:
                self._brick = (ref.brickname, error)
        coadds = self._brick[1]
        if isinstance(coadds, BrickRefused):
            raise InputRefused(Refusal(ref.host_id, ref.file, ref.row, "host", coadds.code, str(coadds), coadds.remedy))
        return coadds.stamp(ref)


def survey_refs(config: HostsConfig) -> tuple[list[HostRef], list[Refusal], dict]:
    """Targets of ``config.catalogue`` that lie in a brick of ``config.spec``, sorted by brick.

    Parameters
    ----------
    config : HostsConfig
        ``spec`` holds ``coadd/``; ``catalogue`` is a Tractor or sweep file, a folder of them or any table of
        positions, by default the Tractor catalogues under ``spec``; ``select`` is ``lrg`` or ``none``.

    Returns
    -------
    refs : list of HostRef
    refusals : list of Refusal
        Targets outside every brick, or whose ``brickname`` contradicts their position.
    selection : dict
        ``cuts`` (name, rows removed), ``rows``, ``selected``, ``files``, ``sample``; for LRGs ``population``, their
        magnitudes and colours beside those of real deflectors.

    Raises
    ------
    DhsError
        No coadds, no catalogue, an unusable one, or no row left after the cuts.
    """
    there = _bricks_there(config.spec)
    files = targets.files(config.catalogue or storage.join(config.spec, "tractor"))
    kept, steps, n_rows = [], {}, 0
    for file in files:
        table = targets.read_targets(file)
        rows = np.arange(len(table["ra"]))
        n_rows += len(rows)
        if config.select == "lrg":
            keep, cuts = selection.select_lrgs(table, file)
            rows = rows[keep]
            for name, removed in cuts:
                steps[name] = steps.get(name, 0) + removed
        kept.append((file, rows, {name: column[rows] for name, column in table.items()}))
    total = sum(len(rows) for _, rows, _ in kept)
    if total == 0:
        raise DhsError(f"{files[0]}: none of {n_rows} rows is left after the cuts ({steps}). Give another catalogue.")
    refs, refusals = [], []
    for file, rows, table in kept:
        _place(file, rows, table, there, refs, refusals)
    refs.sort(key=lambda r: (r.brickname, r.file, r.row))
    chosen = {"sample": config.select, "files": [f.rsplit("/", 1)[-1] for f in files], "rows": n_rows}
    chosen |= {"cuts": [[name, removed] for name, removed in steps.items()], "selected": total}
    if config.select == "lrg":
        shared = set.intersection(*(set(table) for _, _, table in kept))
        chosen["population"] = selection.population(
            {name: np.concatenate([table[name] for _, _, table in kept]) for name in shared - {"brickname", "host_id"}}
        )
    return refs, refusals, chosen


def _bricks_there(root: str) -> set[str]:
    """Names of the bricks that have a folder of coadds."""
    coadd = storage.join(root, "coadd")
    found = {b for prefix in storage.list_folders(coadd) for b in storage.list_folders(storage.join(coadd, prefix))}
    if not found:
        raise DhsError(f"{coadd}: no bricks there. Give the folder of a region that holds coadd/<AAA>/<brick>/.")
    return found


def _place(file: str, rows, table: dict, there: set[str], refs: list, refusals: list) -> None:
    """Append a reference or a refusal for each row of one file."""
    names, brick_ra, brick_dec = bricks(table["ra"], table["dec"])
    stated = np.char.strip(table["brickname"].astype(str)) if "brickname" in table else names
    ids = _ids(table, names)
    z_phot = known_redshift(table.get("z_phot", np.full(len(rows), np.nan)))
    for i, row in enumerate(rows.tolist()):
        where = (float(table["ra"][i]), float(table["dec"][i]))
        if stated[i] != names[i]:
            problem = ("brick_mismatch", f"brickname {stated[i]}, but the position lies in {names[i]}")
        elif names[i] not in there:
            problem = (
                "outside_every_brick",
                f"({where[0]:.5f}, {where[1]:.5f}) lies in {names[i]}, not among the coadds",
            )
        else:
            here = (str(names[i]), float(brick_ra[i]), float(brick_dec[i]), file, row, float(z_phot[i]))
            refs.append(HostRef(ids[i], *where, *here))
            continue
        refusals.append(
            Refusal(
                ids[i], file, row, "host", *problem, "Check that RA and Dec are degrees, or add the brick's coadds."
            )
        )


def _ids(table: dict, names) -> list[str]:
    """``release-brickid-objid``, unique over the survey; else the table's own id; else the position."""
    ids = [f"{name}-{ra:.6f}{dec:+.6f}" for name, ra, dec in zip(names, table["ra"], table["dec"])]
    if "host_id" in table:
        return [str(own).strip() or place for own, place in zip(table["host_id"], ids)]
    if {"release", "brickid", "objid"} <= set(table):
        numbers = np.stack([table[c].astype(float) for c in ("release", "brickid", "objid")], axis=1)
        known = np.isfinite(numbers).all(axis=1)
        return ["-".join(f"{v:.0f}" for v in row) if k else i for row, k, i in zip(numbers, known, ids)]
    return ids
