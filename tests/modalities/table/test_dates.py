"""Dates as features: elapsed days, calendar parts, days between; sealed with the transform."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.core import dates
from headstart.core.dataset import Field
from headstart.modalities.table import batch, cells, champion

WHEN, BACK = Field("when", "date"), Field("back", "date")
RNG = np.random.default_rng(0)
START = dates.days("2020-01-01")
DAYS = START + RNG.integers(0, 1500, 300)
ROWS = [{"when": float(d), "back": float(d + RNG.integers(0, 30))} for d in DAYS]


def features(transform: batch.Transform, rows: list[dict[str, float | None]]) -> np.ndarray:
    return np.stack([transform(r)["row"] for r in rows])


def test_a_date_is_days_year_month_and_week() -> None:
    transform = batch.make({}, (WHEN,), ROWS)
    assert transform.width == 1 + 2 + 2 + 7  # no times of day, so no day's cycle
    rows = features(transform, ROWS)
    assert (np.diff(rows[np.argsort(DAYS), 0]) >= 0).all()
    assert (rows[:, 5:].sum(1) == 1).all()
    monday = transform({"when": dates.days("2024-01-01")})["row"]
    assert monday[5:].argmax() == 0


def test_times_of_day_get_their_cycle() -> None:
    rows = [{"when": START + i + (i % 24) / 24} for i in range(60)]
    transform = batch.make({}, (WHEN,), rows)
    assert transform.width == 1 + 2 + 2 + 7 + 2
    noon = transform({"when": START + 0.5})["row"][-2:]
    assert noon == pytest.approx([0.0, -1.0], abs=1e-6)


def test_days_between_two_dates_are_a_column() -> None:
    transform = batch.make({}, (WHEN, BACK), ROWS)
    rows = features(transform, ROWS)
    between = np.array([r["back"] - r["when"] for r in ROWS])
    assert np.corrcoef(rows[:, -1], between)[0, 1] > 0.97
    assert transform({"when": START, "back": None})["row"][-1] == 0.0
    assert transform.counts == {"missing": 1}


def test_missing_dates_are_marked_where_training_had_some() -> None:
    transform = batch.make({}, (WHEN,), [*ROWS, {"when": None}])
    row = transform({"when": None})["row"]
    assert row[-1] == 1.0
    assert not row[:-1].any()


def test_the_middle_date_is_sealed() -> None:
    transform = batch.make({}, (WHEN, BACK), ROWS)
    again = batch.restore(json.loads(json.dumps(transform.state())))
    assert again.digest == transform.digest
    assert np.array_equal(features(again, ROWS), features(transform, ROWS))
    assert batch.make({}, (WHEN, BACK), ROWS[:150]).digest != transform.digest


@pytest.mark.parametrize(
    "rule",
    [
        lambda r: int(cells.calendar(r["when"])[2] >= 5),  # at the weekend
        lambda r: int(0.4 < cells.calendar(r["when"])[0] < 0.7),  # in summer
        lambda r: int(r["back"] - r["when"] > 14),
    ],
    ids=["week", "year", "between"],
)
def test_what_a_calendar_decides_is_found(rule) -> None:  # type: ignore[no-untyped-def]
    """By a line on the features, and by the trees."""
    targets = np.array([rule(r) for r in ROWS])
    transform = batch.make({}, (WHEN, BACK), ROWS[:200])
    rows = features(transform, ROWS)
    line = LogisticRegression(max_iter=2000, C=100).fit(rows[:200], targets[:200])
    assert line.score(rows[200:], targets[200:]) > 0.9
    trees = champion.fit_trees(
        ROWS[:200], (WHEN, BACK), targets[:200], outcome="classify", seed=0, settings={}
    )
    assert (trees(ROWS[200:]).argmax(1) == targets[200:]).mean() > 0.93
    assert np.isfinite(trees([{"when": None, "back": None}])).all()
