"""Wide and long tables become one sample a row, in training and in prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.dataset import Field, Sample
from headstart.core.task import Columns, Task
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import from_arrays, open_data, open_samples
from headstart.errors import DataError, PlanError
from headstart.modalities.series import _signal


class Lists:
    """Lists of numbers as they are."""

    SUFFIXES: tuple[str, ...] = ()
    FILE_KIND = ""
    NEAR = 0
    MANY = True
    ARRAYS = True

    def claim(self, name: str, values: Sequence[Any], root: Path) -> str | None:
        if values and all(isinstance(v, list) for v in values):
            return "order" if " as order per " in name else "list"
        return None

    def load(self, cell: Any, field: Field, root: Path) -> Any:
        return cell

    def check(self, sample: Sample, fields: Sequence[Field]) -> None:
        pass

    def content(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return repr([sample[f.name] for f in fields]).encode()

    def signature(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return b""


READERS = {"lists": Lists()}
WIDE = "id,t0,t1,t2,site,label\n" + "".join(
    f"{i},{i},{i + 1},{'' if i == 2 else 9},s{i % 2},{'ab'[i % 2]}\n" for i in range(12)
)
LONG = "machine,day,load,heat,label\n" + "".join(
    f"m{i},{day},{i + day},{10 * day},{'ab'[i % 2]}\n" for day in (2, 0, 1) for i in range(6)
)


def opened(path: Path, text: str, columns: Columns | None = None, **task: Any) -> ArrowDataset:
    path.write_text(text)
    asked = Task(data=str(path), modality="lists", columns=columns or Columns(), **task)
    return open_data(asked, READERS, cache=path.parent / "cache")  # type: ignore[arg-type]


def test_columns_side_by_side_become_one_list(tmp_path: Path) -> None:
    data = opened(tmp_path / "a.csv", WIDE)
    assert data.fields == (Field("t0..t2", "list", ("t0", "t1", "t2")),)
    assert data.target == "label"
    first, third = data.samples(np.array([0, 2]))
    assert first == {"t0..t2": [0.0, 1.0, 9.0]}
    assert np.isnan(third["t0..t2"][2])
    assert set(data.metadata(np.array([0]))) == {"id", "site"}
    assert any("3 columns 't0' to 't2' are the steps of one input" in n for n in data.notes)


def test_named_inputs_are_folded_alone(tmp_path: Path) -> None:
    data = opened(tmp_path / "a.csv", WIDE, Columns(inputs=("t1", "t2")))
    assert data.fields == (Field("t1..t2", "list", ("t1", "t2")),)
    assert "t0" in data.metadata(np.array([0]))


def test_columns_with_others_between_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="other columns stand between them"):
        opened(tmp_path / "a.csv", WIDE, Columns(inputs=("t0", "t2")))
    with pytest.raises(DataError, match="'site' holds no numbers"):
        opened(tmp_path / "a.csv", WIDE, Columns(inputs=("t2", "site")))


def test_a_wide_table_is_folded_again_to_be_predicted(tmp_path: Path) -> None:
    data = opened(tmp_path / "a.csv", WIDE)
    new = tmp_path / "new.csv"
    new.write_text("t0,t1,t2\n5,6,7\n")
    found = open_samples(str(new), data.fields, READERS["lists"], modality="lists")  # type: ignore[arg-type]
    assert found.samples(np.array([0])) == [{"t0..t2": [5.0, 6.0, 7.0]}]


@pytest.mark.parametrize(
    "cells", ["t2,t0,t1\n7,5,6\n", "t0,more,t1,note,t2\n5,99,6,x,7\n", "t2,t1,t0\n7,6,5\n"]
)
def test_folded_columns_are_found_by_their_names(tmp_path: Path, cells: str) -> None:
    data = opened(tmp_path / "a.csv", WIDE)
    new = tmp_path / "new.csv"
    new.write_text(cells)
    found = open_samples(str(new), data.fields, READERS["lists"], modality="lists")  # type: ignore[arg-type]
    assert found.samples(np.array([0])) == [{"t0..t2": [5.0, 6.0, 7.0]}]
    assert any("'more'" in n for n in found.notes) == ("more" in cells)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("t0,t2\n5,7\n", "no column 't1', which was named as step 2 of the 3"),
        ('{"t0": 5, "t1": true, "t2": 7}\n', "'t1', step 2 of the 3 of 't0..t2', holds bool"),
    ],
)
def test_a_missing_step_is_named(tmp_path: Path, cells: str, said: str) -> None:
    data = opened(tmp_path / "a.csv", WIDE)
    new = tmp_path / ("new.jsonl" if cells.startswith("{") else "new.csv")
    new.write_text(cells)
    with pytest.raises(DataError, match=said):
        open_samples(str(new), data.fields, READERS["lists"], modality="lists")  # type: ignore[arg-type]


def test_one_bad_cell_of_a_wide_table_costs_its_row_only(tmp_path: Path) -> None:
    fields = (Field("t0..t2", "bytes", ("t0", "t1", "t2")),)
    new = tmp_path / "new.csv"
    new.write_text("t0,t1,t2,t1b\n1,2.25,3,x\n4,six,6,x\n7,?,9,x\n")
    reader = plugins.Modality("series").read
    found = open_samples(str(new), fields, reader, modality="series")
    values = [_signal.unpack(found.samples(np.array([k]))[0]["t0..t2"])[:, 0] for k in range(2)]
    assert values[0].tolist() == [1, 2.25, 3]
    assert np.array_equal(values[1], [7, np.nan, 9], equal_nan=True)
    assert found.names(np.arange(2)) == ["row 1", "row 3"]
    assert [(a.name, a.reason) for a in found.set_aside] == [
        ("row 2", "'six' in column 't1' is no number")
    ]


def test_rows_of_one_sample_become_lists(tmp_path: Path) -> None:
    data = opened(tmp_path / "a.csv", LONG, Columns(sample="machine", order="day"))
    names = [(f.name, f.kind) for f in data.fields]
    assert names == [
        ("load per machine", "list"),
        ("heat per machine", "list"),
        ("day as order per machine", "order"),
    ]
    assert len(data) == 6
    second = data.samples(np.array([1]))[0]
    assert list(second.values()) == [[3, 1, 2], [20, 0, 10], [2, 0, 1]]
    assert data.names(np.array([1])) == ["m1"]
    assert data.targets(np.arange(4)) == ["a", "b", "a", "b"]
    assert any("18 rows are steps of 6 samples" in n for n in data.notes)


def test_a_sample_with_two_labels_is_set_aside_by_name(tmp_path: Path) -> None:
    odd = LONG.replace("m2,1,3,10,a", "m2,1,3,10,b").replace("m3,1", ",1")
    data = opened(tmp_path / "a.csv", odd, Columns(sample="machine", order="day"), tolerate=0.9)
    told = {(a.name, a.reason) for a in data.set_aside}
    assert told == {
        ("machine m2", "its rows differ in 'label'"),
        ("1 rows", "'machine' is empty"),
    }
    assert data.names(np.arange(len(data))) == ["m0", "m1", "m3", "m4", "m5"]


@pytest.mark.parametrize("part", ["split", "group", "sensitive"])
def test_a_sample_in_two_parts_is_set_aside_by_name(tmp_path: Path, part: str) -> None:
    lines = LONG.splitlines()
    split = ["test" if line.startswith(("m1,", "m4,")) else "train" for line in lines[1:]]
    split[2] = "test"  # m2 on its first day
    told = "\n".join(
        [f"{lines[0]},part", *(f"{a},{b}" for a, b in zip(lines[1:], split, strict=True))]
    )
    columns = Columns(
        sample="machine", order="day", target="label",
        **({part: ("part",)} if part == "sensitive" else {part: "part"}),  # type: ignore[arg-type]
    )  # fmt: skip
    data = opened(tmp_path / "a.csv", told, columns, tolerate=0.9)
    assert [(a.name, a.reason) for a in data.set_aside] == [
        ("machine m2", "its rows differ in 'part'")
    ]


def test_a_long_table_is_gathered_again_to_be_predicted(tmp_path: Path) -> None:
    data = opened(tmp_path / "a.csv", LONG, Columns(sample="machine", order="day"))
    new = tmp_path / "new.csv"
    new.write_text("machine,day,load,heat\nx,0,1,2\ny,0,3,4\nx,1,5,6\n")
    found = open_samples(str(new), data.fields, READERS["lists"], modality="lists")  # type: ignore[arg-type]
    assert [list(s.values()) for s in found.samples(np.arange(2))] == [
        [[1, 5], [2, 6], [0, 1]],
        [[3], [4], [0]],
    ]
    assert not any("'machine'" in n for n in found.notes)
    new.write_text("machine,day,load\nx,0,1\n")
    with pytest.raises(DataError, match=r"no column 'heat', .*the model was trained on"):
        open_samples(str(new), data.fields, READERS["lists"], modality="lists")  # type: ignore[arg-type]


def test_an_order_needs_a_sample(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="order 'day' was named without a sample"):
        opened(tmp_path / "a.csv", LONG, Columns(order="day"))
    with pytest.raises(DataError, match="no column 'machin'"):
        opened(tmp_path / "a.csv", LONG, Columns(sample="machin"))
    with pytest.raises(DataError, match="no column of numbers beside 'machine'"):
        opened(tmp_path / "a.csv", "machine,label\nx,a\nx,a\ny,b\n", Columns(sample="machine"))


@pytest.mark.parametrize(
    "inputs",
    [
        np.arange(24.0).reshape(6, 4),
        np.arange(24.0).reshape(6, 2, 2),
        [np.arange(n + 1.0) for n in range(6)],
        [np.ones((n + 1, 2)) for n in range(6)],
        {"input": [[float(n)] * (n + 1) for n in range(6)]},
    ],
)
def test_arrays_are_samples_where_the_modality_says_so(inputs: Any) -> None:
    task = Task(modality="lists")
    data = from_arrays(inputs, list("ababab"), READERS, task=task)  # type: ignore[arg-type]
    assert data.fields == (Field("input", "list"),)
    held = inputs["input"] if isinstance(inputs, dict) else inputs
    for made, came in zip(data.samples(np.arange(6)), held, strict=True):
        assert np.array_equal(np.array(made["input"]), came)


def test_wide_and_long_columns_in_memory_are_reshaped_too() -> None:
    wide = {"t0": np.arange(6.0), "t1": np.arange(6.0) + 1}
    data = from_arrays(wide, list("ababab"), READERS, task=Task(modality="lists"))  # type: ignore[arg-type]
    assert data.samples(np.array([2])) == [{"t0..t1": [2.0, 3.0]}]
    long = {"id": np.repeat(np.arange(4), 2), "load": np.arange(8.0)}
    task = Task(modality="lists", columns=Columns(sample="id"))
    data = from_arrays(long, list("aabbaabb"), READERS, task=task)  # type: ignore[arg-type]
    assert data.samples(np.array([1])) == [{"load per id": [2.0, 3.0]}]
    assert data.targets(np.arange(4)) == ["a", "b", "a", "b"]


def test_lists_of_unequal_length_are_samples_unasked() -> None:
    data = from_arrays([[1.0], [1.0, 2.0]] * 3, list("ababab"), READERS)  # type: ignore[arg-type]
    assert data.modality == "lists"


def test_three_axes_need_the_modality() -> None:
    with pytest.raises(DataError, match="name the modality where a sample is an array"):
        from_arrays(np.zeros((4, 2, 2)), list("abab"), READERS)  # type: ignore[arg-type]
