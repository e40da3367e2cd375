"""Source sets: open one by name or file, read its galaxies by index."""

from __future__ import annotations

from pathlib import Path

from dhs.config import SourcesConfig
from dhs.errors import DhsError
from dhs.injection.sources import mock, real_galaxy, sersic, xdf
from dhs.injection.sources.base import Loaded, SourceSet
from dhs.injection.sources.galsim_catalogue import find_cosmos, is_catalogue, local_catalogue, no_catalogue


def open_sources(config: SourcesConfig, seed: int) -> SourceSet:
    """Open the source galaxies of a configuration.

    Parameters
    ----------
    config : SourcesConfig
        ``spec`` is ``auto`` (COSMOS if `find_cosmos` finds it, else ``xdf``), ``xdf``, ``mock`` (tests only), or
        the FITS file of a GalSim RealGalaxyCatalog, local or in an object store (`local_catalogue`). ``morphology``
        ``sersic`` puts a smooth disc in the place of each galaxy (`dhs.injection.sources.sersic`); the set then
        counts as made up.
    seed : int
        Decides the mock galaxies, and which galaxies of a catalogue larger than ``max_n`` are used.

    Returns
    -------
    SourceSet
        The same, in the same order, in every process.

    Raises
    ------
    DhsError
        No such file, unreadable or incomplete catalogue, or nothing left after the cuts.
    """
    spec: str | Path = config.spec
    if spec == "auto":
        spec = find_cosmos() or "xdf"
    if spec == "xdf":
        loaded, kind, limits = xdf.load(config), "xdf", xdf.LIMITS
    elif spec == "mock":
        loaded, kind, limits = mock.load(config, seed), "mock", mock.LIMITS
    else:
        path = local_catalogue(spec) if "://" in str(spec) else _catalogue_file(Path(spec).expanduser())
        loaded, kind, limits = real_galaxy.load(path, config, seed), "real_galaxy", real_galaxy.LIMITS
        spec = f"{path.resolve().parent.name}/{path.name}"
    if not loaded.sources:
        raise DhsError(_nothing_left(str(spec), loaded, config))
    galaxies, made_up = loaded.sources, kind == "mock"
    if config.morphology == "sersic":
        galaxies, made_up, limits = [sersic.sersic_twin(s) for s in galaxies], True, (*limits, *sersic.LIMITS)
    return SourceSet(kind, str(spec), made_up, list(limits), loaded.refusals, loaded.cuts, galaxies)


def _catalogue_file(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        found = [p.name for p in sorted(path.glob("*.fits")) if is_catalogue(p)]
        hint = f"Give the file: {', '.join(found)}." if found else "No FITS file in it is a RealGalaxyCatalog."
        raise DhsError(f"{path}: a folder, not a catalogue. {hint}")
    raise no_catalogue(path)


def _nothing_left(spec: str, loaded: Loaded, config: SourcesConfig) -> str:
    """Which cut took how many, and what to relax."""
    settings = {"z_min": config.z_min, "mag_max": config.mag_max, "min_snr": config.min_snr}
    taken = {name: n for name, n in loaded.cuts.items() if name != "catalogue" and n}
    listed = ", ".join(f"{n} to {k}" + (f" = {settings[k]:g}" if k in settings else "") for k, n in taken.items())
    relax = [
        f"{'raise' if name == 'mag_max' else 'lower'} sources.{name}"
        for name in sorted(settings, key=lambda k: -taken.get(k, 0))
        if taken.get(name)
    ]
    advice = (
        f"Relax the cuts ({'; '.join(relax)})." if relax else "Check that the image files lie beside the catalogue."
    )
    first = f" First refusal: {loaded.refusals[0].message}." if loaded.refusals else ""
    return (
        f"{spec}: no source galaxy of {loaded.cuts.get('catalogue', 0)} is left; they fell: {listed}.{first} {advice}"
    )
