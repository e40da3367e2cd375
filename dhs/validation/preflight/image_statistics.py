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
from dhs.datasets.reader import Pairs, images, open_pairs, per_band, rows, stamp
from dhs.datasets.rerender import SourceLookup, rerender
from dhs.datasets.schema import BANDS, NEGATIVE_SCHEMA, PAIR_SCHEMA, STAMP_SHAPE
from dhs.errors import DhsError
from dhs.injection.expected_arc import expected_arc, radius_map
from dhs.injection.hard_negatives.azimuthal import contrast
from dhs.injection.noise import shot_noise
from dhs.random import Stream, generator
from dhs.validation.preflight import features
from dhs.validation.preflight.gates import hard_negatives, normalisation

BATCH = 128
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
    """One part: its split, its files, and how many of its usable rows are to be measured."""

    split: str
    file: str
    negative_file: str | None
    room: int


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
    masked : list of float
        Fraction of pixels without inverse variance, of stamps that have one.
    """

    job: Job
    error: str | None = None
    bad: dict = field(default_factory=lambda: {k: [] for k in FAULTS})
    rows: list = field(default_factory=list)
    pairs: dict = field(default_factory=dict)
    hard: dict = field(default_factory=dict)
    masked: list = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What all parts share; opened once a process."""

    pairs: Pairs
    profile: Profile
    sources: SourceLookup


def open_context(path: str, profile_data: dict) -> Context:
    pairs = open_pairs(path)
    return Context(pairs, parse_profile(profile_data, "preflight configuration"), SourceLookup(pairs.manifest))


def one_part(pairs: Pairs, split: str, file: str) -> Pairs:
    """The data set as if it had this part alone, so that the reader's own road is taken and a bad part stays one."""
    view = copy.copy(pairs)
    view.files = lambda name, negatives=False: [file] if name == split else []
    return view


def measure_part(context: Context, job: Job) -> Measured:
    """Check every image of a part, and measure the first ``room`` usable pairs."""
    out = Measured(job)
    try:
        lights = _lights(context, job)
        for start, batch in _batches(context, job):
            _measure_batch(context, out, start, pa.Table.from_batches([batch]), lights)
    except READ_ERRORS as error:
        return Measured(job, error=f"{error}")
    for store in (out.pairs, out.hard):
        for name, values in store.items():
            store[name] = np.asarray(values)
    return out


def _lights(context: Context, job: Job) -> dict[int, dict]:
    """Hard negatives of the part by the pair they belong to (the first one's kind decides where there are several)."""
    if job.negative_file is None or job.room == 0:
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
        out.masked += (images(table["invvar"].filter(known)) <= 0).mean(axis=(1, 2, 3)).tolist()
    there = pc.and_(table["control"].is_valid(), table["arc"].is_valid())
    out.bad["missing"] += table["pair_id"].filter(pc.invert(there)).to_pylist()
    unneeded = ["invvar"] if table["psf"].null_count == 0 else ["invvar", "psf"]
    whole = table.drop_columns(unneeded).filter(there)
    for name in ("control", "arc"):
        shape = images(whole[name]).shape[1:]
        if shape != STAMP_SHAPE:
            raise DhsError(f"column {name} holds images of shape {shape}, not {STAMP_SHAPE}. Make the data set again.")
    positions = start + np.flatnonzero(there.to_numpy())
    for position, row in zip(positions, rows(whole)):
        fault = _fault(row)
        if fault:
            out.bad[fault].append(row["pair_id"])
        elif len(out.rows) < out.job.room:
            _measure(context, out, row, lights.get(row["pair_id"], []))
            out.rows.append(int(position))


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
    config, sigma = context.profile.preflight, per_band(row, "sky_sigma")
    positive, control = stamp(row), np.asarray(row["control"], dtype=np.float32)
    arc, radius = np.asarray(row["arc"], dtype=float), config.core_radius_px
    source = context.sources.get(row["source_id"])
    again = None if source is None else rerender(row, source, context.sources.supersampling)
    expected = expected_arc(row, radius) if again is None else again.arc
    made = {"positive": positive, "control": control, "expected": _renoised(row, expected)}
    found: dict = {}
    for name, image in made.items():
        found[f"core_{name}"] = features.core_features(image, sigma, radius)
        found[f"radial_{name}"] = features.radial_features(image, sigma)
    for name in ("positive", "control"):
        for key, value in normalisation.sky_numbers(made[name], context.profile.train.annulus_px, arc).items():
            found[f"{key}_{name}"] = value
    total, beyond = arc.sum(axis=(1, 2)), radius_map() >= context.profile.train.annulus_px[0]
    added = positive.astype(float) - control
    found |= {
        "arc_total": total,
        "arc_peak_r": arc[1].max(),
        "arc_beyond": np.clip(arc[1][beyond], 0, None).sum() / total[1] if total[1] else np.nan,
        "control_total": control.sum(axis=(1, 2), dtype=float),
        "texture_positive": hard_negatives.texture_features(positive, sigma),
        "core_added": features.core_fraction(added[1], radius),
        "core_error": features.core_fraction_error(arc[1], radius, float(row["gain_r"])),
        "core_again": features.core_fraction(expected[1], radius),
        "total_added": added.sum(axis=(1, 2)),
        "total_again": expected.sum(axis=(1, 2)),
        "centroid_arc": features.centroid_px(arc[1]),
        "centroid_again": features.centroid_px(expected[1]) if again is None else again.centroid_px,
        "flux_again": np.full(3, np.nan) if again is None else again.flux,
        "magnification_again": np.nan if again is None else again.magnification,
        "rerendered": again is not None,
        "psf_image": "psf" in row,
    }
    for name, value in found.items():
        out.pairs.setdefault(name, []).append(value)
    for light in lights:
        _measure_hard(out, row, light, control, sigma, radius)


def _measure_hard(out: Measured, row: dict, light: dict, control, sigma, radius: float) -> None:
    if light.get("light") is None or not np.isfinite(light["light"]).all():
        return
    gains = {f"gain_{b}": row[f"gain_{b}"] for b in BANDS}
    image = stamp({**gains, "control": control, "light": light["light"], "rng_key": light["rng_key"]})
    x, y = float(row["lens_x_arcsec"]), float(row["lens_y_arcsec"])
    flux = float(row["arc"][1].sum(dtype=float))
    found = {
        "pair": len(out.rows),
        "kind": light["kind"],
        "core": features.core_features(image, sigma, radius),
        "texture": hard_negatives.texture_features(image, sigma),
        "snr_ratio": light["arc_snr_matched"] / row["arc_snr_matched"],
        "flux_ratio": float(light["light"][1].sum(dtype=float)) / flux if flux else np.nan,
        "contrast": contrast(np.asarray(light["light"][1], dtype=float), x, y),
    }
    for name, value in found.items():
        out.hard.setdefault(name, []).append(value)


def _renoised(row: dict, light: np.ndarray) -> np.ndarray:
    """Control plus light plus another draw of that light's shot noise than the stamp's."""
    noise = shot_noise(light, per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT, attempt=1))
    return np.asarray(row["control"], dtype=float) + light + noise
