"""Stamps that a picture needs, by pair: the positive, its control, its hard negative."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow.compute as pc

from dhs.datasets.reader import Pairs, rows, stamp
from dhs.datasets.schema import BANDS

SHUFFLE = "hard_negative"
_COLUMNS = ["pair_id", "host_id", "control", "arc", "rng_key", "theta_e_arcsec", "arc_snr_matched"]
_COLUMNS += [f"{name}_{band}" for name in ("gain", "sky_sigma") for band in BANDS]


def _read(pairs: Pairs, ids: list[int], columns: list[str], negatives: bool = False) -> dict[int, dict]:
    dataset = pairs.dataset(negatives=negatives)
    if dataset is None or not ids:
        return {}
    found = dataset.to_table(columns=columns, filter=pc.field("pair_id").isin(ids))
    return {row["pair_id"]: row for row in rows(found)}


def by_pair(pairs: Pairs, pair_ids: Iterable[int], kind: str = "positive") -> tuple[np.ndarray, list[dict]]:
    """Stamps of some pairs.

    Parameters
    ----------
    pairs : Pairs
    pair_ids : iterable of int
        Those that the set does not hold, or of which no hard negative was made, are left out.
    kind : str
        ``positive``, ``control``, ``arc``, or one that starts with ``hard_negative``.

    Returns
    -------
    stamps : ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    rows : list of dict
        The row of each.
    """
    ids = [int(i) for i in pair_ids]
    found = _read(pairs, ids, _COLUMNS)
    if kind.startswith(SHUFFLE):
        light = _read(pairs, ids, ["pair_id", "light", "rng_key"], negatives=True)
        found = {i: {k: v for k, v in found[i].items() if k != "arc"} | light[i] for i in light if i in found}
    chosen = [found[i] for i in ids if i in found]
    if kind in ("control", "arc"):
        images = [row[kind] for row in chosen]
    else:
        images = [stamp(row) for row in chosen]
    return (np.stack(images) if images else np.empty((0, 3, 64, 64), np.float32)), chosen


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


def of_survey_negatives(n: int, seed: int, host_ids: Iterable[str]) -> np.ndarray:
    """Stamps of survey negatives that were scored, made again from the run's seed.

    Parameters
    ----------
    n, seed : int
        Of the run: how many survey negatives it scored, and its seed.
    host_ids : iterable of str
        In the order wanted; unknown ones are left out.

    Returns
    -------
    ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    """
    from dhs.survey.negatives import SurveyNegatives

    negatives = SurveyNegatives(n, seed)
    index = {ref.host_id: i for i, ref in enumerate(negatives.refs)}
    images = [negatives.read(index[i]).image for i in host_ids if i in index]
    return np.stack(images) if images else np.empty((0, 3, 64, 64), np.float32)


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
    from dhs.config import HostsConfig
    from dhs.survey.hosts import open_hosts

    empty = np.empty((0, 3, 64, 64), np.float32)
    if not spec:
        return empty
    hosts = open_hosts(HostsConfig(spec=spec, allow_known_lenses=True), 0)
    index = {ref.host_id: i for i, ref in enumerate(hosts.refs)}
    images = [hosts.read(index[i]).image for i in host_ids if i in index]
    return np.stack(images) if images else empty
