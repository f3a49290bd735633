"""Name what labels name: one column of labels, or several at once over one shared backbone.

Several losses are weighted by how uncertain each is, Kendall, Gal and Cipolla 2018, arXiv:1705.07115:
sum of exp(-s) L + s / 2 with a learned s = log variance a column. A single column is not weighted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.generator import ABSENT
from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.core.weighing import uncertain
from headstart.objectives._parts import Common


@dataclass(frozen=True)
class Settings(Common):
    """Of the classifiers.

    Attributes:
        smoothing: share of the wanted probability that is spread over all classes (arXiv:1512.00567).
    """

    smoothing: float = 0.05


class Objective(Base):
    """Cross-entropy with a linear classifier a column of labels; these are thrown away afterwards."""

    settings: Settings
    labels = True

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        classes: Mapping[str, int] = streams["train"].classes
        width = network.backbone.width
        self.names = tuple(classes)
        self.classifiers = nn.ModuleList(nn.Linear(width, count) for count in classes.values())
        if len(classes) > 1:
            self.uncertainty = nn.Parameter(torch.zeros(len(classes)))

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        batch = batches["train"]
        features = network(batch.inputs, want="features")
        parts = {
            name: self._one(classifier(features), batch.targets[name])
            for name, classifier in zip(self.names, self.classifiers, strict=True)
        }
        if len(parts) == 1:
            return parts
        return uncertain(parts, self.uncertainty)

    def _one(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Mean over the samples that have the label; 0 where none has."""
        total = functional.cross_entropy(
            scores.float(),
            labels,
            ignore_index=ABSENT,
            label_smoothing=self.settings.smoothing,
            reduction="sum",
        )
        return total / (labels != ABSENT).sum().clamp(min=1)
