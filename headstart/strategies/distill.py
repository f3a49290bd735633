"""Fine-tuning that also learns what a finished model, the teacher, says of the training rows.

Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", arXiv:1503.02531: the loss is
(1 - weight) x the task's + weight x T^2 x KL(the teacher at temperature T || the student at T). Features:
the mean squared distance of a learned linear projection of the student's features to the teacher's, which
have mean 0 and variance 1 each (Romero et al. 2015, "FitNets", arXiv:1412.6550, who match a layer in the
middle).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.errors import ContractError, PlanError
from headstart.strategies._regularised import Regularised
from headstart.strategies._tuning import Training, above, at_least
from headstart.strategies.lwf import divergence

SAID, FEATURES = "teacher", "teacher features"
LEAST = 1e-12  # of a probability


@dataclass(frozen=True)
class Settings(Training):
    """How far and how fast, and what is learned of the teacher.

    Attributes:
        rate: learning rate of the last stage (AdamW).
        depth_decay: factor on the rate per stage towards the input.
        weight_decay: decoupled, on matrices only.
        teacher: a finished run of the same task (id, "last", folder), or the folder of its pack.
        weight: share of the teacher's part, 0 to 1.
        temperature: by which both logits are divided.
        features: weight of the distance of features; 0: they are not matched.
    """

    rate: float = 3e-4
    depth_decay: float = 0.8
    weight_decay: float = 0.01
    teacher: str = ""
    weight: float = 0.5
    temperature: float = 4.0
    features: float = 0.0

    head_rate: ClassVar[float] = 3.0
    statistics: ClassVar[bool] = False
    head_first: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, "depth_decay", "temperature")
        at_least(self, 0, "features", "weight_decay")
        if not 0 <= self.weight <= 1:
            raise PlanError(f"distill.weight came as {self.weight}; expected 0 <= weight <= 1.")


class Strategy(Regularised):
    """`fine_tune` with the part "distill", and "features" where asked for, in the loss while training."""

    settings: Any
    asks = (SAID, FEATURES)
    blends = False

    def refuse(self, network: Network) -> str:
        """It takes rows of one class each."""
        why = super().refuse(network)
        if not why and not all(head.one_class for head in network.heads.values()):
            return (
                "a teacher tells the class of a row, but this outcome's rows have no single class; choose "
                "fine_tune"
            )
        return why

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Measures the teacher's features; the projection begins at 0, as a head does."""
        targets = getattr(streams["train"], "targets", {})
        missing = [name for name in self.asks if name not in targets]
        if missing:
            raise ContractError(f"The strategy needs the targets '{missing[0]}' of its rows.")
        if self.settings.features:
            told = np.asarray(targets[FEATURES], np.float64)
            mean, spread = np.nanmean(told, 0), np.nanstd(told, 0)
            width = network.backbone.width
            self.register_buffer("mean", torch.from_numpy(mean).float(), persistent=False)
            scale = torch.from_numpy(np.where(spread > 0, spread, 1.0)).float()
            self.register_buffer("spread", scale, persistent=False)
            self.projection = nn.Parameter(torch.zeros(told.shape[1], width))
            self.offset = nn.Parameter(torch.zeros(told.shape[1]))

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        parts = super().loss(network, batches, progress)
        if not network.heads.training:
            return parts
        share = 1 - self.settings.weight
        return {name: share * v if name in network.heads else v for name, v in parts.items()}

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        (head,) = network.heads.values()
        told, settings = batch.targets[SAID], self.settings
        known = torch.isfinite(told).all(1)
        share = known.float().mean()  # rows that the teacher cannot read count 0
        if not known.any():
            nothing = 0.0 * features.sum()
            return {"distill": nothing, **({"features": nothing} if settings.features else {})}
        logits = (
            told[known].clamp(min=LEAST).log()
        )  # but for a number a row, which a softmax takes no note of
        far = divergence(head(features[known]), logits, settings.temperature)
        parts = {"distill": settings.weight * share * far}
        if settings.features:
            wanted = (batch.targets[FEATURES][known] - self.get_buffer("mean")) / self.get_buffer(
                "spread"
            )
            made = features[known].float() @ self.projection.T + self.offset
            parts["features"] = settings.features * share * (made - wanted).square().mean()
        return parts
