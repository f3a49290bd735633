"""Splits: shares, groups, times, near-duplicates, given parts, folds and draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from headstart.core.task import Columns, Task
from headstart.data.opening import from_arrays
from headstart.data.splits import draw, folds, make_split
from headstart.errors import DataError, PlanError


@pytest.fixture
def table(readers):
    """A dataset of one number per row, with columns of metadata."""

    def make(targets, values=None, columns=None, **metadata):
        task = Task(columns=Columns(**(columns or {})))
        numbers = np.arange(len(targets)) * 1.0 if values is None else np.asarray(values)
        return from_arrays(numbers.reshape(-1, 1), targets, readers, metadata=metadata, task=task)

    return make


def counts(made, rows):
    return Counter(made.targets(rows))


def test_stratified_shares_and_determinism(table):
    made = table(["a"] * 80 + ["b"] * 20)
    split = make_split(made, Task(), 0)
    assert counts(made, split.test) == {"a": 20, "b": 5}
    assert not set(split.train) & set(split.test) and len(split.train) + len(split.test) == 100
    assert split.how == "stratified 75/25, seed 0"
    assert split.digest == make_split(made, Task(), 0).digest
    assert split.digest != make_split(made, Task(), 1).digest


def test_every_class_of_few_examples_is_on_both_sides(table):
    made = table([c for c in "abcdef" for _ in range(2)])
    split = make_split(made, Task(), 3)
    assert set(counts(made, split.test).values()) == {1} == set(counts(made, split.train).values())


def test_regression_is_stratified_by_quantiles(table):
    made = table(np.arange(200) / 7)
    split = make_split(made, Task(), 0)
    assert "quantiles" in split.how and len(split.test) == 50
    tenths = np.array(made.targets(split.test)) * 7 // 20
    assert set(np.bincount(tenths.astype(int))) == {5}


def test_groups_stay_whole(table):
    rng = np.random.default_rng(0)
    sites = rng.integers(0, 30, 300).tolist()
    made = table(["a", "b"] * 150, columns={"group": "site"}, site=sites)
    split = make_split(made, Task(), 0)
    assert not {sites[i] for i in split.train} & {sites[i] for i in split.test}
    assert 0.18 < len(split.test) / 300 < 0.32 and "grouped by 'site'" in split.how
    parts = folds(made.targets(split.train), 5, 0, groups=split.groups).parts
    for train, validation in parts:
        assert not set(split.groups[train]) & set(split.groups[validation])


def test_rows_without_a_group_stand_alone(table):
    made = table(["a", "b"] * 10, columns={"group": "site"}, site=["s"] * 4 + [None] * 16)
    split = make_split(made, Task(), 0)
    assert any("16 rows have no 'site'" in n for n in split.notes)
    assert len({0, 1, 2, 3} & set(split.test.tolist())) in (0, 4)


def test_one_group_cannot_be_split(table):
    made = table(["a", "b"] * 10, columns={"group": "site"}, site=["s"] * 20)
    with pytest.raises(DataError, match=r"one group.*'site'"):
        make_split(made, Task(), 0)


@pytest.mark.parametrize(
    "times",
    [
        list(range(40)),
        [f"2026-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(40)],
        [np.datetime64("2026-01-01") + i for i in range(40)],
    ],
)
def test_by_time_the_latest_part_is_the_test(table, times):
    order = np.random.default_rng(0).permutation(40)
    made = table(["a", "b"] * 20, columns={"time": "day"}, day=[times[i] for i in order])
    split = make_split(made, Task(), 0)
    assert sorted(order[split.test]) == list(range(30, 40)) and "by 'day'" in split.how


def test_rows_of_one_time_stay_together(table):
    days = [0] * 10 + [1] * 16 + [2] * 14
    made = table(["a", "b"] * 20, columns={"time": "day"}, day=days)
    assert {days[i] for i in make_split(made, Task(), 0).test} == {2}


@pytest.mark.parametrize(
    ("days", "told"), [(["soon"] * 20, "holds 'soon'"), ([3] * 20, "the same time")]
)
def test_times_that_do_not_order_the_rows(table, days, told):
    made = table(["a", "b"] * 10, columns={"time": "day"}, day=days)
    with pytest.raises(DataError, match=told):
        make_split(made, Task(), 0)


def test_given_split(table):
    parts = ["train"] * 12 + ["Validation"] * 4 + ["test"] * 4
    made = table(["a", "b"] * 10, columns={"split": "part"}, part=parts)
    split = make_split(made, Task(), 0)
    assert split.test.tolist() == [16, 17, 18, 19] and len(split.train) == 16
    assert any("4 validation rows were added" in n for n in split.notes)


@pytest.mark.parametrize("named", ["validation", "val", "Validation"])
def test_validation_rows_may_be_left_out(table, named):
    parts = ["train"] * 12 + ["Validation"] * 4 + ["test"] * 4
    made = table(["a", "b"] * 10, columns={"split": "part", "leave_out": (named,)}, part=parts)
    task = Task(columns=Columns(split="part", leave_out=(named,)))
    split = make_split(made, task, 0)
    assert split.test.tolist() == [16, 17, 18, 19] and split.train.tolist() == list(range(12))
    assert not len(split.unused) and len(split.groups) == 12
    assert split.how == f"given by 'part'; 4 rows of '{named}' left out"
    assert any("4 rows" in n and "neither learned from nor tested on" in n for n in split.notes)
    assert not any("were added" in n for n in split.notes)


def test_any_value_of_the_split_column_may_be_left_out(table):
    loads = [0, 1, 2, 3] * 5
    made = table(["a"] * 10 + ["b"] * 10, columns={"split": "load=3"}, load=loads)
    split = make_split(made, Task(columns=Columns(split="load=3", leave_out=("2", "0"))), 0)
    assert {loads[i] for i in split.train} == {1} and {loads[i] for i in split.test} == {3}


def test_a_row_left_out_takes_no_other_along(table):
    values = [0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11]  # row 9 repeats row 1
    parts = ["validation"] * 2 + ["train"] * 6 + ["test"] * 4
    made = table(["a", "b"] * 6, values=values, columns={"split": "part"}, part=parts)
    split = make_split(made, Task(columns=Columns(split="part", leave_out=("validation",))), 0)
    assert split.train.tolist() == [2, 3, 4, 5, 6, 7] and split.set_aside == ()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"split": "part", "leave_out": ("dev2",)}, "'dev2' should be left out, but it is that"),
        ({"leave_out": ("validation",)}, "--split COLUMN"),
        ({"split": "part", "leave_out": ("train", "test")}, "leaves no row"),
    ],
)
def test_what_cannot_be_left_out_is_told(table, columns, told):
    known = {"split": columns["split"]} if "split" in columns else {}
    made = table(["a", "b"] * 10, columns=known, part=["train", "test"] * 10)
    with pytest.raises(DataError, match=told):
        make_split(made, Task(columns=Columns(**columns)), 0)


@pytest.mark.parametrize(
    ("parts", "told"),
    [(["train"] * 20, "only 'train'"), (["train", "tset"] * 10, "holds 'tset'")],
)
def test_given_split_that_is_none(table, parts, told):
    made = table(["a", "b"] * 10, columns={"split": "part"}, part=parts)
    with pytest.raises(DataError, match=told):
        make_split(made, Task(), 0)


def test_class_that_the_training_part_lacks_is_noted(table):
    parts = ["train"] * 12 + ["test"] * 4
    made = table(["a", "b"] * 6 + ["a", "b", "c", "c"], columns={"split": "part"}, part=parts)
    assert any("'c'" in n and "cannot be predicted" in n for n in make_split(made, Task(), 0).notes)


def test_training_part_of_one_class_stops(table):
    parts = ["train"] * 10 + ["test"] * 10
    made = table(["a"] * 10 + ["b"] * 10, columns={"split": "part"}, part=parts)
    with pytest.raises(DataError, match="one class only"):
        make_split(made, Task(), 0)


@pytest.fixture
def twins(readers, picture):
    """60 pictures, of which rows 2k and 2k + 1 differ in two bits for the first ten pairs."""

    def make(columns=None, **metadata):
        pictures = [picture() for _ in range(60)]
        for row in range(0, 20, 2):
            pictures[row + 1] = picture(like=pictures[row], flips=2)
        task = Task(columns=Columns(**(columns or {})))
        columns = {"image": pictures}
        labels = ["a", "a", "b", "b"] * 15
        return from_arrays(columns, labels, readers, metadata=metadata, task=task)

    return make


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_stay_together(twins, seed):
    made = twins()
    split = make_split(made, Task(), seed)
    sides = np.zeros(60, bool)
    sides[split.test] = True
    assert (sides[0:20:2] == sides[1:20:2]).all()
    assert 10 <= len(split.test) <= 20
    assert any("20 rows repeat each other (nearly) in 10 groups" in n for n in split.notes)
    for train, validation in folds(made.targets(split.train), 3, seed, split.groups).parts:
        assert not set(split.groups[train]) & set(split.groups[validation])


def test_near_duplicates_across_a_given_split_leave_training(twins):
    parts = ["train", "test"] * 10 + ["train"] * 30 + ["test"] * 10
    made = twins({"split": "part"}, part=parts)
    split = make_split(made, Task(), 0)
    assert sorted(a.name for a in split.set_aside) == sorted(
        f"row {i + 1}" for i in range(0, 20, 2)
    )
    assert len(split.test) == 20 and len(split.train) == 30
    assert any("10 training rows repeat a test row" in n for n in split.notes)
    assert "10 training rows left out" in split.how


def test_near_duplicates_may_be_allowed(twins):
    parts = ["train", "test"] * 30
    made = twins({"split": "part"}, part=parts)
    assert len(make_split(made, Task(near_duplicates=False), 0).train) == 30


def test_nothing_left_to_learn_from(table):
    parts = ["train"] * 4 + ["test"] * 4
    made = table(["a", "b"] * 4, values=[0, 1, 2, 3] * 2, columns={"split": "p"}, p=parts)
    with pytest.raises(DataError, match="No training row is left"):
        make_split(made, Task(), 0)


def test_a_signature_that_tells_nothing_is_ignored(readers):
    pictures = [b"PIC" + b"\0" * 8 + bytes([i]) for i in range(100)]
    made = from_arrays({"image": pictures}, ["a", "b"] * 50, readers)
    split = make_split(made, Task(), 0)
    assert len(split.test) in (24, 25, 26)
    assert any("does not tell them apart" in n for n in split.notes)


def test_signatures_may_be_handed_in(table):
    made = table(["a", "b"] * 10)
    made.near = 0
    signatures = np.arange(20, dtype=np.uint8).repeat(1)[:, None] // 2
    split = make_split(made, Task(), 0, signatures)
    sides = np.isin(np.arange(20), split.test)
    assert (sides[::2] == sides[1::2]).all()


def test_few_labels_per_class(table):
    made = table(["a"] * 60 + ["b"] * 36 + ["c"] * 4)
    split = make_split(made, Task(per_class=5), 0)
    assert counts(made, split.train) == {"a": 5, "b": 5, "c": 3}
    assert len(split.train) + len(split.unused) + len(split.test) == 100
    whole = make_split(made, Task(), 0)
    assert split.test_digest == whole.test_digest and split.digest != whole.digest
    by_hand = whole.train[draw(made.targets(whole.train), 5, 0)]
    assert split.train.tolist() == by_hand.tolist()


def test_draw_is_the_documented_protocol():
    targets = np.array(["b", "a", "c"] * 20)
    rng = np.random.default_rng(7)
    picked = [
        rng.choice(np.flatnonzero(targets == c), size=4, replace=False)
        for c in sorted(set(targets))
    ]
    assert draw(targets.tolist(), 4, 7).tolist() == sorted(np.concatenate(picked).tolist())


def test_settings_that_make_no_split(table):
    made = table(["a", "b"] * 10)
    with pytest.raises(PlanError, match="test_share came as 1"):
        make_split(made, Task(test_share=1.0), 0)
    with pytest.raises(PlanError, match="needs classes"):
        make_split(table(np.arange(40) / 3), Task(per_class=5), 0)
    with pytest.raises(PlanError, match="per_class"):
        draw(["a"], 0, 0)


def test_folds_are_stratified_and_cover_every_row_once():
    targets = ["a"] * 50 + ["b"] * 25
    made = folds(targets, 5, 0)
    assert sorted(np.concatenate([v for _, v in made.parts]).tolist()) == list(range(75))
    for train, validation in made.parts:
        assert Counter(targets[i] for i in validation) == {"a": 10, "b": 5}
        assert len(train) + len(validation) == 75
    again = folds(targets, 5, 0)
    assert all((a[1] == b[1]).all() for a, b in zip(made.parts, again.parts, strict=True))


def test_folds_are_fewer_for_few_rows():
    made = folds(["a"] * 30 + ["b"] * 3, 5, 0)
    assert len(made.parts) == 3 and "3 folds instead of 5" in made.notes[0]
    assert len(folds(["a"] * 30 + ["b"], 5, 0).parts) == 2


def test_folds_of_numbers_spread_over_the_range():
    values = list(np.arange(100) / 3)
    for _, validation in folds(values, 5, 0, outcome="regress").parts:
        assert len(validation) == 20 and validation.min() < 20 and validation.max() >= 80


def test_folds_that_cannot_be():
    with pytest.raises(DataError, match="of one group"):
        folds(["a", "b"], 2, 0, groups=np.array([1, 1]))
    with pytest.raises(PlanError, match="expected 2 or more"):
        folds(["a", "b"], 1, 0)
