"""One run a folder: the second is refused and told who is at work there.

A lock of the operating system, which goes with the process that holds it however that ends. Folders on this machine
or on a shared file system that knows locks; an object store has none.
"""

from __future__ import annotations

import fcntl
import functools
import inspect
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dhs import storage
from dhs.errors import DhsError


def alone(what: str, folder: str) -> Callable:
    """Let a function run once at a time for each folder that its argument ``folder`` names.

    The processes that torchrun starts count as one; the first of them holds the folder.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def held(*args, **kwargs):
            try:
                where = signature.bind(*args, **kwargs).arguments.get(folder)
            except TypeError:
                where = None  # the call itself says what is wrong with it
            if where is None or os.environ.get("RANK", "0") != "0":
                return function(*args, **kwargs)
            with owned(where, what):
                return function(*args, **kwargs)

        return held

    return decorate


@contextmanager
def owned(folder, what: str) -> Iterator[None]:
    """Hold a folder while ``what`` is at work in it; folders that stay empty are not left behind.

    Raises
    ------
    DhsError
        Another process holds it; process, machine and time are named.
    """
    text = str(folder)
    if not text or "://" in text:
        yield
        return
    path = storage.resolve(folder)[1]
    made = _make(path)
    try:
        handle = _lock(path, what)
        try:
            yield
        finally:
            if handle is not None:
                os.unlink(_name(path, what))
                os.close(handle)
    finally:
        for folder_ in made:
            try:
                os.rmdir(folder_)
            except OSError:
                break


def refuse_other(folder, what: str) -> None:
    """Refuse a folder in which another process is at work."""
    with owned(folder, what):
        pass


def _name(path: str, what: str) -> str:
    return os.path.join(path, f".owner-{what}")


def _make(path: str) -> list[str]:
    """Make a folder, and return what had to be made, innermost first; nothing where that can't be."""
    missing = []
    while path and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    try:
        for folder in missing[::-1]:
            os.mkdir(folder)
    except OSError:
        return [f for f in missing if os.path.isdir(f)]
    return missing


def _lock(path: str, what: str) -> int | None:
    """A handle that holds the lock; None where there is no folder to lock or no lock to be had."""
    name = _name(path, what)
    while True:
        try:
            handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return None  # the step itself says what is wrong with the folder
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(handle, 1000, 0)
            os.close(handle)
            raise DhsError(f"{path}: {_owner(said, what)} Wait for it, or choose another folder.") from None
        except OSError:
            os.close(handle)
            return None  # a file system without locks
        try:
            same = os.stat(name).st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            same = False
        if same:
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(about).encode(), 0)
            return handle
        os.close(handle)  # it was let go between opening and locking


def _owner(said: bytes, what: str) -> str:
    try:
        about = json.loads(said)
        return f"{what} is at work there since {about['since']} (process {about['pid']} on {about['host']})."
    except (ValueError, KeyError, TypeError):
        return f"{what} is at work there."
