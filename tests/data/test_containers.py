"""Rows that a reader gathers from files and objects of its own, and groups that follow from samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.core.dataset import SetAside
from headstart.core.reader import Gathered
from headstart.core.task import Columns, Task
from headstart.data.opening import from_arrays, open_data, open_samples
from headstart.data.splits import make_split
from headstart.errors import DataError
from tests.data.conftest import Words

LINES = [f"word{i % 7} and number {i}" for i in range(40)]


class Poems(Words):
    """Reads `.poem` files: "label|text" lines; a poem in memory is a `Poem`; rhymes are groups."""

    GROUPS = {"rhyme": lambda sample, fields: sample[fields[0].name].split()[0]}

    def __init__(self) -> None:
        self.asked: list[Columns | None] = []

    def gather(
        self, thing: Any, asked: Columns | None, *, named: bool = False, fields: Any = ()
    ) -> Gathered | None:
        if isinstance(thing, Poem):
            return Gathered({"line": thing.lines}, ("From memory.",))
        if not (isinstance(thing, Path) and thing.suffix == ".poem"):
            return None
        self.asked.append(asked)
        pairs = [line.partition("|") for line in thing.read_text("utf-8").splitlines()]
        labels = {} if asked is None else {"label": [p[0] for p in pairs]}
        lost = (SetAside("title", "no line", "none needed"),)
        return Gathered({"line": [p[2] for p in pairs], **labels}, ("A poem.",), lost)


class Poem:
    lines = LINES


@pytest.fixture
def poem(tmp_path: Path) -> Path:
    path = tmp_path / "one.poem"
    path.write_text("\n".join(f"{i % 2}|{line}" for i, line in enumerate(LINES)), "utf-8")
    return path


def opened(path: Path, tmp_path: Path, **columns: Any):
    task = Task(data=str(path), columns=Columns(**columns))
    return open_data(task, {"text": Words(), "poem": Poems()}, cache=tmp_path / "cache"), task


def test_a_file_of_a_reader_s_own_becomes_rows(poem, tmp_path):
    data, _ = opened(poem, tmp_path)
    assert (data.modality, data.fields[0].name, len(data)) == ("poem", "line", 40)
    assert data.notes[0] == "A poem."
    assert [a.name for a in data.set_aside] == ["title"]
    poem.write_text(poem.read_text("utf-8") + "\n1|one more line", "utf-8")
    assert len(opened(poem, tmp_path)[0]) == 41, "a changed file is read anew"


def test_rows_to_predict_are_asked_for_without_columns(poem, tmp_path):
    reader = Poems()
    data, _ = opened(poem, tmp_path)
    asked = open_samples(poem, data.fields, reader, modality="poem")
    assert len(asked) == 40 and set(reader.asked) == {None}
    assert open_samples([poem], data.fields, reader, modality="poem").digest == asked.digest
    assert open_samples(Poem(), data.fields, reader, modality="poem").digest == asked.digest


class Verses(Poems):
    """Names its rows, and is told when predicting what it made them of."""

    told: Any = None

    def gather(self, thing: Any, asked: Any, *, named: bool = False, fields: Any = ()) -> Any:
        found = super().gather(thing, asked)
        if found is None:
            return None
        self.told = [f.columns for f in fields]
        columns = {"title": [f"verse {i}" for i in range(40)], **found.columns}
        return replace(found, columns=columns, made_of={"line": ("a", "b")}, naming="title")


def test_rows_have_names_and_prediction_is_told_what_they_were_made_of(poem, tmp_path):
    reader = Verses()
    data = open_data(Task(data=str(poem)), {"poem": reader}, cache=tmp_path / "cache")
    assert data.fields[0].columns == ("a", "b") and reader.told == []
    assert data.names(np.arange(2)) == ["verse 0", "verse 1"]
    assert "title" not in data.metadata(np.arange(2)), "a name is nothing else"
    asked = open_samples(poem, data.fields, reader, modality="poem")
    assert reader.told == [("a", "b")]
    assert asked.names(np.arange(2)) == ["verse 0", "verse 1"]


def test_an_object_of_a_library_s_own_type():
    labels = [i % 2 for i in range(40)]
    data = from_arrays(Poem(), labels, {"text": Words(), "poem": Poems()})
    assert (data.modality, len(data)) == ("poem", 40)
    assert data.targets(np.arange(2)) == [0, 1]
    assert data.notes[0] == "From memory."


def test_a_group_that_follows_from_the_sample_never_straddles(poem, tmp_path):
    data, task = opened(poem, tmp_path, group="rhyme")
    split = make_split(data, task, 0)
    found = [set(data.metadata(p)["rhyme"]) for p in (split.train, split.test)]
    assert not found[0] & found[1] and len(found[0] | found[1]) == 7
    assert data.digest != opened(poem, tmp_path)[0].digest


def test_a_group_that_only_another_reader_offers_is_unknown(tmp_path, written):
    path = written(
        "t.csv", "text,label\n" + "\n".join(f"{line},{i % 2}" for i, line in enumerate(LINES))
    )
    with pytest.raises(DataError, match="rhyme"):
        opened(path, tmp_path, group="rhyme")


def test_a_column_of_that_name_comes_first(tmp_path):
    table = {
        "line": LINES,
        "label": [i % 2 for i in range(40)],
        "rhyme": [i % 5 for i in range(40)],
    }
    task = Task(modality="poem", columns=Columns(target="label", group="rhyme", inputs=("line",)))
    data = from_arrays(table, None, {"poem": Poems()}, task=task)
    assert set(data.metadata(np.arange(40))["rhyme"]) == set(range(5))
