"""``dhs inject``: hosts and sources in, a pairs data set out.

Pairs are slots 0 to N-1; a slot's host, split and random stream follow from its number, the configuration and the
seed. A part file is a fixed set of slots and is made by one worker, so neither engine nor worker count nor
interruption changes a byte.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import engines, storage
from dhs.artefacts.manifest import Manifest
from dhs.artefacts.report import checked
from dhs.config import Profile, digest, load_profile, parse_profile
from dhs.datasets import resume as resuming
from dhs.datasets import splits
from dhs.datasets import writer as parts
from dhs.datasets.reader import Pairs, open_pairs
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCHEMA_VERSION, SPLITS, stored
from dhs.encoding import encode
from dhs.engines import Engine, Progress
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.injection.hard_negatives.base import kinds
from dhs.injection.pair import ARC_LEVELS, Pair, make_pair, noise_variance
from dhs.injection.sources.base import SourceSet
from dhs.injection.sources.open import open_sources
from dhs.options import refuse_others, take
from dhs.owner import alone
from dhs.random import HOST_ORDER, Stream, keyed, rng_key
from dhs.survey.hosts.open import Hosts, open_hosts, resolved

log = logging.getLogger(__name__)
UNMATCHED = (
    "Real hosts are not matched with known lenses, so a control may be a lens, and sign-off will say NO-GO. Install "
    "lenscat (pip install lenscat), or give --known-lenses CSV with RA and Dec; then inject again."
)
PAIRS_PER_WORKER = 250  # a second process takes as long to start as so many pairs to make


@dataclass(frozen=True)
class Part:
    """One part file: its split, number, and the (pair_id, host index) slots it holds, those of one brick together."""

    split: str
    number: int
    slots: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        return parts.part_name(self.split, self.number)


@dataclass(frozen=True)
class Context:
    """What every part of a data set shares; opened once a worker."""

    profile: Profile
    out: str
    hosts: Hosts
    sources: SourceSet
    source_index: dict[str, np.ndarray]


def open_context(profile_data: dict, out: str, hosts_index: str | None = None) -> Context:
    """Open hosts and sources; ``hosts_index`` names the hosts as they were opened before."""
    profile = parse_profile(profile_data, "pairs configuration")
    for kind in profile.injection.hard_negative_kinds:
        kinds[kind]  # an unknown one is refused before anything is made
    sources = open_sources(profile.sources, profile.seed)
    index = splits.split_sources(sources.ids, profile.seed, profile.splits)
    return Context(profile, out, open_hosts(profile.hosts, profile.seed, hosts_index), sources, index)


def plan(context: Context) -> list[Part]:
    """The part files of a data set, from hosts, seed and configuration alone."""
    profile, refs = context.profile, context.hosts.refs
    split = splits.split_hosts(refs, profile.seed, profile.splits)
    order = keyed(profile.seed, Stream.DRAW, HOST_ORDER).permutation(len(refs))
    order = order[~np.isin(order, list(splits.near_other_splits(refs, split)))]
    slots: dict[str, list[tuple[int, int]]] = {name: [] for name in SPLITS}
    for pair_id in range(profile.injection.n_pairs):
        host = int(order[pair_id % len(order)])
        slots[split[host]].append((pair_id, host))
    size = profile.injection.pairs_per_part
    bricks = [r.brickname for r in refs]
    cut = {name: resuming.by_brick(slots[name], bricks, size) for name in SPLITS}
    return [Part(name, number, part) for name in SPLITS for number, part in enumerate(cut[name])]


def make_part(context: Context, task: tuple[Part, bool]) -> parts.Summary:
    """Make and write one part file and its hard negatives; one that is there already, and whole, is only summed up."""
    part, there = task
    found = parts.read_summary(context.out, part.split, part.name) if there else None
    return found or parts.write(context.out, part.split, part.name, *pair_tables(context, part))


def pair_tables(context: Context, part: Part, epoch: int = 0) -> tuple[pa.Table, pa.Table, dict]:
    """The pairs of a part, its hard negatives, and its draws by reason.

    Parameters
    ----------
    context : Context
    part : Part
    epoch : int
        0 for a stored data set; another epoch puts other arcs into the same hosts.

    Returns
    -------
    pairs, negatives : pyarrow.Table
        Of the stored form of `PAIR_SCHEMA` and `NEGATIVE_SCHEMA`, by ``pair_id``; hosts that were refused when they
        were read stand in the metadata of the pairs.
    draws : dict of str to int
    """
    pairs, negatives, draws = [], [], Counter()
    refused: dict[str, Refusal] = {}
    config, seed = context.profile.injection, context.profile.seed
    last, host, common, variance = None, None, {}, None
    for pair_id, host_index in part.slots:
        if last != host_index:
            try:
                last, host = host_index, context.hosts.read(host_index)
            except InputRefused as error:
                refused[error.refusal.id] = error.refusal
                draws.update({"host_refused": 1})
                continue
            common, variance = parts.host_columns(host, context.profile.splits.nside), noise_variance(host)
        key = rng_key(seed, pair_id, epoch)
        made = make_pair(key, host, context.sources, context.source_index[part.split], config, variance)
        if not isinstance(made, Pair):
            draws.update(made + Counter({"slot_exhausted": 1}))
            continue
        draws.update(made.rejected)
        draws.update(f"flag:{flag}" for flag in host.flags)
        step = host.sky_sigma / ARC_LEVELS
        own = {"pair_id": pair_id, "split": part.split, "rng_key": key}
        pairs.append({**common, **own, **_pair_columns(made), "arc": encode(made.arc, step)})
        if made.negative is not None:
            negatives.append(
                {
                    **own,
                    "host_id": host.host_id,
                    "source_id": made.source.source_id,
                    "kind": made.negative_kind,
                    "light": encode(made.negative, step),
                    "arc_snr_matched": made.negative_snr_matched,
                    "contrast": made.negative_contrast,
                }
            )
    draws["accepted"] = len(pairs)
    draws.update(f"made:{row['kind']}" for row in negatives)
    for rows in (pairs, negatives):
        rows.sort(key=lambda row: row["pair_id"])
    table = parts.as_table(pairs, stored(PAIR_SCHEMA))
    table = table.replace_schema_metadata({**table.schema.metadata, **resuming.refusals_meta(refused.values())})
    return table, parts.as_table(negatives, stored(NEGATIVE_SCHEMA)), dict(draws)


def _pair_columns(pair: Pair) -> dict:
    d = pair.draw
    return {
        "source_id": pair.source.source_id,
        "theta_e_arcsec": d.lens.theta_e,
        "q": d.lens.q,
        "phi_rad": d.lens.phi,
        "gamma1": d.lens.gamma1,
        "gamma2": d.lens.gamma2,
        "slope": d.lens.slope,
        "lens_x_arcsec": d.lens.x,
        "lens_y_arcsec": d.lens.y,
        "src_x_arcsec": d.x,
        "src_y_arcsec": d.y,
        "src_phi_rad": d.phi,
        "flux_scale": pair.flux_scale,
        "z_lens": pair.z_lens,
        "z_source": pair.source.z,
        "sigma_v_kms": d.sigma_v,
        "lens_mag_r": pair.host_mag_r,
        "population_weight": pair.population_weight,
        "n_rejected": pair.n_rejected,
        "arc_snr_matched": pair.snr_matched,
        "arc_snr_maxpix": pair.snr_maxpix,
        "magnification": pair.magnification,
        "n_images": pair.n_images,
        "src_r50_arcsec": pair.source_r50,
        "arc_r50_arcsec": pair.arc_r50,
        "flags": sorted({*pair.host_flags, *(f"source_{f}" for f in pair.source.flags)}),
        **parts.arc_flux_columns(pair.arc),
    }


@dataclass(frozen=True)
class HostOptions:
    """Which hosts are used.

    Attributes
    ----------
    host_catalogue : str, optional
        Targets in the coadds: Tractor or sweep catalogues, or a table of positions; ``tractor/`` by default.
    host_select : {"lrg", "none"}, optional
        Cuts on that catalogue.
    allow_known_lenses : bool, optional
        Keep hosts that are published lenses or candidates, marked ``host_is_candidate``.
    known_lenses : str, optional
        Catalogue of lenses and candidates: ``lenscat``, or a CSV with RA and Dec.
    """

    host_catalogue: str | None = None
    host_select: str | None = None
    allow_known_lenses: bool | None = None
    known_lenses: str | None = None

    def overrides(self) -> dict:
        """As keys of a profile."""
        names = {"catalogue": self.host_catalogue, "select": self.host_select, "known_lenses": self.known_lenses}
        return {f"hosts__{k}": v for k, v in (names | {"allow_known_lenses": self.allow_known_lenses}).items()}


@alone("inject", "out")
def inject(
    out: str | Path,
    *,
    hosts: str | None = None,
    sources: str | None = None,
    n_pairs: int | None = None,
    seed: int | None = None,
    profile: str | Path | Profile = "demo",
    resume: bool = False,
    **options,
) -> Pairs:
    """Inject lensed source galaxies into hosts and write a pairs data set.

    Parameters
    ----------
    out : str or Path
        Folder or ``s3://`` prefix: ``split=*/part-*.parquet``, ``negatives/``, ``manifest.json``, ``run.json``,
        ``quarantine.parquet``, and ``hosts.parquet`` (the hosts as they were chosen) unless they are mock.
    hosts, sources : str, optional
        ``mock``, ``auto``, a folder of cutouts or with a cube of them, or a folder with the survey's ``coadd/``; for
        sources ``auto``, ``xdf``, ``mock`` or a GalSim ``RealGalaxyCatalog`` file.
    n_pairs : int, optional
        Accepted pairs over all splits.
    seed : int, optional
    profile : str, Path or Profile
        What the options above leave open.
    resume : bool
        Continue an interrupted run of the same configuration, code and hosts; a finished one is returned as it is.
    **options
        Fields of `HostOptions` and of `dhs.engines.Engine`, and other keys of the profile as ``section__key``, e.g.
        ``injection__supersampling=4``.

    Returns
    -------
    Pairs

    Raises
    ------
    DhsError
        ``out`` holds another data set, or there is nothing to inject into or from.
    UsageError
        An unknown option, or one that does not fit.
    """
    engine, chosen = take(Engine, options), take(HostOptions, options)
    refuse_others("inject", {k: v for k, v in options.items() if "__" not in k}, HostOptions, Engine)
    overrides = {"hosts__spec": hosts, "sources__spec": sources, "injection__n_pairs": n_pairs}
    config, out = load_profile(profile, seed=seed, **overrides, **chosen.overrides(), **options), str(out)
    config = config.replace(hosts__spec=resolved(config.hosts.spec))
    identity = digest({k: v for k, v in config.model_dump(mode="json").items() if k in IDENTITY})
    maker = resuming.made_by()
    if resuming.already_done(out, identity, maker, resume):
        return open_pairs(out)
    asked, started = engine, time.time()
    data = config.model_dump(mode="json")
    context = open_context(data, out)
    refs = context.hosts.refs
    near = splits.near_other_splits(refs, splits.split_hosts(refs, config.seed, config.splits))
    context.hosts.refusals.extend(near.values())
    if not context.hosts.mock and context.hosts.known_lens_catalogue is None:
        log.warning(UNMATCHED)
    storage.write_json(storage.join(out, "run.json"), {"identity": identity, "finished": False, **maker})
    quarantine, refused = storage.join(out, "quarantine.parquet"), context.hosts.refusals + context.sources.refusals
    storage.write_quarantine(quarantine, refused)
    setup = (data, out, resuming.keep_hosts(context.hosts, out))
    planned = plan(context)
    there = set(storage.list_files(out, (".parquet",), recursive=True)) if resume else set()
    order = {part.name: i for i, part in enumerate(planned)}
    todo = [(part, storage.join(out, part.name) in there) for part in planned]
    sizes = [0 if done else len(part.slots) for part, done in todo]
    engine, shown = engine.at_most(1 + sum(sizes) // PAIRS_PER_WORKER), Progress("injecting", "pair", sizes)
    summaries = list(engines.run(make_part, todo, open_context, setup, engine, shown))
    totals = parts.total(sorted(summaries, key=lambda s: order[s.name]))
    late = {r.id: r for r in totals.refused}
    storage.write_quarantine(quarantine, refused + list(late.values()))
    manifest = _manifest(context, totals, out)
    checked(Manifest, manifest, "manifest.json")
    made = sum(s.made for s in summaries)
    seconds = time.time() - started
    run = {"identity": identity, "finished": True, "out": out, **maker}
    run |= {"engine": asked.engine, "workers": asked.workers}
    run |= {"seconds": seconds, "pairs_made": made, "pairs_per_s": made / seconds}
    storage.write_json(storage.join(out, "run.json"), run)
    storage.write_json(storage.join(out, "manifest.json"), manifest)
    return open_pairs(out)


IDENTITY = ("seed", "hosts", "sources", "injection", "splits")


def _manifest(context: Context, totals: parts.Totals, out: str) -> dict:
    draws = totals.draws.copy()
    accepted = draws.pop("accepted", 0)
    if accepted == 0:
        raise DhsError(f"{out}: no draw was accepted ({dict(draws)}). {_remedy(draws)}")
    hosts, sources = context.hosts, context.sources
    available = {name: len(index) for name, index in context.source_index.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "config": context.profile.model_dump(mode="json"),
        "seed": context.profile.seed,
        "versions": resuming.made_by()["versions"],
        "git_commit": parts.git_commit(),
        "counts": totals.counts,
        "hosts": {
            "kind": hosts.kind,
            "spec": hosts.spec,
            "mock": hosts.mock,
            "n": len(hosts.refs),
            "per_split": {name: len(v) for name, v in totals.host_ids.items()},
            "refused": len(hosts.refusals) + len({r.id for r in totals.refused}),
            "known_lens_catalogue": hosts.known_lens_catalogue,
            "selection": hosts.selection,
            "flags": _named(draws, "flag:"),
        },
        "sources": {
            "kind": sources.kind,
            "spec": sources.spec,
            "mock": sources.mock,
            "n": len(sources.ids),
            "per_split": available,
            "used": {name: len(v) for name, v in totals.source_ids.items()},
            "refused": len(sources.refusals),
            "limits": list(sources.limits),
        },
        "draws": {
            "accepted": accepted,
            "rejected": {k: v for k, v in sorted(draws.items()) if ":" not in k},
        },
        "negatives": {**_named(draws, "made:"), "refused": _named(draws, "negative:")},
        "content_hash": totals.content_hash,
    }


def _remedy(draws: Counter) -> str:
    if draws["host_without_redshift"] or draws["host_makes_no_lens"]:
        return (
            "The prior takes the lens's mass from the host's magnitude and redshift: give the cutouts a z_phot, or set "
            "injection.prior to response_grid, which needs neither."
        )
    if draws["host_refused"]:
        return "quarantine.parquet in it says why the hosts were refused when they were read."
    return "Relax injection.min_magnification or min_images."


def _named(draws: Counter, prefix: str) -> dict[str, int]:
    return {k.removeprefix(prefix): v for k, v in sorted(draws.items()) if k.startswith(prefix)}
