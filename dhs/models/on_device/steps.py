"""Steps of the optimiser: plain, or captured once as a graph and replayed, the network compiled or not.

A captured step launches as one: at a few hundred small kernels a step, launching them costs more than they do. The
ways are timed where they run (`fastest`); on a processor there is the plain one alone.
"""

from __future__ import annotations

import copy
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

log = logging.getLogger(__name__)

WARM_UP = 11  # steps before a capture: kernels are chosen in them, and memory found
TIMED = 50
PATIENCE_S = 120.0  # with one way: a compiler that hangs must not take a run with it
WAYS = ("captured", "compiled and captured", "plain")


@dataclass
class State:
    """What a step changes. Every tensor stays where it is, for a captured step knows addresses.

    Attributes
    ----------
    network : torch.nn.Module
        On its device, channels last.
    optimizer : torch.optim.Optimizer
    average : torch.nn.Module or None
        Exponential mean of the network's weights and statistics.
    decay : float
        Of the mean, a step.
    totals : Tensor, (4,) float64
        Sum of losses, steps, sum and greatest of gradient norms, since they were last set to 0.
    n_averaged : Tensor, ()
        Steps in the mean; the first ones count for more, as in `dhs.models.training.schedule.averaged`.
    """

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: torch.nn.Module | None = None
    decay: float = 0.0
    totals: torch.Tensor = field(init=False)
    n_averaged: torch.Tensor = field(init=False)

    def __post_init__(self):
        device = next(self.network.parameters()).device
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)
        self.n_averaged = torch.zeros((), device=device)

    @classmethod
    def of(cls, network: torch.nn.Module, weight_decay: float, decay: float = 0.0) -> State:
        """With AdamW; its rate is a tensor that is set before each step."""
        device = next(network.parameters()).device
        average = copy.deepcopy(network).eval() if decay else None
        rate = torch.zeros((), device=device)
        capturable = device.type == "cuda"
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=rate, weight_decay=weight_decay, fused=True, capturable=capturable
        )
        return cls(network, optimizer, average, decay)

    @property
    def rate(self) -> torch.Tensor:
        return self.optimizer.param_groups[0]["lr"]

    @property
    def judged(self) -> torch.nn.Module:
        """What is validated and kept: the mean of weights where there is one."""
        return self.network if self.average is None else self.average

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a step changes, by name; empty moments where no step was taken yet."""
        out = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        if self.average is not None:
            out |= {f"average.{k}": v for k, v in self.average.state_dict().items()} | {"averaged": self.n_averaged}
        for i, p in enumerate(self.network.parameters()):
            out |= {f"optimizer.{i}.{k}": v for k, v in self.optimizer.state.get(p, {}).items()}
        return out

    def load(self, saved: dict[str, torch.Tensor]) -> None:
        """Take up what `tensors` gave: copied into place; moments that were not saved become 0."""
        with torch.no_grad():
            for name, value in self.tensors().items():
                if name in saved:
                    value.copy_(saved[name])
                elif name.startswith("optimizer."):
                    value.zero_()
                else:
                    raise KeyError(name)


def _update(state: State, logit: torch.Tensor, label: torch.Tensor) -> None:
    """Loss, gradient, optimiser, mean of weights and sums of one step; the gradients are empty before it."""
    loss = binary_cross_entropy_with_logits(logit, label)
    loss.backward()
    gradients = [p.grad for p in state.network.parameters()]
    norm = torch.nn.utils.get_total_norm(gradients)
    state.optimizer.step()
    with torch.no_grad():
        if state.average is not None:
            n = state.n_averaged
            weight = torch.where(n > 0, 1 - ((1 + n) / (10 + n)).clamp(max=state.decay), 1.0)
            for mine, theirs in zip(_floats(state.average), _floats(state.network), strict=True):
                change = torch._foreach_sub(theirs, mine)
                torch._foreach_mul_(change, weight)
                torch._foreach_add_(mine, change)
            n += 1
        state.totals[:3] += torch.stack([loss.double(), torch.ones_like(loss, dtype=torch.float64), norm.double()])
        state.totals[3] = torch.maximum(state.totals[3], norm.double())


def _floats(network: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Parameters, and statistics that are not counts."""
    return [p.data for p in network.parameters()], [b for b in network.buffers() if b.is_floating_point()]


class Steps:
    """One way to take steps.

    Parameters
    ----------
    state : State
    shape : tuple of int
        Of a batch, (n, channels, side, side).
    dtype : torch.dtype
        Of the matrix products; float32, or bfloat16 by autocast.
    way : str
        One of `WAYS`.
    """

    def __init__(self, state: State, shape: tuple[int, ...], dtype: torch.dtype, way: str):
        self.state, self.way, self.dtype = state, way, dtype
        device = state.totals.device
        self.images = torch.empty(shape, device=device, dtype=dtype, memory_format=torch.channels_last)
        self.label = torch.empty(shape[0], device=device)
        self._model = torch.compile(state.network) if "compiled" in way else state.network
        self._graph: torch.cuda.CUDAGraph | None = None
        if "captured" in way:
            self._capture()

    def _take(self) -> None:
        device = self.images.device.type
        with torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False):
            logit = self._model(self.images)[:, 0].float()
        _update(self.state, logit, self.label)
        # detached: a graph of operations that lives on would keep the stream it was made on
        self.logit = logit.detach()

    def _capture(self) -> None:
        self.images.normal_()
        self.label.copy_(torch.arange(len(self.label), device=self.label.device) % 2)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self.state.optimizer.zero_grad(set_to_none=True)
                self._take()
        torch.cuda.current_stream().wait_stream(aside)
        self.state.optimizer.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._take()

    def step(self, images: torch.Tensor, label: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Take one step; nothing is waited for.

        Parameters
        ----------
        images : Tensor, (n, channels, side, side)
        label : Tensor, (n,)
        rate : Tensor, ()
            Learning rate.

        Returns
        -------
        Tensor, (n,) float32
            Logits before the step; overwritten by the next.
        """
        self.images.copy_(images)
        self.label.copy_(label)
        self.state.rate.copy_(rate)
        if self._graph is not None:
            self._graph.replay()
        else:
            self.state.optimizer.zero_grad(set_to_none=True)
            self._take()
        return self.logit


def fastest(
    state: State, shape: tuple[int, ...], dtype: torch.dtype, ways: tuple[str, ...] = WAYS
) -> tuple[Steps, dict[str, float | str]]:
    """The way that takes least time here, and seconds a step of each, or why it does not run.

    The state is afterwards what it was before.

    Parameters
    ----------
    state, shape, dtype
        As in `Steps`.
    ways : tuple of str
        To be tried; on a processor only the plain one is.
    """
    if state.totals.device.type != "cuda":
        return Steps(state, shape, dtype, "plain"), {}
    before = {k: v.clone() for k, v in state.tensors().items()}
    best, times = None, {}
    rate = torch.full((), 1e-4, device=state.totals.device)
    for way in ways:
        if way == "plain" and best is not None:
            continue
        state.network.train()
        try:
            with _at_most(PATIENCE_S):
                steps = Steps(state, shape, dtype, way)
                times[way] = _timed(steps, rate)
        except Exception as error:  # a compiler that is not there, a capture that is refused: another way remains
            log.warning("%s steps do not run here: %s", way, error)
            times[way] = f"{type(error).__name__}: {error}"[:300]
            torch.cuda.synchronize()
            continue
        if best is None or times[way] < times[best.way]:
            best = steps
    if best is None:
        raise RuntimeError(f"no way to take steps runs here: {times}")
    state.load(before)
    state.totals.zero_()
    return best, times


def _timed(steps: Steps, rate: torch.Tensor) -> float:
    """Seconds of one step, on images of noise."""
    images, label = torch.randn_like(steps.images), steps.label.clone()
    for _ in range(5):
        steps.step(images, label, rate)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(TIMED):
        steps.step(images, label, rate)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / TIMED


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in what takes longer; in the main thread, elsewhere nothing is watched."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise TimeoutError(f"not done in {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
