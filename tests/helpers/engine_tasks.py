"""Functions that the engines' workers import by name."""

import os
import signal
import time
from pathlib import Path

from dhs.errors import InputRefused, Refusal


def make(*arguments):
    """A context that records in a folder how often it was made."""
    folder = Path(arguments[0])
    (folder / f"context-{os.getpid()}-{os.urandom(4).hex()}").touch()
    return arguments


def square(context, item):
    return item, item**2 + context[1], os.getpid()


def refuse(context, item):
    if item == 3:
        raise InputRefused(Refusal("h3", "f.npz", 3, "host", "nan", "has NaN", "Remove it."))
    return item


def break_down(context, item):
    raise ZeroDivisionError("a fault of the program")


def die(context, item):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(context, item):
    """Kills its own worker the first time item 2 comes up."""
    mark = Path(context[0]) / "died"
    if item == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def wait(context, item):
    (Path(context[0]) / f"pid-{os.getpid()}").touch()
    time.sleep(60)
