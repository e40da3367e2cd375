"""Mock hosts: luminous red galaxies with the magnitudes, colours, shapes and sky of real ones.

What they follow: `dhs.survey.mock.population` (magnitude, colours, photo-z, Tractor type, size and ellipticity; seeing
and depth with their correlations); gradients, twists, boxiness, companions and stars as measured on 46 real ones
(``benchmarks/host_realism.py`` says how far they still are from them). What they lack: shells, dust, saturated stars,
artefacts, PSFs that are not round. They are labelled ``mock`` wherever they go.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.random import Stream, keyed
from dhs.survey import facts
from dhs.survey.bricks import bricks
from dhs.survey.hosts.cutouts import stamp_of
from dhs.survey.hosts.record import HostRef
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.gaussians import noisy
from dhs.survey.mock.population import population
from dhs.survey.mock.scene import Scene

SIZE = facts.STAMP + 1  # odd, so that the galaxy lies on a pixel, as in the survey's 101-pixel cutouts
MARGIN = 6  # two Lanczos kernels' reach
_BLOCK, _CANDIDATES = 1024, 4096

DEC_RANGE, MIN_GALACTIC_LATITUDE = (-20.0, 30.0), 20.0  # degrees

COADD_SHIFT = 0.3  # px: Lanczos shift with the correlation of a mean over exposures with random shifts

# Structure of luminous red galaxies: mean and scatter of the gradients of g - r and r - z (mag a factor ten in radius),
# of the axis ratio's and the position angle's (radians), and of a4/a.
STRUCTURE = ((-0.18, 0.07), (-0.07, 0.06), (0.1, 0.08), (0.0, 0.12), (0.0, 0.008))
PROFILES = {
    "SER": (2.0, 4.5, 0.6, 6.0),
    "EXP": (1.0, 1.5, 0.4, 2.5),
    "REX": (1.5, 2.8, 0.7, 4.0),
}  # low, mean, sd, high
N_OF_SIZE = 4.0  # index a factor ten in R_e
MIN_RE = 0.15  # arcsec

FIELD = 38.0  # px: half the side of the square that companions fall into
COMPANIONS_PER_STAMP, FAINTEST, COUNTS_SLOPE = 4.6, 24.5, 0.3  # r < 24.5: about 30 an arcmin^2, and group members
MEMBERS = 0.35
STARS_PER_STAMP, STAR_SLOPE = 0.35, 0.08
BLEND_FRACTION = 0.17


# ---------------------------------------------------------------------------------------------------- positions


def positions(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """RA and Dec (degrees) of the first n mocks, uniform over dec -20 to 30 and |b| > 20.

    Position i does not depend on n.
    """
    ra, dec = zip(*(_positions(seed, block) for block in range(-(-n // _BLOCK))))
    return np.concatenate(ra)[:n], np.concatenate(dec)[:n]


@lru_cache(maxsize=4)
def _positions(seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of one block of mocks."""
    low, high = np.sin(np.radians(DEC_RANGE))
    rng = keyed(seed, Stream.MOCK_POSITION, block)
    a, d = rng.uniform(0.0, 360.0, _CANDIDATES), np.degrees(np.arcsin(rng.uniform(low, high, _CANDIDATES)))
    keep = np.flatnonzero(np.abs(facts.galactic_latitude(a, d)) > MIN_GALACTIC_LATITUDE)[:_BLOCK]
    return a[keep], d[keep]


# ---------------------------------------------------------------------------------------------- observing conditions


@cache
def _lanczos(shift: float, size: int) -> np.ndarray:
    """(size - 6, size) matrix that resamples a row by a sub-pixel shift with a Lanczos-3 kernel."""
    taps = np.arange(-2, 4)
    kernel = np.sinc(taps - shift) * np.sinc((taps - shift) / 3.0)
    matrix = np.zeros((size - MARGIN, size))
    for row in range(size - MARGIN):
        matrix[row, row : row + MARGIN] = kernel / kernel.sum()
    return matrix.astype(np.float32)


@cache
def _kernel(phase: int) -> np.ndarray:
    """(13,) taps of the coadd's resampling, then the cutout's, at a phase of so many 64ths of a pixel."""
    taps = (_lanczos(phase / 64, 1 + MARGIN) @ _lanczos(COADD_SHIFT, 1 + 2 * MARGIN))[0]
    # Its middle lies at tap 4 and the shifts; noise of a galaxy's photons belongs where the galaxy is.
    return np.roll(taps, 2 if COADD_SHIFT + phase / 64 <= 0.5 else 1)


def observe(rng: np.random.Generator, light: np.ndarray, nominal: np.ndarray, phase) -> tuple[np.ndarray, np.ndarray]:
    """Sky and photon noise, resampled as a coadd is.

    Parameters
    ----------
    light : ndarray, (3, n + 12, n + 12) float32
        Noiseless light with a margin of 6 px on each side.
    nominal : ndarray, (3,)
        Sky noise per pixel before resampling; what the survey's inverse variance holds, and what counts photons.
    phase : (float, float)
        Sub-pixel shift (x, y) of the resampling.

    Returns
    -------
    image, invvar : ndarray, (3, n, n) float32
    """
    along_x, along_y = (_kernel(round(p * 64)) for p in phase)
    normal = rng.standard_normal(light.shape, np.float32)
    image = noisy(light, normal, nominal, facts.gain_from_sky_noise(nominal), along_x, along_y)
    return image, np.broadcast_to((nominal**-2.0).astype(np.float32)[:, None, None], image.shape)


# ------------------------------------------------------------------------------------------------------- galaxies


def fluxes(mag_r: float, g_r: float, r_z: float) -> tuple[float, float, float]:
    """g, r, z nanomaggies."""
    r = 10.0 ** (0.4 * (facts.ZERO_POINT - mag_r))
    return r * 10.0 ** (-0.4 * g_r), r, r * 10.0 ** (0.4 * r_z)


def _profile(rng: np.random.Generator, kind: str, re: float) -> float:
    """Sérsic index of a Tractor type; what is typed REX or EXP among LRGs is an early type seen too faintly."""
    if kind == "DEV":
        return 4.0
    low, mean, scatter, high = PROFILES[kind]
    # A larger R_e goes with a higher index: the inner profile, which is what is seen, varies less than either.
    mean += N_OF_SIZE * np.log10(re / 1.3) if kind == "SER" else 0.0
    return float(min(max(mean + scatter * rng.standard_normal(), low), high))


def _structure(rng: np.random.Generator) -> tuple:
    """Gradients, twist and boxiness (last columns of `dhs.survey.mock.gaussians.COLUMNS`)."""
    normal = rng.standard_normal(5)
    return tuple(mean + scatter * n for (mean, scatter), n in zip(STRUCTURE, normal.tolist()))


def add_lrg(scene: Scene, rng: np.random.Generator) -> dict:
    """Add a luminous red galaxy at the centre.

    Returns
    -------
    dict
        type, mag_r, g_r, r_z, z_phot, re_arcsec, q, n, phi.
    """
    galaxy = population().galaxy(rng)
    galaxy["n"], galaxy["phi"] = _profile(rng, galaxy["type"], galaxy["re_arcsec"]), float(rng.uniform(0.0, np.pi))
    re = max(galaxy["re_arcsec"], MIN_RE) / facts.PIXEL_SCALE
    flux = fluxes(galaxy["mag_r"], galaxy["g_r"], galaxy["r_z"])
    scene.sersic(flux, 0.0, 0.0, re, galaxy["n"], galaxy["q"], galaxy["phi"], _structure(rng))
    return galaxy


def _colours(rng: np.random.Generator, galaxy: dict, member: bool) -> tuple[float, float]:
    a, b = rng.standard_normal(2)
    if member:
        return galaxy["g_r"] + 0.06 * a, galaxy["r_z"] + 0.05 * b
    return 0.65 + 0.35 * a, 0.45 + 0.3 * b


def add_field(scene: Scene, rng: np.random.Generator, galaxy: dict, blends: bool = True) -> None:
    """Add field galaxies, group members with the galaxy's colours, a star now and then, and sometimes a blend."""
    for _ in range(rng.poisson(COMPANIONS_PER_STAMP)):
        x, y, faint, group, size, q, phi = rng.random(7).tolist()
        mag, member = FAINTEST + np.log10(1.0 - faint) / COUNTS_SLOPE, group < MEMBERS
        mag = max(mag, galaxy["mag_r"] + 0.3) if member else max(mag, 18.5)
        re = min(max(0.45 * 10.0 ** (-0.1 * (mag - 23.0) + 0.25 * (2.0 * size - 1.0)), 0.1), 2.0)
        flux, n = fluxes(mag, *_colours(rng, galaxy, member)), 2.5 if member else 1.0
        place = FIELD * (2.0 * x - 1.0), FIELD * (2.0 * y - 1.0)
        scene.sersic(flux, *place, re / facts.PIXEL_SCALE, n, 0.25 + 0.75 * q, np.pi * phi)
    for _ in range(rng.poisson(STARS_PER_STAMP)):
        x, y, faint, colour = rng.random(4).tolist()
        mag, g_r = 24.0 + np.log10(1.0 - faint * (1.0 - 10.0 ** (-8.5 * STAR_SLOPE))) / STAR_SLOPE, 0.4 + 1.1 * colour
        flux = fluxes(mag, g_r, 0.2 + 0.6 * max(g_r - 0.6, 0.0))
        scene.point(flux, FIELD * (2.0 * x - 1.0), FIELD * (2.0 * y - 1.0))
    if blends and rng.random() < BLEND_FRACTION:
        r, angle, faint, size, index, q, phi = rng.random(7).tolist()
        r, angle, mag = (0.9 + 2.1 * r) / facts.PIXEL_SCALE, 2.0 * np.pi * angle, galaxy["mag_r"] + 0.6 + 1.9 * faint
        flux = fluxes(mag, *_colours(rng, galaxy, True))
        re = max(0.6 * galaxy["re_arcsec"] * 10.0 ** (0.2 * (2.0 * size - 1.0)), 0.2) / facts.PIXEL_SCALE
        scene.sersic(flux, r * np.cos(angle), r * np.sin(angle), re, 2.0 + 2.0 * index, 0.5 + 0.5 * q, np.pi * phi)


def to_npz(**content) -> bytes:
    """Bytes of an npz cutout in the channel-first layout of `dhs.survey.hosts.cutouts`."""
    buffer = io.BytesIO()
    np.savez(buffer, bands=np.array(facts.BAND_NAMES), pixscale=facts.PIXEL_SCALE, **content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Skies:
    """Observing conditions to draw from instead of the survey's: those of some hosts, a row each.

    Attributes
    ----------
    psf_fwhm : ndarray, (n, 3)
        Arcsec.
    sky_sigma : ndarray, (n, 3)
        Delivered noise a pixel, nanomaggies.
    place : ndarray, (n, 2)
        RA and Dec, degrees; NaN where unknown.
    from_pixels : bool
        The noise was measured on pixels, no inverse variance came with it; so it is for the mocks.
    """

    psf_fwhm: np.ndarray
    sky_sigma: np.ndarray
    place: np.ndarray
    from_pixels: bool = False


def under(rng: np.random.Generator, make, skies: Skies | None = None) -> tuple[dict, dict]:
    """A scene made by ``make(scene)`` and seen under the survey's sky, or one of some hosts'.

    Returns
    -------
    content : dict
        Pixels and what else a cutout of it holds; 65 x 65 px, the galaxy on the centre pixel.
    galaxy : dict
        What ``make`` returned.
    """
    row = None if skies is None else int(rng.integers(len(skies.psf_fwhm)))
    fwhm, sigma = population().conditions(rng) if row is None else (skies.psf_fwhm[row], skies.sky_sigma[row])
    scene = Scene(np.asarray(fwhm, float))
    galaxy = make(scene)
    phase = rng.random(2).tolist()
    if row is not None:  # noise as delivered: resampling takes its share first
        along_x, along_y = (_kernel(round(p * 64)) for p in phase)
        sigma = np.asarray(sigma, float) / np.sqrt((along_x**2).sum() * (along_y**2).sum())
    image, invvar = observe(rng, scene.image(SIZE + 2 * MARGIN), sigma, phase)
    content = {"image": image, "invvar": invvar, "psf_fwhm": fwhm, "z_phot": galaxy["z_phot"]}
    if row is not None:
        content |= dict(zip(("ra", "dec"), skies.place[row].tolist()))
        content |= {"invvar": None} if skies.from_pixels else {}
    return content, galaxy


def _content(seed: int, index: int, skies: Skies | None = None) -> dict:
    """What a cutout of a mock host holds."""
    rng = keyed(seed, Stream.MOCK_HOST, index)

    def lrg(scene: Scene) -> dict:
        galaxy = add_lrg(scene, rng)
        add_field(scene, rng, galaxy)
        return galaxy

    return under(rng, lrg, skies)[0]


def mock_npz(seed: int, index: int, ra: float, dec: float) -> bytes:
    """One mock host as an npz cutout."""
    content = _content(seed, index)
    image, named = content.pop("image"), {"host_id": host_id(seed, index), "flags": np.array(["mock"])}
    return to_npz(image_nmgy=image, ra=ra, dec=dec, **content, **named)


def mock_stamp(content: dict, ref: HostRef, shape: bool = True) -> HostStamp:
    """A stamp of a mock's pixels, through the same door as a real one's."""
    content = {"ra": ref.ra, "dec": ref.dec} | content | {"host_id": ref.host_id, "flags": ["mock"]}
    content |= {"bands": list(facts.BAND_NAMES), "pixel_scale": facts.PIXEL_SCALE}
    return stamp_of(content, ref.host_id, shape=shape, whole=True)


def host_id(seed: int, index: int) -> str:
    return f"mock-{seed}-{index:07d}"


@lru_cache(maxsize=4)
def _places(seed: int, block: int) -> list[tuple]:
    """Position and brick of one block of mocks."""
    ra, dec = _positions(seed, block)
    return list(zip(ra.tolist(), dec.tolist(), *(a.tolist() for a in bricks(ra, dec))))


def mock_ref(seed: int, index: int, name=host_id) -> HostRef:
    """Reference of one mock of a seed."""
    return HostRef(name(seed, index), *_places(seed, index // _BLOCK)[index % _BLOCK])


def mock_refs(seed: int, n: int, name=host_id) -> list[HostRef]:
    """References of the first n mocks of a seed."""
    return [mock_ref(seed, i, name) for i in range(n)]


def index_of(name: str) -> int:
    """Which mock a host id is of."""
    return int(name.rsplit("-", 1)[1])


def mock_host(seed: int, index: int, ref: HostRef, skies: Skies | None = None) -> HostStamp:
    """Mock host of an index, the same in whatever order hosts are made, and as `write_mock_hosts` stores it."""
    return mock_stamp(_content(seed, index, skies), ref)


def write_mock_hosts(folder: str | Path, n: int, seed: int) -> list[str]:
    """Write mock hosts as npz cutouts, one file each; returns their paths."""
    paths = []
    for i, ref in enumerate(mock_refs(seed, n)):
        paths.append(storage.join(folder, f"{ref.host_id}.npz"))
        storage.write_bytes(paths[-1], mock_npz(seed, i, ref.ra, ref.dec))
    return paths
