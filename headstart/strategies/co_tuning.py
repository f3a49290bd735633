"""Fine-tuning in which the source's own head goes on predicting its classes, as they go with the task's.

You, Kou, Long and Wang 2020, "Co-tuning for transfer learning", NeurIPS 33: the loss gains
weight x cross-entropy(p(source class | class of the row), what the source's head says), with p the mean of
what that head said of the class's training rows before training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch, Group
from headstart.strategies._old import source_head
from headstart.strategies._reading import featured
from headstart.strategies._regularised import Regularised
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, and the weight of the source's classes.

    Attributes:
        weight: of their cross-entropy.
    """

    weight: float = 2.3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")


class Strategy(Regularised):
    """`fine_tune` with the source's head trained on, and the part "co_tuning" in the loss while training."""

    settings: Settings
    blends = False

    def refuse(self, network: Network) -> str:
        """It takes a head that the source brings, and rows of one class each."""
        why = super().refuse(network)
        if why:
            return why
        if network.backbone.source_head is None:
            return (
                "this source brings no head of its own, so nothing tells how its classes go with the "
                "task's; choose bi_tuning, bss or l2_sp, or a source that brings its classifier"
            )
        if not all(head.one_class for head in network.heads.values()):
            return (
                "its rows must have one class each, but this outcome has none; choose bss or l2_sp"
            )
        return ""

    @torch.no_grad()
    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """p(source class | class), (classes, source classes); no checkpoint holds it, as it follows from the
        source."""
        ((name, head),) = network.heads.items()
        shown = []
        for features, batch in featured(network, streams["train"]):
            shown.append((_said(network, features).softmax(1), batch.targets[name]))
        told, labels = torch.cat([t for t, _ in shown]), torch.cat([t for _, t in shown])
        rows = [told[labels == k] for k in range(int(head.outputs))]  # type: ignore[arg-type]
        relation = torch.stack([(row if len(row) else told).mean(0) for row in rows])
        self.register_buffer("relation", relation, persistent=False)

    def groups(self, network: Network, cut: int) -> tuple[Group, ...]:
        """The stages, and the source's head at the rate of the last one."""
        own = source_head(network, self.settings.weight_decay)
        return (*super().groups(network, cut), *own)

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        (labels,) = batch.targets.values()
        said = _said(network, features).log_softmax(1)
        shared = -(self.get_buffer("relation")[labels] * said).sum(1).mean()
        return {"co_tuning": self.settings.weight * shared}


def _said(network: Network, features: Tensor) -> Tensor:
    """Logits of the source's own head, (N, source classes)."""
    made: Tensor = network.backbone.source_head(features)  # type: ignore[misc]
    return made.float()
