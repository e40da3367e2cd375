"""Tiny synthetic pairs data sets in the real schema, clean or with one planted fault.

Hosts are round with a random size, flux and colour in white noise; arcs are the mock source galaxies of the package
through a lens, so that they can be rendered again. Faults are planted by changing rows before they are written.
"""

import json
import shutil
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs.config import SourcesConfig, load_profile
from dhs.datasets import preregistration
from dhs.datasets.reader import open_pairs
from dhs.datasets.schema import IMAGE, NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION, SPLITS
from dhs.injection.hard_negatives.azimuthal import MIN_CONTRAST, azimuthal_blocks, contrast
from dhs.injection.lens import Lens
from dhs.injection.render.reference import convolve_and_bin, lensed_light, moffat_kernel
from dhs.injection.sources.open import open_sources
from dhs.random import Stream, generator, rng_key
from dhs.survey.facts import PIXEL_SCALE
from dhs.validation.evaluation import evaluate as evaluation

SEED, SS = 5, 2
SIGMA = np.array([0.0015, 0.0025, 0.006])
GAIN = np.array([5e4, 4e4, 3e4])
FWHM = np.array([1.35, 1.2, 1.1])
KERNELS = [moffat_kernel(f, SS) for f in FWHM]


def host_image(rng) -> np.ndarray:
    axis = (np.arange(64) - 31.5) * PIXEL_SCALE
    radius = np.hypot(axis[:, None], axis[None, :])
    profile = np.exp(-1.68 * (np.hypot(radius, 0.5) / rng.uniform(0.8, 1.4)))
    flux = 10 ** rng.uniform(0.4, 1.2) * np.array([0.25, 1.0, 1.9]) * np.exp(0.1 * rng.normal(size=3))
    image = profile / profile.sum() * flux[:, None, None]
    return (image + rng.normal(size=(3, 64, 64)) * SIGMA[:, None, None]).astype(np.float32)


@cache
def sources():
    """The mock source galaxies that the manifest below names, ten of the forty for each of val and test."""
    return open_sources(SourcesConfig(spec="mock"), SEED)


SOURCE_RANGE = {"train": (0, 20), "val": (20, 30), "test": (30, 40)}


def make_rows(n: int = 320, first: int = 0) -> tuple[list[dict], list[dict]]:
    """Rows of pairs and of their hard negatives; one host a pair, two hosts a cell."""
    pairs, negatives = [], []
    for i in range(first, first + n):
        rng = np.random.default_rng([SEED, i])
        cell = i // 2
        split = "val" if cell % 20 in (3, 9, 15) else "test" if cell % 20 in (5, 11, 18) else "train"
        rejected = int(rng.integers(2))
        drawn = generator(rng_key(SEED, i), Stream.DRAW, rejected)
        low, high = SOURCE_RANGE[split]
        source = sources().read(low + int(drawn.integers(high - low)))
        theta = float(drawn.uniform(0.5, 3.0))
        beta = theta * np.sqrt(rng.uniform(0.01, 0.5))
        angle = rng.uniform(0, 2 * np.pi)
        lens = Lens(theta, rng.uniform(0.6, 0.95), rng.uniform(0, np.pi), *rng.normal(0, 0.02, 2))
        light = lensed_light(lens, source, beta * np.cos(angle), beta * np.sin(angle), 0.0, SS)
        unit = convolve_and_bin(light, KERNELS, SS) * source.flux[:, None, None]
        snr = np.exp(rng.uniform(np.log(3), np.log(50)))
        scale = snr * SIGMA[1] / unit[1].max()
        arc = (unit * scale).astype(np.float32)
        matched = float(np.sqrt((arc**2 / SIGMA[:, None, None] ** 2).sum()))
        row = {
            "pair_id": i,
            "host_id": f"host-{i:04d}",
            "source_id": source.source_id,
            "split": split,
            "brickname": f"brick-{cell:04d}",
            "healpix": cell,
            "ra": float(rng.uniform(0, 360)),
            "dec": float(rng.uniform(-20, 30)),  # south of the northern filters
            "control": host_image(rng),
            "arc": arc,
            "theta_e_arcsec": theta,
            "q": lens.q,
            "phi_rad": lens.phi,
            "gamma1": lens.gamma1,
            "gamma2": lens.gamma2,
            "slope": 2.0,
            "lens_x_arcsec": 0.0,
            "lens_y_arcsec": 0.0,
            "src_x_arcsec": beta * np.cos(angle),
            "src_y_arcsec": beta * np.sin(angle),
            "src_phi_rad": 0.0,
            "flux_scale": scale,
            "z_lens": 0.5,
            "z_source": 1.5,
            "n_rejected": rejected,
            "population_weight": theta**-2.0,
            "arc_snr_matched": matched,
            "arc_snr_maxpix": snr,
            "magnification": light.sum(),
            "n_images": 4,
            "lag1": 0.0,
            "flags": ["mock"],
            "rng_key": rng_key(SEED, i),
        }
        for b, band in enumerate("grz"):
            row |= {
                f"sky_sigma_{band}": SIGMA[b],
                f"gain_{band}": GAIN[b],
                f"psf_fwhm_{band}_arcsec": FWHM[b],
            }
            row[f"arc_flux_{band}"] = arc[b].sum()
        pairs.append(row)
        if i % 2 == 0:
            turned = azimuthal_blocks(light, 0.0, 0.0, FWHM.max(), PIXEL_SCALE / SS, rng)
            other = convolve_and_bin(turned, KERNELS, SS) * source.flux[:, None, None]
            if contrast(other[1], 0.0, 0.0) < MIN_CONTRAST:
                continue
            other *= matched / np.sqrt((other**2 / SIGMA[:, None, None] ** 2).sum())
            extra = {"kind": "azimuthal_shuffle", "light": other.astype(np.float32), "contrast": 1.0}
            keys = ("pair_id", "host_id", "source_id", "split", "arc_snr_matched", "rng_key")
            negatives.append({**{k: row[k] for k in keys}, **extra})
    return pairs, negatives


def table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == IMAGE:
            flat = np.concatenate([np.zeros(12288, np.float32) if v is None else v.ravel() for v in values] or [[]])
            mask = pa.array([v is None for v in values], pa.bool_())
            storage = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), 12288, mask=mask)
            columns.append(pa.ExtensionArray.from_storage(IMAGE, storage))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def write(folder, pairs: list[dict], negatives: list[dict], mock=("hosts", "sources"), parts: int = 2):
    """Write rows as a finished data set; the folder of a row is its ``folder`` or its ``split``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    counts = {}
    for split in SPLITS:
        mine = [r for r in pairs if r.get("folder", r["split"]) == split]
        counts[split] = len(mine)
        step = -(-len(mine) // parts) or 1
        for k, start in enumerate(range(0, len(mine), step)):
            chosen = mine[start : start + step]
            ids = {r["pair_id"] for r in chosen}
            theirs = [r for r in negatives if r["pair_id"] in ids and r.get("folder", r["split"]) == split]
            for base, rows, schema in (("", chosen, PAIR_SCHEMA), ("negatives/", theirs, NEGATIVE_SCHEMA)):
                path = folder / f"{base}split={split}" / f"part-{k:05d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table(rows, schema), path)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "seed": SEED,
        "counts": counts,
        "content_hash": "0" * 64,
        "config": load_profile(
            "smoke", injection__prior="response_grid", sources__spec="mock", injection__supersampling=SS
        ).model_dump(mode="json"),
        "negatives": {"azimuthal_shuffle": len(negatives), "refused": {}},
        "draws": {"accepted": len(pairs), "rejected": {}},
    }
    for name in ("hosts", "sources"):
        manifest[name] = {
            "kind": "mock",
            "spec": "mock",
            "mock": name in mock,
            "n": 1,
            "per_split": {name: high - low for name, (low, high) in SOURCE_RANGE.items()},
            "refused": 0,
        }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_pairs(folder)


def evaluate(path, checkpoint, out, *, profile, **options):
    """`dhs.evaluate` under a plan of the same settings, registered first as ``dhs preflight`` would."""
    preregistration.register(open_pairs(path), profile)
    return evaluation.evaluate(path, checkpoint, out, profile=profile, **options)
