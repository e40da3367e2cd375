"""Pairs injected afresh: the same hosts and slots, other arcs every epoch, nothing stored.

`FreshPairs` has the interface of `dhs.datasets.reader.Pairs` as far as training reads it. Epoch 0 gives, to the bit,
what ``dhs inject`` stores for the same configuration.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import pyarrow as pa

from dhs.config import Profile, load_profile
from dhs.datasets.inject import Context, Part, open_context, pair_tables, plan
from dhs.datasets.reader import Pairs, configuration, decoded
from dhs.datasets.schema import NEGATIVE_SCHEMA, PAIR_SCHEMA, SCALARS, SPLITS
from dhs.errors import UsageError

KEPT_PARTS = 2  # as long as pairs and negatives of a split are read side by side
KEPT_HOSTS = 2048


class _Hosts:
    """Host stamps, the last ones kept: an epoch meets each host again."""

    def __init__(self, hosts):
        self._hosts, self.refs, self._kept = hosts, hosts.refs, OrderedDict()

    def read(self, index: int):
        if index not in self._kept:
            if len(self._kept) >= KEPT_HOSTS:
                self._kept.popitem(last=False)
            self._kept[index] = self._hosts.read(index)
        return self._kept[index]


class FreshPairs:
    """Pairs made when they are read.

    Parameters
    ----------
    profile : str, Path or Profile
        Hosts, sources, seed and injection; ``injection.n_pairs`` slots over all splits.
    epoch : int
        Decides the arcs; hosts and splits are the same in every epoch.
    **changes
        Overrides of the profile, as ``section__key=value``.
    """

    def __init__(self, profile: str | Profile, epoch: int = 0, **changes):
        config = load_profile(profile, **changes)
        context = open_context(config.model_dump(mode="json"), "")
        self._set(
            Context(config, "", _Hosts(context.hosts), context.sources, context.source_index), plan(context), epoch
        )

    def _set(self, context: Context, parts: list[Part], epoch: int) -> None:
        self.context, self.epoch, self._parts = context, epoch, parts
        self.path = f"fresh pairs of profile {context.profile.name!r}, epoch {epoch}"
        self._made: OrderedDict[str, tuple[pa.Table, pa.Table, dict]] = OrderedDict()

    @classmethod
    def like(cls, pairs: Pairs) -> FreshPairs:
        """Fresh pairs of a stored data set's own configuration, opened from its manifest.

        Raises
        ------
        DhsError
            It comes from a set of the earlier data format.
        """
        return cls(configuration(pairs.manifest, pairs.path))

    def for_epoch(self, epoch: int) -> FreshPairs:
        """The same slots with the arcs of another epoch."""
        other = object.__new__(FreshPairs)
        other._set(self.context, self._parts, epoch)
        return other

    def _tables(self, part: Part) -> tuple[pa.Table, pa.Table, dict]:
        if part.name not in self._made:
            while len(self._made) >= KEPT_PARTS:
                self._made.popitem(last=False)
            self._made[part.name] = pair_tables(self.context, part, self.epoch)
        return self._made[part.name]

    def _of(self, split: str | None) -> list[Part]:
        if split is not None and split not in SPLITS:
            raise UsageError(f"no split {split!r}: choose one of {list(SPLITS)}")
        return [part for part in self._parts if split in (None, part.split)]

    def batches(
        self, split: str, columns: Sequence[str] | None = None, batch_size: int = 256, negatives: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """As `Pairs.batches`; a batch does not reach over a part's end."""
        schema = NEGATIVE_SCHEMA if negatives else PAIR_SCHEMA
        for part in self._of(split):
            table = self._tables(part)[1 if negatives else 0].select(list(columns or schema.names))
            yield from decoded(table).to_batches(max_chunksize=batch_size)

    def table(self, split: str | None = None, columns: Sequence[str] = SCALARS, negatives: bool = False) -> pa.Table:
        """As `Pairs.table`; every pair of the split is made for it."""
        made = [self._tables(part)[1 if negatives else 0].select(list(columns)) for part in self._of(split)]
        empty = (NEGATIVE_SCHEMA if negatives else PAIR_SCHEMA).empty_table().select(list(columns))
        return decoded(pa.concat_tables(made)) if made else empty

    def __len__(self) -> int:
        return sum(len(part.slots) for part in self._parts)

    def __repr__(self) -> str:
        return f"FreshPairs({self.path}: {len(self)} slots)"
