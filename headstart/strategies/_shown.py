"""What strategies have in common whose head keeps labelled rows, or means of them, in place of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.head import Head, probabilities
from headstart.core.network import Network
from headstart.core.problem import Solution
from headstart.core.strategy import Group, Phase
from headstart.strategies import linear_probe

UNSEEN = -1e4  # logit of a class that no shown row has
LEAST = 1e-6  # probability


class Shown(Head):
    """Features (N, width) -> logits (N, classes), from labelled rows that it was shown. Features are read as
    directions from the mean of all rows: centred, then of length one (Wang et al. 2019, arXiv:1911.04623).

    Attributes:
        centre: (width,) mean of the training rows.
        rows, labels: (M, width) and (M,) int64, what answers come from.
        choice: () what was chosen on held-out rows; 0 before anything was shown.
    """

    classed = one_class = solves_itself = True
    choices: ClassVar[tuple[float, ...]]
    """What is chosen from, the likeliest first."""
    centre: Tensor
    rows: Tensor
    labels: Tensor
    choice: Tensor

    def __init__(self, width: int, outputs: int, rows: int = 0) -> None:
        super().__init__()
        self.width, self.outputs = width, outputs
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("rows", torch.zeros(rows, width))
        self.register_buffer("labels", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("choice", torch.tensor(0.0))

    def show(self, features: Tensor, labels: Tensor) -> None:
        """Keeps rows (N, width) and their classes (N,), or what they come to."""
        self.centre = features.mean(0)
        self.rows, self.labels = self.turned(features), labels

    def turned(self, features: Tensor) -> Tensor:
        """(N, width) -> directions from the centre."""
        return functional.normalize(features - self.centre.to(features), dim=1)

    def answers(self, features: Tensor, choice: float) -> Tensor:
        """Logits (N, classes) at a choice."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        return self.answers(features, float(self.choice))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, mean over rows."""
        return functional.cross_entropy(outputs, targets)

    def solve(self, features: NDArray[Any], labels: NDArray[Any], parts: Sequence[Any]) -> Solution:
        """The choice with the lowest log loss on rows that were not shown; of equal ones the first."""
        rows, known = torch.from_numpy(features).float(), torch.from_numpy(labels)
        held = np.full((len(self.choices), len(rows), self.outputs), np.nan, np.float32)
        told = np.zeros(len(rows), bool)  # another row of the class was shown
        for fit, out in parts:
            some = type(self)(self.width, self.outputs)
            some.show(rows[fit], known[fit])
            told[out] = np.isin(labels[out], labels[fit])
            for place, choice in enumerate(self.choices):
                held[place][out] = some.answers(rows[out], choice).softmax(1).numpy()
        sure = held[:, told, labels[told]]
        losses = -np.log(np.clip(sure, LEAST, 1)).mean(1) if told.any() else np.zeros(len(held))
        best = int(losses.argmin())
        return Solution(rows.numpy(), known.numpy(), self.choices[best], -losses[None], held[best])

    def settle(self, solution: Solution) -> None:
        """Is shown the rows (`weight`) with their classes (`bias`), at the choice (`strength`)."""
        self.show(torch.from_numpy(solution.weight), torch.from_numpy(solution.bias))
        self.choice = torch.tensor(float(solution.strength))

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, classes) -> probabilities, float64."""
        return probabilities(outputs)


class Showing(linear_probe.Strategy):
    """One solved phase over heads of the kind `head`; the backbone is frozen to the bit."""

    head: type[Shown]

    def refuse(self, network: Network) -> str:
        """It takes rows of one class each."""
        if all(head.one_class for head in network.heads.values()):
            return ""
        return (
            "its rows must have one class each, but this outcome has none; choose linear_probe, which solves "
            "a head for every outcome"
        )

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Puts heads of its own in place of the outcome's."""
        for name, head in list(network.heads.items()):
            network.heads[name] = self.head(network.backbone.width, int(head.outputs))  # type: ignore[arg-type]

    def phases(self, network: Network) -> tuple[Phase, ...]:
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_buffers())
        group = Group("head", (), buffers=names)
        return (Phase("head", (group,), cut=len(network.backbone.stages), solved=True),)

    @classmethod
    def rebuild(cls, network: Network, tensors: Mapping[str, Tensor]) -> None:  # type: ignore[override]
        """Puts heads of this class's kind in the outcome's place, with as many rows as were kept."""
        for name, head in list(network.heads.items()):
            rows = tensors.get(f"heads.{name}.rows")
            if rows is not None:
                made: nn.Module = cls.head(rows.shape[1], int(head.outputs), len(rows))  # type: ignore[arg-type]
                network.heads[name] = made
