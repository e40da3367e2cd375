"""Pairs of a split on one device, as the integers they are stored as: three bytes a pixel, nothing rounded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from dhs import storage
from dhs.datasets import reader, survey_negatives
from dhs.datasets.schema import STAMP_SHAPE
from dhs.encoding import Integers, integers
from dhs.errors import DhsError
from dhs.injection.noise import INFINITE_GAIN
from dhs.models.decode import SIGMAS, part_files
from dhs.models.on_device.images import Images

AHEAD = 32  # files read at a time, before their images go to the device
FWHM = "psf_fwhm_r_arcsec"
SCALARS = ("pair_id", "host_id", "theta_e_arcsec", FWHM, *SIGMAS, "gain_g", "gain_r", "gain_z")
HARD_SCALARS = ("pair_id", "kind")


@dataclass
class Bank:
    """A split on a device, and survey negatives beside it.

    Attributes
    ----------
    scalars, hard_scalars : pyarrow.Table
        Of the n pairs and their m hard negatives.
    base : Images, n + s
        Controls, then survey negatives.
    light : Images, n + m
        Arcs, then the light of hard negatives.
    gain, sky_sigma : Tensor, (n + s, 3) float32
        Electrons per nanomaggy; nanomaggies. Of survey negatives the gain is infinite.
    theta_e, psf_fwhm : Tensor, (n + s,) float32
        Arcsec; NaN for survey negatives.
    hard_first, hard_count : Tensor of int64, (n,)
        Rows of each pair's hard negatives in ``light``.
    survey_seed : int or None
    survey_kinds : tuple of str, s
    """

    scalars: pa.Table
    hard_scalars: pa.Table
    base: Images
    light: Images
    gain: torch.Tensor
    sky_sigma: torch.Tensor
    theta_e: torch.Tensor
    psf_fwhm: torch.Tensor
    hard_first: torch.Tensor
    hard_count: torch.Tensor
    survey_seed: int | None = None
    survey_kinds: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Pairs."""
        return len(self.hard_first)

    @property
    def n_survey(self) -> int:
        return len(self.base) - len(self)

    @property
    def device(self) -> torch.device:
        return self.gain.device

    @property
    def nbytes(self) -> int:
        """Of the images on the device."""
        return sum(t.nbytes for i in (self.base, self.light) for t in (i.low, i.high))

    def stamps(self, base: torch.Tensor, light: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Stamps: base + light + the light's shot noise, drawn now.

        Parameters
        ----------
        base : Tensor of int64, (k,)
            Rows of ``base``.
        light : Tensor of int64, (k,)
            Rows of ``light``; -1 for none.
        generator : torch.Generator, optional
            Of the device; without one there is no noise.

        Returns
        -------
        Tensor, (k, 3, 64, 64) float32
            Nanomaggies.
        """
        control = self.base.take(base, noisy=True)
        added = self.light.take(light.clamp_min(0)) * (light >= 0)[:, None, None, None]
        if generator is None:
            return control + added
        return control + added + shot_noise(added, self.gain.index_select(0, base), generator)


def shot_noise(light: torch.Tensor, gain: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Photon noise that added light brings with it: `dhs.injection.noise.shot_noise` on a device, with its own draws.

    Parameters
    ----------
    light : Tensor, (n, 3, y, x)
        Nanomaggies; negative values bring none.
    gain : Tensor, (n, 3)
        Electrons per nanomaggy; none where `INFINITE_GAIN` or more.
    generator : torch.Generator
    """
    gain = gain[..., None, None]
    counted = (light > 0) & (gain < INFINITE_GAIN * (1 - 1e-6))
    electrons = torch.where(counted, light * gain, 0.0)
    return (torch.poisson(electrons, generator=generator) - electrons) / gain


def load(
    pairs: reader.Pairs,
    split: str,
    device: torch.device,
    *,
    columns: Sequence[str] = SCALARS,
    workers: int = 8,
) -> Bank:
    """Read a split to a device.

    Parameters
    ----------
    pairs : Pairs
        Stored encoded.
    split : str
    device : torch.device
    columns : sequence of str
        Kept of the pairs.
    workers : int
        Threads.

    Raises
    ------
    DhsError
        An empty split, images that are not stored encoded, or a hard negative without its pair.
    """
    files = part_files(pairs, split)
    with ThreadPoolExecutor(workers) as pool:
        counts = list(pool.map(lambda names: tuple(_rows(name) for name in names), files))
        n, m = (sum(c[k] for c in counts) for k in (0, 1))
        if not n:
            raise DhsError(f"{pairs.path}: split {split!r} has no pair. Make a larger data set (--n-pairs).")
        base, light = Images(n, device), Images(n + m, device)
        tables, hard_tables, at, hard_at = [], [], 0, n
        for control, arc, hard, table, hard_table in _ahead(pool, lambda f: _read(f, columns), files):
            base.put(at, control)
            light.put(at, arc)
            light.put(hard_at, hard)
            at, hard_at = at + len(control.low), hard_at + len(hard.low)
            tables.append(table)
            hard_tables.append(hard_table)
    return _bank(pa.concat_tables(tables), pa.concat_tables(hard_tables), base, light)


def with_survey(bank: Bank, path: str, survey: tuple[int, int], workers: int = 8) -> Bank:
    """The same bank with survey negatives beside its pairs.

    Parameters
    ----------
    bank : Bank
        Of pairs alone.
    path : str
        Folder of the data set.
    survey : (int, int)
        Seed of the negatives, and how many.
    workers : int
        Threads.
    """
    n = survey[1]
    more, sigma, kinds = Images(n, bank.device), [np.empty((0, 3), np.float32)], []
    parts = range(survey_negatives.n_parts(n))
    with ThreadPoolExecutor(workers) as pool:
        for number, (images, its, theirs) in enumerate(_ahead(pool, lambda k: _survey(path, survey, k), parts)):
            more.put(number * survey_negatives.PART, images)
            sigma.append(its)
            kinds += theirs

    def beside(mine: torch.Tensor, value: float) -> torch.Tensor:
        return torch.cat([mine, mine.new_full((n, *mine.shape[1:]), value)])

    return replace(
        bank,
        base=bank.base.followed_by(more),
        gain=beside(bank.gain, INFINITE_GAIN),
        sky_sigma=torch.cat([bank.sky_sigma, torch.from_numpy(np.concatenate(sigma)).to(bank.device)]),
        theta_e=beside(bank.theta_e, float("nan")),
        psf_fwhm=beside(bank.psf_fwhm, float("nan")),
        survey_seed=survey[0],
        survey_kinds=tuple(kinds),
    )


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Sequence) -> Iterator:
    """``function`` of every item in order, some of them computed together."""
    for start in range(0, len(items), AHEAD):
        yield from pool.map(function, items[start : start + AHEAD])


def _rows(file: str | None) -> int:
    return 0 if file is None else storage.read_table(file, columns=["pair_id"]).num_rows


def _read(files: tuple[str, str | None], columns: Sequence[str]):
    """Images and scalars of one part and of its hard negatives."""
    file, negative_file = files
    wanted = [*dict.fromkeys((*columns, *SCALARS, "control", "arc"))]
    table = storage.read_table(file, columns=wanted)
    control, arc = (_integers(table[name], file) for name in ("control", "arc"))
    if negative_file is None:
        hard_table = pa.table({"pair_id": pa.array([], pa.int64()), "kind": pa.array([], pa.string())})
        return control, arc, _none(), table.drop_columns(["control", "arc"]), hard_table
    hard_table = storage.read_table(negative_file, columns=[*HARD_SCALARS, "light"])
    hard = _integers(hard_table["light"], negative_file) if hard_table.num_rows else _none()
    return control, arc, hard, table.drop_columns(["control", "arc"]), hard_table.drop_columns(["light"])


def _none() -> Integers:
    shape = (0, *STAMP_SHAPE)
    planes = (np.empty(shape, np.uint16), np.empty(shape, np.uint8))
    return Integers(*planes, np.empty((0, 3), np.int32), np.empty((0, 3), np.float32), np.empty(0, np.uint64))


def _integers(column: pa.ChunkedArray, file: str) -> Integers:
    if not pa.types.is_binary(column.type):
        raise DhsError(f"{file}: its images are not stored encoded. Make the data set with this version.")
    if not len(column):
        return _none()
    try:
        chunk = column.combine_chunks()
        return integers(pa.concat_arrays(chunk.chunks) if isinstance(chunk, pa.ChunkedArray) else chunk)
    except ValueError as error:
        raise DhsError(f"{file}: {error}. Make the data set again.") from None


def _survey(path: str, survey: tuple[int, int], number: int) -> tuple[Integers, np.ndarray, list[str]]:
    """One stored part of the survey negatives, no more than were asked for, and their sky sigma and kinds."""
    seed, n = survey
    first = number * survey_negatives.PART
    table = survey_negatives.rows(path, seed, (first, min(first + survey_negatives.PART, n)))
    sigma = reader.per_band(table, "sky_sigma").astype(np.float32)
    return _integers(table["image"], f"{path}, survey negatives {number}"), sigma, table["kind"].to_pylist()


def _bank(scalars: pa.Table, hard_scalars: pa.Table, base: Images, light: Images) -> Bank:
    device, n = base.low.device, scalars.num_rows
    ids, of = scalars["pair_id"].to_numpy(), hard_scalars["pair_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    place = order[np.minimum(np.searchsorted(ids[order], of), n - 1)]
    if (ids[place] != of).any() or (np.diff(place) < 0).any():
        raise DhsError("a hard negative is not where its pair is. Make the data set again.")
    count = np.bincount(place, minlength=n)
    gain, sigma = (reader.per_band(scalars, name).astype(np.float32) for name in ("gain", "sky_sigma"))
    theta_e, psf_fwhm = (scalars[name].to_numpy().astype(np.float32) for name in ("theta_e_arcsec", FWHM))
    columns = (gain, sigma, theta_e, psf_fwhm, n + np.cumsum(count) - count, count)
    return Bank(scalars, hard_scalars, base, light, *(torch.tensor(c, device=device) for c in columns))
