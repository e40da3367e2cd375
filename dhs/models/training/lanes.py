"""A step on several cores without a wait inside it: each part of a batch has a thread, and a copy of the layers.

A library that shares every layer out among the cores meets at a barrier hundreds of times a step, and each time the
slowest thread decides: one other busy process on the machine, and a thread that waits for its turn holds up the other
(or burns its core, waiting actively). Parts of a batch meet once a step. What they give depends on the number of
parts alone, not on the threads that a machine has for them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from dhs.models.training.augment import Draws
from dhs.models.training.data import Batch

SWITCH_S = 1e-4  # Python's lock is asked for at every layer


class Lanes:
    """The parts of a batch and the network each goes through: the same weights, batch statistics of its own.

    Parameters
    ----------
    network : torch.nn.Module
        Gets the gradients, and running statistics that are the mean over the parts'.
    n : int
    """

    def __init__(self, network: torch.nn.Module, n: int):
        self.networks = [network, *(_twin(network) for _ in range(n - 1))]
        threads = max(1, torch.get_num_threads() // n)
        self.pool = ThreadPoolExecutor(n, "dhs-lane", initializer=torch.set_num_threads, initargs=(threads,))

    def step(self, batch: Batch, draws: Draws, passes: Callable) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward and backward passes of a batch.

        Parameters
        ----------
        batch : Batch
        draws : Draws
            Of the step.
        passes : callable
            ``passes(batch, draws, network)`` leaves gradients with the network and gives (loss, logits).

        Returns
        -------
        loss : Tensor
        logits : Tensor, (n,)
            In the batch's order.
        """
        lane = batch.slot % (batch.n_slots // 2) % len(self.networks)
        parts = [(lane == k).nonzero()[0] for k in range(len(self.networks))]
        used = [(net, part) for net, part in zip(self.networks, parts) if len(part)]
        for twin in self.networks[1:]:
            _follow(twin, self.networks[0])
        done = list(self.pool.map(lambda one: passes(batch.take(one[1]), draws, one[0]), used))
        self._gather([net for net, _ in used])
        logits = torch.empty(len(batch.labels))
        for (_, part), (_, logit) in zip(used, done):
            logits[torch.from_numpy(part)] = logit.cpu()
        return sum(loss for loss, _ in done), logits

    @torch.no_grad()
    def _gather(self, used: list[torch.nn.Module]) -> None:
        """Sum of the gradients and mean of the running statistics, in the order of the parts."""
        for parameters in zip(*(net.parameters() for net in (self.networks[0], *used))):
            grads = [p.grad for p in parameters[1:] if p.grad is not None]
            if grads:
                parameters[0].grad = grads[0]
                for grad in grads[1:]:  # in place: the fused optimiser takes a gradient to lie in memory as its weight
                    parameters[0].grad += grad
        for buffers in zip(*(net.buffers() for net in (self.networks[0], *used))):
            if buffers[0].is_floating_point():
                buffers[0].copy_(torch.stack(buffers[1:]).mean(0))

    def map(self, function: Callable, items: list) -> list:
        """A function of some items, on the threads of the parts."""
        return list(self.pool.map(function, items))


def _twin(network: torch.nn.Module) -> torch.nn.Module:
    """A copy whose weights are the network's own memory, with gradients and running statistics of its own."""
    twin = copy.deepcopy(network)
    for mine, theirs in zip(twin.parameters(), network.parameters()):
        mine.data = theirs.data
    return twin


def _follow(twin: torch.nn.Module, network: torch.nn.Module) -> None:
    """Take over the network's mode and running statistics, and forget the last gradients."""
    twin.zero_grad()
    with torch.no_grad():
        for mine, theirs in zip(twin.buffers(), network.buffers()):
            mine.copy_(theirs)
    for mine, theirs in zip(twin.modules(), network.modules()):
        mine.training = theirs.training


@contextmanager
def one_thread_each(lanes: Lanes | None) -> Iterator[None]:
    """With lanes: the thread that drives them shares no layer out either, and Python's lock is handed over soon."""
    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    if lanes is not None:
        torch.set_num_threads(1)
        sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        sys.setswitchinterval(interval)
