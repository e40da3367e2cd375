"""A contact sheet from a candidate table: open, or blind with lenses and non-lenses planted among the candidates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.datasets.reader import Pairs, open_pairs
from dhs.datasets.stamp_sets import by_pair
from dhs.errors import DhsError, UsageError
from dhs.options import refuse_others, take
from dhs.random import Stream, keyed
from dhs.survey.hosts.open import open_cutouts
from dhs.validation.candidates.contact_sheet import contact_sheet
from dhs.validation.candidates.grade_files import write_rows
from dhs.validation.candidates.sheet_stamps import beside, stamps_of

CANDIDATE, PLANTED_LENS, PLANTED_CONTROL, KNOWN_LENS = "candidate", "planted lens", "planted control", "known lens"
TOLD = ("ra", "dec", "rank", "logit", "probability", "known_lens", "host_id", "theta_e_arcsec", "arc_snr_matched")


@dataclass(frozen=True)
class Blinding:
    """What makes a sheet blind: a seed, or pairs to plant.

    Attributes
    ----------
    planted : str or Path, optional
        A pairs data set: its validation pairs are planted, arcs in some and controls alone in others, of other hosts.
    n_planted : int
        Of each kind, at most.
    seed : int, optional
        Candidates are in a random order, under numbers, without score, position or name.
    """

    planted: str | Path | None = None
    n_planted: int = 40
    seed: int | None = None


def grade_sheet(
    candidates: str | Path,
    out: str | Path,
    *,
    cutouts: str | None = None,
    data_path: str | Path | None = None,
    n: int = 1000,
    lenses: str | None = None,
    **blinding,
) -> list[str]:
    """Write a contact sheet of the best candidates of a table.

    Parameters
    ----------
    candidates : str or Path
        Parquet file of ``dhs score``.
    out : str or Path
        ``NAME.html``. A blind sheet gets a key beside it, ``NAME.key.csv``, which `merge_grades` reads.
    cutouts, data_path : str, optional
        Where their stamps are: what was scored. Exactly one.
    n : int
        Candidates on the sheet.
    lenses : str, optional
        Cutouts of known lenses to hold candidates against. On a blind sheet every second one is planted instead.
    **blinding
        Fields of `Blinding`.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    UsageError
        Both places of stamps, or neither; an unknown option.
    DhsError
        A candidate has no stamp there; the pairs hold no validation pair.
    """
    if (cutouts is None) == (data_path is None):
        raise UsageError("give either cutouts (--cutouts) or data_path (--data-path): what was scored, one of the two")
    blind = take(Blinding, blinding)
    refuse_others("grade_sheet", blinding, Blinding)
    table = storage.read_table(candidates).slice(0, n)
    pairs = open_pairs(data_path) if data_path is not None else None
    hosts = open_cutouts(cutouts) if cutouts is not None else None
    try:
        stamps = stamps_of(table, hosts, pairs)
    except KeyError as error:
        raise DhsError(f"{cutouts or data_path}: no stamp of candidate {error}. Give what was scored.") from None
    out, prevalence = str(out), (table.schema.metadata or {}).get(b"dhs_prevalence", b"None").decode()
    if blind.seed is None and blind.planted is None:
        known = None if prevalence == "None" else float(prevalence)
        page = contact_sheet(table.to_pylist(), stamps, lenses=beside(lenses, table, stamps), prevalence=known)
        storage.write_bytes(out, page.encode())
        return [out]
    rows = [{"what": CANDIDATE, "name": row["id"]} | row for row in table.to_pylist()]
    shown: tuple[list, list] = ([], [])
    if lenses is not None:
        found, images = beside(lenses, table, stamps)
        rows += [{"what": KNOWN_LENS} | row for row in found[::2][: blind.n_planted]]
        stamps += images[::2][: blind.n_planted]
        shown = (found[1::2], images[1::2])
    if blind.planted is not None:
        simulated, images = _plants(open_pairs(blind.planted), blind.n_planted, blind.seed or 0)
        rows, stamps = rows + simulated, stamps + images
    return _write_blind(out, rows, stamps, shown, blind.seed or 0)


def _plants(pairs: Pairs, n: int, seed: int) -> tuple[list[dict], list[np.ndarray]]:
    """Up to ``n`` validation pairs with their arcs, and up to ``n`` controls, each of another host."""
    table = pairs.table("val", ["pair_id", "host_id"])
    order = keyed(seed, Stream.SHEET).permutation(table.num_rows)
    hosts = table["host_id"].to_pylist()
    first = list({hosts[i]: i for i in order[::-1]}.values())[::-1]  # one pair a host
    if not first:
        raise DhsError(f"{pairs.path}: no validation pair to plant. Give a set of more hosts.")
    half = min(n, (len(first) + 1) // 2)
    rows, stamps = [], []
    for what, kind, chosen in (
        (PLANTED_LENS, "positive", first[:half]),
        (PLANTED_CONTROL, "control", first[half:][:n]),
    ):
        images, found = by_pair(pairs, table["pair_id"].take(pa.array(chosen, pa.int64())).to_pylist(), kind)
        stamps += list(images)
        rows += [{"what": what, "name": f"{kind}-{row['pair_id']}"} | row for row in found]
    return rows, stamps


def _write_blind(out: str, rows: list[dict], stamps: list, lenses, seed: int) -> list[str]:
    order = keyed(seed, Stream.SHEET, 1).permutation(len(rows))
    names = [f"s{place + 1:04d}" for place in range(len(rows))]
    page = contact_sheet([{"id": name} for name in names], [stamps[i] for i in order], lenses=lenses)
    sheet = page.split('"sheet": "', 1)[1][:12]
    key = [
        {"sheet": sheet, "id": name, "what": rows[i]["what"], "name": rows[i]["name"]}
        | {k: rows[i].get(k) for k in TOLD}
        for name, i in zip(names, order)
    ]
    paths = [out, out.removesuffix(".html") + ".key.csv"]
    storage.write_bytes(paths[0], page.encode())
    write_rows(paths[1], key)
    return paths
