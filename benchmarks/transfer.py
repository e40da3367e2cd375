"""Four cells: trained on mock or on real galaxies, tested on mock or on real ones.

    python benchmarks/transfer.py data  [--folder runs/transfer] [--real auto]
    python benchmarks/transfer.py run mock|real [--recipe average] [--minutes 3] [--checkpoint FILE]
    python benchmarks/transfer.py table [--json benchmarks/results/transfer.json]

``data`` makes pairs of the demo's profile on mock hosts, and on the real ones that ``--real`` names (``auto``: those
under ``DHS_DATA_DIR``, the 46 galaxies of DES coadds). Both with the same sources, physics and kinds of hard negative.
Real hosts are few: a network trained on some is tested on the third that is left, one trained on mock ones on all.
``run`` trains one side with a recipe of `recipe.py` on a budget of processor time; ``--checkpoint`` takes a network
that was trained elsewhere for the mock side. A recipe's survey-like negatives are mock on either side.

Each cell holds ``auroc_twins`` and ``auroc_lookalikes`` (pairs against their controls, and hard negatives on the
same hosts), ``recall_1e-1`` and ``recall_1e-2`` at thresholds set on mock survey negatives, and ``false_alarms``, the
share of control galaxies, each counted once, above those thresholds. On real hosts a threshold from mock galaxies is
what a user has who never saw this sky: a recall there holds its shift. Intervals: cluster bootstrap over hosts and
sources, Clopper-Pearson for shares of galaxies.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from recipe import RECIPES, epochs_for, measures, scores_of

from dhs import storage
from dhs.config import load_profile
from dhs.datasets.inject import inject
from dhs.datasets.reader import open_pairs
from dhs.datasets.schema import SPLITS
from dhs.models.score import Scorer
from dhs.models.training.train import train
from dhs.stats import metrics

SIDES = ("mock", "real")
N_REAL = 900
REAL_SPLITS = {"train": 0.5, "val": 0.18, "test": 0.32}
RATES = (0.1, 0.01)
SHOWN = ("auroc_twins", "auroc_lookalikes", "lookalikes_above_0")


def data(folder: Path, real: str, workers: int | None) -> None:
    """Pairs on mock and on real hosts."""
    inject(folder / "pairs-mock", profile="demo", workers=workers, resume=True)
    profile = load_profile("demo", **{f"splits__{k}": v for k, v in REAL_SPLITS.items()})
    print(inject(folder / "pairs-real", profile=profile, hosts=real, n_pairs=N_REAL, workers=workers, resume=True))


def run(folder: Path, side: str, recipe: str, minutes: float, checkpoint: str | None) -> None:
    """Train one side, and score both test splits."""
    about = {"trained_on": side, "recipe": recipe}
    if checkpoint is None:
        pairs = open_pairs(folder / f"pairs-{side}")
        profile = load_profile("demo", seed=1, **{f"train__{k}": v for k, v in RECIPES[recipe]["train"].items()})
        epochs, _ = epochs_for(pairs, profile, minutes)
        started = time.process_time()
        result = train(pairs.path, folder / side, profile=profile, epochs=epochs, resume=True)
        about |= {"epochs": epochs, "cpu_minutes": (time.process_time() - started) / 60}
        about |= {"content_hash": pairs.manifest["content_hash"]}
        checkpoint = result.best
    scorer = Scorer(checkpoint)
    about |= {"network": scorer.state["network"], "arch": scorer.config.arch, "trained": scorer.state["content_hash"]}
    tables = {}
    for tested, seed in (("mock", load_profile("demo").seed), ("real", None)):
        splits = SPLITS if (side, tested) == ("mock", "real") else ("test",)  # who never saw a real one is asked of all
        scored = open_pairs(folder / f"pairs-{tested}")
        tables[tested] = pa.concat_tables([scores_of(scorer, scored, split, seed) for split in splits])
    # the same survey negatives, those of the mock set, set the thresholds of both
    survey = tables["mock"].filter(pc.equal(tables["mock"]["kind"], "survey"))
    tables["real"] = pa.concat_tables([tables["real"], survey])
    for tested, scores in tables.items():
        storage.write_table(folder / f"scores-{side}-{tested}.parquet", scores)
    storage.write_json(folder / f"trained-{side}.json", about)


def cell(frame: pd.DataFrame, seed: int) -> dict:
    """What one cell of the table holds."""
    clusters = metrics.Clusters(
        frame["host_id"], frame["source_id"], 300, seed, classes=(frame["kind"] == "positive").to_numpy()
    )
    one, out = np.ones((1, len(frame))), {}
    statistics = measures(frame, RATES)
    for name in (*SHOWN, "recall_1e-1", "recall_1e-2"):
        found = clusters.metric(float(statistics[name](one)[0]), statistics[name])
        out[name] = {k: getattr(found, k) for k in ("value", "ci_low", "ci_high")}
    logit, kind = frame["logit"].to_numpy(), frame["kind"].to_numpy()
    first = frame[kind == "control"].drop_duplicates("host_id")["logit"].to_numpy()
    survey = np.sort(logit[kind == "survey"])[::-1]
    for fpr, name in zip(RATES, ("1e-1", "1e-2")):
        threshold = float(survey[int(fpr * len(survey) * (1 + 1e-9))])
        k, n = int((first > threshold).sum()), len(first)
        low, high = metrics.clopper_pearson(k, n)
        out[f"false_alarms_{name}"] = {"value": k / n, "ci_low": low, "ci_high": high, "k": k, "n": n}
    positive = frame[kind == "positive"]
    out["n"] = {"pairs": len(positive), "hosts": positive["host_id"].nunique()}
    return out | {"n_sources": positive["source_id"].nunique(), "n_survey_negatives": len(survey)}


def table(folder: Path) -> dict:
    """What ``transfer.json`` holds."""
    rows = []
    for side in SIDES:
        if not (folder / f"trained-{side}.json").is_file():
            continue
        about = storage.read_json(folder / f"trained-{side}.json")
        for tested in SIDES:
            frame = pd.read_parquet(folder / f"scores-{side}-{tested}.parquet")
            rows.append(about | {"tested_on": tested} | cell(frame, load_profile("demo").seed))
    hosts = {}
    for side in SIDES:
        manifest = open_pairs(folder / f"pairs-{side}").manifest
        hosts[side] = {k: manifest["hosts"].get(k) for k in ("kind", "mock", "n", "selection")}
        hosts[side] |= {"content_hash": manifest["content_hash"], "counts": manifest["counts"]}
    return {"rows": rows, "hosts": hosts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("data", "run", "table"))
    parser.add_argument("sides", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--real", default="auto", help="hosts spec of the real galaxies")
    parser.add_argument("--recipe", default="average")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--checkpoint")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if args.what == "data":
        data(args.folder, args.real, args.workers)
    for side in args.sides if args.what == "run" else ():
        run(args.folder, side, args.recipe, args.minutes, args.checkpoint)
    if args.what == "table":
        result = table(args.folder)
        for row in result["rows"]:
            cells = " ".join(f"{k}={row[k]['value']:.3f}" for k in row if k.startswith(("auroc", "recall", "false")))
            print(f"{row['trained_on']} -> {row['tested_on']} ({row['n']['hosts']} hosts): {cells}")
        if args.json:
            storage.write_json(args.json, result)


if __name__ == "__main__":
    main()
