"""Two views of a sample are alike, and unlike all others of the batch.

SimCLR, Chen et al. 2020, arXiv:2002.05709: NT-Xent, cross-entropy over cosine similarities at a temperature.
Every other sample of the batch is a counter-example, so small batches make an easy task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.objectives._parts import Common, perceptron


@dataclass(frozen=True)
class Settings(Common):
    """Of the contrast.

    Attributes:
        temperature: divides the similarities; low: the nearest counter-examples count most.
        hidden, out: widths of the projector, which is thrown away afterwards.
    """

    temperature: float = 0.2
    hidden: int = 256
    out: int = 128


class Objective(Base):
    """NT-Xent over two views."""

    settings: Settings
    views, compares, floor = 2, True, 1e-3

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        settings = self.settings
        self.projector = perceptron(network.backbone.width, settings.hidden, settings.out)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        features = network(batches["train"].inputs, want="features")
        return {"contrast": contrast(self.projector(features), self.settings.temperature)}


def contrast(projected: Tensor, temperature: float) -> Tensor:
    """NT-Xent of (2 N, out), where rows i and N + i are views of one sample."""
    unit = functional.normalize(projected.float(), dim=1)
    alike = unit @ unit.T / temperature
    alike = alike.masked_fill(torch.eye(len(unit), dtype=torch.bool, device=unit.device), -1e9)
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return functional.cross_entropy(alike, partner)
