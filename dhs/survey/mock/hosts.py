"""Mock hosts: luminous red galaxies with the magnitudes and colours of real lenses, on survey-like sky.

What they follow: magnitudes, colours, photo-z and their correlations of real deflectors (`dhs.survey.mock.deflectors`);
sky noise, its correlation and its band ratios of six real DR10 stamps; the survey's typical seeing per band; the
size-luminosity relation of early types. What they lack: colour gradients, shells, dust, saturated stars, artefacts,
faint sources below r = 24.5. They are labelled ``mock`` wherever they go.
"""

from __future__ import annotations

import io
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.survey import facts
from dhs.survey.bricks import bricks
from dhs.survey.hosts.cutouts import read_npz
from dhs.survey.hosts.record import HostRef
from dhs.survey.hosts.stamp import HostStamp
from dhs.survey.mock.deflectors import deflectors
from dhs.survey.mock.scene import Scene

SIZE = facts.STAMP + 1  # odd, so that the galaxy lies on a pixel, as in the survey's 101-pixel cutouts
MARGIN = 6  # two Lanczos kernels' reach
HOST_STREAM, NEGATIVE_STREAM, POSITION_STREAM = 16, 17, 18  # third word of the Philox counter; pairs use 0 to 3
_BLOCK, _CANDIDATES = 1024, 4096

DEC_RANGE, MIN_GALACTIC_LATITUDE = (-20.0, 30.0), 20.0  # degrees

# Delivered sky noise per pixel: medians and scatter (natural log) of six real DR10 stamps.
SKY_SIGMA = np.array([0.0016, 0.0026, 0.0074])
SKY_LOG_SCATTER, SKY_CORRELATION = np.array([0.26, 0.23, 0.24]), 0.6
SEEING_LOG_SCATTER, SEEING_CORRELATION = 0.12, 0.5
COADD_SHIFT = 0.3  # px: Lanczos shift with the correlation of a mean over exposures with random shifts

COMPANIONS_PER_STAMP = 3.0  # r < 24.5: field counts of about 30 per arcmin^2 in 0.08 arcmin^2, and group members
BLEND_FRACTION = 0.15


def generator(seed: int, index: int, stream: int) -> np.random.Generator:
    """The random stream of one mock, the same in whatever order they are made."""
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, stream, 0]))


# ---------------------------------------------------------------------------------------------------- positions


def positions(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """RA and Dec (degrees) of the first n mocks, uniform over dec -20 to 30 and |b| > 20.

    Position i does not depend on n.
    """
    ra, dec = zip(*(_positions(seed, block) for block in range(-(-n // _BLOCK))))
    return np.concatenate(ra)[:n], np.concatenate(dec)[:n]


def position(seed: int, index: int) -> tuple[float, float]:
    """RA and Dec (degrees) of one mock."""
    ra, dec = _positions(seed, index // _BLOCK)
    return float(ra[index % _BLOCK]), float(dec[index % _BLOCK])


@lru_cache(maxsize=4)
def _positions(seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of one block of mocks."""
    low, high = np.sin(np.radians(DEC_RANGE))
    rng = generator(seed, block, POSITION_STREAM)
    a, d = rng.uniform(0.0, 360.0, _CANDIDATES), np.degrees(np.arcsin(rng.uniform(low, high, _CANDIDATES)))
    keep = np.flatnonzero(np.abs(facts.galactic_latitude(a, d)) > MIN_GALACTIC_LATITUDE)[:_BLOCK]
    return a[keep], d[keep]


# ---------------------------------------------------------------------------------------------- observing conditions


def conditions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Seeing FWHM (3,) arcsec, delivered sky sigma (3,) nanomaggies, sub-pixel phase (x, y) of the resampling."""
    common, own = rng.standard_normal(2), rng.standard_normal((2, 3))
    seeing = np.sqrt(SEEING_CORRELATION) * common[0] + np.sqrt(1.0 - SEEING_CORRELATION) * own[0]
    depth = np.sqrt(SKY_CORRELATION) * common[1] + np.sqrt(1.0 - SKY_CORRELATION) * own[1]
    typical = np.array([b.psf_fwhm_arcsec for b in facts.BANDS])
    fwhm = np.clip(typical * np.exp(SEEING_LOG_SCATTER * seeing), 0.75, 2.2)
    sigma = SKY_SIGMA * np.exp(SKY_LOG_SCATTER * np.clip(depth, -2.0, 2.0))
    return fwhm, sigma, tuple(rng.uniform(0.0, 1.0, 2))


@cache
def _lanczos(shift: float, size: int) -> np.ndarray:
    """(size - 6, size) matrix that resamples a row by a sub-pixel shift with a Lanczos-3 kernel."""
    taps = np.arange(-2, 4)
    kernel = np.sinc(taps - shift) * np.sinc((taps - shift) / 3.0)
    matrix = np.zeros((size - MARGIN, size))
    for row in range(size - MARGIN):
        matrix[row, row : row + MARGIN] = kernel / kernel.sum()
    return matrix.astype(np.float32)


def _resampling(phase: float, size: int) -> np.ndarray:
    """(size, size + 12): the coadd's resampling, then the cutout's; phases are rounded to 1/64 px."""
    shift = round(phase * 64) / 64
    return _lanczos(shift, size + MARGIN) @ _lanczos(COADD_SHIFT, size + 2 * MARGIN)


def observe(rng: np.random.Generator, light: np.ndarray, sigma: np.ndarray, phase) -> tuple[np.ndarray, np.ndarray]:
    """Sky and photon noise, resampled as a coadd is.

    Parameters
    ----------
    light : ndarray, (3, n + 12, n + 12)
        Noiseless light with a margin of 6 px on each side.
    sigma : ndarray, (3,)
        Delivered sky noise per pixel.
    phase : (float, float)

    Returns
    -------
    image, invvar : ndarray, (3, n, n) float32
        The inverse variance is the survey's kind: of the sky noise before resampling.
    """
    n = light.shape[-1] - 2 * MARGIN
    along_x, along_y = _resampling(phase[0], n), _resampling(phase[1], n)
    shrink = np.sqrt((along_x[0] ** 2).sum() * (along_y[0] ** 2).sum())
    nominal = sigma / shrink
    gain = facts.gain_from_sky_noise(nominal)
    variance = nominal[:, None, None] ** 2 + np.maximum(light, 0.0) / gain[:, None, None]
    scale = np.sqrt(variance).astype(np.float32)
    noise = along_y @ (scale * rng.standard_normal(light.shape, np.float32)) @ along_x.T
    image = light[:, MARGIN:-MARGIN, MARGIN:-MARGIN] + noise
    invvar = np.broadcast_to(nominal[:, None, None] ** -2.0, image.shape)
    return image.astype(np.float32), invvar.astype(np.float32)


# ------------------------------------------------------------------------------------------------------- galaxies


@cache
def _distance_modulus() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Redshifts, distance moduli and kpc per arcsec of a flat universe with H0 = 70, Omega_m = 0.3."""
    z = np.linspace(0.0, 1.6, 801)
    inverse_e = 1.0 / np.sqrt(0.3 * (1.0 + z) ** 3 + 0.7)
    steps = (inverse_e[1:] + inverse_e[:-1]) / 2 * (z[1] - z[0])
    comoving = 299792.458 / 70.0 * np.concatenate([[0.0], np.cumsum(steps)])
    modulus = 5.0 * np.log10(np.maximum(comoving * (1.0 + z), 1e-3)) + 25.0
    return z, modulus, comoving / (1.0 + z) * 1e3 * np.pi / 180.0 / 3600.0


def effective_radius_arcsec(mag_r, z) -> np.ndarray:
    """Median R_e of an early type from its r magnitude and redshift, arcsec.

    log10 R_e/kpc = 0.45 + 0.252 (-21.15 - M_r), R_e proportional to L^0.63 (Bernardi et al. 2003, AJ 125, 1849), with
    M_r = m - DM - z: K-correction less passive evolution of early types is close to z magnitudes up to z = 0.7. M_r is
    held between -24.7 and -19.5: beyond, the relation has no galaxies behind it and a photo-z is off.
    """
    z_grid, modulus, kpc = _distance_modulus()
    absolute = np.clip(np.asarray(mag_r) - np.interp(z, z_grid, modulus) - np.asarray(z), -24.7, -19.5)
    return 10.0 ** (0.45 + 0.252 * (-21.15 - absolute)) / np.interp(z, z_grid, kpc)


def fluxes(mag_r: float, g_r: float, r_z: float) -> np.ndarray:
    """(3,) g, r, z nanomaggies."""
    return facts.flux_from_mag(np.array([mag_r + g_r, mag_r, mag_r - r_z]))


def add_lrg(scene: Scene, rng: np.random.Generator) -> dict:
    """Add a luminous red galaxy at the centre: a Sérsic bulge of index 2.5 to 6.

    Returns
    -------
    dict
        mag_r, g_r, r_z, z_phot, re_arcsec, n, q, phi.
    """
    mag_r, g_r, r_z, z_phot = deflectors().transform(rng.standard_normal(4))
    re = float(np.clip(effective_radius_arcsec(mag_r, z_phot) * 10.0 ** (0.13 * rng.standard_normal()), 0.25, 4.0))
    n = float(np.clip(rng.normal(4.2, 0.9), 2.5, 6.0))
    q, phi = float(np.clip(rng.normal(0.79, 0.12), 0.35, 0.99)), float(rng.uniform(0.0, np.pi))
    scene.sersic(fluxes(mag_r, g_r, r_z), 0.0, 0.0, re / facts.PIXEL_SCALE, n, q, phi)
    names = ("mag_r", "g_r", "r_z", "z_phot", "re_arcsec", "n", "q", "phi")
    return dict(zip(names, (float(mag_r), float(g_r), float(r_z), float(z_phot), re, n, q, phi)))


def add_field(scene: Scene, rng: np.random.Generator, galaxy: dict, blends: bool = True) -> None:
    """Add field galaxies, group members with the galaxy's colours, a star now and then, and sometimes a blend."""
    for _ in range(rng.poisson(COMPANIONS_PER_STAMP)):
        x, y = rng.uniform(-36.0, 36.0, 2)
        # Counts rise as 10^(0.3 m), cut at r = 24.5.
        mag = 24.5 + np.log10(1.0 - rng.random()) / 0.3
        if rng.random() < 0.35:
            mag = max(mag, galaxy["mag_r"] + 0.5)
            colours = galaxy["g_r"] + rng.normal(0.0, 0.06), galaxy["r_z"] + rng.normal(0.0, 0.05)
        else:
            colours = rng.normal(0.65, 0.35), rng.normal(0.45, 0.3)
        mag = max(mag, 19.0)
        re = np.clip(0.45 * 10.0 ** (-0.1 * (mag - 23.0) + 0.15 * rng.standard_normal()), 0.1, 2.0)
        scene.exponential(
            fluxes(mag, *colours), x, y, re / facts.PIXEL_SCALE, rng.uniform(0.25, 1.0), rng.uniform(0.0, np.pi)
        )
    if rng.random() < 0.08:
        g_r = rng.uniform(0.4, 1.5)
        scene.point(fluxes(rng.uniform(19.5, 24.0), g_r, 0.2 + 0.6 * max(g_r - 0.6, 0.0)), *rng.uniform(-32.0, 32.0, 2))
    if blends and rng.random() < BLEND_FRACTION:
        r, angle = rng.uniform(1.0, 3.5) / facts.PIXEL_SCALE, rng.uniform(0.0, 2.0 * np.pi)
        mag = galaxy["mag_r"] + rng.uniform(0.6, 2.5)
        colours = galaxy["g_r"] + rng.normal(0.0, 0.1), galaxy["r_z"] + rng.normal(0.0, 0.08)
        re = max(0.6 * galaxy["re_arcsec"] * 10.0 ** (0.1 * rng.standard_normal()), 0.2) / facts.PIXEL_SCALE
        x, y = r * np.cos(angle), r * np.sin(angle)
        n, q, phi = rng.uniform(2.0, 4.0), rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
        scene.sersic(fluxes(mag, *colours), x, y, re, n, q, phi)


def to_npz(**content) -> bytes:
    """Bytes of an npz cutout in the channel-first layout of `dhs.survey.hosts.cutouts`."""
    buffer = io.BytesIO()
    np.savez(buffer, bands=np.array(facts.BAND_NAMES), pixscale=facts.PIXEL_SCALE, **content)
    return buffer.getvalue()


def mock_npz(seed: int, index: int, ra: float, dec: float) -> bytes:
    """One mock host as an npz cutout, 65 x 65 pixels, the galaxy on the centre pixel."""
    rng = generator(seed, index, HOST_STREAM)
    fwhm, sigma, phase = conditions(rng)
    scene = Scene(fwhm)
    galaxy = add_lrg(scene, rng)
    add_field(scene, rng, galaxy)
    image, invvar = observe(rng, scene.image(SIZE + 2 * MARGIN), sigma, phase)
    return to_npz(
        image_nmgy=image,
        invvar=invvar,
        psf_fwhm=fwhm,
        ra=ra,
        dec=dec,
        z_phot=galaxy["z_phot"],
        host_id=host_id(seed, index),
        flags=np.array(["mock"]),
    )


def host_id(seed: int, index: int) -> str:
    return f"mock-{seed}-{index:07d}"


def mock_refs(seed: int, n: int, name=host_id) -> list[HostRef]:
    """References of the first n mocks of a seed."""
    ra, dec = positions(seed, n)
    return [
        HostRef(name(seed, i), *where)
        for i, where in enumerate(zip(ra.tolist(), dec.tolist(), *(a.tolist() for a in bricks(ra, dec))))
    ]


def index_of(name: str) -> int:
    """Which mock a host id is of."""
    return int(name.rsplit("-", 1)[1])


def mock_host(seed: int, index: int, ref: HostRef) -> HostStamp:
    """Mock host of an index, through the same reader as a real one; the same in whatever order hosts are made."""
    return read_npz(mock_npz(seed, index, ref.ra, ref.dec), ref.host_id)


def write_mock_hosts(folder: str | Path, n: int, seed: int) -> list[str]:
    """Write mock hosts as npz cutouts, one file each; returns their paths."""
    paths = []
    for i, ref in enumerate(mock_refs(seed, n)):
        paths.append(storage.join(folder, f"{ref.host_id}.npz"))
        storage.write_bytes(paths[-1], mock_npz(seed, i, ref.ra, ref.dec))
    return paths
