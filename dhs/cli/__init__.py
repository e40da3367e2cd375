"""The command line: the verbs that notebooks call, each a function of a module of this folder.

A verb registers itself with `dhs.cli.app.app`.
Exit codes: 0 done (preflight, signoff: GO), 1 internal error, 2 usage, 3 input refused, 10 CONDITIONAL-GO, 20 NO-GO.
"""

from dhs.cli import export, grades, lenses, verbs
from dhs.cli.app import app, main

__all__ = ["app", "export", "grades", "lenses", "main", "verbs"]
