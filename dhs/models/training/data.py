"""Training samples from pairs: each pair once an epoch, as a positive and one negative.

A split that fits in memory is held decoded; a larger one is streamed through a window that is shuffled, so memory
does not grow with it. Either way the samples of an epoch depend on (seed, epoch) alone for what they are, whatever
the number of processes, and every pair is met exactly once: the ids are counted. Besides stored pairs there may be
fresh ones, under the same ids with other arcs every epoch (`dhs.datasets.fresh.FreshPairs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch

from dhs.datasets.schema import STAMP_SHAPE
from dhs.errors import DhsError
from dhs.models.decode import PairSource, Part, read_parts, stack
from dhs.models.training.negatives import Pool
from dhs.options import refuse_others, take
from dhs.random import Stream, keyed

MEMORY_LIMIT_BYTES = 2_000_000_000
WINDOW_PAIRS = 4096
STAMP_BYTES = 4 * int(np.prod(STAMP_SHAPE))
MISSING_FRESH = 0.01
ORDER = 2
"""Raised where the same seed gives other batches: no run is resumed across it. 2: streams of their own."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step, positives first.

    Attributes
    ----------
    stamps, control : ndarray, (n, 3, 64, 64) float32
        Network input and each stamp's own control (itself for a control), nanomaggies.
    labels : ndarray, (n,) float32
    pair_id : ndarray, (n,) int64
    hard, survey : ndarray, (n,) bool
        The pair's hard negative; a galaxy that is no pair's (`dhs.models.training.negatives`).
    theta_e, psf_fwhm : ndarray, (n,) float32
        Arcsec, of the pair.
    sky_sigma : ndarray, (n, 3) float32
    slot : ndarray, (n,) int64
        Place in the step's global batch: random draws for it are taken there.
    n_slots, n_stamps : int
        Places and stamps the global batch has.
    """

    stamps: np.ndarray
    control: np.ndarray
    labels: np.ndarray
    pair_id: np.ndarray
    hard: np.ndarray
    theta_e: np.ndarray
    psf_fwhm: np.ndarray
    sky_sigma: np.ndarray
    slot: np.ndarray
    n_slots: int
    n_stamps: int
    survey: np.ndarray

    def take(self, index: np.ndarray) -> Batch:
        """Some of its samples."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return Batch(**{k: v[index] if isinstance(v, np.ndarray) else v for k, v in own.items()})


def used_hosts(hosts: np.ndarray, seed: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a fraction of the hosts, and the rank of each pair's host in an order that the seed shuffles.

    Parameters
    ----------
    hosts : ndarray of str, (n,)
        Id of each pair's host.
    seed : int
    fraction : float
        In (0, 1]; one host is used at least.

    Returns
    -------
    (ndarray of bool, ndarray of int64), (n,) each
    """
    names, code = np.unique(hosts, return_inverse=True)
    rank = keyed(seed, Stream.TRAIN_HOSTS).permutation(len(names))[code]
    return rank < max(1, round(fraction * len(names))), rank


@dataclass(frozen=True)
class Mixture:
    """Which stamps of a split an epoch meets.

    Attributes
    ----------
    negatives_per_positive : float
        Of each pair its negative is met every epoch, its positive in one epoch of so many.
    unpaired : bool
        One half of the hosts gives positives only, the other half negatives only.
    fraction : float
        Fraction of the hosts that is used; the same hosts for the same seed.
    survey_ratio : float
        Negatives that are galaxies of the pool.
    """

    negatives_per_positive: float = 1.0
    unpaired: bool = False
    fraction: float = 1.0
    survey_ratio: float = 0.0


class Samples:
    """The samples of one split.

    Parameters
    ----------
    pairs : PairSource
    split : str
    hard_negative_ratio : float
        Fraction of an epoch's negatives that are hard, as far as the split has so many.
    seed : int
    memory_limit : float
        Bytes of decoded stamps up to which the split is held in memory.
    window : int
        Pairs shuffled together when the split is streamed.
    fresh : object, optional
        Its ``for_epoch(n)`` gives the pairs of epoch n, instead of the stored ones. A pair for which no arc could be
        placed in an epoch is missing from it.
    pool : Pool, optional
        Galaxies that ``survey_ratio`` of the negatives are, in place of the pair's own.
    **mixture
        Fields of `Mixture`.

    Attributes
    ----------
    n_hard : int
        Pairs whose negative may be a hard one.
    n_survey : int
        Negatives an epoch that are the pool's.
    hard_share : float
        Expected fraction of an epoch's negatives that are hard: ``hard_negative_ratio`` where there are enough.

    Raises
    ------
    DhsError
        The split is empty or a pair id occurs twice in it.
    """

    def __init__(
        self,
        pairs: PairSource,
        split: str,
        hard_negative_ratio: float = 0.0,
        seed: int = 0,
        *,
        memory_limit: float = MEMORY_LIMIT_BYTES,
        window: int = WINDOW_PAIRS,
        fresh=None,
        pool: Pool | None = None,
        **mixture,
    ):
        mix = take(Mixture, mixture)
        refuse_others("samples", mixture, Mixture)
        self.pairs, self.split, self.seed, self.window = pairs, split, seed, window
        self._ratio = mix.negatives_per_positive
        table = pairs.table(split, columns=["pair_id", "host_id"]).sort_by("pair_id")
        ids = table["pair_id"].to_numpy()
        if len(ids) == 0:
            raise DhsError(f"{pairs.path}: split {split!r} has no pair. Make a larger data set (--n-pairs).")
        if (repeated := ids[1:][np.diff(ids) == 0]).size:
            raise DhsError(f"{pairs.path}: pair {repeated[0]} is in split {split!r} twice. Make the data set again.")
        used, rank = used_hosts(np.array(table["host_id"].to_pylist(), dtype=str), seed, mix.fraction)
        self.pair_id, rank = ids[used], rank[used]
        self._positive = (rank % 2 == 0) | (not mix.unpaired)
        self._negative = (rank % 2 == 1) | (not mix.unpaired)
        hard = np.unique(pairs.table(split, columns=["pair_id"], negatives=True)["pair_id"].to_numpy())
        self.n_hard = int(np.isin(self.pair_id[self._negative], hard).sum())
        self.pool, self.n_survey = pool, round(mix.survey_ratio * int(self._negative.sum())) if pool else 0
        own = 1 - self.n_survey / max(self._negative.sum(), 1)  # of the negatives are left to the pairs
        share = hard_negative_ratio * self._negative.sum() / (self.n_hard * own) if self.n_hard and own else 0.0
        self._p_hard = min(1.0, share)
        self.hard_share = float(self._p_hard * own * self.n_hard / max(self._negative.sum(), 1))
        self.fresh = fresh
        self.in_memory = fresh is None and (2 * len(ids) + self.n_hard) * STAMP_BYTES <= memory_limit
        self._held: list[Part] = []

    def _survey(self, epoch: int) -> np.ndarray:
        """(pairs,) objects: the galaxy of the pool that is a pair's negative in an epoch, or None."""
        out = np.full(len(self.pair_id), None, dtype=object)
        if self.pool is not None:
            rng = keyed(self.seed, Stream.TRAIN_NEGATIVES, epoch)
            places = rng.permutation(np.flatnonzero(self._negative))[: self.n_survey]
            for place, galaxy in zip(places, self.pool.drawn(epoch, len(places))):
                out[place] = galaxy
        return out

    @property
    def stamps_per_pair(self) -> float:
        """Stamps a pair gives an epoch, on average."""
        return float(np.mean(self._positive) / self._ratio + np.mean(self._negative))

    def __len__(self) -> int:
        return round(self.stamps_per_pair * len(self.pair_id))

    def _pairs_a_step(self, batch_size: int) -> int:
        return max(round(batch_size / self.stamps_per_pair), 1)

    def steps(self, batch_size: int) -> int:
        """Batches an epoch has."""
        return -(-len(self.pair_id) // self._pairs_a_step(batch_size))

    def parts(self, pairs: PairSource | None = None) -> Iterator[Part]:
        """Decoded pairs of the split, held in memory once they were read if they fit."""
        if self._held:
            yield from self._held
            return
        held = []
        for part in read_parts(pairs or self.pairs, self.split):
            if self.in_memory:
                part = part.held()
                held.append(part)
            yield part
        self._held = held

    def epoch(
        self,
        epoch: int,
        batch_size: int,
        *,
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
        seen: np.ndarray | None = None,
    ) -> Iterator[Batch]:
        """Batches of one epoch: of each pair its positive and one negative, both in the same batch.

        A pair's negative is one of the pool's galaxies in ``n_survey`` of the pairs; of the others a hard one with a
        probability that makes ``hard_negative_ratio`` of all negatives hard, else its control. Positive and negative
        share a batch because what their common host does to the gradient then cancels.

        Parameters
        ----------
        epoch : int
            With the seed it decides order and negatives.
        batch_size : int
            Stamps a step over all processes; the last batches of an epoch are of about equal size.
        rank, world : int
            This process takes every ``world``-th pair of a batch, from ``rank`` on.
        skip : int
            Steps left out at the start, because they were taken before.
        seen : ndarray of int64, (pairs,), optional
            Counts here how often each pair was met, in the order of ``pair_id``; given, nothing is checked.

        Raises
        ------
        DhsError
            Some pair was not met exactly once (the data set changed while it was read).
        """
        rng = keyed(self.seed, Stream.EPOCH, epoch)
        n, size = len(self.pair_id), self._pairs_a_step(batch_size)
        draws = {"hard": rng.random(n) < self._p_hard, "pick": rng.random(n)}
        rare = rng.random(n).argsort().argsort() >= n / self._ratio
        draws |= {"positive": self._positive & ~rare, "negative": self._negative, "survey": self._survey(epoch)}
        counts = np.zeros(n, np.int64) if seen is None else seen
        source = self.fresh.for_epoch(epoch) if self.fresh is not None else None
        window: list[tuple[Part, int, int]] = []
        limit, step = np.inf if self.in_memory else self.window, 0
        parts = self.parts(source)
        # stamps of a streamed split have their noise still to come: all cores lose a little time to it, not one a lot
        threads = 1 if self.in_memory else torch.get_num_threads()
        pool = ThreadPoolExecutor(threads)
        done = False
        while not done:
            part = next(parts, None)
            if done := part is None:
                rng.shuffle(window)
                groups = np.array_split(np.arange(len(window)), -(-len(window) // size)) if window else []
                groups, window = [[window[i] for i in group] for group in groups], []
            else:
                place = np.minimum(np.searchsorted(self.pair_id, part.pair_id), n - 1)
                used = np.flatnonzero(self.pair_id[place] == part.pair_id)
                window += [(part, int(row), int(place[row])) for row in used]
                if len(window) < limit:
                    continue
                rng.shuffle(window)
                full = (len(window) - self.window // 2) // size * size
                groups = [window[start : start + size] for start in range(0, full, size)]
                window = window[full:]
            for group in groups:
                own = np.arange(rank, len(group), world)
                counts[[group[i][2] for i in own]] += 1
                step += 1
                if step > skip:
                    yield _batch(group, own, draws, pool, threads)
        pool.shutdown()
        if seen is None and world == 1:
            self.check(counts, epoch)

    def check(self, seen: np.ndarray, epoch: int) -> None:
        """Stop unless every pair was met exactly once, counted over all processes.

        Of fresh pairs up to one in a hundred may be missing from an epoch.
        """
        wrong = int((seen != 1).sum())
        if self.fresh is not None and (seen <= 1).all() and wrong <= MISSING_FRESH * len(seen):
            return
        if wrong:
            raise DhsError(
                f"split {self.split!r}, epoch {epoch}: {wrong} of {len(seen)} pairs were not met exactly once. "
                "Was the data set changed during the run?"
            )


def _batch(
    group: list[tuple[Part, int, int]], own: np.ndarray, draws: dict[str, np.ndarray], pool: Executor, threads: int
) -> Batch:
    """The stamps that pairs ``own`` of a global batch give, made by some threads of a pool."""
    place = np.array([p for _, _, p in group], np.int64)
    gives = np.concatenate([draws["positive"][place], draws["negative"][place]])
    slots = [slot for slot in (*own, *(own + len(group))) if gives[slot]]
    chosen = [group[slot % len(group)] for slot in slots]
    galaxies = [draws["survey"][p] if slot >= len(group) else None for slot, (_, _, p) in zip(slots, chosen)]
    hards = []
    for slot, galaxy, (part, row, p) in zip(slots, galaxies, chosen):
        choice = part.hard_of[row] if slot >= len(group) and draws["hard"][p] and galaxy is None else ()
        hards.append(int(choice[int(draws["pick"][p] * len(choice))]) if len(choice) else None)

    stamps = np.empty((len(slots), *STAMP_SHAPE), np.float32)
    control = stack([part.control[row] for part, row, _ in chosen])
    fwhm = np.array([part.psf_fwhm[row] for part, row, _ in chosen], np.float32)
    sigma = np.array([part.sky_sigma[row] for part, row, _ in chosen], np.float32).reshape(-1, 3)

    def fill(first: int) -> None:
        for k in range(first, len(slots), threads):
            part, row, _ = chosen[k]
            if slots[k] < len(group):
                stamps[k] = part.positive_at(row)
            elif galaxies[k] is not None:
                negatives, i = galaxies[k]
                stamps[k] = control[k] = negatives.images([i])[0]
                fwhm[k], sigma[k] = negatives.psf_fwhm[i], negatives.sky_sigma[i]
            else:
                stamps[k] = part.control[row] if hards[k] is None else part.hard_at(hards[k])

    list(pool.map(fill, range(threads)))
    return Batch(
        stamps,
        control,
        (np.array(slots) < len(group)).astype(np.float32),
        np.array([part.pair_id[row] for part, row, _ in chosen], np.int64),
        np.array([hard is not None for hard in hards], bool),
        np.array([part.theta_e[row] for part, row, _ in chosen], np.float32),
        fwhm,
        sigma,
        np.array(slots, np.int64),
        2 * len(group),
        int(gives.sum()),
        np.array([galaxy is not None for galaxy in galaxies], bool),
    )
