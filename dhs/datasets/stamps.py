"""Stamps that a picture needs: of survey negatives and of cutouts, and the rows that went most wrong."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


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


def of_survey_negatives(n: int, seed: int, host_ids: Iterable[str], path: str = "") -> np.ndarray:
    """Stamps of survey negatives that were scored, made again from the run's seed.

    Parameters
    ----------
    n, seed : int
        Of the run: how many survey negatives it scored, and its seed.
    host_ids : iterable of str
        In the order wanted; unknown ones are left out.
    path : str
        Folder of the data set, whose hosts' sky they may be under.

    Returns
    -------
    ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    """
    from dhs.datasets.survey_negatives import Maker

    negatives = Maker(path)(n, seed)
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
    from dhs.survey.hosts.open import open_hosts

    empty = np.empty((0, 3, 64, 64), np.float32)
    if not spec:
        return empty
    hosts = open_hosts(HostsConfig(spec=spec, allow_known_lenses=True), 0)
    index = {ref.host_id: i for i, ref in enumerate(hosts.refs)}
    images = [hosts.read(index[i]).image for i in host_ids if i in index]
    return np.stack(images) if images else empty
