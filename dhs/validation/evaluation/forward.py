"""The forward passes of an evaluation, shared out among threads.

A job is a part of the test or validation split, some survey negatives, some pairs under every intervention, or the
realism probe; whoever has it reads the stamps, scores them and lets them go. Threads, since nearly all of the time is
spent where Python's lock is not held, and a process of its own costs as much memory as an evaluation and some seconds.
Every job is computed with one thread: sums in another order would change the last bits of a logit. For the same reason
logits are float32 on every processor, also where it has bfloat16: at a small false-positive rate the threshold lies
among the few largest of many logits, which bfloat16 would make ties of, and it must hold for scores made elsewhere.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from dhs.config import Profile
from dhs.datasets import survey_negatives
from dhs.datasets.reader import Pairs
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import SCALARS, SCORE_SCHEMA
from dhs.injection.noise import shot_noise
from dhs.random import Stream, generator
from dhs.validation.evaluation import interventions
from dhs.validation.realism import probe as realism

SWITCH_S = 5e-4
SWAPS = ("core", "placebo", "outer")


@dataclass
class Found:
    """What the network said.

    Attributes
    ----------
    test, val, survey, apart : pyarrow.Table
        Scores of the two splits, of the survey negatives, and of those set apart for calibration.
    swapped : dict of ndarray, (n,)
        ``pair_id`` and the logits of `swapped_stamps` of the test split.
    baselines : dict of str to dict of str to list
        By baseline and split: (positives' logits, controls' logits, hosts, sources) of each part.
    interventions, realism : dict
        Of `dhs.validation.evaluation.interventions.gather` and `dhs.validation.realism.probe.section`.
    passes : dict of str to int
        Stamps that went through the network, by what they were.
    seconds : dict of str to float
        Processor's time of each kind of job.
    """

    test: pa.Table
    val: pa.Table
    survey: pa.Table
    apart: pa.Table
    swapped: dict[str, np.ndarray]
    baselines: dict[str, dict[str, list]]
    interventions: dict
    realism: dict
    passes: Counter = field(default_factory=Counter)
    seconds: Counter = field(default_factory=Counter)


class Counted:
    """A scorer that counts the stamps that go through it; in one thread."""

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
    """What all jobs share.

    Attributes
    ----------
    survey : callable or None
        ``survey(n, seed)`` gives survey negatives of another kind than the data set's own.
    baselines : callable
        Waits until they are fitted.
    """

    pairs: Pairs
    profile: Profile
    survey: Callable | None
    baselines: Callable[[], dict]
    real: str | None


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch, numpy and scikit-learn compute with one thread inside; Python's lock is handed over soon when asked for.

    A network asks for it at every layer: at Python's own 5 ms it would wait most of its time for a busy thread.
    """
    import torch

    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        sys.setswitchinterval(SWITCH_S)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            sys.setswitchinterval(interval)


def _survey(work: _Work, scorer: Counted, split: str, span: tuple[int, int]) -> pa.Table:
    """Scores of some survey negatives, rows of kind ``survey_negative``."""
    from dhs.models.score import host_mag_r, score_table

    seed = work.profile.seed
    if work.survey is None:
        found = survey_negatives.read(work.pairs.path, seed, span)
    else:
        found = survey_negatives.of_set(work.survey(span[1], seed), span)
    columns = {"kind": "survey_negative", "split": split, "source_id": "", "host_mag_r": host_mag_r(found["images"])}
    columns |= {"host_id": found["host_id"], "subkind": found["kind"]}
    columns["logit"] = scorer.logits(found["images"], sky_sigma=found["sky_sigma"])
    for b, band in enumerate("grz"):
        columns[f"psf_fwhm_{band}_arcsec"] = found["psf_fwhm"][:, b]
        columns[f"sky_sigma_{band}"] = found["sky_sigma"][:, b]
    return score_table(columns, len(found["host_id"]))


def swapped_stamps(control, arc, gain, key: str, positive, core) -> dict[str, np.ndarray]:
    """The counterfactuals of one positive.

    Parameters
    ----------
    control, arc, positive : ndarray, (3, 64, 64)
    gain : ndarray, (3,)
    key : str
        Column ``rng_key``.
    core : ndarray of bool, (64, 64)

    Returns
    -------
    dict of ndarray, (3, 64, 64)
        ``core``: core pixels from the control. ``placebo``: core pixels from the same arc with another draw of its
        shot noise. ``outer``: all pixels but the core from the control.
    """
    noise = shot_noise(arc, gain, generator(key, Stream.SHOT, attempt=1))
    return {
        "core": np.where(core, control, positive),
        "placebo": np.where(core, control + arc + noise, positive),
        "outer": np.where(core, positive, control),
    }


def _pairs(work: _Work, scorer: Counted, split: str, file: str, negative_file: str | None) -> dict:
    """Scores of one part, and the baselines'; of the test split with the core masked and swapped as well."""
    from dhs.models.decode import read_files
    from dhs.models.preprocess import core as within
    from dhs.models.score import HARD_COLUMNS, score_part

    radius = work.profile.evaluate.core_radius_px if split == "test" else None
    tables, swapped = [SCORE_SCHEMA.empty_table()], {name: [] for name in ("pair_id", *SWAPS)}
    beside: dict[str, list] = {name: [] for name in work.baselines()}
    for part in read_files(file, negative_file, SCALARS, HARD_COLUMNS):
        tables += score_part(scorer, part, radius)
        hosts, sources = ([str(v) for v in part.column(c)] for c in ("host_id", "source_id"))
        for name, baseline in work.baselines().items():
            beside[name].append((baseline.logits(part.positive), baseline.logits(part.control), hosts, sources))
        if radius is None:
            continue
        core = within(part.control.shape[-1], radius).numpy()
        of_pair = zip(part.control, part.arc, part.gain, part.keys, part.positive, strict=True)
        made = [swapped_stamps(*values, core) for values in of_pair]
        swapped["pair_id"].append(part.pair_id)
        stamps = np.stack([m[name] for name in SWAPS for m in made]).astype(np.float32)
        logits = scorer.logits(stamps, sky_sigma=np.tile(part.sky_sigma, (len(SWAPS), 1)))
        for name, of_swap in zip(SWAPS, logits.reshape(len(SWAPS), -1)):
            swapped[name].append(of_swap)
    return {"table": pa.concat_tables(tables), "swapped": swapped, "baselines": beside}


def _intervene(work: _Work, scorer: Counted, job: interventions.Job, lookup: SourceLookup) -> dict:
    return interventions.do(job, scorer, work.pairs, work.profile.evaluate, lookup)


def _realism(work: _Work, scorer: Counted) -> dict:
    n = min(realism.N_PERMUTATIONS, 2 * work.profile.evaluate.n_bootstrap)
    return realism.section(work.pairs, scorer, real=work.real, seed=work.profile.seed, n_permutations=n)


_DO = {
    "realism": _realism,
    "interventions": _intervene,
    "survey_negatives": _survey,
    "calibration": _survey,
    "test": _pairs,
    "val": _pairs,
}


def _do(work: _Work, scorer, what: str, arguments: tuple) -> tuple[object, int, float]:
    """What a job gives, how many stamps it put through the network, and the processor's time it took."""
    from dhs.models.cpu_inference import give_back

    started, counted = time.thread_time(), Counted(scorer)
    result = _DO[what](work, counted, *arguments)
    give_back(counted.n)
    return result, counted.n, time.thread_time() - started


def _spans(first: int, last: int) -> list[tuple[int, int]]:
    """Numbers first to last, cut where the stored parts of survey negatives are."""
    size = survey_negatives.PART
    edges = [first, *range((first // size + 1) * size, last, size), last]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _early(profile: Profile, survey: Callable | None) -> list[tuple[str, tuple]]:
    """Jobs that need nothing that is still to be opened: what each is for, and its arguments."""
    n, apart = profile.evaluate.n_survey_negatives, profile.evaluate.n_calibration_negatives
    n, apart = survey.shares(n, apart) if hasattr(survey, "shares") else (n, apart)
    todo = [("realism", ())] + [("survey_negatives", ("test", span)) for span in _spans(0, n)]
    return todo + [("calibration", ("val", span)) for span in _spans(n, n + apart)]


def _late(pairs: Pairs, changes: list[tuple]) -> list[tuple[str, tuple]]:
    """The others, the longest first."""
    from dhs.models.decode import part_files

    todo = [("interventions", job) for job in changes]
    return todo + [(split, (split, *files)) for split in ("test", "val") for files in part_files(pairs, split)]


def run(
    scorer,
    pairs: Pairs,
    profile: Profile,
    *,
    baselines: Callable[[], dict],
    survey: Callable | None = None,
    real: str | None = None,
    workers: int | None = None,
) -> Found:
    """Put everything through the network that an evaluation needs.

    Parameters
    ----------
    scorer : object with ``logits(stamps, core_mask_px=None, sky_sigma=None)``
        Shared by all threads.
    pairs : Pairs
    profile : Profile
    baselines : callable
        Gives baselines by name, objects with ``logits(stamps)``; called once, beside other work.
    survey : callable, optional
        ``survey(n, seed)`` gives survey negatives; the data set's own by default.
    real : str, optional
        As in `dhs.validation.realism.probe.section`.
    workers : int, optional
        Threads; a core each by default. They change no number.
    """
    import torch

    cores = workers or os.cpu_count() or 1
    with one_thread(), ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            fitted = pool.submit(baselines)
            work = _Work(pairs, profile, survey, fitted.result, real)
            todo = _early(profile, survey)
            pending = [pool.submit(_do, work, scorer, *job) for job in todo]
            lookup = SourceLookup(pairs.manifest)
            changes, reason = interventions.jobs(pairs, profile.evaluate, lookup)
            late = _late(pairs, [(job, lookup) for job in changes])
            pending += [pool.submit(_do, work, scorer, *job) for job in late]
            for future in tqdm(as_completed(pending), total=len(pending), desc="score", unit="job", disable=None):
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    kinds = [what for what, _ in todo + late]
    return _found(kinds, [future.result() for future in pending], list(fitted.result()), reason)


def _found(kinds: list[str], results: list, baselines: list[str], reason: str) -> Found:
    """Results in the order of their jobs, whoever did them."""
    of = {name: [r[0] for r, kind in zip(results, kinds) if kind == name] for name in _DO}
    empty = SCORE_SCHEMA.empty_table()
    test, val = (pa.concat_tables([empty, *(r["table"] for r in of[split])]) for split in ("test", "val"))
    survey, apart = (pa.concat_tables([empty, *of[name]]) for name in ("survey_negatives", "calibration"))
    none = {"pair_id": np.empty(0, np.int64)} | dict.fromkeys(SWAPS, np.empty(0, np.float32))
    swapped = {k: np.concatenate([v, *(x for r in of["test"] for x in r["swapped"][k])]) for k, v in none.items()}
    beside = {n: {s: [x for r in of[s] for x in r["baselines"][n]] for s in ("val", "test")} for n in baselines}
    changed = interventions.gather(of["interventions"], reason)
    found = Found(test, val, survey, apart, swapped, beside, changed, of["realism"][0])
    for kind, (_, n, seconds) in zip(kinds, results):
        found.passes[kind] += n
        found.seconds[kind] += seconds
    return found
