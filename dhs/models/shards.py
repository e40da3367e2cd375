"""Scoring without end: stamps stream through in shards that are written as they are done and never done twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch
from tqdm.auto import tqdm

from dhs import engines, storage
from dhs.config import digest
from dhs.datasets import reader
from dhs.datasets.schema import SCALARS, SCORE_SCHEMA
from dhs.engines import Engine, Progress
from dhs.errors import DhsError, InputRefused, Refusal, UsageError
from dhs.models.cpu_inference import give_back
from dhs.models.decode import part_files, read_files
from dhs.models.foreign.open import identity, open_scorer
from dhs.models.score import HARD_COLUMNS, Scorer, host_mag_r, score_part, score_table
from dhs.options import refuse_others, take

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
        `dhs.survey.hosts.record.HostSet`: cutouts, bricks or mocks.
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
        sigma = np.array([s.sky_sigma for s in stamps], np.float32)
        columns["logit"] = scorer.logits(images, sky_sigma=sigma)
        if core_mask_px is not None:
            columns["logit_core_masked"] = scorer.logits(images, core_mask_px, sigma)
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


@dataclass(frozen=True)
class _Work:
    """What a worker holds; ``source`` is a host set, or None where parts of a pairs data set are scored."""

    scorer: Scorer
    source: object
    folder: str
    core_mask_px: float | None


def _open(checkpoint: str, precision: str, source, folder: str, core_mask_px: float | None) -> _Work:
    # One thread each, whoever runs it: sums in another order would change the last bits of a logit.
    torch.set_num_threads(1)
    return _Work(open_scorer(checkpoint, precision=precision), source, folder, core_mask_px)


def _score_item(work: _Work, item: tuple) -> str:
    """Score one part and write it; a quarantine beside it first, so that a finished part has had its refusals kept."""
    number, path, what = item
    if work.source is None:
        parts = read_files(*what, SCALARS, HARD_COLUMNS)
        tables = [t for part in parts for t in score_part(work.scorer, part, work.core_mask_px)]
        table, refusals = pa.concat_tables([SCORE_SCHEMA.empty_table(), *tables]), []
    else:
        table, refusals = score_hosts(work.scorer, work.source, range(*what), work.core_mask_px)
    if refusals:
        storage.write_quarantine(storage.join(work.folder, f"quarantine-{number:06d}.parquet"), refusals)
    storage.write_table(path, table)
    give_back(table.num_rows)
    return path


@dataclass(frozen=True)
class Scoring:
    """How stamps are scored.

    Attributes
    ----------
    core_mask_px : float, optional
        Core that ``logit_core_masked`` hides; left out by default, which halves the forward passes.
    shard : (int, int)
        Number of this call and how many there are: it does every part whose number leaves that remainder.
    precision : {"float32", "bfloat16"}
        Of every stamp's logit; candidates are scored in float32 whichever it is (`dhs.validation.candidates.cascade`).
    """

    core_mask_px: float | None = None
    shard: tuple[int, int] = (0, 1)
    precision: str = "float32"

    def __post_init__(self):
        if not 0 <= self.shard[0] < self.shard[1]:
            raise UsageError(f"shard {self.shard[0]} of {self.shard[1]}: count from 0")


def score_shards(
    folder,
    *,
    checkpoint="",
    scorer: Scorer | None = None,
    hosts=None,
    pairs: reader.Pairs | None = None,
    splits: Sequence[str] = ("test",),
    **options,
) -> list[str]:
    """Score a host set or a pairs data set into ``folder/part-*.parquet``; finished parts are not done again.

    Hosts in coadds are taken brick by brick (the reader sorts them so): a part holds whole bricks.

    Parameters
    ----------
    folder : path
    checkpoint : path
    scorer : Scorer, optional
        Instead of the checkpoint's network; it stays in this process.
    hosts : HostSet, optional
    pairs : Pairs, optional
        One of the two.
    splits : sequence of str
        Of the pairs.
    **options
        Fields of `Scoring` and of `dhs.engines.Engine`.

    Returns
    -------
    list of str
        The parts of all shards: those of others may not be there yet.

    Raises
    ------
    DhsError
        The folder holds parts of other inputs, another checkpoint or other options.
    """
    how, engine = take(Scoring, options), take(Engine, options)
    refuse_others("score_shards", options, Scoring, Engine)
    if pairs is not None:
        work = [files for split in splits for files in part_files(pairs, split)]
        inputs = [list(splits), len(work), pairs.manifest.get("content_hash")]
    else:
        work = _spans(hosts)
        inputs = [digest("\n".join(f"{r.host_id} {r.file} {r.row}" for r in hosts.refs)), digest(work)]
    network = "" if scorer is not None else identity(checkpoint)
    masked, precision = how.core_mask_px, how.precision
    _claim(folder, {"inputs": inputs, "core_mask_px": masked, "network": network, "precision": precision})
    paths = [storage.join(folder, f"part-{number:06d}.parquet") for number in range(len(work))]
    mine = [n for n in range(len(work)) if n % how.shard[1] == how.shard[0] and not storage.exists(paths[n])]
    items = [(n, paths[n], work[n]) for n in mine]
    if scorer is not None:
        for item in tqdm(items, desc="score", unit="part", disable=None):
            _score_item(_Work(scorer, hosts, str(folder), masked), item)
        return paths
    threads = torch.get_num_threads()
    try:
        setup = (str(checkpoint), precision, hosts, str(folder), masked)
        for _ in engines.run(_score_item, items, _open, setup, engine, Progress("score")):
            pass
    finally:
        torch.set_num_threads(threads)
    return paths


def _spans(hosts) -> list[tuple[int, int]]:
    """Runs of about `SHARD_STAMPS` hosts; a brick of coadds is never cut, so that it is opened once."""
    n = len(hosts.refs)
    if getattr(hosts, "kind", "") != "bricks":
        return [(i, min(i + SHARD_STAMPS, n)) for i in range(0, n, SHARD_STAMPS)]
    spans, start, stop = [], 0, 0
    for _, brick in groupby(hosts.refs, key=lambda ref: ref.brickname):
        size = len(list(brick))
        if stop > start and stop - start + size > SHARD_STAMPS:
            spans.append((start, stop))
            start = stop
        stop += size
    return [*spans, (start, stop)] if n else spans


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
