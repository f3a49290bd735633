"""Averages of weights: along a training, over several trainings, and on the way between two.

Polyak and Juditsky 1992 (running means); Izmailov et al. 2018, arXiv:1803.05407 (SWA); Wortsman et al. 2022,
arXiv:2109.01903 (WiSE-FT) and arXiv:2203.05482 (soups). All of them average every tensor of real numbers,
stored statistics of batch norms among them; counters are taken from the last network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.strategy import Phase
from headstart.engine.freeze import named, tensors

LAST = 0.25  # share of a phase's epochs whose ends an equal mean is made of


class Average:
    """The mean of what a phase trains, beside it; without `common.average` it does nothing.

    A running mean keeps min(decay, (1 + t) / (10 + t)) of itself at step t, so that a short training is not
    held at its start.

    Attributes:
        first: number of the epoch from which ends of epochs are averaged ("swa").
        count: of the steps or epochs in the mean.
    """

    def __init__(self, network: Network, phase: Phase, common: Common, epochs: int) -> None:
        self.kind, self.decay = common.average, common.average_decay
        self.first, self.count = epochs - math.ceil(LAST * epochs), 0
        self.hold = self.first / max(1, epochs) if self.kind == "swa" else 1.0
        self.live: dict[str, Tensor] = {}
        if self.kind:
            parameters, buffers = named(phase)
            every: Mapping[str, Any] = tensors(network)
            found = {name: every[name].detach() for name in sorted(parameters | buffers)}
            self.live = {n: t for n, t in found.items() if t.is_floating_point()}
        self.means = [tensor.clone() for tensor in self.live.values()]

    @property
    def judged(self) -> bool:
        """Whether validation speaks of what the phase will give: with "swa" in its last epochs alone."""
        return self.kind != "swa" or self.count > 0

    @property
    def end(self) -> str:
        """Why a phase ends that has had all its epochs."""
        return "averaged" if self.kind == "swa" else "epochs"

    def after_step(self) -> None:
        """Moves the running mean."""
        if self.kind == "ema":
            kept = min(self.decay, (1 + self.count) / (10 + self.count))
            self._move(1 - kept)

    def after_epoch(self, epoch: int) -> None:
        """Takes the end of an epoch (its number from 0) into the equal mean."""
        if self.kind == "swa" and epoch >= self.first:
            self._move(1 / (1 + self.count))

    @torch.no_grad()
    def _move(self, share: float) -> None:
        torch._foreach_lerp_(self.means, list(self.live.values()), share)
        self.count += 1

    def restart(self) -> None:
        """Forgets all but the weights as they are now."""
        self.count = 0
        self._copy(self.means, self.live.values())

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The network has the averaged weights for a while, where there are any."""
        if not self.count:
            yield
            return
        raw = [tensor.clone() for tensor in self.live.values()]
        self._copy(self.live.values(), self.means)
        try:
            yield
        finally:
            self._copy(self.live.values(), raw)

    def settle(self) -> None:
        """The network takes the averaged weights over, where there are any."""
        if self.count:
            self._copy(self.live.values(), self.means)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        means = [mean.cpu().clone() for mean in self.means]
        return {"count": self.count, "means": dict(zip(self.live, means, strict=True))}

    def load(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.count = int(state["count"])
        self._copy(self.means, [state["means"][name] for name in self.live])

    @torch.no_grad()
    def _copy(self, to: Any, values: Any) -> None:
        for tensor, value in zip(to, values, strict=True):
            tensor.copy_(value)


@torch.no_grad()
def between(first: Network, last: Network, share: float) -> Network:
    """A copy with (1 - share) first + share last, of every tensor of real numbers; others are the last
    one's. Both have tensors of equal names and shapes."""
    made, start = copy.deepcopy(last), first.state_dict()
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.lerp(start[name].to(tensor), tensor, share))
    return made


@torch.no_grad()
def mean(networks: Sequence[Network]) -> Network:
    """A copy of the last with the equal mean of every tensor of real numbers."""
    made, others = copy.deepcopy(networks[-1]), [network.state_dict() for network in networks]
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            every = torch.stack([other[name].to(tensor).double() for other in others])
            tensor.copy_(every.mean(0))
    return made
