"""The gates on a training set with leaks planted: every kind at every strength on the same pairs, on many cores.

Only the gates that look at the pixels of positives are run: `GATES`. A leak changes nothing that the others see. Their
tests are corrected together (Holm) as preflight does, over the strata of these gates alone, so they are a little
stricter here than among all gates.
"""

from __future__ import annotations

import multiprocessing
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from leak_kinds import LEAKS

from dhs import storage
from dhs.config import Profile
from dhs.datasets import reader
from dhs.datasets.rerender import SourceLookup, rerender
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCALARS
from dhs.validation.preflight import image_statistics as statistics
from dhs.validation.preflight import pair_measures
from dhs.validation.preflight.gate import Gate, jsonable, run_gates
from dhs.validation.preflight.preflight import PreflightData

GATES = (
    "normalisation",
    "core_leakage",
    "radial_profile_leakage",
    "hard_negative_texture",
    "arc_core_fraction",
    "residual_image",
)
GROUPS = ("leakage", "sky", "arcs", "texture")
PARTS = 28  # of the split that rows are taken from
CLEAN = ("none", 0.0)
SPLIT = "train"


def all_cells() -> list[tuple[str, float]]:
    """The clean set, then every kind at every strength, those that networks are trained at first."""
    trained = [(one.name, s) for one in LEAKS.values() for s in one.strengths]
    return [CLEAN, *trained, *((one.name, s) for one in LEAKS.values() for s in one.faint)]


class Planter:
    """The positive of a row, with a leak in it: takes the place of `dhs.datasets.reader.stamp` in the measurements."""

    def __init__(self):
        self.cell, self.rendered = CLEAN, {}

    def stamp(self, row) -> np.ndarray:
        made = reader.stamp(row)
        kind, strength = self.cell
        if "arc" not in row or kind == "none":
            return made
        one, noise = LEAKS[kind], None
        if one.noisy:
            seed = np.random.SeedSequence([int(row["pair_id"]) % 2**63, zlib.crc32(kind.encode())])
            noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(made.shape, np.float32)
        sigma = reader.per_band(row, "sky_sigma").astype(np.float32)
        control = np.asarray(row["control"], np.float32)
        return one.plant(made, control, sigma, noise, np.float32(strength)).astype(np.float32)

    def rerender(self, row, source, supersampling):
        """Rendered once a pair: a leak leaves the lens as it is."""
        if row["pair_id"] not in self.rendered:
            self.rendered[row["pair_id"]] = rerender(row, source, supersampling)
        return self.rendered[row["pair_id"]]


_HELD: dict = {}


def _open(path: str, profile: Profile) -> None:
    pairs = reader.open_pairs(path)
    _HELD.update(pairs=pairs, profile=profile, sources=SourceLookup(pairs.manifest), planter=Planter())
    pair_measures.stamp, pair_measures.rerender = _HELD["planter"].stamp, _HELD["planter"].rerender


def _first_rows(file: str, n: int) -> list[dict]:
    view, out = statistics.one_part(_HELD["pairs"], SPLIT, file), []
    for batch in view.batches(SPLIT, list(PAIR_SCHEMA.names), max(n, 1)):
        table = pa.Table.from_batches([batch])
        unneeded = ["invvar"] if table["psf"].null_count == 0 else ["invvar", "psf"]
        out += reader.rows(table.drop_columns(unneeded))
        if len(out) >= n:
            break
    return [{**row, "folder_split": SPLIT} for row in out[:n]]


def _lights(file: str | None, wanted: set) -> list[dict]:
    """Hard negatives of the wanted pairs; they lie in the order of their pairs."""
    if file is None:
        return []
    view, out = statistics.one_part(_HELD["pairs"], SPLIT, file), []
    for batch in view.batches(SPLIT, list(NEGATIVE_SCHEMA.names), 64, negatives=True):
        mine = [r for r in reader.rows(pa.Table.from_batches([batch])) if r["pair_id"] in wanted]
        if out and not mine:
            break
        out += mine
    return out


def _measured(job: tuple) -> dict:
    """Rows of one part, measured with every leak in turn."""
    file, negative_file, n, cells = job
    rows = _first_rows(file, n)
    lights: dict = {}
    for light in _lights(negative_file, {r["pair_id"] for r in rows}):
        lights.setdefault(light["pair_id"], []).append(light)
    context = statistics.Context(_HELD["pairs"], _HELD["profile"], _HELD["sources"], GROUPS, embed=False)
    out: dict = {}
    for cell in dict.fromkeys((CLEAN, *cells)):
        _HELD["planter"].cell = cell
        found = statistics.Measured(statistics.Job(SPLIT, file, None, tuple(range(len(rows)))))
        statistics.measure_rows(context, found, rows, range(len(rows)), lights if cell == CLEAN else {})
        out[cell] = statistics.finished(found)
    _HELD["planter"].rendered.clear()
    own = [{name: row.get(name) for name in (*SCALARS, "folder_split")} for row in rows]
    return {"rows": own, "cells": out}


def _data(parts: list[dict], cell: tuple, profile: Profile, manifest: dict) -> PreflightData:
    """What preflight would hold of all parts with this leak; hard negatives are those of the clean set."""
    data = PreflightData(SimpleNamespace(manifest=manifest, path=""), profile)
    fields = [PAIR_SCHEMA.field(n) for n in SCALARS] + [pa.field("folder_split", pa.string())]
    rows, images, hard, every, image_rows, n_images = [], {}, {}, {}, [], 0
    for part in parts:
        found, clean = part["cells"][cell], part["cells"][CLEAN]
        for name, values in found.pairs.items():
            images.setdefault(name, []).append(values)
        for name, values in clean.hard.items():
            hard.setdefault(name, []).append(values + n_images if name == "pair" else values)
        for name, values in found.every.items():
            every.setdefault(name, []).append(values + len(rows) if name == "row" else values)
        if found.residual is not None:
            total, n = data.residual
            data.residual = (found.residual.astype(float) + (0 if total is None else total), n + found.n_residual)
        image_rows += [len(rows) + r for r in found.rows]
        n_images += len(found.rows)
        rows += part["rows"]
    data.scalars = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    data.images, data.hard, data.every = ({k: np.concatenate(v) for k, v in d.items()} for d in (images, hard, every))
    data.every_rows, data.image_rows = data.every.pop("row"), np.asarray(image_rows, int)
    data.exact = bool(manifest["hosts"]["mock"]) or bool(np.all(data.images.get("psf_image", False)))
    return data


def distance(gate: Gate) -> dict:
    """How far a gate's value lies from what is right, in units of its limit; 1 is at the limit.

    Of a leakage gate the greater of the two departures, over all pairs and within pairs; of the arcs' the greater of
    mean and share of arcs that miss.
    """
    d, limit = jsonable(gate.details), gate.threshold
    entry = lambda m, unit, centre=0.0: _entry(m, unit, centre) if m and m.get("value") is not None else None  # noqa: E731
    if "within_pairs" in d:
        found = [entry(d["delta"], d["margin"]), entry(d["within_pairs"].get("delta"), d["margin"])]
    elif gate.name == "arc_core_fraction" and d.get("bins"):
        found = [entry(d["bins"][0], limit), entry(d["bins"][0].get("missed"), 0.01)]
    else:
        own = {"value": gate.value, "ci_low": gate.ci_low, "ci_high": gate.ci_high}
        centre = 0.5 if gate.name == "hard_negative_texture" else 0.0
        found = [entry(own, limit - centre, centre) if limit else None]
    return max((f for f in found if f), key=lambda f: abs(f["distance"]), default={"distance": None})


def _entry(metric: dict, unit: float, centre: float) -> dict:
    keys = {"distance": "value", "distance_low": "ci_low", "distance_high": "ci_high"}
    return {k: None if metric.get(v) is None else (metric[v] - centre) / unit for k, v in keys.items()}


def _judged(cell: tuple) -> list[dict]:
    data = _data(_HELD["parts"], cell, _HELD["profile"], _HELD["manifest"])
    out = []
    for gate in run_gates(data, GATES, _HELD["profile"].preflight.alpha):
        p = gate.details.get("holm") or {}
        row = {"kind": cell[0], "strength": cell[1], "gate": gate.name, "status": gate.status, "value": gate.value}
        row |= {"ci_low": gate.ci_low, "ci_high": gate.ci_high, "threshold": gate.threshold, "n": gate.n}
        row |= {"holm_p": min(p.values(), default=None), "holm_tests": len(p), **distance(gate)}
        out.append(row | {"explanation": gate.explanation[:400]})
    return out


def jobs_of(pairs: reader.Pairs, n_pairs: int, cells: list[tuple]) -> list[tuple]:
    """Parts spread evenly over the split, and how many rows of each."""
    files = pairs.files(SPLIT)
    negatives = {f.rsplit("/", 1)[-1]: f for f in pairs.files(SPLIT, negatives=True)}
    some = [files[int(i)] for i in np.unique(np.linspace(0, len(files) - 1, min(PARTS, len(files))).round())]
    return [(f, negatives.get(f.rsplit("/", 1)[-1]), -(-n_pairs // len(some)), cells) for f in some]


def run(path: str, profile: Profile, out: Path, n_pairs: int, workers: int, only: list[tuple] | None = None) -> dict:
    """Judge every cell that the results file has not; it is written after each.

    Parameters
    ----------
    path : str
        Of the pairs.
    profile : Profile
    out : Path
        ``gates.json``.
    n_pairs : int
        Of the training split, about.
    workers : int
    only : list of (kind, strength), optional
        Cells; all of `all_cells` by default.

    Returns
    -------
    dict
        ``rows``, one a cell and gate; ``n_pairs``, ``n_hosts``, ``n_sources``, ``seconds``.
    """
    held = storage.read_json(out) if out.exists() else {"rows": []}
    done = {(r["kind"], r["strength"]) for r in held["rows"]}
    todo = [c for c in only or all_cells() if c not in done]
    if not todo:
        return held
    start, pairs = time.monotonic(), reader.open_pairs(path)
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, _open, (path, profile)) as pool:
        parts = pool.map(_measured, jobs_of(pairs, n_pairs, todo), chunksize=1)
    held["measured_s"] = time.monotonic() - start
    print(f"  gates: {sum(len(p['rows']) for p in parts)} pairs measured in {held['measured_s']:.0f} s", flush=True)
    rows = [row for part in parts for row in part["rows"]]
    held |= {"n_pairs": len(rows), "n_hosts": len({r["host_id"] for r in rows})}
    held["n_sources"] = len({r["source_id"] for r in rows})
    _HELD.update(parts=parts, profile=profile, manifest=pairs.manifest)
    with context.Pool(workers) as pool:
        for found in pool.imap_unordered(_judged, todo):
            held["rows"] += found
            held["seconds"] = time.monotonic() - start
            storage.write_json(out, jsonable(held))
    _HELD.pop("parts")
    return held
