"""Small SYNTHETIC pairs data sets in the real schema: Gaussian blobs for hosts, pieces of rings for arcs.

They test the machinery; no number measured on them says anything about lenses.
"""

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.datasets.reader import open_pairs
from dhs.datasets.schema import IMAGE, NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION
from dhs.random import rng_key

SKY_SIGMA = np.array([0.0015, 0.003, 0.006])
Y, X = np.mgrid[:64, :64] - 31.5
RADIUS, ANGLE = np.hypot(X, Y), np.arctan2(Y, X)


def make_row(pair_id: int, split: str, rng: np.random.Generator, pairs_per_host: int, arc_sigmas: float) -> dict:
    host = pair_id // pairs_per_host
    host_rng = np.random.default_rng([7, host])
    size, flux = host_rng.uniform(2, 4), host_rng.uniform(0.1, 0.4)
    blob = flux * np.exp(-0.5 * (RADIUS / size) ** 2) * np.array([0.3, 1.0, 2.0])[:, None, None]
    noise = host_rng.normal(size=(3, 64, 64)) * SKY_SIGMA[:, None, None]
    theta_e = rng.uniform(1.5, 3.0)
    ring = np.exp(-0.5 * ((RADIUS - theta_e / 0.262) / 1.5) ** 2)
    phi = rng.uniform(-np.pi, np.pi)
    piece = ring * np.exp(3 * (np.cos(ANGLE - phi) - 1))
    colour = arc_sigmas * SKY_SIGMA[1] * np.array([0.7, 1.0, 1.1])[:, None, None]
    row = {
        "pair_id": pair_id,
        "host_id": f"synthetic-{host}",
        "source_id": f"synthetic-source-{pair_id % 5}",
        "split": split,
        "control": (blob + noise).astype(np.float32),
        "arc": (colour * piece).astype(np.float32),
        "light": (colour * ring * piece.sum() / ring.sum()).astype(np.float32),
        "theta_e_arcsec": theta_e,
        "arc_snr_matched": 50.0,
        "arc_snr_maxpix": arc_sigmas,
        "flags": ["mock"],
        "rng_key": rng_key(1, pair_id),
        "kind": "azimuthal_shuffle",
    }
    for i, band in enumerate("grz"):
        row |= {f"sky_sigma_{band}": SKY_SIGMA[i], f"gain_{band}": 1e4, f"psf_fwhm_{band}_arcsec": 1.2}
    return row


def as_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == IMAGE and all(v is not None for v in values):
            flat = pa.array(np.concatenate([np.ravel(v) for v in values] or [np.empty(0, np.float32)]))
            inner = pa.FixedSizeListArray.from_arrays(flat, IMAGE.storage_type.list_size)
            arrays.append(pa.ExtensionArray.from_storage(IMAGE, inner))
        elif field.type == IMAGE:
            arrays.append(pa.nulls(len(rows), IMAGE))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def write_synthetic_pairs(
    folder,
    counts: dict,
    *,
    per_part=24,
    pairs_per_host=1,
    arc_sigmas=15.0,
    hard_every=2,
    flags=("mock",),
    seed=0,
):
    """Write a synthetic pairs data set and open it."""
    rng, pair_id = np.random.default_rng(seed), 0
    for split, n in counts.items():
        rows = [make_row(pair_id + i, split, rng, pairs_per_host, arc_sigmas) | {"flags": flags} for i in range(n)]
        pair_id += n
        for number, start in enumerate(range(0, n, per_part)):
            part, name = rows[start : start + per_part], f"split={split}/part-{number:05d}.parquet"
            hard = [row for row in part if hard_every and row["pair_id"] % hard_every == 0]
            storage.write_table(storage.join(folder, name), as_table(part, PAIR_SCHEMA))
            storage.write_table(storage.join(folder, "negatives", name), as_table(hard, NEGATIVE_SCHEMA))
    mock = {"kind": "synthetic", "mock": True, "spec": "tests"}
    manifest = {"schema_version": SCHEMA_VERSION, "counts": counts, "hosts": mock, "sources": mock}
    storage.write_json(storage.join(folder, "manifest.json"), manifest | {"content_hash": f"synthetic-{seed}"})
    return open_pairs(folder)
