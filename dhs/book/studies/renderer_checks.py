"""What the renderer is worth: agreement with the reference, convergence, and closure with known answers."""

from __future__ import annotations

import numpy as np

from dhs.injection.lens import Lens
from dhs.injection.render.rays import lensed_light
from dhs.injection.render.render import render_arc
from dhs.injection.sources.source import Source
from dhs.random import Stream, keyed
from dhs.survey.facts import BANDS, PIXEL_SCALE

TYPICAL_FWHM = np.array([band.psf_fwhm_arcsec for band in BANDS])
CONVERGED = 16  # sub-pixels a side of a pixel, the truth of `convergence`


def draws(sources, n: int, seed: int) -> list[dict]:
    """Lenses and source positions over the whole range of the response grid, as arguments of `render_arc`."""
    rng = keyed(seed, Stream.STUDY, 1)
    out = []
    for _ in range(n):
        theta_e, azimuth = rng.uniform(0.5, 3.0), rng.uniform(0.0, 2.0 * np.pi)
        beta = theta_e * np.sqrt(rng.uniform())
        lens = Lens(
            theta_e,
            rng.uniform(0.35, 0.98),
            rng.uniform(-np.pi / 2, np.pi / 2),
            *rng.normal(0.0, 0.03, 2),
            *rng.normal(0.0, 0.1, 2),
        )
        out.append(
            {
                "lens": lens,
                "source": sources.read(int(rng.integers(len(sources)))),
                "x": lens.x + beta * np.cos(azimuth),
                "y": lens.y + beta * np.sin(azimuth),
                "phi": rng.uniform(0.0, 2.0 * np.pi),
                "psf": TYPICAL_FWHM * rng.uniform(0.8, 1.3),
            }
        )
    return out


def _centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape)
    return np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()


def agreement(sources, n: int, seed: int, supersampling: int = 4) -> dict[str, np.ndarray]:
    """Fast renderer against lenstronomy on the same draws.

    Parameters
    ----------
    sources : SourceSet
    n : int
    seed : int
    supersampling : int

    Returns
    -------
    dict
        (n,) worst over bands of: ``error_over_peak``, greatest difference over the reference's peak;
        ``flux_error``, relative; ``centroid_px``. And ``example``: (2, 3, 64, 64), reference and difference of the
        draw with the greatest error.
    """
    worst, out, example = -1.0, {"error_over_peak": [], "flux_error": [], "centroid_px": []}, None
    for arguments in draws(sources, n, seed):
        fast, slow = (render_arc(**arguments, supersampling=supersampling, method=m) for m in ("fast", "lenstronomy"))
        error = (np.abs(fast - slow).max(axis=(1, 2)) / slow.max(axis=(1, 2))).max()
        out["error_over_peak"].append(error)
        out["flux_error"].append(np.abs(fast.sum(axis=(1, 2)) / slow.sum(axis=(1, 2)) - 1.0).max())
        out["centroid_px"].append(max(np.abs(_centroid(a) - _centroid(b)).max() for a, b in zip(fast, slow)))
        if error > worst:
            worst, example = error, np.stack([slow, fast - slow])
    return {name: np.array(values) for name, values in out.items()} | {"example": example}


def convergence(sources, n: int, seed: int, factors=(1, 2, 3, 4, 6, 8)) -> dict[str, np.ndarray]:
    """Error of a supersampling factor against 16 sub-pixels a side, the fast renderer against itself.

    Returns
    -------
    dict
        ``factors`` (k,); ``error_over_peak`` and ``flux_error`` (k, n), worst over bands.
    """
    peak, flux = np.empty((len(factors), n)), np.empty((len(factors), n))
    for column, arguments in enumerate(draws(sources, n, seed)):
        truth = render_arc(**arguments, supersampling=CONVERGED)
        for row, factor in enumerate(factors):
            arc = render_arc(**arguments, supersampling=factor)
            peak[row, column] = (np.abs(arc - truth).max(axis=(1, 2)) / truth.max(axis=(1, 2))).max()
            flux[row, column] = np.abs(arc.sum(axis=(1, 2)) / truth.sum(axis=(1, 2)) - 1.0).max()
    return {"factors": np.array(factors), "error_over_peak": peak, "flux_error": flux}


def round_source(sigma_arcsec: float = 0.06, pixel: float = 0.01) -> Source:
    """A Gaussian source, cut at 4 sigma."""
    n = 2 * int(4 * sigma_arcsec / pixel) + 1
    axis = (np.arange(n) - n // 2) * pixel
    image = np.exp(-0.5 * (axis[None, :] ** 2 + axis[:, None] ** 2) / sigma_arcsec**2)
    return Source("gaussian", image / image.sum(), pixel, np.ones(3), 2.0)


def closure(theta_e: float = 1.5, betas=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)) -> dict[str, np.ndarray]:
    """A small round source behind a singular isothermal sphere, against the analytic answer.

    A point at beta < theta_E has images at theta_E + beta and theta_E - beta on opposite sides, of magnification
    theta_E / beta + 1 and theta_E / beta - 1 (Schneider, Ehlers & Falco 1992, section 8.1.4).

    Parameters
    ----------
    theta_e : float
        Arcsec.
    betas : sequence of float
        Source offsets over ``theta_e``.

    Returns
    -------
    dict
        ``beta`` (k,) arcsec; measured over expected: ``magnification``, ``outer`` and ``inner`` (image positions),
        (k,); ``ring``, radius of the ring of a source behind the centre over theta_E; ``flux``, total flux after the
        PSF over magnification times source flux, (k,).
    """
    source, sphere, s = round_source(), Lens(theta_e, 1.0 - 1e-6, 0.0), 16
    n = 64 * s
    axis = ((np.arange(n) + 0.5) / s - 32) * PIXEL_SCALE
    step = source.pixel_scale
    offset = (np.arange(source.image.shape[0]) - source.image.shape[0] // 2) * step
    out = {"magnification": [], "outer": [], "inner": [], "flux": []}
    for beta in np.array(betas) * theta_e:
        light = lensed_light(sphere, source, beta, 0.0, 0.0, s).astype(float)
        distance = np.hypot(beta + offset[None, :], offset[:, None])
        weights = 2.0 * theta_e / distance
        out["magnification"].append(light.sum() / (source.image * weights).sum())
        for name, side, sign in (("outer", axis > 0, 1.0), ("inner", axis < 0, -1.0)):
            total = light[:, side].sum()
            position = (light[:, side] * axis[side]).sum() / total
            # the image of an extended source: its points' image positions, weighted by their magnifications
            angle = (beta + offset[None, :]) / distance
            point = sign * (theta_e + sign * distance) * angle
            image_weight = source.image * (theta_e / distance + sign)
            out[name].append(position / ((point * image_weight).sum() / image_weight.sum()))
        arc = render_arc(sphere, source, beta, 0.0, psf=TYPICAL_FWHM, supersampling=s)
        out["flux"].append(arc.sum(axis=(1, 2)).mean() / light.sum())
    ring = lensed_light(sphere, source, 0.0, 0.0, 0.0, s).astype(float)
    radius = np.hypot(axis[None, :], axis[:, None])
    found = {name: np.array(values) for name, values in out.items()}
    return found | {"beta": np.array(betas) * theta_e, "ring": (ring * radius).sum() / ring.sum() / theta_e}
