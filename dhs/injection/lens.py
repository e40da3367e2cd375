"""The lens: an elliptical power law with external shear, and the number of images it makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from lenstronomy.Util.param_util import phi_q2_ellipticity
from numba import njit

if TYPE_CHECKING:
    from lenstronomy.LensModel.lens_model import LensModel

ISOTHERMAL = 2.0


@lru_cache(maxsize=2)
def _model(isothermal: bool) -> LensModel:
    from lenstronomy.LensModel.lens_model import LensModel  # its cosmology takes seconds

    return LensModel(["SIE" if isothermal else "EPL_NUMBA", "SHEAR"])


@dataclass(frozen=True)
class Lens:
    """Elliptical power law (SIE where its slope is 2) with external shear, lenstronomy conventions.

    Attributes
    ----------
    theta_e : float
        Einstein radius in arcsec on the intermediate axis, theta_E = sqrt(a b) of the critical curve.
    q : float
        Axis ratio, minor over major.
    phi : float
        Position angle of the major axis, radians counter-clockwise from +x.
    gamma1, gamma2 : float
        External shear.
    x, y : float
        Lens centre, arcsec from the stamp's centre.
    slope : float
        Of the density, rho ~ r^-slope, 1.5 to 2.5.
    """

    theta_e: float
    q: float
    phi: float
    gamma1: float = 0.0
    gamma2: float = 0.0
    x: float = 0.0
    y: float = 0.0
    slope: float = ISOTHERMAL

    @property
    def model(self) -> LensModel:
        """lenstronomy's model: ``["SIE", "SHEAR"]``, or ``["EPL_NUMBA", "SHEAR"]``."""
        return _model(self.slope == ISOTHERMAL)

    def kwargs(self) -> list[dict]:
        """Keyword arguments of `model`."""
        e1, e2 = phi_q2_ellipticity(self.phi, self.q)
        mass = {"theta_E": self.theta_e, "e1": e1, "e2": e2, "center_x": self.x, "center_y": self.y}
        if self.slope != ISOTHERMAL:
            mass["gamma"] = self.slope
        return [mass, {"gamma1": self.gamma1, "gamma2": self.gamma2, "ra_0": self.x, "dec_0": self.y}]


@dataclass(frozen=True)
class LenstronomyLens:
    """Any lenstronomy lens model, for rendering.

    Attributes
    ----------
    models : tuple of str
        ``lens_model_list``.
    parameters : tuple of dict
        ``kwargs_lens``, in the order of ``models``.
    x, y : float
        Its centre, arcsec from the stamp's centre; the mapping may be discontinuous there.
    """

    models: tuple[str, ...]
    parameters: tuple[dict, ...]
    x: float = 0.0
    y: float = 0.0

    @property
    def model(self) -> LensModel:
        from lenstronomy.LensModel.lens_model import LensModel

        return LensModel(list(self.models))

    def kwargs(self) -> list[dict]:
        return [dict(p) for p in self.parameters]


def caustics(lens: Lens, nodes: int = 360) -> tuple[np.ndarray, np.ndarray]:
    """Tangential caustic and cut of an isothermal lens with shear, from its centre.

    The potential is r f(phi), so the Hessian has one entry g(phi) / r, along the tangent t. With A0 = 1 - Gamma the
    critical curve is r = g t^T adj(A0) t / det(A0) (Kormann, Schneider & Bartelmann 1994, A&A 284, 285, sections 2
    and 3, with shear), and the cut is where r -> 0 goes, -alpha(phi).

    Parameters
    ----------
    lens : Lens
        Of slope 2.
    nodes : int
        Points of a curve.

    Returns
    -------
    caustic, cut : ndarray, (nodes + 1, 2)
        Closed curves in the source plane, arcsec.
    """
    return _caustics(lens.theta_e, lens.q, np.cos(lens.phi), np.sin(lens.phi), lens.gamma1, lens.gamma2, nodes)


@njit(cache=True, error_model="numpy")
def _caustics(theta_e, q, cl, sl, g1, g2, nodes):
    caustic, cut = np.empty((nodes + 1, 2)), np.empty((nodes + 1, 2))
    f, b = np.sqrt(max(1.0 - q * q, 1e-12)), theta_e * np.sqrt(q)
    for k in range(nodes + 1):
        c, s = np.cos(2.0 * np.pi * k / nodes), np.sin(2.0 * np.pi * k / nodes)
        u, v = cl * c + sl * s, cl * s - sl * c  # the direction in the frame of the major axis
        psi = np.sqrt(q * q * u * u + v * v)
        au, av = b / f * np.arctan(f * u / psi), b / f * np.arctanh(f * v / psi)
        ax, ay = cl * au - sl * av, sl * au + cl * av
        r = b / psi * ((1.0 + g1) * s * s + (1.0 - g1) * c * c - 2.0 * g2 * s * c) / (1.0 - g1 * g1 - g2 * g2)
        caustic[k] = r * (c - g1 * c - g2 * s) - ax, r * (s - g2 * c + g1 * s) - ay
        cut[k] = -ax, -ay
    return caustic, cut


def n_images(lens: Lens, x: float, y: float) -> int:
    """Number of images of a point source at (x, y) arcsec from the stamp's centre.

    For slope 2 from the caustics (1, plus 1 inside the cut, plus 2 inside the tangential caustic), which counts faint
    images beside the centre that lenstronomy's analytical solver leaves out; for other slopes by that solver, without
    images fainter than a hundredth of the source.
    """
    if lens.slope != ISOTHERMAL:
        from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

        found, _ = LensEquationSolver(lens.model).image_position_from_source(
            x, y, lens.kwargs(), solver="analytical", magnification_limit=0.01
        )
        return len(found)
    caustic, cut = caustics(lens)
    return 1 + _inside(cut, x - lens.x, y - lens.y) + 2 * _inside(caustic, x - lens.x, y - lens.y)


@njit(cache=True, error_model="numpy")
def _inside(curve, x, y):
    """1 where a closed curve (n, 2) surrounds a point, by the crossings to its right, else 0."""
    crossings = 0
    for k in range(len(curve) - 1):
        x0, y0, x1, y1 = curve[k, 0], curve[k, 1], curve[k + 1, 0], curve[k + 1, 1]
        if (y0 > y) != (y1 > y) and x0 + (y - y0) / (y1 - y0) * (x1 - x0) > x:
            crossings += 1
    return crossings % 2
