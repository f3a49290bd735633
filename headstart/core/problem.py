"""The convex problem of a linear head, and its solution: values only.

A head describes a `Problem`; `engine/solve.py` solves it and returns a `Solution`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.errors import PlanError

Loss = Literal["softmax", "squares", "sigmoids"]
Scoring = Literal["log_loss", "tempered", "accuracy", "squares"]
"""How a strength is scored on the rows that a fold holds out, the mean over them, unweighted: ``log_loss``
(nats, negated), ``tempered`` (the same after each strength's out-of-fold probabilities have got the
temperature that suits them, which the solution keeps: how strong the penalty should be and how sure the
head may be are two questions), ``accuracy``, or ``squares`` (mean squared error, negated)."""


@dataclass(frozen=True)
class Problem:
    """A linear head on stored features, before any data.

    Softmax minimises ``C * sum_i w_i * loss_i + 0.5 * ||W||^2``, squares minimises
    ``C * sum_i w_i * |y_i - W x_i - b|^2 + ||W||^2`` (so scikit-learn's ``alpha`` is ``1 / C``).
    The intercept carries no penalty. Two classes are penalised as scikit-learn does, which keeps one
    vector for the difference of the two logits: ``0.5 * ||W_1 - W_0||^2``.

    Attributes:
        loss: ``softmax`` (multinomial logistic regression), ``squares`` (ridge) or ``sigmoids`` (for
            each output a logistic regression of its own, with its own strength).
        outputs: classes, at least 2, or regression targets or tags, at least 1.
        strengths: the values of C to choose from, each positive and finite, in any order.
        balanced: weigh each class by ``rows / (classes present * its rows)``; softmax only.

    Raises:
        PlanError: a value is out of range.
    """

    loss: Loss
    outputs: int
    strengths: tuple[float, ...]
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise PlanError(f"Loss is '{self.loss}'; expected one of {', '.join(get_args(Loss))}.")
        least = 2 if self.loss == "softmax" else 1
        if self.outputs < least:
            raise PlanError(
                f"A {self.loss} head needs at least {least} outputs, got {self.outputs}."
            )
        if not self.strengths:
            raise PlanError("No strength was given; name at least one C, for example 1.0.")
        bad = [s for s in self.strengths if not (s > 0 and math.isfinite(s))]
        if bad:
            raise PlanError(f"Strengths must be positive and finite, got {bad}.")
        if self.balanced and self.loss != "softmax":
            raise PlanError(
                "Class balance needs classes; pass row weights to a squares head instead."
            )


@dataclass(frozen=True)
class Solution:
    """A solved head; ``features @ weight.T + bias`` are its logits or predictions.

    Attributes:
        weight: (outputs, width) float32, for features as stored: standardisation is folded in.
        bias: (outputs,) float32.
        strength: the chosen C; for sigmoids the geometric mean of those chosen.
        scores: (folds, strengths) float64 validation scores, higher is better, strengths in the order
            of the problem; (0, strengths) after a plain fit. Natural-log units for ``log_loss``.
        held_out: (rows, outputs) float32 out-of-fold predictions (squares) or probabilities at the
            chosen strength, each by folds that did not see the row; NaN where no fold held the row out,
            or where a tag is not known; (0, outputs) after a plain fit. (rows, positions, outputs) for a
            head that reads positions.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    scores: NDArray[np.float64]
    held_out: NDArray[np.float32]

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """(rows, width) features to (rows, outputs) float32 logits or predictions."""
        return np.asarray(features @ self.weight.T + self.bias, dtype=np.float32)
