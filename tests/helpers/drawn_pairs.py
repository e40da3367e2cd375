"""A small pairs data set of a Gaussian galaxy and a ring, made without the other rooms."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs.datasets.reader import Pairs
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION

COUNTS = {"train": 24, "val": 6, "test": 12}


def tensor(images: np.ndarray) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images, dtype=np.float32))


def write_pairs(folder) -> Pairs:
    """24 + 6 + 12 pairs of a Gaussian galaxy and a ring; half of them with a hard negative."""
    rng = np.random.default_rng(0)
    y, x = np.indices((64, 64)) - 31.5
    radius = np.hypot(x, y) * 0.262
    first = 0
    for split, n in COUNTS.items():
        theta = np.linspace(0.6, 2.8, n)
        galaxy = np.exp(-0.5 * (radius / 1.2) ** 2) * np.array([0.2, 0.6, 0.9])[:, None, None]
        noise = rng.normal(0, [[[0.002]], [[0.003]], [[0.006]]], (n, 3, 64, 64))
        ring = (
            np.exp(-0.5 * ((radius - theta[:, None, None]) / 0.5) ** 2)[:, None]
            * np.array([0.05, 0.04, 0.03])[:, None, None]
        )
        columns = {}
        for field in PAIR_SCHEMA:
            if field.name == "control":
                columns[field.name] = tensor(galaxy + noise)
            elif field.name == "arc":
                columns[field.name] = tensor(ring)
            elif field.name in ("invvar", "psf"):
                columns[field.name] = pa.ExtensionArray.from_storage(field.type, pa.nulls(n, field.type.storage_type))
            elif field.name == "flags":
                columns[field.name] = pa.array([["mock"]] * n, field.type)
            elif pa.types.is_string(field.type):
                values = [split] * n if field.name == "split" else [f"{field.name}-{first + i}" for i in range(n)]
                if field.name == "rng_key":
                    values = [f"1:{first + i}" for i in range(n)]
                columns[field.name] = pa.array(values)
            elif pa.types.is_integer(field.type):
                columns[field.name] = pa.array(np.arange(first, first + n), field.type)
            else:
                columns[field.name] = pa.array(rng.uniform(1, 30, n), field.type)
        for name, value in {"theta_e_arcsec": theta, "q": rng.uniform(0.5, 1, n)}.items():
            columns[name] = pa.array(value, pa.float32())
        for band, sigma in zip("grz", (0.002, 0.003, 0.006)):
            columns[f"sky_sigma_{band}"] = pa.array(np.full(n, sigma), pa.float32())
            columns[f"psf_fwhm_{band}_arcsec"] = pa.array(rng.normal(1.2, 0.1, n), pa.float32())
            columns[f"gain_{band}"] = pa.array(np.full(n, 4e4), pa.float32())
        part = folder / f"split={split}" / "part-00000.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns, schema=PAIR_SCHEMA), part)
        half = n // 2
        hard = {"light": tensor(np.roll(ring[:half], 9, axis=-1))}
        for field in NEGATIVE_SCHEMA:
            if field.name in columns:
                hard[field.name] = columns[field.name].slice(0, half)
            elif field.name != "light":
                value = (
                    pa.array(["azimuthal_shuffle"] * half)
                    if field.name == "kind"
                    else pa.array(np.ones(half), field.type)
                )
                hard[field.name] = value
        part = folder / "negatives" / f"split={split}" / "part-00000.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(pa.table({f.name: hard[f.name] for f in NEGATIVE_SCHEMA}, schema=NEGATIVE_SCHEMA), part)
        first += n
    per_split = {"train": 20, "val": 5, "test": 9}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "seed": 1,
        "counts": COUNTS,
        "hosts": {"kind": "mock", "spec": "mock", "mock": True, "n": 34, "per_split": per_split, "refused": 0},
        "sources": {"kind": "xdf", "spec": "xdf", "mock": False, "n": 12, "per_split": per_split, "refused": 2,
                    "limits": ["JPEG", "no redshifts"]},
        "draws": {"accepted": 42, "rejected": {"single_image": 30, "low_magnification": 12}},
        "negatives": {"azimuthal_shuffle": 21, "refused": {"no_contrast": 4}},
        "content_hash": "ab" * 32,
    }  # fmt: skip
    manifest["hosts"]["known_lens_catalogue"] = None
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Pairs(folder)
