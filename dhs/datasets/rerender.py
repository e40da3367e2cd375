"""The arc that a pair's stored parameters say, rendered again.

Where the source galaxy of the row can be opened, its image goes through the stored lens, PSF and flux scale with the
lenstronomy-based reference renderer, whatever renderer made the set; the result must be the stored arc. Where it
cannot, a round source stands in (`dhs.injection.expected_arc`), and less is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np

from dhs.datasets.reader import configuration, per_band
from dhs.errors import DhsError
from dhs.injection.lens import ISOTHERMAL, Lens
from dhs.injection.render import windowed
from dhs.injection.snr import R_BAND
from dhs.injection.sources.source import Source
from dhs.survey.colours import north_over_south
from dhs.survey.facts import is_north


@dataclass(frozen=True)
class Rerendered:
    """An arc from stored parameters.

    Attributes
    ----------
    arc : ndarray, (3, 64, 64)
        Nanomaggies.
    flux : ndarray, (3,)
        Light before the PSF: source flux x flux scale x magnification, nanomaggies.
    magnification : float
        Lensed over unlensed flux.
    centroid_px : ndarray, (2,)
        x, y of that light from the stamp's centre, pixels; no PSF code has touched it.
    """

    arc: np.ndarray
    flux: np.ndarray
    magnification: float
    centroid_px: np.ndarray


def lens_of(row) -> Lens:
    """The stored lens of a row."""
    names = ("theta_e_arcsec", "q", "phi_rad", "gamma1", "gamma2", "lens_x_arcsec", "lens_y_arcsec")
    slope = row.get("slope")
    return Lens(*(float(row[k]) for k in names), slope=ISOTHERMAL if slope is None else float(slope))


def light_of(row, source: Source, supersampling: int) -> windowed.Lit:
    """Light before the PSF per unit source flux, from the stored lens and source position."""
    where = row["src_x_arcsec"], row["src_y_arcsec"], row["src_phi_rad"]
    return windowed.lensed_light(lens_of(row), source, *where, supersampling)


def observe(light: windowed.Lit, row, source: Source, supersampling: int) -> np.ndarray:
    """(3, 64, 64) nanomaggies: sub-pixel light through each band's PSF, image or Moffat, at the row's fluxes."""
    arc = windowed.observe(light, row.get("psf"), per_band(row, "psf_fwhm", "_arcsec"), supersampling)
    return arc * flux_of(row, source)[:, None, None]


def flux_of(row, source: Source) -> np.ndarray:
    """(3,) flux of the unlensed source as injected, nanomaggies; in the north its colours are of the other filters."""
    flux = np.asarray(source.flux, dtype=float)
    seen = flux * north_over_south(flux, source.z) if is_north(row["ra"], row["dec"]) else flux
    return seen / seen[R_BAND] * flux[R_BAND] * float(row["flux_scale"])


def rerender(row, source: Source, supersampling: int) -> Rerendered:
    """Render a row's arc from its scalar columns and its source galaxy.

    Parameters
    ----------
    row : mapping
        Scalar columns of one pair.
    source : Source
    supersampling : int
        The one the set was made with.
    """
    light = light_of(row, source, supersampling)
    total, centroid = float(light.box.sum()), light.centroid_px(supersampling)
    return Rerendered(observe(light, row, source, supersampling), flux_of(row, source) * total, total, centroid)


class SourceLookup:
    """Source galaxies of a data set by their id; threads may share one.

    Attributes
    ----------
    reason : str
        Why there is none; empty where the set opened.
    supersampling : int
    renderer : str
        That made the set.
    """

    def __init__(self, manifest: dict):
        self.reason, self._index, self._set, self._lock = "", {}, None, Lock()
        self.supersampling, self.renderer = 4, "fast"
        try:
            from dhs.injection.sources.open import open_sources

            config = configuration(manifest, "the data set")
            self.supersampling, self.renderer = config.injection.supersampling, config.injection.renderer
            self._set = open_sources(config.sources, int(manifest["seed"]))
            self._index = {name: i for i, name in enumerate(self._set.ids)}
        except DhsError as error:
            self.reason = str(error).rstrip(".")
        except (OSError, KeyError, TypeError, ValueError) as error:
            self.reason = f"{type(error).__name__}: {error}"

    @property
    def ids(self) -> list[str]:
        """Of all galaxies in the set."""
        return list(self._index)

    def knows(self, source_id: str | None) -> bool:
        """Whether `get` has a galaxy of that id."""
        return source_id in self._index

    def get(self, source_id: str | None) -> Source | None:
        """The galaxy of that id, or None."""
        index = self._index.get(source_id)
        if index is None:
            return None
        with self._lock:  # catalogues keep their files open
            return self._set.read(index)
