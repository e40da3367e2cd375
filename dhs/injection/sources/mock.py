"""Made-up source galaxies, for tests only: a Sersic disc with clumps."""

from __future__ import annotations

import numpy as np
from astropy.modeling.models import Sersic2D

from dhs.config import SourcesConfig
from dhs.injection.sources.base import Loaded, source_catalogue
from dhs.injection.sources.cleaning import cut_out
from dhs.injection.sources.source import Source
from dhs.random import Stream, keyed
from dhs.survey.colours import drawn_fluxes

N_MOCK = 40
SIZE, PIXEL_SCALE = 61, 0.05  # pixels, arcsec
LIMITS = ("The source galaxies are mock (Sersic discs with clumps): for tests, no number means anything.",)


def mock_source(index: int, seed: int, z_min: float = 0.6, mag_max: float = 24.8) -> Source:
    """One mock source; ``index`` and ``seed`` decide every number.

    r_eff is uniform in 0.1-0.35 arcsec, the Sersic index in 0.7-2.5, the axis ratio in 0.4-1; two to five clumps of
    4-10 % of the light each follow the disc. Redshift uniform from ``z_min`` to 3 (or 0.1 above it), r magnitude
    uniform over the 1.5 mag brighter than ``mag_max``.
    """
    rng = keyed(seed, Stream.MOCK_SOURCE, index)
    y, x = np.indices((SIZE, SIZE)) - SIZE // 2
    r_eff = rng.uniform(0.1, 0.35) / PIXEL_SCALE
    theta, ellipticity = rng.uniform(0.0, np.pi), 1.0 - rng.uniform(0.4, 1.0)
    disc = Sersic2D(1.0, r_eff, rng.uniform(0.7, 2.5), 0.0, 0.0, ellipticity, theta)(x, y)
    image = disc / disc.sum()
    for share in rng.uniform(0.04, 0.10, int(rng.integers(2, 6))):
        dx, dy = rng.normal(0.0, 0.7 * r_eff, 2)
        clump = np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / 1.3**2)
        image += share * clump / clump.sum()
    image = cut_out(image, (np.hypot(x, y) < 0.6 * SIZE / 2).astype(int), 1)
    source_id = f"mock-{index:03d}"
    z = float(rng.uniform(z_min, max(3.0, z_min + 0.1)))
    flux = drawn_fluxes(f"{seed}:{source_id}", z, r=float(mag_max - 1.5 * rng.uniform()))
    return Source(source_id, image, PIXEL_SCALE, flux, z, ("mock", "colours_drawn", "redshift_drawn"))


@source_catalogue("mock", limits=LIMITS, mock=True)
def load(config: SourcesConfig, seed: int) -> Loaded:
    """`N_MOCK` mock sources."""
    sources = [mock_source(i, seed, config.z_min, config.mag_max) for i in range(N_MOCK)]
    return Loaded(sources, [], {"catalogue": N_MOCK})
