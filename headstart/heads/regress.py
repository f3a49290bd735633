"""A number: ridge regression on features. Targets are standardised; the scale is sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.evidence import Score
from headstart.core.problem import Problem, Solution
from headstart.errors import DataError
from headstart.heads._linear import LinearHead

STRENGTHS = tuple(float(c) for c in np.logspace(-7, 2, 19))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the training targets."""

    mean: float
    deviation: float
    classes: tuple[str, ...] = ()
    outcome: str = "regress"

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Numbers (N,) as float64, in the person's own units. Raises DataError."""
        try:
            values = np.asarray(targets, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"A target is no number ({error}). Name a numeric target column, or use the "
                "outcome 'classify'."
            ) from error
        if not np.isfinite(values).all():
            raise DataError("A target is NaN or infinite; remove or correct these rows.")
        return values

    def decode(self, outputs: np.ndarray) -> list[float]:
        """Predicted numbers (N,) -> list."""
        return [float(v) for v in outputs]

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation}


def learn(targets: Sequence[Any]) -> Scale:
    """Mean and spread of the training rows. Raises DataError when they are all equal."""
    values = Scale(0.0, 1.0).encode(targets)
    if len(values) < 2 or np.ptp(values) == 0:
        raise DataError(
            "All training targets are equal, so there is nothing to predict. "
            "Check that the right target column is named."
        )
    return Scale(float(values.mean()), float(values.std()))


def restore(state: Mapping[str, Any]) -> Scale:
    """The scale whose `state()` this is."""
    return Scale(float(state["mean"]), float(state["deviation"]))


def explained(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """R2 as a mean over rows, (seeds, rows).

    R2 = 1 - m / v, with m the mean squared error and v the variance of the targets; the rows are
    1 - e_i^2 / v + (m / v) (q_i / v - 1) with q_i the squared distance of target i from the mean, so that
    their spread carries that of v (delta method for a ratio).
    """
    squares = (outputs - targets[None, :]) ** 2
    around = (targets - targets.mean()) ** 2
    variance = max(float(around.mean()), 1e-300)
    unexplained = squares.mean(axis=1, keepdims=True) / variance
    made: np.ndarray = 1.0 - squares / variance + unexplained * (around / variance - 1.0)[None, :]
    return made


def _undefined(targets: np.ndarray) -> str:
    return "" if np.ptp(targets) > 0 else "all test targets are equal, so R2 is not defined"


def _step(first: np.ndarray, second: np.ndarray) -> float:
    """The unexplained share, on average of both arms."""
    unexplained = 1.0 - (float(first.mean()) + float(second.mean())) / 2
    return min(1.0, max(unexplained, 1.0 / first.shape[1]))


SCORE = Score("R2", "explained variation (R2)", explained, undefined=_undefined, step=_step)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold numbers (N, 1) -> (N,)."""
    return held_out[:, 0]


def losses(said: np.ndarray, labels: np.ndarray, targets: Scale) -> np.ndarray:
    """Squared error of every row in units of the training targets' variance, (N,)."""
    made: np.ndarray = (said - labels) ** 2 / max(targets.deviation**2, 1e-300)
    return made


class Head(LinearHead):
    """Features (N, width) -> numbers (N, 1), in the person's own units."""

    scale: Tensor
    shift: Tensor

    def __init__(self, width: int, targets: Scale, dropout: float = 0.0) -> None:
        super().__init__(width, 1, dropout)
        self.register_buffer("scale", torch.tensor(targets.deviation, dtype=torch.float32))
        self.register_buffer("shift", torch.tensor(targets.mean, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.scale + self.shift

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error in units of the training targets' deviation."""
        return F.mse_loss(outputs[:, 0] / self.scale, targets.to(outputs.dtype) / self.scale)

    def problem(self, rows: int) -> Problem:
        """Ridge regression."""
        return Problem("squares", 1, STRENGTHS)

    def settle(self, solution: Solution) -> None:
        scale, shift = float(self.scale), float(self.shift)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(solution.weight) / scale)
            self.linear.bias.copy_((torch.from_numpy(solution.bias) - shift) / scale)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """(N, 1) -> (N,), float64."""
        return outputs[:, 0].astype(np.float64)
