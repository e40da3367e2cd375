"""Interventions: change one thing about a pair, hold the rest, and read off what the score does.

The arc is rendered again from its stored parameters and its source galaxy, so light can be taken away, turned or
added before the PSF, where no seam shows; shot noise is drawn for the light that is left. What is left of a pair
is always its own control. Every change is measured against the positive rendered the same way, with the same
stream of noise, so that rendering and noise drop out of the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dhs.config import EvaluateConfig, Profile
from dhs.datasets.reader import Pairs, per_band, rows
from dhs.datasets.rerender import SourceLookup, flux_of, lens_of
from dhs.datasets.schema import PAIR_SCHEMA
from dhs.injection.expected_arc import radius_map
from dhs.injection.noise import shot_noise
from dhs.injection.render.reference import subgrid
from dhs.injection.render.render import METHODS
from dhs.injection.sources.source import Source
from dhs.random import Stream, generator
from dhs.stats import metrics
from dhs.survey.facts import PIXEL_SCALE
from dhs.validation.preflight.image_statistics import one_part

MIN_PAIRS = 10
JOB_PAIRS = 64
SECTOR_RAD = np.pi / 3  # half width of the occulted sector
RING_WIDTH = 0.15  # of theta_E, standard deviation
NAMES = ("pair_id", "host_id", "source_id", "theta_e_arcsec", "arc_snr_matched")


@dataclass(frozen=True)
class Injected:
    """One pair, open for intervention.

    Attributes
    ----------
    row : dict
        The pair's columns.
    source : Source
    light : ndarray, (64 s, 64 s)
        Lensed light before the PSF, per unit source flux.
    supersampling : int
    method : str
        Of `dhs.injection.render.render.METHODS`: what made the pair renders it again.
    psfs : object
        The bands' PSFs as that method holds them.
    """

    row: dict
    source: Source
    light: np.ndarray
    supersampling: int
    method: str
    psfs: object

    @classmethod
    def of(cls, row: dict, source: Source, supersampling: int, method: str = "fast") -> Injected:
        how, place = METHODS[method], (row["src_x_arcsec"], row["src_y_arcsec"], row["src_phi_rad"])
        light = how.light(lens_of(row), source, *place, supersampling)
        psfs = how.psf(row.get("psf"), per_band(row, "psf_fwhm", "_arcsec"), supersampling)
        return cls(row, source, light, supersampling, method, psfs)

    def _seen(self, light: np.ndarray) -> np.ndarray:
        return METHODS[self.method].observe(light, self.psfs, self.supersampling)

    @cached_property
    def _unit(self) -> np.ndarray:
        return self._seen(self.light)

    def arc(self, light: np.ndarray | None = None, source: Source | None = None) -> np.ndarray:
        """(3, 64, 64) noiseless arc of this or of other light, in the colours of this or of another source."""
        flux = flux_of(self.row, source or self.source)[:, None, None]
        return (self._unit if light is None else self._seen(light)) * flux

    def stamp(self, arc: np.ndarray, attempt: int = 0) -> np.ndarray:
        """Control plus an arc plus that arc's shot noise; ``attempt`` is another draw of it."""
        noise = shot_noise(arc, per_band(self.row, "gain"), generator(self.row["rng_key"], Stream.SHOT, attempt))
        return (np.asarray(self.row["control"], dtype=float) + arc + noise).astype(np.float32)

    @cached_property
    def whole(self) -> np.ndarray:
        """(3, 64, 64) the positive, rendered again: what every change is measured against."""
        return self.stamp(self.arc())

    @cached_property
    def redrawn(self) -> np.ndarray:
        """(3, 64, 64) the positive with another draw of its arc's shot noise."""
        return self.stamp(self.arc(), attempt=1)

    def polar(self) -> tuple[np.ndarray, np.ndarray]:
        """Radius (arcsec) and azimuth about the lens of every sub-pixel."""
        lens, (x, y) = lens_of(self.row), subgrid(self.supersampling)
        dx, dy = ((v - c).reshape(self.light.shape) for v, c in ((x, lens.x), (y, lens.y)))
        return np.hypot(dx, dy), np.arctan2(dy, dx)


def core_light_removed(item: Injected, radius_px: float) -> np.ndarray:
    """Seam-free core-swap: the arc's light at r < R of the stamp's centre is taken away before the PSF."""
    x, y = subgrid(item.supersampling)
    inside = (np.hypot(x, y) < radius_px * PIXEL_SCALE).reshape(item.light.shape)
    return item.stamp(item.arc(np.where(inside, 0.0, item.light)))


def core_pixels_swapped(item: Injected, radius_px: float) -> np.ndarray:
    """Hard core-swap: pixels at r < R from the control; an edge is left where the arc crosses R."""
    return np.where(radius_map() < radius_px, item.row["control"], item.whole)


def placebo_edge(item: Injected, radius_px: float) -> np.ndarray:
    """The hard swap's edge without its removal: pixels at r < R from another draw of the same arc's noise."""
    return np.where(radius_map() < radius_px, item.redrawn, item.whole)


def outer_pixels_swapped(item: Injected, radius_px: float) -> np.ndarray:
    """All pixels but those at r < R from the control."""
    return np.where(radius_map() < radius_px, item.whole, item.row["control"])


def noise_redrawn(item: Injected, radius_px: float) -> np.ndarray:
    """The same arc with another draw of its shot noise: what no intervention at all does."""
    return item.redrawn


def colour_swapped(item: Injected, radius_px: float) -> np.ndarray:
    """The arc's g and z fluxes exchanged: the shape stays, a blue arc becomes a red one."""
    flux = np.asarray(item.source.flux, dtype=float)
    return item.stamp(item.arc(source=replace(item.source, flux=flux[::-1].copy())))


def source_occulted(item: Injected, radius_px: float) -> np.ndarray:
    """The arc's light within 60 degrees of its brightest image, seen from the lens, is taken away before the PSF."""
    lens, (_, azimuth) = lens_of(item.row), item.polar()
    arc = item.arc()[1]
    y, x = ((i - (len(arc) - 1) / 2) * PIXEL_SCALE for i in np.unravel_index(arc.argmax(), arc.shape))
    brightest = np.arctan2(y - lens.y, x - lens.x)
    apart = np.abs((azimuth - brightest + np.pi) % (2 * np.pi) - np.pi)
    return item.stamp(item.arc(np.where(apart < SECTOR_RAD, 0.0, item.light)))


def arc_rotated(item: Injected, radius_px: float) -> np.ndarray:
    """The arc's light turned by a quarter about the stamp's centre, the galaxy as it was."""
    return item.stamp(item.arc(np.ascontiguousarray(np.rot90(item.light))))


def ring_added(item: Injected, radius_px: float) -> np.ndarray:
    """The control with a uniform ring at theta_E, of the arc's flux and colour: no lens makes it."""
    radius, _ = item.polar()
    theta = float(item.row["theta_e_arcsec"])
    ring = np.exp(-0.5 * ((radius - theta) / (RING_WIDTH * theta)) ** 2)
    return item.stamp(item.arc(ring * (item.light.sum() / ring.sum())))


def arc_removed(item: Injected, radius_px: float) -> np.ndarray:
    """The control: all of the arc taken away."""
    return np.asarray(item.row["control"], dtype=np.float32)


Intervention = Callable[[Injected, float], np.ndarray]
INTERVENTIONS: dict[str, Intervention] = {
    f.__name__: f
    for f in (
        core_light_removed,
        core_pixels_swapped,
        placebo_edge,
        outer_pixels_swapped,
        noise_redrawn,
        source_occulted,
        colour_swapped,
        arc_rotated,
        ring_added,
        arc_removed,
    )
}


def light_within(item: Injected, radius_px: float) -> float:
    """Share of the arc's light before the PSF at r < R of the stamp's centre."""
    x, y = subgrid(item.supersampling)
    inside = (np.hypot(x, y) < radius_px * PIXEL_SCALE).reshape(item.light.shape)
    return float(item.light[inside].sum() / item.light.sum())


@dataclass(frozen=True)
class Job:
    """Some pairs of one part file."""

    file: str
    pair_ids: tuple[int, ...]


def jobs(pairs: Pairs, config: EvaluateConfig, lookup: SourceLookup, split: str = "test") -> tuple[list[Job], str]:
    """The first ``n_interventions`` pairs of a split whose source can be opened, and why others are missing."""
    left, lost, out = config.n_interventions, 0, []
    for file in pairs.files(split):
        if left <= 0:
            break
        table = one_part(pairs, split, file).table(split, columns=["pair_id", "source_id"])
        known = [lookup.knows(name) for name in table["source_id"].to_pylist()]
        ids = [i for i, there in zip(table["pair_id"].to_pylist(), known) if there][:left]
        lost, left = lost + known.count(False), left - len(ids)
        out += [Job(file, tuple(ids[k : k + JOB_PAIRS])) for k in range(0, len(ids), JOB_PAIRS)]
    return out, lookup.reason or (f"{lost} pairs have a source that could not be opened" if lost else "")


def do(job: Job, scorer, pairs: Pairs, config: EvaluateConfig, lookup: SourceLookup, split: str = "test") -> dict:
    """``columns`` and ``logits`` of a job's pairs under every intervention; see `gather`."""
    columns: dict[str, list] = {name: [] for name in (*NAMES, "core_light")}
    logits: dict[str, list] = {}
    wanted = [c for c in PAIR_SCHEMA.names if c not in ("invvar", "arc")]
    for batch in one_part(pairs, split, job.file).batches(split, wanted, JOB_PAIRS):
        table = pa.Table.from_batches([batch])
        items = []
        for row in rows(table.filter(pc.is_in(table["pair_id"], pa.array(job.pair_ids, pa.int64())))):
            items.append(Injected.of(row, lookup.get(row["source_id"]), lookup.supersampling, lookup.renderer))
            for name in NAMES:
                columns[name].append(row[name])
            columns["core_light"].append(light_within(items[-1], config.core_radius_px))
        if items:
            _score(scorer, items, config, logits)
    return {"columns": columns, "logits": {name: np.concatenate(v) for name, v in logits.items()}}


def gather(parts: Iterable[dict], reason: str) -> dict:
    """What all jobs found, in their order.

    Returns
    -------
    dict
        ``logits``: name to (n,) array, ``whole`` the positive rendered the same way, ``core_masked`` and
        ``core_light_removed@R`` for each radius of the sweep; ``columns``: (n,) stratifiers; ``reason`` why rows
        are missing.
    """
    parts = list(parts)
    columns = {name: np.array([x for p in parts for x in p["columns"][name]]) for name in (*NAMES, "core_light")}
    logits = {
        name: np.concatenate([p["logits"][name] for p in parts]) for name in (parts[0]["logits"] if parts else ())
    }
    return {"logits": logits, "columns": columns, "reason": reason}


def _score(scorer, items: list[Injected], config: EvaluateConfig, logits: dict[str, list]) -> None:
    radius = config.core_radius_px
    whole = np.stack([item.whole for item in items])
    logits.setdefault("whole", []).append(scorer.logits(whole))
    logits.setdefault("core_masked", []).append(scorer.logits(whole, radius))
    for name, change in INTERVENTIONS.items():
        made = np.stack([change(item, radius) for item in items]).astype(np.float32)
        logits.setdefault(name, []).append(scorer.logits(made))
    for r in config.sweep_radii_px:
        name = f"{core_light_removed.__name__}@{r:g}"
        if r == radius:
            logits.setdefault(name, []).append(logits[core_light_removed.__name__][-1])
        else:
            made = np.stack([core_light_removed(item, r) for item in items])
            logits.setdefault(name, []).append(scorer.logits(made))


def section(found: dict, profile: Profile) -> dict:
    """Score change of every intervention, per pair, with intervals by host and source, overall and per theta_E bin.

    Parameters
    ----------
    found : dict
        Of `gather`.
    profile : Profile
    """
    columns, logits, config = found["columns"], found["logits"], profile.evaluate
    n = len(columns["pair_id"])
    if n < MIN_PAIRS:
        return {"status": "skip", "reason": found["reason"] or f"{n} pairs, {MIN_PAIRS} are needed"}
    options = {"n_bootstrap": config.n_bootstrap, "seed": profile.seed}
    hosts, sources = columns["host_id"], columns["source_id"]
    theta = columns["theta_e_arcsec"].astype(float)
    edges = [
        (low, high, (theta >= low - 1e-6) & ((theta < high) | (high == config.theta_e_edges[-1])))
        for low, high in pairwise(config.theta_e_edges)
    ]

    def average(values, mask=slice(None)):
        return metrics.mean(values[mask], hosts[mask], sources[mask], **options)

    def per_bin(values):
        return [{"lo": low, "hi": high, **average(values, inside).as_dict()} for low, high, inside in edges]

    changes = {name: v.astype(float) - logits["whole"] for name, v in logits.items() if name != "whole"}
    changes["core_pixels_net_of_edge"] = changes["core_pixels_swapped"] - changes["placebo_edge"]
    table, sweep = [], []
    for name, change in changes.items():
        base, _, radius = name.partition("@")
        if radius:
            sweep.append({"radius_px": float(radius), **average(change).as_dict()})
            continue
        fell = metrics.mean(change < 0, hosts, sources, bounds=(0, 1), **options)
        table.append({"name": base, **average(change).as_dict(), "fell": fell, "by_theta_e": per_bin(change)})
    return {
        "unit": "logit",
        "n": n,
        "radius_px": config.core_radius_px,
        "whole": average(logits["whole"].astype(float)),
        "interventions": table,
        "sweep": sweep,
        "core_light": {**average(columns["core_light"]).as_dict(), "by_theta_e": per_bin(columns["core_light"])},
        "reason": found["reason"],
    }
