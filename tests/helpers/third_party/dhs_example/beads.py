"""Source galaxies that are round beads."""

import numpy as np

from dhs.injection.sources.base import Loaded, source_catalogue
from dhs.injection.sources.source import Source

LIMITS = ("The sources are round beads of one size: an example, no number means anything.",)


@source_catalogue("beads", limits=LIMITS, mock=True)
def load(config, seed):
    """Thirty Gaussian beads of 0.15 arcsec, at redshifts from the cut to 2."""
    y, x = np.mgrid[-20:21, -20:21] * 0.05
    bead = np.where(np.hypot(x, y) < 0.9, np.exp(-0.5 * (x**2 + y**2) / 0.15**2), 0.0)
    flux = np.array([1.0, 1.2, 1.4])
    redshifts = np.linspace(config.z_min, 2.0, 30)
    beads = [Source(f"bead-{i:02d}", bead / bead.sum(), 0.05, flux, float(z)) for i, z in enumerate(redshifts)]
    return Loaded(beads, [], {"catalogue": len(beads)})
