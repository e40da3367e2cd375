# ruff: noqa: E402  (thread counts are set before numpy is imported)
"""How fast, how exact and how small injection is, beside its peers, in one run on one machine.

    python benchmarks/injection.py [--quick] [--json FILE]

Peers take turns with us on one core, and every ratio is the median over the turns, so that a machine that slows down
slows both. The stamp: 64 x 64 pixels in g, r, z, four sub-pixels a side, a pixelated source, SIE and shear, a Moffat
PSF a band. ``--json -`` prints the result as the last line.

- ``ratio_vs_lenstronomy_simapi``: lenstronomy's `SimAPI` with INTERPOL and supersampled convolution, three bands.
- ``ratio_vs_caustics``: caustics' `LensSource` under ``torch.vmap``, three bands; null where caustics is not installed
  (``pip install caustics``).
- ``max_abs_error_over_peak``: over random lenses against lenstronomy (`dhs.book.studies.renderer_checks`).
- ``pairs_per_s_all_inclusive``: draws, rendering, shot noise, both SNRs, provenance, encoding, parquet on two
  processes, hosts and sources in memory, without hard negatives; ``pairs_per_s_with_hard_negatives`` with the default
  share of them. ``memory_growth_mb`` is the resident memory of a process after the last part less that after the first.
- ``kb_per_pair``: bytes on disk over pairs, control, arc, inverse variance and all columns; without hard negatives.
- ``ratio_decode_vs_v5``: control and arc decoded a second on one core, against the earlier layout (compressed npz in
  parquet); ``v5_kb_per_pair`` is its size.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import tempfile
import time
from dataclasses import replace

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lenstronomy.SimulationAPI.sim_api import SimAPI

from dhs import engines, storage
from dhs.book.studies.renderer_checks import agreement, draws
from dhs.config import SourcesConfig, load_profile
from dhs.datasets import inject as build
from dhs.datasets.reader import images, per_band
from dhs.injection.noise import shot_noise
from dhs.injection.render.reference import moffat_kernel
from dhs.injection.render.render import render_arc
from dhs.injection.sources.open import open_sources
from dhs.random import Stream, generator
from dhs.survey.facts import PIXEL_SCALE, STAMP

SUPERSAMPLING = 4
KERNEL_PX = 24  # radius of the peers' PSF kernels: it holds 99.9 % of the light, ours all of it
BATCH = 16  # stamps under one vmap


def simapi(case: dict, kernels: list[np.ndarray]) -> np.ndarray:
    """One stamp in three bands through lenstronomy's simulation API."""
    bands = []
    source = case["source"]
    light = {"image": source.image / source.pixel_scale**2, "amp": 1, "center_x": case["x"], "center_y": case["y"]}
    light |= {"phi_G": case["phi"], "scale": source.pixel_scale}
    for kernel in kernels:
        band = {
            "pixel_scale": PIXEL_SCALE,
            "exposure_time": 100.0,
            "magnitude_zero_point": 22.5,
            "read_noise": 0.0,
            "ccd_gain": 1.0,
            "sky_brightness": 22.0,
            "seeing": 1.2,
            "num_exposures": 1,
            "psf_type": "PIXEL",
            "kernel_point_source": kernel,
            "point_source_supersampling_factor": SUPERSAMPLING,
        }
        model = {"lens_model_list": ["SIE", "SHEAR"], "source_light_model_list": ["INTERPOL"]}
        # without a size of its own the fine kernel is cut to five pixels, and the image is another one
        numerics = {"supersampling_factor": SUPERSAMPLING, "supersampling_convolution": True}
        numerics["supersampling_kernel_size"] = None
        image = SimAPI(STAMP, band, model).image_model_class(numerics)
        bands.append(image.image(case["lens"].kwargs(), [light]))
    return np.stack(bands)


def caustics_batch(cases: list[dict], kernels: list[np.ndarray]):
    """A function that simulates all cases in three bands under vmap, or None without caustics."""
    try:
        import caustics
        import torch
    except ImportError:
        return None
    source = cases[0]["source"]
    kind = torch.float32
    cosmology = caustics.FlatLambdaCDM()
    common = {"cosmology": cosmology, "z_l": 0.5, "z_s": 2.0}
    sie = caustics.SIE(**common, x0=0.0, y0=0.0)
    shear = caustics.ExternalShear(**common, x0=0.0, y0=0.0)
    lens = caustics.SinglePlane(**common, lenses=[sie, shear])
    image = torch.as_tensor(source.image / source.image.max(), dtype=kind)
    light = caustics.Pixelated(image=image, pixelscale=source.pixel_scale)
    sims, parameters = [], []
    for case in cases:
        e = case["lens"]
        parameters.append([e.q, e.phi, e.theta_e, e.gamma1, e.gamma2, case["x"], case["y"]])
    values = torch.tensor(parameters, dtype=kind)
    for kernel in kernels:
        sims.append(
            caustics.LensSource(
                lens,
                light,
                pixelscale=PIXEL_SCALE,
                pixels_x=STAMP,
                upsample_factor=SUPERSAMPLING,
                psf=torch.as_tensor(kernel, dtype=kind),
            ).to(dtype=kind)
        )
    for parameter in (sie.q, sie.phi, sie.Rein, shear.gamma_1, shear.gamma_2, light.x0, light.y0):
        parameter.to_dynamic()
    torch.set_num_threads(1)

    def run() -> np.ndarray:
        with torch.no_grad():
            return np.stack([torch.vmap(sim)(values).numpy() for sim in sims], axis=1)

    return run


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peers(quick: bool) -> dict:
    """Times of a stamp, ours and theirs, in turns."""
    sources = open_sources(SourcesConfig(spec="xdf"), 1)
    cases = draws(sources, BATCH, 1)
    cases = [{**case, "source": cases[0]["source"]} for case in cases]
    fwhm = cases[0]["psf"]
    size = 2 * KERNEL_PX * SUPERSAMPLING + 1
    kernels = []
    for width in fwhm:
        kernel = moffat_kernel(float(width), SUPERSAMPLING)
        cut = (kernel.shape[0] - size) // 2
        kernels.append(kernel[cut:-cut, cut:-cut] / kernel[cut:-cut, cut:-cut].sum())
    batch = caustics_batch(cases, kernels)

    def ours() -> None:
        for case in cases:
            render_arc(**{**case, "psf": fwhm}, supersampling=SUPERSAMPLING)

    ours()
    simapi(cases[0], kernels)
    if batch is not None:
        batch()
    turns, theirs = 3 if quick else 9, 3 if quick else 6
    rows = []
    for turn in range(turns):
        a = min(seconds(ours) for _ in range(3)) / BATCH
        some = [cases[(turn + k) % BATCH] for k in range(theirs)]
        b = seconds(lambda: [simapi(case, kernels) for case in some]) / theirs  # noqa: B023
        c = seconds(batch) / BATCH if batch is not None else np.nan
        rows.append((a, b, c))
    a, b, c = np.array(rows).T
    out = {
        "render_ms": 1e3 * float(np.median(a)),
        "lenstronomy_simapi_ms": 1e3 * float(np.median(b)),
        "ratio_vs_lenstronomy_simapi": float(np.median(b / a)),
        "caustics_ms": 1e3 * float(np.median(c)) if batch is not None else None,
        "ratio_vs_caustics": float(np.median(c / a)) if batch is not None else None,
    }
    errors = agreement(sources, 20 if quick else 100, 3, SUPERSAMPLING)
    names = {
        "max_abs_error_over_peak": "error_over_peak",
        "max_flux_error": "flux_error",
        "max_centroid_px": "centroid_px",
    }
    return out | {name: float(errors[key].max()) for name, key in names.items()}


class Kept:
    """Hosts held in memory: those a data set of this size uses."""

    def __init__(self, hosts):
        self.refs = hosts.refs
        self._stamps = [hosts.read(i) for i in range(len(hosts.refs))]

    def read(self, index: int):
        return self._stamps[index]


def open_kept(data: dict, out: str) -> build.Context:
    """A context with its hosts in memory and everything compiled."""
    context = build.open_context(data, out)
    context = replace(context, hosts=Kept(context.hosts))
    for part in build.plan(context)[:2]:
        make(context, replace(part, slots=part.slots[:8]))
    return context


def make(context: build.Context, part: build.Part) -> tuple[int, float, float, float]:
    """Make and write one part, and draw every arc's shot noise; pairs, start, end, resident memory in MB."""
    start = time.time()
    made = build.make_part(context, (part, False)).rows
    table = storage.read_table(storage.join(context.out, part.name), ["arc", "rng_key", "gain_g", "gain_r", "gain_z"])
    gain = per_band(table.to_pydict(), "gain")
    for arc, key, row in zip(images(table["arc"], noisy=False), table["rng_key"].to_pylist(), gain):
        shot_noise(arc, row, generator(key, Stream.SHOT))
    return made, start, time.time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def throughput(folder: str, n: int, hosts: int, hard: float) -> dict:
    """Pairs a second on two processes, from the first part's start to the last one's end."""
    profile = load_profile("demo", sources__spec="xdf", hosts__n_mock=hosts, injection__n_pairs=n)
    profile = profile.replace(injection__hard_negative_fraction=hard)
    data = profile.model_dump(mode="json")
    parts = build.plan(build.open_context(data, folder))
    rows = list(
        engines.run(make, parts, open_kept, (data, folder), engines.Engine("processes", 2), engines.Progress("pairs"))
    )
    made, start, end, memory = (np.array(column) for column in zip(*rows))
    # both processes must be at work: leave out what one did while the other was still being made ready
    begin = np.sort(start)[min(len(start) - 1, 4)]
    inside = start >= begin
    rate = made[inside].sum() / (end[inside].max() - begin)
    files = [f for f in storage.list_files(folder, (".parquet",), recursive=True) if "/negatives/" not in f]
    size = sum(os.path.getsize(f) for f in files)
    return {"rate": float(rate), "kb": size / 1e3 / made.sum(), "growth": float(memory.max() - memory[:4].max())}


def decoding(folder: str, quick: bool) -> dict:
    """Control and arc a second from our parts and from the earlier layout, on one core."""
    files = [f for f in storage.list_files(folder, (".parquet",), recursive=True) if "/negatives/" not in f]
    files = files[: 2 if quick else 6]

    def ours() -> list[np.ndarray]:
        tables = (pq.read_table(f, columns=["control", "arc"], use_threads=False, partitioning=None) for f in files)
        return [images(table[name], name == "control") for table in tables for name in ("control", "arc")]

    def packed(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f"image_{band}": plane for band, plane in zip("grz", image)})
        return buffer.getvalue()

    stamps, rng = ours(), np.random.default_rng(1)
    control, arc = np.concatenate(stamps[::2]), np.concatenate(stamps[1::2])
    control += rng.normal(0.0, 1e-5, control.shape).astype(np.float32)  # float images are not in steps
    columns = {"stamp_npz": [packed(i) for i in control + arc], "ctrl_stamp_npz": [packed(i) for i in control]}
    path = os.path.join(folder, "earlier.pq")
    pq.write_table(pa.table(columns), path, compression="zstd")

    def theirs() -> None:
        table = pq.read_table(path, use_threads=False)
        for name in ("stamp_npz", "ctrl_stamp_npz"):
            for blob in table[name].to_pylist():
                with np.load(io.BytesIO(blob), allow_pickle=False) as data:
                    np.stack([data[f"image_{band}"] for band in "grz"])

    ours()
    turns = [(seconds(ours), seconds(theirs)) for _ in range(3 if quick else 7)]
    a, b = np.array(turns).T
    return {
        "decoded_pairs_per_s": len(control) / float(np.median(a)),
        "v5_decoded_pairs_per_s": len(control) / float(np.median(b)),
        "v5_kb_per_pair": os.path.getsize(path) / 1e3 / len(control),
        "ratio_decode_vs_v5": float(np.median(b / a)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: two minutes")
    parser.add_argument("--json", metavar="FILE", help="write the result; - prints it as the last line")
    options = parser.parse_args()
    n = 2000 if options.quick else 6000
    result = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "python": platform.python_version()}
    result |= peers(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        plain = throughput(folder, n, n, 0.0)
        result |= {"pairs_per_s_all_inclusive": plain["rate"], "kb_per_pair": plain["kb"], "pairs": n}
        result |= {"memory_growth_mb": plain["growth"]} | decoding(folder, options.quick)
    with tempfile.TemporaryDirectory() as folder:
        hard = throughput(folder, n // 2, n // 2, 0.6)
        result["pairs_per_s_with_hard_negatives"] = hard["rate"]
    for name, value in result.items():
        print(f"{name:34} {value:.4g}" if isinstance(value, float) else f"{name:34} {value}")
    if options.json == "-":
        print(json.dumps(result))
    elif options.json:
        storage.write_json(options.json, result)


if __name__ == "__main__":
    main()
