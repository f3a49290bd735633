"""Cells of series: what is claimed, what is packed, what is a bad row, what is near to what."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from headstart.core.dataset import Field
from headstart.errors import BadRow
from headstart.modalities.series import _signal, read

A, B, T = Field("a", "bytes"), Field("b", "bytes"), Field("time", "time")
HERE = Path("/")
DAY = datetime.datetime(2024, 1, 31, 12)


def sample(
    a: object, b: object = None, time: object = None
) -> tuple[dict[str, object], list[Field]]:
    fields = [A, *([B] if b is not None else []), *([T] if time is not None else [])]
    cells = {"a": a, "b": b, "time": time}
    return {f.name: read.load(cells[f.name], f, HERE) for f in fields}, fields


def apart(first: np.ndarray, second: np.ndarray) -> int:
    bits = [np.frombuffer(read.signature(*sample(v)), np.uint8) for v in (first, second)]
    return int(np.bitwise_count(bits[0] ^ bits[1]).sum())


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("load", [[1, 2.5], [3]], "bytes"),
        ("load", [[None, 2.5], []], "bytes"),
        ("load", [np.zeros(3)], "bytes"),
        ("load", [[[1, 2], [3, None]]], "bytes"),
        ("time", [[0, 1, 2]], "time"),
        ("when", [[DAY, DAY]], "time"),
        ("timestamp", [["2024-01-31T12:00:00"]], "time"),
        ("day as order per machine", [["2024-01-31"]], "time"),
        ("words", [["a", "b"]], None),
        ("age", [1, 2], None),
        ("age", ["1,2,3"], None),
        ("mixed", [[1.0], 2.0], None),
        ("flags", [[True, False]], None),
        ("nothing", [None], None),
        ("empty", [[]], None),
    ],
)
def test_claims_lists_of_numbers_and_moments(name: str, values: list[object], kind: str | None):
    assert read.claim(name, values, HERE) == kind


@given(
    arrays.arrays(
        some.sampled_from([np.float32, np.float64]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=some.floats(allow_infinity=False, width=32, allow_subnormal=False),
    )
)
def test_packing_loses_nothing_and_spells_equal_numbers_alike(values: np.ndarray) -> None:
    data = _signal.pack(values)
    assert np.array_equal(_signal.unpack(data), values.astype(float), equal_nan=True)
    assert _signal.pack(values.astype(float) * 1.0) == data


def test_numbers_that_float32_cannot_hold_are_kept() -> None:
    values = np.array([[1e9 + 0.25], [1e300]])
    assert np.array_equal(_signal.unpack(_signal.pack(values)), values)


def test_zero_and_minus_zero_are_one_content() -> None:
    assert read.content(*sample([0.0, 1.0])) == read.content(*sample([-0.0, 1.0]))
    assert read.content(*sample([0.0, 1.0])) != read.content(*sample([1.0, 0.0]))
    assert read.content(*sample([1.0, 2.0])) != read.content(*sample([1.0, 2.0], time=[0, 1]))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (None, "'a' is empty"),
        ([], "'a' is empty"),
        ([[1, 2], [3]], "its steps differ in length"),
        (["1", "x"], "'x' in step 2 of 'a' is no number"),
        ([1, float("inf"), float("-inf")], "2 values of 'a' are infinite"),
        ([[[1.0]]], "3 axes"),
    ],
)
def test_cells_that_are_no_series_are_bad_rows(cell: object, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        read.load(cell, A, HERE)


@pytest.mark.parametrize(
    ("cell", "words"),
    [(["soon"], "time stamp that is none"), ([1.0, None], "time stamp that is none")],
)
def test_stamps_that_are_none_are_bad_rows(cell: object, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        read.load(cell, T, HERE)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (sample([1, 2, 3], b=[1, 2]), "channels differ in length"),
        (sample([1, 2, 3], time=[0, 1]), "2 time stamps for 3 values"),
        (sample([None, None]), "every value of the series is missing"),
    ],
)
def test_samples_that_do_not_hold_together_are_bad_rows(made: object, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        read.check(*made)  # type: ignore[misc]


def test_moments_become_seconds_whatever_their_spelling() -> None:
    spelled = [DAY, "2024-01-31T12:00:00", DAY.replace(tzinfo=datetime.UTC), DAY.timestamp()]
    found = [read.load([s, s], T, HERE)[0] for s in spelled[:3]]
    assert found == [1706702400.0] * 3
    assert read.load([datetime.date(1970, 1, 2)], T, HERE)[0] == 86400.0
    assert read.load(None, T, HERE) is None


WAVE = np.sin(np.linspace(0, 12, 80)) + 0.2 * np.random.default_rng(0).normal(size=80)


@pytest.mark.parametrize(
    "copy", [WAVE, WAVE * 40 + 7, WAVE + 1e-5 * np.random.default_rng(1).normal(size=80)]
)
def test_copies_in_another_unit_or_with_rounding_are_near(copy: np.ndarray) -> None:
    assert apart(WAVE, copy) <= read.NEAR


def test_other_series_of_the_same_form_are_not_near() -> None:
    other = np.sin(np.linspace(0, 12, 80)) + 0.2 * np.random.default_rng(2).normal(size=80)
    assert apart(WAVE, other) > 3 * read.NEAR
    assert apart(WAVE, -WAVE) > 200


def test_constant_series_are_near_to_their_own_copies_only() -> None:
    assert apart(np.full(9, 2.0), np.full(9, 2.0)) == 0
    assert apart(np.full(9, 2.0), np.full(9, 3.0)) > read.NEAR


def test_one_spike_is_not_the_whole_shape() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 200))
    first[0] = second[0] = 1e3
    assert apart(first, second) > read.NEAR


# Time stamps.


def regular(values: list[float], times: list[float]) -> tuple[list[float], list[str]]:
    made, done = _signal.regular(_signal.Series(np.array(values)[:, None], np.array(times)))
    return made[:, 0].tolist(), [d.partition(",")[0] for d in done]


def test_even_steps_are_left_alone() -> None:
    assert regular([3, 1, 2], [0, 10, 20]) == ([3, 1, 2], [])
    assert _signal.regular(_signal.Series(np.ones((2, 1))))[1] == []
    assert regular([1, 2, 3, 4], [0, 31, 59, 90])[1] == []  # months


def test_stamps_out_of_order_are_sorted() -> None:
    assert regular([3, 1, 2], [3, 1, 2]) == ([1, 2, 3], ["time stamps out of order"])


def test_duplicate_stamps_are_averaged() -> None:
    made, done = regular([1, 3, 5, float("nan"), 7], [0, 0, 1, 2, 2])
    assert made == [2, 5, 7]
    assert done == ["duplicate time stamps"]


def test_steps_left_out_become_gaps() -> None:
    made, done = regular([1, 2, 4], [0, 1, 3])
    assert np.array_equal(made, [1, 2, np.nan, 4], equal_nan=True)
    assert done == ["time steps left out"]


def test_irregular_steps_are_interpolated_between_their_ends() -> None:
    made, done = regular([0, 10, 25, 60], [0, 1, 2.5, 6])
    assert made == [0, 20, 40, 60]
    assert done == ["irregular time stamps"]


def test_gaps_are_filled_between_neighbours_and_held_at_the_ends() -> None:
    gap = np.nan
    values = np.array([[gap, 1, gap, 3, gap], [gap] * 5]).T
    assert _signal.filled(values)[:, 0].tolist() == [1, 1, 2, 3, 3]
    assert not _signal.filled(values)[:, 1].any()


@given(some.integers(1, 50), some.integers(1, 50))
def test_resampling_keeps_ends_and_range(steps: int, length: int) -> None:
    values = np.linspace(-1.0, 1.0, steps)[:, None]
    made = _signal.resampled(values, length)
    assert made.shape == (length, 1)
    assert made.min() >= -1 - 1e-12
    assert made.max() <= 1 + 1e-12
    if 2 * length > steps > 1 < length:
        assert made[0, 0] == pytest.approx(-1.0)
        assert made[-1, 0] == pytest.approx(1.0)
