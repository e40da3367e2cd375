"""Serial, processes, Spark: the same results, errors that arrive as they were raised, workers that die."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent / "helpers"), os.environ.get("PYTHONPATH", "")])
import engine_tasks as tasks
import psutil

import dhs
from dhs import engines, storage
from dhs.config import load_profile
from dhs.engines import Engine, Progress, spark
from dhs.errors import DhsError, InputRefused, UsageError

has_spark = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
needs_spark = pytest.mark.skipif(not has_spark, reason="pyspark (extra `spark`) or Java is not installed")
ENGINES = ["serial", "processes", pytest.param("spark", marks=needs_spark)]


@pytest.fixture(scope="module", autouse=True)
def session():
    """One Spark session for the module; `engines.run` takes the active one and leaves it."""
    if not has_spark:
        yield
        return
    session, _ = spark.session("local[2,4]")
    yield
    session.stop()


def until(condition, seconds=60.0):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_item_once_and_a_context_once_a_worker(engine, tmp_path):
    results = list(engines.run(tasks.square, range(12), tasks.make, (str(tmp_path), 100), Engine(engine, 2)))
    assert sorted(r[:2] for r in results) == [(i, i * i + 100) for i in range(12)]
    made = len(list(tmp_path.glob("context-*")))
    assert 1 <= made <= 2 and {r[2] for r in results} <= {int(p.name.split("-")[1]) for p in tmp_path.iterdir()}
    assert list(engines.run(tasks.square, [], tasks.make, (str(tmp_path), 100), Engine(engine, 2))) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refused_input_arrives_as_it_was_raised(engine, tmp_path):
    with pytest.raises(InputRefused, match=r"f.npz, row 3: has NaN \(nan\). Remove it.") as error:
        list(engines.run(tasks.refuse, range(6), tasks.make, (str(tmp_path),), Engine(engine, 2)))
    assert error.value.refusal.id == "h3"


@needs_spark
def test_a_fault_in_a_spark_worker_is_told_in_one_line(tmp_path):
    with pytest.raises(DhsError, match="Spark gave up .*--resume"):
        list(engines.run(tasks.break_down, range(2), tasks.make, (str(tmp_path),), Engine("spark", 2)))


@needs_spark
def test_spark_runs_the_tasks_of_a_lost_worker_again(tmp_path):
    assert sorted(engines.run(tasks.die_once, range(5), tasks.make, (str(tmp_path),), Engine("spark", 2))) == list(
        range(5)
    )
    assert (tmp_path / "died").exists()


def test_a_worker_process_that_dies_is_said(tmp_path):
    with pytest.raises(DhsError, match="a worker process died.*fewer --workers"):
        list(engines.run(tasks.die, range(4), tasks.make, (str(tmp_path),), Engine("processes", 2)))


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    code = (
        "import engine_tasks as t; from dhs import engines; E = engines.Engine\n"
        f"p = ({str(tmp_path)!r},)\n"
        "if __name__ == '__main__': list(engines.run(t.wait, range(4), t.make, p, E('processes', 2)))"
    )
    (tmp_path / "main.py").write_text(code)
    parent = subprocess.Popen([sys.executable, tmp_path / "main.py"])
    until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    parent.kill()
    parent.wait()
    workers = [int(p.name.removeprefix("pid-")) for p in tmp_path.glob("pid-*")]
    until(lambda: not any(psutil.pid_exists(pid) for pid in workers))


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_counts_what_the_items_weigh(engine, tmp_path, monkeypatch):
    told = []

    class Bar:
        def __init__(self, **options):
            told.append(options["total"])

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def update(self, n):
            told.append(n)

    monkeypatch.setattr(engines, "tqdm", Bar)
    shown = Progress(unit="pair", sizes=[1, 2, 3, 4])
    list(engines.run(tasks.square, range(4), tasks.make, (str(tmp_path), 0), Engine(engine, 2), shown))
    assert told[0] == sum(told[1:]) == 10


def test_what_does_not_fit_is_refused_before_it_starts(monkeypatch):
    with pytest.raises(UsageError, match="--master local is for --engine spark"):
        Engine("processes", None, "local")
    monkeypatch.setattr(spark.shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(spark.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UsageError, match="needs Java 17"):
        Engine("spark")
    monkeypatch.setattr(spark.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'dark-halo-scope\[spark\]'"):
        Engine("spark")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """A data set of several parts by the serial engine, and the profile it is of."""
    profile = load_profile(
        "smoke",
        hosts__n_mock=12,
        sources__spec="mock",
        injection__n_pairs=12,
        injection__pairs_per_part=2,
        injection__supersampling=2,
    )
    return profile, dhs.inject(tmp_path_factory.mktemp("serial") / "pairs", profile=profile, engine="serial")


def content(pairs) -> dict[str, bytes]:
    return {
        f.removeprefix(pairs.path): storage.read_bytes(f) for f in storage.list_files(pairs.path, (".parquet",), True)
    }


@pytest.mark.parametrize(
    ("engine", "workers", "partitions"),
    [
        ("processes", 1, None),
        ("processes", 3, None),
        pytest.param("spark", 2, 1, marks=needs_spark),
        pytest.param("spark", 2, 3, marks=needs_spark),
        pytest.param("spark", 2, 20_000, marks=needs_spark),
    ],
)
def test_every_engine_worker_count_and_partitioning_gives_the_bytes_of_the_serial_one(
    serial, engine, workers, partitions, tmp_path, monkeypatch
):
    profile, expected = serial
    assert len(content(expected)) > 12, "several parts"
    if partitions is not None:
        monkeypatch.setattr(spark, "MAX_TASKS", partitions)
    found = dhs.inject(tmp_path / "pairs", profile=profile, engine=engine, workers=workers)
    assert content(found) == content(expected) and found.manifest == expected.manifest
    assert storage.read_json(tmp_path / "pairs" / "run.json")["engine"] == engine


@needs_spark
@pytest.mark.slow
def test_an_executor_that_is_lost_costs_nothing_but_time(serial, tmp_path):
    """A cluster of two executors in processes of their own, one of which is killed at work."""
    profile, expected = serial
    (tmp_path / "p.yaml").write_text(profile.to_yaml())
    command = [sys.executable, "-m", "dhs", "inject", "--profile", tmp_path / "p.yaml", "--out", tmp_path / "pairs"]
    command += ["--engine", "spark", "--master", "local-cluster[2,1,1024]"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)

    def executors() -> list[psutil.Process]:
        family = psutil.Process(process.pid).children(recursive=True)
        return [p for p in family if "CoarseGrainedExecutorBackend" in " ".join(p.cmdline()[-20:])]

    until(lambda: process.poll() is not None or list((tmp_path / "pairs").glob("split=*/*.parquet")), 180)
    assert process.poll() is None, process.stderr.read()
    executors()[0].kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    found = dhs.open_pairs(tmp_path / "pairs")
    assert content(found) == content(expected) and found.manifest == expected.manifest


SCRIPT = """
from engine_tasks import make, square
from dhs.engines import Engine, run

{start}print([v for _, v, _ in run(square, range(4), make, ({folder!r}, 1), Engine(workers=2))])
"""


@pytest.mark.parametrize("start", ["", 'if __name__ == "__main__":\n    '])
def test_a_script_without_a_guard_is_told_so_before_any_worker_starts(tmp_path, start):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT.format(start=start, folder=str(tmp_path)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    if start:
        assert len(ast.literal_eval(done.stdout)) == 4
    else:
        assert done.returncode and 'must stand under `if __name__ == "__main__":`' in done.stderr
        assert done.stderr.count("Traceback") == 1 and "memory" not in done.stderr
        assert not list(tmp_path.glob("context-*"))
