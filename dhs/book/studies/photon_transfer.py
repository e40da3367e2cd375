"""The photon-transfer curve of a field: noise variance against brightness, whose slope is one over the gain.

Where an inverse-variance map holds the photon noise of the objects, variance = sky variance + flux / gain. That
measures the gain without knowing the sky's brightness, and so checks `dhs.survey.facts.gain_from_sky_noise`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from dhs import storage
from dhs.survey.facts import gain_from_sky_noise

FIELDS = ("hosts", "decam_image_invvar_psf")  # in DHS_DATA_DIR: .npz with image_nmgy and invvar, (3, n, n)
EDGES = np.array([-1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0])  # of brightness, in sky sigmas
MIN_PIXELS = 30


def photon_transfer(image: np.ndarray, invvar: np.ndarray) -> dict[str, np.ndarray | float]:
    """Variance against smoothed brightness of one band, and the gain.

    Parameters
    ----------
    image : ndarray, (y, x)
        Nanomaggies.
    invvar : ndarray, (y, x)
        Inverse variance, nanomaggies^-2; 0 where a pixel is masked.

    Returns
    -------
    dict
        ``level`` and ``variance`` (k,): mean brightness and median 1 / invvar of bins of brightness; ``scatter`` (k,):
        variance of the pixels themselves, from the mixed second difference of neighbours, which takes out gradients
        and most curvature of a galaxy's light; ``n`` (k,); ``sky_sigma``, nanomaggies; ``gain``, electrons per
        nanomaggy, from the slope of variance against level.
    """
    good = invvar > 0
    sky = 1.0 / np.sqrt(np.median(invvar[good]))
    level = gaussian_filter(np.asarray(image, float), 2.0)
    difference = np.full(image.shape, np.nan)
    corner = image[:-2, :-2] + image[:-2, 2:] + image[2:, :-2] + image[2:, 2:]
    side = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]
    difference[1:-1, 1:-1] = (corner - 2.0 * side + 4.0 * image[1:-1, 1:-1]) / 6.0
    inner = good & np.isfinite(difference)
    out: dict[str, list] = {"level": [], "variance": [], "scatter": [], "n": []}
    for low, high in zip(EDGES[:-1] * sky, EDGES[1:] * sky):
        chosen = inner & (level >= low) & (level < high)
        if chosen.sum() >= MIN_PIXELS:
            out["level"].append(level[chosen].mean())
            out["variance"].append(np.median(1.0 / invvar[chosen]))
            out["scatter"].append((np.median(np.abs(difference[chosen])) / 0.6745) ** 2)
            out["n"].append(int(chosen.sum()))
    found = {name: np.array(values) for name, values in out.items()}
    slope = np.polyfit(found["level"], found["variance"], 1, w=np.sqrt(found["n"]))[0] if len(out["n"]) > 1 else np.nan
    return found | {"sky_sigma": float(sky), "gain": float(1.0 / slope) if slope > 0 else float("nan")}


def field_curves(band: int = 1) -> dict[str, dict]:
    """Curves of the real fields under ``DHS_DATA_DIR`` in one band, with ``derived_gain`` beside each; none without.

    Parameters
    ----------
    band : int
        0, 1, 2 for g, r, z.
    """
    folder, curves = storage.data_file(*FIELDS), {}
    for path in sorted(Path(folder).glob("*.npz")) if folder else []:
        with np.load(path, allow_pickle=False) as field:
            curve = photon_transfer(field["image_nmgy"][band], field["invvar"][band])
        derived = gain_from_sky_noise(np.full(3, curve["sky_sigma"]))[band]
        curves[path.stem] = curve | {"derived_gain": float(derived)}
    return curves
