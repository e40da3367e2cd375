"""One pass over the images of a data set: what every gate needs, and nothing as large as an image.

Parts are measured by one process or several, with the same result; a part that cannot be read is noted with its
reason and leaves nothing behind.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dhs.config import Profile, parse_profile
from dhs.datasets.reader import Pairs, images, open_pairs, per_band, rows
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import BANDS, NEGATIVE_SCHEMA, PAIR_SCHEMA, STAMP_SHAPE
from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.stats import duplicates
from dhs.validation.preflight import pair_measures

BATCH = 128
FRESH_EVERY = 8  # pairs whose controls are embedded with fresh noise as well
READ_ERRORS = (DhsError, OSError, pa.ArrowException, ValueError, KeyError, AttributeError)
POSITIVE = tuple(
    f"{stem}_{band}{unit}"
    for stem, unit in (("gain", ""), ("sky_sigma", ""), ("psf_fwhm", "_arcsec"))
    for band in BANDS
)
LENS = ("theta_e_arcsec", "q", "phi_rad", "gamma1", "gamma2", "lens_x_arcsec", "lens_y_arcsec")
LENS += ("src_x_arcsec", "src_y_arcsec")
NEEDED = (*POSITIVE, *LENS, "arc_snr_matched")
FAULTS = ("not_finite", "zero_band", "missing")


@dataclass(frozen=True)
class Job:
    """One part: its split, its files, and the rows whose costly measurements were drawn (positions in the part)."""

    split: str
    file: str
    negative_file: str | None
    chosen: tuple[int, ...]


@dataclass
class Measured:
    """What one part gave.

    Attributes
    ----------
    job : Job
    error : str or None
        Why the part could not be read.
    bad : dict of str to list of int
        Pair ids by fault.
    rows : list of int
        Rows of the part that were measured.
    pairs, hard : dict of str to ndarray
        One entry per measured pair, and per hard negative of one; ``hard["pair"]`` is the place in ``rows``.
    every : dict of str to ndarray
        Cheap numbers of every usable pair; ``every["row"]`` is its row of the part.
    residual : ndarray or None
        Sums of `dhs.validation.preflight.gates.pixels.residual_image.sums`, float32, and over how many pairs.
    hard_frame : ndarray or None
        Sums over hard negatives of their light in sky noise and of its square, (2, 3, 64, 64) float32.
    masked : list of float
        Fraction of pixels without inverse variance, of stamps that have one.
    """

    job: Job
    error: str | None = None
    bad: dict = field(default_factory=lambda: {k: [] for k in FAULTS})
    rows: list = field(default_factory=list)
    pairs: dict = field(default_factory=dict)
    hard: dict = field(default_factory=dict)
    every: dict = field(default_factory=dict)
    residual: np.ndarray | None = None
    n_residual: int = 0
    hard_frame: np.ndarray | None = None
    masked: list = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What all parts share; opened once a process. ``groups``, ``embed`` and ``residual`` say what is measured."""

    pairs: Pairs
    profile: Profile
    sources: SourceLookup
    groups: tuple[str, ...] = tuple(pair_measures.GROUPS)
    embed: bool = True
    residual: bool = True


def open_context(path: str, profile_data: dict) -> Context:
    pairs = open_pairs(path)
    return Context(pairs, parse_profile(profile_data, "preflight configuration"), SourceLookup(pairs.manifest))


def one_part(pairs: Pairs, split: str, file: str) -> Pairs:
    """The data set as if it had this part alone, so that the reader's own road is taken and a bad part stays one."""
    view = copy.copy(pairs)
    view.files = lambda name, negatives=False: [file] if name == split else []
    return view


def measure_part(context: Context, job: Job) -> Measured:
    """Check every image of a part, and measure the chosen pairs that are usable."""
    out = Measured(job)
    try:
        lights = _lights(context, job)
        for start, batch in _batches(context, job):
            _measure_batch(context, out, start, pa.Table.from_batches([batch]), lights)
    except READ_ERRORS as error:
        return Measured(job, error=f"{error}")
    return finished(out)


def finished(out: Measured) -> Measured:
    """Its lists as arrays."""
    for store in (out.pairs, out.hard, out.every):
        for name, values in store.items():
            store[name] = np.asarray(values)
    if out.residual is not None:
        out.residual = out.residual.astype(np.float32)
    if out.hard_frame is not None:
        out.hard_frame = out.hard_frame.astype(np.float32)
    return out


def _lights(context: Context, job: Job) -> dict[int, dict]:
    """Hard negatives of the part by the pair they belong to (the first one's kind decides where there are several)."""
    if job.negative_file is None or not job.chosen:
        return {}
    view = one_part(context.pairs, job.split, job.negative_file)
    found: dict[int, list[dict]] = {}
    for batch in view.batches(job.split, list(NEGATIVE_SCHEMA.names), BATCH, negatives=True):
        for row in rows(pa.Table.from_batches([batch])):
            found.setdefault(row["pair_id"], []).append(row)
    return found


def _batches(context: Context, job: Job) -> Iterator[tuple[int, pa.RecordBatch]]:
    view, start = one_part(context.pairs, job.split, job.file), 0
    for batch in view.batches(job.split, list(PAIR_SCHEMA.names), BATCH):
        yield start, batch
        start += batch.num_rows


def _measure_batch(context: Context, out: Measured, start: int, table: pa.Table, lights: dict) -> None:
    known = table["invvar"].is_valid()
    if pc.any(known).as_py():
        out.masked += (images(table["invvar"].filter(known), noisy=False) <= 0).mean(axis=(1, 2, 3)).tolist()
    there = pc.and_(table["control"].is_valid(), table["arc"].is_valid())
    out.bad["missing"] += table["pair_id"].filter(pc.invert(there)).to_pylist()
    unneeded = ["invvar"] if table["psf"].null_count == 0 else ["invvar", "psf"]
    whole = table.drop_columns(unneeded).filter(there)
    for name in ("control", "arc"):
        shape = images(whole[name], noisy=False).shape[1:]
        if shape != STAMP_SHAPE:
            raise DhsError(f"column {name} holds images of shape {shape}, not {STAMP_SHAPE}. Make the data set again.")
    measure_rows(context, out, rows(whole), start + np.flatnonzero(there.to_numpy()), lights)


def measure_rows(context: Context, out: Measured, decoded: list[dict], positions, lights: dict) -> None:
    """Check rows of a part, count the usable ones, and measure those of them that were chosen.

    Parameters
    ----------
    context : Context
    out : Measured
        Grows.
    decoded : list of dict
        Rows of `PAIR_SCHEMA`, images as arrays.
    positions : sequence of int
        Their rows of the part.
    lights : dict of int to list of dict
        Hard negatives by pair.
    """
    chosen, usable = set(out.job.chosen), []
    for position, row in zip(positions, decoded):
        fault = _fault(row)
        if fault:
            out.bad[fault].append(row["pair_id"])
        if fault and not (fault == "missing" and _has_images(row)):
            continue
        usable.append(row)
        for name, value in {"row": int(position), **pair_measures.every(row)}.items():
            out.every.setdefault(name, []).append(value)
        if not fault and int(position) in chosen:
            _measure(context, out, row, lights.get(row["pair_id"], []))
            out.rows.append(int(position))
    if usable and context.embed:
        for name, values in _embed(usable, context.profile.seed).items():
            out.every.setdefault(name, []).extend(values)


def _embed(usable: list[dict], seed: int) -> dict[str, np.ndarray]:
    """What the controls of some rows are, and again under fresh noise for one in `FRESH_EVERY` of them, NaN else."""
    sigma = np.stack([per_band(row, "sky_sigma") for row in usable])[:, :, None, None]
    controls = (np.stack([row["control"] for row in usable]) / sigma).astype(np.float32)
    vectors, flux = duplicates.embed(controls)
    fresh, some = np.full_like(vectors, np.nan), np.flatnonzero([row["pair_id"] % FRESH_EVERY == 0 for row in usable])
    if len(some):
        noise = [keyed(seed, Stream.FRESH_NOISE, int(usable[i]["pair_id"]) % 2**63) for i in some]
        noise = [rng.standard_normal(controls[0].shape, np.float32) for rng in noise]
        fresh[some] = duplicates.embed(controls[some] + np.stack(noise))[0]
    return {"host_vector": vectors, "host_flux": flux, "host_fresh": fresh}


def _has_images(row: dict) -> bool:
    """Whether a row without all its parameters can still be compared by its pixels."""
    sigma = [row[f"sky_sigma_{b}"] for b in BANDS]
    if any(s is None or not s > 0 for s in sigma):
        return False
    return bool(np.isfinite(row["control"]).all() and np.isfinite(row["arc"]).all())


def _fault(row: dict) -> str | None:
    if any(row[name] is None or not np.isfinite(row[name]) for name in NEEDED) or not row["rng_key"]:
        return "missing"
    if min(row[name] for name in POSITIVE) <= 0:
        return "missing"
    if not (np.isfinite(row["control"]).all() and np.isfinite(row["arc"]).all()):
        return "not_finite"
    if not np.abs(row["control"]).any(axis=(1, 2)).all():
        return "zero_band"
    return None


def _measure(context: Context, out: Measured, row: dict, lights: list[dict]) -> None:
    item = pair_measures.Item(row, context.profile, context.sources)
    for group in context.groups:
        for name, value in pair_measures.GROUPS[group](item).items():
            out.pairs.setdefault(name, []).append(value)
    part = pair_measures.residual(item) if context.residual else None
    if part is not None:
        out.residual = part if out.residual is None else out.residual + part
        out.n_residual += 1
    for light in lights:
        for name, value in (pair_measures.hard(item, light) or {}).items():
            out.hard.setdefault(name, []).append(value)
            if name == "kind":
                out.hard.setdefault("pair", []).append(len(out.rows))
                added = np.asarray(light["light"], float) / item.sigma[:, None, None]
                part = np.stack([added, added**2])
                out.hard_frame = part if out.hard_frame is None else out.hard_frame + part
