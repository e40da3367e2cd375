"""``dhs preflight``: one pass over a pairs data set, then every registered gate.

All scalars and all images are read once, part by part: whether they are readable, finite and of the right shape is
checked on every row; the features of the image-based gates are taken from the first ``preflight.max_rows`` pairs
of each split. Memory holds features and scalars, never more than one batch of images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from dhs import storage
from dhs.config import Profile, load_profile
from dhs.datasets.reader import Pairs, open_pairs, per_band, rows, stamp
from dhs.datasets.schema import BANDS, NEGATIVE_SCHEMA, PAIR_SCHEMA, SCALARS, SPLITS, stored
from dhs.errors import DhsError
from dhs.validation import gates, leakage, normalisation, texture
from dhs.validation.expectation import expected_arc, radius_map
from dhs.validation.gate import REGISTRY, PreflightReport, Skip, decide, run_gate

BATCH = 128
READ_ERRORS = (DhsError, OSError, pa.ArrowException, ValueError, KeyError)
NEEDED = (
    *(
        f"{stem}_{band}{unit}"
        for stem, unit in (("gain", ""), ("sky_sigma", ""), ("psf_fwhm", "_arcsec"))
        for band in BANDS
    ),
    *("theta_e_arcsec", "q", "phi_rad", "gamma1", "gamma2", "lens_x_arcsec", "lens_y_arcsec"),
    *("src_x_arcsec", "src_y_arcsec", "arc_snr_matched"),
)

__all__ = ["PreflightData", "PreflightReport", "gates", "leakage", "normalisation", "preflight", "texture"]


@dataclass
class PreflightData:
    """What one pass over a data set found; the argument of every gate.

    Attributes
    ----------
    pairs : Pairs
    profile : Profile
    unreadable : list of (file, reason)
        Parts that could not be read; their rows are in nothing below.
    scalars : pyarrow.Table
        Scalar columns of every readable pair, plus ``folder_split``, the split of the folder it lay in.
    negatives : pyarrow.Table
        Scalar columns of every readable hard negative, plus ``folder_split``.
    bad_images : dict of str to list of int
        Pair ids by fault: ``not_finite``, ``zero_band``, ``missing``.
    images : dict of str to ndarray
        One entry per image-checked pair, in the order of ``image_rows``.
    hard : dict of str to ndarray
        The same for its hard negatives, with ``pair`` the position in ``image_rows``.
    image_rows : ndarray of int
        Rows of ``scalars`` whose images went into ``images``.
    """

    pairs: Pairs
    profile: Profile
    unreadable: list = field(default_factory=list)
    scalars: pa.Table | None = None
    negatives: pa.Table | None = None
    bad_images: dict = field(default_factory=lambda: {"not_finite": [], "zero_band": [], "missing": []})
    images: dict = field(default_factory=dict)
    hard: dict = field(default_factory=dict)
    image_rows: np.ndarray = field(default_factory=lambda: np.empty(0, int))

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

    def per_band(self, name: str, unit: str = "") -> np.ndarray:
        """(n_images, 3) of a per-band column."""
        return np.stack([self.of_images(f"{name}_{b}{unit}").astype(float) for b in BANDS], axis=-1)

    @cached_property
    def hosts(self) -> np.ndarray:
        """Host of each image-checked pair."""
        return self.of_images("host_id").astype(str)

    def need_images(self, least: int = 1) -> None:
        """Skip the gate where fewer pairs than ``least`` have usable images."""
        if self.n_images < least:
            raise Skip(f"{self.n_images} pairs have usable images, {least} are needed.")


def collect(pairs: Pairs, profile: Profile) -> PreflightData:
    """Read a data set once; what cannot be read is noted, never raised."""
    data = PreflightData(pairs, profile)
    parts = [(split, file) for split in SPLITS for file in pairs.files(split)]
    tables, negative_tables, kept = [], [], dict.fromkeys(SPLITS, 0)
    rows_before, chosen = 0, []
    for split, file in tqdm(parts, desc="preflight", unit="part", disable=None):
        try:
            table = _scalars(file, SCALARS, PAIR_SCHEMA, split)
        except READ_ERRORS as error:
            data.unreadable.append((_inside(pairs, file), str(error)))
            continue
        negative_file = _negative_file(pairs, split, file)
        negative = NEGATIVE_SCHEMA.empty_table()
        if negative_file is not None:
            try:
                scalars = [n for n in NEGATIVE_SCHEMA.names if n != "light"]
                negative_tables.append(_scalars(negative_file, scalars, NEGATIVE_SCHEMA, split))
                negative = storage.read_table(negative_file)
            except READ_ERRORS as error:
                data.unreadable.append((_inside(pairs, negative_file), str(error)))
        room = profile.preflight.max_rows - kept[split]
        lengths = [(store, {k: len(v) for k, v in store.items()}) for store in (data.images, data.hard)]
        try:
            usable = _read_images(data, file, negative, room)
        except READ_ERRORS as error:
            data.unreadable.append((_inside(pairs, file), str(error)))
            for store, before in lengths:  # a part that breaks off half-way leaves nothing behind
                for name in store:
                    del store[name][before.get(name, 0) :]
            continue
        tables.append(table)
        chosen.extend(rows_before + np.asarray(usable, int))
        kept[split] += len(usable)
        rows_before += table.num_rows
    empty = _with_split(PAIR_SCHEMA.empty_table().select(list(SCALARS)), "")
    data.scalars = pa.concat_tables([empty, *tables])
    negative_names = [n for n in NEGATIVE_SCHEMA.names if n != "light"]
    empty = _with_split(NEGATIVE_SCHEMA.empty_table().select(negative_names), "")
    data.negatives = pa.concat_tables([empty, *negative_tables])
    data.image_rows = np.asarray(chosen, dtype=int)
    for store in (data.images, data.hard):
        for name, values in store.items():
            store[name] = np.asarray(values)
    return data


def _inside(pairs: Pairs, file: str) -> str:
    return file.removeprefix(pairs.path.rstrip("/") + "/")


def _negative_file(pairs: Pairs, split: str, file: str) -> str | None:
    name = file.rsplit("/", 1)[-1]
    return next((f for f in pairs.files(split, negatives=True) if f.rsplit("/", 1)[-1] == name), None)


def _with_split(table: pa.Table, split: str) -> pa.Table:
    return table.replace_schema_metadata(None).append_column(
        pa.field("folder_split", pa.string()), pa.array([split] * table.num_rows, pa.string())
    )


def _scalars(file: str, columns, schema: pa.Schema, split: str) -> pa.Table:
    table = storage.read_table(file, columns=list(columns))
    missing = [c for c in columns if c not in table.column_names]
    if missing:
        raise DhsError(f"columns missing: {', '.join(missing)}. Make the data set again.")
    return _with_split(table.cast(pa.schema([schema.field(c) for c in columns])), split)


def _read_images(data: PreflightData, file: str, negatives: pa.Table, room: int) -> list[int]:
    """Check every image of a part; features of the first ``room`` usable ones. Their rows within the part."""
    fs, inner = storage.resolve(file)
    usable, start = [], 0
    lights = {row["pair_id"]: row for row in rows(negatives)}
    with fs.open_input_file(inner) as stream:
        part = pq.ParquetFile(stream)
        _check_shapes(part.schema_arrow)
        columns = [c for c in PAIR_SCHEMA.names if c not in ("invvar", "psf")]
        for batch in part.iter_batches(BATCH, columns=columns):
            table = pa.Table.from_batches([batch])
            there = pc.and_(table["control"].is_valid(), table["arc"].is_valid())
            data.bad_images["missing"] += table["pair_id"].filter(pc.invert(there)).to_pylist()
            positions = start + np.flatnonzero(there.to_numpy())
            for position, row in zip(positions, rows(table.filter(there))):
                fault = _fault(row)
                if fault:
                    data.bad_images[fault].append(row["pair_id"])
                elif len(usable) < room:
                    _features(data, row, lights.get(row["pair_id"]))
                    usable.append(position)
            start += batch.num_rows
    return usable


def _check_shapes(schema: pa.Schema) -> None:
    for name in ("control", "arc"):
        if name not in schema.names:
            raise DhsError(f"column {name} is missing. Make the data set again.")
        wanted = PAIR_SCHEMA.field(name).type
        if schema.field(name).type not in (wanted, stored(PAIR_SCHEMA).field(name).type):
            raise DhsError(f"column {name} is {schema.field(name).type}, not {wanted}. Make the data set again.")


def _fault(row: dict) -> str | None:
    if any(row[name] is None or not np.isfinite(row[name]) for name in NEEDED) or not row["rng_key"]:
        return "missing"
    if min(row[name] for name in NEEDED[:9]) <= 0:
        return "missing"
    if not (np.isfinite(row["control"]).all() and np.isfinite(row["arc"]).all()):
        return "not_finite"
    if not np.abs(row["control"]).any(axis=(1, 2)).all():
        return "zero_band"
    return None


def _features(data: PreflightData, row: dict, light: dict | None) -> None:
    config, sigma = data.profile.preflight, per_band(row, "sky_sigma")
    positive, control = stamp(row), np.asarray(row["control"], dtype=np.float32)
    arc, radius = np.asarray(row["arc"], dtype=float), config.core_radius_px
    expected = expected_arc(row, radius)
    made = {"positive": positive, "control": control}
    made["expected"] = leakage.renoised(row, expected)
    store = data.images
    for name, image in made.items():
        store.setdefault(f"core_{name}", []).append(leakage.core_features(image, sigma, radius))
        store.setdefault(f"radial_{name}", []).append(leakage.radial_features(image, sigma))
    for name in ("positive", "control"):
        for key, value in normalisation.sky_numbers(made[name], data.profile.train.annulus_px, arc).items():
            store.setdefault(f"{key}_{name}", []).append(value)
    core, beyond = radius_map() < radius, radius_map() >= data.profile.train.annulus_px[0]
    total = arc.sum(axis=(1, 2))
    store.setdefault("arc_total", []).append(total)
    store.setdefault("arc_peak_r", []).append(arc[1].max())
    store.setdefault("arc_core", []).append(arc[1][core].sum() / total[1] if total[1] else np.nan)
    store.setdefault("arc_core_expected", []).append(_fraction(expected[1], core))
    store.setdefault("arc_beyond", []).append(np.clip(arc[1][beyond], 0, None).sum() / total[1] if total[1] else np.nan)
    store.setdefault("control_total", []).append(control.sum(axis=(1, 2), dtype=float))
    if light is not None and light.get("light") is not None and np.isfinite(light["light"]).all():
        gains = {f"gain_{b}": row[f"gain_{b}"] for b in BANDS}
        image = stamp({**gains, "control": control, "light": light["light"], "rng_key": light["rng_key"]})
        hard = data.hard
        hard.setdefault("pair", []).append(len(store["arc_total"]) - 1)
        hard.setdefault("core", []).append(leakage.core_features(image, sigma, radius))
        hard.setdefault("kind", []).append(light["kind"])
        hard.setdefault("texture", []).append(texture.texture(image, sigma))
        hard.setdefault("texture_positive", []).append(texture.texture(positive, sigma))
        hard.setdefault("snr_ratio", []).append(light["arc_snr_matched"] / row["arc_snr_matched"])


def _fraction(image: np.ndarray, inside: np.ndarray) -> float:
    total = image.sum()
    return float(image[inside].sum() / total) if total > 0 else np.nan


def preflight(data_path: str | Path, out: str | Path, *, profile: str | Path | Profile = "demo") -> PreflightReport:
    """Run every registered gate on a pairs data set and write ``<out>/preflight.json``.

    Parameters
    ----------
    data_path : str or Path
        Folder or prefix that holds ``split=*`` and ``manifest.json``.
    out : str or Path
        Folder for ``preflight.json``; replaced atomically.
    profile : str, Path or Profile
        Thresholds (``preflight``), annulus and hard-negative ratio (``train``), fractions (``splits``).

    Returns
    -------
    PreflightReport

    Raises
    ------
    DhsError
        There is no finished pairs data set at ``data_path``.
    """
    profile = load_profile(profile)
    pairs = open_pairs(data_path)
    data = collect(pairs, profile)
    outcomes = tuple(run_gate(registered, data) for registered in REGISTRY.values())
    mock = [name for name in ("hosts", "sources") if pairs.manifest[name]["mock"]]
    decision, reasons = decide(outcomes, mock)
    about = {
        "content_hash": pairs.manifest.get("content_hash"),
        "counts": pairs.manifest["counts"],
        "rows_read": data.n,
        "images_measured": data.n_images,
        "mock": mock,
        "thresholds": profile.preflight.model_dump(mode="json"),
    }
    report = PreflightReport(decision, outcomes, tuple(reasons), about)
    report.write(out)
    return report
