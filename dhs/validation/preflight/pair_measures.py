"""What is measured of one pair, group by group; each group is what some gates need."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from dhs.config import Profile
from dhs.datasets.reader import per_band, stamp
from dhs.datasets.rerender import Rerendered, SourceLookup, rerender
from dhs.datasets.schema import BANDS
from dhs.injection.expected_arc import expected_arc
from dhs.injection.hard_negatives.azimuthal import contrast
from dhs.injection.noise import shot_noise
from dhs.random import Stream, generator
from dhs.stats.pixels import radius_map
from dhs.survey.photometry import galaxy_flux
from dhs.validation.preflight import features, host_light, lens_search, pixel_noise
from dhs.validation.preflight.gates import hard_negatives, normalisation
from dhs.validation.preflight.gates.pixels import residual_image


class Item:
    """One pair, with what several groups share made once.

    Parameters
    ----------
    row : mapping
        A row of a pairs data set, images as arrays.
    profile : Profile
    sources : SourceLookup
    """

    def __init__(self, row: dict, profile: Profile, sources: SourceLookup):
        self.row, self.profile, self.sources = row, profile, sources
        self.sigma, self.gain = per_band(row, "sky_sigma"), per_band(row, "gain")
        self.width = per_band(row, "psf_fwhm", "_arcsec")
        self.radius = profile.preflight.core_radius_px
        self.control = np.asarray(row["control"], dtype=np.float32)
        self.arc = np.asarray(row["arc"], dtype=float)

    @cached_property
    def positive(self) -> np.ndarray:
        return stamp(self.row)

    @cached_property
    def added(self) -> np.ndarray:
        """(3, 64, 64) positive less control, float64."""
        return self.positive.astype(float) - self.control

    @cached_property
    def again(self) -> Rerendered | None:
        """The arc from its source galaxy through the stored lens; None where there is no source."""
        source = self.sources.get(self.row["source_id"])
        return None if source is None else rerender(self.row, source, self.sources.supersampling)

    @cached_property
    def expected(self) -> np.ndarray:
        return expected_arc(self.row, self.radius) if self.again is None else self.again.arc


def leakage(item: Item) -> dict:
    """Features of core and profile: as it is, without the arc, and as physics expects it."""
    out, expected = {}, _renoised(item.row, item.expected)
    for name, image in (("positive", item.positive), ("control", item.control), ("expected", expected)):
        out[f"core_{name}"] = features.core_features(image, item.sigma, item.radius)
        out[f"radial_{name}"] = features.radial_features(image, item.sigma)
    return out


def sky(item: Item) -> dict:
    """Level and noise of the sky, and of the corners once normalised by them."""
    out, annulus = {}, item.profile.train.annulus_px
    for name, image in (("positive", item.positive), ("control", item.control)):
        for key, value in normalisation.sky_numbers(image, annulus, item.arc).items():
            out[f"{key}_{name}"] = value
    return out


def arcs(item: Item) -> dict:
    """Fluxes, core fraction and centroid of the arc, as stored and rendered again."""
    arc, expected, again, radius = item.arc, item.expected, item.again, item.radius
    total, beyond = arc.sum(axis=(1, 2)), radius_map() >= item.profile.train.annulus_px[0]
    return {
        "arc_total": total,
        "arc_peak_r": arc[1].max(),
        "arc_beyond": np.clip(arc[1][beyond], 0, None).sum() / total[1] if total[1] else np.nan,
        "control_total": item.control.sum(axis=(1, 2), dtype=float),
        "core_added": features.core_fraction(item.added[1], radius),
        "core_error": features.core_fraction_error(arc[1], radius, float(item.gain[1])),
        "core_again": features.core_fraction(expected[1], radius),
        "total_added": item.added.sum(axis=(1, 2)),
        "total_again": expected.sum(axis=(1, 2)),
        "centroid_arc": features.centroid_px(arc[1]),
        "centroid_again": features.centroid_px(expected[1]) if again is None else again.centroid_px,
        "flux_again": np.full(3, np.nan) if again is None else again.flux,
        "magnification_again": np.nan if again is None else again.magnification,
        "rerendered": again is not None,
        "psf_image": "psf" in item.row,
    }


def texture(item: Item) -> dict:
    return {"texture_positive": hard_negatives.texture_features(item.positive, item.sigma)}


def host(item: Item) -> dict:
    """The host's own light: centre and shape, scatter of its bright pixels, width of stars beside it."""
    light = host_light.measure(item.control[1])
    middle = 0.5 * (item.control.shape[-1] - 1)
    at = [middle + (0.0 if np.isnan(light[k]) else light[k]) for k in "xy"]
    return {
        "galaxy_flux_r": galaxy_flux(item.control[1], *at),
        "host_light": [light[k] for k in ("x", "y", "e1", "e2")],
        "bright_scatter": pixel_noise.shot_noise(item.control, item.sigma),
        "star_ratios": pixel_noise.star_ratios(item.control, item.sigma, item.width),
    }


def search(item: Item) -> dict:
    """A search for arcs in both members, and for the pair's own arc in its control."""
    blue = lens_search.blue_excess(item.control, item.width, item.gain)
    return {
        "search_control": lens_search.features(item.control, item.width, item.gain, blue),
        "search_positive": lens_search.features(item.positive, item.width, item.gain),
        "own_arc": lens_search.own_arc(blue, item.arc),
    }


GROUPS = {f.__name__: f for f in (leakage, sky, arcs, texture, host, search)}


def residual(item: Item) -> np.ndarray | None:
    """The pair's part in the residual image's sums; None where its arc cannot be rendered again."""
    return None if item.again is None else residual_image.sums(item.added, item.expected, item.sigma, item.gain)


def every(row: dict) -> dict:
    """What costs next to nothing, of every usable pair."""
    sigma, arc = per_band(row, "sky_sigma"), np.asarray(row["arc"], float)
    return {
        "arc_total": arc.sum(axis=(1, 2)),
        "arc_peak": arc.max(axis=(1, 2)) / sigma,
        "arc_snr": float(np.sqrt((arc**2 / sigma[:, None, None] ** 2).sum())),
    }


def hard(item: Item, light: dict) -> dict | None:
    """Of one hard negative of the pair; None where its light is missing or not finite."""
    if light.get("light") is None or not np.isfinite(light["light"]).all():
        return None
    row = item.row
    gains = {f"gain_{b}": row[f"gain_{b}"] for b in BANDS}
    image = stamp({**gains, "control": item.control, "light": light["light"], "rng_key": light["rng_key"]})
    flux = float(item.arc[1].sum(dtype=float))
    x, y = float(row["lens_x_arcsec"]), float(row["lens_y_arcsec"])
    return {
        "kind": light["kind"],
        "core": features.core_features(image, item.sigma, item.radius),
        "texture": hard_negatives.texture_features(image, item.sigma),
        "snr_ratio": light["arc_snr_matched"] / row["arc_snr_matched"],
        "flux_ratio": float(light["light"][1].sum(dtype=float)) / flux if flux else np.nan,
        "contrast": contrast(np.asarray(light["light"][1], dtype=float), x, y),
    }


def _renoised(row: dict, light: np.ndarray) -> np.ndarray:
    """Control plus light plus another draw of that light's shot noise than the stamp's."""
    noise = shot_noise(light, per_band(row, "gain"), generator(row["rng_key"], Stream.SHOT, attempt=1))
    return np.asarray(row["control"], dtype=float) + light + noise
