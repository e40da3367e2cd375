"""The forward passes of an evaluation, shared out among processes.

A job is a part of the test or validation split, or some survey negatives; whoever has it reads or makes the stamps and
scores them, so no stamp travels between processes and none waits for another. Every process computes with one thread,
whoever runs it: sums in another order would change the last bits of a logit. For the same reason logits are float32 on
every processor, also where it has bfloat16: at a small false-positive rate the threshold lies among the few largest of
many logits, which bfloat16 would make ties of, and it must hold for scores made elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dhs import engines
from dhs.config import Profile, parse_profile
from dhs.datasets.reader import Pairs, per_band, rows
from dhs.datasets.schema import SCALARS, SCORE_SCHEMA
from dhs.injection.noise import Stream, generator, shot_noise

CHUNK = 400  # survey negatives a job
FEW_STAMPS = 3000  # are scored sooner than processes are started
SWAPS = ("core", "placebo", "outer")
LABELS = ("test", "val", "survey_negatives", "calibration")


@dataclass(frozen=True)
class Found:
    """What the network said.

    Attributes
    ----------
    test, val, negatives, apart : pyarrow.Table
        Scores of the two splits, of the survey negatives, and of those set apart for calibration.
    swapped : dict of ndarray, (n,)
        ``pair_id`` and the logits of `swapped_stamps` of the test split.
    passes : dict of str to int
        Stamps that went through the network, by what they were.
    seconds : dict of str to float
        Processor's time of each kind of job, summed over processes.
    """

    test: pa.Table
    val: pa.Table
    negatives: pa.Table
    apart: pa.Table
    swapped: dict[str, np.ndarray]
    passes: dict[str, int]
    seconds: dict[str, float]


class Counted:
    """A scorer that counts the stamps that go through it."""

    def __init__(self, scorer):
        self.scorer, self.n = scorer, 0

    def logits(self, stamps, *args, **options):
        self.n += len(stamps)
        return self.scorer.logits(stamps, *args, **options)

    def __getattr__(self, name: str):
        value = getattr(self.scorer, name)
        if name not in ("features", "blocks"):
            return value

        def counted(stamps):
            self.n += len(stamps)
            return value(stamps)

        return counted


@dataclass(frozen=True)
class _Work:
    """What a process holds."""

    scorer: Counted
    profile: Profile
    survey: Callable


def _open(scorer, profile: dict, survey: Callable) -> _Work:
    import torch

    from dhs.models.score import Scorer

    torch.set_num_threads(1)
    scorer = Scorer(scorer) if isinstance(scorer, str) else scorer
    return _Work(Counted(scorer), parse_profile(profile, "evaluation configuration"), survey)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread inside."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def make_negatives(negatives, span: tuple[int, int]) -> dict:
    """Stamps start to stop of a set of survey negatives."""
    stamps = [negatives.read(i) for i in range(*span)]
    return {
        "images": np.stack([s.image for s in stamps]).astype(np.float32),
        "host_id": [s.host_id for s in stamps],
        "subkind": [str(s.meta.get("kind", "")) for s in stamps],
        "psf_fwhm": np.array([s.psf_fwhm for s in stamps], dtype=np.float32),
        "sky_sigma": np.array([s.sky_sigma for s in stamps], dtype=np.float32),
    }


def _survey(work: _Work, n: int, span: tuple[int, int], split: str) -> pa.Table:
    """Scores of some survey negatives, rows of kind ``survey_negative``."""
    from dhs.models.score import host_mag_r, score_table

    made = make_negatives(work.survey(n, work.profile.seed), span)
    columns = {"kind": "survey_negative", "split": split, "source_id": "", "host_mag_r": host_mag_r(made["images"])}
    columns |= {k: made[k] for k in ("host_id", "subkind")}
    columns["logit"] = work.scorer.logits(made["images"], sky_sigma=made["sky_sigma"])
    for b, band in enumerate("grz"):
        columns[f"psf_fwhm_{band}_arcsec"] = made["psf_fwhm"][:, b]
        columns[f"sky_sigma_{band}"] = made["sky_sigma"][:, b]
    return score_table(columns, len(made["host_id"]))


def swapped_stamps(row: dict, positive: np.ndarray, core: np.ndarray) -> dict[str, np.ndarray]:
    """The counterfactuals of one positive.

    Parameters
    ----------
    row : mapping
        ``control``, ``arc``, ``gain_*``, ``rng_key``.
    positive : ndarray, (3, 64, 64)
    core : ndarray of bool, (64, 64)

    Returns
    -------
    dict of ndarray, (3, 64, 64)
        ``core``: core pixels from the control. ``placebo``: core pixels from the same arc with another draw of its
        shot noise. ``outer``: all pixels but the core from the control.
    """
    noise = shot_noise(row["arc"], per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT, attempt=1))
    return {
        "core": np.where(core, row["control"], positive),
        "placebo": np.where(core, row["control"] + row["arc"] + noise, positive),
        "outer": np.where(core, positive, row["control"]),
    }


def _pairs(work: _Work, split: str, file: str, negative_file: str | None) -> dict:
    """Scores of one part; of the test split with the core masked and swapped as well."""
    from dhs.models.parts import read_files
    from dhs.models.preprocess import core as within
    from dhs.models.score import HARD_COLUMNS, score_part

    radius = work.profile.evaluate.core_radius_px if split == "test" else None
    tables, swapped = [SCORE_SCHEMA.empty_table()], {name: [] for name in ("pair_id", *SWAPS)}
    for part in read_files(file, negative_file, (*SCALARS, "arc"), HARD_COLUMNS):
        tables += score_part(work.scorer, replace(part, scalars=part.scalars.drop_columns(["arc"])), radius)
        if radius is None:
            continue
        core = within(part.control.shape[-1], radius).numpy()
        with_control = (row | {"control": control} for row, control in zip(rows(part.scalars), part.control))
        made = [swapped_stamps(row, image, core) for row, image in zip(with_control, part.positive)]
        swapped["pair_id"].append(part.pair_id)
        for name in SWAPS:
            stamps = np.stack([m[name] for m in made]).astype(np.float32)
            swapped[name].append(work.scorer.logits(stamps, sky_sigma=part.sky_sigma))
    return {"table": pa.concat_tables(tables), "swapped": swapped}


_DO = {"pairs": _pairs, "survey": _survey}


def _do(work: _Work, job: tuple) -> tuple[object, int, float]:
    """What a job gives, how many stamps it put through the network, and the processor's time it took."""
    started, before = time.process_time(), work.scorer.n
    result = _DO[job[0]](work, *job[1:])
    return result, work.scorer.n - before, time.process_time() - started


def _plan(pairs: Pairs, profile: Profile) -> tuple[list[tuple], list[str], int]:
    """Jobs, the largest first, what each is for, and about how many stamps there are in all."""
    from dhs.models.parts import part_files

    config, todo, labels = profile.evaluate, [], []
    for split in ("test", "val"):
        for files in part_files(pairs, split):
            todo.append(("pairs", split, *files))
            labels.append(split)
    n = config.n_survey_negatives
    for label, split, first, last in (
        ("survey_negatives", "test", 0, n),
        ("calibration", "val", n, n + config.n_calibration_negatives),
    ):
        spans = [(i, min(i + CHUNK, last)) for i in range(first, last, CHUNK)]
        todo += [("survey", last, span, split) for span in spans]
        labels += [label] * len(spans)
    counts = pairs.manifest["counts"]
    stamps = 7 * counts["test"] + 2 * counts.get("val", 0) + n + config.n_calibration_negatives
    return todo, labels, stamps


@contextmanager
def running(
    scorer, pairs: Pairs, profile: Profile, survey: Callable, engine: str = "processes", workers: int | None = None
) -> Iterator[Callable[[], Found]]:
    """Start all passes; inside, the caller is free to do other work until it asks for what was found.

    Parameters
    ----------
    scorer : str or object with ``logits(stamps, core_mask_px=None, sky_sigma=None)``
        A checkpoint, or a scorer that can be pickled.
    pairs : Pairs
    profile : Profile
    survey : callable
        ``survey(n, seed)`` gives the survey negatives; importable by name.
    engine, workers
        As in `dhs.engines.run`; few stamps are scored in this process. They change no number.

    Yields
    ------
    callable
        Waits, and gives `Found`.
    """
    todo, labels, stamps = _plan(pairs, profile)
    setup = (scorer, profile.model_dump(mode="json"), survey)
    engine = "serial" if engine == "processes" and stamps < FEW_STAMPS else engine
    stop = threading.Event()

    def work() -> list:
        results: list = [None] * len(todo)
        items = list(enumerate(todo))
        for number, result in engines.run(_numbered, items, _open, setup, engine, workers, "score", unit="job"):
            results[number] = result
            if stop.is_set():
                break
        return results

    if engine == "serial":
        yield lambda: _found(work(), labels)
        return
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(work)
        try:
            yield lambda: _found(pending.result(), labels)
        finally:
            stop.set()


def _numbered(work: _Work, item: tuple[int, tuple]) -> tuple[int, tuple]:
    return item[0], _do(work, item[1])


def _found(results: list, labels: list[str]) -> Found:
    """Results in the order of their jobs, whoever did them."""
    of = {name: [r[0] for r, label in zip(results, labels) if label == name] for name in LABELS}
    passes, seconds = Counter(), Counter()
    for (_, n, spent), label in zip(results, labels):
        passes[label] += n
        seconds[label] += spent
    empty = SCORE_SCHEMA.empty_table()
    test, val = (pa.concat_tables([empty, *(r["table"] for r in of[split])]) for split in ("test", "val"))
    negatives, apart = (pa.concat_tables([empty, *of[name]]) for name in ("survey_negatives", "calibration"))
    none = {"pair_id": np.empty(0, np.int64)} | dict.fromkeys(SWAPS, np.empty(0, np.float32))
    swapped = {k: np.concatenate([v, *(x for r in of["test"] for x in r["swapped"][k])]) for k, v in none.items()}
    return Found(test, val, negatives, apart, swapped, dict(passes), dict(seconds))
