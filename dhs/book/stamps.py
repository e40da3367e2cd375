"""Stamps that a picture of the book needs: of pairs, survey negatives and cutouts, by what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import numpy as np

from dhs.artefacts.parts import absent
from dhs.datasets import survey_negatives
from dhs.datasets.reader import Pairs, stamp
from dhs.datasets.stamp_sets import by_pair
from dhs.figures.gates import axis_name
from dhs.figures.style import signed
from dhs.figures.zoom import Galleries, zoom_gallery
from dhs.stats.pixels import MAD_TO_SIGMA, mad, radius_map
from dhs.survey.facts import PIXEL_SCALE
from dhs.survey.hosts.open import open_cutouts


def worst(scores, kind: str, n: int = 12, split: str = "test"):
    """Rows of ``scores.parquet`` that went most wrong: the lowest positives, or the highest negatives.

    Parameters
    ----------
    scores : pyarrow.Table
    kind : str
        ``positive`` for false negatives; ``control``, ``hard_negative`` or ``survey_negative`` for false
        positives.
    n : int
    split : str

    Returns
    -------
    DataFrame
    """
    frame = scores.to_pandas()
    frame = frame[(frame["split"] == split) & frame["kind"].str.startswith(kind)]
    return frame.sort_values("logit", ascending=kind == "positive").head(n)


def of_survey_negatives(pairs: Pairs, seed: int, host_ids: Iterable[str], folder: str | None = None) -> np.ndarray:
    """Stamps of a data set's stored survey negatives.

    Parameters
    ----------
    pairs : Pairs
    seed : int
        Of the run that scored them.
    host_ids : iterable of str
        In the order wanted; unknown ones are left out.
    folder : str, optional
        Of the real galaxies that were scored instead of the data set's own.

    Returns
    -------
    ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    """
    wanted = list(host_ids)
    if folder is not None:
        hosts = survey_negatives.Maker(pairs.path, folder)(sys.maxsize, seed)
        return _stack([hosts.by_id(i).image for i in wanted if i in hosts])
    found = survey_negatives.by_host(pairs.path, seed, wanted)
    return _stack([found[i] for i in wanted if i in found])


def of_cutouts(spec: str | None, host_ids: Iterable[str]) -> np.ndarray:
    """Stamps of cutouts that were scored, by their identifiers.

    Parameters
    ----------
    spec : str or None
        Folder or file the cutouts were read from; None gives an empty stack.
    host_ids : iterable of str
        In the order wanted.

    Returns
    -------
    ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    """
    if not spec:
        return _stack([])
    hosts = open_cutouts(spec)
    return _stack([hosts.by_id(i).image for i in host_ids if i in hosts])


def _stack(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(images) if images else np.empty((0, 3, 64, 64), np.float32)


def spread(pairs: Pairs, n: int = 6) -> list[dict]:
    """Rows of ``n`` pairs, spread over the whole set, each with its positive under ``stamp``."""
    indices = np.unique(np.linspace(0, len(pairs) - 1, n).astype(int)) if len(pairs) else []
    return [with_stamp(pairs[int(i)]) for i in indices]


def with_stamp(row: dict) -> dict:
    """A row of a data set with its positive under ``stamp``, (3, 64, 64) nanomaggies."""
    return row | {"stamp": stamp(row)}


def radial_profiles(
    stamps: np.ndarray, controls: np.ndarray, sky_sigma: np.ndarray, annulus: tuple[float, float]
) -> dict:
    """Mean radial profiles in units of the sky noise, and the noise in an annulus over the host's.

    Parameters
    ----------
    stamps, controls : ndarray, (n, 3, 64, 64)
        Nanomaggies.
    sky_sigma : ndarray, (n, 3)
        Nanomaggies a pixel.
    annulus : (float, float)
        Inner and outer radius of the normalisation annulus, pixels.

    Returns
    -------
    dict
        ``radius`` (r,) and ``annulus`` (2,) in arcsec; ``stamps`` and ``controls`` (3, r), mean flux a pixel in sky
        sigma; ``noise_ratio`` (n, 3), MAD sigma in the annulus over the sky noise.
    """
    radius = radius_map()
    rings = np.clip(radius.astype(int), 0, stamps.shape[-1] // 2)
    counts = np.bincount(rings.ravel())

    def profile(images: np.ndarray) -> np.ndarray:
        means = np.mean(images / sky_sigma[:, :, None, None], axis=0)
        return np.stack([np.bincount(rings.ravel(), mean.ravel()) / counts for mean in means])

    sky = stamps[:, :, (radius >= annulus[0]) & (radius < annulus[1])]
    return {
        "radius": (np.arange(len(counts)) + 0.5) * PIXEL_SCALE,
        "annulus": np.array(annulus) * PIXEL_SCALE,
        "stamps": profile(stamps),
        "controls": profile(controls),
        "noise_ratio": MAD_TO_SIGMA * mad(sky, axis=2) / sky_sigma,
    }


def cause_galleries(failures: Mapping, pairs: Pairs, seed: int, folder: str | None = None) -> Galleries:
    """A gallery of the worst stamps of each cause of a miss or a false alarm, and of each group of either.

    Parameters
    ----------
    failures : mapping
        Of ``evaluation.json``.
    pairs : Pairs
    seed : int
        Of the run.
    folder : str, optional
        Of the real galaxies that were scored as survey negatives.
    """
    if absent(failures):
        return Galleries([], f"Failures by cause: skipped: {absent(failures)}.")
    found = [(f"missed: {c['cause']} ({c['n']})", c["examples"]) for c in failures["misses"]["causes"]]
    found.append(("missed, none of these causes", failures["misses"].get("unexplained_examples") or []))
    for k, group in enumerate((failures.get("embedding") or {}).get("groups") or [], start=1):
        medians = ", ".join(f"{axis_name(name)} {value:.3g}" for name, value in group["medians"].items())
        found.append(
            (f"missed, group {k} by the network's features ({group['n']}); medians: {medians}", group["examples"])
        )
    out = []
    for label, examples in found:
        stamps, rows = by_pair(pairs, examples)
        titles = [f'{r["theta_e_arcsec"]:.1f}", SNR {r["arc_snr_matched"]:.0f}' for r in rows]
        out.append(zoom_gallery(stamps, titles, label))
    for kind in failures["alarms"]["causes"]:
        name, examples = kind["cause"], kind["examples"]
        if name.startswith("survey: "):
            titles = [str(e["host_id"]) for e in examples]
            stamps = of_survey_negatives(pairs, seed, titles, folder)
        else:
            hosts = {e["pair_id"]: str(e["host_id"]) for e in examples}
            stamps, rows = by_pair(pairs, hosts, name)
            titles = [hosts[row["pair_id"]] for row in rows]
        out.append(zoom_gallery(stamps, titles, f"passed: {name.replace('_', ' ')} ({kind['n']} of {kind['of']})"))
    for k, group in enumerate((failures.get("alarm_embedding") or {}).get("groups") or [], start=1):
        held = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in group["kinds"].items())
        stamps, titles = [], []
        for example in group["examples"]:
            if example["kind"] == "survey_negative":
                found = of_survey_negatives(pairs, seed, [example["host_id"]], folder)
            else:
                found = by_pair(pairs, [example["pair_id"]], example["kind"])[0]
            stamps += list(found)
            titles += [example["host_id"]] * len(found)
        label = f"passed, group {k} by the network's features ({group['n']}): {held}"
        out.append(zoom_gallery(np.array(stamps), titles, label))
    return Galleries([g for g in out if len(g.stamps)], "No failure at this threshold.")


def worst_galleries(scores, pairs: Pairs, seed: int, folder: str | None = None, n: int = 6) -> Galleries:
    """The stamps that went most wrong, a gallery a kind: lowest lenses, highest twins, look-alikes, survey galaxies.

    Parameters
    ----------
    scores : pyarrow.Table
    pairs : Pairs
    seed : int
        Of the run.
    folder : str, optional
        Of the real galaxies that were scored as survey negatives.
    n : int
        Of a kind.
    """
    out = []
    for kind, stored, label in (
        ("positive", "positive", "lenses that score lowest"),
        ("control", "control", "twins without an arc that score highest"),
        ("hard_negative", "hard_negative", "look-alikes that score highest"),
    ):
        rows = worst(scores, kind, n)
        titles = [f'{signed(r.logit)}: {r.theta_e_arcsec:.1f}", SNR {r.arc_snr_matched:.0f}' for r in rows.itertuples()]
        if kind == "control":
            titles = [signed(x) for x in rows["logit"]]
        out.append(zoom_gallery(by_pair(pairs, rows["pair_id"], stored)[0], titles, label))
    rows = worst(scores, "survey_negative", n)
    stamps = of_survey_negatives(pairs, seed, rows["host_id"], folder)
    titles = [f"{signed(r.logit)}: {r.subkind}" for r in rows.itertuples()]
    out.append(zoom_gallery(stamps, titles, "survey galaxies that score highest"))
    return Galleries([g for g in out if len(g.stamps)], "No stamp was scored.")
