"""Fine-tuning with more parts in the loss than the task's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies import fine_tune


class Regularised(fine_tune.Strategy):
    """`fine_tune` whose loss has `penalties` too, while training; validation sees the task's alone.

    Attributes:
        reads: what `penalties` depends on: "weights" alone, "features" of the batch, or the "batch"
            itself. The first two can be added to a loss that somebody else computes.
    """

    reads: Literal["weights", "features", "batch"] = "batch"

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        """Parts of the loss beside the task's, by name, for the features of a training batch."""
        raise NotImplementedError

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        batch = batches["train"]
        if not network.heads.training:
            return self.task(network, batch)
        features = network(batch.inputs, start=batch.start, want="features")
        parts = self.task(network, batch, features)
        return {**parts, **self.penalties(network, batch, features)}


def head_norm(network: Network) -> Tensor:
    """Sum of the squares of the matrices of all heads."""
    heads = network.heads.parameters()
    return torch.stack([p.square().sum() for p in heads if p.ndim > 1]).sum()
