import threading
import time

import pytest

from dhs.models.training.loader import Stalled, prefetch


def test_everything_comes_in_order_and_is_made_ahead():
    made = []

    def source():
        for i in range(20):
            made.append(i)
            yield i

    batches = prefetch(source(), 5.0, depth=2)
    assert next(batches) == 0
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 3 <= len(made) <= 4, "two ready, one in the making"
    assert list(batches) == list(range(1, 20))


def test_an_error_of_the_source_arrives_after_what_it_gave():
    def source():
        yield 1
        raise KeyError("part 7")

    batches = prefetch(source(), 5.0)
    assert next(batches) == 1
    with pytest.raises(KeyError, match="part 7"):
        next(batches)


def test_silence_is_noticed():
    gate = threading.Event()

    def source():
        yield 1
        gate.wait(20)

    batches = prefetch(source(), 0.2)
    assert next(batches) == 1
    with pytest.raises(Stalled):
        next(batches)
    gate.set()


def test_the_thread_ends_with_its_reader():
    def source():
        while True:
            yield 1

    batches = prefetch(source(), 5.0)
    next(batches)
    batches.close()
    deadline = time.monotonic() + 5
    while any(t.name == "dhs-loader" for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(t.name == "dhs-loader" for t in threading.enumerate())
