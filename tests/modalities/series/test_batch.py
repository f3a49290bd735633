"""Series to numbers: scale, gaps, length, time stamps, variations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from headstart.core.dataset import Field
from headstart.errors import BadRow, DataError, PlanError
from headstart.modalities.series import _augment, batch, read

A, T = Field("a", "bytes"), Field("time", "time")
GAP = float("nan")


def sample(cell: Any, time: Any = None) -> dict[str, Any]:
    made = {"a": read.load(cell, A, Path("/"))}
    return made if time is None else made | {"time": read.load(time, T, Path("/"))}


def made(cells: list[Any], **asked: Any) -> batch.Transform:
    return batch.make(asked, [A], [sample(c) for c in cells])


def test_each_series_gets_mean_0_and_deviation_1() -> None:
    transform = made([[1, 2, 3, 4]] * 2)
    values = transform(sample([[10], [30], [20], [40]]))["values"]
    assert values.shape == (4, 1)
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.std() == pytest.approx(1.0, rel=1e-6)


def test_the_training_rows_scale_keeps_what_is_larger_larger() -> None:
    cells = [[0.0, 2.0], [10.0, 12.0, GAP], [4.0, 8.0, 6.0, 6.0]]
    transform = made(cells, scale="train")
    every = np.concatenate([np.array(c) for c in cells])
    every = every[~np.isnan(every)]
    found = transform(sample([1.0, 11.0]))["values"][:, 0]
    assert found == pytest.approx((np.array([1.0, 11.0]) - every.mean()) / every.std(), rel=1e-6)


def test_no_scale_leaves_values_as_they_came() -> None:
    assert made([[1.0, 2.0]], scale="none")(sample([5.0, 7.0]))["values"].ravel().tolist() == [5, 7]


@given(
    arrays.arrays(
        np.float64,
        some.tuples(some.integers(1, 30), some.integers(1, 3)),
        elements=some.one_of(
            some.floats(-1e12, 1e12, allow_subnormal=False), some.just(GAP), some.just(1e-300)
        ),
    ).filter(lambda v: not np.isnan(v).all())
)
@settings(max_examples=60, deadline=None)
def test_any_series_becomes_finite_numbers(values: np.ndarray) -> None:
    one = sample(values)
    for asked in ({}, {"scale": "train"}, {"length": 16}):
        transform = batch.make(asked, [A], [one])
        arrays = transform(one, np.random.default_rng(0))
        assert all(np.isfinite(a).all() for a in arrays.values())
        assert len(arrays["values"]) == asked.get("length", len(values))


def test_gaps_are_interpolated_and_marked_where_training_had_some() -> None:
    transform = made([[[0, 5], [GAP, 5], [2, GAP], [3, 5]]], scale="none")
    found = transform(sample([[0, 5], [GAP, 5], [2, GAP], [3, 5]]))
    assert found["values"].tolist() == [[0, 5], [1, 5], [2, 5], [3, 5]]
    assert found["gaps"].tolist() == [0, 0.5, 0.5, 0]
    assert transform.width == 3
    assert transform.counts == {"missing values, interpolated": 1}
    assert "gaps" not in made([[1, 2]])(sample([1, GAP, 2]))


def test_a_constant_series_is_zero_and_counted() -> None:
    transform = made([[1.0, 2.0]])
    assert not transform(sample([7.1] * 9))["values"].any()
    assert not transform(sample([1e9, 1e9 + 1e-3]))["values"].any()
    assert transform.counts == {"constant series": 2}
    assert transform.notes(sample([7.1] * 9)) == ("constant series",)
    assert transform.notes(sample([1.0, GAP, 2.0])) == ("missing values, interpolated",)
    assert transform.notes(sample([1.0, 2.0])) == ()
    assert transform.counts == {"constant series": 2}, "looking counts nothing"


def test_a_channel_without_a_value_is_zero() -> None:
    transform = made([[[0, 5], [1, 7]]], scale="train")
    assert transform(sample([[0, GAP], [1, GAP]]))["values"][:, 1].tolist() == [0, 0]


def test_other_channels_than_in_training_are_a_bad_row() -> None:
    with pytest.raises(BadRow, match="it has 1 channels, training rows had 2"):
        made([[[0, 5], [1, 7]]])(sample([1, 2]))
    with pytest.raises(DataError, match="Training rows have 2 and 1 channels"):
        made([[[0, 5], [1, 7]], [1, 2]])


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(DataError, match="there are none"):
        made([])
    with pytest.raises(PlanError, match="scale came as 'trian'"):
        made([[1, 2]], scale="trian")


def test_time_stamps_are_mended_and_counted() -> None:
    rows = [sample([3.0, 1.0, 2.0, 4.0], [2, 0, 1, 3]), sample([1.0, 3.0, 5.0], [0, 0, 1])]
    transform = batch.make({"scale": "none"}, [A, T], rows)
    assert transform(rows[0])["values"].ravel().tolist() == [1, 2, 3, 4]
    assert transform(rows[1])["values"].ravel().tolist() == [2, 5]
    assert transform.counts == {
        "time stamps out of order, sorted": 1,
        "duplicate time stamps, averaged": 1,
    }


def test_a_network_of_fixed_length_gets_it_and_others_keep_theirs() -> None:
    fixed = made([[1.0, 2.0, 3.0]], configuration={"context_length": 8})
    assert fixed.length(fixed(sample(range(5)))) == 8
    assert fixed.length(fixed(sample(range(50)))) == 8
    free = made([[1.0, 2.0, 3.0]])
    assert free.length(free(sample(range(50)))) == 50


def test_very_long_series_are_averaged_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LONGEST", 10)
    transform = made([[1.0, 2.0]], scale="none")
    assert transform(sample(np.arange(40.0)))["values"].ravel().tolist() == list(
        np.arange(40.0).reshape(10, 4).mean(1)
    )
    assert transform.counts == {"longer than the network reads, averaged down": 1}


def test_batches_are_padded_at_the_end() -> None:
    transform = made([[1.0, GAP, 3.0]])
    items = [transform(sample([1.0, 2.0])), transform(sample([1.0, GAP, 3.0, 5.0]))]
    found = transform.collate(items)
    assert found["mask"].tolist() == [[True, True, False, False], [True] * 4]
    assert found["values"].shape == (2, 4, 1)
    assert not found["values"][0, 2:].any()
    assert found["gaps"].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize("name", [n for n, v in _augment.VARIATIONS.items() if v.automatic])
def test_a_variation_keeps_form_and_length(name: str) -> None:
    values = np.sin(np.linspace(0, 9, 64))[:, None] * [1.0, 2.0]
    found = _augment.KINDS[name](values, np.random.default_rng(1))
    assert found.shape == values.shape
    assert not np.array_equal(found, values)
    assert np.corrcoef(found[:, 0], values[:, 0])[0, 1] > 0.8
    if name == "time_warp":
        assert found[[0, -1]] == pytest.approx(values[[0, -1]], abs=1e-9)


@pytest.mark.parametrize("name", [n for n, v in _augment.VARIATIONS.items() if not v.automatic])
def test_a_strong_variation_keeps_the_values(name: str) -> None:
    """In another order, or with another sign; not in every draw."""
    values = np.sin(np.linspace(0, 9, 64))[:, None] * [1.0, 2.0]
    made = [_augment.KINDS[name](values, np.random.default_rng(seed)) for seed in range(8)]
    assert any(not np.array_equal(one, values) for one in made)
    for one in made:
        assert np.sort(np.abs(one), 0) == pytest.approx(np.sort(np.abs(values), 0))


def test_variations_leave_the_size_of_a_mark_alone() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=(64, 1)), np.ones((64, 1))], 1)
    for seed in range(8):
        found = _augment.augmented(values, 1, np.random.default_rng(seed))
        assert found[:, 1] == pytest.approx(np.ones(64))
