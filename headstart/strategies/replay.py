"""Fine-tuning that rehearses an earlier task: each step also learns from a batch of its rows.

Rolnick et al. 2019, "Experience replay for continual learning", arXiv:1811.11682; Chaudhry et al. 2019, "On
tiny episodic memories in continual learning", arXiv:1902.10486.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from headstart.core.network import Network
from headstart.strategies import _old, fine_tune
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, and the weight of the earlier task.

    Attributes:
        weight: of its loss.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")


class Strategy(fine_tune.Strategy):
    """`fine_tune` with the part "replay" in the loss while training, and the earlier task's head trained
    along."""

    settings: Settings
    streams = ("train", _old.PREVIOUS)

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """The head trains as the strategy's own parameters, so that the network is at all times what is
        shipped."""
        self.head = _old.head(network, streams).requires_grad_(True)

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        parts = dict(self.task(network, batches["train"]))
        if network.heads.training:
            batch = batches[_old.PREVIOUS]
            said = self.head(_old.pooled(network, batch))
            lost = self.head.loss(said, batch.targets[_old.PREVIOUS])  # type: ignore[operator]
            parts["replay"] = self.settings.weight * lost
        return parts
