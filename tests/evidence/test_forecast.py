"""Errors of forecasts, their bands and drawings: against plain arithmetic, and with planted faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.core.evidence import Arm, Case
from headstart.evidence import forecast, verdict
from tests.evidence import cases
from tests.evidence.cases import measure

HORIZON = 4


def case(rows: int = 400, seeds: int = 2, seed: int = 0, drift: float = 1.0) -> Case:
    """Windows around 50 with a spread of 2 and a naive error of 1; forecasts err by 0.5 in own units."""
    rng = np.random.default_rng(seed)

    def made(count: int) -> np.ndarray:
        context = np.tile([50.0, 2.0, 0.5], (count, 1))
        return np.column_stack([rng.normal(size=(count, HORIZON)), context])

    truth, past = made(rows), made(rows)
    own = truth[None, :, :HORIZON] + 0.5 * drift * rng.normal(size=(seeds, rows, HORIZON))
    other = truth[None, :, :HORIZON] + 0.8 * rng.normal(size=(1, rows, HORIZON))
    arms = {
        "transfer": Arm("transfer", own, np.full(seeds, 0.2)),
        "champion": Arm("simple champion: seasonal naive", other, np.full(1, 0.1)),
    }
    held = past[:, :HORIZON] + 0.5 * rng.normal(size=(rows, HORIZON))
    groups = np.arange(rows) // 10
    return Case("forecast", (), truth, arms, past, held, cases.score("forecast"), groups)


def test_errors_are_those_of_plain_arithmetic() -> None:
    asked = case(60, seeds=1)
    truth = 50 + 2 * asked.targets[:, :HORIZON]
    said = 50 + 2 * asked.arms["transfer"].outputs[0]
    found = forecast.check(asked)
    scaled = np.abs(truth - said).mean() / 1.0
    assert measure(found, "MASE").value == pytest.approx(scaled)
    symmetric = (2 * np.abs(truth - said) / (np.abs(truth) + np.abs(said))).mean()
    assert measure(found, "sMAPE").value == pytest.approx(symmetric)
    assert asked.score.of(asked.arms["transfer"].outputs[0], asked.targets) == pytest.approx(
        1 - scaled
    )


def test_intervals_hold_the_truth_and_the_worse_arm_is_seen() -> None:
    found = forecast.check(case())
    own = measure(found, "MASE")
    other = measure(found, "MASE", "simple champion: seasonal naive")
    expected = 0.5 * np.sqrt(2 / np.pi) / 0.5
    assert own.low is not None and own.high is not None and other.low is not None
    assert own.low < expected < own.high < other.low
    assert own.n == 400 and "stretches" in own.method


def test_bands_cover_what_they_say_and_a_drift_shows() -> None:
    name = "coverage of 90 % bands"
    clean, late = (measure(forecast.check(case(drift=d)), name) for d in (1.0, 3.0))
    assert clean.low is not None and clean.high is not None and late.high is not None
    assert clean.low < 0.9 < clean.high and late.high < 0.7
    width = measure(forecast.check(case()), "mean width of 90 % bands")
    assert width.value == pytest.approx(2 * 1.645 * 0.5 / 0.5, rel=0.1)


def test_the_pinball_loss_of_a_sure_forecast_is_lower() -> None:
    asked = case()
    found = measure(forecast.check(asked), "pinball loss")
    worse = replace(
        asked, arms={"transfer": Arm("transfer", asked.arms["transfer"].outputs + 1.0, np.ones(1))}
    )
    assert measure(forecast.check(worse), "pinball loss").value > 1.5 * found.value


def test_steps_that_are_not_known_are_left_out() -> None:
    asked = case()
    truth = asked.targets.copy()
    truth[::3, 1] = np.nan
    truth[5, :HORIZON] = np.nan
    found = forecast.check(replace(asked, targets=truth))
    assert measure(found, "MASE").n == 399
    (table,) = [e for e in found.exhibits if e.kind == "table"]
    assert table.data["rows"][1][1] < table.data["rows"][0][1] == 399
    gone = truth.copy()
    gone[:, :HORIZON] = np.nan
    assert forecast.check(replace(asked, targets=gone)).missing


def test_drawings_are_in_the_persons_units() -> None:
    found = forecast.check(case())
    drawn = [e for e in found.exhibits if e.kind == "curve"]
    assert len(drawn) == 2
    for exhibit in drawn:
        values = [exhibit.data[k] for k in ("y", "low", "high", "beside")]
        assert all(30 < v < 70 for line in values for v in line)
        assert all(a < b for a, b in zip(exhibit.data["low"], exhibit.data["high"], strict=True))


def test_one_stretch_has_no_interval_and_no_verdict() -> None:
    asked = replace(case(30), groups=np.zeros(30, np.int64))
    found = measure(forecast.check(asked), "MASE")
    assert found.low is None and found.high is None and "no interval" in found.method
    finding = verdict.check(asked)
    assert "one group" in finding.missing[0][1] and finding.exhibits == ()
    assert verdict.verdict_of(finding) == "not measured"
    assert measure(finding, "skill", "transfer").low is None


def test_stretches_are_told_beside_the_windows() -> None:
    assert "40 stretches" in measure(forecast.check(case()), "MASE").method
    (sentence,) = verdict.check(case()).exhibits
    assert "400 test rows in 40 groups" in str(sentence.data["sentence"])
