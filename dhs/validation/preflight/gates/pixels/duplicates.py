"""Hosts and source galaxies that are in the set twice, by their pixels, whatever they are called."""

from __future__ import annotations

import numpy as np
import pyarrow.dataset as pads
from scipy.ndimage import gaussian_filter

from dhs.datasets.reader import decoded, images
from dhs.datasets.reader import rows as decoded_rows
from dhs.datasets.rerender import rerender
from dhs.datasets.schema import SCALARS
from dhs.random import Stream, keyed
from dhs.stats import duplicates
from dhs.stats.duplicates import Match
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

INSIDE_SHARE = 0.005  # of rows with a twin inside their split; more make the set smaller than it says
MIN_ROWS = 8
MOST = 2000  # proposals verified
SHOWN = 20
TRIED = 400  # renderings spent on ids that are not in the source set
ALIKE = 0.9999  # squared cosine of two arcs that are one galaxy's through one lens
SOURCE_PEAK, SOURCE_SMOOTH_PX = 300.0, 1.5  # of a source's image over the noise it is compared with
SOURCE_SIDE, SAME_SOURCE = 64, 0.3


def _read(data, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Controls of some rows of ``data.scalars`` in sky noise, read again."""
    ids, sigma = data.column("pair_id"), data.per_band_all("sky_sigma")
    wanted = {int(ids[row]): int(row) for row in rows}
    dataset, out = data.pairs.dataset(), {}
    if dataset is None or not wanted:
        return out
    chosen = pads.field("pair_id").isin(list(wanted))
    for batch in dataset.to_batches(columns=["pair_id", "control"], filter=chosen, batch_readahead=2):
        for pair_id, image in zip(batch["pair_id"].to_pylist(), images(batch["control"], noisy=True)):
            row = wanted[pair_id]
            out[row] = (image / sigma[row][:, None, None]).astype(np.float32)
    return out


@gate(
    "host_duplicates",
    number=14,
    remedy="Keep one of each pair of hosts named, or put both into one split under one host_id: a network that has "
    "seen the galaxy in training is not tested by it.",
)
def host_duplicates(data) -> Gate:
    """The same host pixels under two ids, across splits and inside: turned, mirrored, shifted, with fresh noise."""
    vectors = data.every.get("host_vector")
    if vectors is None or len(vectors) < MIN_ROWS:
        raise Skip(f"{0 if vectors is None else len(vectors)} controls could be read, {MIN_ROWS} are needed.")
    rows = data.every_rows
    host, split = (data.column(name)[rows].astype(str) for name in ("host_id", "folder_split"))
    _, members = np.unique(
        np.char.add(np.char.add(host, "|"), split), return_index=True
    )  # a host of several pairs once
    members = np.sort(members)
    noise, noise_flux = data.every["host_fresh"], data.every["host_flux"]
    simulated = np.isfinite(noise).all(axis=1)
    if simulated.sum() < 2:
        raise Skip("no control could be given fresh noise.")
    args = vectors[members], data.every["host_flux"][members], (noise - vectors)[simulated], noise_flux[simulated]
    proposed = duplicates.propose(*args)[: MOST + 500]
    there = _read(data, rows[members[np.unique(proposed)]]) if len(proposed) else {}
    missing = np.zeros((3, 64, 64), np.float32)

    def fetch(i: int) -> np.ndarray:
        return there.get(int(rows[members[i]]), missing)

    def same(i: int, j: int) -> bool:
        return host[members[i]] == host[members[j]]

    found, n_proposed = duplicates.find(fetch, *args, most=MOST, skip=same)
    ids = data.column("pair_id")[rows[members]]
    across, inside = _split(found, split[members])
    share = len({k for m in inside for k in (m.first, m.second)}) / len(members)
    text = (
        f"{len(members)} hosts compared by their pixels over eight turns, shifts and fresh noise: {len(across)} pairs "
        f"are one galaxy in two splits, {len(inside)} inside a split under two ids."
    )
    faults = bool(across) or share > INSIDE_SHARE
    text += f" Found: {_named(across or inside, ids)}." if found else ""
    text += f" Of {n_proposed} look-alikes the nearest {MOST} were compared." if n_proposed > MOST else ""
    details = {
        "across": [_entry(m, ids, host[members]) for m in across[:SHOWN]],
        "inside": [_entry(m, ids, host[members]) for m in inside[:SHOWN]],
        "proposed": n_proposed,
        "same_below": duplicates.SAME,
    }
    return verdict(
        "fail" if faults else "warn" if inside else "pass",
        text,
        value=len(across),
        threshold=0,
        n=len(members),
        n_hosts=len(set(host)),
        details=details,
    )


def _split(found: list[Match], split: np.ndarray) -> tuple[list[Match], list[Match]]:
    across = [m for m in found if split[m.first] != split[m.second]]
    return across, [m for m in found if split[m.first] == split[m.second]]


def _named(found: list[Match], ids) -> str:
    shown = "; ".join(f"{ids[m.first]} and {ids[m.second]}" for m in found[:5])
    return f"{shown}; ..." if len(found) > 5 else shown


def _entry(m: Match, ids, names) -> dict:
    names = [str(names[m.first]), str(names[m.second])]
    return {
        "ids": [str(ids[m.first]), str(ids[m.second])],
        "names": names,
        "turn": m.turn,
        "excess": m.excess,
        "noise": m.noise,
    }


def framed(image: np.ndarray) -> np.ndarray:
    """A source galaxy's image in a frame of `SOURCE_SIDE`, its peak at `SOURCE_PEAK`, (1, side, side)."""
    image = np.asarray(image, np.float32)
    factor = -(-max(image.shape) // SOURCE_SIDE)
    side = SOURCE_SIDE * factor
    frame = np.zeros((side, side), np.float32)
    top, left = ((side - n) // 2 for n in image.shape)
    frame[top : top + image.shape[0], left : left + image.shape[1]] = image
    frame = frame.reshape(SOURCE_SIDE, factor, SOURCE_SIDE, factor).sum(axis=(1, 3))
    frame = gaussian_filter(frame, SOURCE_SMOOTH_PX)  # a cusp cannot be moved by a part of a pixel
    return (frame / max(float(frame.max()), 1e-30) * SOURCE_PEAK)[None]


@gate(
    "source_duplicates",
    number=15,
    remedy="Give a source galaxy one id and one split: clean the catalogue of repeated galaxies before `dhs inject`.",
)
def source_duplicates(data) -> Gate:
    """The same source galaxy under two ids in two splits: by its image, or by redshift and size as rows store them."""
    if data.n == 0:
        raise Skip("there is no readable pair.")
    source, split = (data.column(name).astype(str) for name in ("source_id", "folder_split"))
    of_split = {name: frozenset(split[source == name]) for name in np.unique(source)}
    by_row, lookup = _by_row(data, source, of_split), data.sources_of_rows
    names = [name for name in of_split if lookup.knows(name)]
    by_image = _by_image(names, lookup, data.profile.seed) if len(names) > 1 else []
    across = [m for m in by_image if len(of_split[names[m.first]] | of_split[names[m.second]]) > 1]
    strangers = [name for name in of_split if not lookup.knows(name)]
    known_again = _by_arc(data, source, strangers, lookup)
    same = [(a, b) for a, b in known_again if len(_of(known_again, b, of_split) | of_split.get(b, frozenset())) > 1]
    if not names and by_row is None and not known_again:
        raise Skip(f"no source can be opened ({data.no_sources}), and no row stores a source's redshift and size.")
    text = (
        f"{len(names)} source galaxies compared by their images: {len(across)} pairs are one galaxy in two splits, "
        f"{len(by_image) - len(across)} inside a split."
    )
    if strangers:
        text += f" {len(strangers)} ids are not in the source set"
        text += f"; the arcs of {len(known_again)} of them are of galaxies that are." if known_again else "."
    if by_row:
        shown = "; ".join(" = ".join(names) for names in by_row[:3])
        text += f" {len(by_row)} galaxies have one redshift and size under ids of two splits ({shown})."
    if same:
        text += " In two splits: " + "; ".join(f"{a} = {b}" for a, b in same[:5]) + "."
    status = "fail" if across or by_row or same else "warn" if strangers and by_row is None else "pass"
    details = {
        "across": [_entry(m, names, names) for m in across[:SHOWN]],
        "inside": [_entry(m, names, names) for m in by_image if m not in across][:SHOWN],
        "same_redshift_and_size": (by_row or [])[:SHOWN],
        "not_opened": len(strangers),
        "known_by_arc": known_again[:SHOWN],
    }
    n_found = len(across) + len(by_row or []) + len(same)
    return verdict(status, text, value=n_found, threshold=0, n=data.n, n_sources=len(of_split), details=details)


def _by_row(data, source: np.ndarray, of_split: dict) -> list[list[str]] | None:
    """Ids of two splits whose rows store one redshift and one half-light radius; None where rows store neither."""
    z, size = (data.column(name).astype(np.float32) for name in ("z_source", "src_r50_arcsec"))
    known = np.isfinite(z) & np.isfinite(size) & (size > 0)
    if not known.any():
        return None
    seen: dict = {}
    for key, name in set(zip(zip(z[known].tolist(), size[known].tolist()), source[known])):
        seen.setdefault(key, set()).add(str(name))
    several = [sorted(names) for names in seen.values() if len(names) > 1]
    return [names for names in several if len(frozenset().union(*(of_split[n] for n in names))) > 1]


def _by_image(names: list[str], lookup, seed: int) -> list[Match]:
    pictures = np.stack([framed(lookup.get(name).image) for name in names])
    rng = keyed(seed, Stream.FRESH_NOISE, len(names), epoch=1)
    vectors, flux = duplicates.embed(pictures)
    some = slice(0, 100)
    noisy, _ = duplicates.embed(pictures[some] + rng.standard_normal(pictures[some].shape, np.float32))
    found, _ = duplicates.find(
        pictures.__getitem__, vectors, flux, noisy - vectors[some], flux[some], most=MOST, same=SAME_SOURCE
    )
    return found


def _of(known_again: list[tuple[str, str]], galaxy: str, of_split: dict) -> frozenset:
    """Splits of all strangers that are one galaxy."""
    return frozenset().union(*(of_split[a] for a, b in known_again if b == galaxy))


def _by_arc(data, source: np.ndarray, strangers: list[str], lookup) -> list[tuple[str, str]]:
    """Some ids that are not in the source set, and the galaxies of it whose light, through the stored lens, is the arc.

    One arc an id, the brightest; as many ids and galaxies as `TRIED` renderings allow.
    """
    if not strangers or not lookup.ids:
        return []
    rng = keyed(data.profile.seed, Stream.MEASURED, len(strangers), epoch=1)
    galaxies = [lookup.ids[i] for i in np.sort(rng.permutation(len(lookup.ids))[: TRIED // 4])]
    chosen = [strangers[i] for i in np.sort(rng.permutation(len(strangers))[: max(4, TRIED // len(galaxies))])]
    snr, ids = data.column("arc_snr_maxpix").astype(float), data.column("pair_id")
    best = {}
    for name in chosen:
        rows = np.flatnonzero((source == name) & np.isfinite(snr))
        if len(rows):
            best[int(ids[rows[snr[rows].argmax()]])] = name
    dataset = data.pairs.dataset()
    if dataset is None or not best:
        return []
    table = dataset.to_table(columns=[*SCALARS, "arc", "psf"], filter=pads.field("pair_id").isin(list(best)))
    table = decoded(table.drop_columns(["psf"]) if table["psf"].null_count else table)
    out = []
    for row in decoded_rows(table):
        try:
            galaxy = _galaxy_of(row, galaxies, lookup)
        except (TypeError, ValueError):  # no lens is stored
            continue
        if galaxy is not None:
            out.append((best[row["pair_id"]], galaxy))
    return out


def _galaxy_of(row: dict, galaxies: list[str], lookup) -> str | None:
    arc = np.asarray(row["arc"], float)[1]
    power = float((arc**2).sum())
    for name in galaxies:
        again = rerender({**row, "flux_scale": 1.0}, lookup.get(name), lookup.supersampling).arc[1]
        overlap = float((arc * again).sum()) ** 2 / max(float((again**2).sum()) * power, 1e-30)
        if overlap > ALIKE:
            return name
    return None
