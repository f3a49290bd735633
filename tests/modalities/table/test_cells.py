"""Numbers and dates as people write them: read where there is one way, refused where there are two."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from headstart.core import dates
from headstart.core.dataset import Field
from headstart.errors import BadRow
from headstart.modalities.table import read, show

HERE = Path("/")


def kind(values: list[object]) -> str | None:
    return read.claim("x", values, HERE)


def loaded(values: list[object]) -> list[object]:
    return [read.load(v, Field("x", str(kind(values))), HERE) for v in values]


@pytest.mark.parametrize(
    ("written", "form", "numbers"),
    [
        (["1,234", "950", "12,500"], "point", [1234, 950, 12500]),
        (["1,234,567", "3"], "point", [1234567, 3]),
        (["1,234.5", "2"], "point", [1234.5, 2]),
        (["3,5", "12,75", "-1"], "comma", [3.5, 12.75, -1]),
        (["1.234,5", "12"], "comma", [1234.5, 12]),
        (["1.234.567", "8"], "comma", [1234567, 8]),
        (["1 234", "12 500 000"], "point", [1234, 12_500_000]),
        (["12 kg", "15.5kg"], "point:kg", [12, 15.5]),
        (["$1,200.50", "$3"], "point:$", [1200.5, 3]),
        (["45%", "-3 %"], "point:%", [45, -3]),
        (["1,5 °C", "12 °C"], "comma:°C", [1.5, 12]),
    ],
)
def test_numbers_as_they_are_written(
    written: list[object], form: str, numbers: list[float]
) -> None:
    assert kind(written) == f"number:{form}"
    assert loaded(written) == numbers


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (["1,234", "2,345"], "two ways, as in '1,234'"),
        (["1,234", "1500", "3"], "two ways"),
        (["12 kg", "3 lb"], "several units ('kg', 'lb')"),
        (["03/04/2020", "05/06/2021"], "day and month could be exchanged"),
        ([[1, 2], [3]], "lists or records"),
        ([{"a": 1}], "lists or records"),
    ],
)
def test_what_could_be_read_in_two_ways_is_no_input(written: list[object], reason: str) -> None:
    assert kind(written * 5) is None
    assert reason in read.refused("x", written * 5)


@pytest.mark.parametrize("code", [["A1", "A2"], ["5K", "3K"], ["10.0.0.1", "10.0.0.2"], ["1st"]])
def test_codes_are_levels_not_numbers(code: list[object]) -> None:
    assert kind(code * 5) == "category"


def test_a_cell_of_another_form_is_a_bad_row_that_says_the_form() -> None:
    weight = Field("weight", "number:comma:kg")
    assert read.load(12.5, weight, HERE) == 12.5
    assert read.load("12,5", weight, HERE) == 12.5
    for cell in ("12 lb", "heavy", "1,2,3 kg"):
        with pytest.raises(BadRow, match=r"no number such as 1\.234,5 in kg"):
            read.load(cell, weight, HERE)


@settings(max_examples=60, deadline=None)
@given(
    some.lists(
        some.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False), min_size=3, max_size=20
    )
)
def test_grouped_numbers_come_back(values: list[float]) -> None:
    texts = [f"{v:,.2f}" for v in values]
    if kind(list(texts)) is not None:
        assert loaded(list(texts)) == pytest.approx([round(v, 2) for v in values], abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(some.lists(some.dates(date(1900, 1, 1), date(2100, 1, 1)), min_size=1, max_size=30))
def test_dates_come_back_or_are_refused_never_mistaken(days: list[date]) -> None:
    expected = [float((d - date(1970, 1, 1)).days) for d in days]
    for form in (
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%d.%m.%Y",
        "%d %b %Y",
        "%B %d, %Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
    ):
        texts: list[object] = [d.strftime(form) for d in days]
        found = kind(texts)
        if found is not None:
            assert loaded(texts) == expected, form
        else:
            assert "/" in form
            assert "exchanged" in read.refused("x", texts)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([date(2020, 1, 2)], "date"),
        ([datetime(2020, 1, 2, 6)], "date"),
        (["2020-01-02", "2020-03-04T10:00:00Z"], "date"),
        (["2020-01"], "date"),
        (["13/04/2020", "05/06/2021"], "date:%d/%m/%Y"),
        (["04/13/2020 3:05 PM"], "date:%m/%d/%Y %I:%M %p"),
    ],
)
def test_dates_as_they_are_written(values: list[object], form: str) -> None:
    assert kind(values) == form
    assert all(isinstance(v, float) for v in loaded(values))


def test_times_of_a_zone_are_compared_in_one() -> None:
    moment = datetime(2020, 1, 2, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5)))
    assert dates.days(moment) == dates.days(elsewhere) == dates.days("2020-01-02T12:00:00Z")


def test_a_model_of_one_form_reads_iso_dates_too() -> None:
    field = Field("when", "date:%d/%m/%Y")
    assert read.load("02/01/2020", field, HERE) == read.load("2020-01-02", field, HERE)
    with pytest.raises(BadRow, match="no date of the form %d/%m/%Y"):
        read.load("2020/31/31", field, HERE)


def test_a_date_is_shown_as_a_date() -> None:
    field = Field("when", "date")
    whole, part = (read.load(t, field, HERE) for t in ("2020-01-02", "2020-01-02 06:30"))
    shown = [show.exhibit({"when": v}, (field,))["pairs"] for v in (whole, part, None)]
    assert shown == [
        '[["when", "2020-01-02"]]',
        '[["when", "2020-01-02 06:30:00"]]',
        '[["when", "missing"]]',
    ]


@pytest.mark.parametrize("values", [[True, False], ["true", "FALSE", "True"]])
def test_truths_are_two_levels_however_they_are_written(values: list[object]) -> None:
    assert kind(values) == "category:boolean"
    field = Field("x", "category:boolean")
    assert {read.load(v, field, HERE) for v in (True, "TRUE", 1, "true")} == {"true"}
    with pytest.raises(BadRow, match="neither true nor false"):
        read.load("maybe", field, HERE)


def test_a_nested_cell_is_a_bad_row() -> None:
    for field in (Field("x", "number"), Field("x", "category"), Field("x", "date")):
        with pytest.raises(BadRow, match="holds 2 values"):
            read.load([1, 2], field, HERE)


def test_columns_of_many_levels_are_read_and_columns_of_names_are_not() -> None:
    towns = [f"t{i}" for i in np.random.default_rng(0).integers(0, 400, 200)]
    assert 100 < len(set(towns)) < 180
    assert kind(list(towns)) == "category"
    assert kind([f"name{i}" for i in range(200)]) is None
