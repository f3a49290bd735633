"""Forecasts: a window's own unit, the score, bands of held-out residuals, and what is unlike all before."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.core import forecast as common
from headstart.engine.solve import solve
from headstart.errors import DataError
from headstart.heads import _familiar, forecast

HORIZON = 5


def windows(
    rows: int = 80, gaps: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Features (rows, 4), and raw targets that they nearly decide, at very different levels."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    own = features @ rng.normal(size=(4, HORIZON)) + 0.1 * rng.normal(size=(rows, HORIZON))
    level, spread = 1000 * rng.normal(size=rows), np.exp(rng.normal(size=rows))
    coming = level[:, None] + spread[:, None] * own
    coming[rng.random(coming.shape) < gaps] = np.nan
    return features, list(np.column_stack([coming, level, spread, 2 * spread]))


def test_a_windows_unit_is_its_last_known_value_and_its_deviation() -> None:
    history = np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 2.0], [np.nan] * 3])
    level, spread = common.own_unit(history)
    assert level.tolist() == [3.0, 2.0, 0.0] and spread.tolist() == [1.0, 1.0, 1.0]


@given(st.integers(-2, 2), st.integers(-100, 100))
def test_another_unit_of_the_data_changes_neither_labels_nor_score(power: int, shift: int) -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(6, 20))

    def encoded(values: np.ndarray) -> np.ndarray:
        level, spread = common.own_unit(values[:, :15])
        naive = np.abs(np.diff(values[:, :15], axis=1)).mean(axis=1)
        return forecast.Windows(5).encode(np.column_stack([values[:, 15:], level, spread, naive]))

    first, other = encoded(series), encoded(series * 10.0**power + shift)
    assert np.allclose(first[:, :5], other[:, :5], atol=1e-5)
    said = rng.normal(size=(1, 6, 5))
    assert np.allclose(forecast.skill(said, first), forecast.skill(said, other), atol=1e-4)


def test_the_score_is_one_less_the_scaled_error() -> None:
    _, raw = windows()
    targets = forecast.learn(raw)
    labels = targets.encode(raw)
    truth = labels[:, :HORIZON]
    assert forecast.SCORE.of(truth, labels) == 1.0
    # the naive error is 2 spreads, so an error of 2 spreads everywhere has a skill of 0
    assert forecast.SCORE.of(truth + 2.0, labels) == pytest.approx(0.0)
    assert not forecast.SCORE.undefined(labels)


def test_steps_that_are_not_known_count_nowhere() -> None:
    _, raw = windows(gaps=0.3)
    targets = forecast.learn(raw)
    labels = targets.encode(raw)
    labels[3, :HORIZON] = np.nan
    truth = np.nan_to_num(labels[:, :HORIZON], nan=1e9)
    rows = forecast.skill(truth[None], labels)
    assert np.allclose(rows, 1.0)
    assert np.isfinite(forecast.losses(truth, labels, targets)).all()
    labels[:, :HORIZON] = np.nan
    assert forecast.SCORE.undefined(labels)


def test_gaps_are_filled_for_the_solver_and_masked_in_the_loss() -> None:
    features, raw = windows(gaps=0.05)
    targets = forecast.learn(raw)
    labels = targets.encode(raw)
    head = forecast.Head(4, targets).eval()
    folds = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    head.settle(solve(head.problem(80), features, head.wanted(labels), folds=folds))
    with torch.no_grad():
        outputs = head(torch.from_numpy(features))
        loss = float(head.loss(outputs, torch.from_numpy(labels)))
    assert 0 < loss < 0.2
    assert forecast.SCORE.of(head.predict(outputs.numpy()), labels) > 0.85


def test_bands_hold_the_share_that_they_promise() -> None:
    rng = np.random.default_rng(2)
    said, truth = np.zeros((4000, 3)), rng.normal(size=(4000, 3)) * [1.0, 2.0, 4.0]
    found = common.residual_quantiles(said[:2000], truth[:2000])
    inside = (truth[2000:] >= found[:, 0]) & (truth[2000:] <= found[:, -1])
    assert np.allclose(inside.mean(axis=0), common.WANTED, atol=0.03)
    widths = found[:, -1] - found[:, 0]
    assert widths[2] > 1.8 * widths[1] > 3.2 * widths[0]
    assert (np.diff(found, axis=1) >= 0).all()


def test_what_is_told_is_in_the_persons_units_and_survives_json() -> None:
    features, raw = windows()
    targets = forecast.learn(raw)
    labels = targets.encode(raw)
    truth = labels[:, :HORIZON]
    noise = 0.3 * np.random.default_rng(1).normal(size=truth.shape)
    informed = targets.informed(truth + noise, labels, features, np.arange(80) // 8)
    again = forecast.restore(json.loads(json.dumps(informed.state())))
    told, same = (t.told(truth, raw, features) for t in (informed, again))
    assert all(np.allclose(told[k], same[k]) for k in told)
    assert np.allclose(told["forecast"], told["actual"])
    assert (told["low"] < told["forecast"]).all() and (told["high"] > told["forecast"]).all()


def test_a_spike_and_an_unfamiliar_window_are_anomalies() -> None:
    features, raw = windows(200)
    targets = forecast.learn(raw)
    labels = targets.encode(raw)
    said = labels[:, :HORIZON] + 0.3 * np.random.default_rng(1).normal(size=(200, HORIZON))
    informed = targets.informed(said, labels, features, np.arange(200) // 10)
    spiked = [r.copy() for r in raw]
    spiked[7][2] += 20 * spiked[7][HORIZON + 1]
    strange = features.copy()
    strange[11] += 30
    score = informed.told(said, spiked, strange)["anomaly"]
    usual = np.delete(score, [7, 11], axis=0)
    assert score[7, 2] > 5 and score[11].min() > 5
    assert np.quantile(usual, 0.5) < 1 < 3 < score[7, 2]
    unknown = [np.concatenate([np.full(HORIZON, np.nan), r[HORIZON:]]) for r in raw]
    assert np.isnan(informed.told(said, unknown, features)["anomaly"]).all()


def test_stored_rows_keep_distances_and_survive_json() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 50))
    kept = _familiar.learn(rows, np.arange(600) // 20)
    again = _familiar.restore(json.loads(json.dumps(kept.state())))
    fresh = rng.normal(size=(300, 50))
    assert np.allclose(kept.strange(fresh), again.strange(fresh), rtol=1e-4)
    assert 0.8 < (kept.strange(fresh) < 1).mean() <= 1.0
    assert kept.strange(fresh + 5).min() > 1
    alone = _familiar.learn(rows, np.zeros(600))
    assert alone.usual > 0


def test_windows_that_all_go_on_alike_are_refused() -> None:
    _, raw = windows()
    with pytest.raises(DataError, match="nothing to forecast"):
        forecast.learn([raw[0]] * 5)
    with pytest.raises(DataError, match="expected windows"):
        forecast.Windows(HORIZON).encode([np.zeros(3)])
