"""The simple models of forecasting: seasonal naive, exponential smoothing, linear autoregression.

All forecast a window in its own unit (see `core/forecast.py`) from the history of its first channel. What
they learn (the period, the smoothing constants, the weights) is learned once, on training windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from headstart.core import forecast
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Simple
from headstart.modalities.series import _signal

PERIODS = (4, 5, 7, 10, 12, 24, 30, 48, 52, 60, 96, 144, 168, 288, 336, 365)
"""Periods that are tried where half a history holds them: days, weeks and years of common steps."""
TIE = 1.05
"""A shorter period is taken where it errs up to so much more: two days say what one does."""
SOME = 400
"""Windows on which a period and smoothing constants are chosen."""
PENALTIES = tuple(np.logspace(-4, 3, 15))
"""Of the autoregression, times the mean square of a feature and the number of windows."""
HELD = 0.2
"""Share of the windows, the last ones, on which the penalty is chosen, a horizon behind the others."""


def histories(samples: Sequence[Sample], fields: Sequence[Field]) -> np.ndarray:
    """(N, T) in each window's own unit, gaps interpolated."""
    name = next(f.name for f in fields if f.kind == _signal.VALUES)
    values = np.stack([_signal.unpack(s[name])[:, 0] for s in samples])
    level, spread = forecast.own_unit(values)
    return forecast.filled((values - level[:, None]) / spread[:, None])


def fit_naive(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """The last period again; the period is the one that errs least on training windows. Targets
    (N, horizon + 3)."""
    coming = _coming(targets)
    some = _some(len(samples))
    period = (settings or {}).get("period") or _period(
        histories([samples[i] for i in some], fields), coming[some]
    )
    size = coming.shape[1]
    return Simple(
        lambda asked: forecast.seasonal(histories(asked, fields), period, size), {"period": period}
    )


def fit_smoothing(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Exponential smoothing with a damped trend and a season (Gardner and McKenzie 1985; Winters 1960).
    States are those of each window, the four constants those that err least on training windows.
    Targets (N, horizon + 3)."""
    coming = _coming(targets)
    some = _some(len(samples))
    size, chosen = coming.shape[1], dict(settings or {})
    if not chosen:
        past, wanted = histories([samples[i] for i in some], fields), coming[some]
        period = _period(past, wanted)

        def loss(raw: np.ndarray) -> float:
            error = smoothed(past, period, size, _constants(raw)) - wanted
            return float(np.nanmean(np.abs(np.clip(error, -1e6, 1e6))))

        start = np.array([0.0, -3.0, -1.0, 2.0])
        found = minimize(loss, start, method="Nelder-Mead", options={"maxfev": 160, "xatol": 0.02})
        chosen = {"period": period, "constants": [round(float(c), 6) for c in _constants(found.x)]}
    return Simple(
        lambda asked: smoothed(
            histories(asked, fields), chosen["period"], size, chosen["constants"]
        ),
        chosen,
    )


def fit_linear(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Ridge regression of each coming step on the history (NLinear: Zeng et al. 2023); the penalty is the
    best on the last windows. Targets (N, horizon + 3)."""
    rows, wanted = histories(samples, fields), forecast.filled(_coming(targets))
    penalty = None if settings is None else float(settings["penalty"])
    if penalty is None:
        learn, judge = _parted(*wanted.shape)
        past, rest = (rows[learn], wanted[learn]), (rows[judge], wanted[judge])
        errors = [
            float(((_said(_ridge(*past, p), rest[0]) - rest[1]) ** 2).mean()) for p in PENALTIES
        ]
        penalty = float(PENALTIES[int(np.argmin(errors))])
    model = _ridge(rows, wanted, penalty)
    return Simple(lambda asked: _said(model, histories(asked, fields)), {"penalty": penalty})


def _parted(count: int, horizon: int) -> tuple[slice, slice]:
    """Windows to learn from and, a horizon later, those that judge: without the windows between them a
    value would be learned and judged. Of very few windows half of those before the cut are kept."""
    cut = max(1, count - max(1, round(HELD * count)))
    return slice(max(cut - horizon, -(-cut // 2))), slice(cut, count)


def _ridge(rows: np.ndarray, wanted: np.ndarray, penalty: float) -> tuple[np.ndarray, ...]:
    """Mean, mean of the targets, weights (T, horizon)."""
    mean, bias = rows.mean(axis=0), wanted.mean(axis=0)
    away = rows - mean
    gram = away.T @ away
    size = penalty * max(float(np.trace(gram)) / len(gram), 1e-12)
    weight = np.linalg.solve(gram + size * np.eye(len(gram)), away.T @ (wanted - bias))
    return mean, bias, weight


def _said(model: tuple[np.ndarray, ...], rows: np.ndarray) -> np.ndarray:
    mean, bias, weight = model
    return np.asarray((rows - mean) @ weight + bias)


def _coming(targets: np.ndarray) -> np.ndarray:
    return forecast.parts(np.asarray(targets, np.float64))[0]


def _some(count: int) -> np.ndarray:
    """Windows spread evenly over the training part."""
    return np.unique(np.linspace(0, count - 1, min(count, SOME)).round().astype(np.int64))


def _period(past: np.ndarray, coming: np.ndarray) -> int:
    """The shortest period after which repeating errs (nearly) least; 1 repeats the last value."""
    able = [1, *(p for p in PERIODS if 2 * p <= past.shape[1])]
    errors = [
        float(np.nanmean(np.abs(forecast.seasonal(past, p, coming.shape[1]) - coming)))
        for p in able
    ]
    return next(p for p, e in zip(able, errors, strict=True) if e <= TIE * min(errors))


def _constants(raw: np.ndarray) -> list[float]:
    """Level, trend and season between 0 and 1, damping between 0.5 and 1."""
    share = 1 / (1 + np.exp(-np.clip(raw, -12, 12)))
    return [float(share[0]), float(share[1]), float(share[2]), 0.5 + 0.5 * float(share[3])]


def smoothed(past: np.ndarray, period: int, horizon: int, constants: Sequence[float]) -> np.ndarray:
    """(N, T) -> (N, horizon) by damped additive Holt-Winters; without a season for period 1."""
    alpha, beta, gamma, phi = constants
    size = past.shape[1]
    cycles = past[:, : period * min(2, size // period)].reshape(len(past), -1, period)
    means = cycles.mean(axis=2)
    season = (cycles - means[:, :, None]).mean(axis=1) if period > 1 else np.zeros((len(past), 1))
    level, trend = means[:, 0].copy(), np.zeros(len(past))
    if means.shape[1] > 1:
        trend = (means[:, 1] - means[:, 0]) / period
    for step in range(size):
        place = step % period
        value, before = past[:, step], level
        ahead = level + phi * trend
        level = alpha * (value - season[:, place]) + (1 - alpha) * ahead
        trend = beta * (level - before) + (1 - beta) * phi * trend
        if period > 1:
            season[:, place] += gamma * (value - ahead - season[:, place])
    damped = np.cumsum(phi ** np.arange(1, horizon + 1))
    places = (size + np.arange(horizon)) % period
    return np.asarray(level[:, None] + damped[None] * trend[:, None] + season[:, places])
