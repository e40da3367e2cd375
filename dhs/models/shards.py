"""Scoring without end: stamps stream through in shards that are written as they are done and never done twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from tqdm.auto import tqdm

from dhs import storage
from dhs.config import digest
from dhs.datasets import reader
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.models.data import part_files
from dhs.models.score import Scorer, host_mag_r, score_part, score_table

SHARD_STAMPS = 4096
POSITION = pa.schema([("ra", pa.float64()), ("dec", pa.float64()), ("brickname", pa.string()), ("flags", pa.string())])
CUTOUT_SCHEMA = pa.schema([*SCORE_SCHEMA, *POSITION])
"""Of scored cutouts: ``flags`` are those of the stamp, joined by semicolons."""


def score_hosts(
    scorer: Scorer,
    hosts,
    indices: Sequence[int] | None = None,
    core_mask_px: float | None = None,
    kind: str = "cutout",
    split: str = "",
) -> tuple[pa.Table, list[Refusal]]:
    """Score some stamps of a host set, a batch in memory while the next is read.

    Parameters
    ----------
    scorer : Scorer
    hosts : HostSet
        `dhs.survey.refs.HostSet`: cutouts, bricks or mocks.
    indices : sequence of int, optional
        All by default.
    core_mask_px : float, optional
        Core that ``logit_core_masked`` hides; without it that column is NaN.
    kind, split : str
        Columns of the rows; ``subkind`` is the stamp's own ``meta["kind"]`` where it has one.

    Returns
    -------
    table : pyarrow.Table
        Columns of `CUTOUT_SCHEMA`.
    refusals : list of Refusal
        Cutouts that could not be read or used.
    """
    indices = range(len(hosts.refs)) if indices is None else indices
    tables, refusals = [CUTOUT_SCHEMA.empty_table()], []
    for stamps, refused in _batches(hosts, indices, scorer.batch_size):
        refusals += refused
        if not stamps:
            continue
        images = np.stack([s.image for s in stamps])
        columns = {"kind": kind, "split": split, "host_id": [s.host_id for s in stamps]}
        columns["subkind"] = [str(s.meta.get("kind", "")) for s in stamps]
        for i, band in enumerate("grz"):
            columns[f"psf_fwhm_{band}_arcsec"] = [float(s.psf_fwhm[i]) for s in stamps]
            columns[f"sky_sigma_{band}"] = [float(s.sky_sigma[i]) for s in stamps]
        columns["host_mag_r"] = host_mag_r(images)
        columns["logit"] = scorer.logits(images)
        if core_mask_px is not None:
            columns["logit_core_masked"] = scorer.logits(images, core_mask_px)
        table = score_table(columns, len(stamps))
        places = ([s.ra for s in stamps], [s.dec for s in stamps], [s.brickname for s in stamps])
        for column, values in zip(POSITION, (*places, [";".join(s.flags) for s in stamps])):
            table = table.append_column(column, pa.array(values, column.type))
        tables.append(table)
    return pa.concat_tables(tables), refusals


def _batches(hosts, indices: Sequence[int], size: int) -> Iterator[tuple[list, list]]:
    """Stamps and refusals of each batch; one thread reads ahead."""

    def read(start: int) -> tuple[list, list]:
        stamps, refused = [], []
        for i in indices[start : start + size]:
            try:
                stamps.append(hosts.read(i))
            except InputRefused as error:
                refused.append(error.refusal)
        return stamps, refused

    starts = list(range(0, len(indices), size))
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, starts[0]) if starts else None
        for following in [*starts[1:], None][: len(starts)]:
            batch = ahead.result()
            ahead = pool.submit(read, following) if following is not None else None
            yield batch


def score_shards(
    scorer: Scorer,
    folder,
    *,
    hosts=None,
    pairs: reader.Pairs | None = None,
    splits: Sequence[str] = ("test",),
    core_mask_px: float | None = None,
    shard: tuple[int, int] = (0, 1),
    about: dict | None = None,
) -> list[str]:
    """Score a host set or a pairs data set into ``folder/part-*.parquet``; finished parts are not done again.

    Parameters
    ----------
    scorer : Scorer
    folder : path
    hosts : HostSet, optional
    pairs : Pairs, optional
        One of the two.
    splits : sequence of str
        Of the pairs.
    core_mask_px : float, optional
        Core that ``logit_core_masked`` hides; left out by default, which halves the forward passes.
    shard : (int, int)
        This process's number and how many there are: it does every part whose number leaves that remainder.
    about : dict, optional
        What else decides the scores; a folder begun with another is refused.

    Returns
    -------
    list of str
        The parts of all shards: those of others may not be there yet.

    Raises
    ------
    DhsError
        The folder holds parts of other inputs, another checkpoint or other options.
    """
    if pairs is not None:
        work = [f for split in splits for f in part_files(pairs, split)]
        identity = [[f[0].rsplit("/", 2)[1:] for f in work], pairs.manifest.get("content_hash")]
    else:
        work = [range(i, min(i + SHARD_STAMPS, len(hosts.refs))) for i in range(0, len(hosts.refs), SHARD_STAMPS)]
        identity = [digest("\n".join(f"{r.host_id} {r.file} {r.row}" for r in hosts.refs))]
    _claim(folder, {"inputs": identity, "core_mask_px": core_mask_px, **(about or {})})
    paths = [storage.join(folder, f"part-{number:06d}.parquet") for number in range(len(work))]
    mine = [n for n in range(len(work)) if n % shard[1] == shard[0]]
    for number in tqdm(mine, desc="score", unit="part", disable=None):
        path = paths[number]
        if not storage.exists(path):
            refusals: list[Refusal] = []
            if pairs is not None:
                table = pa.concat_tables(score_part(scorer, *work[number], core_mask_px))
            else:
                table, refusals = score_hosts(scorer, hosts, work[number], core_mask_px)
            if refusals:
                storage.write_quarantine(storage.join(folder, f"quarantine-{number:06d}.parquet"), refusals)
            storage.write_table(path, table)
    return paths


def _claim(folder, content: dict) -> None:
    """Mark the folder with what its parts are made of, or check that it already is."""
    path, mark = storage.join(folder, "scoring.json"), digest(content)
    if storage.exists(path):
        if storage.read_json(path).get("digest") != mark:
            raise DhsError(
                f"{folder}: holds scores of other inputs, another checkpoint or other options. "
                "Give another --out, or delete the folder to score again."
            )
    else:
        storage.write_json(path, {"digest": mark})
