"""Source galaxies of a GalSim `RealGalaxyCatalog`.

Read through galsim's own reader (Rowe et al. 2015, Astronomy & Computing 10, 121; format of Mandelbaum et al. 2012,
MNRAS 420, 1518), cleaned by `dhs.injection.sources.cleaning`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits

from dhs.config import SourcesConfig
from dhs.errors import DhsError, Refusal
from dhs.injection.sources.base import Loaded, Unusable, source_catalogue
from dhs.injection.sources.cleaning import central_source, scale_sigmas
from dhs.injection.sources.galsim_catalogue import CatalogueTable, is_catalogue, local_catalogue, no_catalogue
from dhs.injection.sources.source import Source
from dhs.random import stable_key
from dhs.stats.pixels import MAD_TO_SIGMA, mad
from dhs.survey.colours import Z_MAX, drawn_fluxes
from dhs.survey.facts import flux_from_mag, known_redshift

LIMITS = (
    "One band gives the morphology (HST F814W), so a source has the same shape in g, r and z.",
    "The PSF of the space telescope (about 0.1 arcsec) is left in the source, and lensing stretches it.",
    "Light below the noise of the stamp is lost, though the catalogue's flux is kept: in tests a disc kept its "
    "half-light radius to 2 %, a Sersic n = 2 galaxy of S/N 70 came out 10 % too small.",
    "HSC magnitudes, where the catalogue has them, are used as g, r, z of the survey without a colour term "
    "(up to 0.18 mag in r and z for star-forming templates at z 0.7 to 2.5).",
    "A galaxy without g, r, z magnitudes gets the colours of a template drawn by its identifier (flag colours_drawn).",
)
GRZ_COLUMNS = (("hsc_g", "hsc_r", "hsc_z"), ("mag_g", "mag_r", "mag_z"), ("g_mag", "r_mag", "z_mag"))
Z_COLUMNS = ("zphot", "z_phot", "photoz", "photo_z", "zphot_best")
WHITE_NOISE = "noise_taken_for_white"
log = logging.getLogger(__name__)
MAG_COLUMNS = ("mag", "mag_auto")


def _correlation(noise_file: str) -> np.ndarray:
    """Noise correlation image of a catalogue, its zero lag in the middle.

    Raises
    ------
    DhsError
        Unreadable, or without a middle pixel that is its peak.
    """
    try:
        image = np.asarray(fits.getdata(noise_file), dtype=float)
    except (OSError, TypeError, ValueError, IndexError) as error:
        raise DhsError(
            f"{noise_file}: not a readable noise correlation ({error}). Fetch it again, or remove it."
        ) from None
    middle = tuple(n // 2 for n in image.shape)
    if image.ndim != 2 or 0 in [n % 2 for n in image.shape] or not image[middle] == image.max() > 0:
        raise DhsError(
            f"{noise_file}: no noise correlation (shape {image.shape}); it has an odd side and its peak in the middle. "
            "Fetch it again, or remove it: noise is then taken for white."
        )
    return image


@lru_cache(maxsize=4)
def _unit_sigmas(noise_file: str, n_scales: int) -> np.ndarray:
    correlation = _correlation(noise_file) if noise_file else None
    return scale_sigmas(n_scales, None if correlation is None else correlation / correlation.max())


def _noise_file(table: CatalogueTable, row: int) -> str:
    """Noise correlation of one row; empty where the catalogue has none or its file is not there."""
    files = table.reader.noise_file_name
    return files[row].strip() if files is not None and os.path.isfile(files[row].strip()) else ""


def _read(table: CatalogueTable, row: int, denoise_it: bool) -> tuple[np.ndarray, float]:
    """Source image and S/N of one row; galsim's and astropy's errors become `Unusable`."""
    reader = table.reader
    try:
        image = reader.getGalImage(row).array
    except (OSError, IndexError, TypeError, ValueError, AttributeError, galsim.GalSimError) as error:
        raise Unusable("unreadable", f"its image can't be read ({error})") from None
    noise_file = _noise_file(table, row)
    variance = float(reader.variance[row])
    if not (np.isfinite(variance) and variance > 0):
        raise Unusable("bad_noise", f"the catalogue's noise variance is {variance}")
    sigma = np.sqrt(variance)
    edge = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel(), image[:, -2:].ravel()])
    spread = MAD_TO_SIGMA * float(mad(edge))
    if 0 < spread < 0.6 * sigma:  # galaxy light only widens the edge, so the catalogue's variance is too large
        sigma = spread
    return central_source(image, sigma, _unit_sigmas(noise_file, 3 if min(image.shape) < 64 else 4), denoise_it)


def _fluxes(grz: np.ndarray | None, magnitude: float, z: float, source_id: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Flux in g, r, z from the catalogue's magnitudes, or from F814W and a template; and flags."""
    if grz is not None and np.all((grz > 10.0) & (grz < 32.0)):  # 99, -99 and NaN mean absent
        return flux_from_mag(grz), ()
    if not z <= Z_MAX:
        raise Unusable("no_colours", f"no g, r, z magnitudes, and no template colours at redshift {z:.2f}")
    return drawn_fluxes(source_id, z, f814w=magnitude), ("colours_drawn",)


def load(path: Path, config: SourcesConfig, seed: int) -> Loaded:
    """Usable sources of a RealGalaxyCatalog, in the catalogue's order.

    Parameters
    ----------
    path : Path
    config : SourcesConfig
    seed : int
        Decides which galaxies stay where more than ``max_n`` pass the catalogue cuts.

    Returns
    -------
    Loaded
        Where no image at all can be read, every galaxy is refused; the caller says so.

    Raises
    ------
    DhsError
        Unreadable catalogue or missing column.
    """
    table = CatalogueTable(path)
    z = table.first(Z_COLUMNS, "photometric redshift")
    magnitude = table.first(MAG_COLUMNS, "magnitude")
    grz = next(
        (c for c in ([table.get(k) for k in keys] for keys in GRZ_COLUMNS) if all(x is not None for x in c)),
        None,
    )

    seen: set[str] = set()
    duplicate = np.array([i in seen or seen.add(i) is not None for i in table.ident])
    keep, cuts = np.ones(len(z), dtype=bool), Counter(catalogue=len(z))
    for name, good in (
        ("duplicate_ident", ~duplicate),
        ("z_unknown", np.isfinite(known_redshift(z))),
        ("z_min", z >= config.z_min),
        ("mag_max", magnitude <= config.mag_max),
    ):
        cuts[name] = int((keep & ~good).sum())
        keep &= good
    rows = np.flatnonzero(keep)
    if len(rows) > config.max_n:
        chosen = sorted(rows, key=lambda row: stable_key(f"{seed}:{table.ident[row]}"))[: config.max_n]
        cuts["max_n"] = len(rows) - config.max_n
        rows = np.sort(chosen)

    sources, refusals = [], []
    where = f"{path.parent.name}/{path.name}"
    for row in map(int, rows):
        source_id = f"rg-{table.ident[row].zfill(6)}"
        try:
            image, snr = _read(table, row, config.denoise)
            if snr < config.min_snr:
                cuts["min_snr"] += 1
                continue
            own = None if grz is None else np.array([c[row] for c in grz])
            flux, flags = _fluxes(own, float(magnitude[row]), float(z[row]), source_id)
            flags += () if _noise_file(table, row) else (WHITE_NOISE,)
        except Unusable as error:
            cuts[error.code] += 1
            remedy = "Left out; nothing to do, or mend the file if it should be good."
            refusals.append(Refusal(source_id, where, row, "source", error.code, error.message, remedy))
            continue
        sources.append(Source(source_id, image, float(table.reader.pixel_scale[row]), flux, float(z[row]), flags))
    table.reader.close()
    white = sum(WHITE_NOISE in source.flags for source in sources)
    if white and multiprocessing.parent_process() is None:
        log.warning(
            "%s: the noise correlation of %d galaxies is not there, so their noise is taken for white when they are "
            "cleaned. Put the file that the column NOISE_FILENAME names beside the catalogue.",
            where,
            white,
        )
    return Loaded(sources, refusals, dict(cuts))


@source_catalogue("real_galaxy", limits=LIMITS, claims=lambda spec: spec.endswith(".fits"))
def open_file(config: SourcesConfig, seed: int) -> Loaded:
    """The catalogue of a file, local or in an object store."""
    path = local_catalogue(config.spec) if "://" in config.spec else _catalogue_file(Path(config.spec).expanduser())
    return replace(load(path, config, seed), spec=f"{path.resolve().parent.name}/{path.name}")


def _catalogue_file(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        found = [p.name for p in sorted(path.glob("*.fits")) if is_catalogue(p)]
        hint = f"Give the file: {', '.join(found)}." if found else "No FITS file in it is a RealGalaxyCatalog."
        raise DhsError(f"{path}: a folder, not a catalogue. {hint}")
    raise no_catalogue(path)
