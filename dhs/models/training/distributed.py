"""Several processes that train one network: started by torchrun, each with its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed


@dataclass(frozen=True)
class Group:
    """The processes of a run; one alone where none was started by torchrun.

    Attributes
    ----------
    rank, world : int
        Number of this process, and how many there are.
    local_rank : int
        Number on this machine: its GPU.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def gather(self, value) -> list:
        """``value`` of every process, in their order."""
        if self.world == 1:
            return [value]
        out = [None] * self.world
        distributed.all_gather_object(out, value)
        return out

    def concatenate(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays of all processes end to end, by name."""
        parts = self.gather(columns)
        return {name: np.concatenate([part[name] for part in parts]) for name in columns}

    def total(self, array: np.ndarray) -> np.ndarray:
        """Sum over the processes."""
        return np.sum(self.gather(array), axis=0)


@contextmanager
def group_of_environment() -> Iterator[Group]:
    """The group that torchrun's environment describes: NCCL where there are GPUs, gloo elsewhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield Group()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size(), local_rank)
    finally:
        distributed.destroy_process_group()
