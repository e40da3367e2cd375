"""Host realism: can mock hosts be told from real galaxies, and by what?

Mock galaxies are made under the real ones' own seeing and noise, both are degraded to one seeing and one noise, and
matched in magnitude and colour: what is left is structure. Two halves of the real galaxies are the control.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from dhs.config import HostsConfig
from dhs.errors import DhsError, UsageError
from dhs.random import Stream, keyed
from dhs.stats.pixels import MAD_TO_SIGMA, mad
from dhs.survey import facts
from dhs.survey.hosts.open import open_hosts
from dhs.survey.mock.hosts import Skies, mock_host, mock_ref
from dhs.validation.realism.probe import MIN_STAMPS, probe

SEEING = np.array([1.5, 1.4, 1.35])  # arcsec, common to both sets
NOISE = np.array([0.0035, 0.005, 0.015])  # nanomaggies a pixel
APERTURE_PX = 11.5
MAG_SCALE = np.array([0.25, 0.1, 0.1])  # of r, g - r, r - z in the distance that is matched
PER_REAL = 4  # mocks to a real galaxy
HALVINGS = 20
POOL = 20  # mocks made to a real galaxy, to choose from
RINGS = (0.0, 2.0, 4.0, 6.0, 8.0, 11.0, 15.0, 20.0, 26.0)
_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))


def degrade(image, psf_fwhm, sky_sigma, rng: np.random.Generator) -> np.ndarray:
    """A stamp in the common seeing and noise: blurred by the difference, with white noise for what is missing.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
    psf_fwhm, sky_sigma : ndarray, (3,)
    rng : Generator
    """
    out = np.empty(image.shape)
    for b in range(3):
        blur = np.sqrt(max(SEEING[b] ** 2 - psf_fwhm[b] ** 2, 0.0)) * _TO_SIGMA / facts.PIXEL_SCALE
        left = sky_sigma[b] / np.sqrt(max(4.0 * np.pi * blur**2, 1.0))
        missing = np.sqrt(max(NOISE[b] ** 2 - left**2, 0.0))
        out[b] = gaussian_filter(image[b].astype(float), blur) + missing * rng.standard_normal(image[b].shape)
    return out


def _centre(r_band: np.ndarray) -> tuple[float, float]:
    """Centroid of the light near the middle, pixels; a cutout need not have its galaxy on a pixel."""
    y, x = np.indices(r_band.shape)
    cx = cy = r_band.shape[0] / 2.0
    for reach in (6.0, 5.0, 5.0, 5.0):
        weight = np.clip(r_band, 0.0, None) * (np.hypot(x - cx, y - cy) < reach)
        if weight.sum() <= 0:
            break
        cx, cy = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
    return cx, cy


def named_features(image: np.ndarray) -> dict[str, list[float]]:
    """What can be named of one galaxy, by family.

    Parameters
    ----------
    image : ndarray, (3, 64, 64)
        Of the common seeing and noise.

    Returns
    -------
    dict of str to list of float
        ``match`` (r, g - r, r - z within 3 arcsec); ``profile`` (rings over the core), ``size`` (half-light radius and
        concentration), ``colour gradient``, ``shape`` (moments 1 to 4 of two rings), ``companions`` (peaks beside the
        galaxy and their light in three zones), ``power spectrum`` (four bands of each filter).
    """
    cx, cy = _centre(image[1])
    y, x = np.indices(image.shape[1:])
    r, angle = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
    image = image - np.median(image[:, r > RINGS[-1]], axis=1)[:, None, None]
    light = np.array([[max(b[(r >= low) & (r < high)].sum(), 1e-3) for low, high in ((0, 3), (3, 9))] for b in image])
    g, red, z = facts.mag_from_flux(image[:, r < APERTURE_PX].sum(axis=1).clip(1e-3))
    out = {"match": [float(red), float(g - red), float(red - z)]}
    band = image[1]
    rings = [np.arcsinh(np.median(band[(r >= a) & (r < b)]) / 0.01) for a, b in pairwise(RINGS)]
    out["profile"] = [ring - rings[0] for ring in rings[1:]]
    order = np.argsort(r, axis=None)
    radius, growth = r.ravel()[order], np.cumsum(band.ravel()[order] * (r.ravel()[order] < APERTURE_PX))
    half, most = (radius[np.argmax(growth >= share * growth[-1])] for share in (0.5, 0.8))
    out["size"] = [float(np.log(max(half, 0.5))), float(np.log(most / max(half, 0.5)))]
    mags = -2.5 * np.log10(light)
    out["colour gradient"] = [float((mags[a] - mags[b])[1] - (mags[a] - mags[b])[0]) for a, b in ((0, 1), (1, 2))]
    out["shape"] = []
    for low, high in ((2, 5), (5, 9)):
        ring = (r >= low) & (r < high)
        weight = np.clip(band[ring], 0.0, None)
        moments = [
            np.abs((weight * np.exp(1j * m * angle[ring])).sum()) / max(weight.sum(), 1e-9) for m in (1, 2, 3, 4)
        ]
        out["shape"] += [float(np.log(m + 0.01)) for m in moments]
    out["companions"] = _companions(band, r)
    out["power spectrum"] = _power(image)
    return out


def _companions(band: np.ndarray, r: np.ndarray) -> list[float]:
    """Numbers of peaks above 5 sigma, and logarithm of their height, in three zones around the galaxy."""
    ring = r.astype(int)
    middle = np.array([np.median(band[ring == k]) if (ring == k).any() else 0.0 for k in range(ring.max() + 1)])
    smooth = gaussian_filter(band - middle[ring], 1.2)
    sigma = MAD_TO_SIGMA * mad(smooth[r > 12])
    peaks = (smooth == maximum_filter(smooth, 7)) & (smooth > 5.0 * sigma)
    zones = [peaks & (r >= low) & (r < high) for low, high in ((3, 8), (8, 16), (16, 30))]
    return [float(zone.sum()) for zone in zones] + [float(np.log(0.02 + smooth[zone].sum())) for zone in zones]


def _power(image: np.ndarray) -> list[float]:
    n = image.shape[-1]
    window = np.outer(np.hanning(n), np.hanning(n))
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :])
    out = []
    for band in image:
        power = np.abs(np.fft.rfft2(band * window)) ** 2
        total = power[k > 0.02].sum()
        edges = (0.05, 0.1, 0.15, 0.3, 0.5)
        out += [float(np.log(power[(k >= a) & (k < b)].sum() / total)) for a, b in pairwise(edges)]
    return out


def matched(real: np.ndarray, mock: np.ndarray, per_real: int = PER_REAL) -> np.ndarray:
    """Rows of ``mock`` nearest in magnitude and colour to each real galaxy in turn, none of them twice."""
    distance = (((real[:, None] - mock[None]) / MAG_SCALE) ** 2).sum(axis=-1)
    taken: list[int] = []
    free = np.ones(len(mock), bool)
    for _ in range(per_real):
        for row in distance:
            best = int(np.argmin(np.where(free, row, np.inf)))
            free[best] = False
            taken.append(best)
    return np.array(taken)


def _measured(stamps, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    seen = [
        degrade(s.image, s.psf_fwhm, s.sky_sigma, keyed(seed, Stream.STUDY, i, attempt=int("mock" in s.flags)))
        for i, s in enumerate(stamps)
    ]
    features = [named_features(image) for image in seen]
    return {name: np.array([f[name] for f in features]) for name in features[0]}, np.array(seen, dtype=np.float32)


def _halves(x: np.ndarray, group: np.ndarray, seed: int) -> dict:
    """What the probe finds between two halves of one set, over many halvings: mean, and the range of 95 % of them.

    Of so few galaxies it is below 0.5: what is left out of a fold is on the other side of the mean of what is kept.
    """
    found = []
    for i in range(HALVINGS):
        half = keyed(seed, Stream.HALVES, i).permutation(len(x)) < len(x) // 2
        found.append(probe(x[half], x[~half], group[half], group[~half], seed=seed)["auc"].value)
    low, high = np.quantile(found, (0.025, 0.975))
    return {
        "value": float(np.mean(found)),
        "ci_low": float(low),
        "ci_high": float(high),
        "n": len(x),
        "halvings": HALVINGS,
    }


def compare_hosts(spec: str, *, seed: int = 0, scorer=None, pool: int = POOL) -> dict:
    """How far mock hosts are from real ones.

    Parameters
    ----------
    spec : str
        Real hosts, as `dhs.survey.hosts.open.open_hosts` reads them.
    seed : int
        Of the mocks, and of folds.
    scorer : object with ``features``, optional
        A network whose features are probed as well.
    pool : int
        Mocks made for each real galaxy.

    Returns
    -------
    dict
        ``probe`` (all named features together; AUC and interval, grouped by galaxy), ``families`` (each alone),
        ``control`` (`HALVINGS` halvings of the real ones), ``network`` where there is one, ``differences`` (mean of
        real less mock, in the mocks' standard deviations, by feature), ``matched`` (medians of what was matched) and
        numbers.

    Raises
    ------
    DhsError
        Fewer real galaxies than a probe and its control need.
    """
    if spec == "mock":
        raise UsageError("mock hosts against mock hosts say nothing: name real ones.")
    hosts = open_hosts(HostsConfig(spec=spec), seed)
    if len(hosts) < 2 * MIN_STAMPS:
        raise DhsError(f"{spec}: {len(hosts)} galaxies; a probe and its control need {2 * MIN_STAMPS}. Give more.")
    real = [hosts.read(i) for i in range(len(hosts))]
    fwhm = np.minimum(np.array([s.psf_fwhm for s in real]), SEEING - 0.01)
    place = np.full((len(real), 2), np.nan)
    skies = Skies(fwhm, np.array([s.sky_sigma for s in real]), place, all(s.invvar is None for s in real))
    made = [mock_host(seed, i, mock_ref(seed, i), skies) for i in range(pool * len(real))]
    a, seen_a = _measured(real, seed)
    b, seen_b = _measured(made, seed)
    chosen = matched(a["match"], b["match"])
    b = {name: values[chosen] for name, values in b.items()}
    group_a, group_b = np.array([s.host_id for s in real]), np.array([made[i].host_id for i in chosen])
    names = [name for name in a if name != "match"]
    both = [np.hstack([side[name] for name in names]) for side in (a, b)]
    found = probe(*both, group_a, group_b, seed=seed)
    apart = {n: (a[n].mean(axis=0) - b[n].mean(axis=0)) / np.maximum(b[n].std(axis=0), 1e-9) for n in names}
    out = {
        "n_real": len(real),
        "n_mock": len(chosen),
        "probe": found["auc"].as_dict(),
        "families": {n: probe(a[n], b[n], group_a, group_b, seed=seed)["auc"].as_dict() for n in names},
        "control": _halves(both[0], group_a, seed),
        "differences": {n: np.round(v, 2).tolist() for n, v in apart.items()},
        "matched": {k: np.median(v["match"], axis=0).round(3).tolist() for k, v in (("real", a), ("mock", b))},
        "seeing_arcsec": SEEING.tolist(),
        "noise_nmgy": NOISE.tolist(),
        "hosts": hosts.selection,
    }
    if scorer is not None:
        x = scorer.features(seen_a), scorer.features(seen_b[chosen])
        out["network"] = probe(*x, group_a, group_b, seed=seed)["auc"].as_dict()
        out["network_control"] = _halves(x[0], group_a, seed)
    return out
