"""Take the noise off the input.

Denoising, Vincent et al. 2010 (Journal of Machine Learning Research 11): noise of a random strength is added,
and one linear map restores the clean input from the features of each place. The error counts everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.errors import PlanError
from headstart.objectives._parts import Common
from headstart.objectives._places import has_places, real, restorer, tokens_only


@dataclass(frozen=True)
class Settings(Common):
    """Of the noise.

    Attributes:
        least, most: deviation of the noise, in deviations of the input; drawn evenly a sample.
    """

    least: float = 0.2
    most: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least > self.most:
            raise PlanError(
                f"least came as {self.least} and most as {self.most}; expected least to be no more than most."
            )


class Objective(Base):
    """Mean absolute error of the restored input."""

    settings: Settings

    def refuse(self, network: Network) -> str:
        if not has_places(network):
            return "the network has no features of places, so nothing can be restored at its place"
        return super().refuse(network) or tokens_only(network)

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        self.restorer = restorer(network, streams)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        inputs, restores, settings = batches["train"].inputs, self.restorer, self.settings
        wanted = inputs[restores.laid.name]
        where = real(inputs, wanted, restores.steps(wanted))
        shape = (len(wanted), *[1] * (wanted.ndim - 1))
        strength = torch.empty(shape, device=wanted.device)
        strength = strength.uniform_(settings.least, settings.most)
        noise = torch.randn(wanted.shape, device=wanted.device) * restores.spread(where)
        loud = wanted + strength * wanted.std() * noise
        made = restores(network, {**inputs, restores.laid.name: loud})
        return {"restored": restores.error(made, wanted, where)}
