"""What several objectives are made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from headstart.core.network import Backbone, Network
from headstart.errors import PlanError

ABOVE_ZERO = ("epochs", "rate", "temperature", "sharp", "hidden", "out", "groups", "most")
SHARES = ("momentum", "share", "smoothing")
WARM = 10  # steps in which a teacher follows more closely


@dataclass(frozen=True)
class Common:
    """Settings of every objective.

    Attributes:
        epochs: passes over the samples.
        rate: learning rate (AdamW, cosine with warm-up).
        weight_decay: decoupled, on matrices only.
    """

    epochs: int = 100
    rate: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            value, name = getattr(self, field.name), field.name
            if name in ABOVE_ZERO and not value > 0:
                raise PlanError(f"{name} came as {value}; expected more than 0.")
            if name in SHARES and not 0 <= value <= 1:
                raise PlanError(f"{name} came as {value}; expected a share, from 0 to 1.")
            if not value >= 0:
                raise PlanError(f"{name} came as {value}; expected 0 or more.")


def perceptron(width: int, hidden: int, out: int, layers: int = 2) -> nn.Sequential:
    """(N, width) -> (N, out): linear maps with batch norm and rectifier between them."""
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
        width = hidden
    return nn.Sequential(*parts, nn.Linear(width, out))


class Teacher(nn.Module):
    """A running average of a backbone and what stands on it; it asks for no gradient.

    Args:
        backbone: copied, like `top`.
        start: share that an average keeps at a step in the beginning; it grows to 1 as half a cosine
            (arXiv:2006.07733). In the first steps it is less, n of n + 10, or a short training would end
            before its teacher has left the random weights.
    """

    def __init__(self, backbone: Backbone, top: nn.Module, start: float) -> None:
        super().__init__()
        self.backbone, self.top = copy.deepcopy(backbone), copy.deepcopy(top)
        self.start = start
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.requires_grad_(False).train()

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Inputs -> (N, out)."""
        made: Tensor = self.top(self.backbone.pool(self.backbone.run(inputs)))
        return made

    @torch.no_grad()
    def follow(self, backbone: nn.Module, top: nn.Module, progress: float) -> None:
        """Moves the averages a little towards the student; batch-norm statistics are its own."""
        self.steps += 1
        steps = int(self.steps)
        keep = 1.0 - (1.0 - self.start) * (math.cos(math.pi * progress) + 1.0) / 2.0
        keep = min(keep, steps / (steps + WARM))
        for mine, other in ((self.backbone, backbone), (self.top, top)):
            pairs = zip(mine.parameters(), other.parameters(), strict=True)
            for average, value in pairs:
                average.lerp_(value, 1.0 - keep)


def taught(network: Network, teacher: Teacher) -> None:
    """Gives the network its teacher's weights and statistics."""
    network.backbone.load_state_dict(teacher.backbone.state_dict())
