"""A small pairs data set and artefacts in the shapes of the contract, made without the other rooms."""

import json

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dhs.datasets.reader import Pairs
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION

matplotlib.use("Agg")

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


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> Pairs:
    return write_pairs(tmp_path_factory.mktemp("run") / "pairs")


def metric(value, low=None, high=None, n=400) -> dict:
    return {
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "n": n,
        "n_hosts": 300,
        "n_sources": 40,
        "flags": [],
    }


def gate(name, status="pass", value=None, low=None, high=None, limit=None, **more) -> dict:
    measured = metric(value, low, high, 100) | {
        "threshold": limit,
        "status": status,
        "blocking": status != "skip",
    }
    return {"name": name, "explanation": "What <it> means.", "remedy": "What to do.", "figure": None} | measured | more


@pytest.fixture
def report() -> dict:
    bins = [
        {"lo": 0.5 * i, "hi": 0.5 * (i + 1), "null_low": 0.46, "null_high": 0.54, "expected": 0.6}
        | metric(0.75 - 0.05 * i, 0.7 - 0.05 * i, 0.8 - 0.05 * i)
        for i in range(1, 5)
    ]
    bins.append({"lo": 2.5, "hi": 3.0, "null_low": None, "null_high": None, "expected": None} | metric(None))
    gates = [
        gate("data_integrity", value=0.0, limit=0.0),
        gate("core_leakage", "warn", 0.62, 0.58, 0.66, 0.65, details={"bins": bins}),
        gate("hard_negative_texture", "fail", 0.8, 0.75, 0.85, 0.6),
        gate("samples", "skip"),
    ]
    return {"decision": "NO-GO", "gates": gates}


@pytest.fixture
def scores() -> pa.Table:
    rng = np.random.default_rng(1)

    def block(kind, ids, mean):
        n = len(ids)
        return pd.DataFrame(
            {
                "pair_id": ids,
                "host_id": [f"{kind}-{i}" for i in range(n)],
                "kind": kind,
                "split": "test",
                "logit": rng.normal(mean, 1.5, n).astype("f4"),
                "logit_core_masked": rng.normal(mean - 0.5, 1.5, n) if kind == "positive" else np.nan,
                "theta_e_arcsec": rng.uniform(0.5, 3, n),
                "arc_snr_matched": rng.uniform(10, 200, n),
            }
        )

    ids = np.arange(30, 42)
    blocks = [
        block("positive", ids, 2),
        block("control", ids, -1),
        block("hard_negative:azimuthal_shuffle", ids[:6], 0),
    ]
    blocks += [block("survey_negative", np.full(300, -1), -2)]
    return pa.Table.from_pandas(pd.concat(blocks, ignore_index=True), preserve_index=False)


@pytest.fixture
def evaluation() -> dict:
    return {
        "auroc": metric(0.91, 0.88, 0.94),
        "strata": {
            "theta_e_arcsec": [
                {"lo": 0.5, "hi": 1.0} | metric(0.7, 0.6, 0.8),
                {"lo": 1.0, "hi": 3.0} | metric(None),
            ],
            "psf_fwhm_r_arcsec": [],
        },
        "tpr_at_fpr": [{"fpr": 0.1} | metric(0.8, 0.7, 0.9), {"fpr": 0.01} | metric(0.6, 0.5, 0.7)],
        "core_masked": {"auroc": metric(0.85, 0.8, 0.9)},
        "core_swap": {"status": "skip", "reason": "not made at this size"},
        "calibration": {
            "bins": [{"mean_probability": x, "fraction": x, "ci_low": 0.0, "ci_high": 1.0, "n": 9} for x in (0.1, 0.9)],
            "temperature": 1.4,
        },
        "completeness": {
            "cells": [
                {"theta_e_lo": a, "theta_e_hi": a + 1, "snr_lo": b, "snr_hi": 2 * b} | metric(0.5 if b > 5 else None)
                for a in (0.5, 1.5)
                for b in (5, 10)
            ]
        },
    }


@pytest.fixture
def history() -> pd.DataFrame:
    epoch = np.arange(1, 6)
    columns = {"loss_train": 0.7 / epoch, "loss_val": 0.8 / epoch, "auroc_val": 1 - 0.4 / epoch}
    columns |= {"auroc_theta_e_0.5_1": 1 - 0.5 / epoch, "grad_norm": 1 / epoch, "lr": 1e-3 / epoch}
    columns["auroc_core_masked"] = np.where(epoch == 5, 0.8, np.nan)
    return pd.DataFrame({"epoch": epoch} | columns)
