"""A sample lies near its own caption, and far from the captions of all others in the batch; and the reverse.

CLIP, Radford et al. 2021, arXiv:2103.00020: InfoNCE over cosine similarities in a common space, in both
directions, at a temperature that is learned and whose inverse is never above 100. The captions' encoder
stays as it is, as the pictures' does in LiT (Zhai et al. 2022, arXiv:2111.07991): of each caption its
features come, and a linear map of them learns. Rows of a batch with the same caption, or with the same
sample, are no counter-examples of each other: the wanted probability is shared among them (Yang et al. 2022,
arXiv:2204.03610).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import CAPTIONS, TWINS
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.errors import PlanError
from headstart.objectives._parts import Common

MOST = 100.0
"""Factor on the similarities, the temperature's inverse."""


@dataclass(frozen=True)
class Settings(Common):
    """Of the contrast.

    Attributes:
        temperature: divides the similarities in the beginning, 0.01 to 1; it is learned.
        out: width of the common space.
    """

    epochs: int = 30
    temperature: float = 0.07
    out: int = 128

    def __post_init__(self) -> None:
        if not 1 / MOST <= self.temperature <= 1:
            raise PlanError(
                f"The temperature came as {self.temperature}. Expected a number from {1 / MOST:g} to 1, such "
                "as 0.07."
            )
        super().__post_init__()


class Objective(Base):
    """InfoNCE between samples and captions."""

    settings: Settings
    pairs, compares, floor, batch, holds_out = True, True, 1e-3, 256, 0.1

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        known = streams["train"].batch(np.arange(1), -1).targets[CAPTIONS]
        out = self.settings.out
        self.sample = nn.Linear(network.backbone.width, out, bias=False)
        self.caption = nn.Linear(known.shape[1], out, bias=False)
        self.scale = nn.Parameter(torch.tensor(-math.log(self.settings.temperature)))

    def sides(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        features = network(batch.inputs, want="features").float()
        mine, other = self.sample(features), self.caption(batch.targets[CAPTIONS])
        return functional.normalize(mine, dim=1), functional.normalize(other, dim=1)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        batch = batches["train"]
        mine, other = self.sides(network, batch)
        scores = self.scale.clamp(max=math.log(MOST)).exp() * (mine @ other.T)
        wanted = shares(batch.targets[TWINS])
        return {
            "to captions": functional.cross_entropy(scores, wanted) / 2,
            "to samples": functional.cross_entropy(scores.T, wanted) / 2,
        }

    @torch.no_grad()
    def after_step(self, network: Network, progress: float) -> None:
        self.scale.clamp_(0.0, math.log(MOST))

    def keeps(self) -> Mapping[str, Tensor]:
        """Both maps (out, width), to be applied to features before they are scaled to length one, and the
        logarithm of the factor on their cosines."""
        return {
            "sample": self.sample.weight,
            "caption": self.caption.weight,
            "log_scale": self.scale,
        }


def shares(twins: Tensor) -> Tensor:
    """Numbers (N, 2) of captions and samples -> wanted probabilities (N, N): 1 on the diagonal, or shared
    with the rows that have the same caption or the same sample."""
    same = (twins[:, None] == twins[None]).any(dim=2).float()
    return same / same.sum(dim=1, keepdim=True)
