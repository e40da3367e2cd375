"""One run a folder: the second is refused and told whose it is; a lock goes with its process."""

import os
import signal
import subprocess
import sys

import pytest

import dhs
from dhs.errors import DhsError
from dhs.owner import alone, owned

HOLD = """
import sys, time
from dhs.owner import owned
with owned(sys.argv[1], "inject"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_is_refused_and_names_the_owner_until_that_is_killed(tmp_path):
    first = holder(tmp_path / "out")
    try:
        with pytest.raises(
            DhsError, match=rf"out: inject is at work there since .*process {first.pid} on .*Wait for it"
        ):
            dhs.inject(tmp_path / "out", hosts="mock", sources="mock", n_pairs=2, profile="smoke", engine="serial")
        with owned(tmp_path / "out", "evaluate"):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with owned(tmp_path / "out", "inject"):
            assert os.listdir(tmp_path / "out") == [".owner-inject"]
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "out").exists(), "it was there before"


def test_nothing_is_left_of_a_folder_that_stayed_empty(tmp_path):
    with owned(tmp_path / "a" / "b", "inject"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with pytest.raises(ZeroDivisionError), owned(tmp_path / "a" / "b", "inject"):
        (tmp_path / "a" / "b" / "kept").write_text("x")
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "a" / "b") == ["kept"]


def test_a_place_that_cannot_be_locked_is_left_to_the_step(tmp_path):
    (tmp_path / "file").write_text("x")
    for where in (tmp_path / "file", tmp_path / "file" / "below", "s3://bucket/out", ""):
        with owned(where, "inject"):
            pass
    assert (tmp_path / "file").read_text() == "x"


def test_one_process_of_many_holds_the_folder(tmp_path, monkeypatch):
    @alone("train", "out")
    def work(out, *, inner=None):
        """Docs."""
        return inner() if inner else "done"

    with pytest.raises(DhsError, match="train is at work"):
        work(tmp_path, inner=lambda: work(tmp_path))
    monkeypatch.setenv("RANK", "1")
    assert work(tmp_path, inner=lambda: work(tmp_path)) == "done" and work.__doc__ == "Docs."
    with pytest.raises(TypeError):
        work()
