"""Luminous red galaxies and their sky as the survey sees them: what mock hosts are drawn from.

Deflectors are the bright part of an LRG sample, so the magnitude and the photo-z come from real lens galaxies
(`dhs.survey.mock.deflectors`); Tractor type, colours, size and ellipticity at that magnitude come from Gaussian
mixtures of DESI's DR9 LRG targets (desitarget, BSD-3); seeing and depth from tables of DR10 bricks. `fit_population`
makes ``population.json`` (package data) from the published files; nothing else is needed to draw.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from dhs.survey.facts import PIXEL_SCALE, ZERO_POINT
from dhs.survey.mock.deflectors import deflectors
from dhs.survey.psf import moffat_alpha

TYPES = ("DEV", "SER", "EXP", "REX")
USED = (0, 1, 2, 4, 5, 6)  # z, g - r, r - z, log10 R_e / arcsec, |e1|, |e2| among the mixtures' ten columns
NAMES = ("z", "g_r", "r_z", "log_re", "e1", "e2")
LIMITS = {"g_r": (0.5, 2.6), "r_z": (0.4, 2.3), "log_re": (-0.7, 0.75), "e": (0.0, 0.6)}
ROUNDER = 0.8  # catalogued ellipticities are noisy, so too large: 46 real galaxies are rounder by so much
SMALLER = 0.87  # and smaller, against the same 46
MAG_Z = (16.0, 21.0)  # the mixtures are held at their ends beyond

# 105 DR10 bricks, 5, 16, 50, 84 and 95 %: FWHM in arcsec and 5 sigma point-source depth, g, r, z. In r both are those
# of 2,693 regions (5, 50, 95 %; 16 and 84 % from the bricks' ratios).
SEEING = ((1.36, 1.43, 1.50, 1.70, 1.84), (1.12, 1.21, 1.35, 1.57, 1.75), (1.11, 1.23, 1.31, 1.47, 1.59))
DEPTH = ((24.58, 24.62, 24.75, 24.91, 25.01), (23.98, 24.15, 24.46, 24.98, 25.43), (23.13, 23.23, 23.36, 23.43, 23.49))
QUANTILES = (0.05, 0.16, 0.5, 0.84, 0.95)
# Measured correlations; those that nobody gave are completed by the matrix of the largest determinant.
CORRELATIONS = {(0, 1): -0.63, (0, 2): 0.35, (1, 2): -0.49, (3, 4): 0.57, (4, 5): 0.64, (3, 5): 0.33}
CORRELATIONS |= {(0, 3): -0.56, (1, 4): 0.04, (2, 5): -0.53}


def _read_mixture(path) -> dict:
    from astropy.io import fits

    with fits.open(path) as hdus:
        weights, means, covariances = (np.array(hdus[i].data, float) for i in range(3))
    used = np.ix_(range(len(weights)), USED, USED)
    return {
        "weights": np.round(weights / weights.sum(), 6).tolist(),
        "means": np.round(means[:, USED], 4).tolist(),
        "covariances": np.round(covariances[used], 6).tolist(),
    }


def complete_correlation(known: dict, n: int = 6) -> np.ndarray:
    """Positive definite correlation matrix of the largest determinant that has the known entries."""
    from scipy.optimize import minimize

    free = [(i, j) for i in range(n) for j in range(i + 1, n) if (i, j) not in known]

    def matrix(values):
        out = np.eye(n)
        for (i, j), value in [*known.items(), *zip(free, values)]:
            out[i, j] = out[j, i] = value
        return out

    def cost(values):
        sign, log = np.linalg.slogdet(matrix(values))
        return -log if sign > 0 and np.linalg.eigvalsh(matrix(values))[0] > 0 else 1e3

    found = minimize(cost, np.zeros(len(free)), method="Nelder-Mead", options={"maxiter": 20000, "xatol": 1e-6})
    return np.round(matrix(found.x), 4)


def fit_population(folder) -> dict:
    """Fit the summary that ships as ``population.json`` from the folder of desitarget's DR9 mixtures.

    Returns
    -------
    dict
        ``mixtures`` {type: weights, means, covariances} over `NAMES`; ``magnitudes`` and ``fractions`` {type: share by
        z magnitude}, resolved types only; ``seeing``, ``depth``, ``correlation`` of observing conditions.
    """
    from astropy.io import fits

    folder = Path(folder)
    with fits.open(folder / "dr9_fractype_lrg.fits") as hdus:
        table = hdus[1].data
        total = sum(np.array(table[t], float) for t in TYPES)
        fractions = {t: np.round(np.array(table[t], float) / total, 5).tolist() for t in TYPES}
        magnitudes = np.array(table["MAG"], float).tolist()
    return {
        "mixtures": {t: _read_mixture(folder / f"dr9_gmm_lrg_{t.lower()}.fits") for t in TYPES[:3]},
        "magnitudes": magnitudes,
        "fractions": fractions,
        "seeing": [list(v) for v in SEEING],
        "depth": [list(v) for v in DEPTH],
        "correlation": complete_correlation(CORRELATIONS).tolist(),
    }


class _Mixture:
    """Draws of the other columns of a mixture at a z magnitude."""

    def __init__(self, summary: dict):
        self.weights, self.means = np.array(summary["weights"]), np.array(summary["means"])
        covariances = np.array(summary["covariances"])
        self.deviation = np.sqrt(covariances[:, 0, 0])
        self.slope = covariances[:, 0, 1:] / covariances[:, :1, 0]
        rest = covariances[:, 1:, 1:] - self.slope[:, :, None] * covariances[:, None, 0, 1:]
        self.root = np.linalg.cholesky(rest + 1e-8 * np.eye(rest.shape[-1]))

    def draw(self, mag_z: float, uniform: float, normal: np.ndarray) -> np.ndarray:
        """(5,) g - r, r - z, log R_e, e1, e2."""
        distance = (mag_z - self.means[:, 0]) / self.deviation
        share = np.cumsum(self.weights * np.exp(-0.5 * np.minimum(distance**2, 1400.0)) / self.deviation)
        k = min(int(np.searchsorted(share, uniform * share[-1])), len(share) - 1)
        return self.means[k, 1:] + self.slope[k] * (mag_z - self.means[k, 0]) + self.root[k] @ normal


class Population:
    """Draws of galaxies and of observing conditions from a fitted summary.

    Parameters
    ----------
    summary : dict
        Of `fit_population`.
    """

    def __init__(self, summary: dict):
        self.summary = summary
        self._mixtures = {t: _Mixture(m) for t, m in summary["mixtures"].items()}
        # A REX is a galaxy too faint for its shape and profile to be told: it is drawn as a small DEV.
        self._mixtures["REX"] = self._mixtures["DEV"]
        self._magnitudes = np.array(summary["magnitudes"])
        self._shares = np.cumsum([summary["fractions"][t] for t in TYPES], axis=0)
        self._root = np.linalg.cholesky(np.array(summary["correlation"]))
        self._scores, self._conditions = ndtri(QUANTILES), np.array(summary["seeing"] + summary["depth"])

    def galaxy(self, rng: np.random.Generator) -> dict:
        """A deflector: ``type, mag_r, g_r, r_z, z_phot, re_arcsec, q``; R_e circularised, magnitudes AB."""
        bright = deflectors().transform(rng.standard_normal(4))
        mag_z = float(np.clip(bright[0] - bright[2], *MAG_Z))
        at = [np.interp(mag_z, self._magnitudes, share) for share in self._shares]
        kind = TYPES[min(int(np.searchsorted(at, rng.random() * at[-1])), 3)]
        for _ in range(20):
            g_r, r_z, log_re, e1, e2 = self._mixtures[kind].draw(mag_z, rng.random(), rng.standard_normal(5))
            e = ROUNDER * float(np.hypot(e1, e2))
            inside = zip((g_r, r_z, log_re, e), LIMITS.values())
            if all(low <= value <= high for value, (low, high) in inside):
                break
        g_r, r_z, log_re, e = (float(np.clip(v, *b)) for v, b in zip((g_r, r_z, log_re, e), LIMITS.values()))
        q = (1.0 - e) / (1.0 + e)
        mag_r = mag_z + r_z
        # Tractor's radius is the semi-major axis'.
        re = SMALLER * 10.0**log_re * np.sqrt(q)
        z_phot = photo_z(mag_r, g_r, r_z, float(rng.standard_normal()))
        return {"type": kind, "mag_r": mag_r, "g_r": g_r, "r_z": r_z, "z_phot": z_phot, "re_arcsec": re, "q": q}

    def conditions(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Seeing FWHM (3,) arcsec and nominal sky noise (3,) nanomaggies a pixel, before resampling.

        The noise is the one for which a point source of the drawn PSF at the drawn depth has 5 sigma.
        """
        scores = np.clip(self._root @ rng.standard_normal(6), -2.3, 2.3)
        seeing, depth = np.split(np.array([self._at(v, s) for v, s in zip(self._conditions, scores)]), 2)
        # Noise-equivalent area of a Moffat profile, pixels: 1 / sum of the squared PSF (beta = 3.5).
        area = np.pi * (moffat_alpha(seeing) / PIXEL_SCALE) ** 2 * 6.0 / 6.25
        return seeing, 10.0 ** (0.4 * (ZERO_POINT - depth)) / (5.0 * np.sqrt(area))

    def _at(self, values: np.ndarray, score: float) -> float:
        """Quantile at a normal score; beyond the last one given the last interval's slope goes on."""
        x = self._scores
        i = min(max(int(np.searchsorted(x, score)) - 1, 0), len(x) - 2)
        return float(values[i] + (values[i + 1] - values[i]) * (score - x[i]) / (x[i + 1] - x[i]))


@cache
def _photo_z_regression() -> tuple[list, np.ndarray, float]:
    summary = deflectors().summary
    correlation = np.array(summary["correlation"])
    slopes = np.linalg.solve(correlation[:3, :3], correlation[:3, 3])
    return [np.array(q) for q in summary["quantiles"].values()], slopes, float(1.0 - slopes @ correlation[:3, 3])


def photo_z(mag_r: float, g_r: float, r_z: float, normal: float) -> float:
    """Photometric redshift of a galaxy given its magnitude and colours, by the copula of real deflectors."""
    quantiles, slopes, rest = _photo_z_regression()
    p = np.array(deflectors().summary["probabilities"])
    ranks = [np.interp(v, q, p) for v, q in zip((mag_r, g_r, r_z), quantiles)]
    scores = ndtri(np.clip(ranks, 0.01, 0.99))
    return float(np.interp(ndtr(slopes @ scores + np.sqrt(rest) * normal), p, quantiles[3]))


@cache
def population() -> Population:
    """The population that ships with the package."""
    text = (resources.files("dhs.survey.mock") / "population.json").read_text()
    return Population(json.loads(text)["summary"])
