"""One mapping function, whichever engine runs it: the result never depends on engine or worker count."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm.auto import tqdm

from dhs import spark
from dhs.errors import DhsError, UsageError

ENGINES = ("serial", "processes", "spark")
QUIET_S = 30.0  # between lines of progress where no one watches

_state: dict = {}


def _start(setup: Callable, arguments: tuple) -> None:
    # A worker whose parent was killed would wait for work forever.
    threading.Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()
    spark.one_thread()
    _state["context"] = setup(*arguments)


def _call(function: Callable, item):
    return function(_state["context"], item)


def check(engine: str, workers: int | None = None, master: str | None = None) -> None:
    """Refuse an engine that can't run, or options that do not fit, before anything is written.

    Raises
    ------
    UsageError
        Unknown engine, a worker count below 1, a master without Spark, or Spark without pyspark or Java.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}: choose one of {list(ENGINES)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}")
    if master is not None and engine != "spark":
        raise UsageError(f"--master {master} is for --engine spark, not {engine}")
    if engine == "spark":
        spark.check()


def run(
    function: Callable,
    items: Sequence,
    setup: Callable,
    arguments: tuple = (),
    engine: str = "processes",
    workers: int | None = None,
    label: str = "",
    *,
    master: str | None = None,
    sizes: Sequence[int] | None = None,
    unit: str = "part",
) -> Iterator:
    """Yield ``function(setup(*arguments), item)`` for every item, as results come in.

    Parameters
    ----------
    function, setup : callables importable by name
        ``setup`` runs once a worker and makes what all items share (open catalogues).
    items : sequence
        Work units; each must carry all that decides its result.
    engine : {"processes", "serial", "spark"}
    workers : int, optional
        Processes, or cores of a local Spark; the number of CPUs by default.
    label : str
        Shown beside the progress bar, which tells throughput and the time left.
    master : str, optional
        Spark master; ``local[workers]`` by default.
    sizes : sequence of int, optional
        What each item counts for in the bar, in ``unit``; 1 by default.
    unit : str

    Raises
    ------
    UsageError
        See `check`.
    DhsError
        A worker process died.
    """
    check(engine, workers, master)
    items = list(items)
    sizes = [1] * len(items) if sizes is None else list(sizes)
    cores = workers or os.cpu_count() or 1
    with _bar(sum(sizes), label, unit) as bar:
        if not items:
            return
        if engine == "spark":
            yield from spark.run(function, items, setup, arguments, master or f"local[{cores},4]", sizes, bar.update)
        elif engine == "serial" or min(cores, len(items)) == 1:
            context = setup(*arguments)
            for item, size in zip(items, sizes):
                yield function(context, item)
                bar.update(size)
        else:
            yield from _processes(function, items, setup, arguments, min(cores, len(items)), sizes, bar.update)


def _bar(total: int, label: str, unit: str) -> tqdm:
    if sys.stderr.isatty() or "ipykernel" in sys.modules:
        return tqdm(total=total, desc=label, unit=unit, disable=None)
    return tqdm(total=total, desc=label, unit=unit, mininterval=QUIET_S, delay=QUIET_S)


def _processes(function, items, setup, arguments, workers: int, sizes, advance: Callable[[int], object]) -> Iterator:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _start, (setup, arguments)) as pool:
        queue, pending = list(enumerate(items))[::-1], {}
        try:
            while queue or pending:
                while queue and len(pending) < 2 * workers:
                    index, item = queue.pop()
                    pending[pool.submit(_call, function, item)] = index
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    index = pending.pop(future)
                    yield future.result()
                    advance(sizes[index])
        except BrokenProcessPool:
            raise DhsError(
                "a worker process died, most likely killed for want of memory. What was written is whole: run again "
                "with --resume and fewer --workers. (A script of your own must start its work under "
                "`if __name__ == '__main__':`, or no worker can start.)"
            ) from None
        finally:
            for future in pending:
                future.cancel()
