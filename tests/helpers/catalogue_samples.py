"""Small RealGalaxyCatalogs, and the real one of the data folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

DATA = os.environ.get("DHS_DATA_DIR")
CATALOGUE = Path(DATA or ".", "sources/cosmos_btk100/real_galaxy_catalog_26_extension_example.fits")
needs_cosmos = pytest.mark.skipif(not CATALOGUE.is_file(), reason="DHS_DATA_DIR holds no COSMOS catalogue")


def small_catalogue(folder: Path, n: int = 4, drop: tuple[str, ...] = (), companion: bool = True, **values) -> Path:
    """A RealGalaxyCatalog of n Gaussian galaxies in white noise; ``values`` replace columns."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.indices((48, 48)) - 23.5
    rng = np.random.default_rng(3)
    stamps = [
        np.exp(-0.5 * (x**2 + (y / 0.7) ** 2) / (3.0 + k % 4) ** 2) + rng.normal(0, 0.02, x.shape) for k in range(n)
    ]
    fits.HDUList([fits.PrimaryHDU(stamps[0]), *map(fits.ImageHDU, stamps[1:])]).writeto(folder / "images.fits")
    columns = {
        "IDENT": np.arange(n) + 7,
        "MAG": np.full(n, 23.5),
        "GAL_FILENAME": np.array(["images.fits"] * n),
        "GAL_HDU": np.arange(n),
        "PIXEL_SCALE": np.full(n, 0.03),
        "NOISE_VARIANCE": np.full(n, 0.02**2),
        "BAND": np.array(["F814W"] * n),
    }
    extra = {"IDENT": columns["IDENT"][::-1], "zphot": np.linspace(0.9, 1.2, n)[::-1]}
    for name, value in values.items():
        (columns if name in columns or name.startswith("NOISE") else extra)[name] = value
    for name in drop:
        columns.pop(name, None)
        extra.pop(name, None)
    write_table(folder / "catalog.fits", columns)
    if companion:
        write_table(folder / "catalog_fits.fits", extra)
    return folder / "catalog.fits"


def write_table(path: Path, columns: dict) -> None:
    formats = {"i": "J", "f": "D", "U": "64A"}
    made = [fits.Column(name=k, format=formats[v.dtype.kind], array=v) for k, v in columns.items()]
    fits.BinTableHDU.from_columns(made).writeto(path)
