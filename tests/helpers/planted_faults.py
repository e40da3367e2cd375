"""Faults planted in the rows of `planted_pairs`, with the gates that are there for them."""

import numpy as np
from planted_pairs import KERNELS, SIGMA, SS, sources

from dhs.datasets.rerender import light_of
from dhs.injection.hard_negatives.azimuthal import azimuthal_blocks
from dhs.injection.render.reference import convolve_and_bin
from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE

N_PAIRS = 240
RADIUS = radius_map()


def scaled(row, arc):
    """A row whose stored numbers belong to the arc in it, so that only the physics is wrong."""
    arc = arc.astype(np.float32)
    factor = np.sqrt((arc**2 / SIGMA[:, None, None] ** 2).sum()) / row["arc_snr_matched"]
    flux = {f"arc_flux_{b}": f for b, f in zip("grz", arc.sum(axis=(1, 2)))}
    peak = float(arc[1].max() / SIGMA[1])
    return {**row, "arc": arc, "arc_snr_matched": row["arc_snr_matched"] * factor, "arc_snr_maxpix": peak, **flux}


def moved(dy, dx):
    return lambda row, rng: scaled(row, np.roll(row["arc"], (dy, dx), axis=(1, 2)))


def pedestal(row, rng):
    return scaled(row, row["arc"] + (RADIUS < 5) * 3 * SIGMA[:, None, None])


def host_coloured(row, rng):
    host = row["control"].sum(axis=(1, 2))
    flux = row["arc"].sum(axis=(1, 2))
    red = host / host[1] * np.array([0.8, 1.0, 1.2])
    return scaled(row, row["arc"] * (red * flux[1] / flux)[:, None, None])


def resnr(row, negative, image):
    snr = np.sqrt((image**2 / SIGMA[:, None, None] ** 2).sum())
    return {**negative, "light": (image * row["arc_snr_matched"] / snr).astype(np.float32)}


def pixel_shuffled(row, negative, rng):
    out, rings = row["arc"].copy(), RADIUS.astype(int)
    for r in range(3, 20):
        y, x = np.nonzero(rings == r)
        order = rng.permutation(len(y))
        out[:, y, x] = out[:, y[order], x[order]]
    return resnr(row, negative, out)


def smeared(row, negative, rng):
    source = sources().read(sources().ids.index(row["source_id"]))
    light = azimuthal_blocks(light_of(row, source, SS).frame(SS), 0.0, 0.0, PIXEL_SCALE / SS, PIXEL_SCALE / SS, rng)
    return resnr(row, negative, convolve_and_bin(light, KERNELS, SS) * source.flux[:, None, None])


def shared_source(pairs, negatives, rng):
    train = next(r for r in pairs if r["split"] == "train")["source_id"]
    test = next(i for i, r in enumerate(pairs) if r["split"] == "test")
    return [{**r, "source_id": train} if i == test else r for i, r in enumerate(pairs)], negatives


def neighbours(pairs, negatives, rng):
    train = next(r for r in pairs if r["split"] == "train")
    test = next(i for i, r in enumerate(pairs) if r["split"] == "test")
    near = {"ra": train["ra"], "dec": train["dec"] + 12 / 3600}
    return [{**r, **near} if i == test else r for i, r in enumerate(pairs)], negatives


def of_pairs(change):
    return lambda pairs, negatives, rng: ([change(r, rng) for r in pairs], negatives)


def of_negatives(change):
    def plant(pairs, negatives, rng):
        rows = {r["pair_id"]: r for r in pairs}
        return pairs, [change(rows[n["pair_id"]], n, rng) for n in negatives]

    return plant


def half_snr(row, negative, rng):
    return {**negative, "light": negative["light"] / 2, "arc_snr_matched": negative["arc_snr_matched"] / 2}


def one_sky(pairs, negatives, rng):
    north = {r["pair_id"] for r in pairs if r["dec"] > 5}
    return pairs, [n for n in negatives if n["pair_id"] in north]


# what is planted, how many pairs are measured (all scalars are read), which gates are there for it
FAULTS = {
    "PSF kernel 2 px off its centre": (of_pairs(moved(2, 2)), 60, ("arc_core_fraction", "closure")),
    "arc one pixel beside its control": (of_pairs(moved(0, 1)), 60, ("arc_core_fraction", "closure")),
    "flux per pixel taken for surface brightness": (
        of_pairs(lambda r, rng: scaled(r, r["arc"] * PIXEL_SCALE**2)),
        60,
        ("arc_core_fraction", "closure"),
    ),
    "theta_E stored 10 % too large": (
        of_pairs(lambda r, rng: {**r, "theta_e_arcsec": 1.1 * r["theta_e_arcsec"]}),
        60,
        ("arc_core_fraction",),
    ),
    "pedestal of 3 sigma in the core": (of_pairs(pedestal), N_PAIRS, ("core_leakage",)),
    "arcs redder than their hosts": (of_pairs(host_coloured), 60, ("arc_photometry",)),
    "hard negatives by pixel shuffle": (of_negatives(pixel_shuffled), 120, ("hard_negative_texture",)),
    "hard negatives smeared to rings": (of_negatives(smeared), 120, ("hard_negative_texture",)),
    "hard negatives at half the SNR": (of_negatives(half_snr), 120, ("hard_negative_texture",)),
    "hard negatives from half the sky": (one_sky, 0, ("observing_conditions",)),
    "one source in two splits": (shared_source, 0, ("split_integrity",)),
    "hosts of two splits 12 arcsec apart": (neighbours, 0, ("split_integrity",)),
}
