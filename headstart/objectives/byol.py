"""Predict what a slow average of oneself says of another view of the sample; no counter-examples.

BYOL, Grill et al. 2020, arXiv:2006.07733: 2 - 2 cos(predictor(projector(view)), teacher(other view)), both
ways. Nothing in the loss forbids that all samples become one point; predictor and slow average do, mostly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.objectives._parts import Common, Teacher, perceptron


@dataclass(frozen=True)
class Settings(Common):
    """Of student and teacher.

    Attributes:
        momentum: what the teacher keeps of itself at a step in the beginning; grows to 1.
        hidden, out: widths of projector and predictor, which are thrown away afterwards.
    """

    momentum: float = 0.99
    hidden: int = 256
    out: int = 128


class Objective(Base):
    """The student's prediction of the teacher's projection, symmetric."""

    settings: Settings
    views, compares, forwards, floor = 2, True, 2, 1e-3

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        settings = self.settings
        self.projector = perceptron(network.backbone.width, settings.hidden, settings.out)
        self.predictor = perceptron(settings.out, settings.hidden, settings.out)
        self.teacher = Teacher(network.backbone, self.projector, settings.momentum)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        inputs = batches["train"].inputs
        said = self.predictor(self.projector(network(inputs, want="features")))
        wanted = self.teacher(inputs)
        other = wanted.roll(len(wanted) // 2, 0)
        cosine = functional.cosine_similarity(said.float(), other.float(), dim=1)
        return {"prediction": 2.0 - 2.0 * cosine.mean()}

    def after_step(self, network: Network, progress: float) -> None:
        self.teacher.follow(network.backbone, self.projector, progress)
