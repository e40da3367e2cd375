"""The seed's plan in full on one machine with a graphics processor: 300,000 pairs, 50 epochs, 160,000 survey negatives.

    python benchmarks/plan_on_gpu.py --out DIR [--recipes plan,finder,ratios] [--deadline-s 560] [--smoke] ...

One command, from nothing to a results file: pairs are injected on the machine's own cores (`dhs.inject`), while steps
are compiled, captured and timed; the train and validation splits go to the device as the integers they are stored as;
shot noise, core dropout, normalisation and turns are made there (`dhs.models.on_device`), the network is trained in
bfloat16 with captured steps, nothing waiting for the host within an epoch; meanwhile the cores make the survey
negatives and run the gates (`dhs.preflight`); the test split is read once, under a registered plan, by
`dhs.evaluate`, in float32, with the shot noise that is stored. A second command with the same ``--work`` goes on where
the first stopped, and its results hold those of the first.

**A bare machine without a network.** It needs Python 3.12 with torch, torchvision, numpy, scipy, pyarrow, numba,
pandas, scikit-learn, scikit-image, matplotlib, seaborn, pyyaml, tqdm and typer; the rest is brought as wheels,
fetched where there is a network into a folder beside the package::

    python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \\
      --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \\
      --platform manylinux2014_x86_64 -d wheels galsim lsstdesc.coord astropy astropy-iers-data pyerfa hpgeom \\
      photutils speclite pydantic pydantic_core==VERSION annotated-types typing-inspection
    python -m pip wheel --no-deps -w wheels lenstronomy

(versions of ``constraints.txt``; galsim's wheel shrinks from 56 to 7 MB by ``wheel unpack``, ``strip -g`` of its
library, ``wheel pack``), and there ``python -m pip install --no-index --no-deps --target SITE wheels/*.whl`` with
``PYTHONPATH=SITE:.`` before this command. Nothing is fetched while it runs.

**Floor.** ResNet-18 takes 0.30 GFLOP forward at 64 pixels and three times that a training step: 21 million stamps
(70 % of 300,000 pairs, two stamps each, 50 epochs) are 19 PFLOP, 24 s at 790 TFLOP/s. Its activations, written and
read once each way in bfloat16, are some 2 MB a stamp: 13 s at 3 TB/s; the integers 0.06 MB. At a batch of 128 both are
small beside the launch and ramp of some 300 kernels a step, which is why steps are captured. ``floor`` holds
the counts made by the run, and the two ceilings measured on its device.

**Results**, ``<out>/plan_on_gpu.json``, rewritten after every phase:

- ``machine``: device, its memory, versions, cores; ``options``: the command's; ``profile``: all that decides the bytes
- ``phases``: seconds of each phase, ``at_s`` when it began; ``total_s``
- ``floor``: ``flop_per_stamp`` (training), ``activation_bytes_per_stamp``, ``matmul_tflops``, ``copy_tb_per_s``
- ``data``: ``content_hash``, ``counts``, ``hosts``, ``sources``, ``negatives``, ``pairs_per_s``, ``device_gb``
- ``recipes.<name>``: ``config``, ``about`` (way, seconds a step of each way, steps, shares, epochs resumed or cut),
  ``epochs`` and ``epochs_asked``, ``stamps_per_s``, ``history`` (a row an epoch: `validation_monitors` of 4,096 pairs),
  ``best_epoch``, ``checkpoint`` (pieces, SHA-256: `dhs.models.checkpoints.join`), ``evaluation`` (sections of
  ``evaluation.json``: auroc, auroc_survey, strata, tpr_at_fpr, hard_negatives, core_masked, core_swap, interventions,
  top, calibration), ``error`` where it failed
- ``recipes.ratio_<r>``: short runs with hard-negative ratio r and no test; ``predicted_plateau`` is ln(1 / r)
- ``preflight``: decision and the gates' status
- ``commands``: ``phases``, ``options`` and ``total_s`` of the commands before this one

Beside it ``plan_on_gpu.png`` (`dhs.figures.scale.plan_on_gpu`), and the best checkpoints in pieces under 16 MB.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

BYTES_PER_PAIR, BYTES_PER_NEGATIVE = 50_000, 20_000  # on disk, about
PIECE = 16_000_000
KEPT = ("auroc", "auroc_survey", "concordance", "bright_wide", "strata", "tpr_at_fpr", "tpr_at_fpr_by_kind")
KEPT += ("hard_negatives", "core_masked", "core_swap", "interventions", "top", "calibration", "survey_negatives")
PLAN = {"train__precision": "bfloat16", "train__pretrained": "never"}
FINDER = {"lr": 2e-3, "batch_size": 512, "warmup_epochs": 1.0, "core_dropout_prob": 0.0, "epochs": 100}
MEAN = {"survey_negative_ratio": 0.2, "weight_average": 0.999, "monitor": "auroc_finder"}
RATIO = {"lr": 1e-3, "batch_size": 512, "warmup_epochs": 0.5, "epochs": 20}


def arguments() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="results; small")
    parser.add_argument("--work", help="pairs and runs; gone on with if it is there. Default: in memory if it fits")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--smoke", action="store_true", help="a rehearsal in a minute or two on two cores")
    parser.add_argument("--profile", help="paper by default, smoke with --smoke")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--n-pairs", type=int)
    parser.add_argument("--n-hosts", type=int, help="distinct mock hosts; 0: as many as --inject-s affords")
    parser.add_argument("--inject-s", type=float, default=150.0)
    parser.add_argument("--n-survey", type=int, help="survey negatives of the test; 160,000 by default")
    parser.add_argument("--n-train-survey", type=int, help="of the finder's training; 40,000 by default")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--recipes", default="plan", help="of plan, finder, ratios; in this order")
    parser.add_argument("--arch", default="small", help="network of the finder")
    parser.add_argument("--finder", action="append", default=[], metavar="KEY=VALUE", help="of its TrainConfig")
    parser.add_argument("--ratios", default="0.1,0.3,0.5")
    parser.add_argument("--deadline-s", type=float, default=560.0, help="wall time of the whole command")
    parser.add_argument("--evaluate-s", type=float, default=75.0, help="kept for each evaluation")
    parser.add_argument("--finder-s", type=float, default=120.0, help="kept for the finder's training")
    parser.add_argument("--ratio-s", type=float, default=20.0, help="kept for each ratio")
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def plan_profile(args: argparse.Namespace):
    """The profile of the run."""
    from dhs.config import load_profile

    changes = dict(PLAN)
    if args.smoke:
        changes |= {"train__precision": "float32", "evaluate__n_survey_negatives": 300}
    else:
        changes |= {"evaluate__n_survey_negatives": 160_000, "evaluate__n_bootstrap": 200}
        changes |= {"evaluate__n_interventions": 500, "preflight__max_rows": 3000}
    asked = {
        "seed": args.seed,
        "injection__n_pairs": args.n_pairs,
        "hosts__n_mock": args.n_hosts or None,
        "evaluate__n_survey_negatives": args.n_survey,
        "train__epochs": args.epochs,
        "train__batch_size": args.batch_size,
    }
    changes |= {k: v for k, v in asked.items() if v is not None}
    return load_profile(args.profile or ("smoke" if args.smoke else "paper"), **changes)


def workplace(n_pairs: int, n_survey: int) -> Path:
    """A folder for the pairs: in memory where they fit twice, else among temporary files."""
    name, needed = "dhs-plan-on-gpu", 2 * (n_pairs * BYTES_PER_PAIR + n_survey * BYTES_PER_NEGATIVE)
    disk = Path(tempfile.gettempdir()) / name
    memory = Path("/dev/shm") / name
    if memory.exists() or (memory.parent.is_dir() and shutil.disk_usage(memory.parent).free > needed):
        return disk if disk.exists() and not memory.exists() else memory
    return disk


def affordable_hosts(profile, seconds: float, workers: int, work: Path) -> int:
    """How many distinct hosts injection can have in some seconds, from small runs on one core."""
    from dhs import inject

    def took(n_pairs: int, n_hosts: int) -> float:
        small = profile.replace(injection__n_pairs=n_pairs, hosts__n_mock=n_hosts, injection__pairs_per_part=n_pairs)
        start = time.perf_counter()
        inject(work / f"pilot-{n_pairs}-{n_hosts}", profile=small, engine="serial", resume=True)
        return time.perf_counter() - start

    took(24, 24)  # compiles
    opening, own, shared = took(2, 2), took(96, 95), took(96, 24)
    a_host = max((own - shared) / 71, 1e-4)
    an_arc = max((shared - opening - 24 * a_host) / 96, 1e-4)
    room = 0.9 * workers * seconds - profile.injection.n_pairs * an_arc
    n = int(min(profile.injection.n_pairs, max(room / a_host, 0.02 * profile.injection.n_pairs)))
    print(f"one core: {1 / (a_host + an_arc):.0f} pairs/s on own hosts, {1 / an_arc:.0f} on shared ones: {n} hosts")
    return n


class Results:
    """The results file, rewritten as the run goes on."""

    def __init__(self, out: Path, data: dict):
        self.out, self.data, self.started, self._lock = out, data, time.monotonic(), threading.Lock()
        data |= {"phases": {}, "recipes": {}, "commands": [], "complete": False}

    def take_up(self, path: Path) -> None:
        """Keep the results in a folder of work, and those of a command before this one that are there."""
        from dhs import storage

        self.copy = path
        if path.exists():
            before = storage.read_json(path)
            mine = {name: before[name] for name in ("phases", "options", "total_s")}
            self.data |= {"recipes": before["recipes"], "commands": [*before["commands"], mine]}

    def write(self) -> None:
        from dhs import storage
        from dhs.validation.preflight.gate import jsonable

        with self._lock:
            self.data["total_s"] = self.spent
            for path in (self.out / "plan_on_gpu.json", self.copy):
                storage.write_json(path, jsonable(self.data))

    @property
    def spent(self) -> float:
        return time.monotonic() - self.started

    def phase(self, name: str, function, *args, **options):
        """Call a function, and note how long it took."""
        begun = self.spent
        print(f"[{begun:6.1f} s] {name}", flush=True)
        try:
            return function(*args, **options)
        finally:
            with self._lock:
                self.data["phases"][name] = {"at_s": begun, "seconds": self.spent - begun}
            if threading.current_thread() is threading.main_thread():
                self.write()


def about_machine(device) -> dict:
    """Device, versions, cores."""
    import numpy
    import pyarrow
    import torch

    out = {"device": device.type, "cores": os.cpu_count(), "python": platform.python_version()}
    out |= {"torch": torch.__version__, "numpy": numpy.__version__, "pyarrow": pyarrow.__version__}
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpu.read_text().splitlines() if "model name" in line]
        out["cpu"] = names[0] if names else platform.machine()
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        out |= {"device": card.name, "device_gb": card.total_memory / 1e9, "cuda": torch.version.cuda}
        out |= {"multiprocessors": card.multi_processor_count}
    return out


def ceilings(device) -> dict:
    """Rate of a large bfloat16 product, and of a large copy, on this device."""
    import torch

    if device.type != "cuda":
        return {}

    def seconds(function, times: int = 20) -> float:
        function()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            function()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    n = 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = seconds(lambda: a @ b)
    source = torch.empty(2**31, device=device, dtype=torch.uint8).random_()
    target = torch.empty_like(source)
    copied = seconds(lambda: target.copy_(source))
    return {"matmul_tflops": 2 * n**3 / product / 1e12, "copy_tb_per_s": 2 * 2**31 / copied / 1e12}


def floor(config) -> dict:
    """Operations of a training step a stamp, and the bytes of activations written and read once each way."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dhs.models.networks import registry
    from dhs.models.preprocess import Preprocess

    network, sizes = registry.make(config, Preprocess.from_config(config).n_channels, 0)[0].eval(), []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, out: sizes.append(out.numel()))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    return {"flop_per_stamp": 3 * counter.get_total_flops(), "activation_bytes_per_stamp": 2 * 4 * sum(sizes)}


def make_pairs(args, profile, work: Path):
    """Inject, on all cores but the one that drives the device."""
    from dhs import inject

    if args.n_hosts == 0:
        from dhs import storage

        noted = work / "hosts.json"
        n = storage.read_json(noted)["n"] if noted.exists() else None
        n = n or affordable_hosts(profile, args.inject_s, args.workers, work)
        storage.write_json(noted, {"n": n})
        profile = profile.replace(hosts__n_mock=n)
    return profile, inject(work / "pairs", profile=profile, workers=max(args.workers - 1, 1), resume=True)


def survey_of_training(args, profile) -> dict[str, tuple[int, int]]:
    """Seed and number of the survey negatives that the finder is trained and chosen with; none serves a rate."""
    from dhs.models.training.negatives import survey_seed

    n = {"train": args.n_train_survey, "val": profile.train.n_survey_validation}
    return {split: (survey_seed(profile.seed, split), n[split]) for split in n}


def beside(args) -> None:
    """What the cores do while the device trains: survey negatives, the gates, survey negatives for training."""
    from dhs.config import load_profile
    from dhs.datasets import survey_negatives
    from dhs.validation.preflight.preflight import preflight

    work = Path(args.work)
    profile = load_profile(work / "profile.yaml")

    def for_training() -> None:
        for seed, n in survey_of_training(args, profile).values():
            survey_negatives.ensure(str(work / "pairs"), seed, n, args.workers)

    def gates() -> None:
        if not (work / "preflight" / "preflight.json").exists():
            preflight(work / "pairs", work / "preflight", profile=profile, workers=args.workers)

    def for_the_test() -> None:
        n = profile.evaluate.n_survey_negatives + profile.evaluate.n_calibration_negatives
        survey_negatives.ensure(str(work / "pairs"), profile.seed, n, args.workers)

    first, last = (for_training, for_the_test) if "finder" in args.recipes else (for_the_test, for_training)
    for do in (first, last, gates):
        do()


def begin_beside(args, profile, work: Path) -> subprocess.Popen:
    """`beside` in a process of its own, so that the gates do not hold up the launching of steps."""
    (work / "profile.yaml").write_text(profile.to_yaml())
    command = [sys.executable, __file__, "--beside", "--out", str(args.out), "--work", str(work)]
    command += ["--workers", str(max(args.workers - 2, 1))]
    command += ["--n-train-survey", str(args.n_train_survey), "--recipes", args.recipes]
    return subprocess.Popen(command, start_new_session=True)


@contextmanager
def paused(process: subprocess.Popen) -> Iterator[None]:
    """Let a process and those it started stand still: an evaluation needs the cores for minutes, the gates can wait."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if running:
            os.killpg(process.pid, signal.SIGCONT)


def await_survey(process: subprocess.Popen, profile, pairs, seconds: float):
    """The profile to evaluate with: with fewer survey negatives where they were not all made in time."""
    from dhs.datasets import preregistration, survey_negatives

    end = time.monotonic() + max(seconds, 1.0)
    wanted = profile.evaluate.n_survey_negatives + profile.evaluate.n_calibration_negatives
    while survey_negatives.n_made(pairs.path, profile.seed) < wanted and time.monotonic() < end:
        if process.poll() is not None:
            break
        time.sleep(0.5)
    made = survey_negatives.n_made(pairs.path, profile.seed) - profile.evaluate.n_calibration_negatives
    if made < profile.evaluate.n_survey_negatives:
        process.terminate()
        process.wait()
        print(f"only {max(made, 0)} survey negatives were made in time", flush=True)
        profile = profile.replace(evaluate__n_survey_negatives=max(made, 0))
    preregistration.register(pairs, profile)
    return profile


def await_file(process: subprocess.Popen, path: Path, seconds: float) -> None:
    """Wait until a file is there, its maker has ended, or the time is up."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.5)


def with_training_survey(banks: tuple, args, profile, pairs, process: subprocess.Popen) -> tuple:
    """The banks with as many survey negatives for training as there are; while they are being made they are waited for.

    Raises
    ------
    RuntimeError
        There is none.
    """
    from dhs.datasets import survey_negatives
    from dhs.models.on_device import bank

    waited, out = time.monotonic() + 60.0, []
    for mine, (seed, n) in zip(banks, survey_of_training(args, profile).values()):
        while survey_negatives.n_made(pairs.path, seed) < n and time.monotonic() < waited and process.poll() is None:
            time.sleep(1.0)
        n = min(n, survey_negatives.n_made(pairs.path, seed))
        if not n:
            raise RuntimeError("no survey negatives to train on were made: see what the process beside said")
        out.append(bank.with_survey(mine, pairs.path, (seed, n), args.workers))
    return tuple(out)


def recipes(args, profile) -> dict:
    """What is trained, in this order."""
    from dhs.models.on_device.train import Recipe

    asked = [name.strip() for name in args.recipes.split(",")]
    out = {}
    if "plan" in asked:
        out["plan"] = Recipe(profile.train, profile.seed)
    if "finder" in asked:
        given = dict(item.split("=", 1) for item in args.finder)
        options = {"arch": args.arch, "n_survey_negatives": args.n_train_survey} | MEAN
        options |= (FINDER if not args.smoke else {"n_survey_validation": 100}) | given
        config = profile.replace(**{f"train__{k}": v for k, v in options.items()}).train
        teacher = str(Path(args.work) / "plan" / "checkpoints" / "best.pt")
        out["finder"] = Recipe(config, profile.seed, teacher)
    if "ratios" in asked:
        for ratio in (float(r) for r in args.ratios.split(",")):
            options = {"hard_negative_ratio": ratio} | (RATIO if not args.smoke else {"epochs": 1})
            config = profile.replace(**{f"train__{k}": v for k, v in options.items()}).train
            out[f"ratio_{ratio:g}"] = Recipe(config, profile.seed)
    return out


def until(name: str, todo: list[str], args, results: Results) -> float:
    """When the training of a recipe must have ended (`time.monotonic`): what comes after it keeps its time."""
    later = todo[todo.index(name) + 1 :]
    kept = 8.0 + args.evaluate_s * sum(n in ("plan", "finder") for n in (name, *later))
    kept += args.finder_s * ("finder" in later) + args.ratio_s * sum(n.startswith("ratio") for n in later)
    return results.started + args.deadline_s - kept


def train(name: str, recipe, banks: tuple, work: Path, pairs, results: Results, end: float, prepared):
    """Train one recipe, its state and best checkpoint written as it goes."""
    from dataclasses import replace

    from dhs.models import checkpoints
    from dhs.models.on_device.train import Run

    if recipe.teacher and not Path(recipe.teacher).exists():
        recipe = replace(recipe, teacher=None)
    entry = results.data["recipes"][name] = {}
    entry["config"] = recipe.config.model_dump(mode="json")

    def saved(run: Run) -> None:
        entry.update(about=run.about, epochs=len(run.history), epochs_asked=run.config.epochs)
        entry.update(history=run.history, best_epoch=run.best_epoch)
        entry["stamps_per_s"] = max(row["samples_per_s"] for row in run.history)
        if not name.startswith("ratio"):
            entry["checkpoint"] = checkpoints.split(run.path("best"), results.out / name, PIECE)
        results.write()
        row = run.history[-1]
        print(
            f"  {name}: epoch {row['epoch']} of {run.epochs}, {row['samples_per_s']:.0f} stamps/s, loss "
            f"{row['loss_train']:.4f}, val AUROC {row['auroc_val']:.4f}, logit {row['positive_logit_median']:.2f}",
            flush=True,
        )

    run = Run(recipe, *banks, str(work / name), pairs.manifest["content_hash"], prepared)
    limit = results.data["options"]["ratio_s"] if name.startswith("ratio") else float("inf")
    run.run(min(end, time.monotonic() + limit), saved)
    if "history" not in entry:
        saved(run)
    return run


def evaluated(name: str, profile, work: Path, pairs, args) -> dict:
    """Sections of the evaluation of a recipe's best epoch, by the package's own verb."""
    import torch

    from dhs import evaluate

    # float32 that is float32: a rate of 1e-4 hangs on the last digits of a few logits
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    checkpoint, out = work / name / "checkpoints" / "best.pt", work / name / "evaluation"
    found = evaluate(pairs.path, checkpoint, out, profile=profile, workers=args.workers, baselines={})
    torch.backends.cudnn.allow_tf32 = True
    return {key: found.data.get(key) for key in KEPT}


def read_banks(pairs, device, args) -> tuple:
    from dhs.models.on_device import bank

    return tuple(bank.load(pairs, split, device, workers=args.workers) for split in ("train", "val"))


def attempt(entries: dict, name: str, function, *args):
    """Call a function; what it raises is kept in an entry, for the phases that are left are worth having."""
    try:
        return function(*args)
    except Exception as error:
        traceback.print_exc()
        entries.setdefault(name, {})["error"] = f"{type(error).__name__}: {error}"
        return None


def main() -> int:
    args = arguments()
    if args.beside:
        beside(args)
        return 0
    import torch

    device = torch.device(args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    profile = plan_profile(args)
    args.n_train_survey = args.n_train_survey or (400 if args.smoke else 40_000)
    work = Path(args.work) if args.work else workplace(profile.injection.n_pairs, profile.evaluate.n_survey_negatives)
    args.work = str(work)
    work.mkdir(parents=True, exist_ok=True)
    options = {k: v for k, v in vars(args).items() if k not in ("out", "work", "beside")}
    results = Results(Path(args.out), {"machine": about_machine(device), "options": options, "seed": profile.seed})
    results.take_up(work / "results.json")
    results.write()
    wanted = recipes(args, profile)
    profile, pairs, ready = prepared_and_made(args, profile, wanted, results, device)
    results.data |= {"profile": profile.model_dump(mode="json"), "data": _about_pairs(pairs)}
    aside = begin_beside(args, profile, work)
    try:
        banks = results.phase("pairs to the device", read_banks, pairs, device, args)
        results.data["data"]["device_gb"] = sum(b.nbytes for b in banks) / 1e9
        train_all(args, profile, wanted, results, pairs, ready, banks, aside)
        del banks
        left = args.deadline_s - results.spent - args.evaluate_s
        profile = results.phase("survey negatives", await_survey, aside, profile, pairs, left)
        with paused(aside):
            evaluate_all(args, profile, wanted, results, pairs)
        report = work / "preflight" / "preflight.json"
        results.phase("gates", await_file, aside, report, args.deadline_s - results.spent - 10.0)
        if report.exists():
            results.data["preflight"] = _gates(report)
    finally:
        if aside.poll() is None:
            aside.terminate()
    return _finish(results, wanted)


def prepared_and_made(args, profile, wanted: dict, results: Results, device) -> tuple:
    """Profile and pairs, and networks made ready while the cores injected, by their `_shape`."""
    import torch

    from dhs.models.on_device.train import prepare

    ready: dict = {}
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(results.phase, "pairs", make_pairs, args, profile, Path(args.work))
        results.data["floor"] = floor(profile.train) | results.phase("ceilings", ceilings, device)
        torch.cuda.empty_cache()
        for name, recipe in wanted.items():
            if not (ready and making.done()) and _shape(recipe) not in ready:
                batch = recipe.config.batch_size
                ready[_shape(recipe)] = results.phase(f"steps of {name}", prepare, recipe, device, batch)
        return *making.result(), ready


def train_all(args, profile, wanted: dict, results: Results, pairs, ready: dict, banks: tuple, aside) -> None:
    """Every recipe in turn."""
    entries = results.data["recipes"]
    for name, recipe in wanted.items():
        if recipe.config.survey_negative_ratio and not banks[0].n_survey:
            given = (banks, args, profile, pairs, aside)
            more = results.phase("survey to the device", attempt, entries, name, with_training_survey, *given)
            if more is None:
                continue
            banks = more
        end, prepared = until(name, list(wanted), args, results), ready.get(_shape(recipe))
        given = (name, recipe, banks, Path(args.work), pairs, results, end, prepared)
        run = results.phase(f"train {name}", attempt, entries, name, train, *given)
        if run is not None:
            ready[_shape(recipe)] = run.prepared


def evaluate_all(args, profile, wanted: dict, results: Results, pairs) -> None:
    """The test split, for every network that is to be judged by it."""
    work, entries = Path(args.work), results.data["recipes"]
    for name in (n for n in wanted if n in ("plan", "finder")):
        if not (work / name / "checkpoints" / "best.pt").exists():
            continue
        given = (name, profile, work, pairs, args)
        found = results.phase(f"evaluate {name}", attempt, entries, name, evaluated, *given)
        entries.setdefault(name, {})["evaluation"] = found
        if found is not None:
            _few_columns(work / name / "evaluation" / "scores.parquet", results.out / f"scores-{name}.parquet")


def _shape(recipe) -> tuple:
    """What a prepared network depends on."""
    config = recipe.config
    return config.arch, config.channels, config.batch_size, config.weight_decay, config.precision, config.weight_average


def _about_pairs(pairs) -> dict:
    from dhs import storage

    manifest, run = pairs.manifest, storage.read_json(storage.join(pairs.path, "run.json"))
    kept = {k: manifest[k] for k in ("content_hash", "counts", "hosts", "sources", "draws", "negatives", "versions")}
    return kept | {"pairs_per_s": run.get("pairs_per_s"), "inject_s": run.get("seconds"), "path": "not kept"}


def _gates(path: Path) -> dict:
    from dhs import storage

    report = storage.read_json(path)
    gates = report["gates"]
    failed = {g["name"]: g["explanation"] for g in gates if g["status"] == "fail"}
    return {"decision": report["decision"], "gates": {g["name"]: g["status"] for g in gates}, "failed": failed}


def _few_columns(source: Path, target: Path) -> None:
    """The scores without what is in the data set anyway: under 16 MB at full size."""
    from dhs import storage

    columns = ["pair_id", "kind", "subkind", "logit", "logit_core_masked", "theta_e_arcsec", "arc_snr_matched"]
    storage.write_table(target, storage.read_table(source, columns=columns))


def _finish(results: Results, wanted: dict) -> int:
    """Write what there is, draw it, and print a short table."""
    from dhs.figures.scale import plan_on_gpu

    entries = results.data["recipes"]
    results.data["complete"] = not any("error" in e for e in entries.values())
    for name, entry in entries.items():
        if name.startswith("ratio"):
            import math

            entry["predicted_plateau"] = math.log(1 / float(name.removeprefix("ratio_")))
    results.write()
    draw = lambda: plan_on_gpu(results.data).savefig(results.out / "plan_on_gpu.png", dpi=130)  # noqa: E731
    attempt(results.data, "figure", draw)
    print(f"\n{results.data['machine']['device']}, {results.spent:.0f} s in all")
    for name, phase in results.data["phases"].items():
        print(f"  {name:32s} {phase['seconds']:7.1f} s (from {phase['at_s']:.0f} s)")
    for name, entry in entries.items():
        print(_line(name, entry))
    return 0 if results.data["complete"] else 1


def _line(name: str, entry: dict) -> str:
    if "history" not in entry:
        return f"{name}: {entry.get('error', 'not run')}"
    row = entry["history"][-1]
    text = f"{name}: {entry['epochs']} epochs, {entry['stamps_per_s']:.0f} stamps/s ({entry['about']['way']}), "
    text += f"val AUROC {row['auroc_val']:.4f}, positives' logit {row['positive_logit_median']:.2f}"
    found = entry.get("evaluation") or {}
    metrics = {"twins": found.get("auroc"), "survey": found.get("auroc_survey")}
    metrics["look-alikes"] = (found.get("hard_negatives") or {}).get("auroc")
    metrics |= {f"recall at {e['fpr']:.2g}": e["tpr"] for e in found.get("tpr_at_fpr") or []}
    for label, metric in metrics.items():
        if metric and metric.get("value") is not None:
            low, high = (metric["ci_low"], metric["ci_high"])
            text += f"\n    {label:18s} {metric['value']:.4f}" + (f" ({low:.4f}-{high:.4f})" if low is not None else "")
    return text + (f"\n    ERROR {entry['error']}" if "error" in entry else "")


if __name__ == "__main__":
    sys.exit(main())
