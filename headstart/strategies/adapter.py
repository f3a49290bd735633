"""Bottleneck adapters behind the stages of a frozen network.

Houlsby et al. 2019, arXiv:1902.00751: h + U s(D h) with U = 0 at first, so that training starts from what
the source is. Theirs stand behind the two halves of each transformer layer; these stand behind each stage,
so that networks of every kind can have them. They have a nonlinearity inside and so cannot be merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import Backbone, Network
from headstart.strategies._between import Between, carried, opened
from headstart.strategies._efficient import Efficient, Few
from headstart.strategies._tuning import above

PART = "adapters"


@dataclass(frozen=True)
class Settings(Few):
    """How wide the adapters are, where, and how fast they learn.

    Attributes:
        width: of the bottleneck; at most the width of what it reads.
    """

    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, "width")


class Bottleneck(nn.Module):
    """h + U s(D h) on each place: (N, ..., width), or maps (N, width, H, W)."""

    def __init__(self, width: int, narrow: int, like: Tensor) -> None:
        super().__init__()
        self.width = width
        self.down = nn.Linear(width, narrow, dtype=like.dtype, device=like.device)
        self.up = nn.Linear(narrow, width, dtype=like.dtype, device=like.device)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        maps = hidden.ndim == 4 and hidden.shape[1] == self.width
        told = hidden.movedim(1, -1) if maps else hidden
        told = self.up(nn.functional.gelu(self.down(told)))
        return hidden + (told.movedim(-1, 1) if maps else told)


class Adapted(Between):
    """A backbone with adapters, by the number of the stage that each stands behind."""

    PART = PART
    adapters: nn.ModuleDict

    def behind(self, state: Mapping[str, Tensor], stage: int) -> Mapping[str, Tensor]:
        if str(stage) not in self.adapters:
            return state
        name = carried(self, state)
        return {**state, name: self.adapters[str(stage)](state[name])}

    def place(self, name: str) -> int:
        number = name.removeprefix(PART).removeprefix(".").partition(".")[0]
        return int(number) if number else len(self.stages) - 1


class Strategy(Efficient):
    """The solved head, then head and adapters together; the source's own weights stay to the bit."""

    settings: Settings

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Puts an adapter behind every stage above the cut; how wide its state is, one row tells."""
        backbone, cut, made = network.backbone, self.cut(network), {}
        batch = streams["train"].batch(np.arange(1), -1)
        state: Mapping[str, Tensor] = batch.inputs
        with torch.no_grad():
            for stage in range(batch.start, len(backbone.stages)):
                state = backbone.run(state, stage, stage + 1)
                if stage >= cut:
                    hidden = state[carried(backbone, state)]
                    width = hidden.shape[_axis(hidden)]
                    made[str(stage)] = Bottleneck(width, min(self.settings.width, width), hidden)
        _put(backbone, made)

    def trained(self, network: Network) -> tuple[str, ...]:
        """All tensors of the adapters."""
        begin = f"backbone.{PART}."
        return tuple(name for name, _ in network.named_parameters() if name.startswith(begin))

    @staticmethod
    def rebuild(network: Network, tensors: Mapping[str, Tensor]) -> None:
        """Puts on the adapters that the tensors tell of."""
        begin, end = f"backbone.{PART}.", ".down.weight"
        downs = {n: t for n, t in tensors.items() if n.startswith(begin) and n.endswith(end)}
        if downs:
            like = next(network.parameters())
            made = {
                name.removeprefix(begin).removesuffix(end): Bottleneck(
                    down.shape[1], down.shape[0], like
                )
                for name, down in downs.items()
            }
            _put(network.backbone, made)


def _axis(hidden: Tensor) -> int:
    """Axis of the channels: 1 of maps, unless the two axes behind the batch's are the sides of a square
    (maps with channels last), else the last."""
    if hidden.ndim != 4:
        return -1
    _, first, second, third = hidden.shape
    return -1 if first == second != third else 1


def _put(backbone: Backbone, made: Mapping[str, nn.Module]) -> None:
    opened(backbone, Adapted)
    backbone.adapters = nn.ModuleDict(dict(made))
