"""Fine-tuning with more parts in the loss than the task's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch, Strategy
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


def pull(
    strategy: Strategy, network: Network, names: Sequence[str], start: str, strength: str = ""
) -> Tensor:
    """Sum of strength x (w - w0)^2 over weights of the backbone; for the weight numbered N in `names`, w0 and
    its strength are the strategy's buffers "{start}_N" and "{strength}_N"; without `strength` it is 1."""
    now, parts = dict(network.backbone.named_parameters()), []
    for place, name in enumerate(names):
        far = (now[name] - strategy.get_buffer(f"{start}_{place}")).square()
        if strength:
            far = strategy.get_buffer(f"{strength}_{place}") * far
        parts.append(far.sum())
    return torch.stack(parts).sum()


def head_norm(network: Network) -> Tensor:
    """Sum of the squares of the matrices of all heads."""
    heads = network.heads.parameters()
    return torch.stack([p.square().sum() for p in heads if p.ndim > 1]).sum()
