"""Survey negatives: mock galaxies without a lens, of the kinds a lens finder meets and mistakes.

Per 100 negatives: 55 ``lrg`` (a quarter of them with one or two blue companions within 4 arcsec, the classic
contaminant), 20 ``spiral``, 3 ``ring``, 7 ``merger``, 15 ``blend``. An LRG-selected sample is made of red galaxies;
spirals, rings and mergers are given far more room than they have there (rings about a thousandth), so that a false
positive rate of each kind can be measured. A rate over all of them is a rate at these proportions, not the survey's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np

from dhs.encoding import SKY_LEVELS, served
from dhs.random import Stream, keyed
from dhs.survey import facts
from dhs.survey.colours import drawn_colours, redshift_quantiles
from dhs.survey.cosmology import flat_ratio
from dhs.survey.hosts.record import ById, HostRef
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.hosts import Skies, add_field, add_lrg, fluxes, mock_ref, mock_refs, mock_stamp, under
from dhs.survey.mock.scene import Scene, map_grid

PROPORTIONS = {"lrg": 0.55, "spiral": 0.20, "ring": 0.03, "merger": 0.07, "blend": 0.15}
BLUE_COMPANION_FRACTION = 0.25
_KINDS, _SHARES = tuple(PROPORTIONS), np.cumsum(list(PROPORTIONS.values()))


def negative_id(seed: int, index: int) -> str:
    return f"negative-{seed}-{index:07d}"


def _px(arcsec: float) -> float:
    return arcsec / facts.PIXEL_SCALE


@lru_cache(maxsize=256)
def _behind(z_lens: float) -> tuple[np.ndarray, np.ndarray]:
    """`redshift_quantiles` of the sources that a lens at ``z_lens`` would show."""
    return redshift_quantiles(max(0.6, z_lens + 0.05), 3.0, lambda z: flat_ratio(z_lens, z) ** 2)


def _star_forming(rng: np.random.Generator, mag: float) -> tuple:
    """Fluxes of the arms of a nearby galaxy: g - r about 0.35, r - z about 0.25."""
    return fluxes(mag, rng.normal(0.35, 0.18), rng.normal(0.25, 0.2))


def blue_companion(rng: np.random.Generator, mag: float, z_lens: float) -> np.ndarray:
    """Fluxes of a star-forming galaxy, of the colours of the sources that a lens in the galaxy's place would show."""
    z = float(np.interp(rng.uniform(), *_behind(round(min(z_lens, 1.5), 2))))
    colour = drawn_colours(rng, z)
    return fluxes(mag, float(colour.g_r), float(colour.r_z))


def _elliptical_radius(x, y, q: float, phi: float):
    """Radius and azimuth in the plane of a disc seen at axis ratio q; the semi-major axis keeps its length."""
    c, s = np.cos(phi), np.sin(phi)
    along, across = c * x + s * y, (-s * x + c * y) / q
    return np.hypot(along, across), np.arctan2(across, along)


def _lrg(scene: Scene, rng: np.random.Generator) -> dict:
    galaxy = add_lrg(scene, rng)
    galaxy["blue_companions"] = 0
    if rng.random() < BLUE_COMPANION_FRACTION:
        galaxy["blue_companions"] = int(rng.integers(1, 3))
        for _ in range(galaxy["blue_companions"]):
            r, angle = _px(rng.uniform(1.0, 4.0)), rng.uniform(0.0, 2.0 * np.pi)
            flux = blue_companion(rng, max(rng.uniform(21.0, 23.8), galaxy["mag_r"] + 0.5), galaxy["z_phot"])
            re, q = _px(rng.uniform(0.25, 0.7)), rng.uniform(0.2, 0.8)
            scene.exponential(flux, r * np.cos(angle), r * np.sin(angle), re, q, rng.uniform(0.0, np.pi))
    return galaxy


def _spiral(scene: Scene, rng: np.random.Generator) -> dict:
    """Exponential disc with two to four logarithmic arms, bluer than the disc, and a red bulge."""
    mag = rng.uniform(17.5, 20.5)
    scale, q, phi = _px(rng.uniform(0.9, 2.4)), rng.uniform(0.35, 1.0), rng.uniform(0.0, np.pi)
    x, y = map_grid()
    r, azimuth = _elliptical_radius(x, y, q, phi)
    disc = np.exp(-r / scale)
    arms, pitch = int(rng.integers(2, 5)), np.tan(np.radians(rng.uniform(12.0, 28.0))) * rng.choice([-1.0, 1.0])
    phase = arms * (azimuth - np.log(r + 0.5 * scale) / pitch) + rng.uniform(0.0, 2.0 * np.pi)
    share = rng.uniform(0.25, 0.5)
    dimmer = -2.5 * np.log10([1.0 - share, share])
    scene.map(fluxes(mag + dimmer[0], rng.normal(0.75, 0.1), rng.normal(0.5, 0.1)), disc)
    scene.map(_star_forming(rng, mag + dimmer[1]), disc * np.exp(3.0 * (np.cos(phase) - 1.0)) * r / (r + scale))
    bulge = fluxes(mag - 2.5 * np.log10(rng.uniform(0.1, 0.5)), rng.normal(1.1, 0.15), rng.normal(0.75, 0.1))
    scene.sersic(bulge, 0.0, 0.0, _px(rng.uniform(0.3, 0.7)), rng.uniform(1.0, 3.0), max(q, 0.6), phi)
    return {"mag_r": mag, "g_r": 0.8, "r_z": 0.5, "z_phot": float(rng.uniform(0.05, 0.3)), "re_arcsec": 1.0}


def _ring(scene: Scene, rng: np.random.Generator) -> dict:
    """A face-on ring galaxy: a blue, clumpy ring around a red bulge, no lens."""
    mag = rng.uniform(18.0, 20.5)
    radius, q, phi = _px(rng.uniform(1.6, 3.6)), rng.uniform(0.75, 1.0), rng.uniform(0.0, np.pi)
    width = radius * rng.uniform(0.10, 0.25)
    x, y = map_grid()
    r, azimuth = _elliptical_radius(x, y, q, phi)
    clumps = 1.0 + rng.uniform(0.1, 0.6) * np.cos(rng.integers(1, 5) * azimuth + rng.uniform(0.0, 2.0 * np.pi))
    share = rng.uniform(0.3, 0.7)
    dimmer = -2.5 * np.log10([share, 1.0 - share])
    scene.map(_star_forming(rng, mag + dimmer[0]), np.exp(-0.5 * ((r - radius) / width) ** 2) * clumps)
    g_r, r_z = rng.normal(1.0, 0.15), rng.normal(0.7, 0.1)
    core = fluxes(mag + dimmer[1], g_r, r_z)
    scene.sersic(core, 0.0, 0.0, _px(rng.uniform(0.3, 0.8)), rng.uniform(1.5, 4.0), rng.uniform(0.7, 1.0), phi)
    return {"mag_r": mag, "g_r": g_r, "r_z": r_z, "z_phot": float(rng.uniform(0.03, 0.3)), "re_arcsec": 1.0}


def _merger(scene: Scene, rng: np.random.Generator) -> dict:
    """Two or three galaxies close together, and a tidal tail: an arc of their own light."""
    galaxy = add_lrg(scene, rng)
    reach = 1.0
    for _ in range(int(rng.integers(1, 3))):
        reach, angle = rng.uniform(0.8, 3.0), rng.uniform(0.0, 2.0 * np.pi)
        flux = fluxes(galaxy["mag_r"] + rng.uniform(0.1, 1.5), galaxy["g_r"] - rng.uniform(0.0, 0.5), galaxy["r_z"])
        re = max(0.7 * galaxy["re_arcsec"], 0.3)
        position = _px(reach) * np.cos(angle), _px(reach) * np.sin(angle)
        scene.sersic(flux, *position, _px(re), rng.uniform(1.0, 4.0), rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi))
    x, y = map_grid()
    centre, curvature = rng.uniform(-4.0, 4.0, 2), _px(rng.uniform(1.5, 5.0))
    r, azimuth = np.hypot(x - centre[0], y - centre[1]), np.arctan2(y - centre[1], x - centre[0])
    along = np.exp(np.cos(azimuth - rng.uniform(0.0, 2.0 * np.pi)) * rng.uniform(1.0, 4.0))
    tail = np.exp(-0.5 * ((r - curvature) / _px(rng.uniform(0.3, 0.9))) ** 2) * along
    mag = galaxy["mag_r"] + rng.uniform(1.5, 3.0)
    scene.map(fluxes(mag, galaxy["g_r"] - rng.uniform(0.1, 0.6), galaxy["r_z"] - rng.uniform(0.0, 0.3)), tail)
    return galaxy


def _blend(scene: Scene, rng: np.random.Generator) -> dict:
    """An LRG with a close neighbour: another red galaxy, a blue edge-on disc, or a star."""
    galaxy = add_lrg(scene, rng)
    r, angle = _px(rng.uniform(0.8, 3.5)), rng.uniform(0.0, 2.0 * np.pi)
    x, y, mag = r * np.cos(angle), r * np.sin(angle), galaxy["mag_r"] + rng.uniform(0.3, 2.5)
    kind = rng.random()
    if kind < 0.4:
        re = max(0.6 * galaxy["re_arcsec"], 0.25)
        flux = fluxes(mag, galaxy["g_r"] + rng.normal(0.0, 0.2), galaxy["r_z"] + rng.normal(0.0, 0.15))
        scene.sersic(flux, x, y, _px(re), rng.uniform(2.0, 4.0), rng.uniform(0.4, 1.0), rng.uniform(0.0, np.pi))
    elif kind < 0.8:
        # Edge-on and tangential as often as not: what looks most like an arc.
        tangent = angle + np.pi / 2 if rng.random() < 0.5 else rng.uniform(0.0, np.pi)
        blue, re = blue_companion(rng, mag + 0.5, galaxy["z_phot"]), _px(rng.uniform(0.4, 0.9))
        scene.exponential(blue, x, y, re, rng.uniform(0.12, 0.35), tangent)
    else:
        scene.point(fluxes(mag, rng.uniform(0.4, 1.5), rng.uniform(0.1, 1.0)), x, y)
    return galaxy


_MAKERS = {"lrg": _lrg, "spiral": _spiral, "ring": _ring, "merger": _merger, "blend": _blend}


class SurveyNegatives(ById):
    """Unlensed mock galaxies, made when they are read; a `dhs.survey.hosts.record.HostSet`.

    ``read(i).meta`` holds ``kind`` (see `PROPORTIONS`) and ``blue_companions``. Negative i is the same for every n and
    in whatever order they are read.

    Parameters
    ----------
    n : int
    seed : int
    skies : Skies, optional
        Seeing, noise and place of some hosts, to be seen under instead of the survey's.
    """

    kind, spec, mock = "survey_negatives", "mock", True
    known_lens_catalogue = selection = None

    def __init__(self, n: int, seed: int, skies: Skies | None = None):
        self.n, self.seed, self.skies = n, seed, skies
        self.refusals: list = []

    def __len__(self) -> int:
        return self.n

    @cached_property
    def refs(self) -> list[HostRef]:
        """References of all; `read` does without."""
        return mock_refs(self.seed, self.n, negative_id)

    def read(self, i: int) -> HostStamp:
        """Negative i, checked and measured as a real cutout is, but for its shape: no arc is put on it.

        Its pixels are rounded and dithered as a data set's are, so a stored one is the same.
        """
        if not 0 <= i < self.n:
            raise IndexError(f"negative {i} of {self.n}")
        rng = keyed(self.seed, Stream.MOCK_NEGATIVE, i)
        kind = _KINDS[min(int(np.searchsorted(_SHARES, rng.random() * _SHARES[-1])), len(_KINDS) - 1)]

        def scene_of(scene: Scene) -> dict:
            galaxy = _MAKERS[kind](scene, rng)
            add_field(scene, rng, galaxy, blends=False)
            return galaxy

        content, galaxy = under(rng, scene_of, self.skies)
        stamp = mock_stamp(content, mock_ref(self.seed, i, negative_id), shape=False)
        stamp.meta.update(kind=kind, blue_companions=galaxy.get("blue_companions", 0))
        return replace(stamp, image=served(stamp.image, stamp.sky_sigma / SKY_LEVELS))
