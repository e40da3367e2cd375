"""Part files: their rows' common columns, how they are written, and what a manifest says of them.

A part is a file of pairs and, of the same name under ``negatives/``, a file of their hard negatives. The pairs are
written last: a part whose pairs exist is whole.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs import storage
from dhs.datasets import splits
from dhs.datasets.resume import refusals_of
from dhs.datasets.schema import BANDS, PSF_IMAGE, SPLITS
from dhs.encoding import SKY_LEVELS, encode
from dhs.errors import DhsError, Refusal
from dhs.survey.hosts.stamp import HostStamp

INVVAR_LEVELS = 32767  # quantisation steps of the greatest inverse variance
PSF_LEVELS = 65536  # and of a PSF image's peak
DRAWS_KEY = b"dhs_draws"
IDS = ["host_id", "source_id"]


@dataclass(frozen=True)
class Summary:
    """What the manifest says of a part: its files' digests, rows, pairs made now, draws, and who is in it."""

    split: str
    name: str
    digests: tuple[str, str]
    rows: int
    made: int
    draws: dict[str, int]
    refused: tuple[Refusal, ...]
    host_ids: frozenset[str]
    source_ids: frozenset[str]


@dataclass(frozen=True)
class Totals:
    """The sums of all parts; ``content_hash`` is over their names and digests, in the order given."""

    counts: dict[str, int]
    draws: Counter
    refused: tuple[Refusal, ...]
    host_ids: dict[str, set]
    source_ids: dict[str, set]
    content_hash: str


def part_name(split: str, number: int) -> str:
    return f"split={split}/part-{number:05d}.parquet"


def write(out: str, split: str, name: str, pairs: pa.Table, negatives: pa.Table, draws: dict[str, int]) -> Summary:
    """Write one part.

    Parameters
    ----------
    out : str
        Folder of the data set.
    split, name : str
        `part_name` of the split and a number.
    pairs, negatives : pyarrow.Table
        Of the stored form of `PAIR_SCHEMA` and `NEGATIVE_SCHEMA`; refused inputs in the metadata of the pairs
        (`dhs.datasets.resume.refusals_meta`).
    draws : dict of str to int
        By reason; kept in the metadata of the pairs.
    """
    meta = {**pairs.schema.metadata, DRAWS_KEY: json.dumps(draws, sort_keys=True).encode()}
    pairs = pairs.replace_schema_metadata(meta)
    data = [storage.table_bytes(negatives), storage.table_bytes(pairs)]
    for file, content in zip(_files(out, name), data):
        storage.write_bytes(file, content)
    return _summary(split, name, *data, pairs.select(IDS), made=pairs.num_rows)


def read_summary(out: str, split: str, name: str) -> Summary | None:
    """Summary of a part that is there already; None where it is damaged, or half of a pair of files."""
    try:
        negatives, pairs = (storage.read_bytes(f) for f in _files(out, name))
        pq.ParquetFile(pa.BufferReader(negatives))
        return _summary(split, name, negatives, pairs, pq.read_table(pa.BufferReader(pairs), columns=IDS), made=0)
    except (DhsError, pa.ArrowInvalid, KeyError):
        return None


def _files(out: str, name: str) -> tuple[str, str]:
    return storage.join(out, "negatives", name), storage.join(out, name)


def _summary(split: str, name: str, negatives: bytes, pairs: bytes, ids: pa.Table, made: int) -> Summary:
    """Summary of a part from its files' bytes, and two columns and the metadata of its pairs."""
    meta = ids.schema.metadata
    return Summary(
        split=split,
        name=name,
        digests=(hashlib.sha256(pairs).hexdigest(), hashlib.sha256(negatives).hexdigest()),
        rows=ids.num_rows,
        made=made,
        draws=json.loads(meta[DRAWS_KEY]),
        refused=tuple(refusals_of(meta)),
        host_ids=frozenset(ids["host_id"].to_pylist()),
        source_ids=frozenset(ids["source_id"].to_pylist()),
    )


def total(summaries: Iterable[Summary]) -> Totals:
    """Sums over parts, in the order of the plan."""
    counts, draws, refused = dict.fromkeys(SPLITS, 0), Counter(), []
    host_ids: dict[str, set] = {name: set() for name in SPLITS}
    source_ids: dict[str, set] = {name: set() for name in SPLITS}
    content = hashlib.sha256()
    for summary in summaries:
        for path, digest in zip((summary.name, f"negatives/{summary.name}"), summary.digests):
            content.update(f"{path}:{digest}\n".encode())
        counts[summary.split] += summary.rows
        draws.update(summary.draws)
        refused += summary.refused
        host_ids[summary.split] |= summary.host_ids
        source_ids[summary.split] |= summary.source_ids
    return Totals(counts, draws, tuple(refused), host_ids, source_ids, content.hexdigest())


def host_columns(host: HostStamp, nside: int) -> dict:
    """What all pairs of one host share; ``nside`` of the column ``healpix``."""
    row = {
        "host_id": host.host_id,
        "brickname": host.brickname,
        "healpix": int(splits.cells([host.brick_ra], [host.brick_dec], nside, [host.host_id])[0]),
        "ra": host.ra,
        "dec": host.dec,
        "control": encode(host.image, host.sky_sigma / SKY_LEVELS),
        "z_lens": host.z_phot,
        "lag1": host.lag1,
        "invvar": None,
        "psf": None,
    }
    if host.invvar is not None:
        row["invvar"] = encode(host.invvar, np.maximum(host.invvar.max(axis=(1, 2)), 1e-30) / INVVAR_LEVELS)
    if host.psf is not None:
        pad = (PSF_IMAGE.shape[-1] - host.psf.shape[-1]) // 2
        frame = np.pad(host.psf, ((0, 0), (pad, pad), (pad, pad)))
        row["psf"] = encode(frame, frame.max(axis=(1, 2)) / PSF_LEVELS)
    for i, band in enumerate(BANDS):
        row[f"sky_sigma_{band}"] = host.sky_sigma[i]
        row[f"psf_fwhm_{band}_arcsec"] = host.psf_fwhm[i]
        row[f"gain_{band}"] = host.gain[i]
    return row


def arc_flux_columns(arc: np.ndarray) -> dict:
    """``arc_flux_{g,r,z}`` of an arc, (3, 64, 64) nanomaggies."""
    return {f"arc_flux_{band}": flux for band, flux in zip(BANDS, arc.sum(axis=(1, 2), dtype=np.float64))}


def as_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([row[f.name] for row in rows], f.type, from_pandas=False) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def git_commit() -> str | None:
    """Commit of the source tree the package runs from; None for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    found = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
