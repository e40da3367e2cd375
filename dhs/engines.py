"""One mapping function, whichever engine runs it: the result never depends on engine or worker count."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

from tqdm.auto import tqdm

from dhs.errors import UsageError

ENGINES = ("serial", "processes")

_state: dict = {}


def _start(setup: Callable, arguments: tuple) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    _state["context"] = setup(*arguments)


def _call(function: Callable, item):
    return function(_state["context"], item)


def check(engine: str, workers: int | None) -> None:
    """Refuse an unknown engine or worker count before anything is written."""
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}: choose one of {list(ENGINES)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}")


def run(
    function: Callable,
    items: Sequence,
    setup: Callable,
    arguments: tuple = (),
    engine: str = "processes",
    workers: int | None = None,
    label: str = "",
) -> Iterator:
    """Yield ``function(setup(*arguments), item)`` for every item, as results come in.

    Parameters
    ----------
    function, setup : callables importable by name
        ``setup`` runs once a worker and makes what all items share (open catalogues).
    items : sequence
        Work units; each must carry all that decides its result.
    engine : {"processes", "serial"}
    workers : int, optional
        Processes; the number of CPUs by default.
    label : str
        Shown beside the progress bar.

    Raises
    ------
    UsageError
        Unknown engine or a worker count below 1.
    """
    check(engine, workers)
    workers = min(workers or os.cpu_count() or 1, max(len(items), 1))
    bar = tqdm(total=len(items), desc=label, disable=None, unit="part")
    with bar:
        if engine == "serial" or workers == 1:
            context = setup(*arguments)
            for item in items:
                yield function(context, item)
                bar.update()
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, spawn, _start, (setup, arguments)) as pool:
            queue, pending = list(items)[::-1], set()
            try:
                while queue or pending:
                    while queue and len(pending) < 2 * workers:
                        pending.add(pool.submit(_call, function, queue.pop()))
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                        bar.update()
            finally:
                for future in pending:
                    future.cancel()
