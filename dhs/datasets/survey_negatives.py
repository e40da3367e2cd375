"""Survey negatives as files, so that a data set's are made once and every checkpoint is scored on the same stamps.

Mock ones are seen under the survey's sky, or, where a data set's hosts are real, under its hosts' own: else seeing and
depth alone would tell the two classes apart. A folder of real galaxies without a lens takes their place (`Maker`).

``<pairs>/survey/seed=<seed>/part-*.parquet``, `PART` stamps each: negative i lies in part i // `PART`, whatever number
an evaluation asks for. ``dhs preflight`` makes those that its plan asks for; a part that is missing when it is read,
or that other code made, is made then.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dhs import fingerprint, storage
from dhs.config import HostsConfig, digest
from dhs.datasets.reader import images, open_pairs, per_band
from dhs.datasets.schema import BANDS
from dhs.encoding import SKY_LEVELS, encode, served
from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.survey.hosts.open import open_hosts
from dhs.survey.mock.hosts import Skies
from dhs.survey.mock.negatives import SurveyNegatives

PART = 400
MIN_GALAXIES = 8  # real ones, for an interval on a rate
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


def skies_of(path: str) -> Skies | None:
    """Seeing, noise and place of each host of a data set; None where hosts are mock, or there is no data set."""
    manifest = storage.join(path, "manifest.json")
    told = storage.read_json(manifest) if storage.exists(manifest) else {"hosts": {"mock": True}}
    return None if told["hosts"]["mock"] else _skies(path, str(told.get("content_hash")))


@lru_cache(maxsize=4)
def _skies(path: str, content_hash: str) -> Skies:
    table = open_pairs(path).table(columns=["host_id", "ra", "dec", "flags", *_SCALARS])
    first = np.unique(np.array(table["host_id"].to_pylist()), return_index=True)[1]
    table = table.take(np.sort(first))
    place = np.stack([table[name].to_numpy() for name in ("ra", "dec")], axis=1)
    measured = np.mean(["sigma_from_mad" in (flags or ()) for flags in table["flags"].to_pylist()])
    fwhm, sigma = per_band(table, "psf_fwhm", "_arcsec"), per_band(table, "sky_sigma")
    return Skies(fwhm.astype(float), sigma.astype(float), place, bool(measured > 0.5))


def _made_by(path: str) -> bytes:
    """What the parts depend on: the code, and the sky."""
    skies = skies_of(path)
    if skies is None:
        return _maker()
    rows = np.concatenate([skies.psf_fwhm, skies.sky_sigma, np.nan_to_num(skies.place, nan=-999.0)], axis=1)
    return _maker() + b":" + digest(repr(np.round(rows, 6).tolist()))[:16].encode()


class FolderNegatives:
    """Real galaxies without a lens, in an order keyed by the seed; a `dhs.survey.hosts.record.HostSet`.

    Parameters
    ----------
    folder : str
        Of cutouts, or what else `dhs.survey.hosts.open.open_hosts` reads.
    n : int
        At most so many are used.
    seed : int
    """

    kind, mock = "survey_negatives", False
    known_lens_catalogue = selection = None

    def __init__(self, folder: str, n: int, seed: int):
        self.spec, self._hosts, self.refusals = folder, _opened(folder), []
        order = keyed(seed, Stream.SAMPLE).permutation(len(self._hosts))
        self._order = order[:n]
        self.refs = [self._hosts.refs[i] for i in self._order]

    def __len__(self) -> int:
        return len(self._order)

    def read(self, i: int):
        """Galaxy i, rounded and dithered as a stored control is."""
        stamp = self._hosts.read(int(self._order[i]))
        stamp.meta.setdefault("kind", "real")
        return replace(stamp, image=served(stamp.image, stamp.sky_sigma / SKY_LEVELS))


@cache
def _opened(folder: str):
    hosts = open_hosts(HostsConfig(spec=folder), 0)
    if len(hosts) < MIN_GALAXIES:
        raise DhsError(
            f"{folder}: {len(hosts)} usable galaxies, {MIN_GALAXIES} are needed. Give more survey negatives."
        )
    return hosts


class Maker:
    """``maker(n, seed)`` gives the survey negatives of a data set.

    Parameters
    ----------
    path : str
        Folder of the data set.
    folder : str or None
        Of real galaxies without a lens; mock ones without.
    """

    def __init__(self, path: str, folder: str | None = None):
        self.path, self.folder, self.mock = path, folder, folder is None

    def __call__(self, n: int, seed: int):
        if self.folder is not None:
            return FolderNegatives(self.folder, n, seed)
        return SurveyNegatives(n, seed, skies_of(self.path))

    def shares(self, n: int, apart: int) -> tuple[int, int]:
        """How many there are to score, and of others to calibrate on, of the numbers asked for."""
        if self.folder is None:
            return n, apart
        there = len(_opened(self.folder))
        if there < n + apart:
            n, apart = there - there * apart // (n + apart), there * apart // (n + apart)
        return n, apart

    @property
    def told(self) -> str:
        """What they are, in words for the screen."""
        if self.folder is not None:
            return f"real galaxies of {self.folder}"
        return "mock, under the survey's sky" if skies_of(self.path) is None else "mock, under the hosts' own sky"


def _made(path: str, seed: int, number: int) -> pa.Table:
    negatives = SurveyNegatives((number + 1) * PART, seed, skies_of(path))
    rows = []
    for i in range(number * PART, (number + 1) * PART):
        stamp = negatives.read(i)
        row = {"host_id": stamp.host_id, "kind": stamp.meta["kind"], "ra": stamp.ra, "dec": stamp.dec}
        row |= {f"psf_fwhm_{band}_arcsec": value for band, value in zip(BANDS, stamp.psf_fwhm)}
        row |= {f"sky_sigma_{band}": value for band, value in zip(BANDS, stamp.sky_sigma)}
        rows.append(row | {"image": encode(stamp.image, stamp.sky_sigma / SKY_LEVELS)})
    return pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({MADE_BY: _made_by(path)}))


def make(path: str, seed: int, number: int) -> pa.Table | None:
    """Make part ``number`` of a data set's survey negatives; None where it is there already."""
    file = _file(path, seed, number)
    if _is_there(file, _made_by(path)):
        return None
    table = _made(path, seed, number)
    storage.write_table(file, table)
    return table


def _is_there(file: str, made_by: bytes) -> bool:
    """Whether a part is whole, and made by this code under this sky."""
    if not storage.exists(file):
        return False
    fs, inner = storage.resolve(file)
    try:
        with fs.open_input_file(inner) as stream:
            found = pq.read_metadata(stream)
    except pa.ArrowInvalid:
        return False
    return found.num_rows == PART and (found.metadata or {}).get(MADE_BY) == made_by


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


def of_set(negatives, span: tuple[int, int]) -> dict:
    """Stamps start to stop of a set of survey negatives, as `read` gives them."""
    stamps = [negatives.read(i) for i in range(*span)]
    return {
        "images": np.stack([s.image for s in stamps]).astype(np.float32),
        "host_id": [s.host_id for s in stamps],
        "kind": [str(s.meta.get("kind", "")) for s in stamps],
        "psf_fwhm": np.array([s.psf_fwhm for s in stamps], dtype=np.float32),
        "sky_sigma": np.array([s.sky_sigma for s in stamps], dtype=np.float32),
    }
