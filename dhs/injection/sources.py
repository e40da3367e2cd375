"""Source sets: open one by name or file, read its galaxies by index."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits
from pyarrow.fs import FileSelector

from dhs import storage
from dhs.config import SourcesConfig, digest
from dhs.errors import DhsError, Refusal
from dhs.injection.source import Source

FETCH_FOLDER = Path("data") / "cosmos"  # where `dhs fetch cosmos` unpacks, under the working directory
CATALOGUE_COLUMNS = ("ident", "gal_filename", "gal_hdu", "pixel_scale", "noise_variance")
FILE_COLUMNS = ("gal_filename", "noise_filename")  # PSF images are not used


class Unusable(Exception):
    """A stamp that makes no source: the code and message of its refusal."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Loaded:
    """What a reader of one kind hands back: usable sources, refused inputs, and how many fell to which cut."""

    sources: list[Source]
    refusals: list[Refusal]
    cuts: dict[str, int]


@dataclass(frozen=True)
class SourceSet:
    """Source galaxies in a stable order.

    Attributes
    ----------
    kind : {"xdf", "real_galaxy", "mock"}
    spec : str
        ``xdf``, ``mock``, or the catalogue's folder and file name (without the path to them, which differs
        between machines).
    mock : bool
        Whether the galaxies are made up.
    limits : list of str
        What is assumed or lost, in plain sentences, to be printed where results show.
    refusals : list of Refusal
        Galaxies that could not be used, one by one; those outside the cuts are only counted.
    cuts : dict of str to int
        Galaxies in the catalogue or picture (key ``catalogue``), then how many fell to each cut or refusal code.
    """

    kind: str
    spec: str
    mock: bool
    limits: list[str]
    refusals: list[Refusal]
    cuts: dict[str, int]
    _sources: list[Source] = field(repr=False)

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def ids(self) -> list[str]:
        """Unique identifiers, in the order in which `read` counts."""
        return [s.source_id for s in self._sources]

    def read(self, i: int) -> Source:
        """The i-th source, 0 <= i < len."""
        if not 0 <= i < len(self._sources):
            raise DhsError(f"source {i} of {self.spec}: there are {len(self._sources)}, counted from 0")
        return self._sources[i]


class CatalogueTable:
    """Columns of a catalogue and its companion, by case-insensitive name."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.reader = galsim.RealGalaxyCatalog(path.name, dir=str(path.parent))
            names = self.reader.cat.names
        except (OSError, ValueError, IndexError, TypeError, AttributeError, galsim.GalSimError) as error:
            raise DhsError(
                f"{path}: not a readable RealGalaxyCatalog ({type(error).__name__}: {error}). Give the catalogue's "
                "FITS file: a table in HDU 1, its image files in the same folder."
            ) from None
        self.main = {name.lower(): name for name in names}
        self.extra, self.companion = {}, path.with_name(f"{path.stem}_fits.fits")
        missing = [name for name in CATALOGUE_COLUMNS if name not in self.main]
        if missing:
            raise DhsError(
                f"{path}: no column {', '.join(map(repr, missing))}; a RealGalaxyCatalog has "
                f"{', '.join(CATALOGUE_COLUMNS)} (in any case). Found: {', '.join(names)}."
            )
        self.ident = [str(i) for i in np.asarray(self.reader.cat["ident"])]
        if self.companion.is_file():
            self._join()

    def _join(self) -> None:
        """Rows of the companion by identifier, or by order where it has none and the lengths agree."""
        try:
            data = fits.getdata(self.companion, 1)
            names = {name.lower(): name for name in data.names}
        except (OSError, IndexError, AttributeError, TypeError) as error:
            raise DhsError(f"{self.companion}: not a readable table ({error}). Fetch it again, or move it.") from None
        if not len(data):
            raise DhsError(f"{self.companion}: an empty table. Fetch it again, or move it.")
        if "ident" in names:
            rows = {str(i): k for k, i in enumerate(np.asarray(data[names["ident"]]))}
            order = np.array([rows.get(i, -1) for i in self.ident])
        elif len(data) == len(self.ident):
            order = np.arange(len(data))
        else:
            raise DhsError(
                f"{self.companion}: {len(data)} rows without an IDENT column, the catalogue has {len(self.ident)}. "
                "Give the companion that belongs to the catalogue, or move it."
            )
        for key, name in names.items():
            values = np.asarray(data[name])
            if values.ndim == 1 and values.dtype.kind in "fiu":
                self.extra[key] = np.where(order >= 0, values[order].astype(float), np.nan)

    def first(self, keys: tuple[str, ...], what: str) -> np.ndarray:
        """(n,) values of the first column that exists, the catalogue's before the companion's."""
        for key in keys:
            if (values := self.get(key)) is not None:
                return values
        beside = self.companion.name if self.companion.is_file() else f"{self.companion.name}, which does not exist"
        raise DhsError(
            f"{self.path}: no column with the {what}: looked for {', '.join(keys)} in it and in {beside}. "
            "Add the column or the companion file."
        )

    def get(self, key: str) -> np.ndarray | None:
        if key in self.main:
            return np.asarray(self.reader.cat[self.main[key]], dtype=float)
        return self.extra.get(key)


def is_catalogue(path: Path) -> bool:
    """Whether a file has a table with the columns of a RealGalaxyCatalog in HDU 1."""
    try:
        with fits.open(path) as hdus:
            names = {name.lower() for name in hdus[1].columns.names}
    except (OSError, IndexError, AttributeError):
        return False
    return set(CATALOGUE_COLUMNS) <= names


def find_cosmos() -> Path | None:
    """The COSMOS catalogue of ``spec="auto"``, or None.

    Looked for under ``$DHS_DATA_DIR/sources/cosmos*``, then in the folder of an earlier ``dhs fetch cosmos``
    (`FETCH_FOLDER` of the working directory, at any depth); the first by name of the first place that has one.
    """
    folders = []
    if root := os.environ.get("DHS_DATA_DIR"):
        folders += sorted(Path(root, "sources").glob("cosmos*"))
    for folder in [*folders, FETCH_FOLDER]:
        for path in sorted(folder.rglob("*catalog*.fits")):
            if is_catalogue(path):
                return path
    return None


def open_sources(config: SourcesConfig, seed: int) -> SourceSet:
    """Open the source galaxies of a configuration.

    Parameters
    ----------
    config : SourcesConfig
        ``spec`` is ``auto`` (COSMOS if `find_cosmos` finds it, else ``xdf``), ``xdf``, ``mock`` (tests only), or
        the FITS file of a GalSim RealGalaxyCatalog, local or in an object store (`local_catalogue`). ``morphology``
        ``sersic`` puts a smooth disc in the place of each galaxy (`dhs.injection.sersic`); the set then counts as
        made up.
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
    # Imported here because the readers use this module's types, and only one of them is needed.
    from dhs.injection import mock_sources, real_galaxy, sersic, xdf

    spec: str | Path = config.spec
    if spec == "auto":
        spec = find_cosmos() or "xdf"
    if spec == "xdf":
        loaded, kind, limits = xdf.load(config), "xdf", xdf.LIMITS
    elif spec == "mock":
        loaded, kind, limits = mock_sources.load(config, seed), "mock", mock_sources.LIMITS
    else:
        path = local_catalogue(spec) if "://" in str(spec) else _catalogue_file(Path(spec).expanduser())
        loaded, kind, limits = real_galaxy.load(path, config, seed), "real_galaxy", real_galaxy.LIMITS
        spec = f"{path.resolve().parent.name}/{path.name}"
    if not loaded.sources:
        raise DhsError(_nothing_left(str(spec), loaded, config))
    galaxies, mock = loaded.sources, kind == "mock"
    if config.morphology == "sersic":
        galaxies, mock, limits = [sersic.sersic_twin(s) for s in galaxies], True, (*limits, *sersic.LIMITS)
    return SourceSet(kind, str(spec), mock, list(limits), loaded.refusals, loaded.cuts, galaxies)


def _catalogue_file(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        found = [p.name for p in sorted(path.glob("*.fits")) if is_catalogue(p)]
        hint = f"Give the file: {', '.join(found)}." if found else "No FITS file in it is a RealGalaxyCatalog."
        raise DhsError(f"{path}: a folder, not a catalogue. {hint}")
    raise _no_catalogue(path)


def local_catalogue(uri: str) -> Path:
    """A catalogue in an object store, as a copy in the user's cache with the files that belong to it.

    galsim opens local files alone. The companion and the image and noise files that the catalogue names are copied
    once; where anything beside the catalogue has changed since, they are copied again.

    Raises
    ------
    DhsError
        No such file.
    """
    folder, _, name = uri.rpartition("/")
    fs, inner = storage.resolve(folder)
    with storage.explained(folder):
        infos = fs.get_file_info(FileSelector(inner, allow_not_found=True))
    there = {i.base_name for i in infos}
    if name not in there:
        found = sorted(n for n in there if "catalog" in n and n.endswith(".fits"))
        raise _no_catalogue(uri, f" In its folder: {', '.join(found)}." if found else "")
    state = sorted([i.base_name, i.size, i.mtime_ns] for i in infos if i.is_file)
    target = storage.cache_folder("sources") / digest([inner, state])[:32] / inner.rsplit("/", 1)[-1]

    def bring(names: set[str]) -> None:
        for wanted in sorted(names & there):
            if not (target / wanted).is_file():
                storage.copy(storage.join(folder, wanted), target / wanted)

    bring({name, f"{name.removesuffix('.fits')}_fits.fits"})
    if is_catalogue(target / name):
        table = fits.getdata(target / name, 1)
        bring({str(v).strip() for c in table.names if c.lower() in FILE_COLUMNS for v in np.unique(table[c])})
    return target / name


def _no_catalogue(where: str | Path, hint: str = "") -> DhsError:
    return DhsError(
        f"{where}: no such source catalogue. Give auto, xdf, mock, or the FITS file of a GalSim RealGalaxyCatalog "
        f"(its image files belong in the same folder).{hint}"
    )


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
