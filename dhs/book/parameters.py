"""Parameters of a notebook: papermill sets any name it is given, so one that is misspelt would change nothing."""

from __future__ import annotations

import difflib

from dhs.errors import UsageError

_SHELL = ("In", "Out")


def refuse_unknown(namespace: dict) -> None:
    """Refuse a plain value in a notebook's namespace that is none of its parameters.

    Parameters
    ----------
    namespace : dict
        ``globals()`` of the notebook, in the cell after its parameters; these are its annotated names.

    Raises
    ------
    UsageError
        A name that no parameter has, with the one it is near to.
    """
    known = sorted(namespace.get("__annotations__", ()))
    plain = (str, int, float, bool, list, dict, tuple, type(None))
    for name, value in namespace.items():
        if name.startswith("_") or name in _SHELL or name in known or not isinstance(value, plain):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
        raise UsageError(f"this notebook has no parameter {name!r}. {hint}")
