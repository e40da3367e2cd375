"""The stamps of a contact sheet: the candidates' own, and known lenses to hold them against."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dhs.datasets.reader import Pairs
from dhs.datasets.stamp_sets import by_pair

MOST_LENSES = 200


def stamps_of(table: pa.Table, hosts, pairs: Pairs | None) -> list[np.ndarray]:
    """Images of the candidates of a table, in its order: of a set of hosts, or of a pairs data set."""
    if hosts is not None:
        places = [hosts.index[name] for name in table["id"].to_pylist()]
        images = {i: hosts.read(i).image for i in sorted(places)}  # brick by brick
        return [images[i] for i in places]
    wanted = list(zip(table["kind"].to_pylist(), table["pair_id"].to_pylist()))
    found = {}
    for kind in dict.fromkeys(k for k, _ in wanted):  # one pass over the data set for each kind, not each stamp
        stamps, rows = by_pair(pairs, [pair for k, pair in wanted if k == kind], kind)
        found |= {(kind, row["pair_id"]): stamp for row, stamp in zip(rows, stamps)}
    return [found[key] for key in wanted]


def beside(lenses: str | None, table: pa.Table, stamps: list[np.ndarray]) -> tuple[list[dict], list[np.ndarray]]:
    """Known lenses to show beside candidates: those of a folder of cutouts, else those known among the candidates."""
    if lenses is None:
        rows = table.select(["id", "known_lens", "ra", "dec"]).to_pylist()
        known = [i for i, row in enumerate(rows) if row["known_lens"]][:MOST_LENSES]
        return [rows[i] | {"name": rows[i]["known_lens"]} for i in known], [stamps[i] for i in known]
    from dhs.survey.hosts.open import open_cutouts

    hosts = open_cutouts(lenses)
    refs = hosts.refs[:MOST_LENSES]
    return [{"name": r.host_id, "ra": r.ra, "dec": r.dec} for r in refs], [
        hosts.read(i).image for i in range(len(refs))
    ]
