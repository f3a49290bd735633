"""Rows from several places with partly other columns: files, a site column, and rows to predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Columns, Task
from headstart.data import opening, quality, tables
from headstart.data.opening import from_arrays, open_samples
from headstart.data.splits import make_split
from headstart.errors import DataError
from headstart.modalities.table import read

READERS = {"table": read}
FIELDS = (Field("age", "number"), Field("sex", "category"), Field("pulse", "number"))


def site(rows: int, *, names: str = "age,sex,pulse,label", shift: int = 0) -> str:
    lines = [names]
    for i in range(rows):
        cells = {"age": 40 + (i + shift) % 17, "sex": "mf"[i % 2], "pulse": 60 + i % 9}
        cells |= {"label": "yn"[(i // 2) % 2], "extra": i * 0.5}
        lines.append(",".join(str(cells[n]) for n in names.split(",")))
    return "\n".join(lines) + "\n"


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    """Two hospitals with all columns, one without "pulse", one with a column of its own."""
    folder = tmp_path / "hospitals"
    folder.mkdir()
    (folder / "ada.csv").write_text(site(40))
    (folder / "bonn.csv").write_text(site(30, shift=3))
    (folder / "cork.csv").write_text(site(20, names="age,sex,label", shift=5))
    (folder / "delft.csv").write_text(site(24, names="age,sex,pulse,extra,label", shift=9))
    return folder


def opened(place: Path, tmp_path: Path, **columns: object):  # type: ignore[no-untyped-def]
    task = Task(data=str(place), columns=Columns(**columns))  # type: ignore[arg-type]
    return opening.open_data(task, READERS, cache=tmp_path / "cache"), task


def test_tables_of_a_folder_are_read_as_one_and_gaps_are_said(hospitals, tmp_path) -> None:
    made, _ = opened(hospitals, tmp_path)
    assert len(made) == 114
    assert [f.name for f in made.fields] == ["age", "sex", "pulse", "extra"]
    assert set(made.metadata(np.arange(114))["file"]) == {"ada", "bonn", "cork", "delft"}
    assert any("4 tables were read as one" in n for n in made.notes)
    assert any("'cork' has no column 'pulse', 'extra'; in its 20 rows" in n for n in made.notes)
    assert any(
        "Where 'file' is 'cork' (20 rows), nothing is known of 'pulse'" in n for n in made.notes
    )
    assert all(s["pulse"] is None for s in made.samples(np.arange(70, 90)))


def test_one_site_is_the_test(hospitals, tmp_path) -> None:
    made, task = opened(hospitals, tmp_path, split="file=cork")
    split = make_split(made, replace(task, near_duplicates=False), 0)
    files = np.array(made.metadata(np.arange(len(made)))["file"])
    assert set(files[split.test]) == {"cork"} and set(files[split.train]) == {
        "ada",
        "bonn",
        "delft",
    }
    assert split.how.startswith("tested where 'file' is 'cork'")
    two, task = opened(hospitals, tmp_path, split="file=cork,delft")
    split = make_split(two, replace(task, near_duplicates=False), 0)
    assert len(split.test) == 44


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("file=corc", "Did you mean 'cork'"),
        ("file=", "leaves one part empty"),
        ("file=ada,bonn,cork,delft", "leaves one part empty"),
    ],
)
def test_an_impossible_test_part_is_told(hospitals, tmp_path, rule, told) -> None:
    made, task = opened(hospitals, tmp_path, split=rule)
    with pytest.raises(DataError, match=told):
        make_split(made, task, 0)


def test_a_rule_on_a_column_that_is_not_there_is_told(hospitals, tmp_path) -> None:
    with pytest.raises(DataError, match="no column 'hospital'"):
        opened(hospitals, tmp_path, split="hospital=cork")


def test_files_called_train_and_test_fix_the_split(tmp_path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "train.csv").write_text(site(40))
    (folder / "test.csv").write_text(site(20, shift=40))
    made, task = opened(folder, tmp_path)
    split = make_split(made, replace(task, near_duplicates=False), 0)
    assert (len(split.train), len(split.test)) == (40, 20)
    assert "split" not in [f.name for f in made.fields]


def test_columns_that_only_a_later_file_has_are_inputs(tmp_path) -> None:
    """Columns are guessed from rows of every file, not from the first two thousand rows."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text(site(2500))
    (folder / "b.csv").write_text(site(50, names="age,sex,pulse,extra,label"))
    made, _ = opened(folder, tmp_path)
    assert "extra" in [f.name for f in made.fields]


def test_a_number_here_and_a_word_there_become_text_and_that_is_said(tmp_path) -> None:
    first = tables.from_columns({"a": [1, 2], "b": [1, 2]}, "first")
    second = tables.from_columns({"a": ["x", "y"], "b": [0.5, 1.5]}, "second")
    made = tables.join({"one": first, "two": second}, "file", "both")
    assert made.head().to_pydict() == {
        "a": ["1", "2", "x", "y"],
        "b": [1.0, 2.0, 0.5, 1.5],
        "file": ["one", "one", "two", "two"],
    }
    assert made.notes == ("The column 'a' has several types; it was read as text.",)
    nested = tables.from_columns({"a": [[1], [2]]})
    with pytest.raises(DataError, match="in one file"):
        tables.join({"one": first, "two": nested}, "", "both")


def test_a_file_without_value_in_a_column_does_not_make_it_text(tmp_path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text(site(30))
    (folder / "b.csv").write_text("age,sex,pulse,label\n" + "50,m,,y\n51,f,,n\n" * 10)
    made, _ = opened(folder, tmp_path)
    assert Field("pulse", "number") in made.fields


def test_a_site_column_of_one_table_says_the_same() -> None:
    columns = {
        "age": [i * 7 % 23 for i in range(60)],
        "ca": [1.0 if i < 40 else None for i in range(60)],
        "site": ["a"] * 20 + ["b"] * 20 + ["c"] * 20,
        "label": ["y", "n"] * 30,
    }
    task = Task(columns=Columns(target="label", group="site"))
    made = from_arrays(columns, None, READERS, task=task)
    assert [n for n in made.notes if "nothing is known of 'ca'" in n and "'site' is 'c'" in n]
    assert quality.gap_note(made) == tuple(n for n in made.notes if "nothing is known" in n)


def test_another_column_of_parts_is_no_input(tmp_path) -> None:
    columns = {
        "age": [i * 7 % 23 for i in range(40)],
        "site": ["a", "b"] * 20,
        "split": ["train", "train", "test", "test"] * 10,
        "label": ["y", "n", "n", "y"] * 10,
    }
    task = Task(columns=Columns(target="label", split="site=b"))
    made = from_arrays(columns, None, READERS, task=task)
    assert [f.name for f in made.fields] == ["age"]
    assert len(make_split(made, task, 0).test) == 20


def test_predict_a_table_that_lacks_a_column(tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("age,sex,colour\n50,m,red\n51,f,blue\n")
    made = open_samples(path, FIELDS, read)
    assert made.samples(np.array([0])) == [{"age": 50.0, "sex": "m", "pulse": None}]
    assert "new.csv has no column 'pulse': missing in all 2 rows." in made.notes
    assert "Not used, as the model was not trained on it: 'colour'." in made.notes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("age,sex,Pulse\n50,m,60\n", "Did you mean 'Pulse'|no column 'pulse'"),
        ("age,weight\n50,80\n", "no column 'sex'"),
    ],
)
def test_predict_refuses_other_spellings_and_tables_without_most_columns(
    tmp_path, text, told
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        open_samples(path, FIELDS, read)


def test_nested_columns_are_no_input_and_that_is_said(tmp_path) -> None:
    path = tmp_path / "nested.parquet"
    table = {
        "age": [i * 7 % 23 for i in range(30)],
        "visits": [[i, i + 1] for i in range(30)],
        "home": [{"town": "Oslo"}] * 30,
        "label": ["y", "n"] * 15,
    }
    pq.write_table(pa.table(table), path)
    made, _ = opened(path, tmp_path)
    assert [f.name for f in made.fields] == ["age"]
    (said,) = [n for n in made.notes if "no input" in n]
    assert said.startswith("The columns 'visits', 'home' are no input: lists or records")


def test_a_column_that_is_no_input_is_told_with_its_reason(tmp_path) -> None:
    path = tmp_path / "kinds.parquet"
    table = {
        "Age": [i * 7 % 23 for i in range(40)],
        "Remark": [f"came on day {i} and left" for i in range(40)],
        "empty": pa.nulls(40, pa.string()),
        "blob": [b"x"] * 40,
        "label": ["y", "n"] * 20,
    }
    pq.write_table(pa.table(table), path)
    made, _ = opened(path, tmp_path)
    told = {n.split("'")[1]: n for n in made.notes if "no input" in n}
    assert "40 different texts in 40 cells" in told["Remark"]
    assert "no value in the rows" in told["empty"]
    assert "cells of bytes" in told["blob"]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("length,width", r"shares no column .*\(age, sex, pulse\): it has length, width\."),
        ("AGE,Sex,pulse", r"no column 'age'.*Did you mean 'AGE'\? Rename it"),
        ("age,x,y", r"no column 'sex'.*It has age, x, y\. Rename the column that holds it, or add"),
    ],
)
def test_columns_that_lack_are_told_with_what_to_do(head: str, told: str, tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text(f"{head}\n" + ",".join("1" for _ in head.split(",")) + "\n", "utf-8")
    with pytest.raises(DataError, match=told):
        open_samples(path, FIELDS, read)


def test_a_nested_cell_to_predict_is_set_aside(tmp_path) -> None:
    path = tmp_path / "new.parquet"
    columns = {"age": [[1.0], [2.0, 3.0]], "sex": ["m", "f"], "pulse": [60, 61]}
    pq.write_table(pa.table(columns), path)
    made = open_samples(path, FIELDS, read)
    assert len(made) == 0
    assert "holds 2 values" in made.set_aside[1].reason


@pytest.mark.parametrize("rows", [[[1, 2], [3]], [[1, [2]], [3, [4, 5]]]])
def test_ragged_rows_are_told(rows) -> None:
    with pytest.raises(DataError, match=r"Row 2 came with|lists of different lengths"):
        from_arrays(rows, ["a", "b"], READERS)
