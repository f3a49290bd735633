"""Facts and warnings: planted faults are found, clean data pass."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core.task import Task
from headstart.data.opening import from_arrays
from headstart.data.quality import summary
from headstart.data.splits import make_split

RNG = np.random.default_rng(0)
ROWS = 200
CLEAN = {"p": RNG.normal(size=ROWS), "r": RNG.choice(list("xyz"), ROWS)}
CLASSES = RNG.choice(["a", "b"], ROWS).tolist()


@pytest.fixture
def judged(readers):
    def make(columns, targets, **task):
        made = from_arrays(columns, targets, readers, task=Task(**task))
        return summary(made, make_split(made, Task(), 0))

    return make


def test_clean_data_pass(judged):
    found = judged(CLEAN, CLASSES)
    assert found.warnings == ()
    assert found.facts["rows"] == ROWS and found.facts["test"] == 50
    assert set(found.facts["classes"]) == {"a", "b"} and found.facts["missing"] == {}


def test_imbalance_and_few_examples(judged):
    found = judged(CLEAN, ["a"] * 195 + ["b"] * 5)
    assert found.facts["imbalance"] > 10
    assert any("times the rows of the smallest (b: 4)" in w for w in found.warnings)
    assert any("fewer than 5" in w for w in found.warnings)


def test_class_names_that_differ_in_case(judged):
    found = judged(CLEAN, (["Cat", "cat ", "dog", "dog"] * 50))
    assert any("case or spaces: 'cat'" in w for w in found.warnings)


def test_repeated_rows_and_conflicts(judged):
    columns = {"p": np.repeat(np.arange(100.0), 2)}
    found = judged(columns, ["a", "b"] + ["a", "a", "b", "b"] * 49 + ["a", "a"])
    assert found.facts["repeated_rows"] == 100 and found.facts["label_conflicts"] in (0, 1)


@pytest.mark.parametrize(
    "leak",
    [
        [float(c == "a") for c in CLASSES],
        [c + "!" for c in CLASSES],
        [(3 if c == "a" else 7) + float(v) for c, v in zip(CLASSES, RNG.random(ROWS), strict=True)],
        # a code of the class in which both alternate
        [float(2 * RNG.integers(0, 4) + (c == "a")) for c in CLASSES],
    ],
)
def test_a_column_that_gives_the_class_away(judged, leak):
    found = judged(CLEAN | {"leak": leak}, CLASSES)
    assert [w for w in found.warnings if "'leak' alone gives" in w]
    assert not [w for w in found.warnings if "'p'" in w or "'r'" in w]


def test_a_column_that_is_missing_for_one_class_gives_it_away(judged):
    day = [float(v) if c == "a" else None for c, v in zip(CLASSES, RNG.random(ROWS), strict=True)]
    mark = ["discharged" if c == "a" else None for c in CLASSES]
    found = judged(CLEAN | {"day": day, "mark": mark}, CLASSES)
    said = "2 columns give the target away, each alone (all but 1%), by where it is missing: 'day', 'mark'."
    assert [w for w in found.warnings if w.startswith(said)]
    assert not [w for w in found.warnings if "constant" in w]


def test_gaps_that_fall_anywhere_give_nothing_away(judged):
    day = [float(v) if v > 0.4 else None for v in RNG.random(ROWS)]
    assert judged(CLEAN | {"day": day}, CLASSES).warnings == ()


def test_a_bent_copy_of_few_numbers_gives_the_number_away(judged):
    grade = RNG.integers(-3, 4, ROWS)
    found = judged(CLEAN | {"leak": grade.astype(float)}, (grade**2).astype(float) + 0.0)
    assert any("'leak' alone" in w for w in found.warnings)


def test_a_rare_class_is_no_leak(judged):
    found = judged(CLEAN, ["a"] * 192 + ["b"] * 8)
    assert not any("gives the target away" in w for w in found.warnings)


@pytest.mark.parametrize("bend", [lambda y: 3 * y + 1, np.exp])
def test_a_column_that_gives_the_number_away(judged, bend):
    numbers = RNG.normal(size=ROWS)
    found = judged(CLEAN | {"leak": bend(numbers)}, numbers)
    assert ["leak" in w for w in found.warnings] == [True]
    assert len(found.facts["target"]) == 3


def test_a_category_that_gives_the_number_away(judged):
    group = RNG.integers(0, 5, ROWS)
    numbers = group * 10 + RNG.normal(size=ROWS) * 0.1
    found = judged(CLEAN | {"leak": [f"g{g}" for g in group]}, numbers)
    assert any("'leak' alone" in w for w in found.warnings)


def test_missing_and_constant_columns(judged):
    found = judged(CLEAN | {"half": [None, 1.5] * 100, "one": [4.0] * ROWS}, CLASSES)
    assert 0.4 < found.facts["missing"]["half"] < 0.6
    assert any("'one' is constant" in w for w in found.warnings)
