"""Even grids in time: frequencies, positions, moments, and after how many steps series repeat."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data import calendar
from headstart.data.calendar import DAY, Grid
from headstart.errors import PlanError


def days(*dates: str) -> np.ndarray:
    return np.array([calendar.seconds(d) for d in dates])


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("h", "seconds", 3600.0),
        ("15min", "seconds", 900.0),
        ("2 D", "seconds", 2 * DAY),
        ("M", "months", 1.0),
        ("Q", "months", 3.0),
        ("5", "steps", 5.0),
    ],
)
def test_frequencies_are_read(text: str, unit: str, size: float) -> None:
    made = calendar.parsed(text)
    assert (made.unit, made.size) == (unit, size)


@pytest.mark.parametrize("text", ["soon", "0h", "", "1.5M"])
def test_what_is_no_frequency_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="15min"):
        calendar.parsed(text)


def test_months_are_even_though_their_days_are_not() -> None:
    moments = days("2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30")
    grid = calendar.inferred([moments], True)
    assert (grid.unit, grid.size) == ("months", 1.0)
    start = float(calendar.months(moments[:1])[0])
    placed = Grid("months", 1.0, start, True)
    assert placed.at(moments).tolist() == [0, 1, 2, 3]
    assert placed.told(13) == "2024-02-01"


@given(st.integers(0, 10**6), st.sampled_from(["s", "15min", "h", "D", "W"]))
def test_a_position_lies_where_its_moment_says(position: int, frequency: str) -> None:
    asked = calendar.parsed(frequency)
    grid = Grid(asked.unit, asked.size, calendar.seconds("2024-02-29"), True)
    assert round(float(grid.at(np.array([grid.moment(position)]))[0])) == position
    assert Grid(*grid.state()) == grid


def test_the_step_is_the_usual_one_although_some_are_left_out() -> None:
    moments = days(*(f"2024-01-{d:02d}" for d in (1, 2, 3, 6, 7, 8, 20)))
    assert calendar.inferred([moments], True).words == "1 d"


def test_dates_and_texts_are_the_same_moment() -> None:
    told = [
        datetime.date(2024, 3, 1),
        datetime.datetime(2024, 3, 1),
        "2024-03-01",
        "2024-03-01T00:00",
    ]
    assert len({calendar.seconds(t) for t in told}) == 1
    assert np.isnan(calendar.seconds("never"))


def test_the_period_is_a_turn_of_the_calendar_or_what_repeats() -> None:
    rng = np.random.default_rng(0)
    hourly = Grid("seconds", 3600.0, dated=True)
    assert calendar.period(hourly, [np.zeros(100)])[0] == 24
    daily = Grid("seconds", DAY, dated=True)
    assert calendar.period(daily, [np.zeros(100)])[0] == 7
    steps = Grid("steps", 1.0)
    wave = np.sin(np.arange(300) * 2 * np.pi / 17) + 0.1 * rng.normal(size=300)
    assert calendar.period(steps, [wave])[0] == 17
    assert calendar.period(steps, [rng.normal(size=300).cumsum()])[0] == 1


def test_monday_morning_is_where_the_week_begins() -> None:
    grid = Grid("seconds", 3600.0, calendar.seconds("2024-01-01"), True)  # a Monday
    sine, cosine = calendar.turned(grid, np.array([0, 84, 168]), "weekday")
    assert np.allclose(sine, 0, atol=1e-9) and np.allclose(cosine, [1, -1, 1])


@pytest.mark.parametrize(
    ("start", "size", "position", "text"),
    [
        (1735689600.0, 86400.0, 3, "1735948800"),
        (0.0, 0.1, 3, "0.3"),
        (0.5, 1.0, 12345678, "12345678.5"),
        (20250101.0, 1.0, 1, "20250102"),
    ],
)
def test_numbers_of_a_column_of_time_are_told_in_full(
    start: float, size: float, position: int, text: str
) -> None:
    assert Grid("steps", size, start).told(position) == text


@pytest.mark.parametrize(
    ("cells", "form", "why"),
    [
        (["2025-01-01", None, "2025-01-31T05"], "iso", ""),
        (["31.12.2024", "01.01.2025"], "%d.%m.%Y", ""),
        (["31.12.2024", "01.01.2025", "soon", None], "%d.%m.%Y", ""),
        (["13/01/2025", "02/01/2025"], "%d/%m/%Y", ""),
        (["02/01/2025", "03/01/2025"], "", "exchanged, as in '02/01/2025'"),
        (["2025-13-45", "2025-14-45"], "", "'2025-13-45' is no date"),
        (["20250131", "20250201"], "iso", ""),
        (["20259931", "20259932"], "", ""),
        (["north", "south"], "", ""),
        ([None], "", ""),
    ],
)
def test_a_column_of_dates_has_one_form(cells: list[object], form: str, why: str) -> None:
    found, told = calendar.written(cells)
    assert found == form and why in told and bool(why) == bool(told)


def test_one_slip_among_dates_does_not_hide_them() -> None:
    cells = [f"{day:02d}.01.2025" for day in range(1, 32)] + ["32.01.2025"]
    assert calendar.written(cells) == ("%d.%m.%Y", "")
    assert np.isnan(calendar.seconds(cells[-1], "%d.%m.%Y"))


def test_the_form_of_training_decides_between_two() -> None:
    cells = ["02/01/2025", "03/01/2025"]
    assert calendar.written(cells, "%d/%m/%Y") == ("%d/%m/%Y", "")
    assert calendar.written(["2025-01-02"], "%d/%m/%Y") == ("iso", "")
    assert calendar.seconds(cells[0], "%d/%m/%Y") == calendar.seconds("2025-01-02")


@pytest.mark.parametrize(
    ("numbers", "dates"),
    [
        ([20250131.0, np.nan, 20240229.0], True),
        ([20250131.0, 20250229.0], False),
        ([20250131.0, 21010101.0], False),
        ([20250131.5], False),
        ([np.nan], False),
    ],
)
def test_eight_digits_are_dates_where_all_are(numbers: list[float], dates: bool) -> None:
    assert calendar.compact(np.array(numbers)) == dates
    assert calendar.seconds(20250131, calendar.COMPACT) == calendar.seconds("2025-01-31")
