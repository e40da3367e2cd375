"""Faults to plant in a pairs data set: each is a change of rows at five strengths, with the gates that should see it.

``where`` is ``generator`` where the row agrees with itself (whoever made the set was wrong), ``set`` where the finished
set was changed. A plant returns the rows that changed, by their place; strengths run from weak to strong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from dhs.datasets.reader import stamp
from dhs.stats.duplicates import turned
from dhs.stats.pixels import radius_map

RADIUS = radius_map()
BANDS = "grz"
ARC = ("residual_image", "arc_core_fraction", "closure", "arcs_have_light")
WHOLE = ("leakage", "sky", "arcs", "host")


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    name, where, unit : str
    strengths : tuple of float
    plant : callable
        (rows, strength, rng) to the changed rows by place.
    gates : tuple of str
        Gates that could see it: the others measure nothing that changed.
    groups : tuple of str
        Of `dhs.validation.preflight.pair_measures.GROUPS` that must be measured again.
    embed : bool
        Whether controls changed.
    few : int or None
        Pairs of a set, where every arc must be rendered anew.
    harmless : bool
        Whether a referee judged it harmless: it is planted to be known, not to be caught.
    """

    name: str
    where: str
    unit: str
    strengths: tuple[float, ...]
    plant: Callable
    gates: tuple[str, ...]
    groups: tuple[str, ...] = ()
    embed: bool = False
    harmless: bool = False
    few: int | None = None


FAULTS: list[Fault] = []


def fault(name: str, strengths, unit: str, gates, groups=(), where: str = "set", **more):
    def keep(plant):
        FAULTS.append(Fault(name, where, unit, tuple(strengths), plant, tuple(gates), tuple(groups), **more))
        return plant

    return keep


def sigma(row) -> np.ndarray:
    return np.array([row[f"sky_sigma_{b}"] for b in BANDS])[:, None, None]


def agreeing(row, arc) -> dict:
    """The row with another arc, its own numbers those of that arc."""
    arc = np.asarray(arc, np.float32)
    flux = {f"arc_flux_{b}": float(f) for b, f in zip(BANDS, arc.sum(axis=(1, 2), dtype=float))}
    peak = float(arc[1].max() / row["sky_sigma_r"])
    snr = np.sqrt(((arc / sigma(row)) ** 2).sum() / max(float(((row["arc"] / sigma(row)) ** 2).sum()), 1e-30))
    return {**row, "arc": arc, "arc_snr_maxpix": peak, "arc_snr_matched": row["arc_snr_matched"] * float(snr), **flux}


def all_arcs(change):
    return lambda rows, s, rng: {i: agreeing(r, change(r, s, rng)) for i, r in enumerate(rows)}


def some(rows, share: float, rng) -> np.ndarray:
    return rng.permutation(len(rows))[: max(1, round(share * len(rows)))]


def scalars(**change):
    """Every row with columns changed by functions of (row, strength)."""
    return lambda rows, s, rng: {i: {**r, **{k: float(f(r, s)) for k, f in change.items()}} for i, r in enumerate(rows)}


def per_band(stem: str, factor, unit: str = ""):
    return scalars(**{f"{stem}_{b}{unit}": lambda r, s, k=f"{stem}_{b}{unit}": r[k] * factor(s) for b in BANDS})


def pattern(image):
    """Light of a fixed shape, (64, 64) or (3, 64, 64), in sky noise at strength 1, in every positive."""
    return all_arcs(lambda r, s, rng: r["arc"] + s * image * sigma(r))


def _corner():
    out = np.zeros((3, 64, 64))
    out[1, 1, 62] = 1
    return out


def _corners():
    out = np.zeros((64, 64))
    for (y, x), sign in zip(((0, 0), (63, 63), (0, 63), (63, 0)), (1, 1, -1, -1)):
        out[y, x] = sign
    return out


Y, X = np.mgrid[:64, :64]
FAINT = (0.001, 0.003, 0.01, 0.1, 1.0)
SHARES = (0.002, 0.01, 0.02, 0.05, 0.3)
COUNTS = (1, 2, 5, 10, 20)
PIXEL = (("residual_image",), ())
fault("one corner pixel brighter", FAINT, "sky noise", *PIXEL)(pattern(_corner()))
fault("four corners, zero flux, symmetric", FAINT, "sky noise", *PIXEL)(pattern(_corners()))
fault("offset of the whole positive", FAINT, "sky noise", *PIXEL)(pattern(np.ones((64, 64))))
fault("checkerboard", FAINT, "sky noise", *PIXEL)(pattern(np.where((X + Y) % 2, 1.0, -1.0)))
fault("seam down the middle", FAINT, "sky noise", *PIXEL)(pattern(np.where(X == 31, 1.0, np.where(X == 32, -1.0, 0.0))))
fault("frame of one pixel", FAINT, "sky noise", *PIXEL)(pattern(((RADIUS > 0) & ((X % 63 == 0) | (Y % 63 == 0))) * 1.0))
fault("ring at 30 pixels", FAINT, "sky noise", *PIXEL)(pattern(((RADIUS > 29.5) & (RADIUS < 30.5)) * 1.0))
fault("pedestal in the core", FAINT, "sky noise", *PIXEL)(pattern((RADIUS < 5) * 1.0))
fault("gradient across the stamp", FAINT, "sky noise", *PIXEL)(pattern((X - 31.5) / 32))

ROUGH = (0.01, 0.03, 0.1, 0.3, 1.0)
fault("sky noise a second time", ROUGH, "sky noise", *PIXEL)(
    all_arcs(lambda r, s, rng: r["arc"] + s * rng.standard_normal((3, 64, 64)) * sigma(r))
)


@fault("high-pass noise", ROUGH, "sky noise", *PIXEL)
@all_arcs
def _high_pass(r, s, rng):
    white = rng.standard_normal((3, 64, 64))
    return r["arc"] + s * (white - gaussian_filter(white, (0, 1.5, 1.5))) * sigma(r)


fault("noise in the outskirts", ROUGH, "sky noise", *PIXEL)(
    all_arcs(lambda r, s, rng: r["arc"] + s * (RADIUS > 26) * rng.standard_normal((3, 64, 64)) * sigma(r))
)
fault("arc light rounded", (0.005, 0.02, 0.06, 0.25, 0.5), "sky noise", *PIXEL)(
    all_arcs(lambda r, s, rng: np.rint(r["arc"] / (s * sigma(r))) * s * sigma(r))
)


@fault("shot noise baked into the arc", (0.1, 0.2, 0.3, 0.5, 1.0), "of its own", *PIXEL)
@all_arcs
def _baked(r, s, rng):
    gain = np.array([r[f"gain_{b}"] for b in BANDS])[:, None, None]
    light = np.clip(r["arc"], 0, None)
    return r["arc"] + s * (rng.poisson(light * gain) / gain - light)


@fault("watermark of 3 sigma in some positives", SHARES, "share", *PIXEL)
def _watermark(rows, s, rng):
    return {int(i): agreeing(rows[i], rows[i]["arc"] + 3 * _corner() * sigma(rows[i])) for i in some(rows, s, rng)}


@fault("arcs doubled in the last rows only", (0.02, 0.05, 0.1, 0.2, 0.4), "share", ARC, ("arcs",))
def _last(rows, s, rng):
    return {i: agreeing(rows[i], 2 * rows[i]["arc"]) for i in range(len(rows) - max(1, int(s * len(rows))), len(rows))}


MOVED = (0.02, 0.05, 0.1, 0.3, 1.0)
fault("arcs beside their place", MOVED, "pixels", ARC, ("arcs",))(
    all_arcs(lambda r, s, rng: np.stack([shift(b, (0, s), order=3) for b in r["arc"]]))
)
fault("arcs blurred once more", (0.2, 0.4, 0.6, 1.0, 1.5), "pixels", ARC, ("arcs",))(
    all_arcs(lambda r, s, rng: gaussian_filter(r["arc"], (0, s, s)))
)
RELATIVE = (0.005, 0.01, 0.03, 0.1, 0.5)
fault("arcs brighter than their source", RELATIVE, "of the flux", ARC, ("arcs",))(
    all_arcs(lambda r, s, rng: r["arc"] * (1 + s))
)
fault("arcs bluer than their source", RELATIVE, "of g", ARC, ("arcs",))(
    all_arcs(lambda r, s, rng: r["arc"] * np.array([1 + s, 1, 1])[:, None, None])
)
AGAIN = (("residual_image", "arc_core_fraction", "closure"), ("arcs",))
SMALL = (0.002, 0.005, 0.01, 0.03, 0.1)
fault("theta_E stored too large", SMALL, "of itself", *AGAIN, few=80)(
    scalars(theta_e_arcsec=lambda r, s: r["theta_e_arcsec"] * (1 + s))
)
fault("axis ratio stored too small", SMALL, "of itself", *AGAIN, few=80)(scalars(q=lambda r, s: r["q"] * (1 - s)))
fault("angle of the lens stored wrong", (0.01, 0.03, 0.1, 0.3, 1.0), "radians", *AGAIN, few=80)(
    scalars(phi_rad=lambda r, s: r["phi_rad"] + s)
)
fault("source stored beside its place", (0.002, 0.005, 0.01, 0.03, 0.1), "arcsec", *AGAIN, few=80)(
    scalars(src_x_arcsec=lambda r, s: r["src_x_arcsec"] + s)
)
fault("source flux stored wrong", RELATIVE, "of itself", *AGAIN, few=80)(
    scalars(flux_scale=lambda r, s: r["flux_scale"] * (1 + s))
)
fault("magnification stored wrong", RELATIVE, "of itself", ("closure",), ("arcs",))(
    scalars(magnification=lambda r, s: r["magnification"] * (1 + s))
)
fault("z flux of the arc stored wrong", RELATIVE, "of itself", ("closure", "arcs_have_light"), ("arcs",))(
    scalars(arc_flux_z=lambda r, s: r["arc_flux_z"] * (1 + s))
)

LIGHT = (("arcs_have_light", "residual_image"), ())


@fault("positives without an arc", SHARES, "share", *LIGHT)
def _empty(rows, s, rng):
    return {int(i): agreeing(rows[i], 0 * rows[i]["arc"]) for i in some(rows, s, rng)}


@fault("arcs at a tenth of their light", SHARES, "share", *LIGHT)
def _faint(rows, s, rng):
    return {int(i): {**rows[i], "arc": (0.1 * rows[i]["arc"]).astype(np.float32)} for i in some(rows, s, rng)}


@fault("arcs exchanged between pairs", SHARES, "share", LIGHT[0])
def _exchanged(rows, s, rng):
    places = some(rows, max(s, 2.01 / len(rows)), rng)
    return {int(i): {**rows[i], "arc": rows[j]["arc"]} for i, j in zip(places, np.roll(places, 1))}


HELD = (("controls_hold_no_arc",), ("search",))
MANY = (0.01, 0.02, 0.05, 0.1, 0.3)


@fault("controls that hold their own arc", MANY, "share", *HELD, where="generator")
def _own(rows, s, rng):
    return {int(i): {**rows[i], "control": stamp(rows[i])} for i in some(rows, s, rng)}


@fault("controls that hold another pair's arc", MANY, "share", *HELD, where="generator")
def _other(rows, s, rng):
    out = {}
    for i in some(rows, s, rng):
        j = int(rng.integers(len(rows)))
        light = rows[j]["arc"] / sigma(rows[j]) * sigma(rows[i])
        out[int(i)] = {**rows[i], "control": (rows[i]["control"] + light).astype(np.float32)}
    return out


TWINS = (("host_duplicates",), ())


def twins(rows, s, rng, change, splits=("train", "test")):
    """The given number of hosts of one split with the pixels of hosts of another, changed."""
    first, second = (rng.permutation([i for i, r in enumerate(rows) if r["split"] == x]) for x in splits)
    out = {}
    for i, j in zip(first, second[::-1]):
        if len(out) == s:
            break
        if i != j and int(i) not in out:
            image = np.asarray(change(rows[i]["control"] / sigma(rows[i])), np.float32)
            noise = {k: rows[i][k] for k in (f"sky_sigma_{b}" for b in BANDS)}
            out[int(j)] = {**rows[j], **noise, "control": (image * sigma(rows[i])).astype(np.float32)}
    return out


def _twins(name, change, **more):
    plant = lambda rows, s, rng: twins(rows, s, rng, lambda x: change(x, rng), **more)  # noqa: E731
    fault(name, COUNTS, "hosts", *TWINS, where="generator", embed=True)(plant)


_twins("hosts of train in test under other ids", lambda x, rng: x)
_twins("hosts of train in test, turned or mirrored", lambda x, rng: turned(x, int(rng.integers(1, 8))))
_twins(
    "hosts of train in test, mirrored and shifted",
    lambda x, rng: np.roll(turned(x, 4 + int(rng.integers(4))), rng.integers(-3, 4, 2), axis=(1, 2)),
)
_twins("hosts of train in test with fresh noise", lambda x, rng: x + rng.standard_normal(x.shape))
_twins("hosts of train in test, three times as noisy", lambda x, rng: x + 3 * rng.standard_normal(x.shape))
_twins("hosts twice in train", lambda x, rng: turned(x, int(rng.integers(8))), splits=("train", "train"))


@fault("sources of train in test under other ids", COUNTS, "sources", ("source_duplicates",), where="generator")
def _renamed(rows, s, rng):
    split = {}
    for r in rows:
        split.setdefault(r["split"], {})[r["source_id"]] = r
    train, test = (list(split[k].values()) for k in ("train", "test"))
    again = {b["source_id"]: a for a, b in zip(rng.permutation(train), rng.permutation(test)[: int(s)])}
    out = {}
    for i, r in enumerate(rows):
        twin = again.get(r["source_id"])
        if twin is not None and r["split"] == "test":
            out[i] = {**r, "z_source": twin["z_source"], "src_r50_arcsec": twin["src_r50_arcsec"]}
    return out


PLACE = (("mass_and_light",), ())


@fault("mass beside its galaxy, any direction", (0.05, 0.1, 0.2, 0.3, 0.5), "arcsec", *PLACE, where="generator")
def _beside(rows, s, rng):
    angles = rng.uniform(0, 2 * np.pi, len(rows))
    return {
        i: {
            **r,
            "lens_x_arcsec": r["lens_x_arcsec"] + s * np.cos(a),
            "lens_y_arcsec": r["lens_y_arcsec"] + s * np.sin(a),
        }
        for i, (r, a) in enumerate(zip(rows, angles))
    }


fault("mass beside its galaxy, one direction", (0.03, 0.05, 0.1, 0.2, 0.5), "arcsec", *PLACE, where="generator")(
    scalars(lens_x_arcsec=lambda r, s: r["lens_x_arcsec"] + s)
)


@fault("mass beside its galaxy in some pairs", (0.05, 0.1, 0.15, 0.25, 0.5), "share", *PLACE, where="generator")
def _some_beside(rows, s, rng):
    return {int(i): {**rows[i], "lens_x_arcsec": rows[i]["lens_x_arcsec"] + 0.5} for i in some(rows, s, rng)}


fault("mass turned from its light", (0.2, 0.4, 0.7, 1.1, 1.57), "radians", *PLACE, where="generator")(
    scalars(phi_rad=lambda r, s: r["phi_rad"] + s)
)


@fault("mass of any angle", (0.2, 0.4, 0.6, 0.8, 1.0), "share", *PLACE, where="generator")
def _any_angle(rows, s, rng):
    return {int(i): {**rows[i], "phi_rad": float(rng.uniform(0, np.pi))} for i in some(rows, s, rng)}


GAIN = (("noise_gain_psf", "data_integrity"), ())
FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)
fault("gain too high", FACTORS, "factor", *GAIN, where="generator")(per_band("gain", lambda s: s))
fault("gain too low", FACTORS, "factor", *GAIN, where="generator")(per_band("gain", lambda s: 1 / s))
fault("sky noise stored too high", (1.05, 1.1, 1.2, 1.3, 1.5), "factor", *GAIN, where="generator")(
    per_band("sky_sigma", lambda s: s)
)
fault("sky noise stored too low", (1.05, 1.1, 1.2, 1.3, 1.5), "factor", *GAIN, where="generator")(
    per_band("sky_sigma", lambda s: 1 / s)
)
WIDTH = (1.03, 1.06, 1.1, 1.2, 1.4)
fault("PSF stored too wide", WIDTH, "factor", ("noise_gain_psf",), ("host",), where="generator")(
    per_band("psf_fwhm", lambda s: s, "_arcsec")
)
fault("PSF stored too narrow", WIDTH, "factor", ("noise_gain_psf",), ("host",), where="generator")(
    per_band("psf_fwhm", lambda s: 1 / s, "_arcsec")
)


def smoothed(rows, s, rng):
    return {
        i: {**r, "control": gaussian_filter(r["control"], (0, s, s)).astype(np.float32)} for i, r in enumerate(rows)
    }


fault(
    "controls smoothed",
    (0.3, 0.4, 0.5, 0.6, 0.8),
    "pixels",
    ("noise_gain_psf", "normalisation"),
    ("sky", "host"),
    where="generator",
)(smoothed)

RANGE = (("priors_as_registered",), ())
fault("theta_E only from 0.5 arcsec up to", (2.0, 1.6, 1.2, 0.9, 0.7), "arcsec", *RANGE, where="generator")(
    scalars(theta_e_arcsec=lambda r, s: 0.5 + (r["theta_e_arcsec"] - 0.5) * (s - 0.5) / 2.5)
)
fault("theta_E scaled by configuration", (1.05, 1.1, 1.2, 1.5, 2.0), "factor", *RANGE, where="generator")(
    scalars(theta_e_arcsec=lambda r, s: r["theta_e_arcsec"] * s)
)
fault(
    "arcs brighter by configuration",
    (1.2, 1.5, 2.0, 3.0, 5.0),
    "factor",
    ("priors_as_registered", "priors_against_nature"),
    ("arcs",),
    where="generator",
)(all_arcs(lambda r, s, rng: r["arc"] * s))

WRONG = (("data_integrity",), ())


@fault("NaN in a stamp", (1, 2, 5, 10, 20), "pairs", *WRONG)
def _nan(rows, s, rng):
    out = {}
    for i in rng.permutation(len(rows))[: int(s)]:
        control = rows[i]["control"].copy()
        control[0, 5, 5] = np.nan
        out[int(i)] = {**rows[i], "control": control}
    return out


@fault("one source id in two splits", COUNTS, "sources", ("split_integrity",))
def _shared(rows, s, rng):
    train = [r["source_id"] for r in rows if r["split"] == "train"]
    test = rng.permutation([i for i, r in enumerate(rows) if r["split"] == "test"])[: int(s)]
    return {int(i): {**rows[i], "source_id": train[int(k)]} for k, i in enumerate(test)}


@fault("hosts of two splits on one piece of sky", COUNTS, "hosts", ("split_integrity",))
def _neighbours(rows, s, rng):
    train = [r for r in rows if r["split"] == "train"]
    test = rng.permutation([i for i, r in enumerate(rows) if r["split"] == "test"])[: int(s)]
    return {
        int(i): {**rows[i], "ra": train[int(k)]["ra"], "dec": train[int(k)]["dec"] + 12 / 3600}
        for k, i in enumerate(test)
    }
