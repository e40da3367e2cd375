"""What a kind of hard negative is: light put in the place of a pair's arc, registered under a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dhs.injection.lens import Lens
from dhs.injection.sources.source import Source
from dhs.registry import Registry


class NoNegative(Exception):
    """There is no hard negative of the kind drawn; its message is the reason, one word that is counted."""


@dataclass(frozen=True)
class ArcScene:
    """What a kind may be made from: a pair's arc, and how other light would be lensed.

    Attributes
    ----------
    light : ndarray, (n, n)
        The arc's light per sub-pixel before the PSF, in units of the source's.
    arc : ndarray, (64, 64)
        The arc in r after the PSF, any normalisation.
    lens : Lens
        Where the galaxy is (arcsec from the stamp's centre), and theta_E.
    source : Source
    phi : float
        Rotation of the source image, radians.
    scale : float
        Arcsec a sub-pixel.
    psf_fwhm : float
        Of the worst band, arcsec.
    render : callable
        ``render(lens, source, x, y, phi) -> (n, n)``: other lensed light on the same grid, x and y in arcsec from the
        stamp's centre.
    """

    light: np.ndarray
    arc: np.ndarray
    lens: Lens
    source: Source
    phi: float
    scale: float
    psf_fwhm: float
    render: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A registered kind.

    Attributes
    ----------
    name : str
        In ``injection.hard_negative_kinds``, and the column ``kind`` of a data set unless `make` gives a longer one.
    label : str
        In words, for figures and tables.
    of_arc_light : bool
        Made of the arc's own light: it must not come out as a ring, which would be a lens with label 0.
    unlike_arc : bool
        Refused where it is much like the arc after the PSF.
    make : callable
        ``make(scene, rng) -> (n, n)`` light before PSF and noise, or ``(name, light)`` with a name that begins with the
        kind's; `NoNegative` where there is none. Of `ArcScene.light`'s total: PSF, colours, noise and the positive's
        SNR come after.
    """

    name: str
    label: str
    of_arc_light: bool
    unlike_arc: bool
    make: Callable


kinds = Registry("kind of hard negative", "dhs.hard_negatives", "dhs.injection.hard_negatives")


def hard_negative(name: str, *, label: str, of_arc_light: bool = False, unlike_arc: bool = False) -> Callable:
    """Register a function ``make(scene, rng)`` as a kind; see `Kind`.

    In a module of `dhs.injection.hard_negatives`, or in one that another package names under the entry-point group
    ``dhs.hard_negatives``. A data set holds the kind where ``injection.hard_negative_kinds`` gives it a weight.
    """

    def register(make: Callable) -> Callable:
        kinds.add(name, Kind(name, label, of_arc_light, unlike_arc, make))
        return make

    return register


def kind_of(stored: str) -> Kind | None:
    """The kind that a data set's ``kind`` belongs to; None for one that is not registered here."""
    names = [name for name in kinds if stored == name or stored.startswith(f"{name}_")]
    return kinds[max(names, key=len)] if names else None


def label_of(stored: str) -> str:
    """A data set's ``kind`` in words."""
    kind = kind_of(stored)
    if kind is None:
        return stored.replace("_", " ")
    rest = stored.removeprefix(kind.name).strip("_").replace("_mock", " (mock)").replace("_", " ")
    return f"{kind.label}: {rest}" if rest else kind.label


def of_flux(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """An image scaled to the total of some light; zeros where it is dark."""
    total = image.sum()
    return image * (light.sum() / total) if total > 0 else np.zeros_like(light)


def grid(n: int, lens: Lens, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y in arcsec from the lens of an (n, n) grid of ``scale`` arcsec a sub-pixel."""
    axis = (np.arange(n) - (n - 1) / 2) * scale
    return np.broadcast_to(axis[None, :] - lens.x, (n, n)), np.broadcast_to(axis[:, None] - lens.y, (n, n))


def disc(x, y, x0: float, y0: float, radius: float, q: float, phi: float) -> np.ndarray:
    """Exponential disc of unit flux density scale: semi-major scale length ``radius`` arcsec, axis ratio q."""
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * (x - x0) + s * (y - y0), (c * (y - y0) - s * (x - x0)) / q
    return np.exp(-np.hypot(along, across) / radius) / (radius**2 * q)
