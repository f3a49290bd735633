"""Sort a view as a slow average of oneself sorts another view, into groups that nobody named.

DINO, Caron et al. 2021, arXiv:2104.14294, with two whole views (no small crops): cross-entropy of the
student's soft group with the teacher's. The teacher's scores are centred, so that no group takes all, and
sharpened, so that not all are equally likely. The teacher's weights are what is kept, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.objectives._parts import Common, Teacher, perceptron, taught

WARM = 0.3  # share of the training in which the teacher's temperature rises


@dataclass(frozen=True)
class Settings(Common):
    """Of student and teacher.

    Attributes:
        groups: into how many the samples are sorted.
        temperature: of the student.
        sharp, soft: the teacher's temperature, at first and after a third of the training.
        centring: what the centre keeps of itself at a step.
        momentum: what the teacher keeps of itself at a step in the beginning; grows to 1.
        hidden, out: widths of the head, which is thrown away afterwards.
    """

    groups: int = 512
    temperature: float = 0.1
    sharp: float = 0.04
    soft: float = 0.07
    centring: float = 0.9
    momentum: float = 0.99
    hidden: int = 256
    out: int = 64


class Sorter(nn.Module):
    """(N, width) -> (N, groups): cosines between a projection and each group's direction."""

    def __init__(self, width: int, settings: Settings) -> None:
        super().__init__()
        self.projector = perceptron(width, settings.hidden, settings.out, layers=3)
        self.directions = nn.Parameter(torch.randn(settings.groups, settings.out))

    def forward(self, features: Tensor) -> Tensor:
        unit = functional.normalize(self.projector(features).float(), dim=1)
        return unit @ functional.normalize(self.directions, dim=1).T


class Objective(Base):
    """Self-distillation with centring and sharpening."""

    settings: Settings
    views, compares, forwards, floor = 2, True, 2, 1e-3

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        settings = self.settings
        self.sorter = Sorter(network.backbone.width, settings)
        self.teacher = Teacher(network.backbone, self.sorter, settings.momentum)
        self.register_buffer("centre", torch.zeros(settings.groups))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.register_buffer("seen", torch.zeros(settings.groups), persistent=False)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        inputs, settings = batches["train"].inputs, self.settings
        said = self.sorter(network(inputs, want="features")) / settings.temperature
        scores = self.teacher(inputs)
        self.seen = scores.mean(dim=0)
        warm = min(1.0, progress / WARM)
        temperature = settings.sharp + (settings.soft - settings.sharp) * warm
        # at first all samples score alike, so without a centre one group would take them all
        centre = self.centre if self.started else self.seen
        wanted = ((scores - centre) / temperature).softmax(dim=1)
        other = wanted.roll(len(wanted) // 2, 0)
        return {"sorting": functional.cross_entropy(said, other)}

    def after_step(self, network: Network, progress: float) -> None:
        self.teacher.follow(network.backbone, self.sorter, progress)
        self.centre.lerp_(self.seen, 1.0 - self.settings.centring if self.started else 1.0)
        self.started.fill_(True)

    def finish(self, network: Network) -> Network:
        taught(network, self.teacher)
        return network
