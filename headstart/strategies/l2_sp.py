"""Fine-tuning that is drawn back to the source's weights instead of to zero.

Li, Grandvalet and Davoine 2018, arXiv:1802.01483: alpha / 2 |w - w0|^2 + beta / 2 |head|^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies._regularised import Regularised, head_norm, pull
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, without decay to zero.

    Attributes:
        alpha: strength of the pull to the source's weights.
        beta: strength of the pull of the head's matrices to zero.
    """

    weight_decay: float = 0.0
    alpha: float = 0.01
    beta: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "alpha", "beta")


class Strategy(Regularised):
    """`fine_tune` with the parts "l2_sp" and "head norm" in the loss while training."""

    settings: Settings
    reads = "weights"

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Keeps the weights that will train as the source gave them; no checkpoint holds them, as they
        follow from it."""
        cut, backbone = self.cut(network), network.backbone
        every = list(backbone.named_parameters())
        self.names = tuple(name for name, _ in every if backbone.stage_of(name) >= cut)
        known = dict(every)
        for place, name in enumerate(self.names):
            self.register_buffer(f"start_{place}", known[name].detach().clone(), persistent=False)

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        settings = self.settings
        return {
            "l2_sp": settings.alpha / 2 * pull(self, network, self.names, "start"),
            "head norm": settings.beta / 2 * head_norm(network),
        }
