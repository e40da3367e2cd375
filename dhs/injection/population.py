"""The response grid: what is drawn for each pair, uniform where the response is to be measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.config import InjectionConfig
from dhs.injection.render import Lens
from dhs.survey.stamp import HostStamp

MIN_AXIS_RATIO = 0.3


@dataclass(frozen=True)
class Draw:
    """One proposal: a lens, a source position and what to scale its flux to.

    Attributes
    ----------
    lens : Lens
    source_index : int
    x, y : float
        Source position, arcsec, source plane, from the stamp's centre.
    phi : float
        Rotation of the source image, radians.
    target_snr : float
        ``arc_snr_maxpix`` to reach.
    """

    lens: Lens
    source_index: int
    x: float
    y: float
    phi: float
    target_snr: float


def draw(rng: np.random.Generator, host: HostStamp, n_sources: int, config: InjectionConfig) -> Draw:
    """Draw one proposal of the response grid.

    theta_E is uniform; beta / theta_E is area-weighted from 0 to ``beta_max``; the lens's ellipticity follows the
    host's light with Gaussian scatter in (e1, e2); the target SNR is log-uniform; the lens sits on the host's light.
    """
    theta_e = rng.uniform(*config.theta_e_arcsec)
    e1, e2 = np.array([host.e1, host.e2]) + rng.normal(0.0, config.ellipticity_scatter, 2)
    e = float(np.hypot(e1, e2))
    q = max((1.0 - e) / (1.0 + e), MIN_AXIS_RATIO)
    phi = 0.5 * float(np.arctan2(e2, e1))
    gamma1, gamma2 = rng.normal(0.0, config.shear_sigma, 2)
    beta = theta_e * config.beta_max * np.sqrt(rng.uniform())
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    lens = Lens(theta_e, q, phi, float(gamma1), float(gamma2), host.x_arcsec, host.y_arcsec)
    low, high = np.log(config.arc_snr_maxpix)
    return Draw(
        lens=lens,
        source_index=int(rng.integers(n_sources)),
        x=lens.x + float(beta * np.cos(azimuth)),
        y=lens.y + float(beta * np.sin(azimuth)),
        phi=float(rng.uniform(0.0, 2.0 * np.pi)),
        target_snr=float(np.exp(rng.uniform(low, high))),
    )
