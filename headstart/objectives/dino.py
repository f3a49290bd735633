"""Sort a view as a slow average of oneself sorts another view, into groups that nobody named.

DINO, Caron et al. 2021, arXiv:2104.14294, with two whole views (no small crops): cross-entropy of the
student's soft group with the teacher's, which is sharper. That no group takes all is seen to by balancing the
teacher's groups over the batch (Sinkhorn and Knopp, as in arXiv:2006.09882 and arXiv:2304.07193): with the
paper's moving centre, short trainings on small batches put all samples into one group before the centre had
moved. The teacher's weights are what is kept, as in the paper.
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

ROUNDS = 3


@dataclass(frozen=True)
class Settings(Common):
    """Of student and teacher.

    Attributes:
        groups: into how many the samples are sorted.
        temperature: of the student.
        sharp: of the teacher; the lower, the surer it is.
        momentum: what the teacher keeps of itself at a step in the beginning; grows to 1.
        hidden, out: widths of the head, which is thrown away afterwards.
    """

    groups: int = 256
    temperature: float = 0.1
    sharp: float = 0.02
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
    """Self-distillation with balancing and sharpening."""

    settings: Settings
    views, compares, forwards, floor = 2, True, 2, 1e-3

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        settings = self.settings
        self.sorter = Sorter(network.backbone.width, settings)
        self.teacher = Teacher(network.backbone, self.sorter, settings.momentum)

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        inputs, settings = batches["train"].inputs, self.settings
        said = self.sorter(network(inputs, want="features")) / settings.temperature
        first, second = self.teacher(inputs).chunk(2)
        other = torch.cat([balanced(part, settings.sharp) for part in (second, first)])
        return {"sorting": functional.cross_entropy(said, other)}

    def after_step(self, network: Network, progress: float) -> None:
        self.teacher.follow(network.backbone, self.sorter, progress)

    def finish(self, network: Network) -> Network:
        taught(network, self.teacher)
        return network


def balanced(scores: Tensor, temperature: float) -> Tensor:
    """Scores (N, groups) -> shares of the groups (N, groups), each row summing to 1, every group getting
    nearly as much of the batch."""
    shares = ((scores - scores.max()) / temperature).double().softmax(dim=1)
    for _ in range(ROUNDS):
        shares = shares / shares.sum(dim=0, keepdim=True).clamp(min=1e-30)
        shares = shares / shares.sum(dim=1, keepdim=True)
    return shares.float()
