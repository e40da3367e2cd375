"""Installs ``tests/helpers/third_party`` for a test, as pip would: its folder on the path, its registrations undone."""

import sys
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent / "third_party"


@contextmanager
def installed(*registries, folder=FOLDER, package="dhs_example"):
    """The package can be imported and its entry points are found; afterwards the registries are as they were."""
    sys.path.insert(0, str(folder))
    kept = [(r, dict(r), dict(r._origin)) for r in registries]
    for registry in registries:
        registry._loaded = False
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for registry, things, origin in kept:
            registry._things, registry._origin, registry._loaded = things, origin, True
        for name in [n for n in sys.modules if n.split(".")[0] == package]:
            del sys.modules[name]
