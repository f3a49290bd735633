"""Fine-tuning that shrinks the smallest singular values of a batch's features (batch spectral shrinkage).

Chen et al. 2019, "Catastrophic forgetting meets negative transfer", NeurIPS 32: the directions of small
singular values carry little across tasks, so k of them are held down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies._regularised import Regularised
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, and the shrinkage.

    Attributes:
        weight: of the squared singular values.
        k: how many, the smallest first.
    """

    weight: float = 1e-3
    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")
        at_least(self, 1, "k")


class Strategy(Regularised):
    """`fine_tune` with the part "bss" in the loss while training; batches are of full size."""

    settings: Settings
    reads = "features"
    whole = True

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        return {"bss": self.settings.weight * shrinkage(features, self.settings.k)}


def shrinkage(features: Tensor, k: int) -> Tensor:
    """Sum of the k smallest squared singular values of features (N, width), or of those of all real
    positions (N, L, width). The largest is never among them."""
    rows = features[torch.isfinite(features).all(dim=-1)].float()
    values = torch.linalg.svdvals(rows)
    made: Tensor = values[1:][-k:].square().sum()
    return made
