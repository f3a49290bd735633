"""Two views of a sample are alike; every feature varies over the batch; no two features say the same.

VICReg, Bardes, Ponce and LeCun 2022, arXiv:2105.04906. Needs no counter-examples: the variance term forbids
that all samples become one point, the covariance term that all features become one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.objectives._parts import Common, perceptron

SMALL = 1e-4


@dataclass(frozen=True)
class Settings(Common):
    """Of the three terms.

    Attributes:
        invariance, variance, covariance: weights of the terms, the paper's.
        hidden: width of the expander's three layers, which are thrown away afterwards.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    hidden: int = 512


class Objective(Base):
    """Invariance, variance and covariance over two views."""

    settings: Settings
    views, compares = 2, True

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        width, hidden = network.backbone.width, self.settings.hidden
        self.expander = perceptron(width, hidden, hidden, layers=3)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        features = network(batches["train"].inputs, want="features")
        first, second = self.expander(features).float().chunk(2)
        settings = self.settings
        return {
            "invariance": settings.invariance * functional.mse_loss(first, second),
            "variance": settings.variance * (spread(first) + spread(second)) / 2,
            "covariance": settings.covariance * (shared(first) + shared(second)),
        }


def spread(values: Tensor) -> Tensor:
    """How far the deviations of the columns of (N, out) lie below 1, on average."""
    return functional.relu(1.0 - (values.var(dim=0) + SMALL).sqrt()).mean()


def shared(values: Tensor) -> Tensor:
    """Squared covariances of different columns of (N, out), their sum over `out`."""
    count, width = values.shape
    centred = values - values.mean(dim=0)
    covariance = centred.T @ centred / (count - 1)
    return (covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()) / width
