"""Source sets: open one by name or file, read its galaxies by index."""

from __future__ import annotations

from dhs.config import SourcesConfig
from dhs.errors import DhsError
from dhs.injection.sources import sersic
from dhs.injection.sources.base import Catalogue, Loaded, SourceSet, catalogues
from dhs.injection.sources.galsim_catalogue import find_cosmos

ADVICE = {
    "unreadable": "Check that the image files lie beside the catalogue.",
    "z_unknown": "Give photometric redshifts between 0 and 9; other values stand for unknown.",
    "duplicate_ident": "Give each galaxy an identifier of its own.",
    "bad_noise": "Give NOISE_VARIANCE, the variance a pixel, above 0.",
}


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
    if config.spec == "auto":
        config = config.model_copy(update={"spec": str(find_cosmos() or "xdf")})
    found = catalogue_of(config.spec)
    loaded, made_up, limits = found.load(config, seed), found.mock, found.limits
    spec = loaded.spec or found.name
    if not loaded.sources:
        raise DhsError(_nothing_left(spec, loaded, config))
    galaxies = loaded.sources
    if config.morphology == "sersic":
        galaxies, made_up, limits = [sersic.sersic_twin(s) for s in galaxies], True, (*limits, *sersic.LIMITS)
    return SourceSet(found.name, spec, made_up, list(limits), loaded.refusals, loaded.cuts, galaxies)


def catalogue_of(spec: str) -> Catalogue:
    """The catalogue that claims a spec, those of other packages asked first; else a file that dhs itself may read."""
    asked = sorted(catalogues, key=lambda name: not catalogues.origin(name))
    name = next((name for name in asked if catalogues[name].claims(spec)), "real_galaxy")
    return catalogues[name]


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
    most = max(taken, key=taken.get, default="")
    advice = ADVICE.get(most, "Mend the catalogue, or give another one.")
    if relax:
        advice = f"Relax the cuts ({'; '.join(relax)})."
    first = f" First refusal: {loaded.refusals[0].message}." if loaded.refusals else ""
    return (
        f"{spec}: no source galaxy of {loaded.cuts.get('catalogue', 0)} is left; they fell: {listed}.{first} {advice}"
    )
