"""One registry for each kind of thing that varies: what is built in, and what an installed package adds.

The modules of a folder of dhs register themselves when they are imported; so do the modules that other packages name
as entry points, in the same words. A package adds, say, a gate with ::

    [project.entry-points."dhs.gates"]
    bright_hosts = "my_package.bright_hosts"

where ``my_package/bright_hosts.py`` holds a function under ``@gate("bright_hosts")``. Both are looked up at first use,
in every process.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from threading import RLock
from typing import Any

from dhs.errors import DhsError, UsageError


class Registry(Mapping[str, Any]):
    """Things of one kind by name, in the order of their registration: dhs's own first.

    Parameters
    ----------
    kind : str
        The kind in words, for messages: ``host reader``.
    group : str
        Entry-point group whose modules are imported: ``dhs.hosts``.
    folder : str
        Package whose modules, in folders of it too, are dhs's own things of this kind, imported in alphabetical order;
        empty for none.
    """

    def __init__(self, kind: str, group: str, folder: str):
        self.kind, self.group, self.folder = kind, group, folder
        self._things: dict[str, Any] = {}
        self._origin: dict[str, str] = {}
        self._loaded, self._lock, self._source = False, RLock(), ""

    def add(self, name: str, thing: Any) -> None:
        """Register a thing.

        Raises
        ------
        ValueError
            The name is taken.
        """
        if name in self._things:
            taken = self._origin[name] or "dhs"
            raise ValueError(f"a {self.kind} {name!r} is registered already, by {taken}")
        self._things[name], self._origin[name] = thing, self._source

    def __call__(self, name: str) -> Callable:
        """Decorator that registers a function or class under a name."""

        def register(thing):
            self.add(name, thing)
            return thing

        return register

    def origin(self, name: str) -> str:
        """Package and version that registered a thing; empty for dhs's own and for what a program adds itself."""
        return self._origin[name]

    def _load(self) -> None:
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            try:
                path = importlib.import_module(self.folder).__path__ if self.folder else ()
                for module in sorted(m.name for m in pkgutil.walk_packages(path, f"{self.folder}.")):
                    importlib.import_module(module)
                for point in sorted(metadata.entry_points(group=self.group), key=lambda p: (p.dist.name, p.name)):
                    self._load_point(point)
            except BaseException:
                self._loaded = False
                raise

    def _load_point(self, point: metadata.EntryPoint) -> None:
        self._source = f"{point.dist.name} {point.dist.version}"
        try:
            point.load()
        except Exception as error:  # whatever a foreign module raises on import
            raise DhsError(
                f"the {self.kind} {point.name!r} of the installed package {self._source} can't be loaded "
                f"({type(error).__name__}: {error}). Repair or uninstall that package."
            ) from error
        finally:
            self._source = ""

    def __getitem__(self, name: str) -> Any:
        self._load()
        if name not in self._things:
            raise UsageError(f"no {self.kind} {name!r}: choose one of {list(self._things)}")
        return self._things[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(list(self._things))

    def __len__(self) -> int:
        self._load()
        return len(self._things)
