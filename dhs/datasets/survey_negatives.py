"""Survey negatives as files, so that a data set's are made once and every checkpoint is scored on the same stamps.

Mock ones are seen under the survey's sky, or, where a data set's hosts are real, under its hosts' own: else seeing and
depth alone would tell the two classes apart. A folder of real galaxies without a lens takes their place (`Maker`).

``<pairs>/survey/seed=<seed>/part-*.parquet``, `PART` stamps each: negative i lies in part i // `PART`, whatever number
an evaluation asks for. `ensure` makes them, called by what first needs them; a part that other code made is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dhs import engines, fingerprint, storage
from dhs.config import HostsConfig, digest
from dhs.datasets.reader import images, open_pairs, per_band
from dhs.datasets.schema import BANDS, STAMP_SHAPE
from dhs.encoding import SKY_LEVELS, encode, served
from dhs.engines import Engine, Progress
from dhs.errors import DhsError
from dhs.random import Stream, keyed
from dhs.survey.hosts.open import open_hosts
from dhs.survey.hosts.record import ById
from dhs.survey.mock.hosts import Skies
from dhs.survey.mock.negatives import SurveyNegatives

PART = 400
SERIAL_UP_TO = 2  # parts: a second process takes as long to start
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


class FolderNegatives(ById):
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


def make(path: str, seed: int, number: int) -> None:
    """Make and store part ``number`` of a data set's survey negatives."""
    storage.write_table(_file(path, seed, number), _made(path, seed, number))


def _stored(path: str, seed: int, number: int) -> bool:
    return _is_there(_file(path, seed, number), _made_by(path))


def n_made(path: str, seed: int) -> int:
    """How many of a seed's first survey negatives are there, made by this code."""
    number = 0
    while _stored(path, seed, number):
        number += 1
    return number * PART


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


def by_host(path: str, seed: int, host_ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Images (3, 64, 64) of a data set's stored survey negatives by host; those that are not stored are left out."""
    wanted, found = pa.array(sorted(set(host_ids)), pa.string()), {}
    for file in storage.list_files(storage.join(path, "survey", f"seed={seed}"), (".parquet",)) if len(wanted) else ():
        table = storage.read_table(file, columns=["host_id", "image"])
        table = table.filter(pc.is_in(table["host_id"], wanted))
        found |= dict(zip(table["host_id"].to_pylist(), images(table["image"], noisy=True)))
    return found


def n_parts(n: int) -> int:
    """Parts that hold the first n survey negatives."""
    return -(-n // PART)


def ensure(path: str, seed: int, n: int, workers: int | None = None) -> None:
    """Make those of the first n survey negatives of a data set that are missing, several processes at once."""
    missing = [i for i in range(n_parts(n)) if not _stored(path, seed, i)]
    if missing:
        engine = Engine("serial" if len(missing) <= SERIAL_UP_TO else "processes", workers)
        for _ in engines.run(_make_one, missing, _place, (path, seed), engine, Progress("survey negatives")):
            pass


def _place(path: str, seed: int) -> tuple[str, int]:
    return path, seed


def _make_one(place: tuple[str, int], number: int) -> None:
    make(*place, number)


def rows(path: str, seed: int, span: tuple[int, int]) -> pa.Table:
    """Survey negatives of a data set as they are stored (`SCHEMA`), from the first to one past the last; made first
    where they are missing."""
    start, stop = span
    tables = []
    for number in range(start // PART, n_parts(stop)):
        if not _stored(path, seed, number):
            make(path, seed, number)
        table, first = storage.read_table(_file(path, seed, number)), number * PART
        tables.append(table.slice(max(start - first, 0), min(stop - first, PART) - max(start - first, 0)))
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def looked_at(maker: Maker, seed: int, n: int) -> dict:
    """The first n as `read` gives them: read where they are stored, else made; nothing is written."""
    if maker.mock and all(_stored(maker.path, seed, number) for number in range(n_parts(n))):
        return read(maker.path, seed, (0, n))
    return of_set(maker(n, seed), (0, n))


def read(path: str, seed: int, span: tuple[int, int]) -> dict:
    """Survey negatives of a data set; parts that are missing are made.

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
        ``images`` (n, 3, 64, 64) float32 nanomaggies, ``host_id`` and ``kind`` lists of str, ``ra`` and ``dec`` (n,)
        degrees, ``psf_fwhm`` (n, 3) arcsec and ``sky_sigma`` (n, 3) nanomaggies, float32.
    """
    table = rows(path, seed, span)
    return {
        "images": images(table["image"], noisy=True),
        "host_id": table["host_id"].to_pylist(),
        "kind": table["kind"].to_pylist(),
        "ra": table["ra"].to_numpy(),
        "dec": table["dec"].to_numpy(),
        "psf_fwhm": per_band(table, "psf_fwhm", "_arcsec").astype(np.float32),
        "sky_sigma": per_band(table, "sky_sigma").astype(np.float32),
    }


def of_set(negatives, span: tuple[int, int]) -> dict:
    """Stamps start to stop of a set of survey negatives, as `read` gives them."""
    stamps = [negatives.read(i) for i in range(*span)]
    return {
        "images": np.array([s.image for s in stamps], np.float32).reshape(len(stamps), *STAMP_SHAPE),
        "host_id": [s.host_id for s in stamps],
        "kind": [str(s.meta.get("kind", "")) for s in stamps],
        "ra": np.array([s.ra for s in stamps], dtype=float),
        "dec": np.array([s.dec for s in stamps], dtype=float),
        "psf_fwhm": np.array([s.psf_fwhm for s in stamps], dtype=np.float32),
        "sky_sigma": np.array([s.sky_sigma for s in stamps], dtype=np.float32),
    }
