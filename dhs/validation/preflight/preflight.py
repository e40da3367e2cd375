"""``dhs preflight``: one pass over a pairs data set, then every registered gate.

Scalars are read first; images stream through `dhs.validation.preflight.image_statistics`, part by part, in one
process or several. Every row is checked, and counted in what costs little; the costly image-based gates measure
``preflight.max_rows`` pairs of each split, drawn at random over all its parts by the profile's seed. Memory holds
scalars and features, never more than one batch of images a process.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs import engines, storage
from dhs.config import Profile, load_profile
from dhs.datasets import preregistration
from dhs.datasets.reader import Pairs, open_pairs
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import BANDS, NEGATIVE_SCHEMA, PAIR_SCHEMA, SCALARS, SPLITS
from dhs.engines import Engine, Progress
from dhs.errors import DhsError
from dhs.owner import alone
from dhs.random import Stream, keyed
from dhs.validation.preflight.gate import Gate, PreflightReport, Skip, decide, refuse_unknown_thresholds, run_gates
from dhs.validation.preflight.image_statistics import (
    FAULTS,
    READ_ERRORS,
    Job,
    Measured,
    measure_part,
    open_context,
)

SERIAL_BELOW = 400  # rows to measure; a second process takes as long to start
NEGATIVE_SCALARS = tuple(n for n in NEGATIVE_SCHEMA.names if n != "light")


@dataclass
class PreflightData:
    """What one pass over a data set found; the argument of every gate.

    Attributes
    ----------
    pairs : Pairs
    profile : Profile
    unreadable : list of (file, reason)
        Parts that could not be read; their rows are in nothing below.
    versions : list of (file, found, wanted)
        Parts of another schema version than the manifest's.
    scalars : pyarrow.Table
        Scalar columns of every readable pair, plus ``folder_split``, the split of the folder it lay in.
    negatives : pyarrow.Table
        Scalar columns of every readable hard negative, plus ``folder_split``.
    bad_images : dict of str to list of int
        Pair ids by fault: ``not_finite``, ``zero_band``, ``missing``.
    masked : list of float
        Fraction of pixels without inverse variance, per stamp that has one.
    images : dict of str to ndarray
        One entry per image-checked pair, in the order of ``image_rows``.
    hard : dict of str to ndarray
        The same for its hard negatives, with ``pair`` the position in ``image_rows``.
    every : dict of str to ndarray
        Cheap numbers of every usable pair, in the order of ``every_rows``, rows of ``scalars``.
    residual : (ndarray, int)
        Sums over pairs for `dhs.validation.preflight.gates.pixels.residual_image`, and how many.
    hard_frame : ndarray or None
        Sums over hard negatives of their light in sky noise and of its square, (2, 3, 64, 64).
    image_rows : ndarray of int
        Rows of ``scalars`` whose images went into ``images``.
    no_sources : str
        Why arcs could not be rendered from their source galaxies; empty where they could.
    exact : bool
        Whether a re-rendered arc must be the stored one to rounding.
    """

    pairs: Pairs
    profile: Profile
    unreadable: list = field(default_factory=list)
    versions: list = field(default_factory=list)
    scalars: pa.Table | None = None
    negatives: pa.Table | None = None
    bad_images: dict = field(default_factory=lambda: {k: [] for k in FAULTS})
    masked: list = field(default_factory=list)
    images: dict = field(default_factory=dict)
    hard: dict = field(default_factory=dict)
    every: dict = field(default_factory=dict)
    every_rows: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    residual: tuple = (None, 0)
    hard_frame: np.ndarray | None = None
    image_rows: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    no_sources: str = ""
    exact: bool = False

    @property
    def n(self) -> int:
        return self.scalars.num_rows

    @property
    def n_images(self) -> int:
        return len(self.image_rows)

    def column(self, name: str) -> np.ndarray:
        """A scalar column of every readable pair; nulls become NaN or None."""
        return self.scalars[name].to_numpy(zero_copy_only=False)

    def of_images(self, name: str) -> np.ndarray:
        """A scalar column of the pairs whose images were looked at."""
        return self.column(name)[self.image_rows]

    def per_band_all(self, name: str, unit: str = "") -> np.ndarray:
        """(n, 3) of a per-band column of every readable pair."""
        return np.stack([self.column(f"{name}_{b}{unit}").astype(float) for b in BANDS], axis=-1)

    def per_band(self, name: str, unit: str = "") -> np.ndarray:
        """(n_images, 3) of a per-band column."""
        return self.per_band_all(name, unit)[self.image_rows]

    @cached_property
    def hosts(self) -> np.ndarray:
        """Host of each image-checked pair."""
        return self.of_images("host_id").astype(str)

    @cached_property
    def sources(self) -> np.ndarray:
        """Source galaxy of each image-checked pair."""
        return np.array([s or "unknown" for s in self.of_images("source_id")], dtype=str)

    @cached_property
    def sources_of_rows(self) -> SourceLookup:
        """Source galaxies of the set, by id."""
        return SourceLookup(self.pairs.manifest)

    @property
    def sampling(self) -> str:
        """Which pairs the costly gates measured."""
        if self.n_images >= len(self.every_rows):
            return "every usable pair"
        drawn = f"{self.n_images} of {len(self.every_rows)} usable pairs"
        return f"{drawn}, drawn at random over all parts (seed {self.profile.seed})"

    @property
    def expectation(self) -> str:
        """How the expected arcs came about."""
        share = float(np.mean(self.images["rerendered"])) if self.n_images else 0.0
        if share == 1:
            return "source galaxies through the stored lens"
        kind = "a round source through the stored lens"
        return kind if share == 0 else f"{share:.2f} from source galaxies, the rest {kind}"

    def need_images(self, least: int = 1) -> None:
        """Skip the gate where fewer pairs than ``least`` have usable images."""
        if self.n_images < least:
            raise Skip(f"{self.n_images} pairs have usable images, {least} are needed.")


def collect(pairs: Pairs, profile: Profile, engine: Engine | str = "processes") -> PreflightData:
    """Read a data set once; what cannot be read is noted, never raised.

    Parameters
    ----------
    pairs : Pairs
    profile : Profile
    engine : Engine or str
        It changes no number.
    """
    data = PreflightData(pairs, profile)
    tables, negative_tables, jobs = {}, {}, []
    for split in SPLITS:
        mine = []
        for file in pairs.files(split):
            try:
                tables[file] = _scalars(data, file, SCALARS, PAIR_SCHEMA, split)
            except READ_ERRORS as error:
                data.unreadable.append((_inside(pairs, file), str(error)))
                continue
            negative_file = _negative_file(pairs, split, file)
            if negative_file is not None:
                try:
                    negative_tables[file] = _scalars(data, negative_file, NEGATIVE_SCALARS, NEGATIVE_SCHEMA, split)
                except READ_ERRORS as error:
                    data.unreadable.append((_inside(pairs, negative_file), str(error)))
                    negative_file = None
            mine.append(Job(split, file, negative_file, ()))
        jobs += _drawn(mine, [tables[job.file].num_rows for job in mine], profile)
    engine = Engine.of(engine).at_most(1 + sum(len(job.chosen) for job in jobs) // SERIAL_BELOW)
    arguments = (pairs.path, profile.model_dump(mode="json"))
    found = engines.run(measure_part, jobs, open_context, arguments, engine, Progress("preflight"))
    done = {m.job.file: m for m in found}
    for job in jobs:
        if done[job.file].error is not None:
            data.unreadable.append((_inside(pairs, job.file), done.pop(job.file).error))
            tables.pop(job.file)
            negative_tables.pop(job.file, None)
    gather(data, [done[job.file] for job in jobs if job.file in done], tables)
    data.scalars = pa.concat_tables(
        [_with_split(PAIR_SCHEMA.empty_table().select(list(SCALARS)), ""), *tables.values()]
    )
    empty = _with_split(NEGATIVE_SCHEMA.empty_table().select(list(NEGATIVE_SCALARS)), "")
    data.negatives = pa.concat_tables([empty, *negative_tables.values()])
    if not np.any(data.images.get("rerendered", False)):
        data.no_sources = data.sources_of_rows.reason or "no source of these rows is in the source set"
    data.exact = bool(pairs.manifest["hosts"]["mock"]) or bool(np.all(data.images.get("psf_image", False)))
    return data


def _drawn(jobs: list[Job], sizes: list[int], profile: Profile) -> list[Job]:
    """The parts of a split with the rows to be measured, drawn over all of them; a smaller number is a part of it."""
    split = SPLITS.index(jobs[0].split) if jobs else 0
    order = keyed(profile.seed, Stream.MEASURED, split).permutation(sum(sizes))[: profile.preflight.max_rows]
    ends = np.cumsum([0, *sizes])
    of_part = np.searchsorted(ends, order, "right") - 1
    return [replace(job, chosen=tuple(sorted((order[of_part == i] - ends[i]).tolist()))) for i, job in enumerate(jobs)]


def gather(data: PreflightData, parts: list[Measured], tables: dict[str, pa.Table]) -> None:
    """Put the parts' measurements together in the order of the tables."""
    begin, rows = dict(zip(tables, np.cumsum([0, *(t.num_rows for t in tables.values())]))), []
    images: dict[str, list] = {}
    hard: dict[str, list] = {}
    every: dict[str, list] = {}
    for part in parts:
        shift = {"pair": len(rows), "row": int(begin[part.job.file])}
        for store, values in ((images, part.pairs), (hard, part.hard), (every, part.every)):
            for name, value in values.items():
                store.setdefault(name, []).append(value + shift[name] if name in shift else value)
        if part.residual is not None:
            total, n = data.residual
            data.residual = (part.residual.astype(float) + (0 if total is None else total), n + part.n_residual)
        rows += [int(begin[part.job.file]) + r for r in part.rows]
        data.masked += part.masked
        for fault, ids in part.bad.items():
            data.bad_images[fault] += ids
        if part.hard_frame is not None:
            data.hard_frame = part.hard_frame.astype(float) + (0 if data.hard_frame is None else data.hard_frame)
    data.image_rows = np.asarray(rows, dtype=int)
    data.images = {name: np.concatenate(values) for name, values in images.items()}
    data.hard = {name: np.concatenate(values) for name, values in hard.items()}
    data.every = {name: np.concatenate(values) for name, values in every.items()}
    data.every_rows = data.every.pop("row", data.every_rows)


def _inside(pairs: Pairs, file: str) -> str:
    return file.removeprefix(pairs.path.rstrip("/") + "/")


def _negative_file(pairs: Pairs, split: str, file: str) -> str | None:
    name = file.rsplit("/", 1)[-1]
    return next((f for f in pairs.files(split, negatives=True) if f.rsplit("/", 1)[-1] == name), None)


def _with_split(table: pa.Table, split: str) -> pa.Table:
    return table.replace_schema_metadata(None).append_column(
        pa.field("folder_split", pa.string()), pa.array([split] * table.num_rows, pa.string())
    )


def _scalars(data: PreflightData, file: str, columns, schema: pa.Schema, split: str) -> pa.Table:
    fs, inner = storage.resolve(file)
    with fs.open_input_file(inner) as stream:
        found = pq.read_schema(stream)
    missing = [c for c in columns if c not in found.names]
    if missing:
        raise DhsError(f"columns missing: {', '.join(missing)}. Make the data set again.")
    version = (found.metadata or {}).get(b"dhs_schema_version")
    wanted = data.pairs.manifest.get("schema_version")
    if version is not None and int(version) != wanted:
        data.versions.append((_inside(data.pairs, file), int(version), wanted))
    table = storage.read_table(file, columns=list(columns)).select(list(columns))
    return _with_split(table.cast(pa.schema([schema.field(c) for c in columns])), split)


def _with_sampling(outcome: Gate, data: PreflightData) -> Gate:
    """Say which pairs a gate measured where those are not all."""
    if outcome.n != data.n_images or data.n_images >= len(data.every_rows):
        return outcome
    return replace(outcome, explanation=f"{outcome.explanation} Measured on {data.sampling}.")


@alone("preflight", "out")
def preflight(
    data_path: str | Path,
    out: str | Path,
    *,
    profile: str | Path | Profile = "demo",
    engine: str = "processes",
    workers: int | None = None,
) -> PreflightReport:
    """Register the plan (`dhs.datasets.preregistration.register`), `check` the data set, write the report.

    Parameters
    ----------
    data_path : str or Path
        Folder or prefix that holds ``split=*`` and ``manifest.json``. The plan is registered beside them, as
        ``plan.json``; nothing else is written there.
    out : str or Path
        Folder for ``preflight.json``; replaced atomically.
    profile : str, Path or Profile
        Thresholds (``preflight``), annulus and hard-negative ratio (``train``), fractions (``splits``).
    engine, workers
        Who measures the images; they change no number.

    Returns
    -------
    PreflightReport

    Raises
    ------
    DhsError
        There is no finished pairs data set at ``data_path``.
    """
    profile = load_profile(profile)
    refuse_unknown_thresholds(profile.preflight.thresholds)
    who, pairs = Engine(engine, workers), open_pairs(data_path)
    registered = preregistration.register(pairs, profile)
    report = check(pairs, profile, who)
    report.data["plan"] = registered["sha256"]
    report.write(out)
    return report


def check(pairs: Pairs, profile: Profile, engine: Engine | str = "processes") -> PreflightReport:
    """Run every gate on a data set; nothing is written."""
    data = collect(pairs, profile, engine)
    outcomes = [_with_sampling(g, data) for g in run_gates(data, alpha=profile.preflight.alpha)]
    mock = [name for name in ("hosts", "sources") if pairs.manifest[name]["mock"]]
    decision, reasons = decide(outcomes, mock)
    about = {
        "content_hash": pairs.manifest.get("content_hash"),
        "counts": pairs.manifest["counts"],
        "rows_read": data.n,
        "images_measured": data.n_images,
        "sampling": data.sampling,
        "mock": mock,
        "thresholds": profile.preflight.model_dump(mode="json"),
    }
    return PreflightReport(decision, tuple(outcomes), tuple(reasons), about)
