"""Interventions: what the score does when one thing about a pair is changed and the rest is held.

Every change (`dhs.validation.evaluation.counterfactuals`) is measured against the positive rendered the same way, with
the same stream of noise, so that rendering and noise drop out of the difference. Its matched SNR over the arc's stands
beside it. Shares of the arc's effect, how much of what removing the arc costs a change costs, are ratios of means: a
ratio per pair would blow up where the arc does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dhs.config import EvaluateConfig, Profile
from dhs.datasets.reader import Pairs, rows
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import PAIR_SCHEMA
from dhs.stats import bins, metrics
from dhs.stats.clusters import Clusters, Metric, missing
from dhs.validation.evaluation.counterfactuals import INTERVENTIONS, Injected, core_light_removed, light_within
from dhs.validation.preflight.image_statistics import one_part

MIN_PAIRS = 10
JOB_PAIRS = 64
MIN_EFFECT_ERRORS = 3.0  # standard errors of the arc's own effect, below which no share of it is given
NAMES = ("pair_id", "host_id", "source_id", "theta_e_arcsec", "arc_snr_matched")
SHARES = {
    "ring": ("ring_added", False),
    "core": ("core_light_removed", True),
    "outer": ("outer_pixels_swapped", True),
    "colour": ("colour_of_host", True),
    "brightest_image": ("source_occulted", True),
}
"""Share of the arc's effect: name to the intervention, and whether it is the share that the intervention takes away (or
the one that it leaves)."""


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
    """``columns``, ``logits`` and ``snr`` of a job's pairs under every intervention; see `gather`."""
    columns: dict[str, list] = {name: [] for name in (*NAMES, "core_light")}
    logits: dict[str, list] = {}
    snr: dict[str, list] = {}
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
            _score(scorer, items, config, logits, snr)
    joined = ({name: np.concatenate(v) for name, v in kind.items()} for kind in (logits, snr))
    return {"columns": columns, **dict(zip(("logits", "snr"), joined))}


def gather(parts: Iterable[dict], reason: str) -> dict:
    """What all jobs found, in their order.

    Returns
    -------
    dict
        ``logits``: name to (n,) array, ``whole`` the positive rendered the same way, ``core_masked`` and
        ``core_light_removed@R`` for each radius of the sweep; ``snr``: name to (n,) matched SNR of the changed light
        over the arc's; ``columns``: (n,) stratifiers; ``reason`` why rows are missing.
    """
    parts = list(parts)
    columns = {name: np.array([x for p in parts for x in p["columns"][name]]) for name in (*NAMES, "core_light")}
    out = {"columns": columns, "reason": reason}
    for kind in ("logits", "snr"):
        names = parts[0][kind] if parts else ()
        out[kind] = {name: np.concatenate([p[kind][name] for p in parts]) for name in names}
    return out


def _score(scorer, items: list[Injected], config: EvaluateConfig, logits: dict[str, list], snr: dict) -> None:
    radius = config.core_radius_px
    whole = np.stack([item.whole.stamp for item in items])
    logits.setdefault("whole", []).append(scorer.logits(whole))
    logits.setdefault("core_masked", []).append(scorer.logits(whole, radius))
    for name, change in INTERVENTIONS.items():
        made = [change(item, radius) for item in items]
        logits.setdefault(name, []).append(scorer.logits(np.stack([m.stamp for m in made]).astype(np.float32)))
        ratios = [item.snr(m.light) / item.own_snr if item.own_snr > 0 else np.nan for item, m in zip(items, made)]
        snr.setdefault(name, []).append(np.array(ratios))
    for r in config.sweep_radii_px:
        name = f"{core_light_removed.__name__}@{r:g}"
        if r == radius:
            logits.setdefault(name, []).append(logits[core_light_removed.__name__][-1])
        else:
            made = np.stack([core_light_removed(item, r).stamp for item in items])
            logits.setdefault(name, []).append(scorer.logits(made))


def share(change: np.ndarray, effect: np.ndarray, hosts, sources) -> Metric:
    """Mean change over the mean effect of the arc, with an interval for clustered rows.

    Parameters
    ----------
    change : ndarray, (n,)
        Logit under an intervention less that of the whole positive.
    effect : ndarray, (n,)
        The same with the arc removed.
    hosts, sources : array_like, (n,)

    Returns
    -------
    Metric
        Missing where the arc's own effect is within `MIN_EFFECT_ERRORS` standard errors of none.
    """
    if not len(change):
        return missing("empty")
    clusters, base = Clusters(hosts, sources), float(effect.mean())
    error = clusters.error((effect - base) / len(effect))
    if error is None or base == 0 or abs(base) < MIN_EFFECT_ERRORS * error[0]:
        return missing("few_clusters" if error is None else "no_effect_of_the_arc", len(change))
    ratio = float(change.mean()) / base
    return clusters.linear(ratio, (change - ratio * effect) / (len(change) * base), (-np.inf, np.inf))


def _complement(metric: Metric, take: bool) -> dict:
    """The share that a change takes away, or (``take`` false) the one that it leaves."""
    found = metric.as_dict()
    if take or found["value"] is None:
        return found
    low, high = (None if found[k] is None else 1.0 - found[k] for k in ("ci_high", "ci_low"))
    return found | {"value": 1.0 - found["value"], "ci_low": low, "ci_high": high}


def _spread(ratios: np.ndarray) -> dict:
    """Median, and 5 to 95 %, of the matched SNR over the arc's."""
    known = ratios[np.isfinite(ratios)]
    low, median, high = np.quantile(known, (0.05, 0.5, 0.95)) if len(known) else (None, None, None)
    return {"median": median, "low": low, "high": high}


def section(found: dict, profile: Profile) -> dict:
    """Score change of every intervention, and shares of the arc's effect, overall and per theta_E bin.

    Parameters
    ----------
    found : dict
        Of `gather`.
    profile : Profile

    Returns
    -------
    dict
        ``interventions``: a row each, ``value`` the mean change of the logit with its interval by host and source,
        ``snr_ratio`` of its light (absent for a mask). ``shares`` of the arc's effect: ``ring``, what a plain ring in
        its place has of it; ``core``, ``outer``, ``colour``, ``brightest_image``, what taking that away costs; each
        overall and ``by_theta_e``. ``core_light``: share of the arc's light in the core, to hold ``core`` against.
    """
    columns, logits, config = found["columns"], found["logits"], profile.evaluate
    n = len(columns["pair_id"])
    if n < MIN_PAIRS:
        return {"status": "skip", "reason": found["reason"] or f"{n} pairs, {MIN_PAIRS} are needed"}
    options = {"n_bootstrap": config.n_bootstrap, "seed": profile.seed}
    hosts, sources = columns["host_id"], columns["source_id"]
    edges = bins.members(columns["theta_e_arcsec"], config.theta_e_edges)

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
        row = {"name": base, **average(change).as_dict(), "fell": fell, "by_theta_e": per_bin(change)}
        table.append(row | ({"snr_ratio": _spread(found["snr"][name])} if name in found["snr"] else {}))

    def part(name: str, mask=slice(None)) -> dict:
        change, take = SHARES[name]
        measured = share(changes[change][mask], changes["arc_removed"][mask], hosts[mask], sources[mask])
        return _complement(measured, take)

    return {
        "unit": "logit",
        "n": n,
        "radius_px": config.core_radius_px,
        "whole": average(logits["whole"].astype(float)),
        "interventions": table,
        "shares": {
            name: part(name) | {"by_theta_e": [{"lo": lo, "hi": hi, **part(name, inside)} for lo, hi, inside in edges]}
            for name in SHARES
        },
        "sweep": sweep,
        "core_light": {**average(columns["core_light"]).as_dict(), "by_theta_e": per_bin(columns["core_light"])},
        "reason": found["reason"],
    }
