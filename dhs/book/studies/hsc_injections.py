"""Arcs injected by others: images, noiseless arcs and nothing else, so there is no lens to render from.

What can be said of such a set: how much of each arc lies within a radius, what an aperture of that radius tells about
the label, over all stamps and within pairs, and how both react to arcs that were put down beside their place.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import shift

from dhs import storage
from dhs.errors import DhsError
from dhs.stats.crossfit import auc
from dhs.stats.metrics import concordance
from dhs.stats.pixels import radius_map
from dhs.validation.preflight.features import centroid_px

FOLDER = ("hosts", "hsc_injected_triples")
IMAGES, ARCS = (1, 3, 7), (2, 4, 8)  # HDUs of g, r, z
RADII_PX = (2.0, 3.0, 5.0, 8.0, 12.0, 16.0, 24.0, 32.0)
SHIFTS_PX = (1.0, 23.0)


def read(folder: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images and noiseless arcs, (n, 3, 64, 64) in g, r, z; empty where there is no such folder.

    Parameters
    ----------
    folder : str or Path, optional
        FITS files with image and arc of a band in consecutive HDUs; by default the one under ``DHS_DATA_DIR``.

    Raises
    ------
    DhsError
        A file with fewer HDUs or another shape.
    """
    folder = folder or storage.data_file(*FOLDER)
    files = sorted(Path(folder).glob("*.fits*")) if folder else []
    images, arcs = [], []
    for file in files:
        with fits.open(file) as hdus:
            if len(hdus) <= max(ARCS):
                raise DhsError(f"{file}: {len(hdus)} HDUs; image and arc of g, r, i, z make {max(ARCS) + 1}.")
            images.append([np.asarray(hdus[i].data, dtype=float) for i in IMAGES])
            arcs.append([np.asarray(hdus[i].data, dtype=float) for i in ARCS])
    if not files:
        return np.empty((0, 3, 64, 64)), np.empty((0, 3, 64, 64))
    try:
        return np.array(images), np.array(arcs)
    except ValueError:
        raise DhsError(f"{folder}: stamps of different shapes. Cut them to one size first.") from None


def _apertures(side: int) -> list[np.ndarray]:
    return [radius_map(side) < r for r in RADII_PX]


def moved(arcs: np.ndarray, pixels: float) -> np.ndarray:
    """Arcs put down so many pixels to the right; what leaves the stamp is lost."""
    return shift(arcs, (0, 0, 0, pixels), order=1, mode="constant")


def measure(images: np.ndarray, arcs: np.ndarray) -> list[dict]:
    """Core-fraction curve, leakage curve and centroids, as given and with planted shifts.

    Parameters
    ----------
    images, arcs : ndarray, (n, 3, y, x)
        The control is image - arc, by definition of the set.

    Returns
    -------
    list of dict
        One entry a shift: ``shift_px``; ``core_fraction`` (n, radii) in r; ``auc`` and ``concordance`` per radius of
        the r-band light in the aperture; ``centroid_px`` (n, 2). Intervals are not given: the clusters are too few.
    """
    if not len(images):
        return []
    control, apertures, out = images - arcs, _apertures(images.shape[-1]), []
    labels = np.repeat([True, False], len(images))
    for pixels in (0.0, *SHIFTS_PX):
        placed = moved(arcs, pixels) if pixels else arcs
        light, total = placed[:, 1], arcs[:, 1].sum(axis=(1, 2))
        curve = np.array([light[:, a].sum(axis=1) for a in apertures]).T / total[:, None]
        areas, wins = [], []
        for aperture in apertures:
            positive, negative = ((control + x)[:, 1][:, aperture].sum(axis=1) for x in (placed, 0 * placed))
            areas.append(auc(np.concatenate([positive, negative]), labels))
            wins.append(concordance(positive, negative, n_bootstrap=20).value)
        centroids = np.array([centroid_px(arc) for arc in light])
        out.append({"shift_px": pixels, "n": len(images), "radii_px": RADII_PX, "core_fraction": curve})
        out[-1] |= {"auc": areas, "concordance": wins, "centroid_px": centroids}
    return out
