"""What data, heads, simple models and checks share about forecasts: a window's own unit, and bands.

An encoded target is a row (horizon + 3,): the coming values in the window's own unit (NaN where one is
not known), then level and spread of that unit, and the error of the naive forecast in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CONTEXT = 3
"""Columns behind the horizon: level, spread, naive error."""
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Quantiles that are forecast; the outer two are the ends of the 90 % band."""
WANTED = LEVELS[-1] - LEVELS[0]
STILL = 1e-6
"""A history whose deviation is below this share of its size stands still; its unit is 1."""


def own_unit(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and spread (N,) of histories (N, T) with gaps: the last known value, as NLinear takes it
    (Zeng et al. 2023, arXiv:2205.13504), and the deviation of the known values."""
    known = np.isfinite(history)
    last = history.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    level = history[np.arange(len(history)), last]
    count = np.maximum(known.sum(axis=1), 1)
    values = np.where(known, history, 0.0)
    mean = values.sum(axis=1) / count
    away = np.where(known, history - mean[:, None], 0.0)
    spread = np.sqrt((away**2).sum(axis=1) / count)
    still = spread <= STILL * (1.0 + np.abs(mean))
    return np.nan_to_num(level), np.where(still, 1.0, spread)


def parts(encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Encoded targets (N, horizon + 3) -> coming values (N, horizon), level, spread, naive error (N,)."""
    return encoded[:, :-CONTEXT], encoded[:, -3], encoded[:, -2], encoded[:, -1]


def filled(rows: np.ndarray) -> np.ndarray:
    """(N, T) with gaps interpolated along the row and its ends held; a row without a value is 0."""
    gone = np.flatnonzero(np.isnan(rows).any(axis=1))
    if not len(gone):
        return rows
    made, steps = rows.copy(), np.arange(rows.shape[1])
    for row in gone:
        known = np.isfinite(rows[row])
        made[row] = np.interp(steps, steps[known], rows[row, known]) if known.any() else 0.0
    return made


def residual_quantiles(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(horizon, levels): by how much the truth lies above a forecast, at each level, step by step.

    The ranks are those of split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018): of m
    held-out residuals the upper levels take the ceil(level (m + 1))-th smallest, the lower ones mirror
    them; ends that would need more residuals take the outermost.

    Args:
        said, truth: (N, horizon) of held-out windows in their own units; NaN in `truth` is skipped.
    """
    made = np.zeros((said.shape[1], len(LEVELS)))
    for step in range(said.shape[1]):
        known = np.isfinite(truth[:, step])
        found = np.sort(truth[known, step] - said[known, step])
        if len(found):
            made[step] = [found[_rank(level, len(found))] for level in LEVELS]
    return made


def _rank(level: float, count: int) -> int:
    if level < 0.5:
        return count - 1 - _rank(1.0 - level, count)
    return min(max(math.ceil(round(level * (count + 1), 9)), 1), count) - 1


def seasonal(history: np.ndarray, period: int, horizon: int) -> np.ndarray:
    """(N, T) without gaps -> (N, horizon): the last period repeated, the last value for period 1."""
    last = history[:, -min(period, history.shape[1]) :]
    return np.tile(last, -(-horizon // last.shape[1]))[:, :horizon]


def naive_error(values: np.ndarray, period: int) -> float:
    """Mean |y_t - y_(t - period)| over known pairs of (T,): the unit of MASE (Hyndman and Koehler 2006);
    of neighbours where the series is shorter than two periods; NaN where nothing moves."""
    lag = period if len(values) > period else 1
    steps = np.abs(values[lag:] - values[:-lag])
    known = steps[np.isfinite(steps)]
    error = float(known.mean()) if len(known) else 0.0
    return error if error > 0 else math.nan


def names(horizon: int) -> Sequence[str]:
    """What the steps are called: "+1" ..."""
    return [f"+{step + 1}" for step in range(horizon)]
