"""The coming values of a series: ridge regression on features, one output for each step ahead.

A window is forecast in its own unit: the last known value of its history is 0, their deviation 1. Level
and spread travel with the target, and are found again from the history at prediction. The score is 1 less
the mean absolute scaled error, MASE (Hyndman and Koehler 2006): the mean absolute error over the steps in
units of the error that the seasonal naive forecast makes, one period ahead, on the training part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core import forecast
from headstart.core.evidence import Score
from headstart.core.problem import Problem
from headstart.errors import DataError
from headstart.heads import _familiar
from headstart.heads._familiar import Familiar
from headstart.heads._linear import LinearHead

STRENGTHS = tuple(float(c) for c in np.logspace(-8, 1, 19))


@dataclass(frozen=True)
class Windows:
    """Horizon, and the quantiles of held-out errors that make the bands.

    A raw target is an array (horizon + 3,): the coming values in the person's own units, NaN where one
    is not known; level and spread of the history; the error of the naive forecast.

    Attributes:
        quantiles: (horizon, levels) in windows' own units, see `core/forecast.py`; empty before
            `informed`.
        familiar: some training windows, for what is unlike all of them; None before `informed`.
    """

    horizon: int
    quantiles: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    familiar: Familiar | None = field(default=None, repr=False, compare=False)
    classes: tuple[str, ...] = ()
    outcome: str = "forecast"

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Raw targets (N,) -> (N, horizon + 3) float64 in windows' own units. Raises DataError."""
        raw = _stacked(targets, self.horizon + forecast.CONTEXT)
        coming, level, spread, naive = forecast.parts(raw)
        own = (coming - level[:, None]) / spread[:, None]
        return np.column_stack([own, level, spread, naive / spread])

    def decode(self, outputs: np.ndarray) -> list[list[float]]:
        """Forecasts (N, horizon) as lists, in windows' own units; `told` gives the person's."""
        return [[float(v) for v in row] for row in outputs]

    def told(
        self, outputs: np.ndarray, targets: Sequence[Any], features: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Forecasts (N, horizon) in the person's units, "forecast", with the ends of their bands, "low"
        and "high", and what is known of the truth, "actual". "anomaly", where the truth is known: its
        distance from the middle of the band in halves of the width, or the window's distance from the
        nearest training window in what is usual among these, whichever is larger; above 1 is rare.

        Args:
            targets: raw targets, NaN where the future is not known yet.
            features: (N, width) of the windows; None where nothing is known of training windows.
        """
        raw = _stacked(targets, self.horizon + forecast.CONTEXT)
        actual, level, spread, _ = forecast.parts(raw)
        ends = np.array(self.quantiles or np.full((self.horizon, 2), np.nan))
        made = {"forecast": outputs, "low": outputs + ends[:, 0], "high": outputs + ends[:, -1]}
        made = {k: level[:, None] + spread[:, None] * v for k, v in made.items()}
        middle, half = (made["low"] + made["high"]) / 2, (made["high"] - made["low"]) / 2
        outside = np.abs(actual - middle) / np.maximum(half, 1e-300)
        strange = np.zeros(len(raw))
        if self.familiar and features is not None:
            strange = self.familiar.strange(features)
        return {**made, "actual": actual, "anomaly": np.maximum(outside, strange[:, None])}

    def informed(
        self, said: np.ndarray, labels: np.ndarray, features: np.ndarray | None, groups: np.ndarray
    ) -> Windows:
        """With the bands that held-out forecasts (M, horizon) and their encoded targets give, and with
        some of the training windows, features (N, width) in groups (N,); None where they are not those of
        the trained network."""
        found = forecast.residual_quantiles(said, forecast.parts(labels)[0])
        return replace(
            self,
            quantiles=tuple(map(tuple, found.tolist())),
            familiar=None if features is None else _familiar.learn(features, groups),
        )

    def state(self) -> dict[str, Any]:
        quantiles = [list(row) for row in self.quantiles]
        familiar = self.familiar.state() if self.familiar else None
        return {"horizon": self.horizon, "quantiles": quantiles, "familiar": familiar}


def _stacked(targets: Sequence[Any], width: int) -> np.ndarray:
    """(N, width) float64. Raises DataError."""
    try:
        made = np.asarray([np.asarray(t, np.float64) for t in targets])
    except (TypeError, ValueError):
        made = np.empty(0)
    if made.ndim != 2 or made.shape[1] != width or np.isinf(made).any():
        first = next(iter(targets), None)
        raise DataError(
            f"A target to forecast came as {str(first)[:60]!r}; expected windows of {width} finite "
            "numbers each. Name a table with a column of values and a horizon, or another outcome."
        )
    return made


def learn(targets: Sequence[Any]) -> Windows:
    """The horizon of the training windows. Raises DataError where nothing moves in them."""
    first = targets[0]
    size = len(first) if isinstance(first, (np.ndarray, list, tuple)) else 0
    raw = _stacked(targets, max(size, forecast.CONTEXT + 1))
    made = Windows(size - forecast.CONTEXT)
    coming = forecast.filled(made.encode(targets)[:, : made.horizon])
    if len(raw) < 2 or not np.ptp(coming, axis=0).any():
        raise DataError(
            "All training windows go on alike, so there is nothing to forecast. Check that the right "
            "target column is named."
        )
    return made


def restore(state: Mapping[str, Any]) -> Windows:
    """The targets whose `state()` this is."""
    kept = state["familiar"]
    familiar = _familiar.restore(kept) if kept else None
    return Windows(int(state["horizon"]), tuple(map(tuple, state["quantiles"])), familiar)


def skill(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 - mean |y - f| / naive error over the known steps of each window: (seeds, rows, horizon) and
    (rows, horizon + 3) -> (seeds, rows). Windows without a known step, or of a series in which nothing
    moved, are left out by giving them the mean of the others."""
    truth, _, _, naive = forecast.parts(np.asarray(targets, np.float64))
    known = np.isfinite(truth)
    errors = np.abs(np.where(known, outputs - truth, 0.0)).sum(axis=2)
    count = known.sum(axis=1)
    usable = (count > 0) & np.isfinite(naive) & (naive > 0)
    rows = 1.0 - errors / np.where(usable, np.maximum(count, 1) * naive, 1.0)
    if usable.all():
        return np.asarray(rows)
    mean = rows[:, usable].mean(axis=1, keepdims=True) if usable.any() else np.zeros((len(rows), 1))
    return np.where(usable, rows, mean)


def _undefined(targets: np.ndarray) -> str:
    truth, _, _, naive = forecast.parts(np.asarray(targets, np.float64))
    if (np.isfinite(truth).any(axis=1) & (naive > 0)).any():
        return ""
    return "no test window has a known value and a series that moved in training"


def _step(first: np.ndarray, second: np.ndarray) -> float:
    """The scaled error of a window, on average of both arms."""
    return max(1.0 - (float(first.mean()) + float(second.mean())) / 2, 1.0 / first.shape[1])


SCORE = Score(
    "skill",
    "skill over the seasonal naive forecast (1 - MASE; 0 is as large an error as it made in training)",
    skill,
    undefined=_undefined,
    step=_step,
)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold forecasts (N, horizon), as they are."""
    return held_out


def losses(said: np.ndarray, labels: np.ndarray, targets: Windows) -> np.ndarray:
    """Mean squared error of every window over its known steps, (N,), in its own unit."""
    truth = forecast.parts(labels)[0]
    known = np.isfinite(truth)
    each = np.where(known, said - truth, 0.0) ** 2
    made: np.ndarray = each.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return made


class Head(LinearHead):
    """Features (N, width) -> forecasts (N, horizon) in windows' own units."""

    def __init__(self, width: int, targets: Windows, dropout: float = 0.0) -> None:
        super().__init__(width, targets.horizon, dropout)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Huber's loss (1964), quadratic up to one spread of the history, mean over known steps."""
        truth = targets[:, : self.outputs].to(outputs.dtype)
        known = torch.isfinite(truth)
        each = F.huber_loss(outputs, torch.nan_to_num(truth), reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def wanted(self, targets: np.ndarray) -> np.ndarray:
        """The coming values, gaps among them interpolated."""
        return forecast.filled(targets[:, : self.outputs])

    def problem(self, rows: int) -> Problem:
        """Ridge regression with an output a step."""
        return Problem("squares", self.outputs, STRENGTHS)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """(N, horizon), float64."""
        return outputs.astype(np.float64)
