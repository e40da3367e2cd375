"""What a minute of a processor buys: recipes of training on one budget, scored on the same stamps.

    python benchmarks/recipe.py data  [--folder runs/recipe] [--profile demo]
    python benchmarks/recipe.py run NAME [--seed 1] [--minutes 5]
    python benchmarks/recipe.py symmetric NAME [--seed 1] [--minutes 5]
    python benchmarks/recipe.py table [--json benchmarks/results/recipe.json]

``data`` makes the pairs and the survey negatives from a profile, so that all of it can be made again on other physics.
``run`` trains one recipe with one seed: budgets are minutes of processor time, whatever else the machine does and
however many cores there are, so rows can be made one at a time, in any order, on a busy machine; a row that is there is
left. Epochs are as many as the budget allows at the rate of the first steps. ``table`` compares what is there.

Every recipe is scored on the validation and the test split, and on survey negatives of a seed for
each (no training meets either). The recipe is *chosen* on the validation split (``choice``: mean of the AUROC against
look-alikes and survey negatives, and recall at 1e-2); what is reported of it is the test split's. Intervals: cluster
bootstrap over hosts and sources, the seeds' mean; differences to the first row are paired stamp by stamp. They are of
the test set's chance alone; ``by_seed`` shows the training's.

- ``seed``: the seed's configuration (ResNet-18, lr 1e-4, hard ratio 0.3, core dropout 0.3), as `paper`.
- ``lr``: the same with the demo's learning rate and warm-up. ``survey``: half of its negatives survey-like.
- the others: each says in `RECIPES` what it changes, and against what.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from dhs import storage
from dhs.config import Profile, load_profile
from dhs.datasets import survey_negatives
from dhs.datasets.inject import inject
from dhs.datasets.reader import Pairs, open_pairs
from dhs.models import checkpoints
from dhs.models.decode import SCALARS, read_parts
from dhs.models.score import Scorer
from dhs.models.training.train import train
from dhs.models.training.trainer import Trainer
from dhs.stats import metrics

MORE = 2  # times the profile's pairs; a recipe without ``more`` trains on one share of them
NEGATIVES = {"val": 2000, "test": 10_000}
RATES = (1e-2, 1e-3)
PROBE_STEPS = 6
CHOOSE = ("auroc_lookalikes", "auroc_survey")
BASE = {"pretrained": "never", "core_masked_every": 0, "monitor": "auroc_finder"}
FAST = BASE | {"lr": 1e-3, "warmup_epochs": 0.5}
SURVEY = FAST | {"survey_negative_ratio": 0.5}
SMALL = SURVEY | {"arch": "small", "core_dropout_prob": 0.0}
RECIPES: dict[str, dict] = {
    "seed": {"train": BASE | {"lr": 1e-4}},
    "lr": {"train": FAST},
    "survey": {"train": SURVEY},
    "more_hosts": {"train": SURVEY, "more": True},
    "no_dropout": {"train": SURVEY | {"core_dropout_prob": 0.0}, "more": True},
    "small": {"train": SMALL, "more": True},
    "average": {"train": SMALL | {"weight_average": 0.98, "label_smoothing": 0.05}, "more": True},
    "hard": {
        "train": SMALL | {"weight_average": 0.98, "hard_negative_ratio": 0.5, "survey_negative_ratio": 0.25},
        "more": True,
    },
    "residual": {"train": SMALL | {"weight_average": 0.98, "channels": "raw+residual"}, "more": True},
    "small_batch": {"train": SMALL | {"weight_average": 0.99, "batch_size": 64}, "more": True},
    "fast_lr": {"train": SMALL | {"weight_average": 0.98, "lr": 3e-3, "weight_decay": 0.02}, "more": True},
    "fresh": {"train": SMALL | {"weight_average": 0.98, "fresh_arcs": True}, "more": True},
}


def data(folder: Path, name: str, workers: int | None) -> None:
    """The pairs, each on a host of its own, and the survey negatives of both splits."""
    profile = load_profile(name)
    n, hosts = MORE * profile.injection.n_pairs, MORE * profile.hosts.n_mock
    options = {"n_pairs": n, "workers": workers, "resume": True}
    made = inject(folder / "pairs", profile=profile.replace(hosts__n_mock=hosts), **options)
    print(f"{made!r}; content hash {made.manifest['content_hash'][:12]}", flush=True)
    for split, n in NEGATIVES.items():
        for start in range(0, n, survey_negatives.PART):
            survey_negatives.read(made.path, _seed(profile, split), (start, start + 1))


def _seed(profile: Profile, split: str) -> int:
    """Of the survey negatives that a split is scored on."""
    return profile.seed + (split == "val")


def epochs_for(pairs: Pairs, profile: Profile, minutes: float) -> tuple[int, float]:
    """Epochs that so many minutes of processor time allow, and the stamps a processor-second trains."""
    trainer = Trainer(pairs, str(Path(pairs.path).parent / "probe"), profile)
    steps = trainer.samples.epoch(1, profile.train.batch_size)
    trainer.network.train()
    trainer.step(next(steps), 1)
    started, n = time.process_time(), 0
    for batch, _ in zip(steps, range(PROBE_STEPS)):
        trainer.step(batch, 1)
        n += len(batch.labels)
    rate = n / (time.process_time() - started)
    judged = (2 * len(trainer.val.pair_id) + trainer.val.n_hard + len(trainer.val_pool or ())) / 2.5
    return max(2, round(60 * minutes * rate / (len(trainer.samples) + judged))), rate


def scores_of(scorer: Scorer, pairs: Pairs, split: str, seed: int | None) -> pa.Table:
    """Logits of a split's positives, controls and hard negatives, and of the set's survey negatives of a seed."""
    rows: dict[str, list] = {name: [] for name in ("kind", "host_id", "source_id", "logit")}

    def add(kind: str, hosts, sources, logits: np.ndarray) -> None:
        rows["kind"] += [kind] * len(logits)
        rows["host_id"] += list(hosts)
        rows["source_id"] += list(sources)
        rows["logit"] += logits.tolist()

    for part in read_parts(pairs, split, (*SCALARS, "source_id")):
        hosts, sources = (np.array(part.scalars[c].to_pylist(), object) for c in ("host_id", "source_id"))
        none = [""] * len(hosts)
        add("positive", hosts, sources, scorer.logits(part.positive, sky_sigma=part.sky_sigma))
        add("control", hosts, none, scorer.logits(part.control, sky_sigma=part.sky_sigma))
        hard = scorer.logits(part.hard, sky_sigma=part.sky_sigma[part.hard_row])
        add("lookalike", hosts[part.hard_row], [""] * len(hard), hard)
    for start in range(0, NEGATIVES[split] if seed is not None else 0, survey_negatives.PART):
        span = (start, min(start + survey_negatives.PART, NEGATIVES[split]))
        found = survey_negatives.read(pairs.path, seed, span)
        logits = scorer.logits(found["images"], sky_sigma=found["sky_sigma"])
        add("survey", found["host_id"], [""] * len(logits), logits)
    return pa.table(rows)


def run(folder: Path, name: str, seed: int, minutes: float, profile_name: str) -> None:
    """Train a recipe and score it; a row that is there is left."""
    recipe, out = RECIPES[name], folder / f"{name}-{minutes:g}min-seed{seed}"
    if (out / "run.json").is_file():
        print(f"{out}: done before")
        return
    pairs, options = open_pairs(folder / "pairs"), {"train_fraction": 1.0 if recipe.get("more") else 1 / MORE}
    options |= recipe["train"]
    profile = load_profile(profile_name, seed=seed, **{f"train__{k}": v for k, v in options.items()})
    epochs, rate = epochs_for(pairs, profile, minutes)
    started, wall = time.process_time(), time.perf_counter()
    result = train(pairs.path, out / "train", profile=profile, epochs=epochs, resume=True)
    used, wall = (time.process_time() - started) / 60, (time.perf_counter() - wall) / 60
    _score(out, result.best, pairs, load_profile(profile_name))
    about = {"name": name, "seed": seed, "minutes": minutes, "cpu_minutes": used, "wall_minutes": wall}
    about |= {"epochs": epochs, "stamps_per_cpu_s": rate, "threads": torch.get_num_threads()}
    about |= {"content_hash": pairs.manifest["content_hash"], "training_hosts": options["train_fraction"]}
    about |= {"loss_train": result.history["loss_train"].tolist(), "auroc_finder": _column(result, "auroc_finder")}
    about |= {"best_epoch": int(result.best_row["epoch"]), "train": options, "checkpoint": str(result.best)}
    storage.write_json(out / "run.json", about)
    print({k: v for k, v in about.items() if k not in ("train", "checkpoint")}, flush=True)


def symmetric(folder: Path, name: str, seed: int, minutes: float, profile_name: str) -> None:
    """Score a recipe's network again in eight orientations, as ``NAME_symmetric``: no training more, eight passes."""
    out = folder / f"{name}-{minutes:g}min-seed{seed}"
    state = checkpoints.load(storage.read_json(out / "run.json")["checkpoint"])
    state["train"]["symmetry"] = 8
    checkpoints.save(out / "symmetric" / "network.pt", state)
    _score(
        out / "symmetric", out / "symmetric" / "network.pt", open_pairs(folder / "pairs"), load_profile(profile_name)
    )


def _column(result, name: str) -> list[float]:
    return result.history[name].tolist() if name in result.history else []


def _score(out: Path, checkpoint, judged: Pairs, profile: Profile) -> None:
    scorer = Scorer(checkpoint)
    for split in NEGATIVES:
        table = scores_of(scorer, judged, split, _seed(profile, split))
        storage.write_table(out / f"scores-{split}.parquet", table)


def measures(frame: pd.DataFrame, rates: tuple[float, ...] = RATES) -> dict:
    """Statistics of one run, functions of bootstrap weights over all rows of its scores."""
    logit, kind = frame["logit"].to_numpy(float), frame["kind"].to_numpy()
    positive = np.flatnonzero(kind == "positive")
    out = {}
    for name, negative in (("twins", "control"), ("lookalikes", "lookalike"), ("survey", "survey")):
        rows = np.concatenate([positive, np.flatnonzero(kind == negative)])
        first = np.arange(len(rows)) < len(positive)
        auroc = metrics.auroc_statistic(logit[rows], first)
        out[f"auroc_{name}"] = lambda w, auroc=auroc, rows=rows: auroc(w[:, rows])
        for fpr in rates if name == "survey" else ():
            recall = metrics.recall_statistic(logit[rows], first, fpr)
            out[f"recall_{fpr:.0e}".replace("e-0", "e-")] = lambda w, r=recall, rows=rows: r(w[:, rows])[0]
    false = np.flatnonzero(kind == "lookalike")
    above = (logit[false] > 0).astype(float)
    out["lookalikes_above_0"] = lambda w: (w[:, false] * above).sum(1) / w[:, false].sum(1)
    return out


def compared(frames: list[pd.DataFrame], reference: list[pd.DataFrame] | None, seed: int) -> dict:
    """Each metric of a recipe: the mean over its seeds, its interval, and the paired difference to a reference."""
    first = frames[0]
    clusters = metrics.Clusters(
        first["host_id"], first["source_id"], 300, seed, classes=(first["kind"] == "positive").to_numpy()
    )
    ours, one, out = [measures(f) for f in frames], np.ones((1, len(first))), {}
    theirs = [measures(f) for f in reference or []]
    for name in ours[0]:
        by_seed = [float(m[name](one)[0]) for m in ours]

        def mean(w, of=ours, name=name):
            return np.mean([m[name](w) for m in of], axis=0)

        found = clusters.metric(float(np.mean(by_seed)), mean)
        out[name] = {"value": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high, "by_seed": by_seed}
        if theirs:

            def apart(w, name=name, mean=mean):
                return mean(w) - mean(w, theirs)

            found = clusters.metric(float(apart(one)[0]), apart, (-1.0, 1.0))
            out[name]["difference"] = {"value": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high}
    return out


def rows_of(folder: Path) -> dict[tuple[str, float], list[tuple[dict, Path]]]:
    """Runs that are there, by recipe and budget, the seeds in order; symmetric scorings as recipes of their own."""
    found: dict[tuple[str, float], list] = {}
    for file in sorted(folder.glob("*min-seed*/run.json")):
        about = storage.read_json(file)
        found.setdefault((about["name"], about["minutes"]), []).append((about, file.parent))
        if (file.parent / "symmetric" / "scores-test.parquet").is_file():
            key = (f"{about['name']}_symmetric", about["minutes"])
            found.setdefault(key, []).append((about, file.parent / "symmetric"))
    order = [n + s for n in RECIPES for s in ("", "_symmetric")]
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def table(folder: Path, profile_name: str) -> dict:
    """What ``recipe.json`` holds."""
    found, profile = rows_of(folder), load_profile(profile_name)
    frames = {
        (key, split): {a["seed"]: pd.read_parquet(p / f"scores-{split}.parquet") for a, p in runs}
        for key, runs in found.items()
        for split in NEGATIVES
    }
    rows = []
    for key, runs in found.items():
        reference = next((k for k in found if k[0] == "seed" and k[1] == key[1]), None)
        row = {"name": key[0], "minutes": key[1], "seeds": [a["seed"] for a, _ in runs]}
        row |= {k: float(np.mean([a[k] for a, _ in runs])) for k in ("cpu_minutes", "epochs", "stamps_per_cpu_s")}
        row |= {"train": runs[0][0]["train"], "content_hash": runs[0][0]["content_hash"]}
        for split in ("test", "val"):
            ours = frames[key, split]
            theirs = frames.get((reference, split), {}) if reference not in (None, key) else {}
            both = sorted(set(ours) & set(theirs))
            measured = compared(list(ours.values()), None, profile.seed)
            if both:
                paired = compared([ours[s] for s in both], [theirs[s] for s in both], profile.seed)
                for name, value in paired.items():
                    measured[name] |= {"difference": value["difference"], "difference_seeds": both}
            row |= measured if split == "test" else {"val": measured}
        row["choice"] = float(np.mean([row["val"][name]["value"] for name in CHOOSE]))
        rows.append(row)
    manifest = storage.read_json(folder / "pairs" / "manifest.json")
    about = {"content_hash": manifest["content_hash"], "pairs": manifest["counts"]}
    about |= {name: {k: manifest[name].get(k) for k in ("kind", "mock", "n")} for name in ("hosts", "sources")}
    return {"rows": rows, "data": about, "n": _counts(frames), "cores": os.cpu_count()}


def _counts(frames: dict) -> dict:
    return {
        split: next(iter(by_seed.values()))["kind"].value_counts().to_dict()
        for (_, split), by_seed in list(frames.items())[:2]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("data", "run", "symmetric", "table"))
    parser.add_argument("names", nargs="*", help="recipes")
    parser.add_argument("--folder", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--minutes", type=float, default=5.0, help="of processor time, a training")
    parser.add_argument("--json", metavar="FILE", help="where table writes its result")
    parser.add_argument("--workers", type=int, help="processes that make the pairs")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(RECIPES)):
        parser.error(f"no recipe {unknown}: choose of {list(RECIPES)}")
    if args.what == "data":
        data(args.folder, args.profile, args.workers)
    elif args.what in ("run", "symmetric"):
        for seed in args.seed:
            for name in args.names:
                (run if args.what == "run" else symmetric)(args.folder, name, seed, args.minutes, args.profile)
    else:
        result = table(args.folder, args.profile)
        for row in result["rows"]:
            cells = " ".join(f"{k}={row[k]['value']:.3f}" for k in row if k.startswith(("auroc_", "recall_")))
            head = f"{row['name']:22s} {row['minutes']:g} min, {len(row['seeds'])} seeds, choice {row['choice']:.3f}"
            print(f"{head}: {cells}")
        if args.json:
            storage.write_json(args.json, result)


if __name__ == "__main__":
    main()
