"""How fast training is, beside what it replaces, in one run on one machine.

    python benchmarks/training.py [--quick] [--data-path PAIRS] [--json FILE]

Every ratio is the median over repetitions in which the two sides take turns, so that a machine that slows down slows
both. ``--json -`` prints the result as the last line.

- ``ratio_vs_plain_fp32_loop``: steps of `dhs.models.training.trainer.Trainer` (its precision and layout for this
  machine, core dropout, augmentation, monitors) against a plain loop: torchvision's ResNet-18, float32, NCHW, AdamW,
  over a default ``DataLoader`` of the same stamps; ``auroc_ours``, ``auroc_plain`` are those of the validation split
  after the same number of epochs.
- ``loader_overhead``: what a step costs more with batches from the loader than with one held ready, as a fraction
  of it; pairs read from disk while they are trained on, and (``_in_memory``) held decoded, as small sets are.
- ``ratio_vs_v5_loader``: stamps decoded a second from stored pairs against the earlier layout (parquet rows that
  hold compressed npz, decoded row by row in a DataLoader's worker).
- ``ddp_frozen_loss_difference``, ``ddp_live_loss_difference``: training loss of one epoch by two processes on gloo
  less that of one process with the same global batch, absolute, in float32; with BatchNorm frozen, and live, when
  each process normalises by its half of the batch.
- ``ratio_beside_busy``: training steps a second beside one other process that only counts, over the steps without it:
  a fair share of two cores is 0.67 (0.5 where the system shares them out by group). ``ratio_beside_busy_one_lane``:
  the same with ``lanes: 1``, every layer shared out among the cores. ``lanes_over_one_lane``: what lanes cost alone.
- ``scoring_vs_bare_forward``: `Scorer.logits` from nanomaggies against the bare network on ready input.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import chain, count

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.models import resnet18

from dhs import storage
from dhs.config import load_profile
from dhs.datasets.inject import inject
from dhs.datasets.reader import Pairs, open_pairs
from dhs.models import checkpoints
from dhs.models.decode import read_parts
from dhs.models.preprocess import Preprocess
from dhs.models.score import Scorer
from dhs.models.training.data import Batch, Samples
from dhs.models.training.lanes import one_thread_each
from dhs.models.training.loader import prefetch
from dhs.models.training.train import train
from dhs.models.training.trainer import Trainer

BATCH = 128


def seconds(function: Callable) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_ratio(slow: Callable, fast: Callable, repeats: int) -> tuple[float, float, float]:
    """Median over turns of slow / fast, and the median times of each."""
    times = np.array([(seconds(slow), seconds(fast)) for _ in range(repeats)])
    return float(np.median(times[:, 0] / times[:, 1])), *np.median(times, axis=0).tolist()


def held(pairs: Pairs, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Stamps and labels of a split in memory, positives and controls."""
    parts = list(read_parts(pairs, split))
    stamps = np.concatenate([p.positive for p in parts] + [p.control for p in parts])
    return stamps, np.repeat(np.array([1, 0], np.float32), len(stamps) // 2)


def plain_epoch(network: torch.nn.Module, optimizer: torch.optim.Optimizer, data: TensorDataset, steps: int) -> None:
    """Some steps of the loop one would write first."""
    network.train()
    for step, (images, labels) in enumerate(DataLoader(data, batch_size=BATCH, shuffle=True)):
        if step == steps:
            return
        loss = binary_cross_entropy_with_logits(network(images)[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def stamps_a_second(trainer: Trainer, batches: Iterable[Batch]) -> float:
    """Rate of training steps over some batches, which need not be of one size."""
    start, n = time.perf_counter(), 0
    for batch in batches:
        trainer.step(batch, 1)
        n += len(batch.labels)
    return n / (time.perf_counter() - start)


def training(pairs: Pairs, repeats: int, steps: int) -> dict:
    """Steps a second: ours, from nanomaggies, and the plain loop's, from network input held ready."""
    profile = load_profile("demo", train__batch_size=BATCH, train__pretrained="never")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pairs, folder, profile)
        stamps, labels = held(pairs, "train")
        data = TensorDataset(trainer.preprocess(torch.from_numpy(stamps)), torch.from_numpy(labels))
        plain = resnet18(num_classes=1)
        optimizer = torch.optim.AdamW(plain.parameters(), lr=profile.train.lr, weight_decay=profile.train.weight_decay)
        steps = min(steps, trainer.steps, len(data) // BATCH)

        def ours() -> None:
            trainer.network.train()
            with one_thread_each(trainer.lanes):
                for batch, _ in zip(prefetch(trainer.samples.epoch(1, BATCH), 600.0), range(steps)):
                    trainer.step(batch, 1)

        ours(), plain_epoch(plain, optimizer, data, 1)  # the first epoch reads the pairs
        ratio, slow, fast = median_ratio(lambda: plain_epoch(plain, optimizer, data, steps), ours, repeats)
    return {
        "ratio_vs_plain_fp32_loop": ratio,
        "stamps_per_s_ours": steps * BATCH / fast,
        "stamps_per_s_plain": steps * BATCH / slow,
        "precision": str(trainer.dtype).removeprefix("torch."),
    }


def aurocs(pairs: Pairs, epochs: int) -> dict:
    """Validation AUROC of both loops after the same epochs on the same stamps, from the same weights and schedule.

    No hard negatives, no core dropout, no augmentation on either side: what is compared is the arithmetic.
    """
    options = {"hard_negative_ratio": 0.0, "core_dropout_prob": 0.0, "augment": False, "warmup_epochs": 0.0}
    options |= {"epochs": epochs, "core_masked_every": 0, "pretrained": "never", "batch_size": BATCH}
    profile = load_profile("demo", **{f"train__{k}": v for k, v in options.items()})
    config = profile.train
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pairs, folder, profile)
        plain = resnet18(num_classes=1)
        plain.load_state_dict({k: v.clone() for k, v in trainer.network.state_dict().items()})
        trainer.run([])
        stamps, labels = held(pairs, "train")
        data = TensorDataset(trainer.preprocess(torch.from_numpy(stamps)), torch.from_numpy(labels))
        optimizer = torch.optim.AdamW(plain.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        torch.manual_seed(profile.seed)
        for _ in range(epochs):
            plain_epoch(plain, optimizer, data, len(data))
            schedule.step()
        stamps, labels = held(pairs, "val")
        with torch.inference_mode():
            images = trainer.preprocess(torch.from_numpy(stamps)).split(256)
            logits = torch.cat([plain.eval()(x)[:, 0] for x in images])
    ours = trainer.history[-1]["auroc_val"]
    return {"auroc_ours": ours, "auroc_plain": float(roc_auc_score(labels, logits)), "epochs": epochs}


def loader(pairs: Pairs, repeats: int, steps: int) -> dict:
    """What reading costs: steps over prefetched pairs against the same steps over one batch held ready.

    Epochs follow each other without a pause and the first batch is there when the clock starts: the cost of a step
    in the midst of a long epoch.
    """
    out = {}
    for name, memory_gb in (("loader_overhead", 0.0), ("loader_overhead_in_memory", 2.0)):
        profile = load_profile("demo", train__batch_size=BATCH, train__memory_gb=memory_gb)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(pairs, folder, profile)
            trainer.samples.window = 2 * BATCH
            trainer.network.train()
            stream = prefetch(chain.from_iterable(trainer.samples.epoch(n, BATCH) for n in count(1)), 600.0)
            ready = next(stream)
            trainer.step(ready, 1)

            def read(stream=stream, trainer=trainer) -> float:
                return stamps_a_second(trainer, (next(stream) for _ in range(steps)))

            def held_ready(ready=ready, trainer=trainer) -> float:
                return stamps_a_second(trainer, (ready for _ in range(steps)))

            rates = np.array([(held_ready(), read()) for _ in range(repeats)])
            stream.close()
        out[name] = float(np.median(rates[:, 0] / rates[:, 1])) - 1
    return out


def write_v5(pairs: Pairs, folder: str, n: int) -> str:
    """The earlier layout of a split: one row a stamp, its bands float32 in compressed npz columns."""

    def npz(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f"image_{b}": x for b, x in zip("grz", image)})
        return buffer.getvalue()

    rows, path = [], os.path.join(folder, "part-0.parquet")
    for part in read_parts(pairs, "train"):
        for row in range(len(part.control)):
            rows.append({"stamp_npz": npz(part.positive[row]), "ctrl_stamp_npz": npz(part.control[row])})
    pq.write_table(pa.Table.from_pylist(rows[:n]), path, row_group_size=128)
    return path


class V5(Dataset):
    """The earlier layout as a plain pipeline reads it: a table in memory, rows decoded one by one."""

    def __init__(self, path: str):
        self.table = pq.read_table(path)

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, index: int) -> torch.Tensor:
        out = []
        for name in ("stamp_npz", "ctrl_stamp_npz"):
            with np.load(io.BytesIO(self.table[name][index].as_py()), allow_pickle=False) as data:
                out.append(np.stack([data[f"image_{b}"] for b in "grz"]))
        return torch.from_numpy(np.stack(out))


def decoding(pairs: Pairs, repeats: int) -> dict:
    """Pairs decoded a second: the earlier layout, ours from disk, and ours once held in memory."""
    n = min(pairs.manifest["counts"]["train"], 1024)
    with tempfile.TemporaryDirectory() as folder:
        data = V5(write_v5(pairs, folder, n))
        size = os.path.getsize(os.path.join(folder, "part-0.parquet")) / n
        streamed, kept = Samples(pairs, "train", memory_limit=0), Samples(pairs, "train", memory_limit=1e12)
        total = len(kept.pair_id)
        sum(1 for _ in kept.epoch(1, BATCH))

        def v5() -> None:
            sum(1 for _ in DataLoader(data, batch_size=BATCH // 2, shuffle=True, num_workers=1))

        disk, slow, fast = median_ratio(v5, lambda: sum(1 for _ in streamed.epoch(1, BATCH)), repeats)
        memory, *_ = median_ratio(v5, lambda: sum(1 for _ in kept.epoch(2, BATCH)), repeats)
    return {
        "ratio_vs_v5_loader": disk * total / n,
        "ratio_vs_v5_loader_in_memory": memory * total / n,
        "pairs_per_s_v5": n / slow,
        "pairs_per_s_ours": total / fast,
        "kb_per_pair_v5": size / 1000,
    }


def busy_process() -> subprocess.Popen:
    """A process that counts until it is killed."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def beside(pairs: Pairs, repeats: int, steps: int) -> dict:
    """Training steps beside a busy process, against those without, in turns."""
    rates: dict[int, list] = {}
    for lanes in (2, 1):
        profile = load_profile("demo", train__pretrained="never", train__lanes=lanes, train__batch_size=BATCH)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(pairs, folder, profile)
            trainer.network.train()
            ready = next(trainer.samples.epoch(1, BATCH))
            with one_thread_each(trainer.lanes):
                trainer.step(ready, 1)
                for _ in range(repeats):
                    alone = stamps_a_second(trainer, [ready] * steps)
                    other = busy_process()
                    shared = stamps_a_second(trainer, [ready] * steps)
                    other.kill()
                    other.wait()
                    rates.setdefault(lanes, []).append((alone, shared))
    ratio = {lanes: float(np.median([shared / alone for alone, shared in r])) for lanes, r in rates.items()}
    alone = {lanes: float(np.median([a for a, _ in r])) for lanes, r in rates.items()}
    return {
        "ratio_beside_busy": ratio[2],
        "ratio_beside_busy_one_lane": ratio[1],
        "stamps_per_s_lanes": alone[2],
        "lanes_over_one_lane": alone[2] / alone[1],
    }


def scoring(pairs: Pairs, repeats: int) -> dict:
    """Stamps scored a second from nanomaggies, and by the network alone on ready input."""
    profile = load_profile("demo", train__pretrained="never")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pairs, folder, profile)
        path = os.path.join(folder, "network.pt")
        checkpoints.save(path, {**trainer.identity(), "model": trainer.network.state_dict()})
        scorer = Scorer(path)
        stamps, _ = held(pairs, "val")
        stamps = stamps[:512]
        ready = Preprocess.from_config(profile.train)(torch.from_numpy(stamps))
        ready = ready.contiguous(memory_format=torch.channels_last)

        def bare() -> None:
            with torch.inference_mode():
                for images in ready.split(scorer.batch_size):
                    scorer.network(images)

        bare(), scorer.logits(stamps)
        ratio, alone, whole = median_ratio(bare, lambda: scorer.logits(stamps), repeats)
    return {
        "scoring_vs_bare_forward": ratio,
        "stamps_per_s_scored": len(stamps) / whole,
        "stamps_per_s_bare": len(stamps) / alone,
    }


def processes(pairs: Pairs) -> dict:
    """What sharing a batch out between two processes changes in the training loss."""
    options = {"epochs": 1, "batch_size": BATCH, "lr": 1e-4, "precision": "float32", "pretrained": "never"}
    options |= {"train_fraction": 0.3, "core_masked_every": 0, "lanes": 1}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dhs"]
    out = {}
    for name, frozen in (("frozen", True), ("live", False)):
        own = options | {"freeze_batchnorm": frozen}
        with tempfile.TemporaryDirectory() as folder:
            alone = train(pairs.path, os.path.join(folder, "one"), profile="demo", **own).history
            two = os.path.join(folder, "two")
            words = [word for k, v in own.items() for word in ("--set", f"{k}={json.dumps(v)}")]
            command = [*launch, "train", "--data-path", pairs.path, "--output-dir", two, "--profile", "demo", *words]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            shared = pd.read_csv(os.path.join(two, "history.csv"))
        out[f"ddp_{name}_loss_difference"] = float((shared["loss_train"] - alone["loss_train"]).abs().max())
    return out


def show(found: dict) -> None:
    """Lines of names and values, as they come."""
    for name, value in found.items():
        print(f"{name:32s} {value:.4g}" if isinstance(value, float) else f"{name:32s} {value}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="some minutes instead of half an hour")
    parser.add_argument("--data-path", help="a pairs data set; one of 1000 pairs (--quick) or 3000 is made without it")
    parser.add_argument("--json", metavar="FILE", help="write the result; - prints it as the last line")
    args = parser.parse_args()
    repeats, epochs, steps = (3, 4, 4) if args.quick else (7, 12, 16)
    with tempfile.TemporaryDirectory() as folder:
        if args.data_path:
            pairs = open_pairs(args.data_path)
        else:
            pairs = inject(os.path.join(folder, "pairs"), profile="demo", n_pairs=1000 if args.quick else 3000)
        result = {"pairs": len(pairs), "threads": torch.get_num_threads(), "repeats": repeats}
        for part in (training, beside, loader, decoding, scoring):
            found = part(pairs, repeats, *((steps,) if part in (training, beside, loader) else ()))
            show(found)
            result |= found
        for part, more in ((aurocs, (epochs,)), (processes, ())):
            found = part(pairs, *more)
            show(found)
            result |= found
    if args.json == "-":
        print(json.dumps(result))
    elif args.json:
        storage.write_json(args.json, result)


if __name__ == "__main__":
    main()
