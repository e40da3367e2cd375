"""The Spark engine: `mapInArrow` from record batches of item numbers to record batches of results.

The items travel with the function; a task holds a few neighbouring ones, so parts sorted by brick open a coadd once.
A lost executor's tasks are run again by Spark: an item writes its own files atomically, the same bytes each time.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from dhs.errors import DhsError, UsageError

MAX_TASKS = 20_000
POLL_S = 0.5
RESULT = pa.schema([("index", pa.int64()), ("result", pa.binary())])
_MARK = "dhs-error:"
_contexts: dict[bytes, object] = {}


def one_thread() -> None:
    """One thread a worker: the engine's workers share the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"


def check() -> None:
    """Refuse Spark where it can't run.

    Raises
    ------
    UsageError
        No pyspark, or no Java.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise UsageError("engine 'spark' needs pyspark: pip install 'dark-halo-scope[spark]'")
    home = os.environ.get("JAVA_HOME")
    if home and not os.path.exists(os.path.join(home, "bin", "java")):
        raise UsageError(f"JAVA_HOME is {home}, which holds no bin/java: unset it, or set it to Java 17 or newer")
    if not home and shutil.which("java") is None:
        raise UsageError("engine 'spark' needs Java 17 or newer: install it, or set JAVA_HOME")
    _check_python(os.environ.get("PYSPARK_PYTHON"))


def _check_python(python: str | None) -> None:
    """Refuse a Python of this machine that workers would start and that lacks the package."""
    found = python and shutil.which(python)
    if not found or os.path.realpath(found) == os.path.realpath(sys.executable):
        return
    tried = subprocess.run([found, "-c", "import dhs, numpy, pyarrow"], capture_output=True, text=True, check=False)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(
            f"PYSPARK_PYTHON is {python}, where dhs does not import ({last}): unset it, or install dhs there"
        )


def session(master: str):
    """The active Spark session, or a new one, and whether it is new."""
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active, False
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("dark-halo-scope")
    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    if master.startswith("local"):
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate(), True


def run(
    function: Callable,
    items: Sequence,
    setup: Callable,
    arguments: tuple,
    master: str,
    sizes: Sequence[int],
    advance: Callable[[int], object],
) -> Iterator:
    """Yield ``function(setup(*arguments), item)`` for every item; see `dhs.engines.run`.

    Results arrive together, when all tasks are done; ``advance`` is told of progress in between.

    Raises
    ------
    DhsError
        What a worker raised, or Spark gave up.
    """
    spark, new = session(master)
    try:
        tasks = min(len(items), MAX_TASKS)
        work = _mapper(function, list(items), setup, arguments)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")  # none is used here
            frame = spark.range(0, len(items), 1, tasks).mapInArrow(work, "index long, result binary")
        for row in _collect(spark, frame, sizes, tasks, advance):
            yield pickle.loads(row.result)  # nosec B301 # made by this run's own workers
    finally:
        if new:
            spark.stop()


def _mapper(function: Callable, items: list, setup: Callable, arguments: tuple) -> Callable:
    key = hashlib.sha256(pickle.dumps((setup, arguments))).digest()

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                try:
                    result = pickle.dumps(function(_context(key, setup, arguments), items[index]))
                except DhsError as error:
                    raise RuntimeError(_MARK + base64.b64encode(pickle.dumps(error)).decode() + ";") from error
                yield pa.RecordBatch.from_pydict({"index": [index], "result": [result]}, schema=RESULT)

    return work


def _context(key: bytes, setup: Callable, arguments: tuple):
    """What ``setup`` makes, once for each Python worker: Spark uses a worker for many tasks."""
    if key not in _contexts:
        one_thread()
        _contexts.clear()
        _contexts[key] = setup(*arguments)
    return _contexts[key]


def _collect(spark, frame, sizes: Sequence[int], tasks: int, advance: Callable[[int], object]) -> list:
    from pyspark import inheritable_thread_target

    context, group, found = spark.sparkContext, f"dhs-{id(frame)}", {}

    def collect():
        try:
            found["rows"] = frame.collect()
        except BaseException as error:
            found["error"] = error

    context.setJobGroup(group, "dark-halo-scope", interruptOnCancel=True)
    thread = threading.Thread(target=inheritable_thread_target(spark)(collect), daemon=True)
    thread.start()
    told, total = 0, sum(sizes)
    try:
        while thread.is_alive():
            thread.join(POLL_S)
            now = total * min(_tasks_done(context.statusTracker(), group), tasks) // tasks
            advance(max(now - told, 0))
            told = max(now, told)
    except BaseException:
        context.cancelJobGroup(group)
        raise
    if "error" in found:
        raise _cause(found["error"])
    advance(total - told)
    return found["rows"]


def _tasks_done(tracker, group: str) -> int:
    jobs = (tracker.getJobInfo(j) for j in tracker.getJobIdsForGroup(group))
    stages = (tracker.getStageInfo(s) for job in jobs if job is not None for s in job.stageIds)
    return sum(stage.numCompletedTasks for stage in stages if stage is not None)


def _cause(error: BaseException) -> BaseException:
    """What the worker raised, out of the text Spark wraps it in."""
    if not isinstance(error, Exception):
        return error
    found = re.search(_MARK + r"([A-Za-z0-9+/=]+);", str(error))
    if found:
        return pickle.loads(base64.b64decode(found[1]))  # nosec B301 # raised by this run's own workers
    last = [line.strip() for line in str(error).splitlines() if line.strip()]
    return DhsError(f"Spark gave up ({last[0] if last else type(error).__name__}). Run again with --resume.")
