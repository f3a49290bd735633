"""A staged prior-fitted network: encoded rows as its features, and the head that predicts from context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.head import Head
from headstart.core.network import Backbone, State
from headstart.core.problem import Solution
from headstart.errors import SourceError
from headstart.modalities.table.prior_fitted import (
    CLASSES,
    Context,
    PriorFitted,
    chosen,
    context,
    predict,
)

ROW = "row"
PASSES = 8
MOST = 1000
"""Rows of the context; of more as many are drawn, and only those are kept."""
AT_ONCE = 256
"""Rows that are asked about in one pass; they do not see each other."""


class Rows(Backbone):
    """Encoded rows (N, D) as they are; the network stands behind them, in the head."""

    stages = ("encode",)

    def __init__(self, network: PriorFitted, width: int) -> None:
        super().__init__()
        self.network, self.width = network, width

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"row": (N, D)} in and out."""
        return {ROW: state[ROW]}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, D)."""
        return state[ROW]

    def own_head(self, targets: Any) -> Head | None:
        """Of up to ten classes. Raises SourceError for anything else."""
        if targets.outcome != "classify" or len(targets.classes) > CLASSES:
            what = (
                f"{len(targets.classes)} classes"
                if targets.outcome == "classify"
                else targets.outcome
            )
            raise SourceError(
                f"This prior-fitted network tells at most {CLASSES} classes apart; the task has: {what}. "
                "Choose builtin:random-features, or leave the source to headstart."
            )
        return InContext(self.network, self.width, len(targets.classes))

    def stage_of(self, name: str) -> int:
        """0: there is one stage."""
        return 0


class InContext(Head):
    """Features (N, D) -> log-probabilities (N, classes), given the labelled rows that it keeps.

    Attributes:
        rows, labels: (M, D) and (M,) int64, of the training rows; packs hold them.
    """

    settled_by = "in_context"
    solves_itself = True
    rows: Tensor
    labels: Tensor

    def __init__(self, network: PriorFitted, width: int, outputs: int) -> None:
        super().__init__()
        self.width, self.outputs = width, outputs
        self._network = (network,)  # its weights are the backbone's
        self._context: tuple[Tensor, Context] | None = None
        self.register_buffer("rows", torch.zeros(0, width))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))

    @property
    def inside(self) -> int:
        """All that it keeps."""
        return len(self.rows)

    def forward(self, features: Tensor) -> Tensor:
        """One block of rows after another, so that none depends on those beside it."""
        with torch.no_grad():
            blocks = [self._told(b) for b in features.split(AT_ONCE)]
        return torch.cat(blocks) if blocks else features.new_zeros(0, self.outputs)

    def solve(self, features: NDArray[Any], labels: NDArray[Any], parts: Sequence[Any]) -> Solution:
        """Held-out probabilities, each with the rows of the other parts as context."""
        rows, known = torch.from_numpy(features).float(), torch.from_numpy(labels)
        some = chosen(len(rows), MOST).numpy()
        held = np.full((len(rows), self.outputs), np.nan, np.float32)
        for fit, out in parts:
            held[out] = self._said(self._read(rows[fit], known[fit]), rows[out]).exp().numpy()
        empty = np.empty((0, 0))
        return Solution(rows.numpy()[some], known.numpy()[some], float("nan"), empty, held)

    def settle(self, solution: Solution) -> None:
        """Keeps the rows (`weight`) and their classes (`bias`)."""
        self.rows = torch.from_numpy(solution.weight)
        self.labels = torch.from_numpy(solution.bias)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Log-probabilities (N, classes) -> probabilities, float64."""
        grown: np.ndarray = np.exp(outputs.astype(np.float64))
        return grown / grown.sum(axis=1, keepdims=True)

    def _told(self, asked: Tensor) -> Tensor:
        """Of one block of rows; the context is prepared once for all that follow."""
        if self._context is None or self._context[0] is not self.rows:
            self._context = (self.rows, self._read(self.rows, self.labels))
        return self._said(self._context[1], asked)

    def _read(self, rows: Tensor, labels: Tensor) -> Context:
        return context(rows, labels, self.outputs, most=MOST)

    def _said(self, known: Context, asked: Tensor) -> Tensor:
        return predict(self._network[0], known, asked, passes=PASSES)
