"""Colours of galaxy templates against redshift, through the survey's filters.

Templates are those of Coleman, Wu & Weedman 1980 (ApJS 43, 393), extended by Bolzonella et al. 2000, as galsim
packages them; filter curves are speclite's; F814W is galsim's. Light absorbed on the way is taken out with the
mean Lyman-series blanketing of Madau 1995 (ApJ 441, 18), eq. 15, and nothing is left below the Lyman limit.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import galsim
import numpy as np
from speclite.filters import load_filter

from dhs.errors import UsageError
from dhs.random import of_text
from dhs.survey.facts import BANDS, flux_from_mag

TEMPLATES: tuple[str, ...] = ("E", "Sbc", "Scd", "Im")
Z_MAX = 5.0  # below it every filter lies within the templates' wavelengths or below the Lyman limit
TEMPLATE_WEIGHTS = {"Sbc": 0.2, "Scd": 0.35, "Im": 0.45}  # of faint field galaxies: mostly late types
Z_SCALE = 0.71  # of the n(z) of faint galaxies; its median, uncut, is 1.0
COLOUR_SCATTER = 0.1  # mag, of g - r and of r - z about the template's
_Z_GRID = np.linspace(0.0, Z_MAX, 201)
_STEP = 2.0  # Angstrom, of the integrals

# Madau 1995, eq. 15: tau = sum_j A_j (lambda_obs / lambda_j)^3.46, Lyman alpha to delta
_LYMAN = ((1215.67, 3.6e-3), (1025.72, 1.7e-3), (972.54, 1.2e-3), (949.74, 9.3e-4))
_LYMAN_LIMIT = 911.75


class Colours(NamedTuple):
    """AB colours of a template: ``g_r`` = g - r, ``r_z`` = r - z, ``i_r`` = F814W - r."""

    g_r: np.ndarray
    r_z: np.ndarray
    i_r: np.ndarray


@lru_cache(maxsize=len(TEMPLATES))
def template_sed(template: str) -> tuple[np.ndarray, np.ndarray]:
    """Rest-frame wavelength in Angstrom and F_lambda in arbitrary units of a template.

    Raises
    ------
    UsageError
        Unknown template.
    """
    if template not in TEMPLATES:
        raise UsageError(f"unknown galaxy template {template!r}: choose one of {list(TEMPLATES)}")
    path = Path(galsim.meta_data.share_dir) / "SEDs" / f"CWW_{template}_ext.sed"
    wavelength, flux = np.loadtxt(path, unpack=True)
    return wavelength, flux


def transmission(wavelength: np.ndarray, z: float) -> np.ndarray:
    """Mean fraction of light at observed wavelengths (Angstrom) that intergalactic hydrogen lets through."""
    wavelength = np.asarray(wavelength, dtype=float)
    tau = np.zeros_like(wavelength)
    for line, strength in _LYMAN:
        tau += np.where(wavelength < line * (1.0 + z), strength * (wavelength / line) ** 3.46, 0.0)
    return np.where(wavelength < _LYMAN_LIMIT * (1.0 + z), 0.0, np.exp(-tau))


@lru_cache(maxsize=8)
def _filter(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength in Angstrom on an even grid, and response."""
    if name == "F814W":
        table = Path(galsim.meta_data.share_dir) / "bandpasses" / "ACS_wfc_F814W.dat"
        wavelength, response = np.loadtxt(table, unpack=True)
        wavelength = wavelength * 10.0
    else:
        curve = load_filter(name)
        wavelength, response = curve.wavelength, curve.response
    grid = np.arange(wavelength[0], wavelength[-1] + _STEP, _STEP)
    return grid, np.interp(grid, wavelength, response, left=0.0, right=0.0)


def ab_magnitude(template: str, z: float, filter_name: str) -> float:
    """AB magnitude, up to a constant of the template and redshift, by the photon-weighted integral.

    m = -2.5 log10( int F_lambda lambda R dlambda / int R dlambda / lambda ), Bessell & Murphy 2012, eq. A15.
    """
    rest, flux = template_sed(template)
    wavelength, response = _filter(filter_name)
    seen = np.interp(wavelength / (1.0 + z), rest, flux, left=0.0) * transmission(wavelength, z)
    ratio = np.trapezoid(seen * wavelength * response) / np.trapezoid(response / wavelength)
    return float(-2.5 * np.log10(max(ratio, 1e-300)))


@lru_cache(maxsize=2 * len(TEMPLATES))
def _table(template: str, north: bool) -> np.ndarray:
    """(3, n_z) colours on the redshift grid."""
    g, r, z_band = (b.filter_north if north else b.filter_south for b in BANDS)
    magnitudes = np.array([[ab_magnitude(template, z, name) for z in _Z_GRID] for name in (g, r, z_band, "F814W")])
    return np.array([magnitudes[0] - magnitudes[1], magnitudes[1] - magnitudes[2], magnitudes[3] - magnitudes[1]])


def colours(template: str, z, north: bool = False) -> Colours:
    """Colours of a template at redshift z.

    Parameters
    ----------
    template : {"E", "Sbc", "Scd", "Im"}
    z : float or ndarray
        Redshift, 0 to `Z_MAX`.
    north : bool
        BASS g, r and MzLS z instead of DECam.

    Returns
    -------
    Colours
        Each of z's shape, AB magnitudes, linear between grid redshifts 0.025 apart.

    Raises
    ------
    UsageError
        Unknown template, or a redshift outside 0 to `Z_MAX`.
    """
    if template not in TEMPLATES:
        raise UsageError(f"unknown galaxy template {template!r}: choose one of {list(TEMPLATES)}")
    z = np.asarray(z, dtype=float)
    if not np.all((z >= 0.0) & (z <= Z_MAX)):
        raise UsageError(f"redshift outside 0 to {Z_MAX}: no template colours there")
    return Colours(*(np.interp(z, _Z_GRID, row) for row in _table(template, north)))


@lru_cache(maxsize=len(TEMPLATES))
def _system_table(template: str) -> np.ndarray:
    """(3, n_z) magnitude through the northern minus through the southern g, r, z filter."""
    return np.array(
        [
            [ab_magnitude(template, z, b.filter_north) - ab_magnitude(template, z, b.filter_south) for z in _Z_GRID]
            for b in BANDS
        ]
    )


def north_over_south(flux: np.ndarray, z: float) -> np.ndarray:
    """(3,) flux ratio BASS/MzLS over DECam of a galaxy in g, r, z, from the template nearest to it in colour.

    Parameters
    ----------
    flux : ndarray, (3,)
        DECam g, r, z in any linear unit; positive.
    z : float
        Redshift, clipped to 0 to `Z_MAX`.
    """
    z = float(np.clip(z, 0.0, Z_MAX))
    magnitude = -2.5 * np.log10(np.asarray(flux, dtype=float))
    own = magnitude[:2] - magnitude[1:]
    nearest = min(TEMPLATES, key=lambda t: float(np.hypot(*(own - np.array(colours(t, z)[:2])))))
    return 10.0 ** (-0.4 * np.array([np.interp(z, _Z_GRID, row) for row in _system_table(nearest)]))


def drawn_colours(rng: np.random.Generator, z: float) -> Colours:
    """Colours of a faint field galaxy: a template by `TEMPLATE_WEIGHTS`, with Gaussian scatter in g - r and r - z."""
    template = list(TEMPLATE_WEIGHTS)[int(rng.choice(len(TEMPLATE_WEIGHTS), p=list(TEMPLATE_WEIGHTS.values())))]
    g_r, r_z = rng.normal(0.0, COLOUR_SCATTER, 2)
    own = colours(template, z)
    return Colours(own.g_r + g_r, own.r_z + r_z, own.i_r)


def redshift_quantiles(z_min: float, z_max: float, weight=None) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative n(z) ~ z^2 exp(-(z / `Z_SCALE`)^1.5) of faint galaxies (Smail, Ellis & Fitchett 1994, MNRAS 270, 245).

    Parameters
    ----------
    z_min, z_max : float
    weight : callable, optional
        Of an array of redshifts; n(z) is multiplied with it.

    Returns
    -------
    cumulative, z : ndarray, (512,)
        For ``np.interp(u, cumulative, z)``.
    """
    z = np.linspace(z_min, z_max, 512)
    density = z**2 * np.exp(-((z / Z_SCALE) ** 1.5)) * (1.0 if weight is None else weight(z))
    cumulative = np.cumsum(density)
    return (cumulative - cumulative[0]) / (cumulative[-1] - cumulative[0]), z


def drawn_fluxes(key: str, z: float, r: float | None = None, f814w: float | None = None) -> np.ndarray:
    """Flux in g, r, z of a galaxy of unknown colour: a template by `TEMPLATE_WEIGHTS`, with Gaussian scatter.

    Parameters
    ----------
    key : str
        Decides template and scatter; the same key gives the same colours on every machine.
    z : float
        Redshift, 0 to `Z_MAX`.
    r, f814w : float
        AB magnitude the fluxes are normalised to; one of the two.

    Returns
    -------
    ndarray, (3,)
        Nanomaggies, DECam g, r, z.

    Raises
    ------
    UsageError
        Redshift out of range, or not exactly one magnitude.
    """
    if (r is None) == (f814w is None):
        raise UsageError("give one magnitude to normalise to: r or f814w")
    colour = drawn_colours(of_text(key), z)
    if r is None:
        r = f814w - float(colour.i_r)
    return flux_from_mag([r + float(colour.g_r), r, r - float(colour.r_z)])
