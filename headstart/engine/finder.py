"""Looks for a learning rate on a copy of a network: one short training whose rate grows at every step.

Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from headstart.core.network import Network
from headstart.core.strategy import Phase, Strategy
from headstart.engine import guards
from headstart.engine import seed as seeds
from headstart.engine.freeze import frozen
from headstart.engine.loop import Solve, Training, Worker
from headstart.engine.streams import Stream, counted, cycled, ordered

STEPS = 60
LOWEST, HIGHEST = 1e-6, 1.0
BATCHES = 16  # different ones
SMOOTH = 0.7  # share of the running mean of losses that a step keeps
CLEAR = 0.02  # share of the first loss by which a change is one
WILD = 4.0  # times the first loss: it ends here
BELOW = 10.0  # the rate lies so many times below that of the lowest loss, or of the first rise


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        rate: the rate, or 0 where the loss moved at none of them.
        why: as the end of a sentence.
        rates, losses: of each step: the rate, and the smoothed loss relative to what the weights of the start
            have on the same rows.
        flops: operations, forward and backward.
    """

    rate: float
    why: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    flops: float


def find(
    network: Network,
    strategy: Strategy,
    stream: Stream,
    *,
    training: Training,
    solve: Solve | None = None,
) -> Found:
    """Trains copies of network and strategy in its last phase, at rates that grow evenly in their logarithm
    from 1e-6 to 1 in 60 steps; fewer where the loss has become four times the first one. The same seed finds
    the same rate.

    Args:
        stream: rows to learn from.
        solve: settles the heads in a solved phase.
    """
    strategy, network = copy.deepcopy(strategy), copy.deepcopy(network)
    strategy.common = replace(strategy.common, average="", average_decay=0.999)
    streams = {"train": stream}
    with seeds.seeded(training.seed, "prepare"):
        strategy.prepare(network, streams)
        strategy.weigh(network, streams)
    phases = strategy.phases(network)
    for phase in phases:
        if phase.solved and solve is not None:
            with frozen(network, phase):
                solve(network, phase)
    worker = Worker(network, strategy, streams, training, phases, None, None)
    with torch.random.fork_rng(), frozen(network, phases[-1]):
        rates, losses, first, flops = _grown(worker, phases[-1], stream)
    smooth = smoothed(losses)
    rate, why = chosen(rates, smooth, first)
    return Found(rate, why, tuple(rates), tuple(smooth), flops)


def _grown(
    worker: Worker, phase: Phase, stream: Stream
) -> tuple[list[float], list[float], float, float]:
    """Rates and losses of the steps until it diverges, the first loss, and operations. A batch's loss, the
    task's alone, is told relative to that before the first step, so that easy and hard batches are alike."""
    seed, places = worker.training.seed, _places(worker, phase, stream)

    def loss(number: int, train: bool) -> float:
        batch = worker.read(stream, places[number], number if phase.augment else -1)
        with (
            seeds.seeded(seed, "find", number),  # draws of a batch are the same whenever it is seen
            seeds.own(worker.network, seed, "find", number),
        ):
            if train:
                parts: Mapping[str, Any] = worker.step(phase, {"train": batch}, 0.0)
            else:
                with torch.no_grad():
                    parts = worker.strategy.loss(worker.wrapped, {"train": batch}, 0.0)
            return sum(float(parts[name]) for name in worker.network.heads)

    before = [loss(number, False) for number in range(len(places))]
    first = float(np.mean(before))
    rates: list[float] = []
    losses: list[float] = []
    for step in range(STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for group in worker.optimizer.param_groups:
            group["lr"] = rate * group["rates"].get(phase.name, 0.0)
        number = step % len(places)
        try:
            told = loss(number, True)
        except guards.Diverged:
            break
        rates.append(rate)
        losses.append(told - before[number])
        if told > first + (WILD - 1) * max(abs(first), guards.LEAST):
            break
    once = worker.cost(phase, stream)
    forward = worker.strategy.forwards * sum(list(worker.training.costs)[stream.start :])
    return rates, losses, first, len(places[0]) * (once * len(losses) + forward * len(places))


def _places(worker: Worker, phase: Phase, stream: Stream) -> list[np.ndarray]:
    """Rows of a few batches, which are seen again and again."""
    size = min(worker.training.batch, len(stream))
    order = ordered(stream, seeds.generator(worker.training.seed, "find"), size)
    count, _ = counted(len(stream), size, phase.whole)
    return [cycled(order, number, size) for number in range(min(BATCHES, count))]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Running mean of losses, without the pull to zero of its start."""
    made, mean = [], 0.0
    for step, loss in enumerate(losses, 1):
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        made.append(mean / (1 - SMOOTH**step))
    return made


def chosen(rates: Sequence[float], losses: Sequence[float], first: float) -> tuple[float, str]:
    """A tenth of the rate at which the loss was lowest; where it fell nowhere clearly, of the first at which
    it had clearly risen.

    Args:
        losses: smoothed, relative to the first one.

    Returns:
        The rate, 0 where the loss neither fell nor rose; and the reason as the end of a sentence.
    """
    clear = CLEAR * abs(first)
    best = int(np.argmin(losses)) if losses else 0
    if losses and losses[best] < -clear:
        return rates[best] / BELOW, f"the training loss was lowest at {rates[best]:.2g}"
    flat = max((n for n, loss in enumerate(losses, 1) if loss <= clear), default=0)
    if flat == STEPS:
        return 0.0, f"the training loss hardly changed at rates up to {HIGHEST:g}"
    risen = LOWEST * (HIGHEST / LOWEST) ** (flat / (STEPS - 1))  # of the step behind
    return risen / BELOW, f"the training loss fell at no rate, and rose from {risen:.2g} on"
