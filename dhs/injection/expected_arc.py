"""What honest physics puts into the core of a stamp: the arc predicted from its stored lens parameters.

The prediction shares no code with the injection. Rays are shot with lenstronomy through the stored SIE and shear;
the source is a round Gaussian whose size and per-band flux are those that fit the stored arc OUTSIDE the core.
Light in the core that the lens equation does not put there, a pedestal, a seam, a misplaced image, then shows as
a difference between the stored arc and the prediction, while a counter-image does not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from lenstronomy.LensModel.Profiles.shear import Shear
from lenstronomy.LensModel.Profiles.sie import SIE
from lenstronomy.Util.param_util import phi_q2_ellipticity
from scipy.signal import fftconvolve

from dhs.stats.pixels import radius_map
from dhs.survey.facts import BAND_NAMES, PIXEL_SCALE, STAMP
from dhs.survey.psf import MOFFAT_BETA

SUPERSAMPLING = 2
SOURCE_SIGMAS_ARCSEC = (0.05, 0.12, 0.25, 0.45)
KERNEL_HALF_PX = 20
MASS, SHEAR = SIE(), Shear()  # not LensModel, whose cosmology takes seconds to import


@cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = ((np.arange(STAMP * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - STAMP / 2) * PIXEL_SCALE
    x, y = np.meshgrid(axis, axis)
    return x.ravel(), y.ravel()


def moffat(fwhm_arcsec: float) -> np.ndarray:
    """Moffat PSF sampled at the pixel scale, odd, sum 1; the FWHM is the delivered one, pixel included."""
    alpha = fwhm_arcsec / PIXEL_SCALE / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    axis = np.arange(-KERNEL_HALF_PX, KERNEL_HALF_PX + 1)
    kernel = (1 + (axis[:, None] ** 2 + axis[None, :] ** 2) / alpha**2) ** -MOFFAT_BETA
    return kernel / kernel.sum()


def expected_arc(row: dict, core_radius_px: float) -> np.ndarray:
    """Noiseless arc that the stored lens, source position and PSF predict.

    Parameters
    ----------
    row : mapping
        ``arc`` (3, 64, 64) and the scalar columns of one pair.
    core_radius_px : float
        Pixels inside do not take part in the fit of size and flux.

    Returns
    -------
    ndarray, (3, 64, 64) float64
        Nanomaggies.
    """
    e1, e2 = phi_q2_ellipticity(row["phi_rad"], row["q"])
    centre_x, centre_y = row["lens_x_arcsec"], row["lens_y_arcsec"]
    mass = {"theta_E": row["theta_e_arcsec"], "e1": e1, "e2": e2, "center_x": centre_x, "center_y": centre_y}
    shear = {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": centre_x, "dec_0": centre_y}
    deflections = zip(MASS.derivatives(*_grid(), **mass), SHEAR.derivatives(*_grid(), **shear))
    beta_x, beta_y = (axis - sum(alphas) for axis, alphas in zip(_grid(), deflections))
    distance2 = (beta_x - row["src_x_arcsec"]) ** 2 + (beta_y - row["src_y_arcsec"]) ** 2
    outside = radius_map() >= core_radius_px
    arc = np.asarray(row["arc"], dtype=float)
    psfs = [moffat(row[f"psf_fwhm_{band}_arcsec"]) for band in BAND_NAMES]
    best, best_misfit = None, np.inf
    for sigma in SOURCE_SIGMAS_ARCSEC:
        side = STAMP * SUPERSAMPLING
        light = np.exp(-distance2 / (2 * sigma**2)).reshape(side, side)
        light = light.reshape(STAMP, SUPERSAMPLING, STAMP, SUPERSAMPLING).mean(axis=(1, 3))
        model = fftconvolve(light, psfs[1], mode="same")
        _, misfit = _scaled(model, arc[1], outside)
        if misfit < best_misfit:
            best, best_misfit = light, misfit
    if best is None:
        return np.zeros_like(arc)
    models = [fftconvolve(best, psf, mode="same") for psf in psfs]
    return np.stack([_scaled(m, a, outside)[0] for m, a in zip(models, arc)])


def _scaled(model: np.ndarray, arc: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, float]:
    """The model at the arc's flux outside the core, and the squared misfit there.

    Flux, not overlap, sets the scale: an arc in the wrong place must not make its prediction faint.
    """
    norm = float(model[outside].sum())
    if norm <= 0:
        return np.zeros_like(model), np.inf
    amplitude = max(float(arc[outside].sum()) / norm, 0.0)
    return amplitude * model, float(((arc[outside] - amplitude * model[outside]) ** 2).sum())
