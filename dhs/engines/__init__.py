"""One mapping function, whichever engine runs it: the result never depends on engine or worker count."""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from tqdm.auto import tqdm

from dhs.engines import spark
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


@dataclass(frozen=True)
class Engine:
    """Who does the work; it changes no byte of a result.

    Attributes
    ----------
    engine : {"processes", "serial", "spark"}
    workers : int, optional
        Processes, or cores of a local Spark; the number of CPUs by default.
    master : str, optional
        Spark master; ``local[workers]`` by default.

    Raises
    ------
    UsageError
        Unknown engine, a worker count below 1, a master without Spark, or Spark without pyspark or Java.
    """

    engine: str = "processes"
    workers: int | None = None
    master: str | None = None

    def __post_init__(self):
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}: choose one of {list(ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be at least 1, not {self.workers}. Give more, or leave it out.")
        if self.master is not None and self.engine != "spark":
            raise UsageError(
                f"--master {self.master} is for --engine spark, not {self.engine}. Leave it out, or change the engine."
            )
        if self.engine == "spark":
            spark.check()

    @classmethod
    def of(cls, engine: Engine | str) -> Engine:
        """An engine, or the one of that name."""
        return cls(engine) if isinstance(engine, str) else engine

    @property
    def cores(self) -> int:
        return self.workers or os.cpu_count() or 1

    def at_most(self, workers: int) -> Engine:
        """No more processes than these, unless their number was asked for."""
        few = min(self.cores, workers)
        return replace(self, workers=few) if self.engine == "processes" and self.workers is None else self


@dataclass(frozen=True)
class Progress:
    """What is shown beside the work: a label, and what each item counts for, in ``unit``; 1 by default."""

    label: str = ""
    unit: str = "part"
    sizes: Sequence[int] | None = None


def run(
    function: Callable,
    items: Sequence,
    setup: Callable,
    arguments: tuple = (),
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Iterator:
    """Yield ``function(setup(*arguments), item)`` for every item, as results come in.

    Parameters
    ----------
    function, setup : callables importable by name
        ``setup`` runs once a worker and makes what all items share (open catalogues).
    items : sequence
        Work units; each must carry all that decides its result.
    engine : Engine, optional
    progress : Progress, optional
        Of the bar, which tells throughput and the time left.

    Raises
    ------
    DhsError
        A worker process died.
    """
    engine, progress, items = engine or Engine(), progress or Progress(), list(items)
    sizes, cores = [1] * len(items) if progress.sizes is None else list(progress.sizes), engine.cores
    with _bar(sum(sizes), progress.label, progress.unit) as bar:
        if not items:
            return
        if engine.engine == "spark":
            yield from spark.run(
                function, items, setup, arguments, engine.master or f"local[{cores},4]", sizes, bar.update
            )
        elif engine.engine == "serial" or min(cores, len(items)) == 1:
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


def _refuse_unguarded() -> None:
    """Refuse to start processes from the top level of a script: each would run it again instead of working.

    Raises
    ------
    UsageError
        The statement of the script that led here stands under no ``if __name__ == "__main__":``.
    """
    main = sys.modules.get("__main__")
    path, frame = getattr(main, "__file__", None), sys._getframe()
    while frame and not (frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    if not path or frame is None or not path.endswith(".py"):
        return
    try:
        with open(path, encoding="utf-8") as source:
            statements = ast.parse(source.read()).body
    except (OSError, SyntaxError, ValueError):
        return
    for statement in statements:
        guarded = isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test)
        if statement.lineno <= frame.f_lineno <= statement.end_lineno and not guarded:
            raise UsageError(
                f"{path}, line {frame.f_lineno}: worker processes run a script again from its top, so what starts them "
                'must stand under `if __name__ == "__main__":`. Or give engine="serial".'
            )


def _processes(function, items, setup, arguments, workers: int, sizes, advance: Callable[[int], object]) -> Iterator:
    _refuse_unguarded()
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
                "a worker process died, most likely killed for want of memory. Run again with fewer --workers; "
                "what inject wrote is whole, and its --resume goes on from there."
            ) from None
        finally:
            for future in pending:
                future.cancel()
