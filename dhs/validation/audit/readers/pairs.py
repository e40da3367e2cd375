"""Our own pairs, and those of the earlier format: positives and their controls."""

from __future__ import annotations

import numpy as np

from dhs import storage
from dhs.datasets.reader import open_pairs, per_band, rows
from dhs.datasets.schema import BANDS, SPLITS
from dhs.datasets.stamp_sets import by_pair
from dhs.validation.audit.readers.base import Found, Layout, Raw

COLUMNS = ["pair_id", "host_id", "ra", "dec"]
CONDITIONS = [f"psf_fwhm_{b}_arcsec" for b in BANDS] + [f"sky_sigma_{b}" for b in BANDS]


def is_pairs(path: str) -> bool:
    """Whether a folder is a pairs data set, ours or of the earlier format."""
    if storage.exists(storage.join(path, "manifest.json")):
        return True
    return any(storage.list_files(storage.join(path, s), (".parquet",)) for s in SPLITS)


def of_pairs(path: str, layout: Layout) -> Found:
    """Positives at the even places, their controls at the odd ones."""
    pairs = open_pairs(path)
    columns: dict[str, list] = {name: [] for name in ("pair_id", "group", "split", "ra", "dec", *CONDITIONS)}
    import pyarrow as pa

    for split in SPLITS:
        for batch in pairs.batches(split, [*COLUMNS, *CONDITIONS]):
            for row in rows(pa.Table.from_batches([batch])):
                columns["pair_id"].append(int(row["pair_id"]))
                columns["group"].append(str(row["host_id"]))
                columns["split"].append(split)
                columns["ra"].append(row["ra"])
                columns["dec"].append(row["dec"])
                for name, values in (("psf_fwhm", "_arcsec"), ("sky_sigma", "")):
                    for b, value in zip(BANDS, per_band(row, name, values)):
                        columns[f"{name}_{b}{values}"].append(value)
    ids = columns.pop("pair_id")
    twice = {k: np.repeat(np.array(v), 2) for k, v in columns.items()}
    twice["label"] = np.tile([1, 0], len(ids))

    def read(places) -> list[Raw]:
        wanted = sorted({ids[int(i) // 2] for i in places})
        found = {}
        for kind in ("positive", "control"):
            stamps, of = by_pair(pairs, wanted, kind)
            found[kind] = {row["pair_id"]: s for s, row in zip(stamps, of)}
        return [Raw(found[("positive", "control")[int(i) % 2]][ids[int(i) // 2]], {"dtype": "<f4"}) for i in places]

    names = [f"{i} {what}" for i in ids for what in ("positive", "control")]
    return Found("pairs", names, twice, read, bands=tuple(BANDS))
