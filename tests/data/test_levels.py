"""Targets with an order: named by the task, or told by an ordered categorical in a frame or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from headstart.core import plugins
from headstart.core.task import Columns, Task
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import from_arrays, open_data
from headstart.errors import DataError, PlanError

GRADES = ("low", "medium", "high")
CELLS = [GRADES[i % 3] for i in range(30)]
ORDERED = pd.Categorical(CELLS, categories=GRADES, ordered=True)
FRAME = pd.DataFrame({"a": np.arange(30.0) % 7, "b": np.arange(30.0) % 5, "grade": CELLS})
READERS = {name: plugins.Modality(name).read for name in ("table", "image")}


def opened(path: Path, target: str = "grade", **more: Any) -> ArrowDataset:
    task = Task(data=str(path), columns=Columns(target=target), **more)
    return open_data(task, READERS, cache=path.parent / "cache")


def written(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def test_named_levels_ask_for_the_outcome(tmp_path: Path) -> None:
    made = opened(written(tmp_path / "t.csv", FRAME), levels=GRADES)
    assert (made.outcome, made.levels) == ("ordinal", GRADES)
    assert any("low < medium < high" in note for note in made.notes)
    again = opened(tmp_path / "t.csv", levels=GRADES)
    assert again.levels == GRADES
    assert opened(tmp_path / "t.csv").outcome == "classify"  # words alone have no order


def test_a_value_that_is_no_level_is_set_aside(tmp_path: Path) -> None:
    frame = FRAME.assign(grade=["hihg", *CELLS[1:]])
    made = opened(written(tmp_path / "t.csv", frame), levels=GRADES)
    (bad,) = made.set_aside
    assert "'hihg' in 'grade' is none of the levels" in bad.reason
    assert "Did you mean 'high'?" in bad.remedy


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"levels": ("low",)}, "1 of them"),
        ({"levels": ("low", "high", "low")}, "'low' twice"),
        ({"levels": GRADES, "outcome": "classify"}, "Expected the outcome ordinal"),
    ],
)
def test_levels_that_make_no_sense_are_refused(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        opened(written(tmp_path / "t.csv", FRAME), **more)


def test_lists_have_no_order(tmp_path: Path) -> None:
    FRAME.assign(grade=[[cell] for cell in CELLS]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match="several values a row, and the outcome asked for is ordinal"
    ):
        opened(tmp_path / "t.parquet", levels=GRADES)


def test_an_ordered_categorical_in_a_file_is_ordinal(tmp_path: Path) -> None:
    FRAME.assign(grade=ORDERED).to_parquet(tmp_path / "t.parquet")
    made = opened(tmp_path / "t.parquet")
    assert (made.outcome, made.levels) == ("ordinal", GRADES)
    plain = opened(tmp_path / "t.parquet", outcome="classify")
    assert (plain.outcome, plain.levels) == ("classify", ())


INPUTS = FRAME.drop(columns="grade")
WHOLE = FRAME.assign(grade=ORDERED)


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (INPUTS, ORDERED),
        (INPUTS, pd.Series(ORDERED)),
        (INPUTS, pa.array(ORDERED)),
        (INPUTS, pa.chunked_array([pa.array(ORDERED)])),
        (WHOLE, None),
        (pa.Table.from_pandas(WHOLE), None),
    ],
)
def test_an_ordered_categorical_in_memory_is_ordinal(inputs: Any, targets: Any) -> None:
    task = Task(columns=Columns(target="" if targets is not None else "grade"))
    made = from_arrays(inputs, targets, READERS, task=task)
    assert (made.outcome, made.levels) == ("ordinal", GRADES)
    assert made.targets(np.arange(3)) == list(GRADES)


def test_a_categorical_without_an_order_is_not() -> None:
    loose = pd.Categorical(CELLS, categories=GRADES)
    assert from_arrays(INPUTS, loose, READERS).outcome == "classify"


def test_class_folders_may_be_levels(tmp_path: Path) -> None:
    for grade in GRADES:
        (tmp_path / "photos" / grade).mkdir(parents=True)
        for i in range(3):
            picture = Image.new("RGB", (8, 8), (GRADES.index(grade) * 80, i * 40, 0))
            picture.save(tmp_path / "photos" / grade / f"{i}.png")
    task = Task(data=str(tmp_path / "photos"), levels=GRADES)
    made = open_data(task, READERS, cache=tmp_path / "cache")
    assert (made.outcome, made.levels) == ("ordinal", GRADES)
    wrong = Task(data=str(tmp_path / "photos"), outcome="regress")
    with pytest.raises(DataError, match="Choose classify or ordinal"):
        open_data(wrong, READERS, cache=tmp_path / "cache")
