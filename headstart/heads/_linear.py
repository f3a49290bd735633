"""One linear layer on features, as most heads are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.head import Dropout, Head
from headstart.core.problem import Solution
from headstart.errors import ContractError


class LinearHead(Head):
    """Features (N, width) -> (N, outputs); of positions (N, L, width) -> (N, L, outputs). Zero at first.

    Args:
        width: of the features.
        outputs: how many.
        dropout: share of features left out in training.
    """

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.outputs = width, outputs
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Raises ContractError for features of another shape."""
        axes = 3 if self.reads == "positions" else 2
        if features.ndim != axes or features.shape[-1] != self.width:
            expected = f"(N, positions, {self.width})" if axes == 3 else f"(N, {self.width})"
            raise ContractError(
                f"The head expects features of width {self.width}, {expected}; {tuple(features.shape)} came."
            )
        made: Tensor = self.linear(self.dropout(features))
        return made

    def directions(self) -> Tensor | None:
        """Rows of the weight matrix."""
        return self.linear.weight

    def settle(self, solution: Solution) -> None:
        """Takes weights and bias over."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(solution.weight))
            self.linear.bias.copy_(torch.from_numpy(solution.bias))


def balance(labels: np.ndarray, classes: int) -> Tensor:
    """Weight of each class, (classes,): rows / (classes that occur x rows of it), so that the mean over
    rows is 1; 0 for a class without rows.

    Args:
        labels: class numbers, (N,).
    """
    counts = np.bincount(labels, minlength=classes)
    there = counts > 0
    weights = np.zeros(classes)
    weights[there] = len(labels) / (there.sum() * counts[there])
    return torch.from_numpy(weights.astype(np.float32))
