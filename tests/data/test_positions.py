"""Labels beside words: lists, CoNLL files, spans of a text; and what fits no word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.task import Columns, Task
from headstart.data import quality, splits
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import open_data, open_samples
from headstart.errors import DataError

READ = plugins.Modality("text").read
READERS = {"text": READ}


def opened(path: Path, target: str = "", outcome: str = "auto", **more: Any) -> ArrowDataset:
    task = Task(data=str(path), outcome=outcome, columns=Columns(target=target), **more)
    return open_data(task, READERS, cache=path.parent / "cache")


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    return path


def listed(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"tokens": ["Ada", "saw", f"Rome{i}"], "tags": ["B-per", "O", "B-loc"]}
        for i in range(count)
    ]


def test_a_list_of_labels_beside_a_list_of_words_is_found(tmp_path: Path) -> None:
    made = opened(lines(tmp_path / "t.jsonl", listed()))
    assert made.outcome == "label_each"
    assert made.fields[0].kind == "words"
    assert made.targets(np.array([0])) == [("B-per", "O", "B-loc")]
    assert made.samples(np.array([1]))[0]["tokens"] == ["Ada", "saw", "Rome1"]
    again = opened(tmp_path / "t.jsonl")
    assert again.digest == made.digest


def test_lists_of_other_lengths_are_tags(tmp_path: Path) -> None:
    rows = [{"text": f"some words of row {i}", "tags": ["a", "b"][: 1 + i % 2]} for i in range(12)]
    assert opened(lines(tmp_path / "t.jsonl", rows), "tags").outcome == "tag"
    with pytest.raises(DataError, match=r"fits no input \(text, read as text\).*Expected a list"):
        opened(tmp_path / "t.jsonl", "tags", "label_each")


def test_tags_that_do_not_fit_the_words_are_set_aside(tmp_path: Path) -> None:
    rows = listed(20)
    rows[3]["tags"] = ["O", "O"]
    rows[4]["tokens"][1] = " "
    rows[5]["tags"][0] = None
    made = opened(lines(tmp_path / "t.jsonl", rows), tolerate=0.2)
    assert [(s.name, s.reason) for s in made.set_aside] == [
        ("row 4", "2 labels for 3 units"),
        ("row 5", "word 2 of 3 is empty"),
    ]
    assert made.targets(np.array([3])) == [(None, "O", "B-loc")]


def spanned(**changed: Any) -> dict[str, Any]:
    whole = {"start": 0, "end": 12, "label": "per"}
    return {"text": "Ada Lovelace, of London. She wrote it.", "spans": [{**whole, **changed}]}


def test_spans_become_labels_of_the_words_that_they_cover(tmp_path: Path) -> None:
    rows = [spanned() for _ in range(12)]
    rows[1]["spans"].append({"start": 17, "end": 23, "label": "loc"})
    rows[2]["spans"] = []
    made = opened(lines(tmp_path / "t.jsonl", rows), "spans", near_duplicates=False)
    assert made.outcome == "label_each"
    assert made.samples(np.array([0]))[0]["text"] == [
        *("Ada", "Lovelace", ",", "of", "London", ".", "She", "wrote", "it", "."),
    ]
    assert made.targets(np.arange(3)) == [
        ("B-per", "I-per", *["O"] * 8),
        ("B-per", "I-per", "O", "O", "B-loc", *["O"] * 5),
        ("O",) * 10,
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"end": 99}, "0 to 99 ('per') lies outside the sample, which ends at 38"),
        ({"start": -1}, "lies outside"),
        ({"start": 12, "end": 12}, "is empty"),
        ({"label": None}, "lacks its start, end or label"),
        ({"end": None}, "lacks its start, end or label"),
        ({"start": 2}, "cuts through a unit"),
        ({"end": 8}, "cuts through a unit"),
        ({"start": 13, "end": 14}, "holds no unit"),
    ],
)
def test_spans_that_fit_no_word_are_set_aside(
    tmp_path: Path, changed: dict[str, int], said: str
) -> None:
    rows = [spanned() for _ in range(12)]
    rows[5] = spanned(**changed)
    made = opened(lines(tmp_path / "t.jsonl", rows), "spans", tolerate=0.2)
    assert [s.name for s in made.set_aside] == ["row 6"]
    assert said in made.set_aside[0].reason


def test_spans_over_each_other_are_set_aside(tmp_path: Path) -> None:
    rows = [spanned() for _ in range(12)]
    rows[0]["spans"].append({"start": 4, "end": 12, "label": "loc"})
    made = opened(lines(tmp_path / "t.jsonl", rows), "spans", tolerate=0.2)
    assert "overlaps another" in made.set_aside[0].reason


CONLL = """-DOCSTART- -X- O

# id 7
Ada\tNNP\tB-per
saw\tVB\tO

Rome B-loc

broken
"""


def test_conll_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.conll"
    path.write_text(CONLL, "utf-8")
    made = opened(path, tolerate=0.5)
    assert made.targets(np.arange(2)) == [("B-per", "O"), ("B-loc",)]
    assert made.samples(np.arange(2))[0]["words"] == ["Ada", "saw"]
    assert made.set_aside[0].name == "sentence 3"
    assert "line 9 has no word and tag" in made.set_aside[0].reason


def test_an_empty_conll_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.bio"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="a tab and a tag on each line"):
        opened(path)


def test_new_texts_are_cut_into_words(tmp_path: Path) -> None:
    made = opened(lines(tmp_path / "t.jsonl", listed()))
    for new in ({"tokens": ["Ada saw Rome."]}, {"tokens": [["Ada", "saw", "Rome", "."]]}):
        rows = open_samples(new, made.fields, READ, modality="text")
        assert rows.samples(np.array([0]))[0]["tokens"] == ["Ada", "saw", "Rome", "."]


def test_rare_labels_fall_on_both_sides_and_are_counted(tmp_path: Path) -> None:
    rows = listed(40)
    for i in range(0, 40, 10):
        rows[i]["tags"][1] = "B-rare"
    made = opened(lines(tmp_path / "t.jsonl", rows), near_duplicates=False)
    split = splits.make_split(made, Task(near_duplicates=False), 0)
    assert sum("B-rare" in t for t in made.targets(split.test)) == 1
    assert quality.summary(made, split).facts["labels"]["B-rare"] == 3
