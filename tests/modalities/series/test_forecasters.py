"""Seasonal naive, exponential smoothing and autoregression, on series whose future is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.core import forecast
from headstart.core.dataset import Field, Sample
from headstart.core.network import MASK
from headstart.modalities.series import _forecasters, _signal
from headstart.modalities.series._recent import RECENT, RecentValues

HISTORY, HORIZON = 48, 12
FIELDS = (Field("y", _signal.VALUES),)


def world(series: np.ndarray) -> tuple[list[Sample], np.ndarray]:
    """Windows of a series and their encoded targets."""
    places = range(HISTORY, len(series) - HORIZON + 1)
    past = np.stack([series[p - HISTORY : p] for p in places])
    coming = np.stack([series[p : p + HORIZON] for p in places])
    level, spread = forecast.own_unit(past)
    own = (coming - level[:, None]) / spread[:, None]
    samples = [{"y": _signal.pack(p[:, None])} for p in past]
    return samples, np.column_stack([own, level, spread, 0.5 * np.ones(len(own))])


def wave(steps: int = 400, noise: float = 0.05, trend: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(steps)
    return np.asarray(
        100 + 5 * np.sin(2 * np.pi * time / 12) + trend * time + noise * rng.normal(size=steps)
    )


def error(fit: Any, series: np.ndarray) -> tuple[float, Any]:
    """Mean absolute error in own units on the last windows, and the settings."""
    samples, targets = world(series)
    cut = len(samples) * 3 // 4
    model = fit(samples[:cut], FIELDS, targets[:cut], outcome="forecast", seed=0)
    later = cut + HORIZON
    said = model(samples[later:])
    assert said.shape == (len(samples) - later, HORIZON)
    again = fit(
        samples[:cut], FIELDS, targets[:cut], outcome="forecast", seed=0, settings=model.settings
    )
    assert np.array_equal(again(samples[later:]), said)
    return float(np.abs(said - targets[later:, :HORIZON]).mean()), model.settings


FITS = (_forecasters.fit_naive, _forecasters.fit_smoothing, _forecasters.fit_linear)


@pytest.mark.parametrize("fit", FITS, ids=lambda f: f.__name__)
def test_each_finds_what_repeats(fit: Any) -> None:
    found, settings = error(fit, wave())
    assert found < 0.05
    assert settings.get("period", 12) == 12


def test_smoothing_follows_a_trend_that_repeating_misses() -> None:
    series = wave(trend=0.3)
    naive, _ = error(_forecasters.fit_naive, series)
    smooth, _ = error(_forecasters.fit_smoothing, series)
    linear, _ = error(_forecasters.fit_linear, series)
    assert smooth < 0.35 * naive and linear < 0.35 * naive


def test_smoothing_without_a_season_is_that_of_a_textbook() -> None:
    past = np.array([[1.0, 2.0, 4.0, 3.0]])
    level, trend = 1.0, 1.0  # the first value, and the first step
    for value in past[0]:
        before, ahead = level, level + 0.9 * trend
        level = 0.5 * value + 0.5 * ahead
        trend = 0.3 * (level - before) + 0.7 * 0.9 * trend
    expected = [level + 0.9 * trend, level + (0.9 + 0.81) * trend]
    found = _forecasters.smoothed(past, 1, 2, [0.5, 0.3, 0.0, 0.9])
    assert np.allclose(found, [expected])


def test_gaps_in_history_and_future_are_borne() -> None:
    series = wave()
    series[::17] = np.nan
    for fit in FITS:
        assert error_with_gaps(fit, series) < 0.3


def error_with_gaps(fit: Any, series: np.ndarray) -> float:
    samples, targets = world(series)
    said = fit(samples, FIELDS, targets, outcome="forecast", seed=0)(samples)
    return float(np.nanmean(np.abs(said - targets[:, :HORIZON])))


def test_recent_values_are_seen_from_the_last_one() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(2, 5, 2)).astype(np.float32))
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    backbone = RecentValues(2, 4)
    made = backbone.run({"values": values, MASK: mask})[RECENT].reshape(2, 4, 2)
    assert torch.equal(made[0, :, 0], values[0, [4, 3, 2, 1], 0] - values[0, 4, 0])
    assert torch.equal(made[1, :3], values[1, [2, 1, 0]] - values[1, 2])
    assert not made[1, 3].any() and backbone.width == 8


def test_no_value_is_learned_and_judged_while_the_penalty_is_chosen() -> None:
    for count in (2, 9, 40, 200, 1000):
        for horizon in (1, 12, 96):
            learn, judge = _forecasters._parted(count, horizon)
            assert 1 <= learn.stop <= judge.start < judge.stop == count
            if judge.start >= 2 * horizon:  # else half of the windows before the cut are kept
                # window k asks for the values k ... k + horizon - 1
                assert learn.stop - 1 + horizon - 1 < judge.start
