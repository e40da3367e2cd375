"""The recipes of ``recipe.py`` trained on a graphics processor, each for the stamps that two cores would see.

    python benchmarks/recipe_on_device.py --pairs DIR --folder FOLDER [--minutes 5 60] [--seed 1 2 3] [--deadline-s 200]

A budget is still minutes of a processor, counted in stamps: minutes x 60 x ``--stamps-per-cpu-s`` (measured by
``recipe.py`` on the processor), of which validation takes ``JUDGING``. What is learned depends on stamps, not on what
trained them, so a table that would take two cores a day is made in minutes, with three seeds. Pairs are those of one
large set in which each has its own host: a recipe uses as many of them as its budget would have (``HOSTS``). Results
are written as ``recipe.py run`` writes them, and ``recipe.py table`` compares them. Runs go on where they stopped; none
begins after the deadline. Fresh arcs are not made on a device: that recipe is left to ``recipe.py``.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from recipe import MORE, RECIPES

from dhs import storage
from dhs.config import load_profile
from dhs.datasets import survey_negatives
from dhs.datasets.reader import open_pairs
from dhs.models import checkpoints
from dhs.models.decode import SCALARS, read_parts
from dhs.models.networks import registry
from dhs.models.on_device import bank
from dhs.models.on_device.train import Recipe, Run, forward, prepare
from dhs.models.preprocess import Preprocess
from dhs.models.training.negatives import survey_seed

HOSTS = {5.0: 2131, 60.0: 20 * 2131}  # training pairs of a budget; half of them where a recipe does not ask for more
JUDGING = 0.15
HOUR = ("seed", "survey", "small", "average", "hard")
ON_DEVICE = {"precision": "bfloat16", "n_survey_negatives": 20_000, "n_survey_validation": 1000}
JUDGED = {"val": (3000, 2000), "test": (4000, 10_000)}  # pairs and survey negatives that are scored


class Judged:
    """Stamps of a split that every network is scored on, held on the device.

    Parameters
    ----------
    pairs : Pairs
    split : str
    seed : int
        Of the survey negatives.
    device : torch.device
    """

    def __init__(self, pairs, split: str, seed: int, device: torch.device, n: tuple[int, int]):
        self.columns: dict[str, list] = {"kind": [], "host_id": [], "source_id": []}
        self.stamps, self.sigma, self.device, left = [], [], device, n[0]
        for part in read_parts(pairs, split, (*SCALARS, "source_id")):
            rows = np.arange(min(left, len(part.pair_id)))
            left -= len(rows)
            hosts, sources = (np.array(part.scalars[c].to_pylist(), object) for c in ("host_id", "source_id"))
            hard = np.flatnonzero(np.isin(part.hard_row, rows))
            own = part.hard_row[hard]
            none = np.full(len(rows), "", object)
            self._add("positive", hosts[rows], sources[rows], part.positive[rows], part.sky_sigma[rows])
            self._add("control", hosts[rows], none, part.control[rows], part.sky_sigma[rows])
            self._add("lookalike", hosts[own], [""] * len(own), part.hard[hard], part.sky_sigma[own])
            if not left:
                break
        for start in range(0, n[1], survey_negatives.PART):
            found = survey_negatives.read(pairs.path, seed, (start, min(start + survey_negatives.PART, n[1])))
            self._add("survey", found["host_id"], [""] * len(found["images"]), found["images"], found["sky_sigma"])
        self.inputs: dict[str, torch.Tensor] = {}

    def _add(self, kind: str, hosts, sources, stamps: np.ndarray, sigma: np.ndarray) -> None:
        self.columns["kind"] += [kind] * len(stamps)
        self.columns["host_id"] += list(hosts)
        self.columns["source_id"] += list(sources)
        self.stamps.append(torch.from_numpy(np.ascontiguousarray(stamps, np.float32)).to(self.device))
        self.sigma.append(torch.from_numpy(np.ascontiguousarray(sigma, np.float32)).to(self.device))

    def scores(self, checkpoint: str) -> pa.Table:
        """Logits in float32 of what a checkpoint holds, a row a stamp."""
        state = checkpoints.load(checkpoint)
        config = checkpoints.config_of(state, checkpoint)
        preprocess = Preprocess.from_config(config)
        network = registry.build(preprocess.n_channels, config.arch)
        network.load_state_dict(state["model"])
        network = network.to(self.device, memory_format=torch.channels_last).eval()
        if config.channels not in self.inputs:
            parts = [preprocess(s, sky_sigma=g) for s, g in zip(self.stamps, self.sigma)]
            self.inputs[config.channels] = torch.cat(parts)
        logits = forward(network, self.inputs[config.channels], torch.float32)
        return pa.table(self.columns | {"logit": logits.cpu().numpy()})


def plan(names: list[str], minutes: list[float], seeds: list[int]) -> list[tuple[str, float, int]]:
    """Runs in the order of their worth: first one seed of everything."""
    out = []
    for seed in seeds:
        out += [(n, m, seed) for m in minutes for n in names if m == min(minutes) or n in HOUR]
    return out


def trained(name: str, minutes: float, seed: int, args, banks, prepared: dict, out: Path) -> dict:
    """Train one recipe; what ``recipe.py run`` says of its own."""
    recipe, n_train = RECIPES[name], len(banks[0])
    n_pairs = HOSTS[minutes] * (1 if recipe.get("more") else 1 / MORE) if not args.smoke else 0.5 * n_train
    stamps = (1 - JUDGING) * 60 * minutes * args.stamps_per_cpu_s if not args.smoke else 2 * n_pairs
    options = ON_DEVICE | recipe["train"] | {"train_fraction": min(1.0, n_pairs / n_train)}
    options["epochs"] = max(2, round(stamps / (2 * n_pairs)))
    if args.smoke:
        options |= {"precision": "float32", "batch_size": 32}
    config = load_profile(args.profile, seed=seed, **{f"train__{k}": v for k, v in options.items()}).train
    asked = Recipe(config, seed)
    shape = (config.arch, config.channels, config.batch_size, config.weight_decay, config.weight_average)
    if shape not in prepared:
        prepared[shape] = prepare(asked, args.device, config.batch_size, ("captured",))
    started = time.perf_counter()
    run = Run(asked, *banks, str(out / "train"), args.content_hash, prepared[shape])
    run.run()
    prepared[shape] = run.prepared
    about = {"name": name, "seed": seed, "minutes": minutes, "cpu_minutes": minutes, "epochs": run.epochs}
    about |= {"wall_minutes": (time.perf_counter() - started) / 60, "stamps_per_cpu_s": args.stamps_per_cpu_s}
    about |= {"trained_on": args.device_name, "content_hash": args.content_hash, "training_hosts": round(n_pairs)}
    about |= {name: [row[name] for row in run.history] for name in ("loss_train", "auroc_finder")}
    return about | {"best_epoch": run.best_epoch, "train": options, "checkpoint": str(out / "train")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--names", nargs="*", default=[n for n in RECIPES if n != "fresh"])
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0, 60.0])
    parser.add_argument("--seed", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--stamps-per-cpu-s", type=float, default=220.0)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--deadline-s", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--smoke", action="store_true", help="tiny, to see that all of it runs")
    args = parser.parse_args()
    began = time.monotonic()
    args.device = torch.device(args.device)
    args.device_name = torch.cuda.get_device_name() if args.device.type == "cuda" else "cpu"
    pairs, profile = open_pairs(args.pairs), load_profile(args.profile)
    args.content_hash = pairs.manifest["content_hash"]
    storage.write_json(args.folder / "pairs" / "manifest.json", pairs.manifest)
    banks = [bank.load(pairs, split, args.device, workers=args.workers) for split in ("train", "val")]
    for k, (split, n) in enumerate({"train": 20_000, "val": 1000}.items()):
        n = 200 if args.smoke else n
        survey_negatives.ensure(pairs.path, survey_seed(profile.seed, split), n, args.workers)
        banks[k] = bank.with_survey(banks[k], pairs.path, (survey_seed(profile.seed, split), n), args.workers)
    judged = {}
    for split, n in JUDGED.items():
        n = (40, 60) if args.smoke else n
        seed = profile.seed + (split == "val")
        survey_negatives.ensure(pairs.path, seed, n[1], args.workers)
        judged[split] = Judged(pairs, split, seed, args.device, n)
    print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
    prepared: dict = {}
    for name, minutes, seed in plan(args.names, args.minutes, args.seed):
        out = args.folder / f"{name}-{minutes:g}min-seed{seed}"
        if (out / "run.json").is_file() or time.monotonic() - began > args.deadline_s:
            continue
        try:
            about = trained(name, minutes, seed, args, banks, prepared, out)
            for split, stamps in judged.items():
                table = stamps.scores(str(out / "train" / "checkpoints" / "best.pt"))
                storage.write_table(out / f"scores-{split}.parquet", table)
        except Exception as error:  # the others are worth having
            print(f"{out.name}: {type(error).__name__}: {error}", flush=True)
            continue
        storage.write_json(out / "run.json", about)
        shutil.rmtree(out / "train")
        line = f"[{time.monotonic() - began:.0f} s] {out.name}: {about['epochs']} epochs, best {about['best_epoch']}"
        print(f"{line}, loss {about['loss_train'][-1]:.3f}, finder {about['auroc_finder'][-1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
