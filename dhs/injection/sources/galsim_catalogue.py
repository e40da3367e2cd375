"""The table of a GalSim `RealGalaxyCatalog`: where it lies, its columns, its image files."""

from __future__ import annotations

from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits
from pyarrow.fs import FileSelector

from dhs import storage
from dhs.config import digest
from dhs.errors import DhsError

FETCH_FOLDER = Path("data") / "cosmos"  # where `dhs fetch cosmos` unpacks, under the working directory
CATALOGUE_COLUMNS = ("ident", "gal_filename", "gal_hdu", "pixel_scale", "noise_variance")
PIXEL_SCALES = (0.001, 2.0)  # arcsec a pixel, between which any telescope's lies
FILE_COLUMNS = ("gal_filename", "noise_filename")  # PSF images are not used


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
                f"{', '.join(CATALOGUE_COLUMNS)} (in any case); it has {', '.join(names)}. Add the column."
            )
        self.ident = [str(i) for i in np.asarray(self.reader.cat["ident"])]
        if not self.ident:
            raise DhsError(f"{path}: a catalogue without rows. Fetch it again.")
        self._check_scale()
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
            numbers = as_numbers(values) if values.ndim == 1 else None
            if numbers is not None:
                self.extra[key] = np.where(order >= 0, numbers[order], np.nan)

    def _check_scale(self) -> None:
        scale = self.get("pixel_scale")
        bad = np.flatnonzero(~((scale > PIXEL_SCALES[0]) & (scale < PIXEL_SCALES[1])))
        if bad.size:
            raise DhsError(
                f"{self.path}, row {bad[0]}, column 'pixel_scale': {scale[bad[0]]:g} ({bad.size} such rows). Give "
                f"arcsec a pixel, between {PIXEL_SCALES[0]:g} and {PIXEL_SCALES[1]:g}."
            )

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
            column = np.asarray(self.reader.cat[self.main[key]])
            numbers = as_numbers(column)
            if numbers is None:
                name = self.main[key]
                raise DhsError(f"{self.path}: column {name!r} holds no numbers. Give numbers, NaN where unknown.")
            return numbers
        return self.extra.get(key)


def as_numbers(column: np.ndarray) -> np.ndarray | None:
    """A column as float64, NaN where a text is no number (``N/A``, blank); None where no value is one."""
    if column.dtype.kind in "fiub":
        return column.astype(float)
    out = np.full(len(column), np.nan)
    for i, value in enumerate(column):
        try:
            out[i] = float(value.decode() if isinstance(value, bytes) else value)
        except (TypeError, ValueError):
            continue
    return out if np.isfinite(out).any() else None


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
    sources = storage.data_file("sources")
    folders = sorted(Path(sources).glob("cosmos*")) if sources else []
    for folder in [*folders, FETCH_FOLDER]:
        for path in sorted(folder.rglob("*catalog*.fits")):
            if is_catalogue(path):
                return path
    return None


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
        raise no_catalogue(uri, f" In its folder: {', '.join(found)}." if found else "")
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


def no_catalogue(where: str | Path, hint: str = "") -> DhsError:
    return DhsError(
        f"{where}: no such source catalogue. Give auto, xdf, mock, or the FITS file of a GalSim RealGalaxyCatalog "
        f"(its image files belong in the same folder).{hint}"
    )
