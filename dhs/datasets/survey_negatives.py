"""Survey negatives as files, so that a data set's are made once and every checkpoint is scored on the same stamps.

``<pairs>/survey/seed=<seed>/part-*.parquet``, `PART` stamps each: negative i lies in part i // `PART`, whatever number
an evaluation asks for. ``dhs preflight`` makes those that its plan asks for; a part that is missing when it is read,
or that other code made, is made then.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs import fingerprint, storage
from dhs.datasets.reader import images, per_band
from dhs.datasets.schema import BANDS
from dhs.encoding import SKY_LEVELS, encode
from dhs.survey.mock.negatives import SurveyNegatives

PART = 400
MADE_BY = b"dhs_made_by"
_SCALARS = [f"{stem}_{band}{unit}" for stem, unit in (("psf_fwhm", "_arcsec"), ("sky_sigma", "")) for band in BANDS]
SCHEMA = pa.schema(
    [("host_id", pa.string()), ("kind", pa.string()), ("ra", pa.float64()), ("dec", pa.float64())]
    + [(name, pa.float32()) for name in _SCALARS]
    + [("image", pa.binary())]
)
"""``image`` is encoded as a control is (`dhs.encoding`)."""


@cache
def _maker() -> bytes:
    return fingerprint.code("dhs.survey.mock.negatives").encode()


def _file(path: str, seed: int, number: int) -> str:
    return storage.join(path, "survey", f"seed={seed}", f"part-{number:05d}.parquet")


def _made(seed: int, number: int) -> pa.Table:
    negatives = SurveyNegatives((number + 1) * PART, seed)
    rows = []
    for i in range(number * PART, (number + 1) * PART):
        stamp = negatives.read(i)
        row = {"host_id": stamp.host_id, "kind": stamp.meta["kind"], "ra": stamp.ra, "dec": stamp.dec}
        row |= {f"psf_fwhm_{band}_arcsec": value for band, value in zip(BANDS, stamp.psf_fwhm)}
        row |= {f"sky_sigma_{band}": value for band, value in zip(BANDS, stamp.sky_sigma)}
        rows.append(row | {"image": encode(stamp.image, stamp.sky_sigma / SKY_LEVELS)})
    return pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({MADE_BY: _maker()}))


def make(path: str, seed: int, number: int) -> pa.Table | None:
    """Make part ``number`` of a data set's survey negatives; None where it is there already."""
    file = _file(path, seed, number)
    if _is_there(file):
        return None
    table = _made(seed, number)
    storage.write_table(file, table)
    return table


def _is_there(file: str) -> bool:
    """Whether a part is whole, and made by this code."""
    if not storage.exists(file):
        return False
    fs, inner = storage.resolve(file)
    try:
        with fs.open_input_file(inner) as stream:
            found = pq.read_metadata(stream)
    except pa.ArrowInvalid:
        return False
    return found.num_rows == PART and (found.metadata or {}).get(MADE_BY) == _maker()


def n_parts(n: int) -> int:
    """Parts that hold the first n survey negatives."""
    return -(-n // PART)


def rows(path: str, seed: int, span: tuple[int, int]) -> pa.Table:
    """Survey negatives of a data set as they are stored (`SCHEMA`), from the first to one past the last."""
    start, stop = span
    tables = []
    for number in range(start // PART, n_parts(stop)):
        table, first = make(path, seed, number), number * PART
        table = storage.read_table(_file(path, seed, number)) if table is None else table
        tables.append(table.slice(max(start - first, 0), min(stop - first, PART) - max(start - first, 0)))
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def read(path: str, seed: int, span: tuple[int, int]) -> dict:
    """Survey negatives of a data set.

    Parameters
    ----------
    path : str
        Folder of the data set.
    seed : int
    span : (int, int)
        First, and one past the last.

    Returns
    -------
    dict
        ``images`` (n, 3, 64, 64) float32 nanomaggies, ``host_id`` and ``kind`` lists of str, ``psf_fwhm`` (n, 3)
        arcsec and ``sky_sigma`` (n, 3) nanomaggies, float32.
    """
    table = rows(path, seed, span)
    return {
        "images": images(table["image"], noisy=True),
        "host_id": table["host_id"].to_pylist(),
        "kind": table["kind"].to_pylist(),
        "psf_fwhm": per_band(table, "psf_fwhm", "_arcsec").astype(np.float32),
        "sky_sigma": per_band(table, "sky_sigma").astype(np.float32),
    }
