# ruff: noqa: E402  (thread counts are set before numpy is imported)
"""How fast many stamps become a list of candidates: bfloat16 for all and float32 for the best, beside float32 for all.

    python benchmarks/scoring.py [--n 20000] [--top 1000] [--workers 2] [--checkpoint FILE] [--json FILE]

Stamps are mock survey negatives, one in a hundred of them with an arc of the xdf sources on it. A worker holds some
hundred at a time, and both precisions take turns on them, so that a machine that slows down slows both; what making the
stamps takes is not counted. The list of the cascade (`dhs.validation.candidates.cascade`) is compared with that of
float32. ``--json -`` prints the result.

- ``stamps_per_s``, ``float32_stamps_per_s``: stamps over the seconds that one worker's share took, times the workers.
- ``ratio``, ``ratio_cpu``: of those, and of processor seconds; what the second look took is in both.
- ``same_candidates``: the same stamps in the same order; ``n_again``: how many were scored again; ``margin``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from datetime import date
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pyarrow as pa
import torch

from dhs import engines, storage
from dhs.config import SourcesConfig
from dhs.injection.lens import Lens
from dhs.injection.render.render import render_arc
from dhs.injection.sources.open import open_sources
from dhs.models.finder import box
from dhs.models.score import Scorer
from dhs.survey.mock.negatives import SurveyNegatives
from dhs.validation.candidates.cascade import exact_best

SEED, AT_ONCE, LENSES = 17, 256, 100
PRECISIONS = ("float32", "bfloat16")


class Work:
    """What a worker holds."""

    def __init__(self, checkpoint: str, n: int):
        torch.set_num_threads(1)
        self.scorers = {name: Scorer(checkpoint, precision=name) for name in PRECISIONS}
        self.negatives = SurveyNegatives(n, SEED)
        self.sources = open_sources(SourcesConfig(spec="xdf"), SEED)
        stamps, sigma = self.stamps(range(64))
        for scorer in self.scorers.values():
            scorer.logits(stamps, sky_sigma=sigma)

    def stamps(self, places) -> tuple[np.ndarray, np.ndarray]:
        made = [self.negatives.read(int(i)) for i in places]
        images = np.stack([stamp.image for stamp in made]).astype(np.float32)
        for k, i in enumerate(places):
            if i % LENSES == 0:
                images[k] += self._arc(int(i), made[k])
        return images, np.stack([stamp.sky_sigma for stamp in made]).astype(np.float32)

    def _arc(self, i: int, stamp) -> np.ndarray:
        rng = np.random.default_rng([SEED, i])
        theta, angle = rng.uniform(0.7, 2.5), rng.uniform(0, 2 * np.pi)
        lens = Lens(theta, rng.uniform(0.6, 0.95), rng.uniform(0, np.pi), *rng.normal(0, 0.03, 2))
        beta, source = theta * rng.uniform(0.05, 0.5), self.sources.read(int(rng.integers(len(self.sources))))
        place = beta * np.cos(angle), beta * np.sin(angle)
        arc = render_arc(lens, source, *place, psf=stamp.psf_fwhm)
        return arc * rng.uniform(5, 50) / np.sqrt(((arc / stamp.sky_sigma[:, None, None]) ** 2).sum())


def score_some(work: Work, places: range) -> dict:
    """Logits of some stamps at both precisions, and the seconds of each."""
    stamps, sigma = work.stamps(places)
    out: dict = {"places": np.array(places)}
    order = PRECISIONS if places.start // AT_ONCE % 2 else PRECISIONS[::-1]
    for name in order:
        wall, cpu = time.perf_counter(), time.process_time()
        out[name] = work.scorers[name].logits(stamps, sky_sigma=sigma)
        out[f"{name}_s"] = time.perf_counter() - wall, time.process_time() - cpu
    return out


def measure(checkpoint: str, n: int, top: int, workers: int) -> dict:
    items = [range(i, min(i + AT_ONCE, n)) for i in range(0, n, AT_ONCE)]
    how = engines.Engine("processes" if workers > 1 else "serial", workers)
    found = list(engines.run(score_some, items, Work, (checkpoint, n), how, engines.Progress("score")))
    found.sort(key=lambda part: part["places"][0])
    exact, cheap = (np.concatenate([part[name] for part in found]) for name in PRECISIONS)
    spent = {name: np.sum([part[f"{name}_s"] for part in found], axis=0) for name in PRECISIONS}
    work, again_s = Work(checkpoint, n), np.zeros(2)

    def again(rows: list[dict]) -> np.ndarray:
        stamps, sigma = work.stamps([row["pair_id"] for row in rows])
        wall, cpu = time.perf_counter(), time.process_time()
        logits = work.scorers["float32"].logits(stamps, sky_sigma=sigma)
        again_s[:] += time.perf_counter() - wall, time.process_time() - cpu
        return logits

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "part.parquet")
        storage.write_table(path, pa.table({"pair_id": np.arange(n), "logit": cheap}))
        rows, about = exact_best([path], top, again)
    cascade, plain = spent["bfloat16"] + again_s, spent["float32"]
    return {
        "stamps_per_s": n * workers / cascade[0],
        "float32_stamps_per_s": n * workers / plain[0],
        "ratio": plain[0] / cascade[0],
        "ratio_cpu": plain[1] / cascade[1],
        "cpu_ms_per_stamp": 1e3 * cascade[1] / n,
        "float32_cpu_ms_per_stamp": 1e3 * plain[1] / n,
        "n": n,
        "top": top,
        "same_candidates": [r["pair_id"] for r in rows] == np.argsort(-exact, kind="stable")[:top].tolist(),
        "same_candidates_without_second_look": bool(
            (np.argsort(-cheap, kind="stable")[:top] == np.argsort(-exact, kind="stable")[:top]).all()
        ),
        "greatest_difference": float(np.abs(exact - cheap).max()),
        **about,
        "arch": work.scorers["float32"].config.arch,
        "workers": workers,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--top", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--checkpoint", help="of dhs train; the finder in the box by default")
    parser.add_argument("--json", help="file for the result, - for standard output")
    args = parser.parse_args()
    found = measure(args.checkpoint or box.path(), args.n, args.top, args.workers)
    text = json.dumps(found, indent=1, sort_keys=True)
    if args.json and args.json != "-":
        Path(args.json).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
