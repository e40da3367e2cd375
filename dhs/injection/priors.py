"""What is drawn for each pair: the response grid, and the population.

The **response grid** is uniform where the response is to be measured: Einstein radius uniform, source flux rescaled to
a drawn signal-to-noise ratio. The **population** takes the velocity dispersion from its measured function, the
Einstein radius from it and the two redshifts, and keeps the source's own flux. All else is drawn alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dhs.config import InjectionConfig
from dhs.injection.lens import ISOTHERMAL, Lens
from dhs.injection.velocity_dispersion import draw_theta_e
from dhs.survey.hosts.stamp import HostStamp

MIN_AXIS_RATIO = 0.3
SLOPE_RANGE = (1.6, 2.4)


class Rejected(Exception):
    """A draw that makes no pair; its message is the reason."""


@dataclass(frozen=True)
class Draw:
    """One proposal: a lens, a source position and what to scale its flux to.

    Attributes
    ----------
    lens : Lens
    x, y : float
        Source position, arcsec, source plane, from the stamp's centre.
    phi : float
        Rotation of the source image, radians.
    target_snr : float or None
        ``arc_snr_maxpix`` to reach; None keeps the source's flux.
    """

    lens: Lens
    x: float
    y: float
    phi: float
    target_snr: float | None


def draw(rng: np.random.Generator, host: HostStamp, z_source: float, config: InjectionConfig) -> Draw:
    """Draw one proposal for a host and a source's redshift.

    beta / theta_E is area-weighted from 0 to ``beta_max``; the lens's ellipticity follows the host's light with
    Gaussian scatter in (e1, e2); the target SNR is log-uniform; the lens sits on the host's light.

    Raises
    ------
    Rejected
        ``source_in_front_of_lens``; or, in the population, ``host_without_redshift`` or ``theta_e_out_of_range``.
    """
    if z_source <= host.z_phot:
        raise Rejected("source_in_front_of_lens")
    population = config.prior == "population"
    theta_e = (
        _population_radius(rng, host.z_phot, z_source, config) if population else rng.uniform(*config.theta_e_arcsec)
    )
    e1, e2 = np.array([host.e1, host.e2]) + rng.normal(0.0, config.ellipticity_scatter, 2)
    e = float(np.hypot(e1, e2))
    gamma1, gamma2 = rng.normal(0.0, config.shear_sigma, 2)
    beta = theta_e * config.beta_max * np.sqrt(rng.uniform())
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    phi = float(rng.uniform(0.0, 2.0 * np.pi))
    low, high = np.log(config.arc_snr_maxpix)
    target = float(np.exp(rng.uniform(low, high)))
    slope = ISOTHERMAL
    if config.slope_scatter > 0 or config.slope_mean != ISOTHERMAL:
        slope = float(np.clip(rng.normal(config.slope_mean, config.slope_scatter), *SLOPE_RANGE))
    lens = Lens(
        theta_e=float(theta_e),
        q=max((1.0 - e) / (1.0 + e), MIN_AXIS_RATIO),
        phi=0.5 * float(np.arctan2(e2, e1)),
        gamma1=float(gamma1),
        gamma2=float(gamma2),
        x=host.x_arcsec,
        y=host.y_arcsec,
        slope=slope,
    )
    x, y = lens.x + float(beta * np.cos(azimuth)), lens.y + float(beta * np.sin(azimuth))
    return Draw(lens, x, y, phi, None if population else target)


def _population_radius(rng: np.random.Generator, z_lens: float, z_source: float, config: InjectionConfig) -> float:
    if not np.isfinite(z_lens):
        raise Rejected("host_without_redshift")
    try:
        theta_e, _ = draw_theta_e(rng, [z_lens], [z_source], config.theta_e_arcsec)
    except ValueError:
        raise Rejected("theta_e_out_of_range") from None
    return float(theta_e[0])
