"""Negatives of a training that no pair has: survey-like galaxies of every kind, and real ones known not to be lenses.

They are drawn with seeds of their own (`SEEDS`), far from any a profile may have, so none that was trained on serves a
false-positive rate; a checkpoint says which it saw, and `refuse_trained_on` stops a rate that would be measured on
them. Stamps are held encoded, an eighth of their decoded size, and decoded when a batch asks for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa

from dhs.config import HostsConfig, TrainConfig
from dhs.datasets import survey_negatives
from dhs.datasets.reader import images, per_band
from dhs.encoding import SKY_LEVELS, encode, served
from dhs.errors import DhsError, InputRefused, UsageError
from dhs.random import Stream, keyed
from dhs.survey.hosts.open import open_hosts
from dhs.survey.hosts.record import HostSet
from dhs.survey.hosts.stamp import HostStamp

SEEDS = 2**48  # and above: of survey-like galaxies for training and its validation
HELD_OUT = 5  # of a folder's galaxies, one in so many goes to validation
READ = 400
MINED_SHARE = 0.5


NONE = {"seeds": [], "pixels": [], "hosts": []}


def survey_seed(seed: int, split: str) -> int:
    """Seed of the survey-like galaxies that a training on a data set of this seed meets.

    Raises
    ------
    UsageError
        The data set's own seed lies among those kept for training.
    """
    if not 0 <= seed < SEEDS // 4:
        raise UsageError(
            f"seed {seed}: seeds from {SEEDS // 4} on are kept for negatives of trainings. Give a smaller."
        )
    return SEEDS + 2 * seed + {"train": 0, "val": 1}[split]


class Negatives:
    """Galaxies to draw negatives from.

    Parameters
    ----------
    blobs : list of bytes
        Encoded stamps.
    kinds, host_ids : sequence of str
    psf_fwhm : ndarray, (n,) float32
        r band, arcsec.
    sky_sigma : ndarray, (n, 3) float32
        Nanomaggies.
    seed : int or None
        Of mock ones.
    pixels : sequence of str
        `fingerprint` of real ones.
    """

    def __init__(self, blobs, kinds, host_ids, psf_fwhm, sky_sigma, seed: int | None = None, pixels=()):
        self.blobs, self.kinds, self.host_ids = list(blobs), list(kinds), list(host_ids)
        self.psf_fwhm, self.sky_sigma, self.seed, self.pixels = psf_fwhm, sky_sigma, seed, list(pixels)

    def __len__(self) -> int:
        return len(self.blobs)

    @classmethod
    def mock(cls, folder: str, seed: int, n: int) -> Negatives:
        """The first n survey-like galaxies of a seed, made once and stored in a folder."""
        found = survey_negatives.rows(folder, seed, (0, n))
        fwhm, sigma = found["psf_fwhm_r_arcsec"].to_numpy(), per_band(found, "sky_sigma").astype(np.float32)
        return cls(*(found[name].to_pylist() for name in ("image", "kind", "host_id")), fwhm, sigma, seed)

    @classmethod
    def real(cls, folder: str, split: str) -> Negatives:
        """Galaxies of a folder of cutouts, known not to be lenses; one in five is kept for validation.

        Raises
        ------
        DhsError
            None can be read.
        """
        hosts = open_hosts(HostsConfig(spec=folder), 0)
        chosen = [i for i, ref in enumerate(hosts.refs) if _held_out(ref.host_id) == (split == "val")]
        stamps = [hosts.read(i) for i in chosen]
        if not stamps and split == "train":
            raise DhsError(f"{folder}: no cutout to train on. nonlenses is a folder of cutouts known not to be lenses.")
        return cls(
            [encode(s.image, np.asarray(s.sky_sigma) / SKY_LEVELS) for s in stamps],
            ["real"] * len(stamps),
            [s.host_id for s in stamps],
            np.array([s.psf_fwhm[1] for s in stamps], np.float32),
            np.array([s.sky_sigma for s in stamps], np.float32).reshape(-1, 3),
            pixels=[fingerprint(s) for s in stamps],
        )

    def images(self, index: Sequence[int]) -> np.ndarray:
        """(n, 3, 64, 64) float32 nanomaggies of some of them."""
        return images(pa.array([self.blobs[i] for i in index], pa.binary()), noisy=True)

    def take(self, index: Sequence[int]) -> Negatives:
        """Some of them."""
        kept = ([values[i] for i in index] for values in (self.blobs, self.kinds, self.host_ids))
        index = np.asarray(index, np.int64)
        pixels = [self.pixels[i] for i in index] if self.pixels else ()
        return Negatives(*kept, self.psf_fwhm[index], self.sky_sigma[index], self.seed, pixels)

    def scores(self, logits: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        """(n,) of a function of stamps and their sky noise, some at a time."""
        parts = [np.arange(i, min(i + READ, len(self))) for i in range(0, len(self), READ)]
        return np.concatenate([np.empty(0, np.float32), *(logits(self.images(p), self.sky_sigma[p]) for p in parts)])

    def mined(self, logits: Callable, n: int, seed: int) -> Negatives:
        """n of them: one half those that a network takes most for lenses, the other half at random among the rest."""
        order = np.argsort(-self.scores(logits), kind="stable")
        hardest = order[: round(MINED_SHARE * n)]
        rng = keyed(seed, Stream.POOL_REST)
        return self.take(np.sort(np.concatenate([hardest, rng.permutation(order[len(hardest) :])[: n - len(hardest)]])))


def fingerprint(stamp: HostStamp) -> str:
    """First 16 digits of the SHA-256 of a stamp's pixels, the same before and after it was stored."""
    stored = served(stamp.image, np.asarray(stamp.sky_sigma) / SKY_LEVELS)
    return hashlib.sha256(np.ascontiguousarray(stored, np.float32).tobytes()).hexdigest()[:16]


def _held_out(host_id: str) -> bool:
    return int(hashlib.sha256(host_id.encode()).hexdigest()[:8], 16) % HELD_OUT == 0


class Pool:
    """The negatives of one split: mock ones, real ones, or half of each.

    Parameters
    ----------
    config : TrainConfig
    folder : str
        Where mock ones are stored.
    seed : int
        The data set's.
    split : {"train", "val"}
    run_seed : int
        Orders them.
    """

    def __init__(self, config: TrainConfig, folder: str, seed: int, split: str, run_seed: int):
        n = config.n_survey_negatives if split == "train" else config.n_survey_validation
        mined = bool(config.mine) and split == "train"
        self.run_seed, self.sets = run_seed, []
        if n:
            self.sets.append(Negatives.mock(folder, survey_seed(seed, split), n * (config.mine_factor if mined else 1)))
        if config.nonlenses:
            self.sets.append(Negatives.real(config.nonlenses, split))
        if mined:
            self.sets = [self._mine(config, s, n) for s in self.sets]
        self.sets = [s for s in self.sets if len(s)]
        if not self.sets:
            raise UsageError(
                "survey_negative_ratio asks for negatives, but n_survey_negatives is 0 and nonlenses empty"
            )

    def _mine(self, config: TrainConfig, negatives: Negatives, n: int) -> Negatives:
        from dhs.models.score import Scorer

        scorer = Scorer(config.mine)
        n = n if negatives.seed is not None else -(-len(negatives) // config.mine_factor)
        return negatives.mined(lambda x, sigma: scorer.logits(x, sky_sigma=sigma), n, self.run_seed)

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def drawn(self, epoch: int, n: int) -> list[tuple[Negatives, int]]:
        """n of them for an epoch: sets in turn, and of each set every galaxy once before one is met again."""
        drawn: list = [None] * n
        for k, negatives in enumerate(self.sets):
            places = range(k, n, len(self.sets))
            first = (epoch - 1) * len(places)
            rounds = range(first // len(negatives), (first + len(places)) // len(negatives) + 1)
            order = np.concatenate([self._order(k, r) for r in rounds])[first % len(negatives) :]
            for place, i in zip(places, order):
                drawn[place] = (negatives, int(i))
        return drawn

    def _order(self, k: int, number: int) -> np.ndarray:
        return keyed(self.run_seed, Stream.POOL_ORDER, k, epoch=number).permutation(len(self.sets[k]))

    def seen(self) -> dict:
        """What a checkpoint says of them: seeds of the mock ones, pixels and names of real ones."""
        return {
            "seeds": [s.seed for s in self.sets if s.seed is not None],
            "pixels": sorted(p for s in self.sets for p in s.pixels),
            "hosts": sorted(h for s in self.sets if s.seed is None for h in s.host_ids),
        }

    def counts(self) -> dict[str, int]:
        """Galaxies by kind."""
        kinds, n = np.unique([k for s in self.sets for k in s.kinds], return_counts=True)
        return dict(zip(kinds.tolist(), n.tolist()))


def merged(seen: Sequence[dict]) -> dict:
    """What several pools' `Pool.seen` say together."""
    return {name: sorted({v for one in seen for v in one[name]}) for name in ("seeds", "pixels", "hosts")}


def refuse_hosts(seen: dict, pairs) -> None:
    """Stop where a galaxy trained on as a non-lens is a host that the training is judged by.

    Raises
    ------
    DhsError
        It is a host of the validation or test split.
    """
    judged = set()
    for split in ("val", "test") if seen["hosts"] else ():
        judged |= set(pairs.table(split, columns=["host_id"])["host_id"].to_pylist())
    both = sorted(judged & set(seen["hosts"]))
    if both:
        raise DhsError(
            f"{pairs.path}: {len(both)} galaxies of nonlenses are hosts of its validation or test split (first: "
            f"{both[0]}). Give other galaxies, or leave those out of the folder."
        )


def refuse_trained_on(state: dict, seed: int | None = None, hosts: HostSet | None = None) -> None:
    """Stop where a false-positive rate would be measured on negatives that a network was trained on.

    Parameters
    ----------
    state : dict
        Of its checkpoint.
    seed : int, optional
        Of the mock galaxies that the rate is of.
    hosts : HostSet, optional
        Galaxies that the rate is of: compared pixel by pixel.

    Raises
    ------
    DhsError
    """
    seen = state.get("negatives") or NONE
    if seed is not None and seed in seen["seeds"]:
        raise DhsError(
            f"survey negatives of seed {seed} were trained on, or chose the epoch: a rate on them means nothing. "
            "Evaluate with another seed."
        )
    known = set(seen["pixels"])
    twice = [ref.host_id for i, ref in enumerate(hosts.refs) if _pixels(hosts, i) in known] if known and hosts else []
    if twice:
        raise DhsError(
            f"{hosts.spec}: {len(twice)} of {len(hosts)} galaxies (first: {twice[0]}) were trained on as non-lenses, "
            "or chose the epoch: a rate on them means nothing. Give others."
        )


def _pixels(hosts: HostSet, i: int) -> str | None:
    """Fingerprint of a host; None where it can't be read, and so is in no rate."""
    with suppress(InputRefused):
        return fingerprint(hosts.read(i))
