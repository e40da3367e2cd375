"""Batches made ahead of their use, by a thread that is missed when it falls silent."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator

DEPTH = 3
_END = object()


class Stalled(Exception):
    """The loader gave nothing for longer than it may."""


def prefetch(batches: Iterable, stall_seconds: float, depth: int = DEPTH) -> Iterator:
    """Yield what ``batches`` gives, in its order, while a thread already makes the next.

    Parameters
    ----------
    batches : iterable
    stall_seconds : float
        Longest silence.
    depth : int
        Batches held ready.

    Raises
    ------
    Stalled
        Nothing came for ``stall_seconds``.
    Exception
        What ``batches`` raised, after what it gave before.
    """
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(item) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((_END, None))
        except BaseException as error:  # handed to the one who waits for batches
            put((_END, error))

    threading.Thread(target=work, daemon=True, name="dhs-loader").start()
    try:
        while True:
            try:
                batch, error = ready.get(timeout=stall_seconds)
            except queue.Empty:
                raise Stalled from None
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch
    finally:
        stop.set()
