"""What a table may be, with the readers of the package: dates that no identifier is, series, tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headstart.core import plugins
from headstart.core.task import Columns, Task
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import open_data

READERS = {name: plugins.Modality(name).read for name in plugins.names("modality")}
LABELS = ["xy"[i % 2] for i in range(30)]


def opened(path: Path, text: str) -> ArrowDataset:
    path.write_text(text, "utf-8")
    made = open_data(
        Task(data=str(path), columns=Columns(target="label")), READERS, cache=path.parent / "cache"
    )
    assert isinstance(made, ArrowDataset)
    return made


@pytest.mark.parametrize("day", ["2024-01-{:02d}", "{:02d}/03/2024", "{},5 kg"])
def test_dates_and_numbers_written_as_text_are_no_identifiers(tmp_path: Path, day: str) -> None:
    rows = "".join(f'"{day.format(i + 1)}",{i % 7 / 2},{LABELS[i]}\n' for i in range(28))
    made = opened(tmp_path / "a.csv", "when,a,label\n" + rows)
    assert "when" in {f.name for f in made.fields}


def test_names_that_differ_in_every_row_are_no_input(tmp_path: Path) -> None:
    rows = "".join(f"n{i},{i % 7 / 2},{LABELS[i]}\n" for i in range(28))
    made = opened(tmp_path / "a.csv", "who,a,label\n" + rows)
    assert [f.name for f in made.fields] == ["a"]
    assert any("The column 'who' is no input: 28 different texts" in n for n in made.notes)


def test_columns_numbered_like_steps_are_pointed_out(tmp_path: Path) -> None:
    head = ",".join(f"t{i}" for i in range(12))
    rows = [",".join(str(i * k % 11 / 2) for k in range(12)) + f",{LABELS[i]}" for i in range(30)]
    made = opened(tmp_path / "a.csv", f"{head},label\n" + "\n".join(rows))
    assert made.modality == "table"
    assert any("12 columns 't0' to 't11' are numbered like steps" in n for n in made.notes)


def test_columns_beside_a_list_are_pointed_out(tmp_path: Path) -> None:
    rows = [
        {"curve": [i, 1.5, i % 3], "age": 30 + i % 9, "dose": i % 4 / 2, "label": LABELS[i]}
        for i in range(30)
    ]
    made = opened(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert made.modality == "series"
    assert any(
        "2 other columns ('age', 'dose') could be inputs of a table" in n for n in made.notes
    )
