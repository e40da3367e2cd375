"""Lensed light on a sub-pixel grid: rays only where the source can land, its image looked up bilinearly.

The deflection of an elliptical power law is r^(2 - slope) times a function of direction (Tessore & Metcalf 2015,
A&A 580, A79, eq. 13), so it is tabulated once a lens around the unit circle. One ray a pixel corner then tells which
pixels the source can reach, and only their sub-pixels are shot. Any other lenstronomy model goes the same way through
its own ``ray_shooting``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from lenstronomy.LensModel.Profiles.epl_numba import EPL_numba
from lenstronomy.Util.param_util import phi_q2_ellipticity
from numba import njit

from dhs.injection.lens import ISOTHERMAL, Lens, LenstronomyLens
from dhs.injection.sources.source import Source
from dhs.survey.facts import PIXEL_SCALE, STAMP

NODES = 256  # table nodes a quadrant: the deflection is then good to 1e-5 theta_E
NEAR_PX = 2.5  # around the lens centre, where the mapping is discontinuous, every pixel is shot
MARGIN = 0.25  # of a pixel's extent in the source plane: how far its interior can bulge beyond its corners


def lensed_light(
    lens: Lens | LenstronomyLens, source: Source, x: float, y: float, phi: float, supersampling: int, size: int = STAMP
) -> np.ndarray:
    """Lensed light before the PSF, of a source of unit flux.

    Parameters
    ----------
    lens : Lens or LenstronomyLens
    source : Source
    x, y : float
        Source position, arcsec from the stamp's centre, in the source plane.
    phi : float
        Rotation of the source image, radians.
    supersampling : int
        Sub-pixels a side of a pixel.
    size : int
        Pixels a side of the stamp.

    Returns
    -------
    ndarray, (size s, size s) float32
        Flux per sub-pixel. Its sum is the magnification of the extended source.
    """
    s = supersampling
    table = deflection_table(lens) if isinstance(lens, Lens) else None
    corners = _rays(lens, table, *_corners(size))
    columns, rows = _reached(*corners, lens.x, lens.y, x, y, source.reach_arcsec)
    gx, gy = _sub_pixels(columns, rows, s, size)
    light = np.zeros((size * s, size * s), np.float32)
    area = (PIXEL_SCALE / s / source.pixel_scale) ** 2
    turn = np.cos(phi) / source.pixel_scale, np.sin(phi) / source.pixel_scale
    _look_up(source.framed, *_rays(lens, table, gx, gy), x, y, *turn, area, columns, rows, s, light)
    return light


@lru_cache(maxsize=2)
def _corners(size: int) -> tuple[np.ndarray, np.ndarray]:
    edge = (np.arange(size + 1) - size / 2) * PIXEL_SCALE
    x, y = np.meshgrid(edge, edge)
    return x, y


@lru_cache(maxsize=1)
def _directions() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors at the nodes: even steps of |y| / (|x| + |y|), quadrant by quadrant, closed."""
    t = np.arange(NODES) / NODES
    x = np.concatenate([1 - t, -t, t - 1, t, [1.0, 1.0]])
    y = np.concatenate([t, 1 - t, -t, t - 1, [0.0, 0.0]])
    norm = np.hypot(x, y)
    return x / norm, y / norm


def deflection_table(lens: Lens) -> np.ndarray:
    """(4 NODES + 2, 2) deflection of a `Lens` without its shear at distance 1 arcsec, by direction.

    The SIE's closed form (Keeton & Kochanek 1998, ApJ 495, 157, eqs. 34 and 35), else lenstronomy's ``EPL_NUMBA``.
    """
    dx, dy = _directions()
    if lens.slope == ISOTHERMAL:
        return _isothermal(dx, dy, lens.theta_e, min(lens.q, 1.0 - 1e-8), np.cos(lens.phi), np.sin(lens.phi))
    e1, e2 = phi_q2_ellipticity(lens.phi, lens.q)
    return np.stack(EPL_numba.derivatives(dx, dy, lens.theta_e, lens.slope, e1, e2), axis=1)


@njit(cache=True, error_model="numpy")
def _isothermal(dx, dy, theta_e, q, c, s):
    out = np.empty((len(dx), 2))
    f = np.sqrt(1.0 - q * q)
    b = theta_e * np.sqrt(q) / f
    for k in range(len(dx)):
        u, v = c * dx[k] + s * dy[k], c * dy[k] - s * dx[k]
        psi = np.sqrt(q * q * u * u + v * v)
        au, av = b * np.arctan(f * u / psi), b * np.arctanh(f * v / psi)
        out[k, 0], out[k, 1] = c * au - s * av, s * au + c * av
    return out


def _rays(lens: Lens | LenstronomyLens, table: np.ndarray | None, x: np.ndarray, y: np.ndarray):
    """Source-plane positions of rays through (x, y), both of any shape."""
    flat = x.ravel(), y.ravel()
    if table is not None:
        bx, by = _power_law_rays(table, ISOTHERMAL - lens.slope, lens.gamma1, lens.gamma2, lens.x, lens.y, *flat)
    else:
        bx, by = lens.model.ray_shooting(*flat, lens.kwargs())
    return bx.reshape(x.shape), by.reshape(y.shape)


@njit(cache=True, error_model="numpy")
def _power_law_rays(table, power, g1, g2, lens_x, lens_y, x, y):
    bx, by = np.empty_like(x), np.empty_like(y)
    for k in range(x.size):
        dx, dy = x[k] - lens_x, y[k] - lens_y
        t = abs(dy) / (abs(dx) + abs(dy) + 1e-300)
        t = t if dx >= 0 else 2.0 - t
        t = (t if dy >= 0 else 4.0 - t) * NODES
        i = int(t)
        w = t - i
        ax = table[i, 0] + w * (table[i + 1, 0] - table[i, 0])
        ay = table[i, 1] + w * (table[i + 1, 1] - table[i, 1])
        if power != 0.0:
            scale = (dx * dx + dy * dy + 1e-300) ** (0.5 * power)
            ax, ay = ax * scale, ay * scale
        bx[k] = x[k] - ax - g1 * dx - g2 * dy
        by[k] = y[k] - ay - g2 * dx + g1 * dy
    return bx, by


@njit(cache=True, error_model="numpy")
def _reached(bx, by, lens_x, lens_y, x, y, reach):
    """Columns and rows of the pixels whose image in the source plane comes within ``reach`` of (x, y)."""
    n = bx.shape[0] - 1
    columns, rows = np.empty(n * n, np.int64), np.empty(n * n, np.int64)
    found = 0
    for j in range(n):
        cy = (j + 0.5 - 0.5 * n) - lens_y / PIXEL_SCALE
        for i in range(n):
            cx = (i + 0.5 - 0.5 * n) - lens_x / PIXEL_SCALE
            x0 = min(bx[j, i], bx[j, i + 1], bx[j + 1, i], bx[j + 1, i + 1])
            x1 = max(bx[j, i], bx[j, i + 1], bx[j + 1, i], bx[j + 1, i + 1])
            y0 = min(by[j, i], by[j, i + 1], by[j + 1, i], by[j + 1, i + 1])
            y1 = max(by[j, i], by[j, i + 1], by[j + 1, i], by[j + 1, i + 1])
            margin = MARGIN * max(x1 - x0, y1 - y0)
            dx = max(x0 - margin - x, x - x1 - margin, 0.0)
            dy = max(y0 - margin - y, y - y1 - margin, 0.0)
            if dx * dx + dy * dy <= reach * reach or cx * cx + cy * cy < NEAR_PX * NEAR_PX:
                columns[found], rows[found] = i, j
                found += 1
    return columns[:found], rows[:found]


@njit(cache=True, error_model="numpy")
def _sub_pixels(columns, rows, s, size):
    """(n, s, s) x and y in arcsec of the sub-pixel centres of n pixels of a stamp centred on the origin."""
    x, y = np.empty((len(columns), s, s)), np.empty((len(columns), s, s))
    for k in range(len(columns)):
        for b in range(s):
            for a in range(s):
                x[k, b, a] = (columns[k] + (a + 0.5) / s - 0.5 * size) * PIXEL_SCALE
                y[k, b, a] = (rows[k] + (b + 0.5) / s - 0.5 * size) * PIXEL_SCALE
    return x, y


@njit(cache=True, error_model="numpy")
def _look_up(image, bx, by, x, y, c, sn, area, columns, rows, s, light):
    """Bilinear surface brightness at (n, s, s) rays, times a sub-pixel's area, into ``light``."""
    ny, nx = image.shape
    for k in range(len(columns)):
        for b in range(s):
            for a in range(s):
                dx, dy = bx[k, b, a] - x, by[k, b, a] - y
                px, py = c * dx + sn * dy + 0.5 * (nx - 1), c * dy - sn * dx + 0.5 * (ny - 1)
                if px < 0.0 or py < 0.0 or px >= nx - 1 or py >= ny - 1:
                    continue
                i, j = int(px), int(py)
                u, v = px - i, py - j
                low = (1.0 - u) * image[j, i] + u * image[j, i + 1]
                high = (1.0 - u) * image[j + 1, i] + u * image[j + 1, i + 1]
                light[rows[k] * s + b, columns[k] * s + a] = area * ((1.0 - v) * low + v * high)
