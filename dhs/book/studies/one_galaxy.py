"""Stamps of single galaxies with what the network says of each: for the figures that ask it about one galaxy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from dhs.datasets.reader import Pairs, rows
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import PAIR_SCHEMA
from dhs.datasets.stamp_sets import by_pair
from dhs.validation.evaluation.counterfactuals import INTERVENTIONS, Injected

CLEAR = {"theta_e_arcsec": (1.2, 2.4), "arc_snr_matched": (60.0, 600.0)}  # an arc that a reader sees


def chosen(pairs: Pairs, scores, n: int = 3, split: str = "test") -> list[int]:
    """Ids of pairs with a clear arc: those whose arc raised the logit most, the least, and between.

    Parameters
    ----------
    pairs : Pairs
    scores : pyarrow.Table
        ``scores.parquet``.
    n : int
    split : str
    """
    frame = scores.to_pandas()
    frame = frame[frame["split"] == split]
    logits = {k: frame[frame["kind"] == k].set_index("pair_id")["logit"] for k in ("positive", "control")}
    known = frame[frame["kind"] == "positive"].set_index("pair_id")
    inside = np.ones(len(known), bool)
    for column, (low, high) in CLEAR.items():
        inside &= known[column].between(low, high).to_numpy()
    rise = (logits["positive"] - logits["control"]).loc[known.index[inside] if inside.any() else known.index]
    order = rise.sort_values(ascending=False, kind="stable").index.to_numpy()
    return (
        [int(i) for i in order[np.unique(np.linspace(0, max(len(order) - 1, 0), n).astype(int))]] if len(order) else []
    )


def under_interventions(pairs: Pairs, scorer, ids: Sequence[int], radius_px: float, split: str = "test") -> list[dict]:
    """Pairs under every intervention.

    Parameters
    ----------
    pairs : Pairs
    scorer : dhs.models.score.Scorer
    ids : sequence of int
        Pair ids; one whose source can't be opened is left out.
    radius_px : float
        Of the core.
    split : str

    Returns
    -------
    list of dict
        ``pair_id``, ``theta_e_arcsec``, ``arc_snr_matched`` and ``tiles``: ``name``, ``stamp``, ``logit``.
    """
    lookup, found = SourceLookup(pairs.manifest), {}
    wanted = [name for name in PAIR_SCHEMA.names if name not in ("invvar", "arc")]
    for row in rows(pairs.table(split, wanted, where=pc.field("pair_id").isin(list(ids)))):
        if not lookup.knows(row["source_id"]):
            continue
        item = Injected.of(row, lookup.get(row["source_id"]), lookup.supersampling, lookup.renderer)
        made = {"whole": item.whole} | {name: change(item, radius_px) for name, change in INTERVENTIONS.items()}
        stamps = np.stack([m.stamp for m in made.values()]).astype(np.float32)
        tiles = [
            {"name": name, "stamp": stamp, "logit": float(logit)}
            for name, stamp, logit in zip(made, stamps, scorer.logits(stamps))
        ]
        about = {k: row[k] for k in ("pair_id", "theta_e_arcsec", "arc_snr_matched")}
        found[row["pair_id"]] = about | {"tiles": tiles}
    return [found[i] for i in ids if i in found]


def decoys(pairs: Pairs, scores=None, n: int = 4, split: str = "train") -> dict[str, list[dict]]:
    """Examples of each kind of look-alike, the brightest arcs' first.

    Parameters
    ----------
    pairs : Pairs
    scores : pyarrow.Table, optional
        ``scores.parquet``, for the logit of each where it was scored.
    n : int
        Of a kind.
    split : str

    Returns
    -------
    dict of str to list of dict
        Kind to ``pair_id``, ``stamp``, ``logit`` (None where it was not scored).
    """
    table = pairs.table(split, ["pair_id", "kind", "arc_snr_matched"], negatives=True)
    if "kind" not in table.column_names:
        return {}
    frame = table.to_pandas().sort_values(["kind", "arc_snr_matched"], ascending=[True, False], kind="stable")
    logits = {}
    if scores is not None:
        scored = scores.to_pandas()
        scored = scored[scored["kind"].str.startswith("hard_negative")]
        logits = dict(zip(scored["pair_id"], scored["logit"]))
    out = {}
    for kind, part in frame.groupby("kind", sort=True):
        ids = [int(i) for i in part["pair_id"].head(n)]
        stamps, _ = by_pair(pairs, ids, "hard_negative")
        out[str(kind)] = [{"pair_id": i, "stamp": s, "logit": logits.get(i)} for i, s in zip(ids, stamps)]
    return out


def columns(pairs: Pairs, n: int = 6, split: str = "train") -> list[dict]:
    """Pairs with a look-alike, of as many kinds as go: rows with ``stamp``, ``decoy`` and its ``kind``."""
    ids, kinds = [], {}
    for kind, examples in decoys(pairs, n=n, split=split).items():
        for rank, example in enumerate(examples):
            ids.append((rank, example["pair_id"]))
            kinds[example["pair_id"]] = (kind, example["stamp"])
    wanted = [i for _, i in sorted(ids, key=lambda e: e[0])][:n]
    stamps, found = by_pair(pairs, wanted)
    both = {r["pair_id"]: dict(r) | {"stamp": s} for r, s in zip(found, stamps)}
    return [both[i] | {"kind": kinds[i][0], "decoy": kinds[i][1]} for i in wanted if i in both]
