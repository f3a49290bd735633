"""Fine-tuning during which the old head goes on saying of the new rows what it said before.

Li and Hoiem 2016, "Learning without forgetting", arXiv:1606.09282: the loss gains weight x T^2 x KL(what
the old head said at temperature T || what it says now), from rows of the task alone. The old head is the
source's own, or, where data of an earlier task are named, the one that was solved on the source's features
of these; it trains along. A source's head whose outputs are several groups of labels is read as one softmax
over all of them: the divergence is then the groups' own, each weighed by its share of the old softmax, and
that of the shares, so at its least every group's distribution is as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.strategy import Batch, Group
from headstart.strategies import _old
from headstart.strategies._apart import Apart
from headstart.strategies._regularised import Regularised
from headstart.strategies._tuning import Tuning, above, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, and what the old head says.

    Attributes:
        weight: of the divergence.
        temperature: by which both logits are divided.
    """

    weight: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")
        above(self, "temperature")


class Strategy(_old.Told, Regularised):
    """`fine_tune` with the part "lwf" in the loss while training, and the old head trained along."""

    settings: Settings
    forwards = 2

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.now: nn.Module | None = None

    def refuse(self, network: Network) -> str:
        """The old head reads features of whole rows."""
        why = super().refuse(network)
        if not why and network.reads != "pooled":
            return (
                "the source's head reads whole rows, but this outcome's reads single positions; choose delta "
                "or l2_sp"
            )
        return why

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Copies the source and its head. A head that is no part of the source trains as the strategy's own
        parameters, so that the network is at all times what is shipped."""
        self.source = Apart(network)
        self.before = _old.head(network, streams).requires_grad_(False).eval()
        if _old.PREVIOUS in streams:
            self.now = _old.head(network, streams).requires_grad_(True)

    def groups(self, network: Network, cut: int) -> tuple[Group, ...]:
        """The stages, and the source's head at the rate of the last one, where it is the old head."""
        made = super().groups(network, cut)
        if self.now is not None or network.backbone.source_head is None:
            return made
        return (*made, *_old.source_head(network, self.settings.weight_decay))

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        with torch.no_grad():
            known = self.source.network(batch.inputs, start=batch.start, want="features")
            said = self.before(known)
        now: Any = network.backbone.source_head if self.now is None else self.now
        far = divergence(now(features), said, self.settings.temperature)
        return {"lwf": self.settings.weight * far}


def divergence(now: Tensor, before: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(before / T) || softmax(now / T)), mean over rows; logits (N, classes)."""
    new = (now.float() / temperature).log_softmax(1)
    old = (before.float() / temperature).log_softmax(1)
    return temperature**2 * (old.exp() * (old - new)).sum(1).mean()
