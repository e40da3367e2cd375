"""Would more pairs help? One network trained on growing parts of one set, for as many steps, on the same test stamps.

    python benchmarks/learning_curve.py [--folder FOLDER] [--json FILE] [--parts 0.0625 0.25 1]

Parts are of the training hosts, so a larger one holds galaxies that a smaller has not. Each part sees as many stamps in
all: a smaller one sees each of its own more often. A part that is there is left, so rows can be made one at a time.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd
import recipe

from dhs import storage
from dhs.config import load_profile
from dhs.datasets import survey_negatives
from dhs.datasets.inject import inject
from dhs.models.score import Scorer
from dhs.models.training.train import train

NEGATIVES = 2000  # survey negatives of the test
RATE = 1e-2  # of false positives, at which recall is read
OPTIONS = recipe.SMALL | {"weight_average": 0.98, "survey_negative_ratio": 0.0, "monitor": "auroc_val"}
EPOCHS = 12  # of the whole set; of a part, as many more as it is smaller
NAMES = {
    "auroc_twins": "auroc",
    "auroc_survey": "auroc_survey",
    "auroc_lookalikes": "auroc_hard",
    "recall_1e-2": "recall",
}


def point(folder: Path, pairs, profile_name: str, part: float) -> dict:
    """One part of the set: trained, scored, and kept."""
    out = folder / f"part-{part:g}"
    if (out / "point.json").is_file():
        return storage.read_json(out / "point.json")
    options = {f"train__{k}": v for k, v in OPTIONS.items()} | {"train__train_fraction": part}
    profile = load_profile(profile_name, **options)
    started = time.process_time()
    result = train(pairs.path, out / "train", profile=profile, epochs=round(EPOCHS / part), resume=True)
    table = recipe.scores_of(Scorer(result.best), pairs, "test", recipe._seed(load_profile(profile_name), "test"))
    storage.write_table(out / "scores.parquet", table)
    found = recipe.compared([pd.read_parquet(out / "scores.parquet")], None, profile.seed)
    kept = {NAMES[k]: {x: v[x] for x in ("value", "ci_low", "ci_high")} for k, v in found.items() if k in NAMES}
    n = round(part * pairs.manifest["counts"]["train"])
    about = {"pairs": n, "part": part, "epochs": round(EPOCHS / part), "cpu_s": time.process_time() - started}
    storage.write_json(out / "point.json", about | kept)
    print(about | kept, flush=True)
    return about | kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/learning_curve"))
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--parts", type=float, nargs="+", default=[0.0625, 0.25, 1.0])
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "learning_curve.json")
    args = parser.parse_args()
    recipe.NEGATIVES = {"test": NEGATIVES}
    pairs = inject(args.folder / "pairs", profile=load_profile(args.profile), engine="serial", resume=True)
    seed = recipe._seed(load_profile(args.profile), "test")
    for start in range(0, NEGATIVES, survey_negatives.PART):
        survey_negatives.read(pairs.path, seed, (start, start + 1))
    points = [point(args.folder, pairs, args.profile, part) for part in args.parts]
    about = {"profile": args.profile, "content_hash": pairs.manifest["content_hash"], "arch": OPTIONS["arch"]}
    about |= {"fpr": RATE, "n_survey_negatives": NEGATIVES, "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count()}
    storage.write_json(args.json, about | {"points": sorted(points, key=lambda p: p["pairs"])})


if __name__ == "__main__":
    main()
